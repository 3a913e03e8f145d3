"""A mixture by scikit-learn's names, what owners have set by hand, and what a pickle holds."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from ..covariance import CovarianceFamily, family_named
from ..data.points import LeftOut, Observations
from ..inference.evidences import told_with_evidence
from ..inference.fit import Fit
from ..inference.task import FitWarning
from ..inference.warned import complaints
from ..mixture.record import check_noise
from ..mixture.value import GaussianMixture
from .arguments import AUTO
from .starts import Array, RandomState


def attributes_of(mixture: GaussianMixture) -> dict[str, Any]:
    """The parameters of a mixture by scikit-learn's names."""
    family, factor, like = mixture.family, mixture.parameters.factor[0], mixture.means
    noise = {} if mixture.noise_component is None else {"noise_weight_": mixture.noise_weight}
    return {
        "n_components_": mixture.n_components,
        "covariance_type_": family.name,
        "weights_": numpy_of(mixture.weights),
        "means_": numpy_of(mixture.means),
        "covariances_": numpy_of(mixture.covariances),
        "precisions_": numpy_of(family.precisions(factor).to(like)),
        "precisions_cholesky_": numpy_of(family.precision_cholesky(factor).to(like)),
        **noise,
    }


def numpy_of(tensor: torch.Tensor) -> Array:
    """A tensor as an array."""
    return np.asarray(tensor.cpu().numpy())


def by_hand(estimator: Any) -> GaussianMixture:
    """The mixture of the attributes as they are, with the fit's component of noise if any."""
    found = GaussianMixture(
        estimator.weights_,
        torch.as_tensor(np.asarray(estimator.means_, dtype=float)),
        *(_covariances_by_hand(estimator), _family_by_hand(estimator)),
        getattr(estimator, "feature_names_in_", None),
    )
    fitted = estimator.fit_.mixture if hasattr(estimator, "fit_") else found
    if fitted.noise_component is None:
        return found
    log_odds = check_noise(fitted.noise_component, estimator.noise_weight_)
    return GaussianMixture.from_parameters(
        *(found.family, replace(found.parameters, log_odds=log_odds)),
        dtype=found.means.dtype,
        feature_names=found.feature_names,
        noise_component=fitted.noise_component,
    )


def _covariances_by_hand(estimator: Any) -> Any:
    """From the Cholesky factors of the precisions, as in scikit-learn, if they are there."""
    if not hasattr(estimator, "precisions_cholesky_"):
        return estimator.covariances_
    family = family_named(_family_by_hand(estimator))
    root = torch.as_tensor(np.asarray(estimator.precisions_cholesky_, dtype=float))
    precisions = root @ root.mT if family.is_matrix else root.square()
    return family.precisions(family.factorise(precisions))


def _family_by_hand(estimator: Any) -> str:
    """The family that the constructor names, or that a fit has chosen."""
    name: str = estimator.covariance_type
    return estimator.covariance_type_ if name == AUTO else name


def sampled(
    estimator: Any, family: CovarianceFamily, n: int, random: RandomState
) -> tuple[Array, Array]:
    """Points drawn from the attributes, and their components: scikit-learn's, number by number."""
    mixture = estimator._mixture
    if mixture.noise_component is not None:  # which scikit-learn has none of
        sample = mixture.sample_labelled(n, int(random.randint(2**31)))
        order = (sample.labels % (1 + mixture.n_components)).argsort(stable=True)
        return numpy_of(sample.x[order]), numpy_of(sample.labels[order])
    d = estimator.means_.shape[1]
    counts = random.multinomial(n, estimator.weights_)
    shared = family.shares("covariances")
    covariances = [estimator.covariances_] * len(counts) if shared else estimator.covariances_
    drawn = [
        random.multivariate_normal(mean, covariance, int(count))
        if family.is_matrix
        else mean + random.standard_normal((count, d)) * np.sqrt(covariance)
        for mean, covariance, count in zip(estimator.means_, covariances, counts, strict=True)
    ]
    return np.vstack(drawn), np.repeat(np.arange(len(counts)), counts)


def in_type(mixture: GaussianMixture, dtype: np.dtype[Any]) -> GaussianMixture:
    """The mixture in single or double precision."""
    kind = torch.float32 if dtype == np.float32 else torch.float64
    return GaussianMixture.from_parameters(
        mixture.family,
        mixture.parameters,
        dtype=kind,
        feature_names=mixture.feature_names,
        noise_component=mixture.noise_component,
    )


def left_out(whole: Observations) -> LeftOut:
    """What is known of data without the points."""
    return LeftOut(
        (whole.n, whole.d),
        torch.empty(0, dtype=whole.dtype, device=whole.device),
        whole.feature_names,
        whole.origin,
        whole.scale,
        whole.total_weight,
    )


def without_data(fit: Fit) -> Fit:
    """The fit with nothing that grows with the number of points; draws are kept, and its evidence.

    What needs the data raises ValueError.
    """
    observations, posterior = left_out(fit.observations), fit.posterior
    if posterior is not None:
        posterior = replace(posterior, observations=observations, allocations=None, kept=None)
    return replace(
        fit,
        posterior=posterior,
        observations=observations,
        own_labels=None,
        diagnostics=told_with_evidence(fit),
    )


def warn_of(result: Fit) -> None:
    """Warn as `gmm_pyro.fit` does."""
    kinds = [FitWarning] if result.converged else [ConvergenceWarning, FitWarning]
    for message, kind in zip(complaints(result), kinds, strict=False):
        warnings.warn(message, kind, stacklevel=6)
