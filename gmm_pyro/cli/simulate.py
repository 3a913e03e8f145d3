"""`gmm-pyro simulate`: points of a data set, or drawn from a saved fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.words import counted
from .arguments import Force, Json
from .names import DATASETS, completing, listed
from .output import STDOUT, deliver, print_json

if TYPE_CHECKING:
    from ..datasets import Dataset
    from ..mixture.value import GaussianMixture

POINTS = 1000  # of a fit, where no number is given


@dataclass(frozen=True, kw_only=True)
class SimulateArguments:
    """What `gmm-pyro simulate` is told."""

    name: Annotated[
        str,
        typer.Argument(
            help=f"A data set: {listed(DATASETS)}; or the folder of a fit, or the file of a "
            "mixture.",
            show_default=False,
            autocompletion=completing(*DATASETS),
        ),
    ]
    out: Annotated[
        str,
        typer.Option(
            help="A file: .csv, .tsv, .xlsx, .parquet, .feather, .npz or .nc; a name without an "
            "ending is a folder of Parquet files, for a fit; - is standard output. Parquet is "
            "written as it is drawn, so that it may be larger than memory."
        ),
    ] = STDOUT
    n: Annotated[
        int | None,
        typer.Option(
            "--n", "-n", min=1, help="Number of points from a fit.", show_default=str(POINTS)
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the draw.", show_default="the data set's own; of a fit, 0"),
    ] = None
    dtype: Annotated[
        str,
        typer.Option(
            help="Type of the numbers: float64 or float32.",
            autocompletion=completing("float64", "float32"),
        ),
    ] = "float64"
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="Leave out the column of classes.")
    ] = False
    json: Json = False
    force: Force = False


def simulate(told: SimulateArguments) -> None:
    """Write points of a data set, or drawn from a fit, with their classes in a column "label"."""
    from ..data.checks import check_choice
    from ..data.devices import PRECISIONS
    from ..disk.placing import refuse_existing
    from ..files import Draw, write_dataset, write_draw

    check_choice("dtype", told.dtype, PRECISIONS)
    if told.out != STDOUT:
        refuse_existing(told.out, force=told.force)
    mixture, n = _mixture(told), told.n or POINTS
    if mixture is not None and _is_streamed(told.out):
        own: dict[str, Any] = {"dtype": told.dtype, "labels": not told.no_labels}
        draw = Draw(mixture=mixture, n=n, seed=told.seed or 0, **own)
        write_draw(draw, told.out, force=told.force)
        return _said(told, n, mixture.feature_names)
    data = _dataset(told, mixture, n)
    data = replace(data, x=data.x.to(PRECISIONS[told.dtype]))
    data = replace(data, labels=None) if told.no_labels else data
    if told.out == STDOUT:
        return deliver(data.frame(), STDOUT, as_json=told.json)
    write_dataset(data, told.out)
    return _said(told, data.n, data.feature_names)


def _said(told: SimulateArguments, n: int, names: tuple[str, ...]) -> None:
    """What was written, and where."""
    if told.json:
        print_json({"out": told.out, "n": n, "features": names})
    else:
        size = f"{counted(n, 'point')} of {counted(len(names), 'feature')}"
        typer.echo(f"wrote {size} to {told.out}")


def _is_streamed(out: str) -> bool:
    """Whether points are written as they are drawn."""
    from ..data.parquet import ENDINGS
    from ..files import is_folder

    return out != STDOUT and (Path(out).suffix.lower() in ENDINGS or is_folder(out))


def _mixture(told: SimulateArguments) -> GaussianMixture | None:
    """The mixture of the fit in this place; None if it is the name of a data set."""
    path = Path(told.name)
    if told.name in DATASETS or not (path.is_dir() or path.suffix in (".json", ".npz")):
        return None
    from ..saved_fit import load_fit

    return load_fit(path).mixture


def _dataset(told: SimulateArguments, mixture: GaussianMixture | None, n: int) -> Dataset:
    """The data set of this name, or so many points drawn from a mixture."""
    from ..datasets import Dataset, dataset_named

    if mixture is None:
        if told.n is not None:
            raise ValueError(f"--n is for fits; {told.name} has its own number of points")
        return dataset_named(told.name, told.seed)
    sample = mixture.sample_labelled(n, told.seed or 0)
    name = Path(told.name).name
    return Dataset(sample.x, sample.labels, mixture, name, mixture.feature_names)
