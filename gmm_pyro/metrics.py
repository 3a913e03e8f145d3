"""How good a clustering, a mixture or its parameters are: pure functions of labels and mixtures.

Scores of labels are invariant under renaming of the clusters. Densities are in nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from .mixture import GaussianMixture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

OUTLIER = -1  # the true label of a point that belongs to no class


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


# ---------------------------------------------------------------------- labels


def adjusted_rand(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Adjusted Rand index: 1 for the same partition, about 0 for independent ones, at least -1/2.

    (RI - E RI) / (max RI - E RI), where RI is the share of pairs of points on which the partitions
    agree and E its mean over random partitions with the same sizes.

    Args:
        labels: true class of each point, shape (n,); points labelled -1, outliers, are left out.
        predicted: cluster of each point, shape (n,); every value is a cluster.

    Raises:
        ValueError: if the shapes differ or no point is left.

    Source: Hubert & Arabie (1985), by scikit-learn.

    Example:
        >>> adjusted_rand([0, 0, 1, 1], [5, 5, 3, 3])
        1.0
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(*_labelled(labels, predicted)))


def normalised_mutual_information(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Normalised mutual information: 1 for the same partition, 0 for independent ones.

    2 I(labels; predicted) / (H(labels) + H(predicted)), with entropies of the empirical shares.

    Args:
        labels: true class of each point, shape (n,); points labelled -1, outliers, are left out.
        predicted: cluster of each point, shape (n,); every value is a cluster.

    Raises:
        ValueError: if the shapes differ or no point is left.

    Source: Vinh, Epps & Bailey (2010), by scikit-learn.

    Example:
        >>> round(normalised_mutual_information([0, 0, 1, 1], [0, 0, 1, 2]), 3)
        0.8
    """
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(*_labelled(labels, predicted)))


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Share of points in the right class, after the best matching of clusters to classes.

    Clusters are matched one to one; where there are more of one kind than of the other, the points
    of those that remain count as wrong.

    Args:
        labels: true class of each point, shape (n,); points labelled -1, outliers, are left out.
        predicted: cluster of each point, shape (n,); every value is a cluster.

    Raises:
        ValueError: if the shapes differ or no point is left.

    Source: Kuhn (1955), by SciPy's `linear_sum_assignment` on the contingency table.

    Example:
        >>> accuracy([0, 0, 1, 1], [1, 1, 0, 2])
        0.75
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(*_labelled(labels, predicted))
    matched = linear_sum_assignment(table, maximize=True)
    return float(table[matched].sum() / table.sum())


def _labelled(
    labels: ArrayLike, predicted: ArrayLike
) -> tuple[Shaped[np.ndarray, "m"], Shaped[np.ndarray, "m"]]:
    """Both labellings as arrays, without the outliers."""
    true, found = np.asarray(labels), np.asarray(predicted)
    if true.ndim != 1 or true.shape != found.shape:
        raise ValueError(
            f"labels and predicted must have the same shape (n,), got {true.shape} "
            f"and {found.shape}"
        )
    known = true != OUTLIER
    if not known.any():
        raise ValueError(f"labels must hold a point that is no outlier, got {len(true)} outliers")
    return true[known], found[known]


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


def mean_log_density(mixture: GaussianMixture, x: Any) -> float:
    """Mean of log p(x) over the points, in nats per point; higher is better.

    Args:
        mixture: the density.
        x: points of shape (n, d), as the mixture takes them; held-out ones for a fair comparison.

    Raises:
        ValueError: if x is not numeric, not finite or not of this shape.

    Source: the logarithmic score of Good (1952).

    Example:
        >>> standard = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> round(mean_log_density(standard, [-1.0, 1.0]), 4)
        -1.4189
    """
    return float(mixture.log_prob(x).double().mean())


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
    if n < 2:
        raise ValueError(f"n must be at least 2, for a standard error, got {n}")
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


def bic(mixture: GaussianMixture, x: Any) -> float:
    """Bayesian information criterion, -2 log L + p log n; lower is better (Schwarz 1978).

    L is the likelihood of the points x, shape (n, d), and p counts the mixture's free parameters.

    Example:
        >>> standard = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> round(bic(standard, [-1.0, 1.0]), 4)
        7.062
    """
    return mixture.bic(x)


def aic(mixture: GaussianMixture, x: Any) -> float:
    """Akaike information criterion, -2 log L + 2 p; lower is better (Akaike 1974).

    L is the likelihood of the points x, shape (n, d), and p counts the mixture's free parameters.

    Example:
        >>> standard = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> round(aic(standard, [-1.0, 1.0]), 4)
        9.6758
    """
    return mixture.aic(x)


def icl(mixture: GaussianMixture, x: Any) -> float:
    """Integrated completed likelihood, BIC - 2 Σ_n log max_k r_nk; lower is better.

    As BIC at the points x, shape (n, d), but a mixture also pays for components that overlap there,
    through its responsibilities r (Biernacki, Celeux & Govaert 2000).

    Example:
        >>> single = GaussianMixture([1.0], [0.0], [1.0], "spherical")
        >>> icl(single, [-1.0, 1.0]) == bic(single, [-1.0, 1.0])
        True
    """
    return mixture.icl(x)
