"""What comes out of this room: points that predictions take, and observations to be fitted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NoReturn, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..running.counting import random_seed, shuffled
from .allowed import Allowed
from .measured import Measured
from .spread import ROWS, chunks, middle_range, reach
from .weighting import total_of
from .words import counted

SAMPLE = 2_000  # points that the range of the middle of the data is taken from, at least
WIDEST = 10.0  # interquartile ranges that a standard deviation may have, or outliers have set it


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows of points.

    Attributes:
        first: number of the first row among all.
        x: the points, shape (m, d).
        weight: their sample weights, shape (m,), or None.
    """

    first: int
    x: Float[Tensor, "m d"]
    weight: Float[Tensor, "m"] | None


@dataclass(frozen=True, eq=False, repr=False)
class Points:
    """n points in d dimensions, checked: what predictions need to know.

    Attributes:
        x: the points as the user gave them, shape (n, d): NaN where a value is missing; of
            projected ones, estimates.
        feature_names: d column names.
        origin: what their features are formed about in float64, shape (d,); best in their midst.
        measured: what is known of points that are not known as they are, or None.
        allowed: which components they may come from, or None where nothing is known of that.
        log_noise: log density of a component of noise at each, in nats, or None without one.
        compiled: whether reductions are compiled, where they can be.
        first: number of the first point among all, of which these are a part: draws go by it.
    """

    x: Float[Tensor, "n d"]
    feature_names: tuple[str, ...]
    origin: Float[Tensor, "d"]
    measured: Measured | None = field(default=None, kw_only=True)
    allowed: Allowed | None = field(default=None, kw_only=True)
    log_noise: Float[Tensor, "n"] | None = field(default=None, kw_only=True)
    compiled: bool = field(default=False, kw_only=True)
    first: int = field(default=0, kw_only=True)

    def __repr__(self) -> str:
        return f"<{counted(self.n, 'point')} of {counted(self.d, 'feature')}>"

    @cached_property
    def n(self) -> int:
        """Number of points."""
        return self.x.shape[0]

    @cached_property
    def d(self) -> int:
        """Number of features."""
        return self.x.shape[1]

    @cached_property
    def dtype(self) -> torch.dtype:
        """Type of number of the points."""
        return self.x.dtype

    @cached_property
    def device(self) -> torch.device:
        """Where the points are."""
        return self.x.device

    def blocks(self, rows: int, most: int | None = None) -> list[Block]:
        """All points in consecutive blocks of so many rows, or a multiple for no more than `most`.

        Beside `subset`, this is all that a reduction asks of points.
        """
        count = math.ceil(self.n / rows)
        size = rows * (1 if most is None else math.ceil(count / most))
        if 0 < self.n <= size:
            return [Block(self.first, self.x, self.weight_of(slice(self.n)))]
        return [
            Block(self.first + some.start, self.x[some], self.weight_of(some))
            for some in chunks(self.n, size)
        ]

    def weight_of(self, rows: Int[Tensor, "m"] | slice) -> Float[Tensor, "m"] | None:
        """Sample weights of some rows, where there are any."""
        del rows
        return None

    @property
    def has_holes(self) -> bool:
        """Whether values are missing."""
        return self.measured is not None and not bool(self.measured.observed.all())

    @property
    def measurements(self) -> Float[Tensor, "n m"]:
        """What was measured: the points, unless they are projected."""
        return self.x if self.measured is None else self.measured.values

    @property
    def filled(self) -> Float[Tensor, "n d"]:
        """The points, with the origin in place of what is missing: where a guess is enough."""
        if self.measured is None:
            return self.x
        return torch.where(self.x.isnan(), self.origin.to(self.x), self.x)

    def subset(self, index: Int[Tensor, "m"] | slice) -> Points:
        """The points at `index`, with the origin of all."""
        return replace(self, x=self.x[index], **self._known_at(index))

    def _known_at(self, index: Int[Tensor, "m"] | slice) -> dict[str, Any]:
        """What is known of some rows beside their values."""
        log_noise = None if self.log_noise is None else self.log_noise[index]
        known = {"measured": self.measured, "allowed": self.allowed}
        parts = {name: value and value.subset(index) for name, value in known.items()}
        return {**parts, "log_noise": log_noise}

    def about(self, origin: Float[Tensor, "d"]) -> Points:
        """The points alone, with another origin."""
        known = {
            name: getattr(self, name) for name in ("measured", "allowed", "log_noise", "compiled")
        }
        return Points(self.x, self.feature_names, origin, **known)

    def labelled(self, labels: Any, n_components: int) -> Self:
        """The points, of some of which it is known which components they may come from.

        Args:
            labels: as `gmm_pyro.fit` has them.
            n_components: the number of components.
        """
        allowed = Allowed.of(labels, self.n, n_components, self.device)
        return replace(self, allowed=allowed)

    def beside_noise(self, noise: Callable[[Points], Tensor] | None) -> Self:
        """The points, which know their log density under a component of noise, or know of none.

        Args:
            noise: log density of points, shape (n,) in nats.
        """
        if noise is None:
            return self if self.log_noise is None else replace(self, log_noise=None)
        return replace(self, log_noise=noise(self))

    @property
    def unlabelled(self) -> Self:
        """The points, as if nothing were known of their components."""
        return self if self.allowed is None else replace(self, allowed=None)


@dataclass(frozen=True, eq=False, repr=False)
class Observations(Points):
    """Points to be fitted, with what every method needs to know about them.

    Their origin is the weighted column means, as exact as the type of x can hold them.

    Attributes:
        scale: weighted standard deviations of the columns, shape (d,), all positive.
        sample_weight: non-negative weights, shape (n,), or None where all are one.
        cache: sums over the data that do not change during a fit, by name.
    """

    scale: Float[Tensor, "d"]
    sample_weight: Float[Tensor, "n"] | None
    cache: dict[str, Tensor] = field(default_factory=dict)

    @cached_property
    def total_weight(self) -> float:
        """Sum of the sample weights: n where there are none."""
        return total_of(self.sample_weight, self.n)

    @property
    def weights(self) -> Float[Tensor, "n"]:
        """Sample weights in float64: ones where there are none."""
        if self.sample_weight is None:
            return self.origin.new_ones(self.n)
        return self.sample_weight.to(self.origin)

    @property
    def n_weighted(self) -> int:
        """Number of points whose weight is not zero."""
        return self.n if self.sample_weight is None else int((self.sample_weight > 0).sum())

    def weighted_rows(self, places: Int[Tensor, "m"]) -> Int[Tensor, "m"]:
        """Numbers of rows, by their places among those of positive weight."""
        if self.sample_weight is None:
            return places
        return self.sample_weight.cpu().nonzero()[:, 0][places]

    @property
    def ends(self) -> Float[Tensor, "2 d"]:
        """The lowest and highest values of the points of positive weight, as `reach` has them."""
        weight = self.sample_weight
        return torch.stack(reach(self.x if weight is None else self.x[weight > 0]))

    @cached_property
    def reached_by_noise(self) -> bool:
        """Whether a component of noise has a density at any point, or there is none."""
        return self.log_noise is None or not bool(self.log_noise.isneginf().all())

    @cached_property
    def bulk(self) -> Float[Tensor, "d"]:
        """The scale, or ten interquartile ranges where these are less: far outliers do not set it.

        Where the quartiles are equal, the range between 10 and 90 %, 5 and 95 %, or 2 and 98 %
        stands in for theirs. All are weighted. Of very many points they are those of a random part.
        """
        sample = self._some
        return torch.minimum(self.scale, WIDEST * middle_range(sample.x, sample.sample_weight))

    @cached_property
    def rounding(self) -> Float[Tensor, "d"]:
        """The smallest step between two values of a column: what its numbers are multiples of.

        Next to nothing, if they are not rounded; of very many points, that of a random part.
        """
        gaps = self._some.x.double().sort(0).values.diff(dim=0)  # missing values come last, as NaN
        smallest = torch.where(gaps > 0, gaps, torch.inf).amin(0)
        return torch.where(smallest.isinf(), 0.0, smallest)

    @cached_property
    def _some(self) -> Observations:
        """A random part of very many points, else all."""
        return self.part(max(SAMPLE, ROWS // self.d), torch.Generator().manual_seed(0))

    def weight_of(self, rows: Int[Tensor, "m"] | slice) -> Float[Tensor, "m"] | None:
        """See `Points`."""
        return None if self.sample_weight is None else self.sample_weight[rows]

    def subset(self, index: Int[Tensor, "m"] | slice) -> Observations:
        """The points at `index`, with the whole data's origin and scale."""
        weight = self.weight_of(index)
        known = self._known_at(index)
        return replace(self, x=self.x[index], sample_weight=weight, cache={}, **known)

    def part(self, most: int, generator: torch.Generator) -> Observations:
        """The observations, or a random part of so many where they are more.

        Which rows these are, their numbers decide. Where components are known of some, these are up
        to half of it, and weigh so much less.
        """
        if self.n <= most:
            return self
        seed = random_seed(generator)
        if self.allowed is None:
            return self.subset(shuffled(self.n, most, seed).sort().values.to(self.device))
        counts = self.allowed.n_known, self.n - self.allowed.n_known
        held = min(counts[0], max(most // 2, most - counts[1]))
        kinds = self.in_order(most, seed)
        parts = kinds[0][:held], kinds[1][: most - held]
        chosen, place = torch.cat(parts).sort()
        some = self.subset(chosen.to(self.device))
        shares = [
            some.weights.new_full((len(part),), count / max(1, len(part)) * most / self.n)
            for count, part in zip(counts, parts, strict=True)
        ]
        weight = some.weights * torch.cat(shares)[place.to(some.device)]
        return replace(some, sample_weight=weight.to(some.x))

    def in_order(self, most: int, seed: int) -> tuple[Int[Tensor, "m"], Int[Tensor, "l"]]:
        """So many rows of which something is known, and others, in the order of `shuffled`."""
        assert self.allowed is not None
        order = shuffled(self.n, self.n, seed)
        known = self.allowed.known.cpu()[order]
        return order[known][:most], order[~known][:most]

    def drawn(self, size: int, generator: torch.Generator) -> Observations:
        """So many random points, of which any may be there more than once: a minibatch."""
        rows = torch.randint(self.n, (size,), generator=generator, device=self.device)
        return self.subset(rows)

    def shared_out(self, size: int, generator: torch.Generator) -> list[Callable[[], Observations]]:
        """All points in random parts of at most so many: each is made when it is called for."""
        seed = random_seed(generator)
        parts = shuffled(self.n, self.n, seed).split(size)
        return [partial(self.subset, part.sort().values.to(self.device)) for part in parts]

    def compiling(self, compiled: bool) -> Observations:  # noqa: FBT001 - it is what is asked
        """The observations, which know whether their reductions are to be compiled."""
        return self if self.compiled == compiled else replace(self, compiled=compiled)

    def standardised(self, unit: Float[Tensor, "d"]) -> Float[np.ndarray, "n d"]:
        """(x - origin) / unit as a NumPy array: unit-free input for a clustering library."""
        z = (self.filled - self.origin.to(self.x)) / unit.to(self.x)
        return np.asarray(z.cpu().numpy())


class LeftOut(Observations):
    """What is known of data that are not there: how many, where, how wide, their names.

    Args:
        shape: numbers of points and of features.
        like: a tensor of their type, where they were.
        feature_names: d column names.
        origin: the weighted column means, shape (d,).
        scale: standard deviations of the columns, shape (d,).
        total_weight: sum of the sample weights.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        like: Tensor,
        feature_names: tuple[str, ...],
        origin: Float[Tensor, "d"],
        scale: Float[Tensor, "d"],
        total_weight: float,
    ) -> None:
        self.__dict__.update(  # what is a frozen class's, or a cached property
            n=shape[0],
            d=shape[1],
            dtype=like.dtype,
            device=like.device,
            feature_names=feature_names,
            origin=origin,
            scale=scale,
            total_weight=total_weight,
            cache={},
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("x", "sample_weight"):
            raise ValueError(
                "this needs the data of the fit, which are left out of an estimator's pickle and "
                "of a saved fit: fit it anew, or keep what is needed before"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
