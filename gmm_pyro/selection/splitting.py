"""The likeliest mixture of one more component, for many data sets at once.

Each data set has a mixture of k components, and many starts of k + 1: some points of one component
become a component of their own. They are the nearest ones to a point at random, by a distance of
random axes, so that they may be half of a component, a ball in its midst, or a strip across it.
Starts that are heading for less than others of their data set are given up in rounds, by which the
few that are left have hardly been dearer than a single climb.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..covariance import Parameters
from ..inference.soundness import Soundness
from ..reduction.assignments import Given
from ..reduction.theta import anywhere
from ..reduction.together import DataSets
from ..running.threads import map_in_threads
from .climbing import Ends, Rule, climbed, in_parts, sound

STARTS = 16  # of each data set
ROUNDS = ((2, 6), (8, 3))  # steps, and how many of a data set go on after them
MANY = 4  # from which it does not matter yet whether they are sound
NARROWEST = 0.05  # width of a strip along an axis, in units of that of its component
THINNEST = 1e-3  # share of a feature's variance that a start has
LEG = 50  # steps, after which a set that is behind another one of its data set stops
MARGIN = 0.5  # nats that it has to be behind, by where it is heading
LOWEST = torch.finfo(torch.float64).min


@dataclass(frozen=True, eq=False)
class Likeliest:
    """What has been found for s data sets.

    Attributes:
        log_likelihood: of the likeliest sound solution of each, in nats; -inf where there is none.
        parameters: its parameters.
        converged: whether it has converged.
    """

    log_likelihood: Float[Tensor, "s"]
    parameters: Parameters
    converged: Bool[Tensor, "s"]


def likeliest_with_one_more(
    samples: DataSets,
    nulls: Parameters,
    rule: Rule,
    soundness: Soundness,
    generator: torch.Generator,
) -> Likeliest:
    """The likeliest sound mixtures of k + 1 components that the starts come to.

    Args:
        samples: s data sets.
        nulls: mixtures of k components, one for each data set.
        rule: how sets climb.
        soundness: which solutions count.
        generator: of the random numbers.
    """
    s = len(samples)
    owner = torch.arange(s).repeat_interleave(STARTS)
    ends = Ends.begun(_starts(samples, nulls, owner, rule, generator))
    for steps, kept in ROUNDS:
        ends = climbed(samples, ends, rule, owner, steps)
        values = ends.heading
        if kept < MANY:
            is_sound = sound(samples, ends.parameters, rule.family, soundness, owner)
            values = torch.where(is_sound, values, LOWEST)
        stay = _best(values, s, kept)
        ends, owner = ends[stay], owner[stay]
    ends = climbed(samples, ends, rule, owner, LEG)
    is_sound = sound(samples, ends.parameters, rule.family, soundness, owner)
    ends = climbed(samples, _without_hopeless(ends, is_sound, s), rule, owner)
    is_sound = sound(samples, ends.parameters, rule.family, soundness, owner)
    values = torch.where(is_sound, ends.heading, -torch.inf)
    stay = _best(values, s, 1)
    return Likeliest(values[stay], ends.parameters[stay], ends.converged[stay])


def _without_hopeless(ends: Ends, is_sound: Bool[Tensor, "t"], s: int) -> Ends:
    """Sets that are heading for less than a sound one of their data set has reached go no further.

    They are not taken, unless the other comes to be unsound.
    """
    reached = torch.where(is_sound, ends.log_likelihood, LOWEST).view(s, -1)
    hopeless = ends.heading.view(s, -1) + MARGIN < reached.amax(1, keepdim=True)
    return replace(ends, converged=ends.converged | hopeless.flatten())


def _best(values: Float[Tensor, "t"], s: int, count: int) -> Int[Tensor, "u"]:
    """The places of so many of the largest values of each of s data sets, which have as many."""
    table = values.view(s, -1)
    places = table.topk(count, dim=1).indices.sort(1).values
    return (places + table.shape[1] * torch.arange(s)[:, None]).flatten()


# ---------------------------------------------------------------------- starts


def _starts(
    samples: DataSets,
    nulls: Parameters,
    owner: Int[Tensor, "s"],
    rule: Rule,
    generator: torch.Generator,
) -> Parameters:
    """Starts of each data set, in parts."""
    points, family = samples.points, rule.family
    floor = torch.maximum(rule.floor, THINNEST * points.bulk.square())
    parts = in_parts(samples, family, nulls[owner[:1]], torch.arange(len(owner)))
    seeds = torch.randint(2**62, (len(parts),), generator=generator).tolist()

    def start(part: tuple[Int[Tensor, "t"], int]) -> Parameters:
        sets, own = owner[part[0]], torch.Generator().manual_seed(part[1])
        share = _divided(samples[sets].x, nulls[sets], rule, own)
        theta = anywhere(points, family, (len(sets), share.shape[1]))
        return family.m_step(samples[sets].reduce(theta, Given(share)), floor)

    work = list(zip(parts, seeds, strict=True))
    if samples.takes_threads(family):
        return Parameters.joined([start(part) for part in work])
    return Parameters.joined(map_in_threads(lambda: start, work))


def _divided(
    x: Float[Tensor, "s n d"], nulls: Parameters, rule: Rule, generator: torch.Generator
) -> Float[Tensor, "s k1 n"]:
    """Responsibilities of which some points of a component have become another one's."""
    family, (s, n, d) = rule.family, x.shape
    whitened = family.whiten(nulls.factor, x[:, None] - nulls.means[:, :, None])
    logits = family.log_peak(nulls)[..., None] - 0.5 * whitened.square().sum(-1)
    share, everyone = logits.softmax(1), torch.arange(s)
    uniform = torch.rand(s, 2 + d, generator=generator, dtype=x.dtype)
    centre = (uniform[:, 0] * n).long().clamp_max(n - 1)
    z = whitened[everyone, logits[everyone, :, centre].argmax(1)]
    axes = torch.linalg.qr(torch.randn(s, d, d, generator=generator, dtype=x.dtype))[0]
    widths = NARROWEST ** uniform[:, None, 2:]
    distance = (((z - z[everyone, centre][:, None]) @ axes) / widths).square().sum(-1)
    least, most = 2 * d + 2, n / (2 * share.shape[1])
    count = (least * max(most / least, 1.0) ** uniform[:, 1]).long().clamp_max(n)
    in_order = torch.from_numpy(np.sort(distance.numpy(), axis=1))  # ten times as fast as torch's
    farthest = in_order[everyone, count - 1]
    new = (distance <= farthest[:, None])[:, None].to(x)
    return torch.cat([share * (1 - new), new], 1)
