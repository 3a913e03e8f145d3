"""The kinds of data that designs draw: from the levels of their factors and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..data.checks import MOST_HELD, check_count, check_number
from ..datasets import DATASETS, Dataset, dataset_named, make_mixture
from .factors import Factor, Kind

SIZES = {
    "n": Factor(partial(check_count, largest=MOST_HELD), required=True),
    "d": Factor(check_count, required=True),
    "k": Factor(check_count, required=True),
}


def _separated(levels: Mapping[str, Any], seed: int) -> Dataset:
    return make_mixture(
        levels["n"], levels["d"], levels["k"], separation=levels["separation"], seed=seed
    )


def _resampled(levels: Mapping[str, Any], seed: int) -> Dataset:
    return dataset_named(levels["data"], seed)


def _data(name: str, value: Any) -> Any:
    return value


KINDS = {
    "overlapping": Kind(
        _separated,
        SIZES | {"overlap": Factor(check_number), "separation": Factor(check_number, 3.0)},
    ),
    "separated": Kind(_separated, SIZES | {"separation": Factor(check_number, required=True)}),
    "resampled": Kind(_resampled, {"data": Factor(_data, required=True)}),
}
