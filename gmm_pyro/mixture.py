"""A Gaussian mixture as a value: densities, labels, samples, marginals, conditionals, files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import reduction
from .arrays import array_of, dense_tensor, real, whole_numbers
from .checks import check_count, check_list, check_path, check_seed, shown
from .covariance import CovarianceFamily, Parameters, family_named
from .devices import PRECISIONS
from .features import columns_of, default_names, same_names
from .kernels import Theta, theta_of
from .observations import Observations, as_points
from .storage import read_record, write_record
from .tables import one_row
from .untrusted import content_named
from .weighting import as_weights, total_of, weighted_sum

FORMAT = "gmm_pyro.GaussianMixture"  # in files
ARRAYS = ("weights", "means", "covariances")


@dataclass(frozen=True, eq=False)
class Sample:
    """Points drawn from a mixture, with the component that each came from."""

    x: Float[Tensor, "n d"]
    labels: Int[Tensor, "n"]


@dataclass(frozen=True, eq=False, init=False)
class GaussianMixture:
    """A mixture of k Gaussians in d dimensions, from parameters, with or without a fit.

    Where points are asked for, the columns of a frame are taken by the mixture's feature names, in
    any order and beside others; one that lacks a feature is refused. Arrays go by position, and so
    do all frames where the mixture's names only count its features (x0, x1, …), and frames whose
    own names only count their columns.

    Attributes:
        weights: probabilities of the components, shape (k,).
        means: shape (k, d).
        covariances: in scikit-learn's shapes: (k, d, d) for full, (d, d) tied, (k, d) diag,
            (k,) spherical, (d,) tied_diag, () tied_spherical.
        family: the covariance family.
        feature_names: d column names.

    Example:
        >>> mixture = GaussianMixture([0.5, 0.5], [[-2.0], [2.0]], [[[0.25]], [[0.25]]])
        >>> mixture.predict([-1.9, 2.2]).tolist()
        [0, 1]
    """

    weights: Float[Tensor, "k"]
    means: Float[Tensor, "k d"]
    covariances: Float[Tensor, "*covariances"]
    family: CovarianceFamily
    feature_names: tuple[str, ...]
    parameters: Parameters = field(repr=False)

    def __init__(
        self,
        weights: Any,
        means: Any,
        covariances: Any,
        covariance: str = "full",
        feature_names: Sequence[str] | None = None,
    ) -> None:
        """Check the parameters and keep them, in the type of `means`.

        Args:
            weights: array-like of shape (k,), non-negative with sum 1.
            means: array-like of shape (k, d), or (k,) for univariate mixtures.
            covariances: array-like in the family's shape.
            covariance: name of the covariance family, or mclust's code.
            feature_names: d column names; x0, x1, … if not given.

        Raises:
            ValueError: if shapes do not fit, the weights are not probabilities, or a covariance is
                not positive definite.
        """
        family = family_named(covariance)
        means = _tensor(means, None, "means")
        means = means[:, None] if means.ndim == 1 else means
        if means.ndim != 2 or 0 in means.shape or not means.isfinite().all():
            raise ValueError(f"means must be finite, of shape (k, d), got {tuple(means.shape)}")
        weights = _tensor(weights, means, "weights")
        covariances = _tensor(covariances, means, "covariances")
        k, d = means.shape
        _check_weights(weights, k)
        factor = _check_covariances(family, covariances, (k, d))
        self._keep(
            weights=weights,
            means=means,
            covariances=covariances,
            family=family,
            feature_names=_check_names(feature_names, d),
            parameters=Parameters(weights.double().log()[None], means.double()[None], factor[None]),
        )

    @classmethod
    def from_parameters(
        cls,
        family: CovarianceFamily,
        parameters: Parameters,
        *,
        dtype: torch.dtype = torch.float64,
        feature_names: tuple[str, ...] | None = None,
    ) -> GaussianMixture:
        """The mixture that a batch of one parameter set describes."""
        weights = parameters.log_weights[0].softmax(-1)
        covariances = family.covariances(parameters.factor[0])
        mixture = cls.__new__(cls)
        mixture._keep(
            weights=weights.detach().to(dtype),
            means=parameters.means[0].detach().to(dtype),
            covariances=covariances.detach().to(dtype),
            family=family,
            feature_names=_check_names(feature_names, parameters.means.shape[-1]),
            parameters=Parameters(
                parameters.log_weights.detach().log_softmax(-1),
                parameters.means.detach(),
                parameters.factor.detach(),
            ),
        )
        return mixture

    def _keep(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

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
        """Number of free parameters, as BIC and AIC count them."""
        return self.family.n_parameters(*self.means.shape)

    # ------------------------------------------------------------------ at points

    def log_prob(self, x: Any) -> Float[Tensor, "n"]:
        """Log density of each point in nats, shape (n,); -inf where it is out of range."""
        return reduction.log_density(*self._at(x))[0]

    def responsibilities(self, x: Any) -> Float[Tensor, "n k"]:
        """Posterior probability of each component at each point, shape (n, k)."""
        return reduction.responsibilities(*self._at(x))[0].T.contiguous()

    def predict(self, x: Any) -> Int[Tensor, "n"]:
        """The most probable component of each point, shape (n,)."""
        return reduction.labels(*self._at(x))[0]

    def _at(self, x: Any) -> tuple[Observations, Theta, torch.dtype]:
        """The points in their own precision, and the type of what is said of them."""
        single = str(getattr(x, "dtype", "")).endswith("float32")
        kind = self.means.dtype if single else torch.float64
        points, _ = as_points(
            x, feature_names=self.feature_names, dtype=kind, device=self.means.device
        )
        centre = self.mean().double()
        observations = Observations(
            points, None, centre, torch.ones_like(centre), self.feature_names
        )
        theta = theta_of(self.family, self.parameters, observations)
        return observations, theta, self.means.dtype

    # ------------------------------------------------------------------ criteria

    def bic(self, x: Any, sample_weight: Any = None) -> float:
        """Bayesian information criterion, -2 log L + p log n; lower is better (Schwarz 1978).

        Points with sample weights, shape (n,), count so often, and n is the sum of the weights.
        """
        log_density = self.log_prob(x)
        weight = _weights_of(log_density, sample_weight)
        n = total_of(weight, len(log_density))
        return -2 * weighted_sum(log_density, weight) + self.n_parameters * math.log(n)

    def aic(self, x: Any, sample_weight: Any = None) -> float:
        """Akaike information criterion, -2 log L + 2 p; lower is better (Akaike 1974)."""
        log_density = self.log_prob(x)
        weight = _weights_of(log_density, sample_weight)
        return -2 * weighted_sum(log_density, weight) + 2 * self.n_parameters

    def icl(self, x: Any, sample_weight: Any = None) -> float:
        """BIC of the most probable assignment; lower is better.

        As in mclust up to its sign: BIC - 2 Σ_n log max_k r_nk (Biernacki, Celeux & Govaert 2000).
        """
        sureness = self.responsibilities(x).amax(-1).log()
        weight = _weights_of(sureness, sample_weight)
        return self.bic(x, weight) - 2 * weighted_sum(sureness, weight)

    # ------------------------------------------------------------------ as a distribution

    def mean(self) -> Float[Tensor, "d"]:
        """Mean of the whole mixture, shape (d,)."""
        return self.weights @ self.means

    def covariance_matrices(self) -> Float[Tensor, "k d d"]:
        """Covariance matrix of every component, whatever the family, shape (k, d, d)."""
        dense = self.family.dense(self.parameters.factor[0], self.n_features)
        return dense.expand(self.n_components, -1, -1).to(self.means)

    def covariance(self) -> Float[Tensor, "d d"]:
        """Covariance of the whole mixture: within plus between the components, shape (d, d)."""
        shift = self.means - self.mean()
        within = (self.weights[:, None, None] * self.covariance_matrices()).sum(0)
        return within + (shift * self.weights[:, None]).T @ shift

    def distribution(self) -> torch.distributions.MixtureSameFamily:
        """The mixture as a torch distribution over points of shape (d,)."""
        tril = self.family.scale_tril(self.parameters.factor[0], self.n_features)
        tril = tril.expand(self.n_components, -1, -1).to(self.means)
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(self.weights),
            torch.distributions.MultivariateNormal(self.means, scale_tril=tril),
        )

    def sample(self, n: int, seed: int = 0) -> Float[Tensor, "n d"]:
        """n independent points, shape (n, d)."""
        return self.sample_labelled(n, seed).x

    def sample_labelled(self, n: int, seed: int = 0) -> Sample:
        """n independent points with the component that each came from."""
        n, seed = check_count("n", n), check_seed(seed)
        generator = torch.Generator(self.means.device).manual_seed(seed)
        labels = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(
            n,
            self.n_features,
            generator=generator,
            dtype=self.means.dtype,
            device=self.means.device,
        )
        tril = self.family.scale_tril(self.parameters.factor[0], self.n_features).to(self.means)
        x = torch.empty_like(noise)
        for component, factor in enumerate(tril.expand(self.n_components, -1, -1)):
            rows = labels == component
            x[rows] = self.means[component] + noise[rows] @ factor.T
        return Sample(x, labels)

    # ------------------------------------------------------------------ other mixtures

    def marginal(self, features: Sequence[int | str]) -> GaussianMixture:
        """The mixture of some of the features, named or numbered, in that order.

        Raises:
            ValueError: if a feature does not exist or is named twice.
        """
        keep = columns_of(features, self.feature_names)
        dense = self.family.dense(self.parameters.factor[0], self.n_features)
        return self._rebuilt(self.weights, self.means[:, keep], dense[:, keep][:, :, keep], keep)

    def conditional(self, features: Sequence[int | str], values: Any) -> GaussianMixture:
        """The mixture of the other features, given that these have these values.

        Args:
            features: names or numbers of the known features.
            values: their values, shape (len(features),), or a row of a frame, taken by its names.

        Raises:
            ValueError: if a feature does not exist, or none is left.

        Source: Bishop (2006), equations 2.81 and 2.82, within each component.
        """
        known = columns_of(features, self.feature_names)
        rest = [i for i in range(self.n_features) if i not in known]
        if not rest:
            raise ValueError("conditional needs at least one feature that is not given")
        names = [self.feature_names[i] for i in known]
        point, _ = as_points(one_row(values, "values"), feature_names=names, what="values")
        dense = self.family.dense(self.parameters.factor[0], self.n_features)
        across, within = dense[:, rest][:, :, known], dense[:, known][:, :, known]
        gain = torch.linalg.solve(within, across.mT).mT
        shift = (point - self.means[:, known].double())[..., None]
        means = self.means[:, rest].double() + (gain @ shift)[..., 0]
        covariances = dense[:, rest][:, :, rest] - gain @ across.mT
        weights = self.marginal(features).responsibilities(point)[0]
        return self._rebuilt(weights, means, covariances, rest)

    def permute(self, order: Sequence[int]) -> GaussianMixture:
        """The same mixture with its components in another order."""
        wanted = f"a permutation of 0 to {self.n_components - 1}"
        index = whole_numbers(order, "order", wanted).tolist()
        if sorted(index) != list(range(self.n_components)):
            raise ValueError(f"order must be {wanted}, got {shown(index)}")
        covariances = self.covariances if self.family.tied else self.covariances[index]
        return GaussianMixture(
            self.weights[index],
            self.means[index],
            covariances,
            self.family.name,
            self.feature_names,
        )

    def in_order_of(self, names: Sequence[str]) -> GaussianMixture:
        """The same mixture with its features in the order of these names.

        A mixture whose features have other names, or are more or fewer, stays as it is.

        Example:
            >>> wide = GaussianMixture([1.0], [[1.0, 2.0]], [[4.0, 9.0]], "diag", ["a", "b"])
            >>> wide.in_order_of(["b", "a"]).means.tolist()
            [[2.0, 1.0]]
        """
        if tuple(names) == self.feature_names or not same_names(names, self.feature_names):
            return self
        return self.marginal(names)

    def _rebuilt(
        self, weights: Tensor, means: Tensor, dense: Tensor, columns: list[int]
    ) -> GaussianMixture:
        """A mixture of the same family over some columns, from dense covariances."""
        family = self.family
        factor = family.fit(family.compress(dense), dense.new_zeros(len(columns)))
        names = tuple(self.feature_names[i] for i in columns)
        covariances = family.covariances(factor).to(self.means)
        return GaussianMixture(weights, means.to(self.means), covariances, family.name, names)

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> Path:
        """Write the mixture as JSON, or as NumPy arrays if the name ends in .npz.

        The file appears only when it is whole. Numbers are kept to the last bit.
        """
        arrays = {name: getattr(self, name).cpu().numpy() for name in ARRAYS}
        words = {"covariance": self.family.name, "feature_names": list(self.feature_names)}
        return write_record(check_path("path", path), FORMAT, arrays, words)

    @classmethod
    def load(cls, path: str | Path) -> GaussianMixture:
        """A mixture from a file that `save` wrote; loading runs no code from the file.

        Raises:
            ValueError: if the file does not hold a mixture.
            OSError: if it cannot be opened.
        """
        with content_named(f"{path} does not hold a mixture saved by gmm_pyro"):
            record = read_record(path, FORMAT, ARRAYS)
            weights, means, covariances = (torch.from_numpy(record[name]) for name in ARRAYS)
            names = [str(name) for name in record["feature_names"]]
            return cls(weights, means, covariances, str(record["covariance"]), names)


def check_mixture(name: str, value: Any) -> GaussianMixture:
    """The mixture.

    Raises:
        TypeError: if the value is none, with where its own one is to be found.

    Example:
        >>> check_mixture("truth", [0.5, 0.5])
        Traceback (most recent call last):
        TypeError: truth must be a gmm_pyro.GaussianMixture, got list
    """
    if isinstance(value, GaussianMixture):
        return value
    raise TypeError(
        f"{name} must be a gmm_pyro.GaussianMixture, got {type(value).__name__}"
        f"{mixture_within(value)}"
    )


def mixture_within(value: Any) -> str:
    """Where the mixture of a fit, a posterior or an estimator is, as the end of a message."""
    for place in ("mixture", "fit_.mixture"):
        found = value
        for attribute in place.split("."):
            found = getattr(found, attribute, None)
        if isinstance(found, GaussianMixture):
            return f": pass its .{place}"
    return ": pass its mixture()" if callable(getattr(value, "mixture", None)) else ""


def _tensor(values: Any, like: Tensor | None, name: str) -> Tensor:
    """A copy as a detached tensor, in the type of `like`; else in its own, or float64."""
    if isinstance(values, Tensor):
        tensor = dense_tensor(values, name)
    else:
        tensor = torch.from_numpy(real(array_of(values, name), name).astype(np.float64))
    if like is None:
        like = tensor if tensor.dtype in PRECISIONS.values() else tensor.double()
    return tensor.detach().to(like, copy=True)


def _weights_of(values: Float[Tensor, "n"], sample_weight: Any) -> Float[Tensor, "n"] | None:
    return None if sample_weight is None else as_weights(sample_weight, len(values))


def _check_weights(weights: Tensor, k: int) -> None:
    if weights.shape != (k,):
        raise ValueError(f"weights must have shape ({k},), got {tuple(weights.shape)}")
    tolerance = 1e-6 * k  # also where float32 weights come with float64 means
    if (weights < 0).any() or not abs(float(weights.double().sum()) - 1) < tolerance:
        raise ValueError(f"weights must be non-negative and sum to 1, got {weights.tolist()}")


def _check_covariances(
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
        raise ValueError("covariances must be finite, symmetric and positive definite")
    return factor


def _check_names(feature_names: Sequence[str] | None, d: int) -> tuple[str, ...]:
    """d different column names; x0, x1, … if none are given."""
    if feature_names is None:
        return default_names(d)
    names = tuple(map(str, check_list("feature_names", feature_names, f"{d} names")))
    if len(names) != d:
        raise ValueError(f"feature_names must hold {d} names, got {len(names)}")
    if len(set(names)) != d:
        raise ValueError(f"feature_names must differ, got {', '.join(names)}")
    return names
