"""Components of which a mean or a covariance is known as a whole: what is left stays conjugate.

A mean that is known counts as one more square about its prior's centre, so that precisions go on
having a Wishart distribution, also where the mean of another component is integrated out. Where a
covariance is known, its density stands in place of the integral over all of them.

Source: Gelman et al. (2013), Bayesian Data Analysis, §3.5 and §3.6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import ConjugateFamily
from ..covariance.fixed import Fixed
from ..covariance.records import LOG_2PI, times
from .draws import standard_normal
from .normal_wishart import Components, NormalWishart


@dataclass(frozen=True, eq=False)
class HeldComponents:
    """What is held of s sets of k components: NaN where a mean or a covariance is free.

    Attributes:
        means: each held as a whole or not at all, shape (s, k, d).
        factor: of the covariances, shape (s, k|1, *event).
    """

    means: Float[Tensor, "s k d"]
    factor: Float[Tensor, "s k1 *event"]

    @classmethod
    def of(cls, fixed: Fixed, origin: Float[Tensor, "d"]) -> Self:
        """One set, with means about the origin."""
        return cls((fixed.means - origin)[None], fixed.factor[None])

    @property
    def known(self) -> Bool[Tensor, "s k"]:
        """Which means are held."""
        return ~self.means.isnan().any(-1)

    def of_units(self, family: ConjugateFamily, count: int) -> HeldComponents:
        """What is held of so many units: components one by one, or all that share a covariance."""
        sets = count // self.factor.shape[1]
        means = self.means.expand(sets, -1, -1)
        factor = self.factor.expand(sets, *self.factor.shape[1:])
        return HeldComponents(family.by_covariance(means), family.by_covariance(factor))

    def __getitem__(self, sets: Tensor) -> HeldComponents:
        """The chosen sets."""
        return HeldComponents(self.means[sets], self.factor[sets])

    def draw(self, given: NormalWishart, generator: torch.Generator | None) -> Components:
        """One draw of what is free in each set, in whose place what is held stands."""
        drawn = self._beside_means(given).draw(generator)
        factor = torch.where(self.factor.isnan(), drawn.factor, self.factor)
        tril = given.family.scale_tril(factor, given.mean.shape[-1])
        noise = standard_normal(given.mean, generator) * given.mean_strength.rsqrt()[..., None]
        means = given.mean + (tril @ noise[..., None])[..., 0]
        return Components(torch.where(self.means.isnan(), means, self.means), factor)

    def log_normaliser(self, given: NormalWishart) -> Float[Tensor, "s"]:
        """Logarithm of the integral over what is free, in the units of that over all."""
        beside, d = self._beside_means(given), given.mean.shape[-1]
        free = self.factor.isnan().flatten(2).any(2)
        over = given.family.log_normaliser(beside.dof, beside.scale)
        of_precisions = torch.where(free, over, self._log_density(beside))
        of_means = torch.where(self.known, LOG_2PI, given.mean_strength.log())
        return of_precisions.sum(-1) - 0.5 * d * of_means.sum(-1)

    def _beside_means(self, given: NormalWishart) -> NormalWishart:
        """The distribution of the precisions, given the means that are held."""
        family, known = given.family, self.known
        away = torch.where(known[..., None], self.means - given.mean, 0.0)
        squares = times(given.mean_strength.expand(known.shape), family.square(away))
        dof = given.dof + family.pooled(known) * family.squares_a_point(away.shape[-1])
        return replace(given, dof=dof, scale=given.scale + family.pooled(squares))

    def _log_density(self, beside: NormalWishart) -> Float[Tensor, "s k1"]:
        """Log density of the precisions that are held, without its normaliser; NaN of others."""
        family, d = beside.family, self.means.shape[-1]
        power = (beside.dof - family.proper_dof(d) - 2) / family.squares_a_point(d)
        inner = (family.precision(self.factor) * beside.scale).flatten(2).sum(2)
        return -power * family.log_determinant(self.factor, d) - 0.5 * inner
