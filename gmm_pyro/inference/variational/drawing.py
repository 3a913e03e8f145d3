"""Draws from q, as values of the model's sites, with their log densities."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance.sharing import NOISE_WEIGHT
from ...model.hierarchical_sites import CONCENTRATION, SCALE
from ...model.log_density import LogDensity
from ...posterior import Posterior
from ..chains.sampling import independent_draws
from .approximation import Factors, VariationalPrior
from .weights import log_beta


@torch.no_grad()
def draws_of(
    density: LogDensity,
    prior: VariationalPrior,
    q: Factors,
    count: int,
    generator: torch.Generator,
) -> Posterior:
    """Draws from the only set of q; their log densities are left out where they are no numbers.

    With log q - log p(sites) of the draws, which needs no measure, the log density of q in
    unconstrained numbers is that of the prior, plus it.
    """
    weights, components = prior.weights, prior.components
    number = weights.nodes.draw(q.weights.log_masses[0], count, generator)
    log_weights = weights.draw(q.weights, count, generator)
    log_ratio = weights.log_ratio(q.weights, log_weights, number)
    values = {"weights": log_weights.exp()}
    if weights.is_random:
        values[CONCENTRATION] = number
        log_ratio = log_ratio + _log_ratio_of_number(prior, q, number)
    if prior.scale is not None:
        assert q.scale is not None
        root = prior.scale.draw(q.scale, count, generator)
        log_ratio = log_ratio + prior.scale.log_ratio(q.scale, root)
        scale = components.family.precision(root)
        components = components.under(scale)
        values[SCALE] = scale[:, 0]
    drawn = components.draw(q.components, count, generator)
    precision = components.family.precision(drawn.factor)
    wishart = components.expected(q.components)
    of_precisions = wishart.log_ratio(components.prior.dof, components.prior.scale, drawn.factor)
    log_ratio = log_ratio + of_precisions.sum(1)
    log_ratio = log_ratio + components.log_ratio_of_means(q.components, drawn.means, precision)
    values |= {**components.family.precision_sites(drawn.factor), "means": drawn.means}
    if prior.noise is not None:
        assert q.noise is not None
        of_noise = torch._sample_dirichlet(q.noise.expand(count, -1).contiguous(), generator)
        change = ((q.noise - prior.noise) * of_noise.log()).sum(1)
        log_ratio = log_ratio + change - log_beta(q.noise) + log_beta(prior.noise)
        values[NOISE_WEIGHT] = of_noise[:, 0]
    values = {name: values[name] for name in density.prior}
    return independent_draws(density, values, _log_density(density, values, log_ratio))


def _log_ratio_of_number(
    prior: VariationalPrior, q: Factors, number: Float[Tensor, "count"]
) -> Float[Tensor, "count"]:
    """log q(concentration) - log p(concentration), between nodes by a straight line."""
    nodes = prior.weights.nodes
    at_nodes = (q.weights.log_masses - nodes.log_masses)[0]
    place, known = number.log(), nodes.values.log()
    right = torch.searchsorted(known, place).clamp(1, len(known) - 1)
    share = (place - known[right - 1]) / (known[right] - known[right - 1])
    return at_nodes[right - 1] + share * (at_nodes[right] - at_nodes[right - 1])


def _log_density(
    density: LogDensity, values: dict[str, Tensor], log_ratio: Float[Tensor, "count"]
) -> Float[Tensor, "count"] | None:
    """log q of the unconstrained vectors."""
    vector = density.unconstrain(values)
    found = density.log_prior(values) + density.log_jacobian(vector, values) + log_ratio
    return found if bool(found.isfinite().all()) else None
