"""`GaussianMixtureClassifier`: one mixture a class, and Bayes' rule, also with few labels."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..data.arrays import finite
from ..data.checks import check_count
from ..data.weighting import as_weights
from ..mixture.value import GaussianMixture
from ..model.conjugate import ConjugatePriors
from ..model.priors import Priors
from ..reduction.far import FAR
from .arguments import AUTO, MAX_ITER, OF_METHODS, TOLERANCE, check_n_samples
from .attributes import in_type, sampled
from .mixture import PyroGaussianMixture
from .semi_supervised import fitted_together
from .starts import Array

SHARED = [name for name in OF_METHODS if name not in ("n_components", "random_state")]


class GaussianMixtureClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Mixture discriminant analysis: one Gaussian mixture a class, and Bayes' rule.

    With one component a class and full covariances this is quadratic discriminant analysis. Points
    without a class (`unlabelled`) are learned from, too: all mixtures are then one, in which such a
    point may come from any component, fitted from what the others say (semi-supervised learning).

    Args:
        n_components: number of components of every class, or a mapping from class to number;
            "auto" chooses by BIC for each class by itself, and so does covariance_type="auto", as
            mclust's MclustDA does. They need points that all have a class.
        class_prior: probabilities of the classes in sorted order, or None for their shares.
        unlabelled: what y has where the class is not known, or None where all are known. Beside a
            single other value it is a class as any other, as in classes -1 and 1.

    The other arguments are those of `PyroGaussianMixture`, for each class.

    Attributes:
        classes_: the c classes, sorted.
        class_prior_: their probabilities, shape (c,).
        mixtures_: the fitted `PyroGaussianMixture` of each class, in the order of `classes_`.
        converged_: whether all of them have converged.
        n_iter_: the largest number of steps.
        fit_: the fit of all mixtures as one, where points had no class.
        n_features_in_: number of features d.
        feature_names_in_: their names, if X had any.

    Source: Hastie & Tibshirani (1996), Journal of the Royal Statistical Society B 58, 155-176;
    Fraley & Raftery (2002); Nigam, McCallum, Thrun & Mitchell (2000) for points without a class.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True)
        >>> round(GaussianMixtureClassifier().fit(x, y).score(x, y), 2)
        0.98
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **OF_METHODS,
        "n_components": [*OF_METHODS["n_components"], Mapping],
        "class_prior": ["array-like", None],
        "unlabelled": [object],
    }

    def __init__(
        self,
        n_components: int | str | Mapping[Any, int | str] = 1,
        *,
        covariance_type: str = "full",
        method: str = "em",
        priors: Priors | ConjugatePriors | None = None,
        method_options: Mapping[str, Any] | None = None,
        class_prior: Any = None,
        unlabelled: Any = -1,
        tol: float = TOLERANCE,
        reg_covar: float = 1e-6,
        max_iter: int = MAX_ITER,
        n_init: int = 1,
        init_params: str = "kmeans",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.method = method
        self.priors = priors
        self.method_options = method_options
        self.class_prior = class_prior
        self.unlabelled = unlabelled
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit a mixture to the points of every class.

        Args:
            X: array-like of shape (n, d).
            y: their classes, shape (n,), and `unlabelled` where they are not known.
            sample_weight: n non-negative weights, or None; points of weight zero are left out.

        Raises:
            ValueError: if the data or a parameter is not valid, or a class has fewer points than
                components.
        """
        _check_mark(self.unlabelled)
        x, y = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2)
        weight = _weight(sample_weight, len(x))
        x, y, weight = x[weight > 0], y[weight > 0], weight[weight > 0]
        known, codes = ~self._unknown(y), np.full(len(y), -1)
        check_classification_targets(y[known])
        self.classes_, codes[known] = np.unique(y[known], return_inverse=True)
        random, names = check_random_state(self.random_state), self.classes_.tolist()
        self.mixtures_ = [self._mixture_of(name, int(random.randint(2**31 - 1))) for name in names]
        own = None if sample_weight is None else weight
        shares = np.bincount(codes[known], weight[known])
        self.__dict__.pop("fit_", None)
        if not known.all():
            self.fit_, shares = fitted_together(self.mixtures_, x, codes, own)
        else:
            for code, mixture in enumerate(self.mixtures_):
                rows = codes == code
                self._fit_class(mixture, names[code], x[rows], None if own is None else own[rows])
        self.class_prior_ = self._class_prior(shares)
        self.converged_ = all(mixture.converged_ for mixture in self.mixtures_)
        self.n_iter_ = max(mixture.n_iter_ for mixture in self.mixtures_)
        return self

    def _unknown(self, y: Array) -> Array:
        """Which points have no class."""
        if self.unlabelled is None:
            return np.zeros(len(y), dtype=bool)
        mark = str(self.unlabelled) if y.dtype.kind in "US" else self.unlabelled
        unknown = np.asarray([label == mark for label in y.tolist()], dtype=bool)
        return unknown if len(set(y[~unknown].tolist())) > 1 else np.zeros_like(unknown)

    def _mixture_of(self, name: Any, seed: int) -> PyroGaussianMixture:
        count = self.n_components
        if isinstance(count, Mapping):
            if name not in count:
                raise ValueError(f"n_components has no number for class {name!r}: it has {count}")
            count = count[name]
            if count != AUTO:
                count = check_count(f"n_components of class {name!r}", count)
        parameters = {shared: getattr(self, shared) for shared in SHARED}
        mixture = PyroGaussianMixture(count, random_state=seed, **parameters)
        mixture.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            mixture.feature_names_in_ = self.feature_names_in_
        return mixture

    def _fit_class(
        self, mixture: PyroGaussianMixture, name: Any, x: Array, weight: Array | None
    ) -> None:
        try:
            mixture._fit(x, weight)
        except ValueError as error:
            raise ValueError(f"class {name!r}: {error}") from error

    def _class_prior(self, weights: Array) -> Array:
        if self.class_prior is None:
            return np.asarray(weights / weights.sum())
        prior = finite(self.class_prior, "class_prior")
        if prior.shape != weights.shape or (prior < 0).any() or abs(prior.sum() - 1) > 1e-8:
            raise ValueError(
                f"class_prior must be {len(weights)} probabilities with sum 1, got {prior.tolist()}"
            )
        return prior

    # ------------------------------------------------------------------ the fitted classes

    def predict_joint_log_proba(self, X: Any) -> Array:  # noqa: N803
        """log p(class) + log p(x | class) in nats, shape (n, c)."""
        return self._joint(self._points(X))

    def predict_log_proba(self, X: Any) -> Array:  # noqa: N803
        """Log probability of each class at each point, shape (n, c)."""
        x = self._points(X)
        joint = self._joint(x)
        with np.errstate(invalid="ignore"):  # far from all classes, their difference is lost
            log_proba = np.asarray(joint - logsumexp(joint, axis=1, keepdims=True))
        far = ~(joint.max(axis=1) > -FAR)
        if far.any():
            log_proba[far] = self._log_proba_far_out(x[far])
        return log_proba

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Probability of each class at each point, shape (n, c)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The most probable class of each point, shape (n,)."""
        best = self.predict_log_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _points(self, points: Any) -> Array:
        """The points in float64: classes differ by what float32 has no digits for."""
        check_is_fitted(self)
        x = validate_data(self, points, dtype=[np.float64, np.float32], reset=False)
        return np.asarray(x, dtype=np.float64)

    def _joint(self, x: Array) -> Array:
        densities = [
            in_type(mixture._mixture, x.dtype).log_prob(x).numpy() for mixture in self.mixtures_
        ]
        with np.errstate(divide="ignore"):  # a class of prior probability zero
            return np.asarray(np.stack(densities, 1) + np.log(self.class_prior_))

    def _log_proba_far_out(self, x: Array) -> Array:
        """Log probabilities (m, c) from the responsibilities of all classes' components."""
        own = [in_type(mixture._mixture, x.dtype) for mixture in self.mixtures_]
        pairs = zip(self.class_prior_, own, strict=True)
        every = GaussianMixture(
            torch.cat([float(share) * mixture.weights for share, mixture in pairs]),
            torch.cat([mixture.means for mixture in own]),
            torch.cat([mixture.covariance_matrices() for mixture in own]),
        )
        first = np.cumsum([0] + [mixture.n_components for mixture in own[:-1]])
        shares = np.add.reduceat(every.responsibilities(x).numpy(), first, axis=1)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(shares))

    def score_samples(self, X: Any) -> Array:  # noqa: N803
        """Log density of each point, whatever its class, in nats, shape (n,)."""
        return np.asarray(logsumexp(self.predict_joint_log_proba(X), axis=1))

    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Points drawn from the classes' mixtures, and their classes, in the classes' order.

        Raises:
            ValueError: if `n_samples` is less than one.
        """
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        random = check_random_state(self.random_state)
        counts = random.multinomial(n_samples, self.class_prior_)
        drawn = [
            sampled(mixture, mixture._mixture.family, int(count), random)[0]
            for mixture, count in zip(self.mixtures_, counts, strict=True)
            if count
        ]
        return np.concatenate(drawn), np.repeat(self.classes_, counts)

    def bic(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Bayesian information criterion of points with their classes; lower is better.

        With n weights, points count so often, and their number is the sum of the weights.
        """
        log_likelihood, n = self._log_likelihood(X, y, sample_weight)
        return -2 * log_likelihood + self._n_parameters() * float(np.log(n))

    def aic(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Akaike information criterion of points with their classes, as `bic`; lower is better."""
        return -2 * self._log_likelihood(X, y, sample_weight)[0] + 2 * self._n_parameters()

    def to_arviz(self, **options: Any) -> dict[Any, Any]:
        """The posterior of each class, by class, as ArviZ InferenceData (0.x) or DataTree (1.x).

        Raises:
            ValueError: if the method has no draws, or the estimator was pickled, or points had no
                class: all classes are then one fit, `fit_`.
        """
        check_is_fitted(self)
        if hasattr(self, "fit_"):
            raise ValueError("points without a class make all classes one fit: fit_.to_arviz()")
        pairs = zip(self.classes_.tolist(), self.mixtures_, strict=True)
        return {name: mixture.to_arviz(**options) for name, mixture in pairs}

    def _log_likelihood(self, x: Any, y: Any, sample_weight: Any) -> tuple[float, float]:
        check_consistent_length(x, y)
        joint = self.predict_joint_log_proba(x)
        unknown = sorted(set(np.unique(y).tolist()) - set(self.classes_.tolist()))
        if unknown:
            raise ValueError(f"y has classes that the fit has not seen: {unknown}")
        codes = np.searchsorted(self.classes_, y)
        own = joint[np.arange(len(joint)), codes]
        weight = _weight(sample_weight, len(joint))
        there = weight > 0
        return float(own[there] @ weight[there]), float(weight.sum())

    def _n_parameters(self) -> int:
        own = sum(mixture._n_parameters() for mixture in self.mixtures_)
        return own + (len(self.classes_) - 1 if self.class_prior is None else 0)


def _check_mark(unlabelled: Any) -> None:
    """Refuse NaN as what marks points without a class: scikit-learn takes none in y."""
    if isinstance(unlabelled, Real) and unlabelled != unlabelled:
        raise ValueError(
            "unlabelled must be a value that y has where the class is not known, such as -1 or "
            "'unknown', or None where all are known; got nan, which y may not have: replace it, "
            "as by np.where(np.isnan(y), -1, y)"
        )


def _weight(sample_weight: Any, n: int) -> Array:
    """How often each point counts: once, without weights."""
    return np.ones(n) if sample_weight is None else as_weights(sample_weight, n).cpu().numpy()
