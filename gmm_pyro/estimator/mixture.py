"""`PyroGaussianMixture`: scikit-learn's `GaussianMixture` by any method of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ..inference.fit import Fit
from ..inference.task import SEARCHES
from ..mixture.noise_component import NoiseComponent
from ..mixture.value import GaussianMixture
from ..model.conjugate import ConjugatePriors
from ..model.priors import Priors
from .arguments import COUNT, MAX_ITER, OF_METHODS, TOLERANCE, by_recipe, left_open
from .attributes import attributes_of, by_hand
from .auto import selected, selection_without_data
from .base import MixtureEstimator
from .fitting import fitted
from .starts import Array

CHECKED: dict[str, Any] = {"dtype": [np.float64, np.float32], "ensure_all_finite": "allow-nan"}


class PyroGaussianMixture(MixtureEstimator):
    """A Gaussian mixture with the interface of `sklearn.mixture.GaussianMixture`.

    With `method="em"`, the default, the same arguments and the same `random_state` give the
    numbers that scikit-learn gives, in a fraction of the time. The other methods of
    `gmm_pyro.fit` bring priors and posteriors.

    Args:
        n_components: number of components k; or "auto", 1 to 9 are tried and BIC chooses.
        covariance_type: "full", "tied", "diag" or "spherical", and this package's other families,
            also by mclust's code; or "auto", all are tried and BIC chooses.
        method: name of the method.
        priors: priors of the methods that have them, or None for their default.
        noise_component: "uniform", a `gmm_pyro.UniformBox` or a `gmm_pyro.WideGaussian` for points
            that belong to no component; their label is -1, and `predict_proba` leaves their share
            out of its rows. None for none. "em" then is this package's EM, by a search.
        method_options: options of the method by name, as `gmm_pyro.fit` takes them; for "em" only
            with a search.
        search: None, or "starts", "moves" or "thorough": how to look for the likeliest mixture, as
            `gmm_pyro.fit` does. With "em" and a search, the numbers are not scikit-learn's but
            those of this package's EM: many starts (10, or `n_init` if it is not 1) of several
            kinds (or those of `init_params` if it is not "kmeans"), run until they have converged
            (or by `tol` and `max_iter` if they are not the default), with a floor under the
            variances in place of `reg_covar`, and with warnings of degenerate components. Values
            that are given to start from are gone on from, without a search. "moves" takes ten
            starts to make any: `n_init=4` has none, nor has another method with `n_init=1`.
        tol: EM stops when the mean log-likelihood, in nats, changes by less.
        reg_covar: variance that EM adds to every variance.
        max_iter: most steps of EM.
        n_init: number of starts, of which the best is kept.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        weights_init: starting weights, shape (k,), or None.
        means_init: starting means, shape (k, d), or None.
        precisions_init: inverses of the starting covariances, in their shape, or None.
        random_state: seed or generator of the starts and of `sample`.
        warm_start: whether a fit goes on where the last one ended.
        verbose: 0 for silence, 1 for a line now and then, 2 for more in it.
        verbose_interval: steps between the lines.

    With "auto", `gmm_pyro.select` fits all models, by "em", "gradient" or "map". Its EM has a
    search and a floor of its own, as with `search`, and the numbers are not scikit-learn's; all
    begin from ten starts, or `n_init` if it is not 1. The arguments stay as they are;
    `n_components_` and `covariance_type_` are what was chosen.

    `tol` and `max_iter` are those of EM without a search. Other methods take them as `tolerance`
    and `max_steps` where they differ from the default, and have their own otherwise; all take
    `n_init`, the start and `random_state`.

    Attributes:
        n_components_: number of components of the fit.
        covariance_type_: covariance family of the fit, by scikit-learn's name if it has one.
        selection_: where something was "auto", all models, a `gmm_pyro.Selection`. A pickle leaves
            the data out: it has the table, and no more fits.
        weights_: shape (k,).
        means_: shape (k, d).
        covariances_: (k, d, d) for full, (d, d) tied, (k, d) diag, (k,) spherical, (d,) tied_diag,
            () tied_spherical.
        precisions_: inverses of the covariances, in their shape.
        precisions_cholesky_: their upper Cholesky factors, or square roots.
        noise_weight_: weight of the noise among all, where there is such a component.
        converged_: whether the fit has converged.
        n_iter_: number of steps of the best start.
        lower_bound_: mean log-likelihood before the last M-step, in nats a point; for other methods
            what they maximise, a point.
        lower_bounds_: the same after every step.
        n_features_in_: number of features d.
        feature_names_in_: their names, if X had any.
        fit_: the whole result, a `gmm_pyro.Fit`, with the data and, if there is one, the posterior.
            A pickle leaves the data out: what needs them then raises ValueError.
            `fit_.diagnostics["problems"]` names degenerate components; EM does not warn of them
            here, since scikit-learn does not.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> model = PyroGaussianMixture(n_components=3, random_state=0).fit(load_iris().data)
        >>> model.means_.shape, model.converged_
        ((3, 4), True)
    """

    _checked = CHECKED
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **OF_METHODS,
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "warm_start": ["boolean"],
        "search": [StrOptions(set(SEARCHES)), None],
        "noise_component": [StrOptions({"uniform"}), NoiseComponent, None],
        "verbose_interval": COUNT,
    }

    def __init__(
        self,
        n_components: int | str = 1,
        *,
        covariance_type: str = "full",
        method: str = "em",
        priors: Priors | ConjugatePriors | None = None,
        noise_component: Any = None,
        method_options: Mapping[str, Any] | None = None,
        search: str | None = None,
        tol: float = TOLERANCE,
        reg_covar: float = 1e-6,
        max_iter: int = MAX_ITER,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.method = method
        self.priors = priors
        self.noise_component = noise_component
        self.method_options = method_options
        self.search = search
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def __sklearn_tags__(self) -> Tags:
        """See scikit-learn."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True  # which is missing
        return tags

    # ------------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the mixture.

        Args:
            X: array-like of shape (n, d). Values that are NaN are integrated out.
            y: ignored.
            sample_weight: n non-negative weights, or None.

        Raises:
            ValueError: if the data or a parameter is not valid, or EM meets a covariance that is
                not positive definite.
            KeyboardInterrupt: after an interrupt; the attributes hold the best state so far, and
                there are none while "auto" is still being chosen.
        """
        x = validate_data(self, X, **self._checked, ensure_min_samples=2)
        return self._fit(x, sample_weight)

    def _fit(self, x: Array, sample_weight: Any, labels: Any = None) -> Self:
        """`fit` on a checked array; labels are those of `gmm_pyro.fit`."""
        if left_open(self):
            selection = selected(self, x, sample_weight)
            self._keep(selection.best)
            self.selection_ = selection  # which has warned already
            self._stop(selection.best)
            return self
        self._keep(result := fitted(self, x, sample_weight, labels))
        self._stop(result)
        self._warn(result, by_recipe=by_recipe(self))
        return self

    def _keep(self, result: Fit) -> None:
        """The attributes, from the result."""
        self.fit_, total = result, result.observations.total_weight
        for name in ("noise_weight_", "selection_"):  # of a fit before
            self.__dict__.pop(name, None)
        self.__dict__.update(attributes_of(result.mixture))
        self.converged_ = result.converged
        self.n_iter_ = result.steps
        self.lower_bound_ = result.objective / total
        self.lower_bounds_ = (result.history / total).tolist()

    def bic(self, X: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Bayesian information criterion; lower is better (Schwarz 1978).

        With n weights, points count so often, and their number is the sum of the weights.
        """
        mixture, x = self._at(X)
        return mixture.bic(x, sample_weight)

    def aic(self, X: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Akaike information criterion, as `bic`; lower is better (Akaike 1974)."""
        mixture, x = self._at(X)
        return mixture.aic(x, sample_weight)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: no data, of no model."""
        state = super().__getstate__()
        if "selection_" in state:
            state = {**state, "selection_": selection_without_data(state["selection_"])}
        return state

    def _n_parameters(self) -> int:
        check_is_fitted(self)
        return self._mixture.n_parameters

    @property
    def _mixture(self) -> GaussianMixture:
        """The fit's mixture, or that of the attributes where their owner has changed them.

        The fit's is exact, where the attributes of a fit in float32 are rounded.
        """
        if hasattr(self, "fit_") and all(
            np.array_equal(getattr(self, name), value)
            for name, value in attributes_of(self.fit_.mixture).items()
            if name in ("weights_", "means_", "precisions_cholesky_", "noise_weight_")
        ):
            return self.fit_.mixture
        return by_hand(self)
