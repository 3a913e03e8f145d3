"""Numberings of the components: which of them a prior tells apart, and which it holds likeliest.

A likelihood does not depend on how components are numbered; a prior may, and so do labels that are
known of points. What is said of the prior here is said of it times the probability of such labels.
An order (s, k) says for every set of site values which of its components takes place j.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..data.points import Observations
from ..reduction.naming import log_probability_of_labels
from ..reduction.theta import theta_of
from .declaration import Declaration
from .log_density import LogDensity
from .orders import arrangements, different_exchanges, exchanges, n_numberings, rising
from .program_axes import along

Order = Int[Tensor, "s k"]

SEED = 0  # of the generic site values at which components are exchanged
WIDTHS = [3.0**i for i in range(4)]  # of them, unconstrained: the widest are at supports' edges
SETS = 6  # of them at each width
ROUNDING = 1e-12  # share of a log prior that is no difference
NUMBERS_AT_ONCE = 2**20  # in a batch of site values
MOST = 720  # numberings that are all tried: those of six components that all differ
MOST_EXPANDED = 60  # numberings of more components whose exchanges are looked at
NEGLIGIBLE = 15.0  # nats below the best numbering that are nothing


class KnowsAxes(Protocol):
    """What knows the sites of components, as a log density, and the family of a mixture's own."""

    def component_axis(self, name: str, /) -> int | None:
        """Which axis of a site's value counts components; None if they share the value."""
        ...


def permuted_values(
    known: KnowsAxes, values: Mapping[str, Tensor], order: Order
) -> dict[str, Tensor]:
    """Site values (s, …) with component order[s, j] of every set in place j."""
    return {name: along(value, order, known.component_axis(name)) for name, value in values.items()}


# ---------------------------------------------------------------------- classes


@torch.no_grad()
def exchangeable_classes(density: LogDensity) -> tuple[int, ...]:
    """The class of every component, from 0: the prior does not tell those of one class apart.

    Components are of one class where exchanging them leaves the log prior as it is, at a few sets
    of site values that have no symmetry of their own; and where they are possible for the same
    points, and what is fixed is the same. Where it is not known how to exchange them, each is a
    class.
    """
    k = density.model.n_components
    if not density.renumbers:
        return tuple(range(k))
    values = _generic_values(density)
    classes, labelled = [-1] * k, told_apart(density.model, density.observations)
    for first in range(k):
        if classes[first] >= 0:
            continue
        rest = [i for i in range(first + 1, k) if classes[i] < 0]
        others = [i for i in rest if labelled[i] == labelled[first]]
        number = max(classes) + 1
        for i in (first, *_alike(density, values, first, others)):
            classes[i] = number
    return tuple(classes)


def told_apart(model: Declaration, observations: Observations) -> tuple[int, ...]:
    """The class of every component, from 0: labels and what is fixed take one's for alike."""
    allowed, none = observations.allowed, (0,) * model.n_components
    pairs = list(zip(none if allowed is None else allowed.classes, movable(model), strict=True))
    return tuple(pairs.index(pair) for pair in pairs)


def movable(model: Declaration) -> tuple[int, ...]:
    """The class of every component, from 0: what is fixed allows those of one to change places."""
    return (0,) * model.n_components if model.fixed is None else model.fixed.classes


def log_movable(model: Declaration) -> float:
    """Logarithm of how many numberings what is fixed allows."""
    classes = movable(model)
    return sum(math.lgamma(classes.count(number) + 1) for number in set(classes))


def _alike(
    density: LogDensity, values: Mapping[str, Tensor], first: int, others: list[int]
) -> list[int]:
    """Those of the other components that can be exchanged with the first."""
    for sets in (slice(1), slice(1, None)):  # most that differ do so in the first set
        some = {name: value[sets] for name, value in values.items()}
        orders = exchanges(density.model.n_components, [(first, i) for i in others])
        here, there = _log_priors(density, some, orders)
        same = (there == here) | ((there - here).abs() <= _rounding(some, here))
        others = [i for i, alike in zip(others, same.all(0).tolist(), strict=True) if alike]
    return others


def _generic_values(density: LogDensity) -> dict[str, Tensor]:
    """Site values inside every support, around the data where they are unbounded."""
    observations, generator = density.observations, torch.Generator().manual_seed(SEED)
    shape = len(WIDTHS), SETS, density.dimension
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    vector = (noise * torch.tensor(WIDTHS).double()[:, None, None]).flatten(0, 1)
    vector = vector.to(observations.origin)
    for site in density.sites:
        if site.name == "means" and site.unbounded:
            z, entries = vector[:, site.entries], site.entries
            vector[:, entries] = site.each(observations.origin) + site.each(observations.scale) * z
    return density.constrain(vector)


def _log_priors(
    density: LogDensity, values: Mapping[str, Tensor], orders: Int[Tensor, "o k"]
) -> tuple[Float[Tensor, "s 1"], Float[Tensor, "s o"]]:
    """Log priors of s sets of site values as they are, and in each of some orders.

    What is outside a support, where a density may be any number or none, counts as -inf.
    """
    k = orders.shape[1]
    orders = torch.cat([torch.arange(k)[None], orders])
    s, o = len(values["weights"]), len(orders)
    count = sum(value[0].numel() for value in values.values())
    found = []
    for rows in torch.arange(s * o).split(max(1, NUMBERS_AT_ONCE // count)):
        sets = {name: value[rows // o] for name, value in values.items()}
        sets = permuted_values(density, sets, orders[rows % o])
        found.append(density.log_prior(sets))
    log_priors = torch.cat(found).nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    return log_priors.view(s, o)[:, :1], log_priors.view(s, o)[:, 1:]


def _log_weights(
    density: LogDensity, values: Mapping[str, Tensor], orders: Int[Tensor, "o k"]
) -> tuple[Float[Tensor, "s 1"], Float[Tensor, "s o"]]:
    """Log priors as `_log_priors`, plus the log probability of labels that are known of points."""
    here, there = _log_priors(density, values, orders)
    observations, fixed = density.observations, density.model.fixed
    if fixed is not None:
        there = there.masked_fill(~fixed.keeps(orders).to(there.device), -math.inf)
    if observations.allowed is None:
        return here, there
    stay = torch.arange(orders.shape[1])[None]
    found = log_of_labels(density, values, torch.cat([stay, orders.to(stay)]))
    return here + found[:, :1], there + found[:, 1:]


def log_of_labels(
    density: LogDensity, values: Mapping[str, Tensor], orders: Int[Tensor, "o k"]
) -> Float[Tensor, "s o"]:
    """Log probability in nats of labels that are known of points, in each of some orders."""
    observations = density.observations
    theta = theta_of(density.model.family, density.parameters(values), observations)
    return log_probability_of_labels(observations, theta, orders)


def _rounding(values: Mapping[str, Tensor], log_prior: Tensor) -> Tensor:
    """What log priors, sums over so many numbers, may differ by for rounding alone."""
    count = sum(value[0].numel() for value in values.values())
    return ROUNDING * (count + log_prior.abs().nan_to_num(posinf=0.0))


# ---------------------------------------------------------------------- the best


@torch.no_grad()
def best_numbering(density: LogDensity, values: Mapping[str, Tensor]) -> Order:
    """The order (s, k) of highest prior density of every set of site values; ties stay as they are.

    Up to 720 different numberings are all tried. Of more, the best is an assignment of components
    to places, if the prior is a product over places; exchanges of pairs go on from there.
    """
    classes = exchangeable_classes(density)
    k, s = len(classes), len(values["weights"])
    stay = torch.arange(k).expand(s, k)
    if max(classes) == 0 or not density.renumbers:
        return stay
    if n_numberings(classes) <= MOST:
        orders = torch.tensor(list(arrangements(classes)))
        here, there = _log_weights(density, values, orders)
        best = there.max(1, keepdim=True)
        gains = best.values > here + _rounding(values, here)
        return torch.where(gains.cpu(), orders[best.indices[:, 0].cpu()], stay)
    sets = ({name: value[[i]] for name, value in values.items()} for i in range(s))
    return torch.cat([_improved(density, one, classes) for one in sets])


@dataclass(frozen=True, eq=False)
class Numberings:
    """Numberings that a prior tells apart, each in place of all that it takes for the same.

    Attributes:
        orders: shape (o, k).
        log_count: logarithm of how many of all k! numberings each of them stands for.
    """

    orders: Int[Tensor, "o k"]
    log_count: float

    @classmethod
    def about(cls, density: LogDensity, values: Mapping[str, Tensor]) -> Numberings:
        """All that differ, up to 720; of more, those that count at one set of site values.

        Those are within e^-15 of the best, and are reached from it by exchanges of components
        through others like that.
        """
        classes = exchangeable_classes(density)
        if not density.renumbers:
            return cls(torch.arange(len(classes))[None], 0.0)
        log_count = sum(math.lgamma(classes.count(number) + 1) for number in set(classes))
        if n_numberings(classes) <= MOST:
            return cls(torch.tensor(list(arrangements(classes))), log_count)
        return cls(_expanded(density, values, classes), log_count)

    def log_prior(self, density: LogDensity, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """Logarithm of the prior density of s sets, summed over all k! numberings."""
        there = _log_weights(density, values, self.orders)[1]
        return self.log_count + there.logsumexp(1)

    def log_gain(self, density: LogDensity, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """By how much that is more than the prior density in the numbering at hand."""
        here, there = _log_weights(density, values, self.orders)
        return self.log_count + there.logsumexp(1) - here[:, 0]

    def log_shares(self, density: LogDensity, values: Mapping[str, Tensor]) -> Float[Tensor, "s o"]:
        """Logarithms of the shares in that sum of each order, with all that it stands for."""
        return _log_weights(density, values, self.orders)[1].log_softmax(1)


@torch.no_grad()
def _expanded(
    density: LogDensity, values: Mapping[str, Tensor], classes: Sequence[int]
) -> Int[Tensor, "o k"]:
    """The best order of one set, and those near it in density and in exchanges, best first."""
    best = tuple(best_numbering(density, values)[0].tolist())
    found = {best: float(_log_weights(density, values, torch.tensor([best]))[1])}
    least, moves = found[best] - NEGLIGIBLE, different_exchanges(classes)
    waiting = [best]
    for _ in range(MOST_EXPANDED):
        if not waiting or len(found) >= MOST:
            break
        order = torch.tensor(max(waiting, key=found.__getitem__))
        waiting.remove(tuple(order.tolist()))
        orders = torch.stack([rising(order[move], classes) for move in moves])
        there = _log_weights(density, values, orders)[1][0].tolist()
        for other, value in zip(map(tuple, orders.tolist()), there, strict=True):
            if value > least and other not in found:
                found[other] = value
                waiting.append(other)
    return torch.tensor(sorted(found, key=found.__getitem__, reverse=True)[:MOST])


def _improved(
    density: LogDensity, values: Mapping[str, Tensor], classes: Sequence[int]
) -> Int[Tensor, "1 k"]:
    """The best order of one set, from the better of the assignment's and the one at hand."""
    pairs, order = different_exchanges(classes), torch.arange(len(classes))
    moves = _assignment(density, values)[None]
    while True:  # each round is better than the one before by more than rounding
        ordered = permuted_values(density, values, order[None])
        here, there = _log_weights(density, ordered, moves)
        best = int(there[0].argmax())
        if there[0, best] > here + _rounding(values, here):
            order = order[moves[best]]
        elif moves is pairs:
            return rising(order, classes)[None]
        moves = pairs


def _assignment(density: LogDensity, values: Mapping[str, Tensor]) -> Int[Tensor, "k"]:
    """The best order of one set under a prior that is a product over places.

    Each component is put into each place among components that are at home in theirs.
    """
    k = density.model.n_components
    home = {name: value[:1] for name, value in _generic_values(density).items()}
    both = dict(values)
    for name, value in values.items():
        axis = density.component_axis(name)
        if axis is not None:
            both[name] = torch.cat([home[name], value], 1 + axis)
    orders = torch.arange(k).repeat(k, k, 1)  # (component, place, k)
    component, place = torch.arange(k)[:, None], torch.arange(k)
    orders[component, place, place] = k + component
    gain = _log_priors(density, both, orders.flatten(0, 1))[1].view(k, k).cpu().numpy()
    finite = gain[np.isfinite(gain)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    gain = np.where(np.isfinite(gain), gain, low - k * (1 + high - low))
    return torch.from_numpy(linear_sum_assignment(gain.T, maximize=True)[1])
