"""`gmm-pyro select`: many numbers of components and families, and the best of them in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .arguments import (
    DataArguments,
    Force,
    Json,
    Keep,
    MethodArguments,
    Noise,
    Source,
    TableFormat,
    command_line,
)
from .data import checked, facts_of, load, names_in, reading_of, refuse_no_source
from .folders import folder_of, written
from .names import CRITERIA, FAMILIES, NOISES, TABLE_FORMATS, complete_families, completing, listed
from .output import FAILED, fit_warnings_said, print_json
from .progress import progress_said
from .sizes import numbers_in

if TYPE_CHECKING:
    from ..data.points import Observations
    from ..files import FileContent
    from ..inference.fit import Fit
    from ..selection import Selection

FOLDER = Path("selection")  # where none is named


@dataclass(frozen=True, kw_only=True)
class SelectArguments(MethodArguments, DataArguments):
    """What `gmm-pyro select` is told."""

    data: Source
    components: Annotated[
        str,
        typer.Option(
            "--components", "-k",
            help="Numbers of components, as 1-9, 1,2,5 or 2-4,7.", metavar="<numbers>",
        ),
    ] = "1-9"  # fmt: skip
    covariance: Annotated[
        str,
        typer.Option(
            help=f"Covariance families, with commas between them: {listed(FAMILIES)}, or mclust's "
            "codes for them; or all that the method takes.",
            autocompletion=complete_families,
        ),
    ] = "all"
    criterion: Annotated[
        str,
        typer.Option(
            help=f"What the best is chosen by: {listed(CRITERIA)}; the last ones need a method "
            "that has them.",
            autocompletion=completing(*CRITERIA),
        ),
    ] = "bic"
    folds: Annotated[
        int | None,
        typer.Option(
            help="Parts of the points that cross_validation holds out in turn.", show_default="5"
        ),
    ] = None
    resamples: Annotated[
        int | None, typer.Option(help="Resamples of stability.", show_default="10")
    ] = None
    noise_component: Noise = None
    keep: Keep
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o",
            help="Folder for the table, the picture and the best fit.",
            show_default="a new one: selection, selection-2, …",
        ),
    ] = None  # fmt: skip
    table_format: TableFormat = "csv"
    report: Annotated[
        bool, typer.Option("--report", help="Write report.html, a page that explains it all.")
    ] = False
    json: Json = False
    force: Force = False


def select(told: SelectArguments) -> None:
    """Fit mixtures of several numbers of components and families, and keep the best.

    The folder has a table of all models, the picture of the criterion, and the best fit in best/,
    with all files that 'gmm-pyro fit' writes.
    """
    refuse_no_source(told.data)  # before mistakes in words, and these before those in data
    numbers, options = numbers_in(told.components), _options(told)
    keep = names_in(told.keep)
    _check_words(told, keep)
    content = load(told.data, told, keep)
    place = {name: options.pop(name, None) for name in ("dtype", "device")}
    observations = _checked(told, content, numbers[0], place)
    with fit_warnings_said(), progress_said():
        selection, best = _selected(told, observations, numbers, options)
    out, files = _save(selection, best, content, told)
    if told.json:
        print_json(_document(selection, content, told, out, files))
    else:
        _print(selection, content, told, out, files)
    if best is None:
        raise typer.Exit(FAILED)


def _options(told: SelectArguments) -> dict[str, Any]:
    """What the method is told; em searches all sizes together, in its own way."""
    found = told.options()
    if told.method == "em" and "search" in found:
        raise ValueError(
            "--search is for methods that are run model by model: with em, all numbers of "
            "components are searched together, from --starts of each and from each other"
        )
    return found


def _check_words(told: SelectArguments, keep: list[str]) -> None:
    """Refuse what cannot be, before data are read."""
    from ..covariance import family_named
    from ..data.checks import check_choice
    from ..disk.placing import refuse_existing, refuse_unwritable
    from ..saved_fit import refuse_clashes
    from ..selection.criteria import CRITERIA

    check_choice("table_format", told.table_format, TABLE_FORMATS)
    check_choice("criterion", told.criterion, CRITERIA)
    for name in _families(told):
        family_named(name)
    if told.noise_component is not None:
        check_choice("noise_component", told.noise_component, NOISES)
    refuse_clashes(keep, noise=told.noise_component is not None)
    reading_of(told)
    out = folder_of(told.out, FOLDER, force=told.force)
    refuse_existing(out, force=told.force)
    refuse_unwritable(out)


def _families(told: SelectArguments) -> list[str]:
    """The families that were named; none where all are meant."""
    if told.covariance.strip() == "all":
        return []
    names = [name.strip() for name in told.covariance.split(",") if name.strip()]
    if not names:
        raise ValueError(f"--covariance must be all, or families; got {told.covariance!r}")
    return names


def _checked(
    told: SelectArguments, content: FileContent, smallest: int, place: Mapping[str, Any]
) -> Observations:
    from ..model.program import MixtureModel

    model = MixtureModel(smallest)  # larger ones are marked where there are too few points
    return checked(told.data, content.dataset, model, told.missing, **place)


def _selected(
    told: SelectArguments, observations: Observations, numbers: list[int], options: dict[str, Any]
) -> tuple[Selection, Fit | None]:
    """The selection, and the fit of its best model, if there is one.

    Raises:
        KeyboardInterrupt: if an interrupt ended the fit.
    """
    from ..selection import select as run
    from ..selection.record import best_of

    selection = run(
        observations,
        numbers,
        _families(told) or "all",
        told.criterion,
        told.method,
        noise_component=told.noise_component,
        n_folds=told.folds,
        n_resamples=told.resamples,
        missing=told.missing or "integrate",
        progress=True,
        **options,
    )
    best = best_of(selection)
    if best is not None and best.status.name == "INTERRUPTED":
        raise KeyboardInterrupt
    return selection, best


def _save(
    selection: Selection, best: Fit | None, content: FileContent, told: SelectArguments
) -> tuple[Path, list[Path]]:
    """The folder and its files."""
    from ..selection.page import write_report
    from ..selection.saving import save_selection

    name = content.dataset.name

    def report(path: Path) -> None:
        write_report(selection, path, best, name=name, command=command_line())

    def write(out: Path) -> list[Path]:
        return save_selection(
            *(selection, best, out),
            report=report if told.report else None,
            table_format=told.table_format,
            labels=content.dataset.labels,
            facts={**facts_of(told.data, content, told), "selection": _facts(selection)},
            beside=content.kept,
            force=told.force,
        )

    return written(write, told.out, FOLDER, force=told.force)


def _facts(selection: Selection) -> dict[str, Any]:
    """What was compared, and what came of it."""
    return {
        "criterion": selection.criterion,
        "method": selection.method,
        "seed": selection.seed,
        "seconds": selection.seconds,
        "n_models": len(selection.cells),
        "in_words": selection.in_words(),
    }


def _document(
    selection: Selection,
    content: FileContent,
    told: SelectArguments,
    out: Path,
    files: list[Path],
) -> dict[str, Any]:
    """The selection for programs."""
    data, table = content.dataset, selection.table
    counting = any(cell.counts for cell in selection.cells)
    near = [cell.row() for cell in selection.ties] if counting else []
    return {
        "data": {
            "source": told.data,
            "name": data.name,
            "n": data.n,
            "weights_column": told.weights_column,
            "features": data.feature_names,
        },
        **_facts(selection),
        "best": near[0] if near else None,
        "near": near,
        "models": table.astype(object).where(table.notna(), None).to_dict("records"),
        "out": out,
        "files": [file.as_posix() for file in files],
    }


def _print(
    selection: Selection,
    content: FileContent,
    told: SelectArguments,
    out: Path,
    files: list[Path],
) -> None:
    from ..selection.saving import TABLE
    from .ranking import print_selection

    table = f"{TABLE}.{told.table_format}"
    print_selection(selection, content.dataset, told.components, table)
    names = [file.relative_to(out) for file in files]
    alone = [name.as_posix() for name in names if name.parts[0] != "best"]
    best = " and the best fit in best/" if len(alone) < len(names) else ""
    typer.echo(f"wrote {', '.join(alone)}{best} to {out}")
