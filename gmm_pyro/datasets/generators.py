"""Data drawn from a known mixture, which is kept as their truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, family_named
from ..data.checks import MOST_HELD, check_count, check_number, check_seed
from ..mixture.value import GaussianMixture
from .dataset import OUTLIER, Dataset

LEGACY = 2**32 - 1  # largest seed of NumPy's old generator
MOST_NUMBERS = 10**7  # in the covariances of a random mixture
CANDIDATES = 10  # places tried for each mean; the one farthest from the other means is taken

# ---------------------------------------------------------------------- drawn from fixed mixtures


def three_clusters(seed: int = 42) -> Dataset:
    """Three round clusters of 100 points with unit covariance, at (0, 0), (5, 5) and (5, 0).

    The numbers are, to the last bit, those of `np.random.seed(seed)` followed by a call of
    `np.random.multivariate_normal(mean, np.eye(2), 100)` for each cluster.

    Example:
        >>> three_clusters().x[0].tolist()
        [0.4967..., -0.1382...]
    """
    means = np.array([[0.0, 0.0], [5.0, 5.0], [5.0, 0.0]])
    legacy = np.random.RandomState(check_seed(seed, LEGACY))
    x = np.vstack([legacy.multivariate_normal(mean, np.eye(2), 100) for mean in means])
    truth = GaussianMixture(np.full(3, 1 / 3), means, np.tile(np.eye(2), (3, 1, 1)))
    labels = torch.arange(3).repeat_interleave(100)
    return Dataset(torch.from_numpy(x), labels, truth, "three-clusters", truth.feature_names)


def bimodal(seed: int = 0) -> Dataset:
    """Univariate: 500 points about -2 and 500 about 2, with standard deviation 0.5.

    Example:
        >>> bimodal().truth.means.flatten().tolist()
        [-2.0, 2.0]
    """
    return _drawn("bimodal", [500, 500], [[-2.0], [2.0]], np.full((2, 1, 1), 0.25), seed)


def tight_and_diffuse(seed: int = 0) -> Dataset:
    """200 points of a tight cluster inside 5,000 diffuse ones.

    The tight cluster, component 0, has standard deviation 0.1 and lies at (2, 2); the diffuse one
    has standard deviation 3 about the origin. One starting point in 26 falls in the tight cluster.

    Example:
        >>> tight_and_diffuse().labels.bincount().tolist()
        [200, 5000]
    """
    covariances = np.array([0.1, 3.0])[:, None, None] ** 2 * np.eye(2)
    means = [[2.0, 2.0], [0.0, 0.0]]
    return _drawn("tight-and-diffuse", [200, 5000], means, covariances, seed)


def anisotropic(seed: int = 0) -> Dataset:
    """Three clusters of 200 points, stretched 8 to 1 and each turned another way.

    Nearest means, as k-means finds them, cut these clusters across; full covariances do not.

    Example:
        >>> anisotropic().n
        600
    """
    means = [[0.0, 0.0], [0.0, 2.5], [4.0, 0.0]]
    covariances = np.stack([_ellipse(2.0, 0.25, degrees) for degrees in (15.0, -15.0, 80.0)])
    return _drawn("anisotropic", [200, 200, 200], means, covariances, seed)


def _ellipse(long: float, short: float, degrees: float) -> Float[np.ndarray, "2 2"]:
    """Covariance with these standard deviations along axes turned by an angle."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    root = turn * np.array([long, short])
    return np.asarray(root @ root.T)


def _drawn(
    name: str,
    counts: Sequence[int],
    means: Sequence[Sequence[float]],
    covariances: Float[np.ndarray, "k d d"],
    seed: int,
) -> Dataset:
    """Exactly so many points of each component; the truth has their shares as weights."""
    truth = GaussianMixture(np.divide(counts, sum(counts)), means, covariances)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    noise = np.random.default_rng(check_seed(seed)).standard_normal((len(labels), truth.n_features))
    tril = torch.linalg.cholesky(truth.covariances)[labels]
    x = truth.means[labels] + (tril @ torch.from_numpy(noise)[..., None])[..., 0]
    return Dataset(x, labels, truth, name, truth.feature_names)


# ---------------------------------------------------------------------- drawn from random mixtures


def make_mixture(
    n: int = 300,
    d: int = 2,
    k: int = 3,
    *,
    separation: float = 3.0,
    covariance: str = "full",
    imbalance: float = 0.0,
    outliers: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """Draw n points of a random mixture of k components in d dimensions.

    The truth depends on neither n nor outliers. Its unit is the within-cluster standard deviation,
    σ² = Σ_k w_k tr Σ_k / d = 1: the variance of a feature about its component's mean, pooled over
    components and features.

    Args:
        n: number of points, outliers included.
        d: number of features.
        k: number of components.
        separation: the smallest distance between two means, in units of σ; exact.
        covariance: name of the truth's covariance family, or mclust's code.
        imbalance: from 0, equal weights, towards 1: the weights fall geometrically, each being
            (1 - imbalance) times the one before.
        outliers: share of the points that are uniform over the others' bounding box with its sides
            doubled. They come last, with label -1; the truth does not describe them.
        seed: seed of the truth and of the points.

    Raises:
        ValueError: if an argument is out of range, or the family does not exist.

    Example:
        >>> data = make_mixture(n=50, d=3, k=2, covariance="tied", outliers=0.1)
        >>> data.x.shape, int((data.labels == -1).sum()), data.truth.family.name
        (torch.Size([50, 3]), 5, 'tied')
    """
    n, d, k = check_count("n", n, 1, MOST_HELD), check_count("d", d), check_count("k", k)
    if k * d**2 > MOST_NUMBERS:
        raise ValueError(f"k d² must be at most {MOST_NUMBERS}, of k = {k} and d = {d}")
    separation = check_number("separation", separation)
    imbalance = check_number("imbalance", imbalance, high=1.0)
    outliers = check_number("outliers", outliers, high=1.0)
    family = family_named(covariance)
    rng = np.random.default_rng(check_seed(seed))
    means = separation * _spread_means(k, d, rng)
    truth = _random_truth(means, (1.0 - imbalance) ** np.arange(k), family, rng)
    n_outliers = min(round(n * outliers), n - 1)
    inside = truth.sample_labelled(n - n_outliers, seed=int(rng.integers(2**63)))
    x = torch.cat([inside.x, around(inside.x, n_outliers, rng)])
    labels = torch.cat([inside.labels, torch.full((n_outliers,), OUTLIER)])
    return Dataset(x, labels, truth, "make-mixture", truth.feature_names)


def _spread_means(k: int, d: int, rng: np.random.Generator) -> Float[Tensor, "k d"]:
    """Spread k means about the origin, of which the closest two are at distance 1.

    Each is the best of a few candidates, so that they fill a cube evenly (Mitchell 1991).
    """
    means = torch.from_numpy(rng.uniform(size=(1, d)))
    for _ in range(k - 1):
        candidates = torch.from_numpy(rng.uniform(size=(CANDIDATES, d)))
        farthest = torch.cdist(candidates, means).amin(1).argmax()
        means = torch.cat([means, candidates[farthest][None]])
    means = means - means.mean(0)
    return means / torch.pdist(means).min() if k > 1 else means


def _random_truth(
    means: Float[Tensor, "k d"],
    ratios: Float[np.ndarray, "k"],
    family: CovarianceFamily,
    rng: np.random.Generator,
) -> GaussianMixture:
    """A mixture with random covariances of a family, whose pooled variance is 1."""
    k, d = means.shape
    weights = torch.from_numpy(ratios / ratios.sum())
    dense = _random_covariances(family.n_covariances(k), d, rng)
    zero = torch.zeros(d, dtype=torch.float64)
    factor = family.fit_all(family.compress(dense)[None], weights[None], zero)[0]
    variances = family.dense(factor, d).expand(k, -1, -1).diagonal(dim1=-2, dim2=-1)
    pooled = weights @ variances.mean(-1)
    return GaussianMixture(weights, means, family.covariances(factor) / pooled, family.name)


def _random_covariances(k: int, d: int, rng: np.random.Generator) -> Float[Tensor, "k d d"]:
    """Covariances that differ in size, in the scales of the features and in correlations.

    Correlations are cosines between random directions in 2 d dimensions; standard deviations are
    a size of the component times a scale of each feature, both log-uniform in e^(-½) to e^½.
    """
    directions = rng.standard_normal((k, d, 2 * d))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    sizes = rng.uniform(-0.5, 0.5, size=(k, 1)) + rng.uniform(-0.5, 0.5, size=(k, d))
    root = torch.from_numpy(np.exp(sizes)[..., None] * directions)
    return root @ root.mT


def around(
    x: Float[Tensor, "n d"], m: int, rng: np.random.Generator, times: float = 2.0
) -> Float[Tensor, "m d"]:
    """Draw m points, uniform over the bounding box of x with its sides so many times as long."""
    low, high = x.amin(0), x.amax(0)
    uniform = rng.uniform(0.5 - times / 2, 0.5 + times / 2, size=(m, x.shape[1]))
    return low + (high - low) * torch.from_numpy(uniform)
