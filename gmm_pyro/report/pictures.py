"""Pictures of a report: drawn, described in words, and put into the page itself."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from .. import plots
from ..comparison.record import Record
from ..datasets import Dataset
from ..inference.fit import Fit
from ..mixture.value import GaussianMixture
from ..plots import report_figures as figures
from ..plots.fits import wanders
from ..plots.posteriors import places
from ..posterior import Posterior
from ..posterior.draws import evenly_spaced
from ..posterior.sizes import FILLED
from .tables import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DOTS_PER_INCH = 160
SHOWN_AT = 104  # dots an inch: screens of twice the density still see sharp lines
MOST_POINTS = 4000  # that a picture shows
MOST_FEATURES = 4  # whose densities are shown
MOST_TOLD = 6  # components that a description tells of


@dataclass(frozen=True)
class Picture:
    """A picture inside the page.

    Attributes:
        name: what stands above it.
        alt: what is to be seen, for those who cannot.
        note: what stands below it, or nothing.
        uri: the picture itself, as a PNG.
        width: in CSS pixels.
        height: in CSS pixels.
    """

    name: str
    alt: str
    note: str
    uri: str
    width: int
    height: int


def picture(figure: Figure, name: str, alt: str, note: str = "") -> Picture:
    """A figure as a picture; letters that its font does not have are left as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        content = plots.png(figure, DOTS_PER_INCH)
    width, height = (round(inches * SHOWN_AT) for inches in figure.get_size_inches())
    uri = "data:image/png;base64," + base64.b64encode(content).decode("ascii")
    return Picture(name, alt, note, uri, width, height)


def pictures_of_fit(fit: Fit, name: str, data: Dataset) -> list[Picture]:
    """The clusters of one fit, and its density in the features that tell clusters apart best.

    Args:
        fit: the fit.
        name: what the pictures call it.
        data: what it was fitted to.
    """
    shown = thinned(data)
    _, clusters = figures.cluster_figures(
        shown.x, {name: fit}, None, shown.feature_names, shown.sample_weight
    )
    found = [picture(clusters, "Clusters", _told_clusters(name, fit.mixture, shown))]
    for column in telling_features(fit.mixture):
        feature = data.feature_names[column]
        figure = figures.marginal_figure(shown.x, {name: fit}, column, feature, shown.sample_weight)
        told = _told_peaks(name, fit.mixture, shown, column)
        alt = f"Density of {feature} over a histogram of the data. {told}."
        found.append(picture(figure, f"Density of {feature}", alt))
    return found


def thinned(data: Dataset) -> Dataset:
    """The data, or as many evenly spaced rows of them as a picture can show."""
    return data.subset(evenly_spaced(data.n, MOST_POINTS))


# ---------------------------------------------------------------------- clusters


def cluster_pictures(comparison: Record) -> list[Picture]:
    """The data, and beside them the clusters of each fit."""
    data, fits = thinned(comparison.dataset), comparison.fits
    drawn = figures.cluster_figures(
        data.x, fits, data.labels, data.feature_names, data.sample_weight
    )
    classes = "" if data.labels is None else ", coloured by true class"
    title = "Data" if data.labels is None else "Data, true classes"
    pictures = [picture(drawn[0], title, f"{_points(data)}{classes}.")]
    scores = comparison.table["ari"]
    for (name, fit), figure in zip(fits.items(), drawn[1:], strict=True):
        note = "" if scores.isna()[name] else f"ARI {number(scores[name])}"
        pictures.append(picture(figure, name, _told_clusters(name, fit.mixture, data), note))
    return pictures


def _points(data: Dataset) -> str:
    names = data.feature_names
    if data.d > 2:
        return f"{data.n} points on their first two principal axes"
    return f"{data.n} points by {' and '.join(names)}" if data.d == 2 else f"{data.n} of {names[0]}"


def _told_clusters(name: str, mixture: GaussianMixture, data: Dataset) -> str:
    """The components in words: how much each holds, and where it is if that can be seen."""
    parts = []
    for k in range(min(mixture.n_components, MOST_TOLD)):
        place = ", ".join(number(float(m), "#.3g") for m in mixture.means[k])
        where = f" around ({place})" if data.d <= 2 else ""
        share = float(mixture.weights[k]) * (1 - mixture.noise_weight)
        parts.append(f"component {k} holds {share:.0%}{where}")
    if mixture.noise_component is not None:
        parts.append(f"{mixture.noise_weight:.0%} are noise")
    left = max(0, mixture.n_components - MOST_TOLD)
    more = f"; and {left} more" if left else ""
    return f"{_points(data)}, coloured by the component of {name}: {'; '.join(parts)}{more}."


# ---------------------------------------------------------------------- densities


def density_pictures(comparison: Record) -> list[tuple[str, list[Picture]]]:
    """Densities of the features that tell clusters apart best, each with the feature's name.

    The first picture of a feature has all point estimates, and each other one a fit with draws.
    """
    data, fits = thinned(comparison.dataset), comparison.fits
    if not fits:
        return []
    drawn = {name: fit.posterior for name, fit in fits.items() if fit.posterior is not None}
    found = []
    for column in telling_features(next(iter(fits.values())).mixture):
        feature = data.feature_names[column]
        figure = figures.marginal_figure(data.x, fits, column, feature, data.sample_weight)
        told = "; ".join(_told_peaks(name, f.mixture, data, column) for name, f in fits.items())
        alt = f"Density of {feature} by every method over a histogram of the data. {told}."
        pictures = [picture(figure, "All methods", alt, "point estimates")]
        pictures += [_band(name, draws, fits[name], column) for name, draws in drawn.items()]
        found.append((feature, pictures))
    return found


def _band(name: str, posterior: Posterior, fit: Fit, column: int) -> Picture:
    data = posterior.observations
    thin = Dataset(data.x, None, None, "data", data.feature_names)
    alt = (
        f"Posterior mean of the density of {data.feature_names[column]} by {name}, with a band "
        f"that holds 94 % of the draws. {_told_peaks(name, fit.mixture, thin, column)}."
    )
    return picture(figures.band_figure(posterior, column), name, alt, "mean and 94 % band")


def telling_features(mixture: GaussianMixture) -> list[int]:
    """The columns with the largest share of variance between components, in their own order."""
    weights = (1 - mixture.noise_weight) * mixture.weights / mixture.weights.sum()
    between = weights @ (mixture.means - mixture.mean()).square()
    share = between / mixture.covariance().diagonal()
    return sorted(share.argsort(descending=True)[:MOST_FEATURES].tolist())


def _told_peaks(name: str, mixture: GaussianMixture, data: Dataset, column: int) -> str:
    grid = places(data.x[:, column].cpu().double())
    peaks = peaks_of(grid, mixture.marginal([column]).log_prob(grid[:, None]).cpu())
    where = ", ".join(number(peak, "#.3g") for peak in peaks)
    return f"{name} has {'one peak' if len(peaks) == 1 else f'{len(peaks)} peaks'} at {where}"


def peaks_of(grid: Float[Tensor, "g"], height: Float[Tensor, "g"]) -> list[float]:
    """Where a curve is higher than on either side.

    Example:
        >>> peaks_of(torch.arange(5.0), torch.tensor([0.0, 2.0, 1.0, 3.0, 0.0]))
        [1.0, 3.0]
    """
    edge = height.new_full((1,), -torch.inf)
    padded = torch.cat([edge, height, edge])
    return grid[(height > padded[:-2]) & (height >= padded[2:])].tolist()


# ---------------------------------------------------------------------- numbers of components


def number_pictures(comparison: Record) -> list[Picture]:
    """The posterior of the number of components of each fit that has one."""
    found = []
    for name, fit in comparison.fits.items():
        if fit.posterior is not None and FILLED in fit.posterior.draws:
            shares = fit.number_of_components[FILLED].sort_values(ascending=False)
            told = [f"{k} with probability {number(share)}" for k, share in shares.items() if share]
            alt = f"Number of components with points by {name}: {', '.join(told[:MOST_TOLD])}."
            note = "bars: posterior, with two standard errors; circles: prior"
            found.append(picture(figures.numbers_figure(fit), name, alt, note))
    return found


# ---------------------------------------------------------------------- objectives and errors


def objective_pictures(comparison: Record) -> list[Picture]:
    """How the methods climbed, and where the chains of samplers went."""
    climbs: dict[str, Fit] = {}
    chains = []
    for name, fit in comparison.fits.items():
        if fit.posterior is not None and wanders(fit):
            chains.append(_chains(name, fit.posterior))
        elif len(fit.history) > 1:
            climbs[name] = fit
    return [_climbs(climbs), *chains] if climbs else chains


def _climbs(fits: Mapping[str, Fit]) -> Picture:
    told = []
    for name, fit in fits.items():
        gap = fit.history.nan_to_num(-torch.inf).max() - fit.history[0]
        gap = gap / fit.observations.total_weight
        told.append(f"{name} gained {number(float(gap), '.2g')} in {fit.steps} steps")
    alt = f"Gap of each method to its own best objective, in nats a point: {'; '.join(told)}."
    return picture(figures.traces_figure(fits), "Climbs", alt, "lower is nearer to the end")


def _chains(name: str, posterior: Posterior) -> Picture:
    lp = posterior.statistics["lp"].cpu()
    low, high = (number(float(value), ".1f") for value in lp.mean(1).aminmax())
    n_chains, n_draws = lp.shape
    alt = (
        f"Log density of {n_chains} chains of {name} over {n_draws} draws; the means of the chains "
        f"lie between {low} and {high} nats."
    )
    note = "chains that have mixed lie on top of each other"
    return picture(figures.log_density_figure(posterior), name, alt, note)


def error_picture(comparison: Record) -> Picture | None:
    """Errors of the parameters, where a truth is known."""
    table = comparison.table
    known = table[["weight_error", "mean_error", "covariance_error"]].dropna(how="all")
    if known.empty:
        return None
    told = [
        "{}: weights {}, means {}, covariances {}".format(name, *map(number, row))
        for name, row in known.iterrows()
    ]
    alt = f"Errors of the parameters of each method. {'; '.join(told)}."
    return picture(figures.errors_figure(table), "Errors of the parameters", alt)


def solutions_picture(fit: Fit, name: str, told: str) -> Picture:
    """The solutions of a search."""
    assert fit.search is not None
    gaps = ", ".join(number(gap, ".2f") for gap in fit.search.frame()["behind"][:MOST_TOLD])
    alt = f"How far behind the best the solutions of {name} are, in nats: {gaps}. {told}"
    return picture(figures.solutions_figure(fit), name, alt)
