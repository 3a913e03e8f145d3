"""Covariance families: mclust's fourteen by its codes, six of them also by scikit-learn's words.

A new family is one class in a file of this folder and one row of `FAMILIES`.
"""

from __future__ import annotations

from ..data.checks import check_choice
from .axes_in_common import EVE, VVE
from .conjugacy import ConjugateFamily, conjugate
from .coupled import EEV, EVI, EVV, VEE, VEI, VEV
from .diagonal import Diagonal, Spherical, TiedDiagonal, TiedSpherical
from .family import CovarianceFamily
from .records import NaturalParameters, Parameters, Statistics
from .triangular import Full, Tied

FAMILIES: dict[str, CovarianceFamily] = {
    family.name: family
    for family in (
        *(Full(), Tied(), Diagonal(), Spherical(), TiedDiagonal(), TiedSpherical()),
        *(VEI(), EVI(), VEE(), EVV(), EEV(), VEV(), EVE(), VVE()),
    )
}


def family_named(name: str) -> CovarianceFamily:
    """The covariance family of this name: scikit-learn's word or mclust's code.

    Raises:
        ValueError: if there is none, with the nearest name.

    Example:
        >>> family_named("VVI").name
        'diag'
    """
    families = FAMILIES | {family.mclust: family for family in FAMILIES.values()}
    return families[check_choice("covariance", name, families)]


def untied(family: CovarianceFamily) -> CovarianceFamily:
    """The family in which each component has such a covariance of its own."""
    own: dict[type[CovarianceFamily], CovarianceFamily] = {
        Tied: Full(),
        TiedDiagonal: Diagonal(),
        TiedSpherical: Spherical(),
    }
    return own.get(type(family), family)


__all__ = [
    "FAMILIES",
    "ConjugateFamily",
    "CovarianceFamily",
    "NaturalParameters",
    "Parameters",
    "Statistics",
    "conjugate",
    "family_named",
    "untied",
]
