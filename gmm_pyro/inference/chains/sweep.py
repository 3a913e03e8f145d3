"""One sweep of Gibbs sampling: assignments given parameters, parameters given assignments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from ...covariance import Parameters, Statistics
from ...covariance.fixed import Fixed
from ...data.points import Observations
from ...model.beside_fixed import drawn_beside
from ...model.normal_wishart import Conjugate
from ...reduction.assignments import Assignment, Drawn
from ...reduction.background import NOISE
from ...reduction.naming import log_probability_of_labels
from ...reduction.sums import reduce
from ...reduction.theta import theta_of

SEEDS = 2**62  # as many seeds of sweeps


@dataclass(frozen=True, eq=False)
class Sampler:
    """The two conditional distributions of a sweep.

    Attributes:
        prior: the conjugate prior.
        allocate: statistics of an assignment of all points, given parameters of s chains.
        exchange: whether components are exchanged after a sweep.
        labelled: the data, where components are known of some points.
        fixed: what is held of the parameters, if anything is.
    """

    prior: Conjugate
    allocate: Callable[[Parameters, Assignment], Statistics]
    exchange: bool = True
    labelled: Observations | None = None
    fixed: Fixed | None = None

    @classmethod
    def of(cls, prior: Conjugate, observations: Observations, *, exchange: bool) -> Sampler:
        """The sampler whose chains all have the same data."""

        def allocate(parameters: Parameters, assign: Assignment) -> Statistics:
            theta = theta_of(prior.components.family, parameters, observations)
            return reduce(observations, theta, assign)

        labelled = None if observations.allowed is None else observations
        return cls(prior, allocate, exchange, labelled)

    def sweep(
        self,
        parameters: Parameters,
        generator: torch.Generator,
        labels: Int[Tensor, "s n"] | None = None,
    ) -> tuple[Parameters, Statistics]:
        """New parameters, and the statistics of the assignments that were drawn on the way.

        The statistics' `log_norm` is the log-likelihood of the old parameters.
        """
        statistics = self.assigned(parameters, generator, labels)
        return self.drawn(parameters, statistics, generator), statistics

    def assigned(
        self,
        parameters: Parameters,
        generator: torch.Generator,
        labels: Int[Tensor, "s n"] | None = None,
    ) -> Statistics:
        """The first half of a sweep: all points assigned, given parameters."""
        seed = int(torch.randint(SEEDS, (), generator=generator, device=generator.device))
        statistics = self.allocate(parameters, Drawn(seed, labels))
        if labels is not None and statistics.noise is not None:
            labels.masked_fill_(labels == parameters.means.shape[1], NOISE)
        return statistics

    def drawn(
        self, parameters: Parameters, statistics: Statistics, generator: torch.Generator
    ) -> Parameters:
        """The second half: new parameters, given the points' components and the old ones."""
        if self.fixed is not None:
            drawn = drawn_beside(self.fixed, self.prior, statistics, parameters, generator)
        else:
            drawn = self.prior.draw(statistics, parameters, generator)
        return self._exchanged(drawn, generator) if self.exchange else drawn

    def _exchanged(self, p: Parameters, generator: torch.Generator) -> Parameters:
        """The components exchanged at random, by the rule of Metropolis & Hastings.

        Only their weights, known labels and what is fixed can tell components apart; where they do
        not, all permutations are accepted. Else pairs are exchanged, since few permutations of many
        would be: k times, or once where it takes another pass over the points with labels.
        """
        s, k = p.log_weights.shape
        if self.labelled is not None or self.fixed is not None:
            order = self._pair_by_all(p, generator)
        elif self.prior.mixing.is_symmetric:
            order = torch.rand(s, k, generator=generator, device=generator.device).argsort(1)
        else:
            order = torch.arange(k, device=generator.device).expand(s, k)
            prior, weights = self.prior.mixing.prior, p.log_weights.exp()
            for _ in range(k):
                order = _exchanged_by_weights(prior, weights, order, generator)
        return self.prior.components.family.permuted(p, order)

    def _pair_by_all(self, p: Parameters, generator: torch.Generator) -> Int[Tensor, "s k"]:
        """The order after one pair that may change places did so in the sets that accept it."""
        s, k = p.log_weights.shape
        classes = (0,) * k if self.fixed is None else self.fixed.classes
        pairs = [(i, j) for i, j in combinations(range(k), 2) if classes[i] == classes[j]]
        orders = torch.arange(k, device=generator.device).repeat(2, 1)
        if not pairs:
            return orders[0].expand(s, k)
        i, j = pairs[
            int(torch.randint(len(pairs), (), generator=generator, device=generator.device))
        ]
        orders[1, i], orders[1, j] = j, i
        prior, weights = self.prior.mixing.prior, p.log_weights.exp()
        log_p = torch.stack([prior.log_prob(weights[:, order]) for order in orders], 1)
        if self.labelled is not None:
            theta = theta_of(self.prior.components.family, p, self.labelled)
            log_p = log_p + log_probability_of_labels(self.labelled, theta, orders)
        uniform = torch.rand(s, generator=generator, dtype=log_p.dtype, device=log_p.device)
        return orders[(uniform.log() < log_p[:, 1] - log_p[:, 0]).long()]


def _exchanged_by_weights(
    prior: Distribution,
    weights: Float[Tensor, "s k"],
    order: Int[Tensor, "s k"],
    generator: torch.Generator,
) -> Int[Tensor, "s k"]:
    """The order with two components of every set exchanged, where that is accepted."""
    s, k = order.shape
    pair = torch.rand(s, k, generator=generator, device=order.device).argsort(1)[:, :2]
    other = order.scatter(1, pair, order.gather(1, pair.flip(1)))
    now, then = prior.log_prob(torch.stack([weights.gather(1, o) for o in (order, other)]))
    uniform = torch.rand(s, generator=generator, dtype=now.dtype, device=now.device)
    return torch.where((uniform.log() < then - now)[:, None], other, order)
