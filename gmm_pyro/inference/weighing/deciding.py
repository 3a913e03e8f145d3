"""Which estimate of the evidence is taken: by bridge sampling, or by sequential Monte Carlo.

Bridge sampling is precise where its proposal is like the posterior. Where few of its draws count,
as with many components and a vague prior, particles that begin with the prior do better.
"""

from __future__ import annotations

import torch

from ...model.log_density import LogDensity
from ...model.normal_wishart import NormalWishart
from ...posterior import Posterior
from ...reduction.sums import reduce
from ...reduction.theta import anywhere
from .bridge import bridged
from .evidence import UNKNOWN, Evidence
from .proposal import Proposal
from .sequential import sequential

PRECISE = 0.05  # nats, an error up to which bridge sampling will do
TRUSTED = 0.7  # Pareto's k of its weights, up to which its error is what it says
ENOUGH = 400  # draws of chains, with fewer of which particles have nothing to agree with


def evidence_of(
    density: LogDensity,
    posterior: Posterior,
    proposal: Proposal | None,
    generator: torch.Generator,
) -> Evidence | None:
    """The evidence of the points; unknown if all estimates fail, None if there can be none.

    Particles must agree with the chains about where the posterior is.

    Args:
        density: of the posterior.
        posterior: draws of chains.
        proposal: one that does not depend on them, if there is any.
        generator: source of randomness.
    """
    exact = closed_form(density)
    if exact is not None:
        return exact
    draws, by_bridge = posterior.n_chains * posterior.n_draws, None
    if proposal is not None and draws > 1:
        by_bridge = bridged(proposal, posterior, generator)
    if draws < ENOUGH or _is_sound(by_bridge):
        return by_bridge
    return _better(by_bridge, _by_particles(density, posterior, generator))


def _is_sound(found: Evidence | None) -> bool:
    if found is None:
        return False
    return found.log_evidence_se <= PRECISE and found.evidence_k_hat < TRUSTED


def _by_particles(
    density: LogDensity, posterior: Posterior, generator: torch.Generator
) -> Evidence | None:
    """By those that agree with chains; None where there are none."""
    islands = sequential(density, generator)
    if islands is None:
        return None
    return islands.evidence if islands.agrees_with(posterior) else UNKNOWN


def _better(by_bridge: Evidence | None, by_particles: Evidence | None) -> Evidence | None:
    """The more precise one whose error is what it says, as far as there are any."""
    if by_bridge is None or by_particles is None:
        return by_bridge or by_particles
    if by_particles is UNKNOWN:
        return by_bridge
    trusted = by_bridge.evidence_k_hat < TRUSTED
    precise = by_bridge.log_evidence_se <= by_particles.log_evidence_se
    return by_bridge if trusted and precise else by_particles


@torch.no_grad()
def closed_form(density: LogDensity) -> Evidence | None:
    """The evidence under one component, whose mean and covariance integrate out; else None."""
    model, data = density.model, density.observations
    if model.n_components > 1 or model.fixed is not None:
        return None
    if data.measured is not None or data.log_noise is not None or data.sample_weight is not None:
        return None
    prior = model.conjugate(data.origin)
    if prior is None or not isinstance(prior.components, NormalWishart):
        return None
    statistics = reduce(data, anywhere(data, model.family, (1, 1)))
    log_evidence = float(prior.components.log_evidence(statistics))
    return Evidence(log_evidence, 0.0, float("nan"), "closed form")
