"""`gmm-pyro simulate`: points of a data set, or drawn from a saved fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..data.words import counted
from .arguments import Force, Json, OutFile
from .names import DATASETS, completing, listed
from .output import STDOUT, deliver, print_json

if TYPE_CHECKING:
    from ..datasets import Dataset

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
    out: OutFile = STDOUT
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
    json: Json = False
    force: Force = False


def simulate(told: SimulateArguments) -> None:
    """Write points of a data set, or drawn from a fit, with their classes in a column "label"."""
    from ..disk.placing import refuse_existing
    from ..files import write_dataset

    if told.out != STDOUT:
        refuse_existing(told.out, force=told.force)
    data = _dataset(told)
    if told.out == STDOUT:
        deliver(data.frame(), STDOUT, as_json=told.json)
        return
    write_dataset(data, told.out)
    if told.json:
        print_json({"out": told.out, "n": data.n, "features": data.feature_names})
    else:
        size = f"{counted(data.n, 'point')} of {counted(data.d, 'feature')}"
        typer.echo(f"wrote {size} to {told.out}")


def _dataset(told: SimulateArguments) -> Dataset:
    """The data set of this name, or points drawn from the fit in this place."""
    from ..datasets import Dataset, dataset_named

    path = Path(told.name)
    if told.name in DATASETS or not (path.is_dir() or path.suffix in (".json", ".npz")):
        if told.n is not None:
            raise ValueError(f"--n is for fits; {told.name} has its own number of points")
        return dataset_named(told.name, told.seed)
    from ..saved_fit import load_fit

    mixture = load_fit(path).mixture
    sample = mixture.sample_labelled(POINTS if told.n is None else told.n, told.seed or 0)
    return Dataset(sample.x, sample.labels, mixture, path.name, mixture.feature_names)
