"""Mixtures of conjugate priors, which come close to any prior of a component.

A mixture of conjugate priors is conjugate: given points, each part is updated, and its share grows
with the probability of the points under it.

Source: Dalal & Hall (1983).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import Parameters, Statistics, conjugate
from ...covariance.records import LOG_2PI, times
from ...model.held_components import HeldComponents
from ...model.log_density import LogDensity
from ...model.normal_wishart import Components, NormalWishart

SHRINKAGES = (1.0, 0.1, 0.01)  # of the default scale: parts that are wide in the data's units
STRENGTH = 0.25  # of the means of those
DRAWS = 128  # from the prior, with a part about each
STIFFNESS = 5  # degrees of freedom of those, above what makes them proper
WIDTH = 0.7  # of their means, in deviations of the prior's
NUMBERS_AT_ONCE = 2**21  # in the largest temporary

Numbers = tuple[Tensor, Tensor, Tensor, Tensor]  # mean, strength, dof and scale of some parts


@dataclass(frozen=True, eq=False)
class Parts:
    """A mixture in equal shares of h distributions of a unit of c components.

    A unit is one component, or all of them where they share a covariance. Means are about the
    data's centre.

    Attributes:
        each: the h distributions, as sets.
        held: what is held of the components of one set, if anything is.
    """

    each: NormalWishart
    held: HeldComponents | None = None

    def __len__(self) -> int:
        return len(self.each.dof)

    def log_density(self, p: Parameters) -> Float[Tensor, "u"]:
        """Log density of u units, up to a function of theirs that is the same for all mixtures."""
        each, family, (_, c, d) = self.each, self.each.family, p.means.shape
        mean, strength = each.mean[:, 0], each.mean_strength[:, 0]
        precision = family.precision(p.factor)
        pulled = family.product(precision, p.means)
        scale = each.scale[:, 0] + c * times(strength, family.square(mean))
        away = (p.means * pulled).sum((1, 2))
        total = pulled.sum(1) @ (strength[:, None] * mean).T - 0.5 * (
            precision.flatten(1) @ scale.flatten(1).T
            + away[:, None] * strength
            + 2 * family.log_determinant(p.factor, d) * (each.dof[:, 0] / family.squares_a_point(d))
        )
        return (total - each.log_normaliser).logsumexp(1) - math.log(len(self))

    def log_evidence(self, units: Statistics) -> Float[Tensor, "u h"]:
        """log p(points of u units) under each part in nats, with moments about the data's centre.

        What is held of the units counts as points do: it is a density of that, too.

        A few units at a time: all parts of all of them would be hundreds of times the data.
        """
        h, before, held = len(self), self.each.log_normaliser, self._held(units)
        constant = 0.5 * self.each.mean.shape[-1] * LOG_2PI * units.counts.sum(1, keepdim=True)
        rows, found = max(1, NUMBERS_AT_ONCE // self.each.scale.numel()), []
        for some in torch.arange(len(units.counts)).split(rows):
            each = some.repeat_interleave(h)
            given = self.each[torch.arange(h).repeat(len(some))].given(units[each])
            total = given.log_normaliser if held is None else held[each].log_normaliser(given)
            found.append(total.view(-1, h) - before)
        return torch.cat(found) - constant

    def draw_given(self, units: Statistics, generator: torch.Generator) -> Components:
        """Means and covariances of every unit given its points, from one of the parts."""
        shares = self.log_evidence(units).nan_to_num(nan=-math.inf).softmax(1).nan_to_num(nan=1.0)
        part = torch.multinomial(shares, 1, generator=generator)[:, 0]
        given, held = self.each[part].given(units), self._held(units)
        return given.draw(generator) if held is None else held.draw(given, generator)

    def _held(self, units: Statistics) -> HeldComponents | None:
        """What is held of each unit."""
        if self.held is None:
            return None
        return self.held.of_units(self.each.family, len(units.counts))


def parts_of(density: LogDensity, seed: int, draws: int = DRAWS) -> Parts:
    """The prior of the components itself, where it is conjugate; else parts that are like it.

    Those are some that are wide in the data's units, and one about each of some draws.
    """
    model, origin = density.model, density.observations.origin
    prior, k = model.conjugate(origin), model.n_components
    if prior is not None and isinstance(prior.components, NormalWishart):
        found = replace(prior.components, mean=prior.components.mean - origin)
    else:
        numbers = zip(_wide(density), *_about_draws(density, seed, draws), strict=True)
        mean, strength, dof, scale = (torch.cat(part)[:, None] for part in numbers)
        found = NormalWishart(conjugate(model.family), mean, strength, dof, scale)
    held = None if model.fixed is None else HeldComponents.of(model.fixed, origin)
    return Parts(found.alike(k // model.family.n_covariances(k)), held)


def _wide(density: LogDensity) -> Numbers:
    """Parts that are wide in the data's units."""
    observations, family = density.observations, conjugate(density.model.family)
    d, h = observations.d, len(SHRINKAGES)
    square = torch.diag(observations.scale.square()) / density.model.n_components ** (2 / d)
    scale = family.compress(torch.stack([share * square for share in SHRINKAGES]))
    dof = scale.new_full((h,), family.squares_a_point(d) + family.proper_dof(d) + 2)
    return scale.new_zeros(h, d), scale.new_full((h,), STRENGTH), dof, scale


def _about_draws(density: LogDensity, seed: int, draws: int) -> list[Numbers]:
    """Parts about the mean and the covariance of a component in each of some draws, if any."""
    observations, family = density.observations, conjugate(density.model.family)
    try:
        values = density.model.sites(like=observations.origin.cpu()).draw(draws, seed)
    except NotImplementedError:  # a prior that nothing can be drawn from
        return []
    values = {name: value.to(observations.origin) for name, value in values.items()}
    p, d, k = density.parameters(values), observations.d, density.model.n_components
    draw = torch.arange(draws)
    means = p.means[draw, draw % k] - observations.origin  # components may differ
    covariance = family.dense(p.factor, d).expand(-1, k, -1, -1)[draw, draw % k]
    low, high = means.quantile(means.new_tensor([0.16, 0.84]), 0)
    spread = 0.5 * WIDTH * (high - low)
    dof = means.new_full((draws,), family.proper_dof(d) + STIFFNESS)
    strength = (covariance.diagonal(dim1=-2, dim2=-1) / spread.square()).mean(-1)
    scale = family.compress(dof[:, None, None] * covariance)
    normal = torch.stack([family.log_normaliser(dof, scale), strength.log(), *means.T])
    sound = normal.isfinite().all(0)
    return [(means[sound], strength[sound], dof[sound], scale[sound])]
