"""The conjugate prior of a mixture: Dirichlet weights and Normal-inverse-Wishart components.

What follows from it for points whose components are known is in `normal_wishart.py`.

Source: Murphy (2007), "Conjugate Bayesian analysis of the Gaussian distribution"; Gelman et al.
(2013), §3.6; Fraley & Raftery (2007) for the defaults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from ..covariance import CovarianceFamily, conjugate
from ..data.arrays import finite
from ..data.checks import shown
from ..data.features import check_names
from .concentration import Concentration, DirichletProcess, Dynamic, Static, as_concentration
from .hierarchical_sites import hierarchical_sites
from .hierarchy import Hierarchy, RandomScale, ScalePrior
from .mixing import Mixing
from .nested import learned
from .normal_wishart import Conjugate, IndependentMeans, NormalWishart
from .priors import DefaultPrior, one_a_feature
from .sites import Sites
from .unknown import Unknown

DEFAULT = 2.0  # concentration of a known number of components
NUMBERS = ("concentration", "mean", "mean_strength", "dof", "scale", "mean_scale", "spread")


@dataclass(frozen=True, eq=False)
class ConjugatePriors(DefaultPrior):
    """Dirichlet weights, (inverse-)Wishart covariances, and Normal means given the covariances.

        weights       ~ Dirichlet(concentration)
        precisions P  ~ Wishart(dof, scale⁻¹), so that P⁻¹ ~ inverse-Wishart(dof, scale)
        means | P     ~ Normal(mean, P⁻¹ / mean_strength)

    Diagonal families have a gamma distribution of each precision, Gamma(dof / 2, scale / 2), and
    spherical ones the same with the trace of the scale. A model with this prior has the site
    `precisions` in place of `scales` and `correlations`.

    Numbers can be tensors that require gradients, which flow as those of `Priors` do.

    The defaults move with the data's units (Fraley & Raftery 2007): the mean is that of the data,
    and worth a hundredth of an observation; covariances are worth few observations, and their mean
    is the size of k balls that together fill the volume of the data. A component that is much
    tighter than that is widened, as any inverse-Wishart prior would: give it a smaller `scale`.

    Attributes:
        concentration: of the Dirichlet, one number or k of them; or a distribution of one number;
            or `gmm_pyro.Static`, `gmm_pyro.Dynamic` or `gmm_pyro.DirichletProcess`, which are what
            they say. None is 2, and `gmm_pyro.Dynamic()` of an unknown number of components.
        mean: centre of the means, one number or shape (d,); from the data if None.
        mean_strength: observations that the prior of a mean is worth.
        dof: degrees of freedom; if None, d + 2, or 3 for each variance of diagonal families.
        scale: prior sum of squares, one number, d numbers or a matrix (d, d); if None,
            spread² / k^(2/d), which is the prior mean of a covariance if `dof` is None; k is its
            prior mean, rounded, where it is unknown. Or a `gmm_pyro.RandomScale`.
        mean_scale: standard deviations of means that do not depend on the covariances, one number
            or shape (d,): Normal(mean, mean_scale), which is conjugate a block at a time. None for
            means in units of the covariances.
        spread: unit of the default scale, shape (d,); from the data if None.
        feature_names: d names of the features that they are for, in their order, by which frames
            are put in order; from the data if None.

    Example:
        >>> ConjugatePriors(concentration=1.0).scaled_to([0.0, 1.0, 5.0]).mean.tolist()
        [2.0]
    """

    CENTRE = "mean"

    concentration: Any = None
    mean: Any = None
    mean_strength: Any = 0.01
    dof: Any = None
    scale: Any = None
    mean_scale: Any = None
    spread: Float[Tensor, "d"] | None = None
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.feature_names is not None:
            object.__setattr__(self, "feature_names", check_names(self.feature_names))
        if self.spread is not None:
            object.__setattr__(self, "spread", one_a_feature("spread", self.spread))
        for name in NUMBERS:
            value = getattr(self, name)
            if isinstance(value, Concentration | RandomScale | Distribution):
                _check_kind(name, value)
            elif value is not None or name == "mean_strength":
                _check_numbers(name, value)

    def features_known(self, n_components: int) -> int | None:
        """See `Prior`: the length of what is given as an array."""
        del n_components
        scale = self.scale.mean if isinstance(self.scale, RandomScale) else self.scale
        arrays = (self.mean, scale, self.mean_scale, self.spread)
        known = [_numbers("a prior", value).shape[:1] for value in arrays if value is not None]
        return max((size for shape in known for size in shape), default=None)

    def covariance_sites(self, family: CovarianceFamily, factor: Tensor) -> dict[str, Tensor]:
        """Precisions."""
        return conjugate(family).precision_sites(factor)

    @property
    def has_dirichlet_weights(self) -> bool:
        """See `Prior`."""
        return not isinstance(self.concentration, Concentration | Distribution)

    @property
    def is_hierarchical(self) -> bool:
        """Whether the concentration or the scale is unknown itself, or weights are of a stick."""
        return not self.has_dirichlet_weights or isinstance(self.scale, RandomScale)

    def sites(
        self, family: CovarianceFamily, n_components: int, like: Float[Tensor, "*"] | None = None
    ) -> Sites:
        """See `Prior`."""
        prior = self.conjugate(family, n_components, like)
        if prior is None:
            return hierarchical_sites(self.hierarchy(family, n_components, like))
        return Sites(weights=prior.mixing.prior, **prior.components.sites(n_components))

    def conjugate(
        self, family: CovarianceFamily, n_components: int, like: Tensor | None = None
    ) -> Conjugate | None:
        """The distributions of the weights and the components of a model, their numbers checked.

        None where the concentration or the scale is unknown: `hierarchy` has these.

        Raises:
            ValueError: if they do not fit the model, or the data's units are not known.
        """
        if self.is_hierarchical:
            return None
        components, _ = self._components(family, n_components, like)
        alpha = DEFAULT if self.concentration is None else self.concentration
        concentration = _vector("concentration", alpha, n_components, components.dof)
        return Conjugate(Mixing(concentration), components)

    def hierarchy(
        self,
        family: CovarianceFamily,
        n_components: int,
        like: Tensor | None = None,
        unknown: Unknown | None = None,
    ) -> Hierarchy:
        """The distributions with those of what is unknown.

        Args:
            family: covariance family.
            n_components: number of components, the largest of an unknown one.
            like: a tensor whose dtype and device the numbers take; float64 if None.
            unknown: the number of components, if it is unknown.

        Raises:
            ValueError: as `conjugate`; or if concentrations are of single components.
        """
        typical = n_components if unknown is None else unknown.typical
        components, scale = self._components(family, typical, like)
        given = as_concentration(self.concentration)
        if given is None:
            given = Static(DEFAULT) if unknown is None else Dynamic()
        elif not isinstance(given, Concentration):
            given = Static(given)
        if unknown is not None and isinstance(given, DirichletProcess):
            raise ValueError(
                "a Dirichlet process has no number of components to be unknown: give the model the "
                "number n_components where its stick ends"
            )
        log_sizes = torch.full((n_components,), -math.inf, dtype=torch.float64)
        log_sizes[-1] = 0.0
        log_sizes = log_sizes if unknown is None else unknown.log_prior
        return Hierarchy(components, given, log_sizes.to(components.dof.device), scale)

    def of_known(
        self, family: CovarianceFamily, concentration: float, scale: Float[Tensor, "*event"]
    ) -> ConjugatePriors:
        """The same given the concentration and the scale, which is in the family's compact form."""
        if not family.is_matrix:
            d = len(self._known_spread())
            scale = (scale / family.compress(torch.eye(d).to(scale))).expand(d)
        return replace(self, concentration=concentration, scale=scale)

    def _components(
        self, family: CovarianceFamily, k: int, like: Tensor | None
    ) -> tuple[NormalWishart | IndependentMeans, ScalePrior | None]:
        """Means and covariances, and the prior of their scale if it is random."""
        known = self._known_spread()
        family, d = conjugate(family), len(known)
        like = known.double() if like is None else like
        spread = known.to(like)
        default = family.squares_a_point(d) + family.proper_dof(d) + 2
        dof = _numbers("dof", default if self.dof is None else self.dof).to(like)
        if not dof > family.proper_dof(d):
            raise ValueError(
                f"dof must be above {family.proper_dof(d)} for {family.name} covariances in "
                f"{d} dimensions, got {float(dof)}"
            )
        random = self.scale if isinstance(self.scale, RandomScale) else None
        given = self.scale if random is None else random.mean
        if given is None:
            matrix = torch.diag(spread.square()) / k ** (2 / d)
        else:
            matrix = _matrix(_numbers("scale", given).to(like), d)
        mean = _vector("mean", self.mean, d, like)[None, None]
        precisions = dof[None, None], family.compress(matrix)[None, None]
        scale = None if random is None else ScalePrior.of(family, random.dof, matrix, like)
        if self.mean_scale is not None:
            spread = _vector("mean_scale", self.mean_scale, d, like)
            return IndependentMeans(family, mean, spread, *precisions), scale
        strength = _numbers("mean_strength", self.mean_strength).to(like)[None, None]
        return NormalWishart(family, mean, strength, *precisions), scale


def _check_kind(name: str, value: Any) -> None:
    """Refuse what is no number where only a number makes sense."""
    kinds = {"concentration": Concentration | Distribution, "scale": RandomScale}
    if name not in kinds or not isinstance(value, kinds[name]):
        raise ValueError(f"{name} must be a number or an array of numbers, got {shown(value)}")
    if isinstance(value, RandomScale) and value.mean is not None:
        _check_numbers("scale", value.mean)
    if name == "concentration":
        as_concentration(value)


def _check_numbers(name: str, value: Any) -> None:
    numbers = _numbers(name, value)
    if name not in ("mean", "scale") and not bool((numbers > 0).all()):
        raise ValueError(f"{name} must be positive, got {shown(value)}")
    if name in ("mean_strength", "dof") and numbers.ndim:
        raise ValueError(f"{name} must be one number, got {shown(value)}")


def _numbers(name: str, value: Any) -> Tensor:
    """The value as a finite tensor in float64, with the gradients of tensors in it."""
    if isinstance(value, list | tuple) and learned(value):
        parts = [_numbers(name, item) for item in value]
        if len({part.shape for part in parts}) > 1:
            raise ValueError(f"{name} must be a rectangular array, got {shown(value)}")
        return torch.stack(parts)
    numbers = torch.from_numpy(np.array(finite(value, name)))
    return value.to(numbers) if isinstance(value, Tensor) else numbers


def _vector(name: str, value: Any, size: int, like: Tensor) -> Tensor:
    numbers = _numbers(name, value).to(like)
    if numbers.shape not in ((), (size,)):
        raise ValueError(
            f"{name} must be one number or {size} of them, got shape {tuple(numbers.shape)}"
        )
    return numbers.expand(size).clone()


def _matrix(scale: Tensor, d: int) -> Float[Tensor, "d d"]:
    """A prior sum of squares as a matrix."""
    if scale.shape in ((), (d,)):
        scale = torch.diag(scale.expand(d))
    symmetric = scale.shape == (d, d) and torch.allclose(scale, scale.mT)
    if not symmetric or int(torch.linalg.cholesky_ex(scale)[1]):
        raise ValueError(
            f"scale must be positive: one number, {d} of them, or a positive definite matrix of "
            f"shape ({d}, {d}); got shape {tuple(scale.shape)}"
        )
    return scale
