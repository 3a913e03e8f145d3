"""The prior that scikit-learn's arguments name: checked in its words, defaults from the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from ..covariance import ConjugateFamily, conjugate, family_named
from ..data.checks import check_number
from ..data.points import Observations
from ..inference.variational.weights import weights_of
from ..model.concentration import DirichletProcess, Static
from ..model.conjugate import ConjugatePriors
from ..model.normal_wishart import NormalWishart
from ..model.program import MixtureModel
from .bayesian_steps import BayesianSteps
from .open_stick import opened
from .starts import Array, given_array, positive_root

STICKS, DIRICHLET = "dirichlet_process", "dirichlet_distribution"
SINGULAR = 1e-10  # smallest eigenvalue of a matrix of correlations that is one


@dataclass(frozen=True, eq=False)
class BayesianPrior:
    """What is held of a mixture before there are points.

    Attributes:
        family: covariance family.
        sticks: whether weights are broken off a stick.
        concentration: of the weights.
        mean_strength: observations that each mean is worth, κ₀.
        mean: of the means, shape (d,).
        dof: ν₀, in points.
        covariance: Ψ₀, in the shape of one covariance.
        raised: what makes Ψ₀ a prior, on its diagonal, where the data's covariance is singular.
    """

    family: ConjugateFamily
    sticks: bool
    concentration: float
    mean_strength: float
    mean: Array
    dof: float
    covariance: Array
    raised: float = 0.0

    @property
    def d(self) -> int:
        """Number of features."""
        return len(self.mean)

    @property
    def attributes(self) -> dict[str, Any]:
        """The numbers by scikit-learn's names."""
        return {
            "weight_concentration_prior_": self.concentration,
            "mean_precision_prior_": self.mean_strength,
            "mean_prior_": self.mean,
            "degrees_of_freedom_prior_": self.dof,
            "covariance_prior_": self.covariance
            if self.covariance.ndim
            else float(self.covariance),
        }

    def model(self, k: int) -> MixtureModel:
        """A model of k components, whose covariances have a prior of their own type.

        It is worth as many points; one point is d degrees of freedom of a spherical variance.
        """
        concentration = DirichletProcess(self.concentration) if self.sticks else self.concentration
        priors = ConjugatePriors(
            concentration=concentration,
            mean=self.mean,
            mean_strength=self.mean_strength,
            dof=self.dof * self.family.squares_a_point(self.d),
            scale=raised_by(self.raised, self.covariance),
        )
        return MixtureModel(k, self.family.name, priors=priors)

    def steps(self, k: int, ridge: float, like: Tensor) -> BayesianSteps:
        """scikit-learn's steps for k components."""
        components = NormalWishart(
            self.family,
            mean=like.new_tensor(self.mean)[None, None],
            mean_strength=like.new_tensor([[self.mean_strength]]),
            dof=like.new_tensor([[self.dof]]),
            scale=self._compact(self.covariance, like),
        )
        proper = replace(
            components, scale=self._compact(raised_by(self.raised, self.covariance), like)
        )
        kind = DirichletProcess if self.sticks else Static
        weights = opened(weights_of(kind(self.concentration), k, like))
        return BayesianSteps(weights, components, proper, k, ridge)

    def _compact(self, covariance: Array, like: Tensor) -> Tensor:
        """In the form of the family, with axes for sets and components."""
        found = like.new_tensor(covariance)
        matrix = found if found.ndim == 2 else found.expand(self.d).diag()
        return self.family.compress(matrix)[None, None]


def prior_of(estimator: Any, observations: Observations) -> BayesianPrior:
    """The prior that an estimator's arguments name.

    Args:
        estimator: a `PyroBayesianGaussianMixture`, whose attributes are the constructor's
            arguments.
        observations: the data, by whose mean and covariance the defaults go.

    Raises:
        ValueError: if an argument is not valid, or the data have no covariance.
    """
    family, d = conjugate(family_named(estimator.covariance_type)), observations.d
    given = estimator.weight_concentration_prior
    strength, freedom = estimator.mean_precision_prior, estimator.degrees_of_freedom_prior
    if freedom is not None and not freedom > d - 1:
        raise ValueError(
            f"The parameter 'degrees_of_freedom_prior' should be greater than {d - 1}, but got "
            f"{freedom:.3f}."
        )
    covariance, raised = _covariance(estimator, family, observations)
    return BayesianPrior(
        family,
        estimator.weight_concentration_prior_type == STICKS,
        _positive("weight_concentration_prior", given, 1.0 / estimator.n_components),
        _positive("mean_precision_prior", strength, 1.0),
        _mean(estimator, observations),
        _positive("degrees_of_freedom_prior", freedom, d),
        covariance,
        raised,
    )


def _positive(name: str, value: Any, default: float) -> float:
    return default if value is None else check_number(name, value, positive=True)


def _mean(estimator: Any, observations: Observations) -> Array:
    if estimator.mean_prior is not None:
        return np.asarray(given_array(estimator.mean_prior, (observations.d,), "means"))
    x, weight = _points(observations)
    return x.mean(axis=0) if weight is None else weight @ x / weight.sum()


def _covariance(
    estimator: Any, family: ConjugateFamily, observations: Observations
) -> tuple[Array, float]:
    """Ψ₀, and by how much it is to be raised: what is given, or the covariance of the data."""
    given, shape = estimator.covariance_prior, _shape(family, observations.d)
    if given is None:
        return _of_data(estimator, family, observations)
    if not shape:
        return np.asarray(check_number("covariance_prior", given, positive=True)), 0.0
    name = f"{family.name} covariance_prior"
    prior = given_array([given] if isinstance(given, Real) else given, shape, name)
    positive_root(family, prior if family.tied else prior[None], f"{family.name} precision")
    return np.asarray(prior), 0.0


def _shape(family: ConjugateFamily, d: int) -> tuple[int, ...]:
    """Of one covariance, as the user sees it."""
    return family.shape(1, d)[0 if family.tied else 1 :]


def _of_data(
    estimator: Any, family: ConjugateFamily, observations: Observations
) -> tuple[Array, float]:
    """The data's covariance; where it is singular, it takes `reg_covar` to be a prior's."""
    x, weight = _points(observations)
    covariance = np.atleast_2d(np.cov(x.T)) if weight is None else _weighted(x, weight)
    found = _of_type(family, covariance)
    if not _is_singular(found):
        return found, 0.0
    if _is_singular(raised_by(estimator.reg_covar, found)):
        raise ValueError(
            "covariance_prior is that of X if it is not given, and X has a covariance that is "
            f"singular, also with reg_covar={estimator.reg_covar:g} on its diagonal: give "
            "covariance_prior, or a larger reg_covar"
        )
    return found, float(estimator.reg_covar)


def raised_by(variance: float, covariance: Array) -> Array:
    """A covariance with more variance of every feature."""
    return np.asarray(
        covariance + variance * (np.eye(len(covariance)) if covariance.ndim == 2 else 1)
    )


def _of_type(family: ConjugateFamily, covariance: Array) -> Array:
    if family.is_matrix:
        return covariance
    variances = np.diag(covariance)
    return variances if len(_shape(family, len(variances))) else np.asarray(variances.mean())


def _is_singular(covariance: Array) -> bool:
    """Whether it is to rounding, in any units."""
    variances = np.diag(covariance) if covariance.ndim == 2 else covariance
    if not (variances > 0).all():
        return True
    if covariance.ndim < 2:
        return False
    scale = np.sqrt(variances)
    return bool(np.linalg.eigvalsh(covariance / scale / scale[:, None])[0] <= SINGULAR)


def _weighted(x: Array, weight: Array) -> Array:
    """The covariance of points that count so often."""
    total = weight.sum()
    if not total > 1:
        raise ValueError(
            "covariance_prior is that of X if it is not given, and needs sample_weight to sum to "
            f"more than one point, got {total:g}: weights say how often points count"
        )
    centred = x - weight @ x / total
    return np.asarray((weight * centred.T) @ centred / (total - 1))


def _points(observations: Observations) -> tuple[Array, Array | None]:
    weight = observations.sample_weight
    x = np.asarray(observations.x, dtype=float)
    return x, None if weight is None else np.asarray(weight, dtype=float)
