"""`GMMRegressor`: outputs given inputs, by the mixture of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils import Tags, check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
from torch import Tensor

from ..data.arrays import finite
from ..data.checks import check_flag
from ..mixture.conditionals import Conditionals
from ..model.conjugate import ConjugatePriors
from ..model.priors import Priors
from .arguments import MAX_ITER, OF_METHODS, TOLERANCE, check_n_samples
from .mixture import CHECKED, PyroGaussianMixture
from .starts import Array


class GMMRegressor(RegressorMixin, MultiOutputMixin, BaseEstimator):  # type: ignore[misc]
    """Regression by a mixture of inputs and outputs together: y given x is a mixture again.

    Each component is a linear regression of its own, and they take over from each other where
    their points are; so the spread of y may change with x, and have several modes. Inputs that are
    missing (NaN) are integrated out, in fitting and in predicting, and so are outputs in fitting.

    The arguments are those of `PyroGaussianMixture`; "auto" chooses by the BIC of the mixture of
    inputs and outputs together.

    Attributes:
        mixture_: the fitted `PyroGaussianMixture` of inputs and outputs, the latter last.
        converged_: whether it has converged.
        n_outputs_: number of outputs.
        n_features_in_: number of inputs.
        feature_names_in_: their names, if X had any.

    Source: Ghahramani & Jordan (1994), "Supervised learning from incomplete data via an EM
    approach".

    Example:
        >>> x = np.linspace(-3, 3, 300)
        >>> y = np.abs(x) + 0.1 * np.random.default_rng(0).normal(size=300)
        >>> model = GMMRegressor(2, random_state=0).fit(x[:, None], y)
        >>> model.predict([[-2.0], [2.0]]).round(1).tolist()
        [2.0, 2.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**OF_METHODS}

    def __init__(
        self,
        n_components: int | str = 1,
        *,
        covariance_type: str = "full",
        method: str = "em",
        priors: Priors | ConjugatePriors | None = None,
        method_options: Mapping[str, Any] | None = None,
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
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        """See scikit-learn."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the mixture of inputs and outputs.

        Args:
            X: inputs, array-like of shape (n, d), NaN where one is missing.
            y: outputs, of shape (n,) or (n, m), NaN where one is missing.
            sample_weight: n non-negative weights, or None.

        Raises:
            ValueError: if the data or a parameter is not valid.
        """
        if y is None:
            raise ValueError("GMMRegressor requires y to be passed, but the target y is None")
        x = validate_data(self, X, **CHECKED, ensure_min_samples=2)
        y = check_array(
            y, dtype=np.float64, ensure_all_finite="allow-nan", ensure_2d=False, input_name="y"
        )
        check_consistent_length(x, y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._is_flat = y.ndim == 1
        outputs = y.reshape(len(y), -1)
        self.n_outputs_ = outputs.shape[1]
        shared = {name: getattr(self, name) for name in OF_METHODS}
        self.mixture_ = PyroGaussianMixture(**shared)
        self.mixture_.fit(np.column_stack([x, outputs]), sample_weight=sample_weight)
        self.converged_ = self.mixture_.converged_
        self.n_iter_ = self.mixture_.n_iter_
        return self

    # ------------------------------------------------------------------ outputs given inputs

    def conditionals(self, X: Any) -> Conditionals:  # noqa: N803
        """The mixture of the outputs at every input: weights, means and covariances."""
        check_is_fitted(self)
        x = validate_data(self, X, **CHECKED, reset=False)
        joint = np.column_stack([x, np.full((len(x), self.n_outputs_), np.nan)])
        outputs = range(x.shape[1], joint.shape[1])
        return self.mixture_._mixture.conditionals(joint, list(outputs))

    def predict(self, X: Any, *, return_std: bool = False) -> Any:  # noqa: N803
        """Mean of the outputs at every input, shape (n,) or (n, m); and standard deviations."""
        return_std = check_flag("return_std", return_std)
        found = self.conditionals(X)
        mean = self._shaped(found.mean())
        if not return_std:
            return mean
        variance = found.covariance().diagonal(dim1=1, dim2=2)
        return mean, self._shaped(variance.clamp_min(0.0).sqrt())

    def predict_quantile(self, X: Any, quantiles: Any = (0.05, 0.5, 0.95)) -> Array:  # noqa: N803
        """Quantiles of every output at every input, shape (n, q) or (n, m, q).

        Raises:
            ValueError: if they are not between 0 and 1.
        """
        q = finite(quantiles, "quantiles").reshape(-1)
        if not ((q > 0) & (q < 1)).all():
            raise ValueError(f"quantiles must be between 0 and 1, got {q.tolist()}")
        found = self.conditionals(X).quantile(torch.from_numpy(q)).numpy()
        return np.asarray(found[:, 0] if self._is_flat else found)

    def predict_log_density(self, X: Any, y: Any) -> Array:  # noqa: N803
        """log p(y | x) of outputs at their inputs in nats, shape (n,)."""
        check_is_fitted(self)
        x = validate_data(self, X, **CHECKED, reset=False)
        outputs = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        check_consistent_length(x, outputs)
        outputs = outputs.reshape(len(x), -1)
        if outputs.shape[1] != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} outputs, got {outputs.shape[1]}")
        nothing = np.full_like(outputs, np.nan)
        mixture = self.mixture_._mixture
        joint, inputs = (mixture.log_prob(np.column_stack([x, z])) for z in (outputs, nothing))
        return np.asarray((joint - inputs).numpy())

    def sample_y(self, X: Any, n_samples: int = 1) -> Array:  # noqa: N803
        """Outputs drawn at every input, shape (n, n_samples) or (n, m, n_samples)."""
        n_samples = check_n_samples(n_samples)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        found = self.conditionals(X).sample(n_samples, torch.Generator().manual_seed(seed))
        drawn = found.permute(1, 2, 0).numpy()
        return np.asarray(drawn[:, 0] if self._is_flat else drawn)

    def _shaped(self, values: Tensor) -> Array:
        """Of shape (n,), if the outputs were."""
        array = values.numpy()
        return np.asarray(array[:, 0] if self._is_flat else array)
