"""Families whose covariances have a part in common: mclust's eight between all and nothing.

Σ_k = λ_k D_k A_k D_kᵀ has a volume λ_k, a shape A_k of determinant one and an orientation D_k, and
a letter of the code for each: V where it varies between components, E where it is equal, I where
there is none to speak of, as it is the axes'. The M-step takes the scatters and counts of all
components at once; in compact form the covariances are what they are in `diag` or `full`.

The floor is a point's worth of scatter in every component, before the M-step, or less where all
weights together are less than a point a component. So it is a penalty tr(Σ_k⁻¹ F) / 2 nats, under
which EM stays monotone: to raise what the M-step gives would leave the family. A component without
points has the covariance of the one with most.

Sources: Celeux & Govaert (1995), "Gaussian parsimonious clustering models"; Browne & McNicholas
(2014), "Estimating common principal components in high dimensions".
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .diagonal import Diagonal, DiagonalAlgebra
from .family import CovarianceFamily
from .graded import are_lost, eigen, thinness
from .records import TINY, times
from .triangular import Full, MatrixAlgebra
from .volumes import EMPTY, Shares, volumes

FAR = 1e-6  # of any entry, in units of its features' deviations, that is taken for rounding
ROUNDINGS = 16.0  # as many add up, from what a covariance is made of


class Coupled(CovarianceFamily):
    """What families have in common whose covariances depend on each other."""

    has_sites = False

    @abstractmethod
    def n_coupled_parameters(self, k: int, d: int) -> int:
        """Free parameters of the covariances of all k components."""

    @abstractmethod
    def constrained(
        self,
        scatter: Float[Tensor, "s k *event"],
        counts: Float[Tensor, "s k"],
        current: Float[Tensor, "s k *event"] | None,
    ) -> Float[Tensor, "s k *event"]:
        """The likeliest covariances of the family.

        Args:
            scatter: Σ r z zᵀ about the means in compact form; zero of components without points.
            counts: Σ r, positive but for these.
            current: factors from which an M-step that is a search goes on, without a decrease of
                the likelihood; None to search thoroughly.
        """

    def n_parameters(self, k: int, d: int) -> int:
        """See the base class."""
        return k - 1 + k * d + self.n_coupled_parameters(k, d)

    def fit_all(
        self,
        covariance: Float[Tensor, "s k *event"],
        counts: Float[Tensor, "s k"],
        floor: Float[Tensor, "d"],
        current: Float[Tensor, "s k *event"] | None = None,
    ) -> Float[Tensor, "s k *event"]:
        """See the base class."""
        total, k = counts.sum(1, keepdim=True), counts.shape[1]
        worth = (total / k).clamp_max(1.0)  # where weights are small, points are less
        scatter = times(counts, covariance) + times(worth, self.compress(floor.diag())[None, None])
        empty = counts <= EMPTY * total
        all_held = not empty.any()
        if not all_held:
            counts, scatter = counts.masked_fill(empty, 0.0), _without(empty, scatter, 0.0)
        sound = scatter.isfinite().flatten(1).all(1)
        if sound.all():
            found = self.constrained(scatter, counts, current)
        else:  # eigh refuses NaN
            found = self.constrained(_without(~sound, scatter, 1.0), counts, current)
            found = _without(~sound, found, torch.nan)
        if not all_held:
            fullest = found[torch.arange(len(found), device=found.device), counts.argmax(1)]
            found = torch.where(_like(empty, found), fullest[:, None], found)
        return self.rooted(found)

    @abstractmethod
    def rooted(self, covariance: Float[Tensor, "s k *event"]) -> Float[Tensor, "s k *event"]:
        """The factors; NaN where a covariance is not positive definite."""

    def members(
        self, factor: Float[Tensor, "k *event"], given: Float[Tensor, "k *event"]
    ) -> Float[Tensor, "k *event"]:
        """The factors, or NaN where they are not those of the family's nearest covariances.

        An entry is compared in units of its features' own deviations, and may be off by what the
        digits of covariances leave open. Rounding moves their eigenvalues by up to its share over
        the smallest eigenvalue of the correlations.
        """
        if not factor.isfinite().all():
            return factor
        counts, floor = factor.new_ones(1, len(factor)), factor.new_zeros(factor.shape[-1])
        nearest = self.covariances(self.fit_all(given[None], counts, floor, factor[None])[0])
        size = self.square(self.diagonal(given, len(floor)).sqrt())
        off = ((nearest - given) / size).abs().flatten(1).amax(1)
        kind = torch.float32 if given.equal(given.float().double()) else torch.float64
        thinnest = thinness(self.scale_tril(factor, len(floor))).amin()
        near = off <= FAR + ROUNDINGS * torch.finfo(kind).eps / thinnest
        return factor.masked_fill(~near.view(-1, *(1,) * (factor.ndim - 1)), torch.nan)


def _like(chosen: Bool[Tensor, "*sk"], values: Float[Tensor, "*sk *value"]) -> Tensor:
    """Which sets, or components of them, are chosen, so that it broadcasts over their values."""
    return chosen.view(*chosen.shape, *(1,) * (values.ndim - chosen.ndim))


def _without(chosen: Bool[Tensor, "*sk"], values: Tensor, number: float) -> Tensor:
    """Values with a number in place of those of chosen sets, or of components of them."""
    return values.masked_fill(_like(chosen, values), number)


def _size(log_determinant: Tensor, d: int) -> Tensor:
    """The volume |W|^(1/d), zero for a component without points, whose log determinant is -inf."""
    return (log_determinant / d).exp()


class CoupledDiagonal(Coupled, DiagonalAlgebra):
    """Diagonal covariances that depend on each other."""

    def rooted(self, covariance: Float[Tensor, "s k d"]) -> Float[Tensor, "s k d"]:
        """See the base class."""
        return torch.where(covariance > 0, covariance, torch.nan).sqrt()

    def factorise(self, covariances: Tensor) -> Tensor:
        """See the base class; NaN also where they are not of the family."""
        return self.members(super().factorise(covariances), covariances)


class VEI(CoupledDiagonal):
    """Diagonal covariances of one shape, each with a volume of its own (mclust's VEI)."""

    name = mclust = "VEI"

    def n_coupled_parameters(self, k: int, d: int) -> int:
        """See the base class."""
        return k + d - 1

    def constrained(
        self, scatter: Tensor, counts: Float[Tensor, "s k"], current: Tensor | None
    ) -> Float[Tensor, "s k d"]:
        """λ_k B with B = Σ W_k / λ_k over its volume, λ_k = tr(W_k B⁻¹) / (d n_k)."""
        return _one_shape(scatter, counts, _sizes_of(self, current))


class EVI(CoupledDiagonal):
    """Diagonal covariances of one volume, each with a shape of its own (mclust's EVI)."""

    name = mclust = "EVI"

    @property
    def of_marginals(self) -> CovarianceFamily:
        """Volumes of some of the features differ."""
        return Diagonal()

    def n_coupled_parameters(self, k: int, d: int) -> int:
        """See the base class."""
        return 1 + k * (d - 1)

    def constrained(
        self, scatter: Tensor, counts: Float[Tensor, "s k"], current: Tensor | None
    ) -> Float[Tensor, "s k d"]:
        """λ B_k with B_k = W_k over its volume, and λ the sum of these volumes over n."""
        return one_volume(scatter, scatter.log().sum(-1), counts)


class CoupledMatrix(Coupled, MatrixAlgebra):
    """Covariance matrices that depend on each other."""

    def rooted(self, covariance: Float[Tensor, "s k d d"]) -> Float[Tensor, "s k d d"]:
        """See the base class; NaN also where all that is left of an eigenvalue is rounding."""
        factor, failed = torch.linalg.cholesky_ex(covariance)
        bad = are_lost(factor, covariance) | (failed != 0)
        return factor.masked_fill(bad[..., None, None], torch.nan) if bad.any() else factor

    def factorise(self, covariances: Tensor) -> Tensor:
        """See the base class; NaN also where they are not of the family."""
        return self.members(super().factorise(covariances), covariances)

    @property
    def of_marginals(self) -> CovarianceFamily:
        """Little is in common of some of the features."""
        return Full()


class VEE(CoupledMatrix):
    """One shape and orientation, and a volume for each component (mclust's VEE)."""

    name = mclust = "VEE"

    @property
    def of_marginals(self) -> CovarianceFamily:
        """Parts of matrices that are alike but for their volumes are so, too."""
        return self

    def n_coupled_parameters(self, k: int, d: int) -> int:
        """See the base class."""
        return k - 1 + d * (d + 1) // 2

    def constrained(
        self, scatter: Tensor, counts: Float[Tensor, "s k"], current: Tensor | None
    ) -> Float[Tensor, "s k d d"]:
        """λ_k C with C = Σ W_k / λ_k over its volume, λ_k = tr(W_k C⁻¹) / (d n_k)."""
        near, d = _sizes_of(self, current), scatter.shape[-1]
        size = volumes(Shares.of_matrices, scatter, counts, d, near)
        pooled = times(size.reciprocal(), scatter).sum(1, keepdim=True)
        return times(size / counts.sum(1, keepdim=True), pooled)


class EVV(CoupledMatrix):
    """One volume, and a shape and orientation for each component (mclust's EVV)."""

    name = mclust = "EVV"

    def n_coupled_parameters(self, k: int, d: int) -> int:
        """See the base class."""
        return 1 + k * (d - 1) + k * d * (d - 1) // 2

    def constrained(
        self, scatter: Tensor, counts: Float[Tensor, "s k"], current: Tensor | None
    ) -> Float[Tensor, "s k d d"]:
        """λ C_k with C_k = W_k over its volume, and λ the sum of these volumes over n."""
        root, failed = torch.linalg.cholesky_ex(scatter)
        log_determinant = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return one_volume(scatter, log_determinant.masked_fill(failed != 0, -torch.inf), counts)


class EEV(CoupledMatrix):
    """One volume and shape, and an orientation for each component (mclust's EEV)."""

    name = mclust = "EEV"

    def n_coupled_parameters(self, k: int, d: int) -> int:
        """See the base class."""
        return d + k * d * (d - 1) // 2

    def constrained(
        self, scatter: Tensor, counts: Float[Tensor, "s k"], current: Tensor | None
    ) -> Float[Tensor, "s k d d"]:
        """D_k Σ Ω_k D_kᵀ / n, with the eigenvalues Ω_k and eigenvectors D_k of W_k in one order."""
        values, vectors = eigen(scatter)
        shape = values.sum(1, keepdim=True) / counts.sum(1)[:, None, None]
        return assembled(shape.expand_as(values), vectors)


class VEV(CoupledMatrix):
    """One shape, and a volume and orientation for each component (mclust's VEV)."""

    name = mclust = "VEV"

    def n_coupled_parameters(self, k: int, d: int) -> int:
        """See the base class."""
        return k + d - 1 + k * d * (d - 1) // 2

    def constrained(
        self, scatter: Tensor, counts: Float[Tensor, "s k"], current: Tensor | None
    ) -> Float[Tensor, "s k d d"]:
        """As VEI of the eigenvalues of W_k in one order, in the axes of its eigenvectors."""
        values, vectors = eigen(scatter)
        return assembled(_one_shape(values, counts, _sizes_of(self, current)), vectors)


def _sizes_of(family: CovarianceFamily, factor: Tensor | None) -> Float[Tensor, "s k"] | None:
    """The volumes of covariances, if there are any yet."""
    if factor is None:
        return None
    d = factor.shape[-1]
    return (2 * family.log_determinant(factor, d) / d).exp()


def _one_shape(
    scatter: Float[Tensor, "s k d"],
    counts: Float[Tensor, "s k"],
    near: Float[Tensor, "s k"] | None,
) -> Float[Tensor, "s k d"]:
    """Variances λ_k B of diagonal scatters: at the minimum, λ_k B = λ_k Σ W_l / λ_l / n."""
    size = volumes(Shares.of_axes, scatter, counts, scatter.shape[-1], near)
    pooled = (scatter / size[..., None]).sum(1, keepdim=True)
    return times(size / counts.sum(1, keepdim=True), pooled)


def one_volume(
    scatter: Tensor, log_determinant: Float[Tensor, "s k"], counts: Float[Tensor, "s k"]
) -> Tensor:
    """Covariances λ C_k, with C_k = W_k over its volume and λ the sum of these volumes over n."""
    d = scatter.shape[-1]
    size = _size(log_determinant, d)
    common = size.sum(1, keepdim=True) / counts.sum(1, keepdim=True)
    return times(common / size.clamp_min(TINY), scatter)


def assembled(
    values: Float[Tensor, "s k d"], vectors: Float[Tensor, "s k d d"]
) -> Float[Tensor, "s k d d"]:
    """Matrices of these eigenvalues and eigenvectors."""
    return (vectors * values[..., None, :]) @ vectors.mT
