"""Axes that scatters have in common: an orthogonal D in which all Dᵀ W_k D are close to diagonal.

With the diagonals m_k of Dᵀ W_k D, minus twice the log-likelihood over n is, after its minimum over
volumes and shapes and up to constants,

    VVE:  Σ_k n_k Σ_i log m_ki / n            EVE:  d log Σ_k exp(Σ_i log m_ki / d)

Two axes at a time are turned in their plane, and planes that have no axis in common go together.
Near a minimum the logarithms are replaced by their tangents, which lie above them, and the best
angle of these has a closed form. Far from one, the minimum is looked for all around, so that it is
not the nearest but the lowest: for VVE the objective is a sum over the planes; for EVE a sum of
products of their terms, which is at most the mean of powers of them, equal where nothing turns.

Sources: Flury & Gautschi (1986) for VVE, with their plane rotations; Browne & McNicholas (2014) for
EVE and for the minorise-maximise steps that this is in place of, which take a thousand where
scatters are tight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .graded import eigen, rotations, rounds, smallest_angle
from .records import TINY, Sets

ANGLES = 12  # that are tried of a plane, before the best is made exact
NEWTON = 4  # steps from the best of them
STEP = 0.3  # longest of these
RANDOM, MOST_RANDOM = (
    8,
    32,
)  # starts a feature, and at most, beside those of the scatters themselves
STAY = 6  # starts of a set that go on after a sweep all around
SCREENING = 8  # sweeps near, after another one all around, before only the best goes on
SWEEPS = 40  # more of it, before it is left to BFGS
SETTLED = 1e-13  # nats a point that a sweep brings, when it is the last
GENTLE = 1e-9  # slope, in nats a point, at which BFGS ends
LARGEST = 400  # entries of D, up to which BFGS ends what sweeps do slowly


@dataclass(frozen=True, eq=False)
class Axes:
    """Common axes, and the scatters in them.

    Attributes:
        vectors: orthogonal matrices D, shape (s, d, d).
        turned: Dᵀ W_k D, shape (s, k, d, d).
        counts: of points, shape (s, k); zero of components that do not count.
        equal: whether volumes are equal (EVE).
    """

    vectors: Float[Tensor, "s d d"]
    turned: Float[Tensor, "s k d d"]
    counts: Float[Tensor, "s k"]
    equal: bool

    @classmethod
    def of(cls, scatter: Tensor, vectors: Tensor, counts: Tensor, *, equal: bool) -> Axes:
        """The scatters in these axes."""
        return cls(vectors, vectors.mT[:, None] @ scatter @ vectors[:, None], counts, equal)

    def __getitem__(self, sets: Sets) -> Axes:
        """The chosen sets."""
        return Axes(self.vectors[sets], self.turned[sets], self.counts[sets], self.equal)

    def best_of_each(self, s: int, most: int) -> Axes:
        """The best few of each of s blocks of as many sets."""
        values = self.objective.view(s, -1)
        best = values.topk(min(most, values.shape[1]), largest=False).indices
        first = torch.arange(s, device=best.device)[:, None] * values.shape[1]
        return self[(first + best).flatten()]

    @property
    def diagonals(self) -> Float[Tensor, "s k d"]:
        """The m_k."""
        return self.turned.diagonal(dim1=-2, dim2=-1)

    @property
    def objective(self) -> Float[Tensor, "s"]:
        """What is to be small, in nats a point."""
        return objective(self.diagonals, self.counts, equal=self.equal)

    def anew(self, scatter: Float[Tensor, "s k d d"]) -> Axes:
        """The same axes, at right angles to the last digit, and the scatters in them.

        Turns at random round what is small to what is large, so that it may seem smaller than it
        is; and axes of very different lengths that are not at right angles mix them.
        """
        d = self.vectors.shape[-1]
        askew = self.vectors.mT @ self.vectors - torch.eye(d).to(self.vectors)
        vectors = self.vectors - self.vectors @ askew / 2
        return Axes.of(scatter, vectors, self.counts, equal=self.equal)

    def by(self, rotation: Float[Tensor, "s d d"]) -> Axes:
        """After a rotation of the axes."""
        turned = rotation.mT[:, None] @ self.turned @ rotation[:, None]
        return Axes(self.vectors @ rotation, turned, self.counts, self.equal)

    def swept(self, times: int, *, near: bool) -> Axes:
        """After so many turns in every plane: near ones, or all around."""
        found = self
        for _ in range(times):
            for i, j in rounds(self.vectors.shape[-1], self.vectors.device):
                found = found.by(found._turn(i, j, near=near))
        return found

    def _turn(
        self, i: Int[Tensor, "p"], j: Int[Tensor, "p"], *, near: bool
    ) -> Float[Tensor, "s d d"]:
        """A rotation in planes that have no axis in common."""
        d = self.vectors.shape[-1]
        one, two, across = (self.turned[:, :, a, b] for a, b in ((i, i), (j, j), (i, j)))
        if near:
            angle = _near_angle(one, two, across, self._weights())
        else:
            plane = _Plane.of(one, two, across, self._weights(), len(i) / d)
            angle = plane.best_angle(exact=not self.equal) / 2
        return rotations(angle, i, j, d)

    def _weights(self) -> Float[Tensor, "s k 1"]:
        if not self.equal:
            return (self.counts / self.counts.sum(1, keepdim=True))[..., None]
        return _sizes(self.diagonals, self.counts).log().softmax(1)[..., None]


def objective(
    diagonals: Float[Tensor, "s k d"], counts: Float[Tensor, "s k"], *, equal: bool
) -> Float[Tensor, "s"]:
    """What common axes are to make small, in nats a point."""
    if equal:
        return diagonals.shape[-1] * _sizes(diagonals, counts).sum(1).log()
    share = counts / counts.sum(1, keepdim=True)
    return (share * diagonals.clamp_min(TINY).log().sum(-1)).sum(1)


def _near_angle(one: Tensor, two: Tensor, across: Tensor, weight: Tensor) -> Float[Tensor, "s p"]:
    """The angle that is best for the tangents of the logarithms of diagonal entries."""
    unlike = weight * (one.clamp_min(TINY).reciprocal() - two.clamp_min(TINY).reciprocal())
    return smallest_angle(-2 * (unlike * across).sum(1), -(unlike * (one - two)).sum(1))


def _sizes(diagonals: Tensor, counts: Tensor) -> Float[Tensor, "s k"]:
    """Geometric means of the scatters' diagonals, zero where there are no points."""
    return diagonals.clamp_min(TINY).log().mean(-1).exp() * (counts > 0)


@dataclass(frozen=True, eq=False)
class _Plane:
    """Scatters in some planes, as functions of twice the angle by which axes are turned there.

    The product of the two diagonal entries is their determinant, which no turn changes, plus the
    square of the entry off the diagonal.

    Attributes:
        half: half of the difference of the diagonal entries, shape (s, k, p).
        across: the entry off the diagonal.
        determinant: of the two by two matrix.
        weight: of each component, shape (s, k, 1).
        power: of the product, in the objective of equal volumes.
    """

    half: Float[Tensor, "s k p"]
    across: Float[Tensor, "s k p"]
    determinant: Float[Tensor, "s k p"]
    weight: Float[Tensor, "s k 1"]
    power: float

    @classmethod
    def of(cls, one: Tensor, two: Tensor, across: Tensor, weight: Tensor, power: float) -> _Plane:
        """Of diagonal entries and those across; in units in which the product is now one."""
        product = (one * two).clamp_min(TINY)
        unit = product.sqrt()
        determinant = (1 - (across / unit).square()).clamp_min(torch.finfo(one.dtype).eps)
        return cls((one - two) / (2 * unit), across / unit, determinant, weight, power)

    def best_angle(self, *, exact: bool) -> Float[Tensor, "s p"]:
        """Twice the best angle; `exact` for unequal volumes, whose objective is a sum of logs."""
        grid = torch.arange(ANGLES).to(self.half) * (math.pi / ANGLES)
        values = self._value(grid[:, None, None, None], exact=exact)
        lowest, best = values.min(0)
        found = grid[best]
        for _ in range(NEWTON):
            found = found + self._newton(found, exact=exact)
        return torch.where(self._value(found[:, None], exact=exact) <= lowest, found, grid[best])

    def _value(self, angle: Tensor, *, exact: bool) -> Tensor:
        product = self.determinant + self._off(angle).square()
        each = product.log() if exact else product**self.power
        return (self.weight * each).sum(-2)

    def _off(self, angle: Tensor) -> Tensor:
        """What is then off the diagonal."""
        return self.across * angle.cos() - self.half * angle.sin()

    def _newton(self, angle: Float[Tensor, "s p"], *, exact: bool) -> Float[Tensor, "s p"]:
        """A step towards where the derivative is zero, if that is a minimum."""
        at = angle[:, None]
        off, apart = self._off(at), self.across * at.sin() + self.half * at.cos()
        product = self.determinant + off.square()
        slope = -2 * off * apart / product
        bend = 2 * (apart.square() - off.square()) / product
        weight = self.weight
        if exact:
            bend = bend - slope.square()
        else:
            bend = bend + (self.power - 1) * slope.square()
            weight = weight * product**self.power
        first, second = (weight * slope).sum(1), (weight * bend).sum(1)
        step = torch.where(second > 0, -first / second, torch.zeros_like(first))
        return step.clamp(-STEP, STEP)


def common_axes(
    scatter: Float[Tensor, "s k d d"], counts: Float[Tensor, "s k"], *, equal: bool
) -> Float[Tensor, "s d d"]:
    """The best common axes, from several starts.

    They are the axes of each scatter, of all together in two ways, and some at random that are
    always the same. What sweeps do slowly, where axes of tight scatters are far from common, is
    ended by BFGS.
    """
    s, k, d = scatter.shape[:3]
    starts = _starts(scatter, counts)
    sets = torch.arange(s, device=scatter.device).repeat_interleave(starts.shape[1])
    axes = Axes.of(scatter[sets], starts.flatten(0, 1), counts[sets], equal=equal)
    axes = axes.swept(1, near=False).anew(scatter[sets]).best_of_each(s, STAY)
    sets = torch.arange(s, device=scatter.device).repeat_interleave(len(axes.vectors) // s)
    axes = axes.swept(1, near=False).swept(SCREENING, near=True)
    axes = axes.anew(scatter[sets]).best_of_each(s, 1)
    value = axes.objective
    for _ in range(SWEEPS):
        axes = axes.swept(1, near=True)
        before, value = value, axes.objective
        going = before - value > SETTLED
        if not going.any():
            break
    vectors = axes.vectors
    for i in going.nonzero()[:, 0].tolist() if d * d <= LARGEST else ():
        vectors[i] = _by_bfgs(axes[[i]], scatter[[i]])
    return vectors


def _starts(scatter: Tensor, counts: Tensor) -> Float[Tensor, "s b d d"]:
    d = scatter.shape[-1]
    share = counts.clamp_min(TINY)[..., None, None].reciprocal() * (counts > 0)[..., None, None]
    together = torch.stack([scatter.sum(1), (scatter * share).sum(1)], 1)
    own = eigen(torch.cat([together, scatter], 1))[1]
    if d < 3:  # in one plane the minimum is looked for all around
        return own[:, :1]
    many, generator = min(RANDOM * d, MOST_RANDOM), torch.Generator().manual_seed(0)
    drawn = torch.randn(many, d, d, generator=generator, dtype=torch.float64).to(scatter)
    random = torch.linalg.qr(drawn)[0].expand(len(scatter), -1, -1, -1)
    return torch.cat([own, random], 1)


def _by_bfgs(axes: Axes, scatter: Float[Tensor, "1 k d d"]) -> Float[Tensor, "d d"]:
    """The axes of one set at a minimum over rotations exp(A - Aᵀ)."""
    from scipy.optimize import minimize

    d = axes.vectors.shape[-1]
    rows, columns = torch.tril_indices(d, d, -1)

    def rotated(vector: Tensor) -> Axes:
        skew = vector.new_zeros(d, d).index_put((rows, columns), vector)
        return axes.by(torch.linalg.matrix_exp(skew - skew.mT)[None])

    def value(vector: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.as_tensor(vector).to(axes.vectors).requires_grad_()
        with torch.enable_grad():
            result = rotated(at).objective[0]
            (slope,) = torch.autograd.grad(result, at)
        return float(result.detach()), slope.cpu().numpy()

    end = minimize(value, np.zeros(len(rows)), jac=True, method="BFGS", options={"gtol": GENTLE})
    best = rotated(torch.as_tensor(end.x).to(axes.vectors)).anew(scatter)
    return (best if best.objective < axes.objective else axes).vectors[0]
