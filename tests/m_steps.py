"""M-steps of mclust's families as textbooks have them, in NumPy, and their numerical minimum.

Sources: Celeux & Govaert (1995); Browne & McNicholas (2014) for the minorise-maximise steps.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.stats import special_ortho_group

STEPS = 20_000  # of an alternation, at most


def geometric(values: np.ndarray) -> np.ndarray:
    return np.exp(np.log(values).mean(-1))


def axes(matrices: np.ndarray) -> np.ndarray:
    """Their diagonals."""
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def volume(matrices: np.ndarray) -> np.ndarray:
    d = matrices.shape[-1]
    return np.exp(np.linalg.slogdet(matrices).logabsdet / d)


def vee(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """λ_k C: C = Σ W_k / λ_k over its volume and λ_k = tr(W_k C⁻¹) / (d n_k), in turn."""
    d, sizes = scatter.shape[-1], np.ones(len(counts))
    for _ in range(STEPS):
        shape = (scatter / sizes[:, None, None]).sum(0)
        shape = shape / volume(shape)
        before, sizes = sizes, np.trace(scatter @ np.linalg.inv(shape), axis1=1, axis2=2)
        sizes = sizes / (d * counts)
        if np.abs(sizes / before - 1).max() < 1e-14:
            break
    return sizes[:, None, None] * shape


def diagonal(variances: np.ndarray) -> np.ndarray:
    return variances[..., None] * np.eye(variances.shape[-1])


def vei(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return vee(diagonal(axes(scatter)), counts)


def evi(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return evv(diagonal(axes(scatter)), counts)


def evv(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    sizes = volume(scatter)
    return scatter / sizes[:, None, None] * (sizes.sum() / counts.sum())


def eev(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(scatter)
    return vectors @ diagonal(values.sum(0) / counts.sum()) @ vectors.mT


def vev(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(scatter)
    return vectors @ vee(diagonal(values), counts) @ vectors.mT


def eve(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    def fitted(diagonals: np.ndarray) -> np.ndarray:
        sizes = geometric(diagonals)
        return diagonals / sizes[:, None] * (sizes.sum() / counts.sum())

    return of_one_orientation(scatter, fitted, counts)


def vve(scatter: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return of_one_orientation(scatter, lambda diagonals: diagonals / counts[:, None], counts)


def of_one_orientation(scatter: np.ndarray, fitted, counts: np.ndarray) -> np.ndarray:
    """D and the diagonals in turn, D by minorise-maximise steps, from several starts."""
    best, found = np.inf, scatter
    starts = [scatter.sum(0), (scatter / counts[:, None, None]).sum(0), *scatter]
    for start in starts:
        vectors, value = np.linalg.eigh(start)[1], np.inf
        for _ in range(STEPS):
            variances = fitted(axes(vectors.T @ scatter @ vectors))
            covariances = vectors @ diagonal(variances) @ vectors.T
            before, value = value, objective(covariances, scatter, counts)
            if not before - value > 1e-13 * abs(value):
                break
            largest = np.linalg.eigvalsh(scatter)[:, -1, None, None]
            away = scatter - largest * np.eye(scatter.shape[-1])
            left, _, right = np.linalg.svd(((vectors.T @ away) / variances[:, :, None]).sum(0))
            vectors = -(left @ right).T
        if value < best:
            best, found = value, covariances
    return found


def objective(covariances: np.ndarray, scatter: np.ndarray, counts: np.ndarray) -> float:
    """Minus twice the log-likelihood of the covariances, but for a constant."""
    traces = np.trace(np.linalg.solve(covariances, scatter), axis1=1, axis2=2)
    return float(counts @ np.linalg.slogdet(covariances).logabsdet + traces.sum())


class Free:
    """Covariances of a family as a function of free numbers: volumes, shapes and orientations."""

    def __init__(self, code: str, k: int, d: int) -> None:
        self.k, self.d = k, d
        self.sizes, self.shapes, self.turns = (k if letter == "V" else 1 for letter in code)
        self.planes = 0 if code[2] == "I" else d * (d - 1) // 2
        self.length = self.sizes + self.shapes * (d - 1) + self.turns * self.planes

    def parts(self, vector: torch.Tensor, around: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logarithms of the eigenvalues (k, d), and the eigenvectors (k, d, d)."""
        k, d = self.k, self.d
        sizes, shapes, turns = vector.split(
            [self.sizes, self.shapes * (d - 1), self.turns * self.planes]
        )
        shapes = shapes.view(self.shapes, d - 1)
        shapes = torch.cat([shapes, -shapes.sum(1, keepdim=True)], 1)
        values = (sizes[:, None] + shapes).expand(k, d)
        if not self.planes:
            return values, around.expand(k, d, d)
        rows, columns = torch.tril_indices(d, d, -1)
        skew = vector.new_zeros(self.turns, d, d)
        skew[:, rows, columns] = turns.view(self.turns, self.planes)
        return values, (around @ torch.matrix_exp(skew - skew.mT)).expand(k, d, d)


def numerical_minimum(
    code: str, scatter: np.ndarray, counts: np.ndarray, tries: int, seed: int
) -> float:
    """The least objective that BFGS finds over the free numbers, from random rotations."""
    k, d = scatter.shape[:2]
    free, random = Free(code, k, d), np.random.default_rng(seed)
    w, n = torch.tensor(scatter), torch.tensor(counts)

    def value(vector: np.ndarray, around: torch.Tensor) -> tuple[float, np.ndarray]:
        at = torch.tensor(vector, requires_grad=True)
        values, vectors = free.parts(at, around)
        squares = (vectors * (w @ vectors)).sum(-2)
        result = (n[:, None] * values + squares * (-values).exp()).sum()
        result.backward()
        return float(result.detach()), at.grad.numpy()

    best = np.inf
    for number in range(tries):
        around = torch.eye(d, dtype=torch.float64)[None]
        if free.planes and number:
            drawn = [special_ortho_group.rvs(d, random_state=random) for _ in range(free.turns)]
            around = torch.tensor(np.stack(drawn))
        elif free.planes:
            around = torch.linalg.eigh(w if free.turns > 1 else w.sum(0, keepdim=True))[1]
        start = np.zeros(free.length)
        start[: free.sizes] = np.log(np.trace(scatter.sum(0)) / (d * counts.sum()))
        options = {"gtol": 1e-9, "maxiter": 5000}
        end = minimize(value, start, (around,), "BFGS", jac=True, options=options)
        best = min(best, end.fun)
    return best
