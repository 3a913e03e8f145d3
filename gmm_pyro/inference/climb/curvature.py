"""Minus the Hessian of a log density, and its inverse: the shape of the posterior near a point."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ...data.points import Observations
from ...model.log_density import LogDensity
from ..starts.starting import sample_of
from .climb import value_and_gradient

LARGEST = 300  # unconstrained numbers up to which the whole Hessian is taken
SETS_AT_ONCE = 64  # parameter sets in one batch of gradients
STEP = 1e-4  # of a difference of gradients, in natural units
FLATTEST = 1e-3  # of the entries' own curvature: directions of less are held to a finite width


def units(density: LogDensity) -> Float[Tensor, "m"]:
    """A natural length of each entry of the vector: the data's spread for means, else one.

    Entries of a prior program that are no means have the spread of its draws.
    """
    return _of_means(density, density.observations.bulk, density.prior.lengths)


def origins(density: LogDensity) -> Float[Tensor, "m"]:
    """A natural zero of each entry of the vector: the data's centre for means, else zero."""
    return _of_means(density, density.observations.origin, 0.0)


def _of_means(
    density: LogDensity, value: Float[Tensor, "*k1 d"], elsewhere: float | Float[Tensor, "m"]
) -> Float[Tensor, "m"]:
    """A value of each feature, for all components or each, where the vector holds free means."""
    result = value.new_ones(density.dimension) * elsewhere
    for site in density.sites:
        if site.name == "means" and site.unbounded:
            result[site.entries] = site.each(value)
    return result


def curvature(
    density: LogDensity, vector: Float[Tensor, "1 m"], *, seed: int, jacobian: bool = True
) -> Float[Tensor, "m m"]:
    """Minus the Hessian at a vector, by differences of exact gradients in one batch.

    It is a start for other things, so it is taken on a sample of the data; and where it would be
    too large, an information of n / k points a number stands in for its diagonal.
    """
    unit, observations, k = units(density), density.observations, density.model.n_components
    if density.dimension > LARGEST:
        return torch.diag(observations.total_weight / k / unit.square())
    rows = sample_of(observations, k, torch.Generator().manual_seed(seed))
    return by_differences(density, vector, rows, jacobian=jacobian)


def by_differences(
    density: LogDensity, vector: Float[Tensor, "1 m"], rows: Observations, *, jacobian: bool = True
) -> Float[Tensor, "m m"]:
    """Minus the Hessian at a vector, of some rows, by differences of exact gradients."""
    m = density.dimension
    steps = torch.diag(STEP * _within_components(density, vector, units(density)))

    def function(vectors: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        return density(vectors, jacobian=jacobian, rows=rows)

    parts = torch.cat([vector + steps, vector - steps]).split(SETS_AT_ONCE)
    gradients = torch.cat([value_and_gradient(function, part)[1] for part in parts])
    return (gradients[m:] - gradients[:m]) / (2 * steps.diagonal()[:, None])


@torch.no_grad()
def _within_components(
    density: LogDensity, vector: Float[Tensor, "1 m"], unit: Float[Tensor, "m"]
) -> Float[Tensor, "m"]:
    """The units; of a mean, what its component is as wide as where nothing else bends, if less."""
    family = density.model.family
    precision = family.precision(density.parameters(density.constrain(vector)).factor[0])
    width = family.diagonal(precision, density.observations.d).rsqrt().nan_to_num(nan=0.0)
    own = _of_means(density, width, torch.inf)
    return torch.where(own > 0, own, unit).minimum(unit)


def inverse(curvature: Float[Tensor, "m m"]) -> Float[Tensor, "m m"]:
    """The inverse, with the few directions of no curvature held to a finite width.

    It is taken in coordinates of curvature one, so that the units of the entries do not matter.
    """
    width = widths(curvature)
    relative = width[:, None] * (0.5 * (curvature + curvature.T)) * width
    values, vectors = torch.linalg.eigh(relative)
    result: Tensor = (vectors / values.clamp_min(FLATTEST)) @ vectors.T
    return width[:, None] * result * width


def widths(curvature: Float[Tensor, "m m"]) -> Float[Tensor, "m"]:
    """How far each entry alone goes for half a nat; one where there is no curvature."""
    width = curvature.diagonal().abs().rsqrt()
    return torch.where(width.isfinite(), width, 1.0)
