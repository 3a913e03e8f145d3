"""The pictures of one fit, as a folder of a saved fit has them."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure

from ..data.checks import shown
from ..inference.result import Result
from ..posterior import Posterior
from ..posterior.sizes import FILLED
from . import fits, mixtures, parts, posteriors, sizes

BANDS = 12  # most features whose densities are drawn
COLUMNS = 3  # of them in a row
PANEL = (3.6, 2.8)  # of each, in inches


def fit_figures(fit: Result, *, name: str = "fit", labels: Any = None) -> dict[str, Figure]:
    """The pictures of a fit, as figures that pyplot does not know of.

    Args:
        fit: the fit.
        name: what the key of its trace says.
        labels: true class of each point, shape (n,), or None.

    Returns:
        `clusters`; `density`, of each feature with a band where there is a posterior (of the first
        12 features), else of the mixture; `trace`: the objective, or, of samplers, the mean of
        the first feature in every draw, as sampled and aligned, or the number of components, where
        it is unknown; and then `number_of_components`.

    Raises:
        ValueError: if there are not n labels.
    """
    fit = mixtures.fit_of(fit)
    if not isinstance(name, str):
        raise TypeError(f"name must be a word, got {shown(name)}")
    if not hasattr(fit, "observations"):
        raise TypeError(f"fit must be a fit, or a fitted estimator, got {shown(fit)}")
    data, weight = fit.observations, fit.observations.sample_weight
    figures = {"clusters": parts.loose_figure(fits.SIZE), "density": parts.loose_figure(fits.SIZE)}
    mixtures.clusters(fit, data.x, figures["clusters"].subplots(), labels, sample_weight=weight)
    if fit.posterior is None:
        mixtures.density(fit, figures["density"].subplots(), data.x, sample_weight=weight)
    else:
        figures["density"] = _bands(fit.posterior)
    if fit.posterior is not None and FILLED in fit.posterior.draws:
        figures["trace"] = parts.loose_figure(fits.SIZE)
        sizes.number_traces(fit.posterior, figures["trace"].subplots())
        figures["number_of_components"] = parts.loose_figure(fits.SIZE)
        sizes.number_of_components(fit, figures["number_of_components"].subplots())
    elif fit.posterior is not None and fits.wanders(fit):
        figures["trace"] = parts.loose_figure((9.0, 3.6))
        left, right = figures["trace"].subplots(1, 2, sharey=True)
        posteriors.label_traces(fit.posterior, (left, right))
    elif len(fit.history) > 1:
        figures["trace"] = parts.loose_figure(fits.SIZE)
        fits.traces({name: fit}, figures["trace"].subplots())
    return figures


def _bands(posterior: Posterior) -> Figure:
    """The density of every feature, each in a panel, with one key for all."""
    count = min(len(posterior.observations.feature_names), BANDS)
    if count == 1:
        figure = parts.loose_figure(fits.SIZE)
        posteriors.density_band(posterior, figure.subplots())
        return figure
    columns = min(COLUMNS, count)
    figure = parts.loose_figure((PANEL[0] * columns, PANEL[1] * math.ceil(count / columns)))
    for feature, ax in enumerate(parts.panels(figure, count, columns, shared=False)):
        posteriors.density_band(posterior, ax, feature=feature)
        parts.drop_key(ax)
        if feature % columns:
            ax.set_ylabel("")
    keys, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(keys, names, loc="outside upper center", ncols=len(keys), frameon=False)
    return figure
