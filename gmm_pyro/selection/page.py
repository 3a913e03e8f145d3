"""A selection as one HTML page: what is on it, from the answer in words to how it was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..covariance import FAMILIES
from ..data.words import enumerated, listed
from ..datasets import Dataset
from ..datasets.identity import fingerprint
from ..inference.fit import Fit
from ..plots.report_figures import drawn_by
from ..report.pictures import Picture, picture, pictures_of_fit
from ..report.settings import Fact, short
from ..report.sheet import rendered, write_page
from ..report.tables import number
from ..running.threads import one_thread_a_product
from . import page_tables as tables
from .caution import advice_on
from .columns import form_of
from .criteria import CRITERIA
from .record import Selected, best_of

SIZE = (8.6, 4.8)  # of the picture of the criterion, in inches
LIGHT = 0.6  # share of the models whose criterion has a shade


def write_report(
    selection: Selected,
    path: str | Path,
    best: Fit | None = None,
    *,
    name: str = "data",
    command: str | None = None,
) -> Path:
    """Write the page; it appears when it is whole, and replaces an earlier one.

    Args:
        selection: what it is about.
        path: where to write it.
        best: the fit of the best model, if it has been made.
        name: what the page calls the data.
        command: the command line that made the selection; None shows the Python call.

    Returns:
        The path.

    Raises:
        OSError: if it cannot be written there, with the path.
    """
    fit = best or best_of(selection)
    return write_page(path, lambda: html_of(selection, fit, name, command))


@one_thread_a_product()
def html_of(
    selection: Selected, best: Fit | None, name: str = "data", command: str | None = None
) -> str:
    """The page as text.

    Args:
        selection: what it is about.
        best: the fit of the best model, or None where no model counts.
        name: what the page calls the data.
        command: as in `write_report`.
    """
    data = _dataset(selection, name)
    return rendered(
        "selection.html.j2",
        data=data,
        selection=selection,
        kind=CRITERIA[selection.criterion],
        answer=selection.in_words(),
        advice=advice_on(selection, best),
        facts=list(_facts(selection, data)),
        near=tables.near(selection, best),
        picture=None if best is None else _picture(selection),
        grid=tables.grid(selection),
        marks=tables.marks(selection),
        models=tables.models(selection),
        pictures=[] if best is None else pictures_of_fit(best, "the best model", data),
        parameters=None if best is None else tables.parameters(best),
        covariances=[] if best is None else tables.covariances(best),
        best=best,
        options=[Fact(key, short(value)) for key, value in selection.options.items()],
        call=command or _call(selection, data),
        is_command=command is not None,
    )


def _dataset(selection: Selected, name: str) -> Dataset:
    seen = selection.observations
    return Dataset(
        seen.x.cpu(),
        None,
        None,
        name,
        seen.feature_names,
        None if seen.sample_weight is None else seen.sample_weight.cpu(),
    )


def _facts(selection: Selected, data: Dataset) -> Iterator[Fact]:
    yield Fact("Data", data.name)
    yield Fact("Points", number(data.n, "d"))
    if data.sample_weight is not None:
        yield Fact("Their weights sum to", f"{float(data.sample_weight.sum()):.10g}")
    missing = int(data.x.isnan().sum())
    if missing:
        yield Fact("Missing values", number(missing, "d"))
    yield Fact(f"Features ({data.d})", enumerated(data.feature_names), long=data.d > 3)
    yield Fact("Models", str(len(selection.cells)))
    yield Fact("Components", _in_short(numbers_of(selection)))
    families = families_of(selection)
    yield Fact(f"Covariances ({len(families)})", ", ".join(families), long=len(families) > 3)
    yield Fact("Criterion", CRITERIA[selection.criterion].label)
    yield Fact("Method", selection.method)
    yield from (Fact(name, value) for name, value in selection.told.items())
    yield Fact("Seed", str(selection.seed))
    yield Fact("Seconds", number(selection.seconds, ".2f"))
    yield Fact("Fingerprint", f"{fingerprint(data)} (SHA-256 of the points)")


def numbers_of(selection: Selected) -> list[int]:
    """The numbers of components that were tried, in order."""
    return sorted({cell.n_components for cell in selection.cells})


def families_of(selection: Selected) -> list[str]:
    """The families that were tried, in the order of the models."""
    return list(dict.fromkeys(cell.covariance for cell in selection.cells))


def _in_short(numbers: list[int]) -> str:
    whole = numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 2
    return f"{numbers[0]} to {numbers[-1]}" if whole else listed([str(k) for k in numbers])


def _picture(selection: Selected) -> Picture:
    kind, grid = CRITERIA[selection.criterion], selection.grid()
    told = []
    for family, column in grid.items():
        values = column.dropna()
        if len(values):
            best = values.max() if kind.higher_is_better else values.min()
            at = values.index[(values == best).argmax()]
            told.append(f"{family} at {at} components, {number(best, form_of(values))}")
    each = f" The best of each family: {'; '.join(told)}." if told else ""
    alt = f"{kind.label} against the number of components. {selection.in_words()}.{each}"
    return picture(drawn_by(selection.plot, SIZE), "Criterion", alt)


# ---------------------------------------------------------------------- how to make it again


def _call(selection: Selected, data: Dataset) -> str:
    numbers, families = numbers_of(selection), families_of(selection)
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    k = f"range({numbers[0]}, {numbers[-1] + 1})" if whole and len(numbers) > 1 else repr(numbers)
    every = len(families) == len(FAMILIES)
    given = [f"k={k}", f"covariance={'all' if every else families!r}".replace("=all", '="all"')]
    given += [f'criterion="{selection.criterion}"', f'method="{selection.method}"']
    given += [f"seed={selection.seed}"]
    given += ["sample_weight=..."] if data.sample_weight is not None else []
    given += [f"{name}={value}" for name, value in selection.told.items()]
    given += [f"{name}={short(value)}" for name, value in selection.options.items()]
    about = f"{' '.join(data.name.split())}: {data.n} x {data.d}, fingerprint {fingerprint(data)}"
    return "\n".join(
        [
            *("import gmm_pyro as gp", "", f"x = ...  # {about}"),
            f"selection = gp.select(x, {', '.join(given)})",
            'selection.report("selection.html")',
        ]
    )
