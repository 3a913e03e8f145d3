"""The evidence where more is unknown than the parameters, by what holds at any value of it.

With k components, a concentration α and a scale Ψ, by Bayes' rule

    p(x) = p(x | k, α, Ψ) p(k, α, Ψ) / p(k, α, Ψ | x)

at whatever values: at likely ones the last factor is the mean, over the draws, of what is known
given the points' components and the precisions,

    p(k, α, Ψ | x) = mean of p(k, α | partition) p(Ψ | precisions of the filled components)

and the first one is the evidence of a conjugate prior.

Source: Chib (1995); Frühwirth-Schnatter, Malsiner-Walli & Grün (2021) given a partition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Parameters
from ...covariance.records import times
from ...data.points import Observations
from ...data.words import counted
from ...model.hierarchical_sites import CONCENTRATION, SCALE
from ...model.hierarchy import Hierarchy
from ...model.program import MixtureModel
from ...posterior import Posterior
from ...posterior.convergence import FEWEST, ess_mean
from ...reduction.assignments import Drawn
from ..telescoping.sweep import Telescope
from .evidence import Evidence

NAME = "{} of {}, and the posterior of that"
MOST = 4096  # draws
AT_ONCE = 256  # draws in one pass over the data
GRID = (-14.0, 14.0, 201)  # of logarithms of concentrations, whose posteriors are wider than a step


@dataclass(frozen=True, eq=False)
class Place:
    """Values of what is unknown.

    Attributes:
        k: number of components.
        concentration: e or α.
        scale: Ψ in compact form, shape (*event).
    """

    k: int
    concentration: Float[Tensor, ""]
    scale: Float[Tensor, "*event"]

    def log_prior(self, hierarchy: Hierarchy) -> Float[Tensor, ""]:
        """Log prior density of the values."""
        found = hierarchy.concentration.log_prior(self.concentration)
        found = found + hierarchy.log_sizes[self.k - 1]
        if hierarchy.scale is None:
            return found
        return found + hierarchy.scale.log_density(self.scale)


@torch.no_grad()
def unknown_evidence(
    model: MixtureModel,
    posterior: Posterior,
    seed: int,
    evidence_of: Callable[[MixtureModel], Evidence | None],
) -> Evidence | None:
    """The evidence of a mixture of which the number or more is unknown; None if there is none.

    So it is where weights are of a stick, whose places have names, or chains are too short to have
    errors.

    Args:
        model: the model, whose prior is concrete.
        posterior: draws of its posterior.
        seed: of the partitions, which are drawn anew.
        evidence_of: the evidence of a model whose prior is conjugate.
    """
    hierarchy = model.hierarchy(posterior.observations.origin)
    thin = -(-posterior.n_chains * posterior.n_draws // MOST)
    if hierarchy is None or hierarchy.sticks or posterior.n_draws // thin < FEWEST:
        return None
    sets = {name: value[:, ::thin] for name, value in posterior.draws.items()}
    generator = torch.Generator(posterior.observations.device).manual_seed(seed)
    parts = Partitions.drawn(hierarchy, replace(posterior, draws=sets), generator)
    place = parts.likely(hierarchy, sets)
    given = evidence_of(at(model, hierarchy, place))
    if given is None or math.isnan(given.log_evidence):
        return given
    each = parts.log_posterior(hierarchy, place).view(posterior.n_chains, -1)
    log_posterior, error = mean_of(each)
    return Evidence(
        given.log_evidence + float(place.log_prior(hierarchy)) - log_posterior,
        math.hypot(given.log_evidence_se, error),
        given.evidence_k_hat,
        NAME.format(given.evidence_by, counted(place.k, "component")),
    )


def at(model: MixtureModel, hierarchy: Hierarchy, place: Place) -> MixtureModel:
    """The model with these values in place of what is unknown: its prior is conjugate."""
    each = hierarchy.concentration.of_each(place.concentration, place.k)
    return model.of_size(place.k, float(each), place.scale)


def mean_of(log_values: Float[Tensor, "chain draw"]) -> tuple[float, float]:
    """The logarithm of the mean of values of chains, and its standard error."""
    top = log_values.max()
    values = (log_values - top).exp()
    mean = float(values.mean())
    effective = float(ess_mean(values.cpu().numpy()[..., None])[0])
    error = float(values.std(correction=0)) / math.sqrt(effective) / mean
    return float(top) + math.log(mean), error


@dataclass(frozen=True, eq=False)
class Partitions:
    """How points part in s draws.

    Attributes:
        counts: points of each component, shape (s, k).
        precision: sums of the precisions of those that have some, shape (s, 1, *event); None where
            the scale is known.
        filled: how many precisions there are in each sum, shape (s,).
    """

    counts: Float[Tensor, "s k"]
    precision: Float[Tensor, "s 1 *event"]
    filled: Float[Tensor, "s"]

    @classmethod
    def drawn(
        cls, hierarchy: Hierarchy, posterior: Posterior, generator: torch.Generator
    ) -> Partitions:
        """Partitions given the parameters of draws."""
        p, family = posterior.parameters(), hierarchy.components.family
        counts = _counts(hierarchy, p, posterior.observations, generator)
        has = counts > 0
        count = (has.any(1, keepdim=True) if family.tied else has).to(counts)
        precision = times(count, family.precision(p.factor)).sum(1, keepdim=True)
        most = max(1, int(has.any(0).sum()))  # those that are left have no points in any draw
        return cls(counts.sort(1, descending=True).values[:, :most], precision, count.sum(1))

    def likely(self, hierarchy: Hierarchy, draws: dict[str, Tensor]) -> Place:
        """Values that are near the middle of the posterior, at its likeliest number."""
        found, kind = hierarchy.components, hierarchy.concentration
        alpha = self.counts.new_full(self.filled.shape, kind.typical)
        if kind.is_random:
            alpha = draws[CONCENTRATION].flatten().to(self.counts)
        probability = hierarchy.log_partitions(self.counts, alpha).softmax(1)
        k = 1 + int(probability.mean(0).argmax())
        share = probability[:, k - 1] / probability[:, k - 1].sum()
        scale = found.scale[0, 0]
        if hierarchy.scale is not None:
            scale = torch.tensordot(share, draws[SCALE].flatten(0, 1).to(share), 1)
        return Place(k, (share @ alpha.log()).exp(), scale)

    def log_posterior(self, hierarchy: Hierarchy, place: Place) -> Float[Tensor, "s"]:
        """Log density of values of what is unknown, given each partition and its precisions."""
        total = self._log_sizes(hierarchy, place.concentration)
        found = total[:, place.k - 1] - self._log_all(hierarchy, total)
        found = found + hierarchy.concentration.log_prior(place.concentration)
        if hierarchy.scale is None:
            return found
        given = hierarchy.scale.given(self.precision, self.filled, hierarchy.components.dof)
        return found + given.log_density(place.scale)

    def _log_all(self, hierarchy: Hierarchy, given: Float[Tensor, "s most"]) -> Float[Tensor, "s"]:
        """Log probability of each partition, whatever the number and the concentration are."""
        if not hierarchy.concentration.is_random:
            return given.logsumexp(1)
        grid = torch.linspace(*GRID, dtype=torch.float64, device=given.device)
        log_p = hierarchy.concentration.log_prior(grid.exp()) + grid + math.log(grid[1] - grid[0])
        found = torch.full_like(given[:, 0], -math.inf)
        for value, own in zip(grid.exp(), log_p, strict=True):
            found = torch.logaddexp(found, own + self._log_sizes(hierarchy, value).logsumexp(1))
        return found

    def _log_sizes(
        self, hierarchy: Hierarchy, concentration: Float[Tensor, ""]
    ) -> Float[Tensor, "s most"]:
        return hierarchy.log_partitions(self.counts, concentration.expand(len(self.counts)))


def _counts(
    hierarchy: Hierarchy, p: Parameters, data: Observations, generator: torch.Generator
) -> Float[Tensor, "s k"]:
    """How many points each component is given, in a draw of all components."""
    telescope, parts = Telescope.of(hierarchy, data), []
    for rows in torch.arange(len(p.means)).split(AT_ONCE):
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        parts.append(telescope.allocate(p[rows], Drawn(seed)).counts)
    return torch.cat(parts)
