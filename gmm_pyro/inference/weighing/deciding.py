"""Which estimate of the evidence is taken: by bridge sampling, or by sequential Monte Carlo.

Bridge sampling is precise where its proposal is like the posterior. Where few of its draws count,
as with many components and a vague prior, particles that begin with the prior do better. They take
longer than the fit, and so wait until the evidence is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...model.log_density import LogDensity
from ...model.normal_wishart import NormalWishart
from ...posterior import Posterior
from ...reduction.sums import reduce
from ...reduction.theta import anywhere
from .bridge import bridged
from .evidence import UNKNOWN, Evidence
from .proposal import Proposal
from .sequential import NAME as BY_PARTICLES
from .sequential import particles, sequential

PRECISE = 0.05  # nats, an error up to which bridge sampling will do
TRUSTED = 0.7  # Pareto's k of its weights, up to which its error is what it says
ENOUGH = 400  # draws of chains, with fewer of which particles have nothing to agree with
WAITING = f"{BY_PARTICLES}, once fit.evidence is asked for"
BRIDGE = "bridge_"  # before the names of figures of bridge sampling that are not the last word


def figures_of(
    density: LogDensity,
    posterior: Posterior,
    proposal: Proposal | None,
    generator: torch.Generator,
) -> dict[str, Any]:
    """What diagnostics say of the evidence of the points: nothing where there can be none.

    Where particles might know better than bridge sampling, they wait until they are asked for, and
    its figures have names of their own.

    Args:
        density: of the posterior.
        posterior: draws of chains.
        proposal: one that does not depend on them, if there is any.
        generator: source of randomness.
    """
    exact = closed_form(density)
    if exact is not None:
        return vars(exact)
    draws, by_bridge = posterior.n_chains * posterior.n_draws, None
    if proposal is not None and draws > 1:
        by_bridge = bridged(proposal, posterior, generator)
    known = {} if by_bridge is None else vars(by_bridge)
    if draws < ENOUGH or _is_sound(by_bridge) or not particles(density):
        return known
    return {"evidence_by": WAITING, **{f"{BRIDGE}{name}": value for name, value in known.items()}}


def _is_sound(found: Evidence | None) -> bool:
    if found is None:
        return False
    return found.log_evidence_se <= PRECISE and found.evidence_k_hat < TRUSTED


def by_particles(
    density: LogDensity,
    posterior: Posterior,
    figures: Mapping[str, Any],
    generator: torch.Generator,
) -> Evidence:
    """The evidence by particles that have waited, or by bridge sampling; unknown if both fail.

    Particles must agree with the chains about where the posterior is.

    Args:
        density: of the posterior.
        posterior: draws of chains.
        figures: what `figures_of` has said.
        generator: source of randomness.
    """
    islands, found = sequential(density, generator), UNKNOWN
    if islands is not None and islands.agrees_with(posterior):
        found = islands.evidence
    bridge = Evidence.among({name.removeprefix(BRIDGE): figures[name] for name in figures})
    return found if bridge is None else _better(bridge, found)


def _better(bridge: Evidence, weighed: Evidence) -> Evidence:
    """The more precise one whose error is what it says, as far as they are known."""
    if weighed is UNKNOWN:
        return bridge
    trusted = bridge.evidence_k_hat < TRUSTED
    precise = bridge.log_evidence_se <= weighed.log_evidence_se
    return bridge if trusted and precise else weighed


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
