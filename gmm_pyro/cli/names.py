"""Names of methods, searches, covariance families and data sets, for help and completion.

The registries import torch, which takes seconds; tests hold these names equal to theirs.
"""

from __future__ import annotations

from collections.abc import Callable

METHOD_NAMES = (
    *("kmeans", "em", "gradient", "map", "laplace", "svi", "vb", "nuts", "gibbs"),
    *("map:enumerated", "svi:enumerated", "nuts:enumerated"),
)
COMPARED = (
    "kmeans, em, gradient, map, laplace, svi, vb, gibbs"  # nuts takes longer than all of these
)
FAMILIES = (
    *("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"),
    *("VEI", "EVI", "VEE", "EVV", "EEV", "VEV", "EVE", "VVE"),
)
CODES = ("VVV", "EEE", "VVI", "VII", "EEI", "EII")  # mclust's, of the first ones
DATASETS = (
    *("three-clusters", "bimodal", "make-mixture", "anisotropic", "tight-and-diffuse"),
    *("iris", "wine", "old-faithful", "galaxies"),
)
CRITERIA = ("bic", "icl", "aic", "cross_validation", "stability", "elpd", "evidence")
SEARCHES = ("starts", "moves", "thorough")
TABLE_FORMATS = ("csv", "tsv", "parquet")
AVERAGES = ("mean", "median")  # of a study's table
NOISES = ("uniform",)  # components of noise that need nothing but a name


def listed(names: tuple[str, ...]) -> str:
    """Names as a sentence has them.

    Example:
        >>> listed(("iris", "wine", "bimodal"))
        'iris, wine or bimodal'
    """
    return f"{', '.join(names[:-1])} or {names[-1]}"


def completing(*names: str) -> Callable[[str], list[str]]:
    """A function for typer: the names that begin as a word does."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def complete_methods(incomplete: str) -> list[str]:
    """Completions of the last one of several methods with commas between them.

    Example:
        >>> complete_methods("em,gi")
        ['em,gibbs']
    """
    return _last_of(METHOD_NAMES, incomplete)


def complete_families(incomplete: str) -> list[str]:
    """Completions of "all", or of the last one of several covariance families.

    Example:
        >>> complete_families("a"), complete_families("VVV,VE")
        (['all'], ['VVV,VEI', 'VVV,VEE', 'VVV,VEV'])
    """
    alone = ("all",) if "," not in incomplete else ()
    return _last_of((*alone, *FAMILIES, *CODES), incomplete)


def _last_of(names: tuple[str, ...], incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    named = {word.strip() for word in before.split(",")}
    found = [name for name in names if name.startswith(last.strip()) and name not in named]
    return [f"{before}{comma}{name}" for name in found]
