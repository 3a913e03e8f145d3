"""Where chains set out from: what is about draws from the posterior, whichever modes it has.

Particles that start in many places are swept until they are in modes. Then, round by round, copies
of some are shuffled, which takes them to other modes; a proposal is made of the assignments that
all of them have visited; and the particles of the next round are draws from it, in proportion to
what they weigh. So modes have the shares of the posterior, not those of the starts, and the last
proposal is one that chains can jump by. While weights differ too much to be of use, they are
tempered: a power of them is taken.

It goes on until the evidence has not risen for as many rounds as it takes for particles to come
back from where they were shuffled to, one and a half times as many as were sent in one: on rugged
ground few do, and more are sent. Sweeps of those that go on lead to places that no proposal
foresees, where chains would be stuck: assignments from there join the next one.

Source: Cappé, Guillin, Marin & Robert (2004), "Population Monte Carlo"; Koblents & Míguez (2015),
for tempered weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Parameters, Statistics
from ...model.log_density import LogDensity
from ...model.numbering import exchangeable_classes
from ..weighing.evidence import power_with
from ..weighing.parts import Parts, parts_of
from ..weighing.proposal import MOST_NAMED, Proposal
from .persistence import PERSISTENT, correlation
from .shuffling import Shuffle
from .sweep import Sampler

FEW = 3_000  # points times components, up to which a population is as large as it gets
MANY = 60_000  # the same, from which there is none: modes differ by so much that one is all
OF_A_KIND = 50  # points, which rows with holes or noise of their own take as long as
MOMENTS = 2**20  # numbers in those of its assignments
PRODUCTS = 4e7  # in a round's sums over the numberings of assignments
SWEEPS = 30  # that particles take to come into a mode
SHORT, SETTLING = 5, 10  # sweeps of all that are shuffled, and then of the better half
PARTS = 32  # that are like a prior which is not conjugate
KEPT = 3  # assignments of each particle that are kept
STRAYING = 25  # sweeps of all, now and then: where few lead, chains would stay for long
LONG = 4000  # draws, of which fewer hardly show such places: so there are fewer of these sweeps
AFTERWARDS = 2  # sweeps of draws that go on
MOST_ROUNDS, MOST_TEMPERED = 20, 8  # of the latter one after the other
RETURNED = 1.5  # shares of particles that came back, as a sum over rounds with nothing new
EASY = 0.25  # share of shuffled particles that come back, above which an eighth of them will do
RISE = 0.3  # nats of the evidence, from which there is something new
USEFUL = 0.1  # share of draws that are effective, below which weights are tempered
BELOW = (0.05, 2.0)  # this quantile of all masses less so many nats is as good as any
ACCEPTED = 0.01  # share of jumps, of which fewer are of no use


@dataclass(frozen=True, eq=False)
class Population:
    """Some parameters, and the proposal whose assignments they visited.

    Attributes:
        parameters: s sets, about draws from the posterior.
        proposal: to jump by.
        acceptance: share of jumps that would be accepted.
        persistence: the largest correlation from a sweep to the next one, of some quantities that
            no numbering changes.
        weighed: whether draws from the proposal weigh so much alike that they are of use.
        settled: whether nothing new was found for long enough.
    """

    parameters: Parameters
    proposal: Proposal
    acceptance: float
    persistence: float
    weighed: bool
    settled: bool

    @property
    def is_like_the_posterior(self) -> bool:
        """Whether its proposal comes near enough to the posterior to jump by."""
        return self.acceptance >= ACCEPTED


@dataclass(frozen=True)
class Numbers:
    """How large a population is.

    Attributes:
        started: particles that set out.
        shuffled: particles that are taken elsewhere in a round, where few come back.
        kept: how many of either stay, those of the largest mass.
        drawn: draws from a proposal.
        resampled: how many of those go on.
        strays: how many stay of those that sweeps have led to.
    """

    started: int = 128
    shuffled: int = 512
    kept: int = 48
    drawn: int = 256
    resampled: int = 192
    strays: int = 16

    @classmethod
    def of(cls, density: LogDensity) -> Numbers | None:
        """As many as take no longer than chains do; None where these would be too few.

        So it is with very many points, of which modes differ by so much that one is the posterior,
        and with very many numberings.
        """
        observations, family = density.observations, density.model.family
        k, d = density.model.n_components, observations.d
        too_many = k > MOST_NAMED and max(exchangeable_classes(density)) > 0
        kinds = 0 if observations.measured is None else len(observations.measured.observed)
        points = observations.n + OF_A_KIND * kinds
        if k == 1 or too_many or points * k > MANY:
            return None
        features = 1 + d + math.prod(family.event_shape(d))
        sets = 2 * cls.resampled + KEPT * cls.kept
        sums = cls.drawn * sets * k * 2.0 ** (k - 1)
        share = min(1.0, MOMENTS / (sets * k * features), math.sqrt(PRODUCTS / sums))
        few = min(1.0, FEW / (points * k))
        particles = [max(16, round(few * n)) for n in (cls.started, cls.shuffled, cls.kept)]
        draws = [round(share * n) for n in (cls.drawn, cls.resampled)]
        return cls(*particles, *draws) if share >= 0.25 else None


@torch.no_grad()
def populated(growth: Growth, start: Parameters) -> Population:
    """The population that comes of some particles."""
    before = growth.resampled([growth.kept(start, SWEEPS, growth.numbers.kept)[0]])
    now, highest, returned, back, tempered = before, before.evidence, 0.0, 1.0, 0
    for _ in range(MOST_ROUNDS):
        found, back = growth.elsewhere(now, growth.numbers.shuffled // (8 if back > EASY else 1))
        last = returned + back >= RETURNED  # if it has nothing new
        strays = growth.strays(now) if last or back <= EASY else []
        before, now = now, growth.resampled([before.visited, now.visited, found, *strays])
        found_more, weighed = now.evidence > highest + RISE, now.power == 1.0
        returned = 0.0 if found_more else returned + back * weighed
        highest = max(highest, now.evidence)
        tempered = 0 if weighed else tempered + 1
        if returned >= RETURNED or tempered == MOST_TEMPERED:
            break
    after, persistence = growth.persistence(now.parameters)
    visited = [
        before.visited,
        now.visited,
        *growth.strays(now),
        growth.swept(growth.shuffle(after[::2], len(after.means) // 4), 1)[1],
    ]
    return Population(
        after,
        growth.proposal(Statistics.joined(visited)),
        now.acceptance,
        persistence,
        weighed=now.power == 1.0,
        settled=returned >= RETURNED,
    )


@dataclass(frozen=True, eq=False)
class Round:
    """What a round leaves.

    Attributes:
        parameters: those that go on, after some sweeps.
        visited: the assignments that the last of these was given.
        proposal: that they were drawn from.
        log_weights: of the draws that they are from, in nats.
        power: of the weights that they were chosen by.
    """

    parameters: Parameters
    visited: Statistics
    proposal: Proposal
    log_weights: Float[Tensor, "s"]
    power: float

    @property
    def evidence(self) -> float:
        """The evidence of what has been found, in nats."""
        return float(self.log_weights.logsumexp(0)) - math.log(len(self.log_weights))

    @property
    def acceptance(self) -> float:
        """Share of jumps from draws of the posterior to some of the proposal that are accepted."""
        ratio = self.log_weights - self.log_weights[:, None]
        accepted = ratio.nan_to_num(nan=-math.inf).exp().clamp_max(1.0).mean(1)
        return float(self.log_weights.softmax(0) @ accepted)


@dataclass(frozen=True, eq=False)
class Growth:
    """How a population comes about.

    Attributes:
        density: the log density.
        sampler: sweeps, without exchanges.
        numbers: how many go on.
        generator: source of randomness.
        n_draws: that chains are to make.
    """

    density: LogDensity
    sampler: Sampler
    numbers: Numbers
    generator: torch.Generator
    n_draws: int = LONG

    def proposal(self, statistics: Statistics) -> Proposal:
        """The one of these assignments."""
        return Proposal.of(self.density, self.sampler.prior, statistics, self._parts)

    @cached_property
    def shuffle(self) -> Shuffle:
        """What takes particles elsewhere."""
        return Shuffle(self.density, self.sampler, self.generator)

    @cached_property
    def _parts(self) -> Parts:
        return parts_of(self.density, 0, PARTS)

    def resampled(self, visited: list[Statistics]) -> Round:
        """Draws from the proposal of some assignments, as many of each as it weighs."""
        proposal = self.proposal(Statistics.joined(visited))
        drawn = proposal.draw(self.numbers.drawn, self.generator)
        log_weights = proposal.log_weight(drawn)
        power = power_with(log_weights, USEFUL * len(log_weights))
        tempered = (power * log_weights).nan_to_num(nan=-math.inf)
        shares = tempered.softmax(0).nan_to_num(nan=1.0)  # where nothing is possible, all are alike
        count, generator = self.numbers.resampled, self.generator
        chosen = torch.multinomial(shares, count, replacement=True, generator=generator)
        swept = self.swept(drawn[chosen], AFTERWARDS)
        return Round(*swept, proposal, log_weights, power)

    def elsewhere(self, now: Round, count: int) -> tuple[Statistics, float]:
        """Assignments of shuffled particles, and the share of those that are as good as before.

        They are those of the largest mass, and those that are foreseen least: a mode of little mass
        is among the latter.
        """
        size, device = len(now.parameters.means), self.generator.device
        chosen = torch.randint(size, (count,), generator=self.generator, device=device)
        away = self.shuffle(now.parameters[chosen], count // 16)
        away, visited = self.swept(away, SHORT)
        promising = self._log_mass(away, visited).topk(count // 2).indices
        found, mass, away = self.kept(away[promising], SETTLING, self.numbers.kept)
        found = Statistics.joined([found, self.swept(self._strangest(now, away), 1)[1]])
        quantile, nats = BELOW
        good = self._log_mass(now.parameters, now.visited).quantile(quantile) - nats
        return found, float((mass >= good).sum()) / count

    def persistence(self, p: Parameters) -> tuple[Parameters, float]:
        """Sets after a sweep, and the largest correlation of what they were with these."""
        after = self.swept(p, 1)[0]
        return after, correlation(self.density, p, after)

    def strays(self, now: Round) -> list[Statistics]:
        """Assignments that sweeps lead to, and that the proposal foresees least.

        Where sweeps lead anywhere soon, there is nothing to foresee.
        """
        p, persistence = self.persistence(now.parameters[::2])
        if persistence < PERSISTENT:
            return []
        seen = []
        sweeps = max(2, STRAYING * min(self.n_draws, LONG) // LONG)
        for _ in range(KEPT):
            p = self.swept(p, sweeps - 1)[0]
            seen.append(self.swept(self._strangest(now, p), 1)[1])
        return seen

    def _strangest(self, now: Round, p: Parameters) -> Parameters:
        """Those that the proposal foresees least."""
        log_weights = now.proposal.log_weight(p)
        return p[log_weights.topk(min(self.numbers.strays, len(log_weights))).indices]

    def kept(
        self, p: Parameters, sweeps: int, count: int
    ) -> tuple[Statistics, Float[Tensor, "s"], Parameters]:
        """Assignments of those of the largest mass after some sweeps; masses and sets of all."""
        seen = []
        for _ in range(KEPT):
            p, statistics = self.swept(p, max(1, sweeps // KEPT))
            seen.append((p, statistics))
        mass = torch.stack([self._log_mass(*pair) for pair in seen]).logsumexp(0) - math.log(KEPT)
        best = mass.topk(min(count, len(mass))).indices
        return Statistics.joined([statistics[best] for _, statistics in seen]), mass, p

    def swept(self, p: Parameters, sweeps: int) -> tuple[Parameters, Statistics]:
        """Sets of parameters after some sweeps, and the assignments that the last was given."""
        for _ in range(sweeps):
            p, statistics = self.sampler.sweep(p, self.generator)
        return p, statistics

    def _log_mass(self, p: Parameters, statistics: Statistics) -> Float[Tensor, "s"]:
        """How much of the posterior is about assignments, in nats: what draws given them weigh.

        A lone assignment says too little: where clusters overlap, very many are about as probable.
        """
        proposal = self.proposal(statistics)
        natural = self.density.model.family.natural(p, self.density.observations.origin)
        sums = zip(natural.leaves, proposal.assigned.statistics.sums, strict=True)
        given = torch.stack([(a * b).view(len(a), -1).sum(1) for a, b in sums]).sum(0)
        return proposal.log_likelihood(p) + proposal.assigned.log_joint - given
