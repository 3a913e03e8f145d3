"""Classes of which some points have no label: all classes' mixtures as one, fitted together.

A point with a label comes from a component of its class, one without from any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from ..covariance import CovarianceFamily, family_named
from ..inference.fit import Fit
from ..inference.starts.starting import brought_into
from ..mixture.value import GaussianMixture
from .arguments import left_open
from .attributes import attributes_of
from .mixture import PyroGaussianMixture
from .starts import Array

WITHIN_ONE = {"tied": "full", "tied_diag": "diag", "tied_spherical": "spherical"}


def fitted_together(
    mixtures: Sequence[PyroGaussianMixture], x: Array, codes: Array, weight: Array | None
) -> tuple[Fit, Array]:
    """The fit of all classes' mixtures as one, and the shares of the classes in it.

    The mixtures become those of the fit. EM searches for the likeliest one, since scikit-learn's
    single start would seldom agree with labels.

    Args:
        mixtures: of the classes, not fitted, of the same arguments but for their sizes and seeds.
        x: the points, shape (n, d).
        codes: numbers of their classes, shape (n,), with -1 where they are not known.
        weight: sample weights, or None.

    Raises:
        ValueError: if covariances are tied within classes of several components, or something is
            left to the data.
    """
    if is_open := [name for mixture in mixtures for name in left_open(mixture)]:
        raise ValueError(
            f"{is_open[0]}='auto' chooses for each class by itself, and points without a class "
            "make all classes one fit: give numbers and a family, or leave these points out"
        )
    counts = [int(mixture.n_components) for mixture in mixtures]
    every = PyroGaussianMixture(**mixtures[0].get_params())
    family = _family(every.covariance_type, max(counts))
    search = "moves" if every.method == "em" else None
    every.set_params(n_components=sum(counts), covariance_type=family.name, search=search)
    every.__dict__.update(_of_data(mixtures[0]))
    every._fit(x, weight, _possible(codes, counts))
    first = np.cumsum([0, *counts])
    for mixture, low, high in zip(mixtures, first[:-1], first[1:], strict=True):
        _become(mixture, every.fit_, slice(int(low), int(high)))
    weights = every.fit_.mixture.weights.double().numpy()
    return every.fit_, np.add.reduceat(weights, first[:-1])


def _of_data(mixture: PyroGaussianMixture) -> dict[str, Any]:
    """What an estimator knows of the features."""
    return {name: value for name, value in vars(mixture).items() if name.endswith("in_")}


def _family(name: str, most: int) -> CovarianceFamily:
    """The family of all classes' components together."""
    family = family_named(name)
    if not family.shares("covariances"):
        return family
    if most > 1:
        raise ValueError(
            f"covariance_type={name!r} with points without a class takes one component a class: "
            "covariances that are tied within each class are none of one mixture's"
        )
    return family_named(WITHIN_ONE[family.name])


def _possible(codes: Array, counts: Sequence[int]) -> Bool[np.ndarray, "n k"]:
    """Which components points may come from: those of their class, if it is known."""
    own = np.repeat(np.arange(len(counts)), counts)
    possible: Array = (codes[:, None] == own) | (codes == -1)[:, None]
    return possible


def _become(mixture: PyroGaussianMixture, together: Fit, part: slice) -> None:
    """Let the mixture of a class be that of some components of a fit."""
    weights, means = together.mixture.weights[part], together.mixture.means[part]
    covariances = together.mixture.covariance_matrices()[part]
    alone = GaussianMixture(weights / weights.sum(), means, covariances)
    family = family_named(mixture.covariance_type)
    found = GaussianMixture.from_parameters(family, brought_into(family, alone), dtype=means.dtype)
    mixture.__dict__.update(attributes_of(found))
    mixture.converged_, mixture.n_iter_ = together.converged, together.steps
    mixture.lower_bound_ = together.objective / together.observations.total_weight
    mixture.lower_bounds_ = (together.history / together.observations.total_weight).tolist()
