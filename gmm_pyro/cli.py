"""The command line: `gmm-pyro compare` and `gmm-pyro simulate`.

Everything heavy is imported by the commands, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .comparison import Comparison
    from .datasets import Dataset
    from .model import MixtureModel

METHODS = "kmeans, em, gradient, map, laplace, svi, gibbs"
DATASETS = (
    "three-clusters, bimodal, make-mixture, anisotropic, tight-and-diffuse, iris, wine or "
    "old-faithful"
)
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

USAGE_ERROR: Any = typer.BadParameter.__mro__[2]  # click's ClickException; typer has its own click

app = typer.Typer(
    help="Gaussian mixture models as Pyro programs, fitted and compared by many methods.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; bad input ends in one line on standard error and exit code 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        _say(f"gmm-pyro: {' '.join(reason.split())}")
        sys.exit(BAD_INPUT)


def _reason(error: Exception) -> str | None:
    """What was wrong with the input, or None for a mistake of the program's."""
    if isinstance(error, USAGE_ERROR):
        return f"{error.format_message()} ('gmm-pyro --help' says what there is)"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return str(error) if isinstance(error, ValueError | OSError | ImportError) else None


def _say(line: str) -> None:
    """A line on standard error."""
    typer.echo(line, err=True)


@app.command()
def compare(
    data: Annotated[
        str,
        typer.Option(
            help=f"A CSV or Parquet file, or a data set: {DATASETS}. NAME:SEED is another draw."
        ),
    ] = "three-clusters",
    components: Annotated[
        int | None,
        typer.Option(help="Number of components.", show_default="that of the truth or labels"),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Column of a file with the true classes, which is no feature.",
            show_default="label, if there is one",
        ),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Methods, as METHOD or METHOD:ENGINE, with commas between them.")
    ] = METHODS,
    covariance: Annotated[
        str, typer.Option(help="Covariance family, by scikit-learn's word or mclust's code.")
    ] = "full",
    seed: Annotated[int, typer.Option(help="Seed of the fits and of the held-out data.")] = 0,
    test_size: Annotated[
        float | None,
        typer.Option(
            help="Points held out, as a share or a number; drawn anew where the truth is known.",
            show_default="as many as there are if the truth is known, else none",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the table, the pictures and the mixtures.")
    ] = Path("results"),
    save_posteriors: Annotated[  # noqa: FBT002 - a flag of the command line
        bool,
        typer.Option("--save-posteriors", help="Write draws to posteriors/METHOD.nc, for ArviZ."),
    ] = False,
) -> None:
    """Fit one model by several methods, and compare the results."""
    from .comparison import compare as run
    from .model import MixtureModel

    dataset = _load(data, label_column)
    k = _n_components(dataset) if components is None else components
    model = MixtureModel(k, covariance)
    out.mkdir(parents=True, exist_ok=True)  # before the work, in case it cannot be written
    names = [name.strip() for name in methods.split(",") if name.strip()]
    comparison = run(model, dataset, names, seed=seed, test_size=test_size, progress=True)
    _print_table(comparison, model)
    _print_remarks(comparison)
    _print_written(comparison.save(out, posteriors=save_posteriors), out)
    raise typer.Exit(_exit_code(comparison))


@app.command()
def simulate(
    name: Annotated[str, typer.Argument(help=f"A data set: {DATASETS}.")],
    out: Annotated[Path, typer.Option(help="A file, ending in .csv or .parquet.")],
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the draw.", show_default="the data set's own"),
    ] = None,
) -> None:
    """Write the points of a data set to a file, with their classes in a column "label"."""
    from .datasets import dataset_named
    from .files import write_dataset

    dataset = dataset_named(name, seed)
    write_dataset(dataset, out)
    typer.echo(f"wrote {_count(dataset.n, 'point')} of {_count(dataset.d, 'feature')} to {out}")


# ---------------------------------------------------------------------- input


def _load(data: str, label_column: str | None) -> Dataset:
    """The data set that a file holds or a name stands for."""
    from .files import is_data_file, read_dataset

    if not is_data_file(data):
        if label_column is not None:
            raise ValueError(f"--label-column is for files; {data} has its own labels")
        return _named(data)
    content = read_dataset(data, label_column)
    if content.left_out:
        _say(f"left out, as not numeric or without a name: {', '.join(content.left_out)}")
    if content.label_column is not None and label_column is None:
        _say(f"column {content.label_column!r} is taken for the true classes")
    return content.dataset


def _named(data: str) -> Dataset:
    from .datasets import dataset_named

    name, colon, seed = data.partition(":")
    if colon and not seed.isdecimal():
        raise ValueError(f"the seed in NAME:SEED must be a whole number, got {data!r}")
    try:
        return dataset_named(name, int(seed) if colon else None)
    except ValueError as error:
        raise ValueError(f"{error} (or a .csv or .parquet file)") from error


def _n_components(dataset: Dataset) -> int:
    """The truth's number of components, or the number of classes."""
    if dataset.truth is not None:
        return dataset.truth.n_components
    if dataset.labels is None:
        raise ValueError(f"--components is needed: {dataset.name} has neither a truth nor labels")
    return len(dataset.labels[dataset.labels >= 0].unique())


# ---------------------------------------------------------------------- output


def _print_table(comparison: Comparison, model: MixtureModel) -> None:
    from rich.console import Console

    from .terminal import OF_POSTERIORS, terminal_table

    console, data = Console(highlight=False), comparison.dataset
    size = f"{_count(data.n, 'point')}, {_count(data.d, 'feature')}"
    shape = f"{_count(model.n_components, 'component')}, {model.family.name} covariances"
    console.print(f"{data.name}: {size}; {shape}\n", soft_wrap=True)
    console.print(terminal_table(comparison.table, console.width))
    console.print()
    drawn = comparison.table[comparison.table["ess"].notna()]
    if len(drawn):
        reference = comparison.reference
        against = "" if reference is None else f"; errors in standard deviations of {reference}"
        console.print(f"posteriors{against}\n", soft_wrap=True)
        console.print(terminal_table(drawn, console.width, OF_POSTERIORS))
        console.print()


def _print_remarks(comparison: Comparison) -> None:
    """Why methods failed, and what the others warned of."""
    for name, status in comparison.table["status"].items():
        if name not in comparison.fits:
            _say(f"{name} {status}")
        for note in comparison.notes.get(str(name), ()):
            _say(f"{name} warns: {note}")


def _print_written(files: list[Path], out: Path) -> None:
    kinds = [path.suffix for path in files]
    counted = [
        _count(kinds.count(suffix), noun)
        for suffix, noun in ((".png", "picture"), (".json", "mixture"), (".nc", "posterior"))
        if suffix != ".nc" or suffix in kinds
    ]
    *first, last = ["comparison.csv", *counted]
    typer.echo(f"wrote {', '.join(first)} and {last} to {out}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _exit_code(comparison: Comparison) -> int:
    """0 if there is a fit to show, even if other methods failed."""
    if comparison.interrupted:
        return INTERRUPTED
    return 0 if comparison.fits else FAILED
