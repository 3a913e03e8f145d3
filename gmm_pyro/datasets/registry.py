"""Data sets by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from ..data.checks import check_choice
from .dataset import Dataset
from .generators import anisotropic, bimodal, make_mixture, three_clusters, tight_and_diffuse
from .real import galaxies, iris, old_faithful, wine

DATASETS: dict[str, Callable[..., Dataset]] = {
    "three-clusters": three_clusters,
    "bimodal": bimodal,
    "make-mixture": make_mixture,
    "anisotropic": anisotropic,
    "tight-and-diffuse": tight_and_diffuse,
    "iris": iris,
    "wine": wine,
    "old-faithful": old_faithful,
    "galaxies": galaxies,
}


def dataset_named(name: str, seed: int | None = None) -> Dataset:
    """The data set of this name, as the command line spells it.

    Args:
        name: one of `DATASETS`.
        seed: seed of the draw, or None for the function's own; real data have no use for it.

    Raises:
        ValueError: if there is none, with the nearest name.

    Example:
        >>> dataset_named("bimodal", seed=3).n
        1000
    """
    function = DATASETS[check_choice("data", name, DATASETS)]
    takes_seed = seed is not None and "seed" in inspect.signature(function).parameters
    return function(seed=seed) if takes_seed else function()
