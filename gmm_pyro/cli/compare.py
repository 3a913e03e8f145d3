"""`gmm-pyro compare`: one model, several methods, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.words import counted
from .arguments import (
    FILES,
    Components,
    Covariance,
    DataArguments,
    Force,
    Json,
    Noise,
    Priors,
    command_line,
)
from .data import checked, headline, load, n_components, refuse_no_source
from .names import COMPARED, DATASETS, NOISES, complete_methods, completing, listed
from .output import FAILED, INTERRUPTED, as_typed, fit_warnings_said, print_json, say
from .priors import read_priors, refuse_without_priors, with_priors
from .progress import progress_said
from .sizes import refuse_several

if TYPE_CHECKING:
    from ..comparison import Comparison
    from ..model.program import MixtureModel

REPORT = "report.html"


@dataclass(frozen=True, kw_only=True)
class CompareArguments(DataArguments):
    """What `gmm-pyro compare` is told."""

    data: Annotated[
        str,
        typer.Option(
            help=f"A file: {FILES}; - for standard input; or a data set: {listed(DATASETS)}. "
            "NAME:SEED is another draw.",
            autocompletion=completing(*DATASETS),
        ),
    ] = "three-clusters"
    methods: Annotated[
        str,
        typer.Option(
            help="Methods, with commas between them.",
            autocompletion=complete_methods,
        ),
    ] = COMPARED
    components: Components = None
    covariance: Covariance = "full"
    noise_component: Noise = None
    priors: Priors = None
    seed: Annotated[int, typer.Option(help="Seed of the fits and of the held-out data.")] = 0
    test_size: Annotated[
        float | None,
        typer.Option(
            help="Points held out, as a share or a number; drawn anew where the truth is known.",
            show_default="as many as there are if the truth is known, else none",
        ),
    ] = None
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the table, the pictures and the mixtures."),
    ] = Path("results")
    save_posteriors: Annotated[
        bool,
        typer.Option("--save-posteriors", help="Write draws to posteriors/METHOD.nc, for ArviZ."),
    ] = False
    report: Annotated[
        bool, typer.Option("--report", help=f"Write {REPORT}, a page that explains it all.")
    ] = False
    json: Json = False
    force: Force = False


def compare(told: CompareArguments) -> None:
    """Fit one model by several methods, and compare the results."""
    from ..comparison import compare as run
    from ..data.checks import check_choice
    from ..disk.placing import refuse_existing, refuse_unwritable
    from ..model.program import MixtureModel

    refuse_no_source(told.data)
    refuse_several(told.data, told.components, told.covariance)
    priors = read_priors(told.priors)
    names = [name.strip() for name in told.methods.split(",") if name.strip()]
    refuse_without_priors(names, priors)
    if told.noise_component is not None:
        check_choice("noise_component", told.noise_component, NOISES)
    refuse_existing(told.out, force=told.force)
    refuse_unwritable(told.out)
    dataset = load(told.data, told).dataset
    k = n_components(dataset, told.components)
    model = MixtureModel(k, told.covariance, noise_component=told.noise_component)
    observations = checked(told.data, dataset, model, told.missing)
    model = with_priors(model, priors, observations)
    with fit_warnings_said(), progress_said():
        comparison = run(
            model,
            dataset,
            names,
            missing=told.missing,
            seed=told.seed,
            test_size=told.test_size,
            progress=True,
        )
    _print_remarks(comparison)
    if not told.json:
        _print_table(comparison, model)
    files = _save(comparison, told)
    if told.json:
        print_json(_document(comparison, model, told, files))
    else:
        _print_written(files, told.out)
    raise typer.Exit(_exit_code(comparison))


def _save(comparison: Comparison, told: CompareArguments) -> list[Path]:
    """Write everything; a report of an earlier comparison does not stay beside this one."""
    from ..comparison.saving import OURS, save_comparison

    def report(path: Path) -> None:
        comparison.report(path, command=command_line())

    return save_comparison(
        comparison,
        told.out,
        posteriors=told.save_posteriors,
        report=report if told.report else None,
        stale=(*OURS, REPORT),
        force=told.force,
    )


# ---------------------------------------------------------------------- output


def _print_table(comparison: Comparison, model: MixtureModel) -> None:
    from ..comparison.printed import plain_console, print_tables

    console = plain_console()
    console.print(f"{headline(comparison.dataset, model)}\n", soft_wrap=True)
    print_tables(comparison, console)


def _print_remarks(comparison: Comparison) -> None:
    """Why methods failed, and what the others warned of."""
    for name, status in comparison.table["status"].items():
        if name not in comparison.fits:
            say(f"{name} {status}")
        for note in comparison.notes.get(str(name), ()):
            say(f"{name} warns: {as_typed(note)}")


def _print_written(files: list[Path], out: Path) -> None:
    kinds = [path.suffix for path in files]
    numbers = [
        counted(kinds.count(suffix), noun)
        for suffix, noun in ((".png", "picture"), (".json", "mixture"), (".nc", "posterior"))
        if suffix != ".nc" or suffix in kinds
    ]
    *first, last = ["comparison.csv", *([REPORT] if ".html" in kinds else []), *numbers]
    typer.echo(f"wrote {', '.join(first)} and {last} to {out}")


def _document(
    comparison: Comparison, model: MixtureModel, told: CompareArguments, files: list[Path]
) -> dict[str, Any]:
    """The comparison for programs."""
    data, table = comparison.dataset, comparison.table
    return {
        "data": {
            "source": told.data,
            "name": data.name,
            "n": data.n,
            "weights_column": told.weights_column,
            "features": data.feature_names,
        },
        "n_components": model.n_components,
        "covariance": model.family.name,
        "seed": told.seed,
        "methods": table.astype(object).where(table.notna(), None).to_dict("index"),
        "warnings": comparison.notes,
        "reference": comparison.reference,
        "interrupted": comparison.interrupted,
        "out": told.out,
        "files": [file.as_posix() for file in files],
    }


def _exit_code(comparison: Comparison) -> int:
    """0 if there is a fit to show, even if other methods failed."""
    if comparison.interrupted:
        return INTERRUPTED
    return 0 if comparison.fits else FAILED
