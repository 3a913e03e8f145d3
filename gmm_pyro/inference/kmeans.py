"""Hard clustering by scikit-learn's k-means, reported as a mixture: the baseline of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from ..covariance.records import TINY
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
    if task.model.noise is not None:
        raise ValueError(
            "kmeans puts every point into a cluster, and has no noise_component: em has"
        )
    if task.model.fixed is not None:
        raise ValueError("kmeans has no parameters to hold: fixed is for the other methods")
    if observations.measured is not None:
        found = "missing values" if observations.has_holes else "noise"
        raise ValueError(
            f"kmeans measures distances between points as they are, and x has {found}: take "
            "another method, or give it points that are filled in, as GaussianMixture.impute does"
        )
    if observations.allowed is not None:
        return _fit_labelled(task)
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
    return _outcome(task, labels, float(clusters.inertia_), int(clusters.n_iter_))


def _outcome(
    task: Task[KMeansOptions], labels: Int[Tensor, "n"], inertia: float, steps: int
) -> Outcome:
    family, k = task.model.family, task.model.n_components
    converged = steps < task.options.max_steps
    return Outcome(
        parameters=from_labels(labels, task.observations, family, k, task.floor),
        objective=-inertia,
        history=[-inertia],
        status=Status.CONVERGED if converged else Status.STEP_LIMIT,
        steps=steps,
        own_labels=labels,
        diagnostics={"inertia": inertia},
    )


def _fit_labelled(task: Task[KMeansOptions]) -> Outcome:
    """The same where points stay in clusters that are possible for them: the best of all starts.

    scikit-learn's k-means knows no labels. Source: Wagstaff, Cardie, Rogers & Schroedl (2001).
    """
    observations, options = task.observations, task.options
    starts = starting_parameters(
        options.start,
        observations,
        task.model.family,
        task.model.n_components,
        n_starts=options.n_starts,
        floor=task.floor,
        generator=task.generator(),
    )
    x, weight = observations.x.double(), observations.weights
    assert observations.allowed is not None
    barred = ~observations.allowed.table[observations.allowed.kind]
    least = options.tolerance * float(observations.scale.square().sum())
    best = None
    with progress_bar(task) as bar:
        for centres in starts.means:
            found = _lloyd(x, weight, barred, centres, least, options.max_steps)
            bar.update(found[2])
            best = found if best is None or found[1] < best[1] else best
    assert best is not None
    return _outcome(task, *best)


def _lloyd(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "n"],
    barred: Bool[Tensor, "n k"],
    centres: Float[Tensor, "k d"],
    least: float,
    max_steps: int,
) -> tuple[Int[Tensor, "n"], float, int]:
    """Labels, weighted sum of squares and steps, until centres move by no more than `least`."""
    step, moved = 0, math.inf
    while step < max_steps and moved > least:
        squares = torch.cdist(x, centres).square().masked_fill(barred, torch.inf)
        nearest, labels = squares.min(1)
        share = weight * one_hot(labels, len(centres)).T
        held = share.sum(1, keepdim=True)
        following = torch.where(held > 0, share @ x / held.clamp_min(TINY), centres)
        moved, centres = float((following - centres).square().sum()), following
        step += 1
    return labels, float(weight @ nearest), step


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


def _as_numpy(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.cpu().numpy()
