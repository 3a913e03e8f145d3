"""What a mixture consists of: parameters as the user sees them, and the same in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters, family_named
from ..data.arrays import array_of, dense_tensor, real
from ..data.checks import check_number, shown
from ..data.devices import PRECISIONS
from ..data.features import check_names
from .noise_component import NoiseComponent


@dataclass(frozen=True, eq=False, init=False)
class MixtureRecord:
    """The parameters of k Gaussians in d dimensions; `GaussianMixture` adds what they say.

    The attributes are those of `GaussianMixture`.
    """

    weights: Float[Tensor, "k"]
    means: Float[Tensor, "k d"]
    covariances: Float[Tensor, "*covariances"]
    family: CovarianceFamily
    feature_names: tuple[str, ...]
    parameters: Parameters = field(repr=False)
    n_held: int = field(default=0, repr=False)
    noise_component: NoiseComponent | None = None

    def __init__(
        self,
        weights: Any,
        means: Any,
        covariances: Any,
        covariance: str = "full",
        feature_names: Sequence[str] | None = None,
        *,
        noise_component: NoiseComponent | None = None,
        noise_weight: float | None = None,
    ) -> None:
        """Check the parameters and keep them, in the type of `means`.

        Args:
            weights: array-like of shape (k,), non-negative with sum 1.
            means: array-like of shape (k, d), or (k,) for univariate mixtures.
            covariances: array-like in the family's shape.
            covariance: name of the covariance family, or mclust's code.
            feature_names: d column names; x0, x1, … if not given.
            noise_component: of points that belong to no component, or None.
            noise_weight: its probability, below 1; the weights are those among the others.

        Raises:
            ValueError: if shapes do not fit, the weights are not probabilities, or a covariance is
                not positive definite.
        """
        family = family_named(covariance)
        means = tensor_of(means, None, "means")
        means = means[:, None] if means.ndim == 1 else means
        check_means(means)
        weights = tensor_of(weights, means, "weights")
        covariances = tensor_of(covariances, means, "covariances")
        k, d = means.shape
        check_weights(weights, k)
        factor = check_covariances(family, covariances, (k, d))
        log_odds = check_noise(noise_component, noise_weight)
        if noise_component is not None:
            noise_component = noise_component.in_order_of(check_names(feature_names, d))
            refuse_other_features(noise_component, d)
        parameters = Parameters(
            weights.double().log()[None], means.double()[None], factor[None], log_odds
        )
        visible = weights, means, covariances
        self._keep(family, visible, parameters, feature_names, noise_component=noise_component)

    @classmethod
    def from_parameters(
        cls,
        family: CovarianceFamily,
        parameters: Parameters,
        *,
        dtype: torch.dtype = torch.float64,
        feature_names: tuple[str, ...] | None = None,
        noise_component: NoiseComponent | None = None,
    ) -> Self:
        """The mixture that a batch of one parameter set describes, with its noise if any."""
        p = Parameters(*(value.detach() for value in parameters.values))
        log_odds = None if noise_component is None else p.log_odds
        p = replace(p, log_weights=p.log_weights.log_softmax(-1), log_odds=log_odds)
        visible = p.log_weights[0].exp(), p.means[0], family.covariances(p.factor[0])
        return cls._assembled(
            family, visible, p, dtype, feature_names, noise_component=noise_component
        )

    @classmethod
    def _assembled(
        cls,
        family: CovarianceFamily,
        visible: tuple[Tensor, Tensor, Tensor],
        parameters: Parameters,
        dtype: torch.dtype,
        feature_names: Sequence[str] | None,
        n_held: int = 0,
        noise_component: NoiseComponent | None = None,
    ) -> Self:
        """From weights, means and covariances as the user sees them, and the same in float64."""
        mixture = cls.__new__(cls)
        weights, means, covariances = (part.detach().to(dtype) for part in visible)
        kept = weights, means, covariances
        mixture._keep(family, kept, parameters, feature_names, n_held, noise_component)
        return mixture

    def _keep(
        self,
        family: CovarianceFamily,
        visible: tuple[Tensor, Tensor, Tensor],
        parameters: Parameters,
        feature_names: Sequence[str] | None,
        n_held: int = 0,
        noise_component: NoiseComponent | None = None,
    ) -> None:
        weights, means, covariances = visible
        vars(self).update(  # as a frozen class's
            weights=weights,
            means=means,
            covariances=covariances,
            family=family,
            feature_names=check_names(feature_names, means.shape[-1]),
            parameters=parameters,
            n_held=n_held,
            noise_component=noise_component,
        )

    # ------------------------------------------------------------------ shape

    @property
    def n_components(self) -> int:
        """Number of components k."""
        return self.means.shape[0]

    @property
    def n_features(self) -> int:
        """Number of features d."""
        return self.means.shape[1]

    @property
    def n_parameters(self) -> int:
        """Number of free parameters, as BIC and AIC count them; of a fit, those not held fixed."""
        of_noise = 0 if self.noise_component is None else self.noise_component.n_parameters
        return self.family.n_parameters(*self.means.shape) - self.n_held + of_noise

    @property
    def noise_weight(self) -> float:
        """Probability of the noise, whose density is that of `noise_component`: 0 without one."""
        log_weight = self.parameters.log_noise
        return 0.0 if log_weight is None else float(log_weight[0].exp())


# ---------------------------------------------------------------------- checks


def tensor_of(values: Any, like: Tensor | None, name: str) -> Tensor:
    """A copy as a detached tensor, in the type of `like`; else in its own, or float64."""
    if isinstance(values, Tensor):
        tensor = dense_tensor(values, name)
    else:
        tensor = torch.from_numpy(real(array_of(values, name), name).astype(np.float64))
    if like is None:
        like = tensor if tensor.dtype in PRECISIONS.values() else tensor.double()
    return tensor.detach().to(like, copy=True)


def check_means(means: Tensor) -> None:
    """Refuse means that are not finite, or of another shape than (k, d)."""
    if means.ndim != 2 or 0 in means.shape or not means.isfinite().all():
        raise ValueError(f"means must be finite, of shape (k, d), got {tuple(means.shape)}")


def check_weights(weights: Tensor, k: int) -> None:
    """Refuse weights that are no k probabilities."""
    if weights.shape != (k,):
        raise ValueError(f"weights must have shape ({k},), got {tuple(weights.shape)}")
    tolerance = 1e-6 * k  # also where float32 weights come with float64 means
    if (weights < 0).any() or not abs(float(weights.double().sum()) - 1) < tolerance:
        raise ValueError(f"weights must be non-negative and sum to 1, got {weights.tolist()}")


def check_noise(component: Any, weight: Any) -> Float[Tensor, "1"] | None:
    """The log odds of a component of noise, or None without one."""
    if component is None and weight is None:
        return None
    if not isinstance(component, NoiseComponent) or weight is None:
        raise ValueError(
            "noise_component must be a gmm_pyro.UniformBox or a gmm_pyro.WideGaussian, and have a "
            f"noise_weight: got {shown(component)} and {shown(weight)}"
        )
    weight = check_number("noise_weight", weight, high=1.0)
    return torch.tensor([weight], dtype=torch.float64).logit()


def refuse_other_features(component: NoiseComponent, d: int) -> None:
    """Refuse a component of noise in other than d dimensions, or one that waits for data."""
    if component.n_features != d:
        raise ValueError(
            f"the noise component is of {component.n_features} features, and the mixture of {d}"
        )


def check_covariances(
    family: CovarianceFamily, covariances: Tensor, shape: tuple[int, int]
) -> Tensor:
    """The factor of the covariances, in float64."""
    if covariances.shape != family.shape(*shape):
        raise ValueError(
            f"covariances of a {family.name} mixture of {shape[0]} components in {shape[1]} "
            f"dimensions must have shape {family.shape(*shape)}, got {tuple(covariances.shape)}"
        )
    factor = family.factorise(covariances.double())
    if not factor.isfinite().all():
        also = "" if family.has_sites else f", and of the form that {family.name} says"
        raise ValueError(f"covariances must be finite, symmetric and positive definite{also}")
    return factor
