"""A Gaussian mixture as a value: densities, labels, samples, marginals, conditionals, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..covariance import Parameters
from ..data.arrays import whole_numbers
from ..data.away import is_away
from ..data.checks import MOST_HELD, check_count, check_path, check_seed, shown
from ..data.features import check_names, columns_of
from ..data.known import Known
from ..data.measured import Measured
from ..data.observations import as_points
from ..data.points import Points
from ..data.tables import one_row
from ..data.weighting import as_weights, total_of, weighted_sum
from ..disk.untrusted import content_named
from ..reduction import pointwise
from ..reduction.imputation import given_the_rest, imputed
from ..reduction.theta import Theta
from .away import criteria_away, lazy_away
from .conditionals import Conditionals
from .criteria import Criteria
from .file import read_mixture, write_mixture
from .moments import MixtureMoments
from .noise_component import NoiseComponent, odds_given
from .placing import placed
from .points import Sample, drawn


@dataclass(frozen=True, eq=False, init=False)
class GaussianMixture(MixtureMoments):
    """A mixture of k Gaussians in d dimensions, from parameters, with or without a fit.

    Beside them may be a component of noise, of weight `noise_weight`; the weights are then those of
    the others among themselves.

    Where points are asked for, the columns of a frame are taken by the mixture's feature names, in
    any order and beside others; one that lacks a feature is refused. Arrays go by position, and so
    do all frames where the mixture's names only count its features (x0, x1, …), and frames whose
    own names only count their columns. A value that is NaN is missing, and integrated out; `noise`
    of the values and `projection` are as `gmm_pyro.fit` has them, and densities are those of what
    was measured; `labels` that are known of some points, too, and densities then are of both.

    Attributes:
        weights: probabilities of the components, shape (k,).
        means: shape (k, d).
        covariances: in scikit-learn's shapes: (k, d, d) for full, (d, d) tied, (k, d) diag,
            (k,) spherical, (d,) tied_diag, () tied_spherical.
        family: the covariance family.
        feature_names: d column names.
        noise_component: the density of the noise, or None.

    Example:
        >>> mixture = GaussianMixture([0.5, 0.5], [[-2.0], [2.0]], [[[0.25]], [[0.25]]])
        >>> mixture.predict([-1.9, 2.2]).tolist()
        [0, 1]
    """

    # ------------------------------------------------------------------ at points

    @lazy_away
    def log_prob(
        self, x: Any, noise: Any = None, *, projection: Any = None, labels: Any = None
    ) -> Float[Tensor, "n"]:
        """Log density of each point in nats, shape (n,); -inf where it is out of range."""
        return pointwise.log_density(*self._at(x, noise, projection, labels))[0]

    @lazy_away
    def responsibilities(
        self, x: Any, noise: Any = None, *, projection: Any = None, labels: Any = None
    ) -> Float[Tensor, "n k"]:
        """Posterior probability of each component at each point, shape (n, k).

        Where there is noise, rows sum to what it leaves.
        """
        return pointwise.responsibilities(*self._at(x, noise, projection, labels))[0].T.contiguous()

    @lazy_away
    def noise_probability(
        self, x: Any, noise: Any = None, *, projection: Any = None, labels: Any = None
    ) -> Float[Tensor, "n"]:
        """Posterior probability that each point is noise, shape (n,): 0 where there is none."""
        points, theta, kind = self._at(x, noise, projection, labels)
        if self.noise_component is None:
            return points.origin.new_zeros(points.n, dtype=kind)
        return pointwise.shares(points, theta, kind)[0, -1]

    @lazy_away
    def predict(
        self, x: Any, noise: Any = None, *, projection: Any = None, labels: Any = None
    ) -> Int[Tensor, "n"]:
        """The most probable component of each point, shape (n,): -1 where it is the noise."""
        return pointwise.labels(*self._at(x, noise, projection, labels))[0]

    def impute(
        self,
        x: Any,
        noise: Any = None,
        *,
        projection: Any = None,
        n_draws: int | None = None,
        seed: int = 0,
    ) -> Float[Tensor, "*m n d"]:
        """Points with what is missing of them filled in by what is there, and rid of noise.

        All are taken to be of a Gaussian, and none of a noise component.

        Args:
            x: points, array-like of shape (n, d), NaN where a value is missing.
            noise: of the measurements, as `gmm_pyro.fit` has it.
            projection: of the features, if it is not these that are measured.
            n_draws: how often to draw what is missing (multiple imputation); None for its mean.
            seed: of the draws.

        Returns:
            The means given what is there, shape (n, d), or draws, shape (n_draws, n, d). What is
            there without noise stays as it is.

        Example:
            >>> mixture = GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.5, 1.0]]])
            >>> mixture.impute([[2.0, float("nan")]]).tolist()
            [[2.0, 1.0]]
        """
        points, theta, kind = self._of_clusters._at(x, noise, projection)
        count = None if n_draws is None else check_count("n_draws", n_draws, 1, MOST_HELD)
        if points.measured is None:
            found = points.x.to(kind, copy=True)  # not the caller's own memory
            return found if count is None else found.expand(count, -1, -1).clone()
        generator = torch.Generator(self.means.device).manual_seed(check_seed(seed))
        filled = imputed(points, theta, count, generator).to(kind)
        return filled[0] if count is None else filled

    def conditionals(self, x: Any, features: Sequence[int | str]) -> Conditionals:
        """The mixtures of some features of every point, given what is there of its others.

        All are taken to be of a Gaussian, and none of a noise component.

        Args:
            x: points, array-like of shape (n, d), NaN where a value is missing; values of these
                features do not matter.
            features: names or numbers of the features that are described, in this order.

        Example:
            >>> mixture = GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.5, 1.0]]])
            >>> found = mixture.conditionals([[2.0, float("nan")]], [1])
            >>> found.mean().tolist(), found.covariance().round(decimals=2).tolist()
            ([[1.0]], [[[0.75]]])
        """
        columns = columns_of(features, self.feature_names)
        points, theta, _ = self._of_clusters._at(x)
        values = points.x.clone()
        values[:, columns] = torch.nan
        noise = None if points.measured is None else points.measured.noise_of_rows
        unseen = replace(points, x=values, measured=Measured.of(values, noise))
        return Conditionals(*given_the_rest(unseen, theta, columns))

    def _at(
        self, x: Any, noise: Any = None, projection: Any = None, labels: Any = None
    ) -> tuple[Points, Theta, torch.dtype]:
        """See `placed`."""
        return placed(self, x, noise=noise, projection=projection, labels=labels)

    # ------------------------------------------------------------------ criteria

    def criteria(self, x: Any, sample_weight: Any = None, **known: Unpack[Known]) -> Criteria:
        """Log-likelihood, BIC, AIC and ICL, in one pass over the points.

        Args:
            x: points, array-like of shape (n, d).
            sample_weight: how often each point counts, shape (n,), or None; n of the criteria is
                then the sum of the weights.
            **known: `noise`, `projection` and `labels` of the points.
        """
        if is_away(x) and not known:
            return criteria_away(self, x, sample_weight)
        points, theta, _ = self._at(x, **known)
        log_p, sureness = pointwise.at_points(
            points,
            theta.with_shared_term(),
            lambda log_p, share: torch.stack([log_p[0], share[0].amax(0).log()]),
        )
        weight = None if sample_weight is None else as_weights(sample_weight, points.n)
        if points.measured is not None:  # rows without a value say nothing, and do not count
            says = (points.measured.n_observed > 0).double()
            weight = says if weight is None else weight.to(says) * says
        return Criteria(
            weighted_sum(log_p, weight),
            weighted_sum(sureness, weight),
            total_of(weight, points.n),
            self.n_parameters,
        )

    def bic(self, x: Any, sample_weight: Any = None, **known: Unpack[Known]) -> float:
        """Bayesian information criterion; see `criteria`."""
        return self.criteria(x, sample_weight, **known).bic

    def aic(self, x: Any, sample_weight: Any = None, **known: Unpack[Known]) -> float:
        """Akaike information criterion; see `criteria`."""
        return self.criteria(x, sample_weight, **known).aic

    def icl(self, x: Any, sample_weight: Any = None, **known: Unpack[Known]) -> float:
        """Integrated completed likelihood; see `criteria`."""
        return self.criteria(x, sample_weight, **known).icl

    # ------------------------------------------------------------------ new points

    def sample(self, n: int, seed: int = 0) -> Float[Tensor, "n d"]:
        """n independent points, shape (n, d)."""
        return self.sample_labelled(n, seed).x

    def sample_labelled(self, n: int, seed: int = 0) -> Sample:
        """n independent points with the component that each came from: -1 for noise."""
        return drawn(self, check_count("n", n, 1, MOST_HELD), check_seed(seed))

    # ------------------------------------------------------------------ other mixtures

    def marginal(self, features: Sequence[int | str]) -> GaussianMixture:
        """The mixture of some of the features, named or numbered, in that order.

        Raises:
            ValueError: if a feature does not exist or is named twice.
        """
        keep, p = columns_of(features, self.feature_names), self.parameters
        factor, noise = self.family.marginal(p.factor, keep), self.noise_component
        noise = None if noise is None else noise.marginal(keep)
        return self._over(keep, replace(p, means=p.means[..., keep], factor=factor), noise)

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
        point = as_points(one_row(values, "values"), feature_names=names, what="values")
        p, m = self.parameters, len(known)
        factor = self.family.marginal(p.factor, known + rest)
        root = self.family.scale_tril(factor, self.n_features)
        gain = torch.linalg.solve_triangular(
            root[..., :m, :m], root[..., m:, :m], upper=False, left=False
        )
        shift = point.x - p.means[..., known]
        means = p.means[..., rest] + (gain @ shift[..., None])[..., 0]
        if not means.to(self.means.dtype).isfinite().all():
            raise ValueError("values are so far out that the conditional means are out of range")
        clusters, noise, log_odds = self._of_clusters.marginal(known), self.noise_component, None
        there, theta, _ = clusters._at(point.x)
        if noise is not None and p.log_odds is not None:
            log_noise = noise.marginal(known).log_density(there)
            log_odds = odds_given(p.log_odds, log_noise, pointwise.log_density(there, theta)[0])
            noise = noise.given(known, point.x[0])
        weights = pointwise.responsibilities(there, theta)[..., 0].log()
        remainder = self.family.remainder(factor, m)
        return self._over(rest, Parameters(weights, means, remainder, log_odds), noise)

    def permute(self, order: Sequence[int]) -> GaussianMixture:
        """The same mixture with its components in another order."""
        wanted = f"a permutation of 0 to {self.n_components - 1}"
        index = whole_numbers(order, "order", wanted).tolist()
        if sorted(index) != list(range(self.n_components)):
            raise ValueError(f"order must be {wanted}, got {shown(index)}")
        shared = self.family.shares("covariances")
        visible = self.covariances if shared else self.covariances[index]
        return self._assembled(
            self.family,
            (self.weights[index], self.means[index], visible),
            self.family.permuted(self.parameters, torch.tensor([index])),
            self.means.dtype,
            self.feature_names,
            self.n_held,
            self.noise_component,
        )

    def in_order_of(self, names: Sequence[str]) -> GaussianMixture:
        """The same mixture with its features in the order of these names.

        A mixture whose features have other names, or are more or fewer, stays as it is.

        Example:
            >>> wide = GaussianMixture([1.0], [[1.0, 2.0]], [[4.0, 9.0]], "diag", ["a", "b"])
            >>> wide.in_order_of(["b", "a"]).means.tolist()
            [[2.0, 1.0]]
        """
        names = check_names(names)
        if names == self.feature_names or set(names) != set(self.feature_names):
            return self
        found = self.marginal(names)
        vars(found)["n_held"] = self.n_held
        return found

    def _over(
        self, columns: list[int], parameters: Parameters, noise: NoiseComponent | None
    ) -> GaussianMixture:
        """A mixture of the same type over some columns, and of the same family if that can be."""
        few = len(columns) < self.n_features
        return self.from_parameters(
            self.family.of_marginals if few else self.family,
            parameters,
            dtype=self.means.dtype,
            feature_names=tuple(self.feature_names[i] for i in columns),
            noise_component=noise,
        )

    @property
    def _of_clusters(self) -> GaussianMixture:
        """The same without noise."""
        return self._over(list(range(self.n_features)), self.parameters, None)

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> Path:
        """Write the mixture as JSON, or as NumPy arrays if the name ends in .npz.

        The file appears only when it is whole. Densities are kept, also in float32.
        """
        return write_mixture(check_path("path", path), self)

    @classmethod
    def load(cls, path: str | Path) -> GaussianMixture:
        """A mixture from a file that `save` wrote; loading runs no code from the file.

        Raises:
            ValueError: if the file does not hold a mixture.
            OSError: if it cannot be opened.
        """
        path = check_path("path", path)
        with content_named(f"{path} does not hold a mixture saved by gmm_pyro"):
            return read_mixture(cls, path)
