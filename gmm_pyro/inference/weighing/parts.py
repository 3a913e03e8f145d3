"""Mixtures of conjugate priors, which come close to any prior of a component.

A mixture of conjugate priors is conjugate: given points, each part is updated, and its share grows
with the probability of the points under it.

Source: Dalal & Hall (1983).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance import ConjugateFamily, Parameters, Statistics, conjugate
from ...covariance.records import LOG_2PI
from ...model.log_density import LogDensity
from ...model.normal_wishart import NormalWishart

SHRINKAGES = (1.0, 0.1, 0.01)  # of the default scale: parts that are wide in the data's units
STRENGTH = 0.25  # of the means of those
DRAWS = 128  # from the prior, with a part about each
STIFFNESS = 5  # degrees of freedom of those, above what makes them proper
WIDTH = 0.7  # of their means, in deviations of the prior's


@dataclass(frozen=True, eq=False)
class Parts:
    """h Normal-inverse-Wishart distributions, each of a unit of c components.

    A unit is one component, or all of them where they share a covariance. Means are about the
    data's centre.

    Attributes:
        family: covariance family.
        mean: shape (h, d).
        strength: observations κ that each mean is worth, shape (h,).
        dof: degrees of freedom ν, shape (h,).
        scale: Ψ in the family's compact form, shape (h, *event).
    """

    family: ConjugateFamily
    mean: Float[Tensor, "h d"]
    strength: Float[Tensor, "h"]
    dof: Float[Tensor, "h"]
    scale: Float[Tensor, "h *event"]

    def __len__(self) -> int:
        return len(self.dof)

    @property
    def log_normaliser(self) -> Float[Tensor, "h"]:
        """Logarithm of the integral of the unnormalised density of the precisions."""
        return self.family.log_normaliser(self.dof, self.scale)

    def log_density(self, p: Parameters) -> Float[Tensor, "u h"]:
        """Log density of units, up to a function of theirs that is the same for all parts."""
        family, (_, c, d) = self.family, p.means.shape
        log_determinant = -2 * family.log_determinant(p.factor, d)[:, 0]
        precision = family.precision(p.factor)
        pulled = family.product(precision, p.means)
        scale = self.scale + c * _times(self.strength, family.square(self.mean))
        linear = self.strength[:, None] * self.mean
        away = (p.means * pulled).sum((1, 2))
        total = pulled.sum(1) @ linear.T - 0.5 * (
            precision.flatten(1) @ scale.flatten(1).T
            + away[:, None] * self.strength
            - log_determinant[:, None] * (self.dof / family.squares_a_point(d))
        )
        return total + 0.5 * c * d * self.strength.log() - self.log_normaliser

    def updated(self, units: Statistics) -> Updated:
        """All parts given the points of u units, whose moments are about the data's centre."""
        family, d = self.family, self.mean.shape[1]
        counts = units.counts[:, None]  # (u, 1, c)
        strength = self.strength[:, None] + counts
        linear = self.strength[:, None] * self.mean
        mean = (units.first[:, None] + linear[:, None]) / strength[..., None]
        before = units.counts.shape[1] * _times(self.strength, family.square(self.mean))
        after = _times(strength, family.square(mean)).sum(2)
        scale = self.scale + before + units.second - after
        points = counts.sum(-1)
        dof = self.dof + points * family.squares_a_point(d)
        gain = family.log_normaliser(dof, scale) - self.log_normaliser
        of_means = 0.5 * d * (self.strength[:, None] / strength).log().sum(-1)
        return Updated(
            family, mean, strength, dof, scale, gain + of_means - 0.5 * d * points * LOG_2PI
        )


@dataclass(frozen=True, eq=False)
class Updated:
    """The parts of u units, given their points.

    Attributes:
        family: covariance family.
        mean: shape (u, h, c, d).
        strength: shape (u, h, c).
        dof: shape (u, h).
        scale: shape (u, h, *event).
        log_evidence: log p(points of the unit) under each part in nats, shape (u, h).
    """

    family: ConjugateFamily
    mean: Float[Tensor, "u h c d"]
    strength: Float[Tensor, "u h c"]
    dof: Float[Tensor, "u h"]
    scale: Float[Tensor, "u h *event"]
    log_evidence: Float[Tensor, "u h"]

    def draw(self, generator: torch.Generator) -> tuple[Float[Tensor, "u c d"], Tensor]:
        """Means and factors of every unit, from one of its parts."""
        shares = self.log_evidence.nan_to_num(nan=-math.inf).softmax(1).nan_to_num(nan=1.0)
        part = torch.multinomial(shares, 1, generator=generator)[:, 0]
        unit = torch.arange(len(part), device=part.device)
        mean, strength, dof, scale = (
            value[unit, part] for value in (self.mean, self.strength, self.dof, self.scale)
        )
        factor = self.family.draw_factor(dof[:, None], scale[:, None], generator)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        noise = noise * strength.rsqrt()[..., None]
        tril = self.family.scale_tril(factor, mean.shape[-1])
        return mean + (tril @ noise[..., None])[..., 0], factor


def parts_of(density: LogDensity, seed: int) -> Parts:
    """The prior of the components itself, where it is conjugate; else parts that are like it.

    Those are some that are wide in the data's units, and one about each of some draws.
    """
    observations = density.observations
    family, d, k = conjugate(density.model.family), observations.d, density.model.n_components
    prior = density.model.conjugate(observations.origin)
    if prior is not None and isinstance(prior.components, NormalWishart):
        h = prior.components
        mean = h.mean - observations.origin
        return Parts(family, mean[:, 0], h.mean_strength[:, 0], h.dof[:, 0], h.scale[:, 0])
    square = torch.diag(observations.scale.square()) / k ** (2 / d)
    scale = family.compress(torch.stack([share * square for share in SHRINKAGES]))
    dof = scale.new_full((len(scale),), family.squares_a_point(d) + family.proper_dof(d) + 2)
    wide = Parts(
        family, scale.new_zeros(len(scale), d), STRENGTH * torch.ones_like(dof), dof, scale
    )
    near = _about_draws(density, seed)
    if near is None:
        return wide
    names = "mean", "strength", "dof", "scale"
    return Parts(family, *(torch.cat([getattr(wide, name), getattr(near, name)]) for name in names))


def _about_draws(density: LogDensity, seed: int) -> Parts | None:
    """A part about the mean and the covariance of a component in each of some draws."""
    observations, family = density.observations, conjugate(density.model.family)
    try:
        values = density.model.sites(like=observations.origin.cpu()).draw(DRAWS, seed)
    except NotImplementedError:  # a prior that nothing can be drawn from
        return None
    values = {name: value.to(observations.origin) for name, value in values.items()}
    p, d, k = density.parameters(values), observations.d, density.model.n_components
    draw = torch.arange(DRAWS)
    means = p.means[draw, draw % k] - observations.origin  # components may differ
    covariance = family.dense(p.factor, d).expand(-1, k, -1, -1)[draw, draw % k]
    low, high = means.quantile(means.new_tensor([0.16, 0.84]), 0)
    spread = 0.5 * WIDTH * (high - low)
    dof = means.new_full((DRAWS,), family.proper_dof(d) + STIFFNESS)
    strength = (covariance.diagonal(dim1=-2, dim2=-1) / spread.square()).mean(-1)
    scale = family.compress(dof[:, None, None] * covariance)
    found = [means, strength, dof, scale]
    normal = torch.stack([family.log_normaliser(dof, scale), strength.log(), *means.T])
    sound = normal.isfinite().all(0)
    return Parts(family, *(value[sound] for value in found))


def _times(number: Float[Tensor, "*b"], compact: Tensor) -> Tensor:
    """A number times a matrix in compact form."""
    return number.view(*number.shape, *(1,) * (compact.ndim - number.ndim)) * compact
