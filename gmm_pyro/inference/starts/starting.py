"""Starting values: batches of parameter sets that EM and every other method begin from.

All restarts are one batch. They are made, and compared by a few steps of EM, on at most
a few thousand points; only the best few go on to the whole data.
"""

from __future__ import annotations

import functools
import importlib
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from threadpoolctl import ThreadpoolController
from torch import Tensor

from ...covariance import CovarianceFamily, Parameters
from ...covariance.fixed import Fixed
from ...covariance.records import TINY
from ...data.arrays import array_of, classes
from ...data.checks import check_choice
from ...data.features import places
from ...data.points import Observations
from ...data.spread import passes
from ...mixture.checks import mixture_within
from ...mixture.value import GaussianMixture
from ...reduction.assignments import Assignment, Given, GivenLabels
from ...reduction.background import NOISE
from ...reduction.naming import fitting_numbers
from ...reduction.sums import maximise, reduce
from ...reduction.theta import anywhere, theta_of
from ...running.counting import uniforms
from .agglomerated import agglomeration
from .known import as_known
from .noisy import as_noisy, assigned
from .seeding import greedy_k_means_plus_plus, invariant_coordinates

SAMPLE = 5_000  # points that starting values are computed from, at least
SAMPLE_A_MEAN = 50  # points for each entry of the means, at least
FEW = 20_000  # points that k-means is not faster for on several threads
THINNEST = 1e-12  # share of a feature's variance that a starting covariance has at least

Start = Callable[[Observations, Float[Tensor, "d"], int, range, int], Given | GivenLabels]


def clustering() -> ModuleType:
    """scikit-learn's module; importing it draws from Python's generator, which is put back."""
    if "sklearn.cluster" not in sys.modules:
        state = random.getstate()
        importlib.import_module("sklearn.cluster")
        random.setstate(state)
    return sys.modules["sklearn.cluster"]


def fitted_k_means(
    x: Float[np.ndarray, "n d"],
    n_clusters: int,
    sample_weight: Float[np.ndarray, "n"] | None,
    **arguments: Any,
) -> Any:
    """scikit-learn's KMeans, fitted; few points on one thread, where two would wait for each other.

    Args:
        x: the points.
        n_clusters: number of clusters.
        sample_weight: their weights, or None.
        **arguments: others of KMeans.
    """
    estimator = clustering().KMeans(n_clusters, **arguments)
    with _own_threads().limit(limits=1 if len(x) <= FEW else None):
        return estimator.fit(x, sample_weight=sample_weight)


@functools.lru_cache(maxsize=1)
def _own_threads() -> ThreadpoolController:
    """The OpenMP library in scikit-learn's wheel, if it has one; torch's must not be touched.

    Looking for it takes milliseconds.
    """
    libraries = ThreadpoolController()
    paths = [library.filepath for library in libraries.lib_controllers]
    return libraries.select(filepath=[path for path in paths if "scikit_learn.libs" in path])


def k_means_plus_plus(
    sample: Observations, unit: Float[Tensor, "d"], k: int, starts: range, seed: int
) -> GivenLabels:
    """Nearest of k centres, drawn by greedy k-means++ on data in these units."""
    return GivenLabels(
        greedy_k_means_plus_plus(_standardised(sample, unit), sample.weights, k, starts, seed)
    )


def k_means(
    sample: Observations, unit: Float[Tensor, "d"], k: int, starts: range, seed: int
) -> GivenLabels:
    """Clusters of scikit-learn's k-means on data in these units."""
    x, weight = sample.standardised(unit), _numpy_weight(sample)
    if n_places(sample, k) < k:  # k-means would warn of what the fit's diagnosis says
        return k_means_plus_plus(sample, unit, k, starts, seed)
    seeds = (uniforms(seed, starts, slice(0, 1), sample.origin) * 2**31).long()[:, 0].tolist()
    labels = [fitted_k_means(x, k, weight, n_init=1, random_state=s).labels_ for s in seeds]
    return GivenLabels(torch.as_tensor(np.stack(labels), dtype=torch.int64))


def random_responsibilities(
    sample: Observations, unit: Float[Tensor, "d"], k: int, starts: range, seed: int
) -> Given:
    """Uniform numbers, normalised over the components."""
    del unit
    drawn = uniforms(seed, starts, slice(0, k * sample.n), sample.origin).view(-1, k, sample.n)
    return Given((drawn / drawn.sum(1, keepdim=True)).to(sample.x))


def random_points(
    sample: Observations, unit: Float[Tensor, "d"], k: int, starts: range, seed: int
) -> GivenLabels:
    """Nearest of k different points drawn at random, in proportion to their weights."""
    x = _standardised(sample, unit)
    waits = -uniforms(seed, starts, slice(0, sample.n), x).log() / sample.weights
    return GivenLabels(_nearest(x, x[waits.topk(k, largest=False).indices]))


def invariant(
    sample: Observations, unit: Float[Tensor, "d"], k: int, starts: range, seed: int
) -> GivenLabels:
    """Nearest of k centres in invariant coordinates: at their low end, their high one, and both."""
    del unit
    coordinates = invariant_coordinates(sample)
    q = min(k - 1, -(-coordinates.shape[1] // 2)) or 1
    ends = (coordinates[:, :q], coordinates[:, -q:])
    spaces = (*ends, torch.cat(ends, 1))
    labels = [
        greedy_k_means_plus_plus(spaces[i % 3], sample.weights, k, range(i, i + 1), seed)
        for i in starts
    ]
    return GivenLabels(torch.cat(labels))


def labelled(
    sample: Observations, unit: Float[Tensor, "d"], k: int, starts: range, seed: int
) -> GivenLabels:
    """Nearest of k centres: of points that are known to be a component's, where there are some.

    Else they are those of k-means++: seeded k-means (Basu, Banerjee & Mooney 2002).
    """
    assert sample.allowed is not None
    x, possible = _standardised(sample, unit), sample.allowed.table[sample.allowed.kind].to(unit)
    own = sample.weights * (possible.sum(1) == 1) * possible.T
    begun = as_known(k_means_plus_plus(sample, unit, k, starts, seed), sample, k)
    share = begun.responsibilities.to(unit) * sample.weights
    share = torch.where((own.sum(1) > 0)[:, None], own, share)
    return GivenLabels(_nearest(x, share @ x / share.sum(2, keepdim=True).clamp_min(TINY)))


def labelled_first(
    sample: Observations, unit: Float[Tensor, "d"], k: int, starts: range, seed: int
) -> GivenLabels:
    """k-means++; of points with labels, the first start is from these."""
    found = k_means_plus_plus(sample, unit, k, starts, seed)
    if sample.allowed is not None and 0 in starts:
        found.labels[starts.index(0)] = labelled(sample, unit, k, range(1), seed).labels[0]
    return found


STARTS: dict[str, Start] = {
    "k-means++": k_means_plus_plus,
    "k-means": k_means,
    "random": random_responsibilities,
    "random points": random_points,
    "invariant": invariant,
    "agglomeration": agglomeration,
}
SEVERAL = "several"  # kinds of starts side by side, of which a single start is the first


def sample_of(
    observations: Observations, n_components: int, generator: torch.Generator
) -> Observations:
    """The observations, or a random part of them if they are more than a start needs."""
    enough = max(SAMPLE, SAMPLE_A_MEAN * n_components * observations.d)
    return observations.part(enough, generator)


def n_places(observations: Observations, enough: int) -> int:
    """Number of different points; counting stops at `enough`."""
    places: set[tuple[float, ...]] = set()
    x = observations.filled
    for rows in passes(x):
        places |= set(map(tuple, x[rows].unique(dim=0)[:enough].tolist()))
        if len(places) >= enough:
            break
    return min(len(places), enough)


def from_labels(
    labels: Int[Tensor, "n"],
    observations: Observations,
    family: CovarianceFamily,
    k: int,
    floor: Float[Tensor, "d"],
) -> Parameters:
    """A batch of one parameter set: the M-step from labels 0 to k - 1, which may miss some."""
    assign = GivenLabels(labels.to(observations.device)[None])
    return _from_assignment(assign, observations, family, (1, k), floor)


def starting_parameters(
    start: Any,
    observations: Observations,
    family: CovarianceFamily,
    n_components: int,
    *,
    n_starts: int,
    floor: Float[Tensor, "d"],
    generator: torch.Generator,
    first: int = 0,
    fixed: Fixed | None = None,
) -> Parameters:
    """A batch of starting parameters, shape (s, …): one set if the start is given, else n_starts.

    A start depends on the seed that the generator gives and on its own number, on no other start.

    Args:
        start: the name of a way to start (`STARTS`), n labels, or a mixture.
        observations: the data; a start that is not given is made of a sample of very many points.
        family: covariance family.
        n_components: number of components k.
        n_starts: number of sets s.
        floor: smallest variance of each feature.
        generator: source of randomness.
        first: number of the first start.
        fixed: what is held of the parameters, if anything is; components of a start that is not
            given go where they fit it.

    Raises:
        ValueError: if the start does not exist or does not fit the data or the model.
    """
    if isinstance(start, GaussianMixture):
        found = as_noisy(_from_mixture(start, observations, family, n_components), observations)
        return found if fixed is None else fixed.imposed(found)
    if isinstance(start, str):
        observations = sample_of(observations, n_components, generator)
        kinds = {SEVERAL: labelled_first, **STARTS}
        make = kinds[check_choice("start", start, kinds)]
        unit = family.pool(observations.bulk.log()).exp().expand_as(observations.bulk)
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        assign = make(observations, unit, n_components, range(first, first + n_starts), seed)
        if observations.allowed is not None:
            assign = as_known(assign, observations, n_components)
    else:
        n_starts = 1
        assign = assigned(_labels(start, observations, n_components), n_components)
    found = _from_assignment(assign, observations, family, (n_starts, n_components), floor)
    found = as_noisy(found, observations, assign)
    if fixed is None:
        return found
    if not is_given(start) and observations.allowed is None:
        theta = theta_of(family, found, observations)
        found = family.permuted(found, fitting_numbers(observations, theta, fixed))
    return fixed.imposed(found)


def is_given(start: Any) -> bool:
    """Whether a start leaves nothing to chance: a mixture or labels."""
    return not isinstance(start, str)


def _from_assignment(
    assign: Assignment,
    observations: Observations,
    family: CovarianceFamily,
    sets: tuple[int, int],
    floor: Float[Tensor, "d"],
) -> Parameters:
    """The M-step from responsibilities that do not depend on parameters."""
    floor = torch.maximum(floor, THINNEST * observations.bulk.square())
    theta = anywhere(observations, family, sets)
    statistics = reduce(observations, theta, assign)
    return maximise(observations, theta, statistics, floor, assign).parameters


def _from_mixture(
    mixture: GaussianMixture, observations: Observations, family: CovarianceFamily, k: int
) -> Parameters:
    """The mixture's parameters, brought into the model's family."""
    if (mixture.n_components, mixture.n_features) != (k, observations.d):
        raise ValueError(
            f"start must have {k} components in {observations.d} dimensions, got "
            f"{mixture.n_components} in {mixture.n_features}"
        )
    places(observations.feature_names, mixture.feature_names, "start", "feature")  # refuses others
    mixture = mixture.in_order_of(observations.feature_names)
    return _on(observations, brought_into(family, mixture))


def brought_into(family: CovarianceFamily, mixture: GaussianMixture) -> Parameters:
    """Parameters of a mixture, its covariances those of a family that are closest to them."""
    if mixture.family is family:
        return mixture.parameters
    p, d = mixture.parameters, mixture.n_features
    weights = p.log_weights.exp()
    dense = mixture.family.dense(p.factor, d).expand(1, mixture.n_components, d, d)
    if family.n_covariances(mixture.n_components) < mixture.n_components:
        dense = (weights[..., None, None] * dense).sum(1, keepdim=True)
    factor = family.fit_all(family.compress(dense), weights, dense.new_zeros(d))
    return replace(p, factor=factor)


def _on(observations: Observations, p: Parameters) -> Parameters:
    device = observations.device
    return Parameters(*(value.to(device) for value in p.values))


def _labels(start: Any, observations: Observations, k: int) -> Int[Tensor, "1 n"]:
    wanted = f"a name, a GaussianMixture or {observations.n} labels"
    if within := mixture_within(start):
        raise ValueError(f"start must be {wanted}, got {type(start).__name__}{within}")
    values = array_of(start, "start", wanted)
    if values.shape != (observations.n,):
        raise ValueError(f"start must be {wanted}, got an array of shape {values.shape}")
    names, codes = np.unique(classes(values, "start"), return_inverse=True)
    if observations.log_noise is not None and names[0] == NOISE:
        names, codes = names[1:], codes - 1
    if len(names) != k:
        raise ValueError(f"start names {len(names)} clusters, the model has {k} components")
    return torch.as_tensor(codes, dtype=torch.int64, device=observations.device)[None]


def _nearest(x: Float[Tensor, "n d"], centres: Float[Tensor, "s k d"]) -> Int[Tensor, "s n"]:
    return torch.stack([torch.cdist(x, centre.to(x)).argmin(1) for centre in centres])


def _numpy_weight(sample: Observations) -> Float[np.ndarray, "n"] | None:
    return None if sample.sample_weight is None else np.asarray(sample.sample_weight.cpu())


def _standardised(sample: Observations, unit: Float[Tensor, "d"]) -> Float[Tensor, "n d"]:
    return (sample.filled.to(unit) - sample.origin) / unit
