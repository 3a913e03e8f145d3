"""What the conjugate prior says about points whose components are known: all in closed form.

The posterior of a component given its points is of the prior's kind, and how probable the points
are, with the component integrated out, is a ratio of normalising constants.

Source: Murphy (2007), "Conjugate Bayesian analysis of the Gaussian distribution", §9.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .covariance import CovarianceFamily, Parameters, Statistics
from .covariance.family import LOG_2PI, TINY


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """A conjugate prior in numbers, and what it says about points whose components are known.

    Attributes:
        concentration: shape (k,).
        mean: shape (d,).
        mean_strength: κ, observations that the prior of a mean is worth, a scalar.
        dof: ν, a scalar.
        scale: Ψ in the family's compact form.
        mean_scale: standard deviations of independent means, shape (d,), or None.
    """

    concentration: Float[Tensor, "k"]
    mean: Float[Tensor, "d"]
    mean_strength: Float[Tensor, ""]
    dof: Float[Tensor, ""]
    scale: Float[Tensor, "*event"]
    mean_scale: Float[Tensor, "d"] | None

    @property
    def is_exchangeable(self) -> bool:
        """Whether nothing tells the components apart."""
        return bool((self.concentration == self.concentration[0]).all())

    def draw(
        self,
        family: CovarianceFamily,
        statistics: Statistics,
        current: Parameters,
        generator: torch.Generator | None,
    ) -> Parameters:
        """Parameters drawn from their posterior, given s sets of hard assignments.

        Args:
            family: covariance family.
            statistics: of the assignments.
            current: parameters that the independent means' conditional distributions start from.
            generator: source of randomness.
        """
        weights = torch._sample_dirichlet(self.concentration + statistics.counts, generator)
        log_weights = weights.clamp_min(TINY).log()
        if self.mean_scale is None:
            means, factor = self._draw_components(family, statistics, generator)
        else:
            means = self._draw_means(family, statistics, current, generator)
            factor = self._draw_factor_given_means(family, statistics, means, generator)
        return Parameters(log_weights, means, factor)

    def log_evidence(self, family: CovarianceFamily, statistics: Statistics) -> Float[Tensor, "s"]:
        """log p(x | assignments) in nats, with means and covariances integrated out."""
        n, d = statistics.counts, len(self.mean)
        dof, scale, _ = self._covariance_posterior(family, statistics)
        gain = family.log_normaliser(dof, scale) - family.log_normaliser(self.dof, self.scale)
        of_means = 0.5 * d * (self.mean_strength / (self.mean_strength + n)).log()
        return gain.sum(-1) + (of_means - 0.5 * d * n * LOG_2PI).sum(-1)

    # ------------------------------------------------------------------ means with covariances

    def _covariance_posterior(
        self, family: CovarianceFamily, statistics: Statistics
    ) -> tuple[Tensor, Tensor, Tensor]:
        """ν and Ψ given the assignments, and the means' posterior means.

        About the reference, Ψ + Σ z zᵀ + κ m₀ m₀ᵀ - (κ + n) mₙ mₙᵀ.
        """
        n, kappa = statistics.counts, self.mean_strength
        prior_mean = self.mean - statistics.reference
        strength = (n + kappa)[..., None]
        mean = (statistics.first + kappa * prior_mean) / strength
        gain = kappa * family.square(prior_mean) - _times(n + kappa, family.square(mean))
        scale = self.scale + statistics.second + family.pooled(gain)
        counts = family.pooled(n)
        dof = self.dof + counts * family.squares_a_point(len(self.mean))
        return dof, scale, statistics.reference + mean

    def _draw_components(
        self, family: CovarianceFamily, statistics: Statistics, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        dof, scale, centre = self._covariance_posterior(family, statistics)
        factor = family.draw_factor(dof, scale, generator)
        spread = (self.mean_strength + statistics.counts).rsqrt()
        noise = _normal(centre, generator) * spread[..., None]
        tril = family.scale_tril(factor, len(self.mean))
        return centre + (tril @ noise[..., None])[..., 0], factor

    # ------------------------------------------------------------------ means on their own

    def _draw_means(
        self,
        family: CovarianceFamily,
        statistics: Statistics,
        current: Parameters,
        generator: torch.Generator | None,
    ) -> Float[Tensor, "s k d"]:
        """Means given the covariances."""
        assert self.mean_scale is not None
        tril = family.scale_tril(current.factor, len(self.mean))
        precision = torch.cholesky_inverse(tril).expand(*statistics.first.shape, -1)
        prior = self.mean_scale.square().reciprocal()
        total = statistics.counts[..., None, None] * precision + prior.diag()
        offset = self.mean - statistics.reference
        pulled = (precision @ statistics.first[..., None])[..., 0] + prior * offset
        root = torch.linalg.cholesky_ex(total)[0]
        centre = torch.cholesky_solve(pulled[..., None], root)
        noise = _normal(statistics.first, generator)[..., None]
        drawn = centre + torch.linalg.solve_triangular(root.mT, noise, upper=True)
        return statistics.reference + drawn[..., 0]

    def _draw_factor_given_means(
        self,
        family: CovarianceFamily,
        statistics: Statistics,
        means: Float[Tensor, "s k d"],
        generator: torch.Generator | None,
    ) -> Tensor:
        """Covariances given the means."""
        n = statistics.counts
        mean = statistics.first / n.clamp_min(TINY)[..., None]
        away = family.square(mean - (means - statistics.reference)) - family.square(mean)
        scale = self.scale + statistics.second + family.pooled(_times(n, away))
        counts = family.pooled(n)
        dof = self.dof + counts * family.squares_a_point(len(self.mean))
        return family.draw_factor(dof, scale, generator)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _times(number: Float[Tensor, "s k"], compact: Tensor) -> Tensor:
    """A number a component times a covariance in compact form."""
    return number.view(*number.shape, *(1,) * (compact.ndim - number.ndim)) * compact
