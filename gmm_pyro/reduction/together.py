"""Many fits at once: s sets of parameters, each over points or sample weights of its own.

What each set is fitted to is a sample. Samples of small data sets have their features side by side,
(s, f, n), so that a step of all is two batched products; weightings of one data set share its
features, and the responsibilities of each set are multiplied by its weights. Whoever asks takes so
few sets at a time that they stay in cache: nothing of size s x k x n is held for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..covariance import CovarianceFamily, Statistics
from ..data.points import Block, Observations, Points
from .assignments import Assignment, Weighted, softmax
from .background import Background
from .kernels import Centred, Whole
from .sums import reduce
from .theta import Theta

LARGE = 1 << 20  # numbers that one data set's features are, from which it is taken alone


class Samples(ABC):
    """What s sets are fitted to.

    Attributes:
        points: what the features are formed about, and the names of the features.
    """

    points: Points

    @abstractmethod
    def __len__(self) -> int:
        """Number of sets s."""

    @abstractmethod
    def __getitem__(self, sets: Int[Tensor, "t"]) -> Self:
        """The samples of these sets, of which one may be there several times."""

    @property
    @abstractmethod
    def n(self) -> int:
        """Number of points."""

    @abstractmethod
    def takes_threads(self, family: CovarianceFamily) -> bool:
        """Whether a reduction has several threads of its own."""

    @abstractmethod
    def reduce(self, theta: Theta, assign: Assignment = softmax) -> Statistics:
        """The reduction of every set over its own sample."""


@dataclass(frozen=True, eq=False)
class Same(Samples):
    """One data set for every set.

    Attributes:
        points: the data.
    """

    points: Observations

    def __len__(self) -> int:
        return 1

    def __getitem__(self, sets: Int[Tensor, "t"]) -> Same:
        return self

    @property
    def n(self) -> int:
        """See `Samples`."""
        return self.points.n

    def takes_threads(self, family: CovarianceFamily) -> bool:
        """See `Samples`."""
        return True

    def reduce(self, theta: Theta, assign: Assignment = softmax) -> Statistics:
        """See `Samples`."""
        return reduce(self.points, theta, assign)


@dataclass(frozen=True, eq=False)
class Weightings(Samples):
    """One data set, with weights of its own for each set.

    Attributes:
        points: the data; their sample weights, if any, do not count.
        weight: how often each point counts in each set.
    """

    points: Observations
    weight: Float[Tensor, "s n"]

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, sets: Int[Tensor, "t"]) -> Weightings:
        return replace(self, weight=self.weight[sets])

    @property
    def n(self) -> int:
        """See `Samples`."""
        return self.points.n

    def takes_threads(self, family: CovarianceFamily) -> bool:
        """See `Samples`."""
        return self.n * (1 + self.points.d + family.n_features(self.points.d)) > LARGE

    @cached_property
    def _alone(self) -> Observations:
        """The points without their sample weights."""
        return replace(self.points, sample_weight=None, cache={})

    def reduce(self, theta: Theta, assign: Assignment = softmax) -> Statistics:
        """See `Samples`."""
        found = reduce(self._alone, theta, Weighted(assign, self.weight))
        family, d = theta.family, self.points.d
        if theta.centred or family.n_own_features(d) or self.points.measured is not None:
            return found
        quadratic, second = theta.natural.quadratic, self._second_moments(family)
        shared = (quadratic * (second - found.second)).flatten(1).sum(1)
        return replace(found, second=second, log_norm=found.log_norm + shared)

    def _second_moments(self, family: CovarianceFamily) -> Float[Tensor, "s 1 *event"]:
        """Σ u z zᵀ of each set, which is what a shared covariance needs of all points."""
        z = self.points.x.to(self.points.origin) - self.points.origin
        return family.weighted_square(z[None, None], self.weight[:, None].to(z))


@dataclass(frozen=True, eq=False)
class DataSets(Samples):
    """A data set of n points for each set.

    Attributes:
        points: other points in the same units, about whose origin features are formed.
        x: the data sets.
        log_noise: log density of the noise at each point, if there is any.
    """

    points: Observations
    x: Float[Tensor, "s n d"]
    log_noise: Float[Tensor, "s n"] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, sets: Int[Tensor, "t"]) -> DataSets:
        log_noise = None if self.log_noise is None else self.log_noise[sets]
        return DataSets(self.points, self.x[sets], log_noise)

    @property
    def n(self) -> int:
        """See `Samples`."""
        return self.x.shape[1]

    def takes_threads(self, family: CovarianceFamily) -> bool:
        """See `Samples`."""
        d = self.points.d
        return self.n * (1 + d + family.n_features(d)) > LARGE

    def reduce(self, theta: Theta, assign: Assignment = softmax) -> Statistics:
        """See `Samples`."""
        if self.takes_threads(theta.family):
            return self._one_by_one(theta, assign)
        own = Points(self.x[0], (), self.points.origin, log_noise=self.log_noise)
        kernel = Centred(theta, own, self.x) if theta.centred else SideBySide(theta, own, self)
        kernel.rows = self.n
        kernel.background = Background.of(own, theta, self.x)
        with torch.no_grad():
            return kernel.summed(kernel.sums(Block(0, self.x[:, None], None), assign))

    def _one_by_one(self, theta: Theta, assign: Assignment) -> Statistics:
        """Of data sets so large that there is nothing to gain side by side."""
        found = []
        for i, points in enumerate(self._each):
            found.append(reduce(points, theta[[i]], assign))
        return Statistics.joined(found)

    @cached_property
    def _each(self) -> list[Observations]:
        return [self._alone(i) for i in range(len(self))]

    def _alone(self, i: int) -> Observations:
        log_noise = None if self.log_noise is None else self.log_noise[i]
        return replace(
            self.points,
            x=self.x[i],
            sample_weight=None,
            cache={},
            measured=None,
            allowed=None,
            log_noise=log_noise,
        )

    def features(self, family: CovarianceFamily) -> Float[Tensor, "s f n"]:
        """[1, z, quadratic features] of all points; without these, where components share them."""
        kept: dict[CovarianceFamily, Tensor] = self._features
        if family not in kept:
            (s, n, d), q = self.x.shape, family.n_own_features(self.points.d)
            z = (self.x - self.points.origin.to(self.x)).permute(2, 0, 1).reshape(d, s * n)
            quadratic = z.new_empty(q, s * n)
            if q:
                family.quadratic_features(z, quadratic)()
            rows = torch.cat([torch.ones_like(z[:1]), z, quadratic]).view(1 + d + q, s, n)
            kept[family] = rows.transpose(0, 1).contiguous()
        return kept[family]

    @cached_property
    def _features(self) -> dict[CovarianceFamily, Tensor]:
        return {}

    def second_moments(self, family: CovarianceFamily) -> Float[Tensor, "s 1 *event"]:
        """Σ z zᵀ of each data set about the origin."""
        z = (self.x.to(self.points.origin) - self.points.origin)[:, None]
        return family.weighted_square(z, z.new_ones(z.shape[:-1]))


class SideBySide(Whole):
    """logits = Θ Φ and moments = R Φᵀ, with features Φ (s, f, n) of a data set for each set."""

    def __init__(self, theta: Theta, points: Points, sample: DataSets) -> None:
        self.theta, self.points, self.sample = theta, points, sample
        self.features = sample.features(theta.family)
        self.coefficients = theta.coefficients().to(self.features)

    def restart(self) -> None:
        """See `Kernel`."""
        self.moments = ()

    def logits(self, x: Float[Tensor, "s 1 n d"]) -> Float[Tensor, "s k n"]:
        """See `Kernel`."""
        del x  # all of it, whose features are at hand
        return self.coefficients @ self.features

    def add_moments(self, responsibilities: Float[Tensor, "s k n"]) -> None:
        """See `Kernel`."""
        self.moments = ((responsibilities @ self.features.mT).to(self.theta.reference),)

    def statistics(self, log_norm: Tensor, sums: tuple[Tensor, ...]) -> Statistics:
        """See `Kernel`."""
        family, d, (moments,) = self.theta.family, self.points.d, sums
        counts, first = moments[..., 0], moments[..., 1 : 1 + d]
        if family.n_own_features(d):
            second = family.unpack(moments[..., 1 + d :], d)
        else:
            second = self.sample.second_moments(family)
            log_norm = log_norm + (self.theta.natural.quadratic * second).flatten(1).sum(1)
        return Statistics(log_norm, counts, first, second, self.theta.reference)
