"""Clusterers and mixtures of scikit-learn, and what is made like them, as methods of a study."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.checks import plain
from ..datasets import Dataset
from ..inference.fit import Fit
from ..mixture.value import GaussianMixture
from .answers import DONE, Answer, labels_of, of_fit, of_mixture
from .entries import OWN, Entry, Task

SIZES = ("n_components", "n_clusters")  # parameters that say how many clusters there are
SEEDS = 2**32  # that NumPy takes
MIXTURE = ("weights_", "means_", "covariances_", "covariance_type")  # of a fitted mixture
MOST = 500  # letters of a reason


def is_estimator(value: Any) -> bool:
    """Whether something can be cloned and fitted, as scikit-learn's estimators."""
    return all(hasattr(value, name) for name in ("fit", "get_params", "set_params"))


@dataclass(frozen=True, eq=False)
class Estimator(Entry):
    """An estimator, which is cloned for each data set.

    Attributes:
        estimator: what is cloned.
    """

    estimator: Any = None

    def run(self, task: Task) -> Answer:
        """Clusters, and the mixture and probabilities of estimators that have them."""
        estimator, data = self._made(task), task.data
        x = data.x.cpu().numpy().copy()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if hasattr(estimator, "fit_predict"):
                labels = estimator.fit_predict(x, **self._weights(estimator, data))
            else:
                labels = estimator.fit(x, **self._weights(estimator, data)).predict(x)
        said = dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
        return _answer(estimator, labels, data, "; ".join(said)[:MOST])

    def _made(self, task: Task) -> Any:
        """A clone with its seed, its number of clusters and its start."""
        from sklearn.base import clone

        made = clone(self.estimator)
        names = made.get_params()
        seeds = [name for name in names if name.split("__")[-1] == "random_state"]
        own = {name: task.seed % SEEDS for name in seeds}
        last = f"{made.steps[-1][0]}__" if hasattr(made, "steps") else ""
        sizes = [f"{last}{name}" for name in SIZES if f"{last}{name}" in names]
        if sizes and self.n_components != OWN:
            own[sizes[0]] = self.k(task.data)
        if task.start is not None:
            own |= _start(names, last, task)
        return made.set_params(**own)

    def _weights(self, estimator: Any, data: Dataset) -> dict[str, Any]:
        from sklearn.utils.validation import has_fit_parameter

        if data.sample_weight is None:
            return {}
        if not has_fit_parameter(estimator, "sample_weight"):
            raise ValueError(f"{self.name} takes no sample_weight, which {data.name} has")
        return {"sample_weight": data.sample_weight.cpu().numpy()}


def _start(names: Any, last: str, task: Task) -> dict[str, Any]:
    """Means of the clusters to start from, for estimators that can be told."""
    assert task.start is not None
    x = task.data.x.nan_to_num()
    means = torch.stack([x[task.start == j].mean(0) for j in task.start.unique()]).numpy()
    if f"{last}means_init" in names:
        return {f"{last}means_init": means}
    if {f"{last}init", f"{last}n_init", f"{last}n_clusters"} <= set(names):
        return {f"{last}init": means, f"{last}n_init": 1}
    return {}


def _answer(estimator: Any, labels: Any, data: Dataset, said: str) -> Answer:
    """What a fitted estimator says, as far as it can say it."""
    own = getattr(estimator, "fit_", None)
    if isinstance(own, Fit):
        return of_fit(own, data)
    converged = getattr(estimator, "converged_", None)
    status = DONE if converged is None else ("converged" if converged else "step limit")
    steps = plain(getattr(estimator, "n_iter_", None))
    steps = steps if isinstance(steps, int) else None
    mixture, labels = _mixture_of(estimator, data), labels_of(labels, data)
    if mixture is None:
        probabilities = _probabilities(estimator, data)
        return Answer(labels, None, probabilities, steps=steps, status=status, reason=said)
    found = of_mixture(mixture, data)
    status = status if found.status == DONE else found.status
    reason = "; ".join(filter(None, (said, found.reason)))
    return replace(found, labels=labels, steps=steps, status=status, reason=reason)


def _mixture_of(estimator: Any, data: Dataset) -> GaussianMixture | None:
    """The Gaussian mixture that an estimator has found, if it is one."""
    if not all(hasattr(estimator, name) for name in MIXTURE):
        return None
    weights, means, covariances, family = (getattr(estimator, name) for name in MIXTURE)
    names = data.feature_names
    return GaussianMixture(weights / weights.sum(), means, covariances, family, names)


def _probabilities(estimator: Any, data: Dataset) -> Float[Tensor, "n k"] | None:
    """Those of the clusters of each point, if an estimator has some."""
    if not hasattr(estimator, "predict_proba"):
        return None
    return torch.as_tensor(estimator.predict_proba(data.x.numpy()), dtype=torch.float64)
