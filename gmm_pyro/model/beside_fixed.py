"""Draws from the conjugate conditionals of what is free, beside parameters that are fixed.

Given a mean that is held, a covariance has another conditional distribution than where the mean is
integrated out, so means and covariances are drawn in turn:

    means | covariances ~ Normal, given the entries that are held
    precisions | means  ~ Wishart(ν + n (+ 1), (Ψ + Σ (x - μ)(x - μ)ᵀ (+ κ (μ - m)(μ - m)ᵀ))⁻¹)

with the terms in brackets where the prior of the means is in units of the covariances.

Source: Gelman et al. (2013), Bayesian Data Analysis, §3.5 and §3.6.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters, Statistics
from ..covariance.fixed import Fixed
from ..covariance.records import TINY, times
from .mixing import Mixing
from .normal_wishart import Conjugate, IndependentMeans, NormalWishart


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
    components, counts = prior.components, statistics.counts
    means = _means_given(fixed, components, statistics, current.factor, generator)
    family, shift = components.family, statistics.first / counts.clamp_min(TINY)[..., None]
    away = statistics.reference + shift - means
    squares = times(counts, family.square(away) - family.square(shift))
    held = counts
    if isinstance(components, NormalWishart):
        strength = components.mean_strength.expand(counts.shape)
        squares = squares + times(strength, family.square(means - components.mean))
        held = counts + 1
    scale = components.scale + statistics.second + family.pooled(squares)
    dof = components.dof + family.pooled(held) * family.squares_a_point(means.shape[-1])
    factor = family.draw_factor(dof, scale, generator)
    log_weights = _log_weights(fixed, prior.mixing, counts, generator)
    log_odds = prior.draw_noise(statistics, generator)
    return fixed.imposed(Parameters(log_weights, means, factor, log_odds))


def _log_weights(
    fixed: Fixed, mixing: Mixing, counts: Float[Tensor, "s k"], generator: torch.Generator
) -> Float[Tensor, "s k"]:
    """Logarithms of weights, of which the free ones share what the others leave."""
    free = fixed.free_weights
    found = counts.new_zeros(counts.shape)
    if free.any():
        own = replace(mixing, concentration=mixing.concentration[free])
        found[:, free] = own.draw(counts[:, free], generator)
    return found


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
