"""How good a clustering, a mixture or its parameters are: pure functions of labels and mixtures.

Scores of labels are invariant under renaming of the clusters. Densities are in nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.checks import MOST_HELD, check_count
from ..mixture.checks import check_mixture
from ..mixture.value import GaussianMixture


@dataclass(frozen=True)
class ParameterErrors:
    """How far a mixture's parameters are from the truth's, in numbers without units.

    Attributes:
        weights: the largest absolute error of a weight.
        means: root mean square error of the means, in standard deviations of the features.
        covariances: root mean square over the components of the relative Frobenius error.
    """

    weights: float
    means: float
    covariances: float


@dataclass(frozen=True)
class Estimate:
    """A Monte-Carlo estimate and its standard error."""

    value: float
    standard_error: float


# ---------------------------------------------------------------------- parameters


def match_components(mixture: GaussianMixture, truth: GaussianMixture) -> list[int]:
    """The order of a mixture's components that fits the truth's best.

    It minimises the sum over matched pairs of the squared 2-Wasserstein distance between the two
    Gaussians, in units of the truth's feature standard deviations: unlike measures of overlap, it
    tells far from farther. Weights play no part.

    Args:
        mixture: the mixture to be put in order, of k components.
        truth: the mixture that gives the order, with the same features.

    Returns:
        A permutation of 0 to k - 1, for `mixture.permute`. With as many components as the truth,
        component order[j] is matched to component j of the truth. With more, the first ones are so
        matched, and those without a match follow in their own order. With fewer, they follow the
        order of the truth's components that they are matched to.

    Raises:
        ValueError: if the mixtures have different numbers of features.

    Example:
        >>> truth = GaussianMixture([0.5, 0.5], [-2.0, 2.0], [1.0, 1.0], "spherical")
        >>> match_components(truth.permute([1, 0]), truth)
        [1, 0]
    """
    from scipy.optimize import linear_sum_assignment

    check_mixture("mixture", mixture), check_mixture("truth", truth)
    cost = _squared_wasserstein(truth, mixture, unit=_feature_sd(truth))
    _, matched = linear_sum_assignment(cost.numpy())
    order = [int(i) for i in matched]
    return order + [i for i in range(mixture.n_components) if i not in order]


def parameter_errors(mixture: GaussianMixture, truth: GaussianMixture) -> ParameterErrors:
    """Errors of a mixture's parameters, after its components are matched to the truth's.

    With s the standard deviations of the truth's features, S = diag(s), and k components:

        weights      max_k |w_k - w*_k|
        means        sqrt( mean over k and features of ((μ_k - μ*_k) / s)² )
        covariances  sqrt( mean over k of (‖S⁻¹(Σ_k - Σ*_k)S⁻¹‖_F / ‖S⁻¹ Σ*_k S⁻¹‖_F)² )

    so that none depends on the units of the features.

    Args:
        mixture: the estimate.
        truth: the mixture that it estimates, with the same features.

    Returns:
        The errors; NaN if the numbers of components differ.

    Raises:
        ValueError: if the mixtures have different numbers of features.

    Example:
        >>> truth = GaussianMixture([0.5, 0.5], [-2.0, 2.0], [1.0, 1.0], "spherical")
        >>> estimate = GaussianMixture([0.6, 0.4], [2.0, -2.0], [1.0, 1.5], "spherical")
        >>> errors = parameter_errors(estimate, truth)
        >>> round(errors.weights, 6), errors.means, round(errors.covariances, 4)
        (0.1, 0.0, 0.3536)
    """
    order = match_components(mixture, truth)
    if mixture.n_components != truth.n_components:
        return ParameterErrors(math.nan, math.nan, math.nan)
    found, sd = mixture.in_order_of(truth.feature_names).permute(order), _feature_sd(truth)
    means = (_cpu(found.means) - _cpu(truth.means)) / sd
    true = _cpu(truth.covariance_matrices()) / sd / sd[:, None]
    shift = _cpu(found.covariance_matrices()) / sd / sd[:, None] - true
    relative = torch.linalg.matrix_norm(shift) / torch.linalg.matrix_norm(true)
    return ParameterErrors(
        weights=float((_cpu(found.weights) - _cpu(truth.weights)).abs().max()),
        means=float(means.square().mean().sqrt()),
        covariances=float(relative.square().mean().sqrt()),
    )


def _squared_wasserstein(
    a: GaussianMixture, b: GaussianMixture, unit: Float[Tensor, "d"]
) -> Float[Tensor, "ka kb"]:
    """Squared 2-Wasserstein distance between each Gaussian of a and each of b.

    |μ - ν|² + tr A + tr B - 2 tr (A^½ B A^½)^½, with all lengths in these units. The last trace is
    the sum of the singular values of L_Aᵀ L_B, where A = L_A L_Aᵀ: no square root can meet a
    negative eigenvalue, however badly conditioned the covariances are.

    Source: Peyré & Cuturi (2019), Computational Optimal Transport, remark 2.31.
    """
    if a.n_features != b.n_features:
        raise ValueError(
            f"the mixtures must have the same features, got {a.n_features} and {b.n_features}"
        )
    b = b.in_order_of(a.feature_names)
    left, right = (_scale_tril(mixture) / unit[:, None] for mixture in (a, b))
    shift = (_cpu(a.means)[:, None] - _cpu(b.means)) / unit
    traces = left.square().sum((-2, -1))[:, None] + right.square().sum((-2, -1))
    across = torch.linalg.svdvals(left[:, None].mT @ right).sum(-1)
    squared: Tensor = shift.square().sum(-1) + traces - 2 * across
    return squared.clamp_min(0.0)


def _scale_tril(mixture: GaussianMixture) -> Float[Tensor, "k d d"]:
    """Lower Cholesky factors of the covariances, whatever the family."""
    tril = mixture.family.scale_tril(mixture.parameters.factor[0], mixture.n_features)
    return _cpu(tril).expand(mixture.n_components, -1, -1)


def _feature_sd(mixture: GaussianMixture) -> Float[Tensor, "d"]:
    """Standard deviation of each feature under the whole mixture."""
    return _cpu(mixture.covariance()).diagonal().sqrt()


def _cpu(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return tensor.to("cpu", torch.float64)


# ---------------------------------------------------------------------- densities


def mean_log_density(mixture: GaussianMixture, x: Any, sample_weight: Any = None) -> float:
    """Mean of log p(x) over the points, in nats per point; higher is better.

    Args:
        mixture: the density.
        x: points of shape (n, d), as the mixture takes them; held-out ones for a fair comparison.
        sample_weight: how often each point counts, shape (n,), or None.

    Raises:
        ValueError: if x is not numeric, not finite or not of this shape, or the weights do not fit.

    Source: the logarithmic score of Good (1952).

    Example:
        >>> standard = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> round(mean_log_density(standard, [-1.0, 1.0]), 4)
        -1.4189
    """
    return check_mixture("mixture", mixture).criteria(x, sample_weight).mean_log_density


def kl_divergence(
    truth: GaussianMixture, mixture: GaussianMixture, n: int = 100_000, seed: int = 0
) -> Estimate:
    """Kullback-Leibler divergence KL(truth ‖ mixture) in nats, by Monte Carlo.

    The mean of log p(x) - log q(x) over n points of the truth p, with the standard error
    sd / sqrt(n); the value can fall below 0 by a few standard errors.

    Args:
        truth: the mixture p that is drawn from.
        mixture: the mixture q that is compared with it, with the same features.
        n: number of draws, at least 2.
        seed: seed of the draws.

    Raises:
        ValueError: if n is less than 2 or the numbers of features differ.

    Source: Kullback & Leibler (1951); Hershey & Olsen (2007), section 2.

    Example:
        >>> near = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> far = GaussianMixture([1.0], [1.0], [1.0], "spherical")
        >>> estimate = kl_divergence(near, far)  # 1/2 in closed form
        >>> round(estimate.value, 2), round(estimate.standard_error, 3)
        (0.5, 0.003)
    """
    check_mixture("truth", truth), check_mixture("mixture", mixture)
    n = check_count("n", n, 2, MOST_HELD)  # one draw has no standard error
    x, mixture = truth.sample(n, seed), mixture.in_order_of(truth.feature_names)
    excess = truth.log_prob(x).double().cpu() - mixture.log_prob(x).double().cpu()
    return Estimate(float(excess.mean()), float(excess.std()) / math.sqrt(n))


def mixture_wasserstein(a: GaussianMixture, b: GaussianMixture) -> float:
    """The distance MW₂ between two mixtures, in the units of the features.

    MW₂² = min over couplings π of the weights of Σ_kl π_kl W₂²(N_k, N_l): optimal transport in
    which mass moves from whole component to whole component. It is a metric, bounds W₂ from above,
    and has no sampling error.

    Args:
        a: a mixture.
        b: another one, with the same features.

    Raises:
        ValueError: if the mixtures have different numbers of features.
        ImportError: if POT is not installed.

    Source: Delon & Desolneux (2020), by POT's `ot.emd2`. POT's own `ot.gmm.gmm_ot_loss` can be 0
    for distant mixtures whose covariances have condition numbers from about 1e8.

    Example:
        >>> left = GaussianMixture([0.5, 0.5], [-2.0, 2.0], [1.0, 1.0], "spherical")
        >>> right = GaussianMixture([0.5, 0.5], [1.0, 5.0], [1.0, 1.0], "spherical")
        >>> round(mixture_wasserstein(left, right), 6)
        3.0
    """
    check_mixture("a", a), check_mixture("b", b)
    try:
        import ot
    except ImportError as error:
        raise ImportError(
            "mixture_wasserstein needs POT: pip install gmm-pyro[transport]"
        ) from error
    unit = torch.ones(a.n_features, dtype=torch.float64)
    cost = _squared_wasserstein(a, b, unit)
    shares = ((weights / weights.sum()).numpy() for weights in (_cpu(a.weights), _cpu(b.weights)))
    return math.sqrt(float(ot.emd2(*shares, cost.numpy())))


# ---------------------------------------------------------------------- criteria


def bic(mixture: GaussianMixture, x: Any, sample_weight: Any = None) -> float:
    """Bayesian information criterion, -2 log L + p log n; lower is better (Schwarz 1978).

    L is the likelihood of the points x, shape (n, d), and p counts the mixture's free parameters.
    Points with sample weights, shape (n,), count so often, and n is the sum of the weights.

    Example:
        >>> standard = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> round(bic(standard, [-1.0, 1.0]), 4)
        7.062
    """
    return check_mixture("mixture", mixture).bic(x, sample_weight=sample_weight)


def aic(mixture: GaussianMixture, x: Any, sample_weight: Any = None) -> float:
    """Akaike information criterion, -2 log L + 2 p; lower is better (Akaike 1974).

    L is the likelihood of the points x, shape (n, d), and p counts the mixture's free parameters.
    Points with sample weights, shape (n,), count so often.

    Example:
        >>> standard = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> round(aic(standard, [-1.0, 1.0]), 4)
        9.6758
    """
    return check_mixture("mixture", mixture).aic(x, sample_weight=sample_weight)


def icl(mixture: GaussianMixture, x: Any, sample_weight: Any = None) -> float:
    """Integrated completed likelihood, BIC - 2 Σ_n log max_k r_nk; lower is better.

    As BIC at the points x, shape (n, d), with their sample weights if they have some, but a mixture
    also pays for components that overlap there, through its responsibilities r (Biernacki, Celeux &
    Govaert 2000).

    Example:
        >>> single = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> icl(single, [-1.0, 1.0]) == bic(single, [-1.0, 1.0])
        True
    """
    return check_mixture("mixture", mixture).icl(x, sample_weight=sample_weight)
