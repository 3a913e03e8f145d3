"""What makes a solution of maximum likelihood sound: the rule, said once.

A likelihood grows without bound where a component shrinks onto a few points, so its highest value
says nothing. A component is an accident of few points, and the solution is not sound, if

- by hard labels it holds fewer than `least_points`: by default 2 d + 1 where components have
  covariances of their own, which need d + 1 points to be regular at all, and 2 where they share
  one, but never more than half of an even share of the points;
- an eigenvalue of its covariance is within ten times the floor, in units of the data's variance; or
- it is thinner than the rounding of the data: a number that is rounded to a multiple of h is off by
  h / √12 as a standard deviation, so that points which share a value are a spike and no cluster.
  So it is in a feature; an eigenvalue is compared as an estimate without bias, since maximum
  likelihood has the smallest one of n points too small by (n - d) / n.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..covariance.fixed import Fixed
from ..covariance.records import TINY
from ..data.points import Observations
from ..reduction.assignments import argmax
from ..reduction.sums import reduce
from ..reduction.theta import Theta
from .task import Options, Task

CLOSE = 10.0  # times the floor, up to which an eigenvalue is close to it
FEWEST = 2  # points of a component whose covariance is that of all
OF_ROUNDING = 1 / 12  # variance of a number that is uniform between -½ and ½


@dataclass(frozen=True, eq=False)
class Soundness:
    """The rule in numbers, for one model and its data.

    Attributes:
        family: covariance family.
        least_points: points that a component holds at least.
        least: the same as a sum of sample weights.
        close: smallest variance of each feature that is not close to the floor.
        rounding: variance of each feature by rounding alone.
        n_points: number of points.
        fixed: what is held of the parameters, if anything is: covariances among it are wide enough.
    """

    family: CovarianceFamily
    least_points: float
    least: float
    close: Float[Tensor, "d"]
    rounding: Float[Tensor, "d"]
    n_points: int
    fixed: Fixed | None = None

    @classmethod
    def for_task(cls, task: Task[Options], points: Observations | None = None) -> Soundness:
        """The rule for a task, on all of its points or on a part of them."""
        points, family = points or task.observations, task.model.family
        n, least = points.n_weighted, float(task.options.least_points or 0)
        if task.options.least_points is None:
            own = FEWEST if family.shares("covariances") else 2 * points.d + 1
            least = min(own, max(1.0, n / (2 * task.model.n_components)))
        weight = least * min(1.0, points.total_weight / n)
        rounding = OF_ROUNDING * task.observations.rounding.square()
        return cls(family, least, weight, CLOSE * task.floor, rounding, n, task.model.fixed)

    @cached_property
    def _lowest(self) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
        """What is close to the floor, and of rounding alone, as the family has them."""
        close, rounding = self.close.clamp_min(TINY), self.rounding.clamp_min(TINY)
        return as_fitted(self.family, close), as_fitted(self.family, rounding)

    def above_floor(self, p: Parameters) -> Float[Tensor, "*k1"]:
        """Smallest eigenvalue of each covariance, in units of what is close to the floor."""
        return self._of_free(self.family.smallest_ratio(p.factor, self._lowest[0]))

    def above_rounding(self, p: Parameters) -> Float[Tensor, "*k1"]:
        """The same without bias, or a feature's variance, in units of the variance by rounding."""
        family, counts = self.family, self.n_points * p.log_shares.exp()
        lowest = self._lowest[1]
        lost = len(lowest) if family.is_matrix else 1
        held = counts.sum(-1, keepdim=True) if family.shares("covariances") else counts
        oblique = family.smallest_ratio(p.factor, lowest) * held / (held - lost).clamp_min(1.0)
        straight = family.deviations(p.factor, len(lowest)).square() / lowest
        return self._of_free(torch.minimum(oblique, straight.amin(-1)))

    def _of_free(self, ratios: Float[Tensor, "*k1"]) -> Float[Tensor, "*k1"]:
        """Ratios of the covariances that are free, and infinity for those that are held."""
        if self.fixed is None:
            return ratios
        return ratios.masked_fill(~self.fixed.free_covariances, torch.inf)

    def of(self, theta: Theta, points: Observations) -> Bool[Tensor, "s"]:
        """Whether sets are sound."""
        return self.with_counts(theta.parameters, reduce(points, theta, argmax).counts)

    def with_counts(
        self,
        p: Parameters,
        counts: Float[Tensor, "s k"],
        *,
        absent: Bool[Tensor, "s k"] | None = None,
        least: Float[Tensor, "s"] | None = None,
    ) -> Bool[Tensor, "s"]:
        """The same, where it is known how many points each component has by hard labels.

        Absent components, which make sets of fewer fit into the batch, are of no account; each set
        may have its own least count.
        """
        finite = p.factor.flatten(1).isfinite().all(1)
        p = replace(
            p, factor=torch.where(finite.view(-1, *(1,) * (p.factor.ndim - 1)), p.factor, 1.0)
        )
        wide = torch.minimum(self.above_floor(p), self.above_rounding(p)) > 1
        good = wide & (counts >= (self.least if least is None else least[:, None]))
        return finite & (good if absent is None else good | absent).all(1)


def as_fitted(family: CovarianceFamily, variance: Float[Tensor, "d"]) -> Float[Tensor, "d"]:
    """Variances of the features as a floor of the family has them: one for all, if spherical."""
    d = len(variance)
    nothing = family.compress(variance.new_zeros(d, d))
    return family.deviations(family.fit(nothing, variance), d).square()
