"""The kinds of data that designs draw: each from a level of every factor, and a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from ..data.checks import MOST_HELD, check_choice, check_count, check_flag, check_number
from ..data.observations import as_points
from ..datasets import DATASETS, Dataset, dataset_named
from ..datasets.generators import MOST_NUMBERS
from .factors import Factor, Kind
from .points import NotGaussian, Shape, check_skew, check_tails
from .random_mixtures import RandomMixture, overlapping_mixture, separated_mixture
from .spoiling import spoilt, with_noise_features
from .streams import Part

Maker = Callable[[Mapping[str, Any], np.random.Generator], RandomMixture]
FAMILIES = {  # of (spherical, shared), and with features that say nothing
    (False, False): ("full", "full"),
    (False, True): ("tied", "tied"),
    (True, False): ("spherical", "diag"),
    (True, True): ("tied_spherical", "tied_diag"),
}


def _from_mixtures(name: str, make: Maker, levels: Mapping[str, Any], seed: int) -> Dataset:
    """Points of a random mixture, with what else the levels ask for."""
    if levels["k"] * levels["d"] ** 2 > MOST_NUMBERS:
        raise ValueError(
            f"k d² must be at most {MOST_NUMBERS}, of k = {levels['k']} and d = {levels['d']}"
        )
    count = levels["noise_features"]
    drawn = make(levels, Part.TRUTH.generator(seed)).with_noise_features(count)
    truth = drawn.mixture(FAMILIES[levels["spherical"], levels["shared"]][count > 0])
    shape = Shape(levels["tails"], levels["skew"])
    sample = shape.sample(truth, levels["n"], Part.POINTS.generator(seed))
    known = sample.x, sample.labels, truth, name, truth.feature_names
    if shape.is_gaussian:
        return spoilt(Dataset(*known), levels, seed)
    return spoilt(NotGaussian(*known, shape=shape, source=truth), levels, seed)


def _overlapping(levels: Mapping[str, Any], rng: np.random.Generator) -> RandomMixture:
    """A mixture with the overlap that the levels ask for, which must be possible."""
    k, mean, largest = (levels[name] for name in ("k", "overlap", "largest_overlap"))
    if mean is not None and largest is not None:
        pairs = k * (k - 1) / 2
        if not (mean <= largest and (pairs == 1 or mean * pairs > largest)):
            raise ValueError(
                f"overlap, the mean of {pairs:g} of which the largest is {largest:g}, must be "
                f"above {largest / pairs:g} and at most {largest:g}, got {mean:g}"
            )
    return overlapping_mixture(levels, rng)


def _resampled(levels: Mapping[str, Any], seed: int) -> Dataset:
    """Rows of a data set, with what else the levels ask for."""
    given, n = levels["data"], levels["n"]
    data = given if isinstance(given, Dataset) else dataset_named(given)
    count, rng = data.n if n is None else n, Part.ROWS.generator(seed)
    if count > data.n and not levels["replace"]:
        raise ValueError(f"n must be at most {data.n} without replacement, got {count}")
    rows = rng.choice(data.n, size=count, replace=levels["replace"])
    found = data.subset(torch.from_numpy(rows))
    return spoilt(with_noise_features(found, levels["noise_features"], seed), levels, seed)


def _data(name: str, value: Any) -> str | Dataset:
    """A data set, points as one, or the name of one.

    Raises:
        ValueError: if there is no such data set, or the points are none.
    """
    if isinstance(value, str):
        return check_choice(name, value, DATASETS)
    if isinstance(value, Dataset):
        return value
    points = as_points(value, what=name, dtype="float64", device="cpu", missing="integrate")
    return Dataset(points.x.clone(), None, None, "data", points.feature_names)


def _as(check: Callable[..., Any], default: Any, **limits: Any) -> Factor:
    """A factor that may be left out."""
    return Factor(partial(check, **limits), default)


SPOILING = {
    "noise_features": _as(check_count, 0, smallest=0),
    "outliers": _as(check_number, 0.0, high=1.0),
    "missing": _as(check_number, 0.0, high=1.0),
}
COUNT = partial(check_count, largest=MOST_HELD)
SHARE = partial(check_number, high=1.0, positive=True)
OF_MIXTURES = {
    "spherical": _as(check_flag, default=False),
    "shared": _as(check_flag, default=False),
    "eccentricity": _as(check_number, 0.9, high=1.0),
    "smallest_weight": _as(check_number, 1.0, positive=True),
    "tails": Factor(check_tails, math.inf),
    "skew": Factor(check_skew, 0.0),
    **SPOILING,
}
SIZES = {
    "n": Factor(COUNT, required=True),
    "d": Factor(check_count, required=True),
    "k": Factor(partial(check_count, smallest=2), required=True),
}
OVERLAPS = {"overlap": Factor(SHARE), "largest_overlap": Factor(SHARE)}
SEPARATION = {"separation": Factor(partial(check_number, positive=True), required=True)}
DATA = {
    "data": Factor(_data, required=True),
    "n": Factor(COUNT),
    "replace": _as(check_flag, default=True),
}

KINDS = {
    "overlapping": Kind(
        partial(_from_mixtures, "overlapping", _overlapping),
        SIZES | OVERLAPS | OF_MIXTURES,
        one_of=tuple(OVERLAPS),
    ),
    "separated": Kind(
        partial(_from_mixtures, "separated", separated_mixture), SIZES | SEPARATION | OF_MIXTURES
    ),
    "resampled": Kind(_resampled, DATA | SPOILING),
}
