"""What is on the page of a report, and how it comes to its place on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..comparison.columns import OF_FITS, OF_POSTERIORS
from ..comparison.record import Record
from ..data.words import counted, enumerated
from ..datasets.identity import fingerprint
from ..inference_data import posterior_summary
from ..plots.report_figures import MOST_NUMBERED
from ..posterior import Posterior
from ..posterior.sizes import SIZE, of_one_number
from ..running.threads import one_thread_a_product
from . import pictures, tables
from .advice import advice_on
from .searches import OF_SOLUTIONS, search_sections
from .settings import (
    Fact,
    components_of,
    priors_of,
    python_call,
    settings_of,
)
from .sheet import rendered, write_page

if TYPE_CHECKING:
    import pandas as pd


MOST_ROWS = 60  # of a posterior's table


def write_report(comparison: Record, path: str | Path, command: str | None = None) -> Path:
    """Write the page; it appears when it is whole, and replaces an earlier one.

    Args:
        comparison: what it is about.
        path: where to write it.
        command: the command line that made the comparison; None shows the Python call.

    Returns:
        The path.

    Raises:
        OSError: if it cannot be written there, with the path.
    """
    return write_page(path, lambda: html_of(comparison, command))


@one_thread_a_product()
def html_of(comparison: Record, command: str | None = None) -> str:
    """The page as text: see `Comparison.report`."""
    table, fits = comparison.table, comparison.fits
    agree = len(fits) > 1
    return rendered(
        "report.html.j2",
        data=comparison.dataset,
        comparison=comparison,
        facts=list(_facts(comparison)),
        findings=list(_findings(comparison)),
        advice=advice_on(comparison),
        fits=tables.table_of(table, OF_FITS, tables.sound_fits(table)),
        posteriors=_posteriors(comparison),
        errors=pictures.error_picture(comparison),
        clusters=pictures.cluster_pictures(comparison),
        numbered=all(fit.mixture.n_components <= MOST_NUMBERED for fit in fits.values()),
        thinned=pictures.thinned(comparison.dataset).n,
        densities=pictures.density_pictures(comparison),
        numbers=pictures.number_pictures(comparison),
        objectives=pictures.objective_pictures(comparison),
        searches=search_sections(comparison),
        solutions=OF_SOLUTIONS,
        labels_agree=tables.shaded_rows(comparison.label_agreement()) if agree else None,
        distances=tables.shaded_rows(comparison.density_distances()) if agree else None,
        parameters=tables.OF_PARAMETERS,
        summaries=[_summary(name, fit.posterior) for name, fit in fits.items() if fit.posterior],
        settings={name: settings_of(fit) for name, fit in fits.items()},
        priors=priors_of(comparison),
        call=command or python_call(comparison),
        is_command=command is not None,
    )


# ---------------------------------------------------------------------- in short


def _facts(comparison: Record) -> Iterator[Fact]:
    data, request = comparison.dataset, comparison.request
    yield Fact("Data", data.name)
    yield Fact("Fitted points", tables.number(data.n, "d"))
    if data.sample_weight is not None:
        yield Fact("Their weights sum to", f"{float(data.sample_weight.sum()):.10g}")
    yield Fact(f"Features ({data.d})", enumerated(data.feature_names), long=data.d > 3)
    if data.labels is not None:
        yield Fact("True classes", str(len(data.labels[data.labels >= 0].unique())))
    if data.truth is not None:
        yield Fact("Truth", f"known: {counted(data.truth.n_components, 'component')}")
    if comparison.held_out is not None:
        yield Fact("Held-out points", tables.number(comparison.held_out.n, "d"))
    fits = list(comparison.fits.values())
    model = request.model if request is not None else fits[0].model if fits else None
    if model is not None:
        yield Fact("Components", components_of(model))
        yield Fact("Covariances", model.family.name)
    if request is not None:
        yield Fact("Seed", str(request.seed))
    yield Fact("Fingerprint", f"{fingerprint(data)} (SHA-256 of the fitted points)")


def _findings(comparison: Record) -> Iterator[str]:
    """What a reader should know who reads nothing else."""
    asked, done = len(comparison.table), len(comparison.fits)
    ended = "All" if asked == done else f"{done} of"
    yield f"{ended} {counted(asked, 'method')} gave a fit."
    table = comparison.table
    sound = table[tables.sound_fits(table)]
    held_out = sound["held_out_log_density"].dropna()
    if len(held_out) > 1:
        spread = tables.number(held_out.max() - held_out.min(), ".2g")
        yield (
            f"Held-out points are most probable under {held_out.idxmax()}; from the best method "
            f"to the last it is {spread} nats a point."
        )
    scores = sound["ari"].dropna()
    if len(scores) > 1:
        high, low = (tables.number(score) for score in (scores.max(), scores.min()))
        between = f"{high}; {scores.idxmin()} is the farthest, with {low}"
        words = f"is nearest to 1 for {scores.idxmax()}, at {between}"
        words = f"is {high} for every method" if high == low else words
        yield f"The adjusted Rand index of clusters against true classes {words}."
    if comparison.reference is not None and done > 1:
        sound_one = tables.is_sound_reference(table, comparison.reference)
        doubt = "" if sound_one else ", which is in doubt itself: see the warnings"
        words = f"{comparison.reference}, an exact sampler{doubt}"
        yield f"Posteriors are held against that of {words}."
    elif comparison.measured_against:
        yield f"Posteriors are held against none: {comparison.measured_against}."


# ---------------------------------------------------------------------- tables


def _posteriors(comparison: Record) -> tables.Table | None:
    drawn = comparison.table[comparison.table["ess_bulk"].notna()]
    if drawn.empty:
        return None
    posteriors = {name: fit.posterior for name, fit in comparison.fits.items()}
    independent = {name for name, found in posteriors.items() if found and found.independent}
    return tables.table_of(
        drawn.drop(columns="status"),
        OF_POSTERIORS,
        tables.sound_posteriors(drawn),
        tables.ranked_posteriors(drawn, independent, comparison.reference),
    )


def _summary(name: str, posterior: Posterior) -> dict[str, Any]:
    """What the page says of the parameters of one posterior."""
    unknown, posterior = SIZE in posterior.draws, of_one_number(posterior)
    k = counted(posterior.n_components, "component")
    frame = posterior_summary(posterior)
    shown = _worst(frame)
    chains = f"{posterior.n_chains} chains of " if posterior.n_chains > 1 else ""
    return {
        "name": name,
        "draws": chains
        + counted(posterior.n_draws, "draw")
        + (f" with {k} that have points" if unknown else ""),
        "independent": posterior.independent,  # so R-hat and ESS say nothing of quality
        "left_out": len(frame) - len(shown),
        "table": tables.table_of(shown, tables.OF_PARAMETERS),
    }


def _worst(frame: pd.DataFrame) -> pd.DataFrame:
    """All rows, or those with the largest R-hat where there are too many."""
    order = frame["r_hat"].fillna(0.0).to_numpy().argsort(kind="stable")[::-1][:MOST_ROWS]
    return frame.iloc[np.sort(order)]
