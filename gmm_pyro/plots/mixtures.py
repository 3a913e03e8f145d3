"""Pictures of points, and of one mixture: clusters, density, responsibilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from ..data.checks import shown
from ..data.features import check_names
from ..data.observations import as_points
from ..data.weighting import as_weights
from ..inference.result import Result
from ..mixture.value import GaussianMixture
from . import outlines, parts
from .views import (
    colours_of_components,
    filled,
    mixtures_drawn,
    ranks,
    view_of_mixture,
    view_of_points,
)

DRAWS = 40  # posterior draws that are shown


def scatter(
    x: Any,
    labels: Any = None,
    ax: Axes | None = None,
    feature_names: Sequence[str] | None = None,
    *,
    features: Sequence[int | str] | None = None,
    sample_weight: Any = None,
) -> Axes:
    """Draw points, coloured by class; of univariate data, a stacked histogram.

    Args:
        x: points, array-like of shape (n, d). What is missing is drawn at the mean of its column.
        labels: class of each point, shape (n,), with -1 for outliers, drawn as crosses; or None.
        ax: where to draw.
        feature_names: d names to show in place of x's own.
        features: names or numbers of one or two features to show; None shows all of one or two,
            and the first two principal axes of more.
        sample_weight: how often each point counts in a histogram, shape (n,), or None.

    Raises:
        ValueError: if x or labels do not have these shapes, or a feature does not exist.
    """
    found = as_points(x, missing="integrate")
    points, names = filled(found.x), found.feature_names
    names = names if feature_names is None else check_names(feature_names, len(names))
    view = view_of_points(points, names, features)
    ax = parts.prepared(ax, view)
    classes = None if labels is None else ranks(labels, len(points))
    parts.draw_points(ax, view.points(points), classes, weights_of(sample_weight, len(points)))
    if labels is not None:
        parts.draw_key(ax, "class")
    return ax


def clusters(
    fit: Result | GaussianMixture,
    x: Any,
    ax: Axes | None = None,
    labels: Any = None,
    *,
    features: Sequence[int | str] | None = None,
    sample_weight: Any = None,
) -> Axes:
    """Draw points coloured by their most probable component, with the components.

    Means are crosses, and covariances ellipses at one and two standard deviations; thin ellipses
    at two show posterior draws, if the fit has any. Of univariate data, the curves are each
    component's share of the density, over a histogram. Surplus components that the fit has emptied
    are not drawn.

    Args:
        fit: a fit, a mixture, or an estimator that is fitted.
        x: points, array-like of shape (n, d). What is missing is drawn where the mixture has its
            mean.
        ax: where to draw.
        labels: true class of each point, shape (n,), or None. Components then have the colours of
            the classes that they hold most of, and points in a cluster of another class are ringed.
        features: as in `scatter`.
        sample_weight: as in `scatter`.

    Raises:
        ValueError: if x or labels do not have these shapes, or a feature does not exist.
    """
    mixture = mixture_of(fit)
    points = as_points(x, feature_names=mixture.feature_names, missing="integrate").x
    filled = mixture.impute(points)
    view = view_of_points(filled, mixture.feature_names, features)
    ax, shown = parts.prepared(ax, view), view.points(filled)
    predicted = mixture.predict(points).cpu()
    classes = None if labels is None else ranks(labels, len(points))
    numbers = colours_of_components(predicted, mixture.n_components, classes)
    colours = parts.colours_of(numbers.tolist())
    draws, drawn = [view.mixture(draw) for draw in _draws(fit)], _not_emptied(fit)
    own = torch.where(predicted < 0, predicted, numbers[predicted])  # noise has its number
    parts.draw_points(ax, shown, own, weights_of(sample_weight, len(points)))
    if not view.is_plane:
        outlines.draw_curves(ax, view.mixture(mixture), draws, drawn)
        outlines.draw_bells(ax, view.mixture(mixture), colours, drawn)
        return ax
    if classes is not None:
        parts.draw_rings(ax, shown, (classes >= 0) & (classes != own))
    outlines.draw_thin_ellipses(ax, draws, colours, drawn)
    outlines.draw_ellipses(ax, view.mixture(mixture), colours, drawn)
    return ax


def responsibilities(
    fit: Result | GaussianMixture,
    x: Any,
    ax: Axes | None = None,
    labels: Any = None,
    *,
    features: Sequence[int | str] | None = None,
) -> Axes:
    """Draw how surely each point belongs to each component: the soft assignment.

    The colour of a point is the mean of the components' colours under its responsibilities, and
    its edge is the darker, the less certain they are. Of univariate data, they are curves.

    Args:
        fit: a fit, a mixture, or an estimator that is fitted.
        x: points, array-like of shape (n, d), as in `clusters`.
        ax: where to draw.
        labels: true class of each point, for the colours, as in `clusters`.
        features: as in `scatter`.

    Raises:
        ValueError: if x or labels do not have these shapes, or a feature does not exist.
    """
    mixture = mixture_of(fit)
    points = as_points(x, feature_names=mixture.feature_names, missing="integrate").x
    filled = mixture.impute(points)
    view = view_of_points(filled, mixture.feature_names, features)
    ax, shown = parts.prepared(ax, view), view.points(filled)
    share = mixture.responsibilities(points).cpu().double()
    classes = None if labels is None else ranks(labels, len(points))
    numbers = colours_of_components(share.argmax(1), mixture.n_components, classes)
    colours = parts.colours_of(numbers.tolist())
    if view.is_plane:
        parts.draw_blended(ax, shown, share, colours)
    else:
        outlines.draw_shares(ax, shown[:, 0], view.mixture(mixture), colours, _not_emptied(fit))
    return ax


def density(
    fit: Result | GaussianMixture,
    ax: Axes | None = None,
    x: Any = None,
    *,
    features: Sequence[int | str] | None = None,
    sample_weight: Any = None,
) -> Axes:
    """Draw the density: a curve, or the regions that hold 50, 90 and 99 % of the probability.

    Args:
        fit: as in `clusters`. Of a fit with posterior draws, thin curves show the densities of
            draws along one axis.
        ax: where to draw.
        x: points to draw with it, array-like of shape (n, d), or None.
        features: as in `scatter`; the principal axes are the mixture's.
        sample_weight: as in `scatter`.

    Raises:
        ValueError: if x does not have this shape, or a feature does not exist.
    """
    mixture = mixture_of(fit)
    view = view_of_mixture(mixture, features)
    ax = parts.prepared(ax, view)
    if x is not None:
        points = mixture.impute(x)
        weight = weights_of(sample_weight, len(points))
        parts.draw_points(ax, view.points(points), None, weight)
    if view.is_plane:
        outlines.draw_regions(ax, view.mixture(mixture), _not_emptied(fit))
    else:
        draws = [view.mixture(draw) for draw in _draws(fit)]
        outlines.draw_curves(ax, view.mixture(mixture), draws, _not_emptied(fit))
    return ax


def mixture_of(fit: Result | GaussianMixture) -> GaussianMixture:
    """The mixture of a fit, or the mixture itself.

    Raises:
        TypeError: if there is none.
    """
    whole = fit_of(fit)
    mixture = getattr(whole, "mixture", whole)
    if isinstance(mixture, GaussianMixture):
        return mixture
    raise TypeError(f"fit must be a fit, a GaussianMixture or a fitted estimator, got {shown(fit)}")


def fit_of(fit: Any) -> Any:
    """The fit that an estimator keeps, or what is given."""
    return getattr(fit, "fit_", fit)


def weights_of(sample_weight: Any, n: int) -> Float[Tensor, "n"] | None:
    """The points' weights on the CPU, if they have some."""
    return None if sample_weight is None else as_weights(sample_weight, n).cpu()


def names_of(fits: Iterable[Result | GaussianMixture]) -> tuple[str, ...] | None:
    """Names of the features that all fits have, or None if there is no fit.

    Raises:
        ValueError: if they have the same ones in different orders: their axes would differ.
    """
    names = [mixture_of(fit).feature_names for fit in fits]
    for other in names[1:]:
        if other != names[0] and sorted(other) == sorted(names[0]):
            raise ValueError(
                "fits must have their features in one order, got "
                f"{', '.join(names[0])} and {', '.join(other)}"
            )
    return names[0] if names else None


def _draws(fit: Result | GaussianMixture) -> list[GaussianMixture]:
    """Some mixtures from the posterior, if the fit has one."""
    posterior = getattr(fit_of(fit), "posterior", None)
    return [] if posterior is None else mixtures_drawn(posterior, mixture_of(fit), DRAWS)


def _not_emptied(fit: Result | GaussianMixture) -> list[int] | None:
    """The components that are not surplus, or are the most probable of a point of the fit's data.

    None, for all, of a mixture alone, and where all points are noise.
    """
    whole = fit_of(fit)
    if not isinstance(whole, Result) or not whole.surplus:
        return None
    has = set(whole.mixture.predict(whole.observations).tolist())
    every = range(whole.mixture.n_components)
    return [i for i in every if i in has or i not in whole.surplus] or None
