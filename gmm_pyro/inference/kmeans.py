"""Hard clustering by scikit-learn's k-means, reported as a mixture: the baseline of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .starts.starting import SEVERAL, fitted_k_means, from_labels, n_places, starting_parameters
from .task import Options, Outcome, Status, Task, progress_bar

LEGACY_SEEDS = 2**32  # as many seeds of NumPy's old generator


@dataclass(frozen=True, kw_only=True)
class KMeansOptions(Options):
    """Options of k-means; `tolerance` is scikit-learn's, on the centres."""

    max_steps: int = 300
    tolerance: float = 1e-6


def fit_kmeans(task: Task[KMeansOptions]) -> Outcome:
    """Clusters with the least within-cluster sum of squares, in the user's units (Lloyd 1982).

    The mixture has the clusters' shares, means and covariances. The objective is minus the sum of
    squares.
    """
    options, observations = task.options, task.observations
    if observations.measured is not None:
        found = "missing values" if observations.has_holes else "noise"
        raise ValueError(
            f"kmeans measures distances between points as they are, and x has {found}: take "
            "another method, or give it points that are filled in, as GaussianMixture.impute does"
        )
    k = task.model.n_components
    init, n_init = _initial_centres(task)
    places = n_places(observations, k)  # fewer than k would make scikit-learn warn
    with progress_bar(task) as bar:
        clusters = fitted_k_means(
            observations.x.cpu().numpy(),
            places,
            _as_numpy(observations.sample_weight),
            init=init if places == k else "k-means++",
            n_init=n_init,
            max_iter=options.max_steps,
            tol=options.tolerance,
            random_state=options.seed % LEGACY_SEEDS,
        )
        bar.update(clusters.n_iter_)
    labels = torch.as_tensor(clusters.labels_, dtype=torch.int64)
    parameters = from_labels(labels, observations, task.model.family, k, task.floor)
    converged = clusters.n_iter_ < options.max_steps
    return Outcome(
        parameters=parameters,
        objective=-float(clusters.inertia_),
        history=[-float(clusters.inertia_)],
        status=Status.CONVERGED if converged else Status.STEP_LIMIT,
        steps=int(clusters.n_iter_),
        own_labels=labels,
        diagnostics={"inertia": float(clusters.inertia_)},
    )


def _initial_centres(task: Task[KMeansOptions]) -> tuple[Any, int]:
    """scikit-learn's `init` and `n_init` for a start."""
    start = task.options.start
    names = {
        SEVERAL: "k-means++",
        "k-means++": "k-means++",
        "k-means": "k-means++",
        "random points": "random",
    }
    if isinstance(start, str) and start in names:
        return names[start], task.options.n_starts
    parameters = starting_parameters(
        start,
        task.observations,
        task.model.family,
        task.model.n_components,
        n_starts=1,
        floor=task.floor,
        generator=task.generator(),
    )
    return np.asarray(parameters.means[0].cpu()), 1


def _as_numpy(tensor: torch.Tensor | None) -> Any:
    return None if tensor is None else tensor.cpu().numpy()
