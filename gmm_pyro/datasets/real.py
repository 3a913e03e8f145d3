"""Real data that are small enough to come with a package: with known classes, or without."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import numpy as np
import torch

from .dataset import Dataset


def iris() -> Dataset:
    """Four measurements in cm of 150 irises of three species (Fisher 1936).

    Example:
        >>> iris().feature_names
        ('sepal_length', 'sepal_width', 'petal_length', 'petal_width')
    """
    from sklearn.datasets import load_iris

    return _from_sklearn("iris", load_iris())


def wine() -> Dataset:
    """Thirteen chemical measurements of 178 wines of three cultivars (Forina et al. 1988).

    Example:
        >>> wine().feature_names[:3]
        ('alcohol', 'malic_acid', 'ash')
    """
    from sklearn.datasets import load_wine

    return _from_sklearn("wine", load_wine())


def old_faithful() -> Dataset:
    """272 eruptions of the geyser Old Faithful: how long each took, and the wait for the next one.

    Both are in minutes: `eruptions` is the duration of an eruption, `waiting` the time until the
    next one began. Nothing says which eruptions belong together, so there are no labels. These are
    the data that R calls `faithful` (Härdle 1991), the shorter version of those of Azzalini &
    Bowman (1990), Applied Statistics 39, 357-365.

    Example:
        >>> data = old_faithful()
        >>> data.n, data.feature_names, data.x[0].tolist()
        (272, ('eruptions', 'waiting'), [3.6, 79.0])
    """
    return _from_table("old-faithful", "old_faithful.csv")


def galaxies() -> Dataset:
    """Velocities of 82 galaxies in the region of Corona Borealis, in 1,000 km/s.

    The galaxies lie in six narrow conic sections of the sky, and gaps between their velocities hint
    at clusters in space; nothing says which belong together, so there are no labels. These are the
    velocities of Roeder (1990), JASA 85, 617-624, from Postman, Huchra & Geller (1986), with the
    78th as 26.960. That is the variant that published posteriors of the number of components
    are of (Richardson & Green 1997); R's `MASS::galaxies` has 26.690, a misprint.

    Example:
        >>> data = galaxies()
        >>> data.n, data.d, float(data.x.median())
        (82, 1, 20.821)
    """
    return _from_table("galaxies", "galaxies.csv")


def _from_table(name: str, file: str) -> Dataset:
    """A data set from a file that comes with the package: column names, then numbers."""
    with files(__package__).joinpath(file).open(encoding="utf-8") as table:
        names = tuple(table.readline().strip().split(","))
        x = torch.from_numpy(np.loadtxt(table, delimiter=",", ndmin=2))
    return Dataset(x, None, None, name, names)


def _from_sklearn(name: str, bunch: Any) -> Dataset:
    """A data set of scikit-learn's, with column names that are identifiers."""
    names = tuple(re.sub(r"\W+", "_", name.removesuffix(" (cm)")) for name in bunch.feature_names)
    x, labels = torch.from_numpy(bunch.data), torch.from_numpy(bunch.target).long()
    return Dataset(x, labels, None, name, names)
