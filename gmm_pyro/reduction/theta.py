"""Parameters that are ready to be evaluated, by the kernel that evaluates them exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import CovarianceFamily, NaturalParameters, Parameters
from ..covariance.records import Sets
from ..data.points import Observations, Points
from .decision import WIDE
from .small import natural as small_natural

IMPRECISE = 1e-9  # error of a logit, in nats, from which the centred kernel takes over


@dataclass(frozen=True, eq=False)
class Theta:
    """s sets of k components, ready to be evaluated at points.

    Attributes:
        family: the covariance family.
        parameters: weights, means and covariance factors, in float64.
        natural: the natural parameters about the reference.
        reference: what the moments are about: one point (d,) or a point a component (s, k, d).
        centred: whether z = x - μ is formed for every component.
    """

    family: CovarianceFamily
    parameters: Parameters
    natural: NaturalParameters
    reference: Float[Tensor, "*sk d"]
    centred: bool

    def __getitem__(self, sets: Sets) -> Theta:
        """The chosen sets."""
        reference = self.reference if self.reference.ndim == 1 else self.reference[sets]
        return Theta(
            self.family, self.parameters[sets], self.natural[sets], reference, self.centred
        )

    def coefficients(self) -> Float[Tensor, "s k f"]:
        """Natural parameters by feature: 1, z and, unless it is shared, the upper z zᵀ."""
        columns = [self.natural.constant[..., None], self.natural.linear]
        d = self.parameters.means.shape[-1]
        if self.family.n_own_features(d):
            columns.append(self.family.pack(self.natural.quadratic, d))
        return torch.cat(columns, -1)

    def with_shared_term(self) -> Theta:
        """With logits that leave nothing out: those of a tied family lack what all share."""
        if self.centred or self.family.n_own_features(self.parameters.means.shape[-1]):
            return self
        return Theta.about_means(self.family, self.parameters)

    @classmethod
    def about_means(
        cls,
        family: CovarianceFamily,
        parameters: Parameters,
        means: Float[Tensor, "s k d"] | None = None,
    ) -> Theta:
        """For the centred kernel, with moments about the components' own means or others."""
        reference = (parameters.means if means is None else means).detach()
        natural = family.natural(parameters, reference)
        return cls(family, parameters, natural, reference, centred=True)


def theta_of(family: CovarianceFamily, parameters: Parameters, points: Points) -> Theta:
    """The parameters with the kernel that evaluates them exactly at these points.

    Differentiable: the natural parameters keep their graph.
    """
    if _is_always_centred(family, parameters):
        return Theta.about_means(family, parameters)
    if points.compiled:
        small = small_natural(family, parameters, points, _allowed(points))
        if small is not None:
            return Theta(family, parameters, small, points.origin, centred=False)
    natural = family.natural(parameters, points.origin)
    theta = Theta(family, parameters, natural, points.origin, centred=False)
    return Theta.about_means(family, parameters) if _cancels(theta, points) else theta


def anywhere(points: Points, family: CovarianceFamily, sets: tuple[int, int]) -> Theta:
    """s sets of k components as wide as the data, for an assignment that asks for none."""
    (s, k), like = sets, points.origin
    spread = points.scale if isinstance(points, Observations) else torch.ones_like(like)
    unit = family.fit(family.compress(spread.square().diag()), torch.zeros_like(like))
    factor = unit.expand(s, *family.factor_shape(k, points.d))
    parameters = Parameters(like.new_zeros(s, k), like.expand(s, k, -1), factor)
    if points.log_noise is not None and not family.n_own_features(points.d):
        return Theta.about_means(family, parameters)  # some points may be left out, as noise
    return theta_of(family, parameters, points)


def _is_always_centred(family: CovarianceFamily, parameters: Parameters) -> bool:
    d, noise = parameters.means.shape[-1], parameters.log_odds is not None
    if noise and not family.n_own_features(d):
        return True  # noise does not share what all others do
    return d > WIDE and family.n_features(d) > d


def tight_ones(theta: Theta, points: Points) -> Bool[Tensor, "s"] | None:
    """Which sets have made a batch centred by their digits; None if not some of them alone have."""
    if not theta.centred or _is_always_centred(theta.family, theta.parameters):
        return None
    tight = ~(_largest(theta, points) <= _allowed(points))
    return tight if bool(tight.any()) and not bool(tight.all()) else None


@torch.no_grad()
def _cancels(theta: Theta, points: Points) -> bool:
    """Whether the terms of z P z, about the points' origin, lose more than `IMPRECISE` nats."""
    allowed = _allowed(points)
    factor, quadratic = theta.parameters.factor, theta.natural.quadratic
    shift = theta.parameters.means - points.origin
    size, away, wide = (
        float(torch.linalg.vector_norm(part, torch.inf)) for part in (quadratic, shift, factor)
    )
    across = points.d * (away + points.d * wide)
    if size * across * across <= allowed:  # not ** 2, which raises where a product is infinite
        return False  # by far: no sum is larger than all of its terms at their largest
    return not bool((_largest(theta, points) <= allowed).all())  # NaN: a variance has cancelled


@torch.no_grad()
def _largest(theta: Theta, points: Points) -> Float[Tensor, "s"]:
    """The largest terms of z P z of each set within deviations of its means."""
    family, p = theta.family, theta.parameters
    reach = (p.means - points.origin).abs() + family.deviations(p.factor, points.d)
    terms = theta.natural.quadratic.abs() * family.square(reach)
    return terms.flatten(2).sum(-1).amax(1)


def _allowed(points: Points) -> float:
    """The largest term of z P z whose rounding is no more than `IMPRECISE` nats."""
    epsilon = torch.finfo(points.dtype).eps
    return max(IMPRECISE, 1e4 * epsilon) / (2 * epsilon)
