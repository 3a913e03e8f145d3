"""What the estimators of a mixture have in common: what they say once they are fitted."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ..inference.fit import Fit
from ..inference.task import Status
from ..metrics import mean_log_density
from ..mixture.value import GaussianMixture
from .arguments import check_n_samples
from .attributes import in_type, numpy_of, sampled, warn_of, without_data
from .starts import Array

NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)


class MixtureEstimator(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator whose fit is a mixture of Gaussians."""

    _checked: ClassVar[dict[str, Any]]  # what its data may be

    @abstractmethod
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the mixture."""

    @property
    @abstractmethod
    def _mixture(self) -> GaussianMixture:
        """What predictions go by."""

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Array:  # noqa: N803
        """The most probable component of each point of the data, shape (n,)."""
        return self.fit(X, y, sample_weight).predict(X)

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The most probable component of each point, shape (n,)."""
        mixture, x = self._at(X)
        return numpy_of(mixture.predict(x))

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Probability of each component at each point, shape (n, k)."""
        mixture, x = self._at(X)
        return numpy_of(mixture.responsibilities(x))

    def score_samples(self, X: Any) -> Array:  # noqa: N803
        """Log density of each point in nats, shape (n,)."""
        mixture, x = self._at(X)
        return numpy_of(mixture.log_prob(x))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: N803
        """Mean log density of the points in nats, weighted if they have weights; y is ignored."""
        mixture, x = self._at(X)
        if sample_weight is None and not np.isnan(x).any():
            return float(numpy_of(mixture.log_prob(x)).mean())  # to scikit-learn's last bit
        return mean_log_density(mixture, x, sample_weight)

    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Points drawn from the mixture, and their components, in the components' order.

        Raises:
            ValueError: if `n_samples` is less than one.
        """
        check_is_fitted(self)
        count, random = check_n_samples(n_samples), check_random_state(self.random_state)
        return sampled(self, self._mixture.family, count, random)

    def to_arviz(self, **options: Any) -> Any:
        """The posterior as ArviZ InferenceData (0.x) or DataTree (1.x), as `gmm_pyro.Fit` gives it.

        Raises:
            ValueError: if the method has no draws, or the estimator was pickled.
        """
        check_is_fitted(self)
        check_is_fitted(self, "fit_", msg="the draws are those of the classifier's fit_")
        return self.fit_.to_arviz(**options)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: no data, which predictions do not need."""
        state: dict[str, Any] = super().__getstate__()
        return {**state, "fit_": without_data(state["fit_"])} if "fit_" in state else state

    def __copy__(self) -> Self:
        """A copy has the data: it is no pickle."""
        return self._with(self.__dict__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy has the data: it is no pickle."""
        return self._with(copy.deepcopy(self.__dict__, memo))

    def _with(self, state: Mapping[str, Any]) -> Self:
        again = type(self).__new__(type(self))
        again.__dict__.update(state)
        return again

    def _at(self, points: Any) -> tuple[GaussianMixture, Array]:
        """The mixture, in the type that points and attributes have in common, and the points."""
        check_is_fitted(self)
        x: Array = validate_data(self, points, **self._checked, reset=False)
        kind = np.result_type(x, self.means_)
        return in_type(self._mixture, kind), x

    def _stop(self, result: Fit) -> None:
        """Go on stopping, after an interrupt."""
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt

    def _warn(self, result: Fit, *, by_recipe: bool) -> None:
        """Warn of what has gone wrong: of scikit-learn's algorithms, in its words."""
        if not by_recipe:
            warn_of(result)
        elif self.max_iter > 0 and not result.converged:
            warnings.warn(NOT_CONVERGED, ConvergenceWarning, stacklevel=5)
