"""Classes of which some points have no label: all classes' mixtures as one, fitted together.

A point with a label comes from a component of its class, one without from any. The fit sets out
from the mixtures of the points with labels alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from ..covariance import family_named
from ..inference.fit import Fit, fit
from ..inference.starts.starting import brought_into
from ..mixture.value import GaussianMixture
from ..model.program import MixtureModel
from .arguments import MAX_ITER, TOLERANCE
from .attributes import attributes_of, in_type
from .mixture import PyroGaussianMixture
from .starts import Array

WITHIN_ONE = {"tied": "full", "tied_diag": "diag", "tied_spherical": "spherical"}


def fitted_together(
    classifier: Any,
    mixtures: Sequence[PyroGaussianMixture],
    shares: Array,
    x: Array,
    codes: Array,
    weight: Array | None,
    seed: int,
) -> tuple[Fit, Array]:
    """The fit of all classes' mixtures as one, and the shares of the classes in it.

    The mixtures become those of the fit.

    Args:
        classifier: a `GaussianMixtureClassifier`, with the constructor's arguments.
        mixtures: of the points with labels, class by class.
        shares: of the classes, shape (c,).
        x: the points, shape (n, d).
        codes: numbers of their classes, shape (n,), with -1 where they are not known.
        weight: sample weights, or None.
        seed: of every random choice.

    Raises:
        ValueError: if covariances are tied within classes of several components.
    """
    own = [in_type(mixture._mixture, np.dtype(np.float64)) for mixture in mixtures]
    counts = [mixture.n_components for mixture in own]
    family = _family(classifier.covariance_type, max(counts))
    start = GaussianMixture(
        torch.cat([float(share) * one.weights for share, one in zip(shares, own, strict=True)]),
        torch.cat([one.means for one in own]),
        family.compress(torch.cat([one.covariance_matrices() for one in own])),
        family.name,
    )
    told = (
        ("max_steps", classifier.max_iter, MAX_ITER),
        ("tolerance", classifier.tol, TOLERANCE),
    )
    options = {name: value for name, value, default in told if value != default}
    together = fit(
        MixtureModel(sum(counts), family.name, classifier.priors),
        x,
        classifier.method,
        sample_weight=weight,
        labels=_possible(codes, counts),
        dtype=str(x.dtype),
        start=start,
        seed=seed,
        **{**options, **(classifier.method_options or {})},
    )
    first = np.cumsum([0, *counts])
    for mixture, low, high in zip(mixtures, first[:-1], first[1:], strict=True):
        _become(mixture, together, slice(int(low), int(high)))
    return together, np.add.reduceat(together.mixture.weights.double().numpy(), first[:-1])


def _family(name: str, most: int) -> Any:
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
    del mixture.fit_
    mixture.__dict__.update(attributes_of(found))
    mixture.converged_, mixture.n_iter_ = together.converged, together.steps
