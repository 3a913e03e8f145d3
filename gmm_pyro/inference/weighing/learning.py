"""Particles that learn the points of a data set, a few at a time, beginning with the prior.

Where all of a point is too much for them, they learn it by powers β of its density under each
component. The posterior

    p(θ) Π_seen Σ_k w_k N_k(x) · Σ_k w_k N_k(x_new)^β

has the same conditional distributions as any other, with the new point's square counted β times in
what the component's mean and covariance are drawn from. Up to a factor, N(μ, Σ)^β is N(μ, Σ / β).

Source: Chopin (2002), "A sequential particle filter method for static models".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import CovarianceFamily, Parameters, Statistics
from ...covariance.records import LOG_2PI
from ...data.points import Observations
from ...model.normal_wishart import Conjugate
from ...reduction.assignments import Drawn
from ...reduction.pointwise import log_density
from ...reduction.sums import about, reduce
from ...reduction.theta import anywhere, theta_of
from ..chains.sweep import SEEDS, Sampler
from .evidence import effective

EFFECTIVE = 0.5  # share of the particles that a step leaves
FASTER = 4  # times as many points as the last step took may be the next one's
SMALLEST = 2.0**-30  # power that a step takes of a point


@dataclass(frozen=True)
class Learnt:
    """How much of the data has been learnt.

    Attributes:
        points: the first so many.
        power: of the next one.
    """

    points: int = 0
    power: float = 0.0


@dataclass(frozen=True, eq=False)
class Learner:
    """What particles know, and how they go on.

    Attributes:
        prior: of the parameters.
        data: the points, in the order in which they are learnt.
        generator: source of randomness.
    """

    prior: Conjugate
    data: Observations
    generator: torch.Generator

    @property
    def family(self) -> CovarianceFamily:
        """Covariance family."""
        return self.prior.components.family

    @property
    def parts_points(self) -> bool:
        """Whether powers of a component's density are one: not where points are incomplete."""
        return self.data.measured is None and self.data.log_noise is None

    def started(self, count: int) -> Parameters:
        """Draws from the prior."""
        k = len(self.prior.mixing.concentration)
        any_of_them = anywhere(self.data, self.family, (count, k)).parameters
        return self.prior.draw(self._nothing(any_of_them), any_of_them, self.generator)

    def step(self, p: Parameters, learnt: Learnt, last: int) -> tuple[Learnt, Float[Tensor, "s"]]:
        """As much more as leaves enough particles effective, and their log weights.

        Args:
            p: particles that are draws given what has been learnt.
            learnt: what that is.
            last: how many points the last step took.
        """
        if not learnt.power:
            new = self.data.subset(slice(learnt.points, learnt.points + FASTER * max(1, last)))
            gains = log_density(new, theta_of(self.family, p, self.data), p.means.dtype).cumsum(1)
            enough = [i for i, gain in enumerate(gains.T) if self._leaves_enough(gain)]
            if enough or not self.parts_points:
                taken = max(enough, default=0)
                return Learnt(learnt.points + taken + 1), gains[:, taken]
        return self._part(p, learnt)

    def _part(self, p: Parameters, learnt: Learnt) -> tuple[Learnt, Float[Tensor, "s"]]:
        """The next point, or a power of it."""
        before = self._log_power(p, learnt) if learnt.power else 0.0
        power, rest = 1.0, 1.0 - learnt.power
        while True:
            after = replace(learnt, power=power)
            gain = self._log_power(p, after) - before
            if rest <= SMALLEST or self._leaves_enough(gain):
                return after if power < 1.0 else Learnt(learnt.points + 1), gain
            rest = 0.5 * rest
            power = learnt.power + rest

    def _leaves_enough(self, log_weights: Float[Tensor, "s"]) -> bool:
        return effective(log_weights) >= EFFECTIVE * len(log_weights)

    def moved(self, p: Parameters, learnt: Learnt) -> tuple[Parameters, Float[Tensor, "s"]]:
        """Particles after a sweep, and the log-likelihood of the points learnt before it."""
        seen = self._nothing(p)
        if learnt.points:
            some = self.data.subset(slice(learnt.points))
            seen = Sampler.of(self.prior, some, exchange=False).assigned(p, self.generator)
        if not learnt.power:
            return self.prior.draw(seen, p, self.generator), seen.log_norm
        seen = about(self.family, seen, self.data.origin)
        new = about(self.family, self._of_power(p, learnt, assigned=True), self.data.origin)
        log_weights = self.prior.mixing.draw(seen.counts + new.counts, self.generator)
        first, second = (
            value + learnt.power * of_new
            for value, of_new in ((seen.first, new.first), (seen.second, new.second))
        )
        counts = seen.counts + learnt.power * new.counts
        both = replace(seen, counts=counts, first=first, second=second)
        drawn = self.prior.components.draw_given(both, p, self.generator)
        return Parameters(log_weights, drawn.means, drawn.factor), seen.log_norm

    def _log_power(self, p: Parameters, learnt: Learnt) -> Float[Tensor, "s"]:
        return self._of_power(p, learnt).log_norm

    def _of_power(self, p: Parameters, learnt: Learnt, *, assigned: bool = False) -> Statistics:
        """Statistics of the next point, with a power of each component's density."""
        point = self.data.subset(slice(learnt.points, learnt.points + 1))
        theta = theta_of(self.family, to_power(self.family, p, learnt.power), self.data)
        if not assigned:
            return reduce(point, theta)
        device = self.generator.device
        seed = int(torch.randint(SEEDS, (), generator=self.generator, device=device))
        return reduce(point, theta, Drawn(seed))

    def _nothing(self, p: Parameters) -> Statistics:
        """The statistics of no points."""
        counts, first, second = map(torch.zeros_like, (p.log_weights, p.means, p.factor))
        none = counts.new_zeros(len(counts))
        noise = None if self.data.log_noise is None else none
        return Statistics(none, counts, first, second, self.data.origin, noise)


def to_power(family: CovarianceFamily, p: Parameters, power: float) -> Parameters:
    """Parameters whose densities are powers of the components', with weights that make up for it.

    Args:
        family: one whose factors are proportional to standard deviations.
        p: the parameters.
        power: above zero.
    """
    d = p.means.shape[-1]
    half_log_det = family.log_determinant(p.factor, d)
    rest = (1.0 - power) * (0.5 * d * LOG_2PI + half_log_det) - 0.5 * d * math.log(power)
    return replace(p, log_weights=p.log_weights + rest, factor=p.factor / math.sqrt(power))
