"""The posterior as a mixture: of the posteriors given assignments of the points.

Given the components of all points, a component has a posterior in closed form under a conjugate
prior, or a mixture of some. The average over assignments z that Gibbs sampling visits is close to
the posterior itself, also where that is far from any normal distribution: where a component may be
empty, or hold other points than at the mode. By Bayes' rule it is

    1/Z Σ_z p(θ | z, x) = p(θ) · 1/Z Σ_z p(x, z | θ) / p(x, z)

and log p(x, z | θ) is linear in the counts and moments of the components of z.

Source: Lee & Robert (2016), "dual importance sampling".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance import Parameters, Statistics
from ...model.conjugate import ConjugatePriors
from ...model.declaration import require_conjugate
from ...model.draws import draw_noise
from ...model.log_density import LogDensity
from ...model.mixing import Mixing
from ...model.normal_wishart import Conjugate
from ...model.orders import n_numberings
from ...model.priors import Priors
from ...reduction.sums import about
from ..chains.sweep import Sampler
from ..starts.starting import starting_parameters
from .parts import NUMBERS_AT_ONCE, Parts, parts_of

AT_ONCE = 8192  # permanents
NEGLIGIBLE = -700.0  # a term this far below the largest of its row and column counts as none,
MARGIN = 50.0  # nats, if the sum is further above
WARM_UP, KEPT, THIN = 15, 3, 5  # sweeps of a chain, what it keeps, and sweeps between those


@dataclass(frozen=True, eq=False)
class Assigned:
    """The average of the posteriors given z assignments, over all numberings of the components.

    Attributes:
        density: the log density of a model with a conjugate prior.
        prior: the distributions of its weights, and of the noise if there is any.
        parts: what the prior of each unit of components is instead.
        statistics: counts and moments of the assignments about the data's centre, as z sets.
        log_evidence: log p(points | assignment) in nats, under the parts.
        classes: of the components, of which only those of one class change places; None where all
            do.
    """

    density: LogDensity
    prior: Conjugate
    parts: Parts
    statistics: Statistics
    log_evidence: Float[Tensor, "z"]
    classes: tuple[int, ...] | None = None

    @classmethod
    def visited(
        cls, density: LogDensity, *, chains: int, seed: int, warm_up: int = WARM_UP
    ) -> Assigned:
        """Assignments that chains of Gibbs sampling visit, each from a start of its own.

        Args:
            density: the log density whose posterior they are to be like.
            chains: number of chains, each of which keeps three.
            seed: of all that is drawn.
            warm_up: sweeps before those that are kept.
        """
        twin, parts = twin_of(density), parts_of(density, seed)
        prior = require_conjugate(twin.model, "an assignment", density.observations.origin)
        return cls.of(twin, prior, parts, _visited(twin, prior, chains, seed, warm_up))

    @classmethod
    def of(
        cls,
        density: LogDensity,
        prior: Conjugate,
        parts: Parts,
        statistics: Statistics,
        classes: tuple[int, ...] | None = None,
    ) -> Assigned:
        """The average over assignments of which the statistics are known."""
        evidence = parts.log_evidence(_units(density, statistics)).logsumexp(1)
        evidence = evidence - math.log(len(parts))
        return cls(density, prior, parts, statistics, _per_set(density, evidence), classes)

    @property
    def mixing(self) -> Mixing:
        """The distribution of the weights."""
        return self.prior.mixing

    def draw(self, count: int, generator: torch.Generator) -> Parameters:
        """Parameters, each given one of the assignments, which take turns."""
        z, first = len(self.statistics.counts), torch.rand((), generator=generator)
        chosen = ((torch.arange(count) + float(first)) * (z / count)).long().clamp_max(z - 1)
        return self.draw_given(chosen, generator)

    def draw_given(self, chosen: Int[Tensor, "s"], generator: torch.Generator) -> Parameters:
        """Parameters, each given the assignment of a number."""
        family, k = self.density.model.family, self.density.model.n_components
        statistics = self.statistics[chosen]
        drawn = self.parts.draw_given(_units(self.density, statistics), generator)
        return Parameters(
            self.mixing.draw(statistics.counts, generator),
            self.density.observations.origin + drawn.means.reshape(len(chosen), k, -1),
            drawn.factor.reshape(len(chosen), family.n_covariances(k), *drawn.factor.shape[2:]),
            draw_noise(self.prior.noise, statistics, generator),
        )

    def log_density(self, p: Parameters) -> Float[Tensor, "s"]:
        """Of weights, means and precisions, averaged over all numberings of the components."""
        return self.density.log_prior(self.density.values(p)) + self.log_gain(p)

    def log_density_of(
        self, density: LogDensity, values: Mapping[str, Tensor]
    ) -> Float[Tensor, "s"]:
        """The same as one of the sites of a model, averaged over all numberings.

        It is over precisions, which the model may have scales and correlations in place of. Both
        are functions of the same unconstrained numbers, but for the logarithms of precisions that
        are numbers: those are -2 times the logarithms of scales.
        """
        model, observations = density.model, density.observations
        parameters = density.parameters(values)
        log_q = self.log_density(parameters)
        if "precisions" in values:
            return log_q
        plain = LogDensity(replace(model, priors=Priors().scaled_to(observations)), observations)
        twin = self.density.values(parameters)
        shape = model.family.event_shape(observations.d)
        doubled = math.prod(shape) * model.family.n_covariances(model.n_components)
        log_q = log_q + (0.0 if model.family.is_matrix else doubled * math.log(2))
        log_q = log_q + self.density.log_jacobian(self.density.unconstrain(twin), twin)
        return log_q - plain.log_jacobian(plain.unconstrain(values), dict(values))

    def log_gain(self, p: Parameters) -> Float[Tensor, "s"]:
        """The log density less that of the prior, which is what the points make of it."""
        named = self.named(p)
        prior = self._of_parts(p) - named.diagonal().sum(1)
        log_joint = self.log_joint.nan_to_num(nan=math.inf, neginf=math.inf)  # none, that is
        found = [
            (self._log_joint_given(p[rows], named[..., rows]) - log_joint).logsumexp(1)
            for rows in torch.arange(named.shape[2]).split(self._rows)
        ]
        return prior + torch.cat(found) - math.log(len(log_joint)) - self.log_numberings

    def named(self, p: Parameters) -> Float[Tensor, "k k s"]:
        """What the weights' log prior has of component i in place j, -inf if that is barred."""
        found = p.log_weights.T[:, None] * (self.mixing.concentration - 1)[..., None]
        if self.classes is None:
            return found
        of = torch.tensor(self.classes, device=found.device)
        return found.masked_fill((of[:, None] != of)[..., None], -math.inf)

    @property
    def log_numberings(self) -> float:
        """Logarithm of how many numberings are averaged over."""
        all_of_them = math.lgamma(len(self.mixing.concentration) + 1)
        return all_of_them - math.log(n_numberings(self.classes)) if self.classes else all_of_them

    @cached_property
    def log_joint(self) -> Float[Tensor, "z"]:
        """log p(x, z) of every assignment in nats, with all parameters integrated out.

        What is noise has the same density under all parameters, which is left out here as there.
        """
        return self.log_evidence + self.prior.log_probability(self.statistics)

    def _of_parts(self, p: Parameters) -> Float[Tensor, "s"] | float:
        """What the parts make of the density of the means and precisions under the one prior."""
        if len(self.parts) == 1:  # which is the prior itself
            return 0.0
        family, origin = self.density.model.family, self.density.observations.origin
        means, factor = family.by_covariance(p.means - origin), family.by_covariance(p.factor)
        units = Parameters(p.log_weights, means, factor)
        one = parts_of(self.density, 0)  # the conjugate prior itself
        found = self.parts.log_density(units) - one.log_density(units)
        return _per_set(self.density, found)

    @property
    def _rows(self) -> int:
        """Sets of parameters in a batch."""
        return max(
            1, NUMBERS_AT_ONCE // (self.statistics.counts.shape[1] * self.statistics.counts.numel())
        )

    @cached_property
    def _totals(self) -> tuple[Float[Tensor, "k f z"], Float[Tensor, "g z"] | None]:
        """The sums of all assignments, those of what components share apart."""
        held = self.statistics
        totals = [v.reshape(*v.shape[:2], -1) for v in (held.counts, held.first, held.second)]
        own = bool(self.density.model.family.n_own_features(self.density.observations.d))
        shared = None if own else totals.pop()[:, 0].T
        return torch.cat(totals, 2).permute(1, 2, 0).contiguous(), shared

    def _log_joint_given(
        self, p: Parameters, named: Float[Tensor, "k k s"]
    ) -> Float[Tensor, "s z"]:
        """log Σ_σ p(x, z | σθ) with what the prior of the weights makes of each numbering."""
        family = self.density.model.family
        natural = family.natural(p, self.density.observations.origin)
        own = natural.constant, natural.linear, natural.quadratic
        numbers = [value.reshape(*value.shape[:2], -1) for value in own]
        shared: Tensor | float = 0.0
        if natural.noise is not None and self.statistics.noise is not None:
            shared = natural.noise[:, None] * self.statistics.noise
        own_totals, shared_totals = self._totals
        if shared_totals is not None:
            shared = shared + numbers.pop()[:, 0] @ shared_totals
        joint = torch.cat(numbers, 2).transpose(0, 1)[:, None] @ own_totals
        return shared + log_permanent(joint.add_(named[..., None]))


def twin_of(density: LogDensity) -> LogDensity:
    """The log density under the conjugate prior, its own or a default one with its weights."""
    model, observations = density.model, density.observations
    priors = model.priors
    if isinstance(priors, ConjugatePriors):
        twin = replace(priors, mean_scale=None)
    else:
        mixing = Mixing.of(density.prior["weights"])
        alpha = 1.0 if mixing is None else mixing.concentration
        twin = ConjugatePriors(concentration=alpha).scaled_to(observations)
    return LogDensity(replace(model, priors=twin), observations)


def _visited(
    density: LogDensity, prior: Conjugate, chains: int, seed: int, warm_up: int
) -> Statistics:
    """Counts and moments, about the data's centre, of assignments that Gibbs sampling visits."""
    observations, family = density.observations, density.model.family
    generator = torch.Generator(observations.device).manual_seed(seed)
    sampler = Sampler.of(prior, observations, exchange=False)
    p = starting_parameters(
        "random",
        observations,
        family,
        density.model.n_components,
        n_starts=chains,
        floor=1e-6 * observations.scale.square(),
        generator=generator,
    )
    kept = []
    for sweep in range(warm_up + KEPT * THIN):
        p, statistics = sampler.sweep(p, generator)
        if sweep >= warm_up and sweep % THIN == 0:
            kept.append(about(family, statistics, observations.origin))
    return Statistics.joined(kept)


def _units(density: LogDensity, statistics: Statistics) -> Statistics:
    """The statistics of each unit of components that has a covariance, from the data's centre."""
    sums = statistics.counts, statistics.first, statistics.second
    counts, first, second = map(density.model.family.by_covariance, sums)
    centre = torch.zeros_like(statistics.reference)
    return Statistics(counts.new_zeros(len(counts)), counts, first, second, centre)


def _per_set(density: LogDensity, units: Float[Tensor, "u"]) -> Float[Tensor, "s"]:
    """Sums over the units of every set."""
    return units.view(-1, density.model.family.n_covariances(density.model.n_components)).sum(1)


def log_permanent(log_matrix: Float[Tensor, "k k *b"]) -> Float[Tensor, "*b"]:
    """log Σ_σ Π_i exp(matrix[i, σ(i)]) over all permutations: k 2^(k-1) products instead of k!.

    The sums of the first i rows over every set of i columns give those of i + 1; all terms are
    positive, so nothing cancels. Where they may be too small for a float, they are logarithms.
    """
    matrices = log_matrix.flatten(2)
    found = torch.cat([_log_permanent(some) for some in matrices.split(AT_ONCE, 2)])
    lost = found.isnan()
    if lost.any():
        found[lost] = _expanded(matrices[..., lost], torch.add, _log_add_product)
    return found.view(log_matrix.shape[2:])


def _log_permanent(log_matrix: Float[Tensor, "k k b"]) -> Float[Tensor, "b"]:
    """The same, but NaN where products that were lost may count."""
    best = log_matrix.amax(0)  # columns differ in size: they hold different points
    matrix = log_matrix - best
    top = matrix.amax(1, keepdim=True)
    matrix.sub_(top).clamp_(min=NEGLIGIBLE - 1).exp_()  # underflow takes five times as long
    torch.threshold_(matrix, math.exp(NEGLIGIBLE), 0.0)
    total = _expanded(matrix, torch.mul, Tensor.addcmul_).log()
    found = total + best.sum(0) + top.sum((0, 1))
    return found.where(total > NEGLIGIBLE + MARGIN, math.nan)


def _expanded(
    matrix: Float[Tensor, "k k b"],
    product: Callable[[Tensor, Tensor], Tensor],
    add_product: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Float[Tensor, "b"]:
    """The permanent, by the sums of the first rows over every set of so many columns."""
    first, *rows = (row.unbind() for row in matrix)
    sums = {1 << column: value for column, value in enumerate(first)}  # a set of columns is bits
    for row in rows:
        larger: dict[int, Tensor] = {}
        for columns, total in sums.items():
            for column, value in enumerate(row):
                one_more = columns | 1 << column
                if one_more in larger and one_more != columns:
                    larger[one_more] = add_product(larger[one_more], total, value)
                elif one_more != columns:
                    larger[one_more] = product(total, value)
        sums = larger
    (total,) = sums.values()
    return total


def _log_add_product(log_sum: Tensor, log_total: Tensor, log_value: Tensor) -> Tensor:
    return torch.logaddexp(log_sum, log_total + log_value)
