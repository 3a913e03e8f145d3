"""What measures are taken of: a data set and what a method says about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...datasets import OUTLIER, Dataset
from ...mixture.value import GaussianMixture
from ...posterior import Posterior
from ..answers import Answer


@dataclass(frozen=True, eq=False)
class Others:
    """Points from where the data come from that no method has seen.

    Attributes:
        x: the points, shape (m, d).
        truth: the mixture that they were drawn from, or whose moments they have.
    """

    x: Float[Tensor, "m d"]
    truth: GaussianMixture

    @cached_property
    def true_log_density(self) -> Float[Tensor, "m"]:
        """The log density of the truth at each point, in nats: the same for all methods."""
        return self.truth.log_prob(self.x).double()


@dataclass(frozen=True, eq=False)
class Outcome:
    """A data set, and what a method says about it.

    Attributes:
        data: what the method was given.
        answer: what it says.
        seconds: how long it took.
        level: what intervals are to hold of the draws.
        others: points from where the data come from, or None where that is not known.
    """

    data: Dataset
    answer: Answer
    seconds: float
    level: float = 0.9
    others: Others | None = None

    @property
    def mixture(self) -> GaussianMixture | None:
        """The density that the method has found, if it has one."""
        return self.answer.mixture

    @property
    def posterior(self) -> Posterior | None:
        """The draws of the method, if it has some."""
        return None if self.answer.fit is None else self.answer.fit.posterior

    @cached_property
    def classes(self) -> Int[Tensor, "n"] | None:
        """The true class of each point, if some points have one."""
        labels = self.data.labels
        return labels if labels is not None and bool((labels != OUTLIER).any()) else None


def other_points(data: Dataset, n: int, seed: int) -> Others | None:
    """Other points of where a data set comes from, or None where that is not known."""
    if data.truth is None:
        return None
    return Others(data.held_out(n, seed).x.to(torch.float64), data.truth)
