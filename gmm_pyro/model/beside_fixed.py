"""Draws from the conjugate conditionals of what is free, beside parameters that are fixed.

Where means are in units of the covariances, one that is held as a whole leaves the others as they
are: covariances are drawn with all free means integrated out, as `held_components.py` says. A mean
that is held in part, and means that do not depend on the covariances, are drawn in turn with these:

    means | covariances ~ Normal, given the entries that are held
    precisions | means  ~ Wishart

Source: Gelman et al. (2013), Bayesian Data Analysis, §3.5 and §3.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import Parameters, Statistics
from ..covariance.fixed import Fixed
from .draws import draw_noise
from .held_components import HeldComponents
from .mixing import Mixing
from .normal_wishart import Components, Conjugate, IndependentMeans, NormalWishart


def drawn_beside(
    fixed: Fixed,
    prior: Conjugate,
    statistics: Statistics,
    current: Parameters,
    generator: torch.Generator,
) -> Parameters:
    """Parameters drawn given s sets of hard assignments and what is fixed.

    Args:
        fixed: what is held.
        prior: the conjugate prior.
        statistics: of the assignments.
        current: parameters, of which the covariances are conditioned on.
        generator: source of randomness.
    """
    found = _components_drawn(fixed, prior.components, statistics, current, generator)
    log_weights = MixingBeside.beside(prior.mixing, fixed).draw(statistics.counts, generator)
    log_odds = draw_noise(prior.noise, statistics, generator)
    return fixed.imposed(Parameters(log_weights, found.means, found.factor, log_odds))


def _components_drawn(
    fixed: Fixed,
    prior: NormalWishart | IndependentMeans,
    statistics: Statistics,
    current: Parameters,
    generator: torch.Generator,
) -> Components:
    """Means and covariances, of which those that are held are held, or any."""
    if isinstance(prior, IndependentMeans):
        means = _means_given(fixed, prior, statistics, current.factor, generator)
        return Components(means, prior.draw_factor(statistics, means, generator))
    means, in_part = fixed.means.expand_as(statistics.first), ~fixed.whole_means
    if in_part.any():
        drawn = _means_given(fixed, prior, statistics, current.factor, generator)
        means = torch.where(in_part[:, None], drawn, means)
    held = HeldComponents(means, fixed.factor.expand_as(current.factor))
    return held.draw(prior.given(statistics), generator)


@dataclass(frozen=True, eq=False)
class MixingBeside(Mixing):
    """A Dirichlet distribution of weights of which some are held: the others share what is left.

    Attributes:
        held: NaN where a weight is free, shape (k,).
    """

    held: Float[Tensor, "k"]

    @classmethod
    def beside(cls, mixing: Mixing, fixed: Fixed | None) -> Mixing:
        """That of the weights that are free, where any are held."""
        if fixed is None or fixed.free_weights.all():
            return mixing
        return cls(mixing.concentration, fixed.weights)

    @cached_property
    def _free(self) -> Bool[Tensor, "k"]:
        return self.held.isnan()

    @cached_property
    def _log_left(self) -> Float[Tensor, ""]:
        return (1 - self.held.nansum()).log()

    @cached_property
    def _own(self) -> Mixing:
        """Of the shares that the free weights have of what is left."""
        return Mixing(self.concentration[self._free])

    def draw(
        self, counts: Float[Tensor, "s k"], generator: torch.Generator | None
    ) -> Float[Tensor, "s k"]:
        """Logarithms of all weights."""
        found = self.held.log().expand_as(counts).clone()
        if self._free.any():
            found[:, self._free] = self._log_left + self._own.draw(counts[:, self._free], generator)
        return found

    def log_probability(self, counts: Float[Tensor, "s k"]) -> Float[Tensor, "s"]:
        """Log probability of the points' components times the density of what is held, in nats."""
        free, alpha = self._free, self.concentration
        at_held = (counts + alpha - 1)[:, ~free] @ self.held[~free].log()
        found = at_held + alpha.sum().lgamma() - alpha[~free].lgamma().sum()
        if not free.any():
            return found
        total, own = alpha[free].sum(), counts[:, free]
        of_left = (own.sum(1) + total - 1) * self._log_left - total.lgamma()
        return found + of_left + self._own.log_probability(own)


def _means_given(
    fixed: Fixed,
    components: NormalWishart | IndependentMeans,
    statistics: Statistics,
    factor: Tensor,
    generator: torch.Generator,
) -> Float[Tensor, "s k d"]:
    """Means drawn given covariances and the entries that are held."""
    first, counts = statistics.first, statistics.counts
    d = first.shape[-1]
    tril = components.family.scale_tril(factor, d)
    precision = torch.cholesky_inverse(tril).expand(*first.shape, d)
    if isinstance(components, NormalWishart):
        prior = components.mean_strength.expand(counts.shape)[..., None, None] * precision
    else:
        prior = components.mean_scale.square().reciprocal().diag().expand_as(precision)
    total = counts[..., None, None] * precision + prior
    offset = (components.mean - statistics.reference).expand_as(first)
    pulled = precision @ first[..., None] + prior @ offset[..., None]
    centre = statistics.reference + torch.linalg.solve(total, pulled)[..., 0]
    noise = torch.randn(first.shape, generator=generator, dtype=first.dtype, device=first.device)
    found = torch.where(fixed.free_means, centre, fixed.means)
    for j, free in enumerate(fixed.free_means):
        if free.any():
            own = total[:, j, free]
            root = torch.linalg.cholesky(own[:, :, free])
            away = (fixed.means[j, ~free] - centre[:, j, ~free])[..., None]
            moved = torch.cholesky_solve(own[:, :, ~free] @ away, root)
            drawn = torch.linalg.solve_triangular(root.mT, noise[:, j, free, None], upper=True)
            found[:, j, free] = centre[:, j, free] + (drawn - moved)[..., 0]
    return found
