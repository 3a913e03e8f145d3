"""Seeded data sets: drawn from a known mixture, or small real ones.

Every function returns a `Dataset`; the ones that draw keep the mixture that they drew from as its
`truth`, so that a fit can be compared with it. Random numbers come from generators of their own:
no global state is read or changed.
"""

from .dataset import OUTLIER, Dataset
from .generators import anisotropic, bimodal, make_mixture, three_clusters, tight_and_diffuse
from .real import galaxies, iris, old_faithful, wine
from .registry import DATASETS, dataset_named

__all__ = [
    "DATASETS",
    "OUTLIER",
    "Dataset",
    "anisotropic",
    "bimodal",
    "dataset_named",
    "iris",
    "make_mixture",
    "galaxies",
    "old_faithful",
    "three_clusters",
    "tight_and_diffuse",
    "wine",
]
