"""`PyroBayesianGaussianMixture`: scikit-learn's `BayesianGaussianMixture`, with the whole bound."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ..covariance import FAMILIES, ConjugateFamily
from ..inference.fit import Fit
from ..inference.task import SEARCHES
from ..mixture.value import GaussianMixture
from .arguments import COUNT, MAX_ITER, OF_METHODS, TOLERANCE
from .base import MixtureEstimator
from .bayesian_fitting import fitted_bayesian, found_by_name, predictive
from .bayesian_prior import DIRICHLET, STICKS
from .starts import Array

TYPES = {name for name, family in FAMILIES.items() if isinstance(family, ConjugateFamily)}
POSITIVE = [None, Interval(Real, 0.0, None, closed="neither")]


class PyroBayesianGaussianMixture(MixtureEstimator):
    """Variational Bayes with the interface of `sklearn.mixture.BayesianGaussianMixture`.

    The same arguments and the same `random_state` give the numbers that scikit-learn gives, but for
    the bound, of which it drops constants. Components that are not needed are emptied:
    `n_components` is the most there can be, and `fit_.diagnostics["filled_components"]` says how
    many hold a point. scikit-learn's single start and its steps, none of which empties a component
    that overlaps another, often leave too many; `search` has moves that merge and delete.

    Args:
        n_components: most components k.
        covariance_type: "full", "tied", "diag" or "spherical", or "tied_diag" or "tied_spherical".
        search: None for scikit-learn's steps; or "starts", "moves" or "thorough": the highest bound
            that `gmm_pyro.fit` finds with `method="vb"`. The numbers are then not scikit-learn's:
            there are ten starts, or `n_init` if it is not 1, of several kinds, or those of
            `init_params` if it is not "kmeans", run until they have converged, or by `tol` and
            `max_iter` if they are not the default, without `reg_covar`; and the prior of the
            covariances is of their own type.
        method_options: with a search, more options of "vb" by name, as `gmm_pyro.fit` takes them.
        tol: steps stop when the bound changes by less, in nats.
        reg_covar: variance that each step adds to every variance.
        max_iter: most steps.
        n_init: number of starts, of which the best is kept.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        weight_concentration_prior_type: "dirichlet_process" or "dirichlet_distribution".
        weight_concentration_prior: of the stick, or of each component; 1/k if None.
        mean_precision_prior: observations that the prior of a mean is worth; 1 if None.
        mean_prior: centre of the means, shape (d,); the mean of X if None.
        degrees_of_freedom_prior: points that the prior of a covariance is worth, above d - 1; d if
            None.
        covariance_prior: sum of squares of the prior, in the shape of one covariance; the
            covariance of X if None.
        random_state: seed or generator of the starts and of `sample`.
        warm_start: whether a fit goes on where the last one ended.
        verbose: 0 for silence, 1 for a line now and then, 2 for more in it.
        verbose_interval: steps between the lines.

    Attributes:
        weights_: means of the weights, shape (k,).
        means_: of the components, shape (k, d).
        covariances_: inverses of the mean precisions: (k, d, d) for full, (d, d) tied, (k, d) diag,
            (k,) spherical, (d,) tied_diag, () tied_spherical.
        precisions_: means of the precisions, in their shape.
        precisions_cholesky_: their upper Cholesky factors, or square roots.
        weight_concentration_: of the Dirichlet distribution, shape (k,); of a stick, a pair of
            arrays: both parameters of the Beta distribution of each share of what is left.
        mean_precision_: observations that each mean is worth, shape (k,).
        degrees_of_freedom_: points that each covariance is worth, shape (k,); of a tied one a
            number.
        weight_concentration_prior_: the prior's number for the weights, with its default.
        mean_precision_prior_: that for the means.
        mean_prior_: their centre, shape (d,).
        degrees_of_freedom_prior_: points that the prior of a covariance is worth.
        covariance_prior_: its sum of squares, in the shape of one covariance.
        converged_: whether the fit has converged.
        n_iter_: number of steps of the best start.
        lower_bound_: bound on the log evidence, in nats, with all constants: scikit-learn's
            and the normalisers of the prior and of the density.
        lower_bounds_: the same after every step.
        n_features_in_: number of features d.
        feature_names_in_: their names, if X had any.
        fit_: the whole result, a `gmm_pyro.Fit` by "vb", with all factors in `fit_.variational`.
            It has draws with a search, and with full covariances. A pickle leaves the data out.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> model = PyroBayesianGaussianMixture(n_components=6, search="moves", random_state=0)
        >>> model = model.fit(load_iris().data)
        >>> model.fit_.diagnostics["filled_components"]
        2
    """

    method = "vb"
    _checked: ClassVar[dict[str, Any]] = {"dtype": np.float64}
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: OF_METHODS[name]
            for name in ("method_options", "tol", "reg_covar", "max_iter", "n_init")
        },
        **{name: OF_METHODS[name] for name in ("init_params", "random_state", "verbose")},
        "n_components": COUNT,
        "covariance_type": [StrOptions(TYPES)],
        "search": [StrOptions(set(SEARCHES)), None],
        "weight_concentration_prior_type": [StrOptions({STICKS, DIRICHLET})],
        "weight_concentration_prior": POSITIVE,
        "mean_precision_prior": POSITIVE,
        "mean_prior": [None, "array-like"],
        "degrees_of_freedom_prior": POSITIVE,
        "covariance_prior": [*POSITIVE, "array-like"],
        "warm_start": ["boolean"],
        "verbose_interval": COUNT,
    }

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        search: str | None = None,
        method_options: Mapping[str, Any] | None = None,
        tol: float = TOLERANCE,
        reg_covar: float = 1e-6,
        max_iter: int = MAX_ITER,
        n_init: int = 1,
        init_params: str = "kmeans",
        weight_concentration_prior_type: str = STICKS,
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: Any = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: Any = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.search = search
        self.method_options = method_options
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the mixture.

        Args:
            X: array-like of shape (n, d).
            y: ignored.
            sample_weight: how often each point counts, also in the defaults of the prior; n
                non-negative weights, or None.

        Raises:
            ValueError: if the data or a parameter is not valid.
            KeyboardInterrupt: after an interrupt; the attributes hold the best state so far.
        """
        x = validate_data(self, X, **self._checked, ensure_min_samples=2)
        return self._fit(x, sample_weight)

    def _fit(self, x: Array, sample_weight: Any) -> Self:
        """`fit` on a checked array."""
        self._keep(*fitted_bayesian(self, x, sample_weight))
        self._stop(self.fit_)
        self._warn(self.fit_, by_recipe=self.search is None)
        return self

    def _keep(self, result: Fit, prior: Mapping[str, Any]) -> None:
        """The attributes, from the result and the prior."""
        self.fit_ = result
        self.__dict__.update({**prior, **found_by_name(result)})
        self.converged_ = result.converged
        self.n_iter_ = result.steps
        self.lower_bound_ = result.objective
        self.lower_bounds_ = result.history.tolist()

    def score_samples(self, X: Any) -> Array:  # noqa: N803
        """Log of Σ_j exp(E log w_j + E log N(x | μ_j, P_j⁻¹)) in nats, shape (n,).

        It is what scikit-learn has here, and a little below the log of a density; that is
        `fit_.mixture.log_prob(X)`.
        """
        return super().score_samples(X) + self._predictive[1]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: N803
        """Mean of `score_samples`, weighted if the points have weights; y is ignored."""
        return super().score(X, y, sample_weight) + self._predictive[1]

    def to_arviz(self, **options: Any) -> Any:
        """Draws from q as ArviZ InferenceData (0.x) or DataTree (1.x), as `gmm_pyro.Fit` has it.

        Raises:
            ValueError: if there are none, or the estimator was pickled.
        """
        check_is_fitted(self)
        if self.fit_.posterior is None:
            raise ValueError(
                f"scikit-learn's steps have no draws of {self.covariance_type} covariances, whose "
                "q is one of a mixture of full ones: take covariance_type='full', or a search"
            )
        return super().to_arviz(**options)

    @property
    def _mixture(self) -> GaussianMixture:
        """What predictions go by: of precisions' means, and weights that are one in sum."""
        return self._predictive[0]

    @property
    def _predictive(self) -> tuple[GaussianMixture, float]:
        """That mixture, and the logarithm of what its weights were in sum."""
        return predictive(self)
