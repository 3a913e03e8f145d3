"""`gmm-pyro predict`: what a saved fit says of other points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..data.words import counted
from .arguments import Force, Json, OutFile
from .data import names_in, read
from .names import DATASETS, completing
from .output import STDOUT, deliver, print_json, say

if TYPE_CHECKING:
    import pandas as pd

    from ..saved_fit import SavedFit


@dataclass(frozen=True, kw_only=True)
class PredictArguments:
    """What `gmm-pyro predict` is told."""

    fit: Annotated[
        Path,
        typer.Argument(
            help="Folder that 'gmm-pyro fit' has written, or the file of a mixture.",
            show_default=False,
        ),
    ]
    data: Annotated[
        str,
        typer.Argument(
            help="File of points, - for standard input, or a data set, as for 'gmm-pyro fit'.",
            show_default=False,
            autocompletion=completing(*DATASETS),
        ),
    ]
    out: OutFile = STDOUT
    columns: Annotated[
        list[str],
        typer.Option(
            help="Columns of the file in the order of the fit's, with commas between them.",
            show_default="those that are called as the fit's",
            default_factory=list,
        ),
    ]
    posterior: Annotated[
        bool,
        typer.Option(
            "--posterior",
            help="Average over the draws of the posterior, in place of the point estimate.",
        ),
    ] = False
    json: Json = False
    force: Force = False


def predict(told: PredictArguments) -> None:
    """Label other points by a saved fit: row, label, log density (nats), responsibilities.

    The columns of the fit are taken by their names, in any order, and other columns are ignored;
    without names, there must be as many features as the fit has.
    """
    from ..data.observations import as_points
    from ..disk.placing import refuse_existing
    from ..disk.untrusted import content_named
    from ..saved_fit import load_fit
    from ..saved_fit import predict as run

    if told.out != STDOUT:
        refuse_existing(told.out, force=told.force)
    saved = load_fit(told.fit)
    source = saved.posterior() if told.posterior else saved.mixture
    points = _points(told, saved)
    with content_named(told.data, ValueError):
        as_points(points, feature_names=saved.mixture.feature_names, missing="integrate")
    if not told.posterior:
        _remark(saved)
    table = run(source, points).frame()
    deliver(table, told.out, as_json=told.json)
    if told.out == STDOUT:
        return
    if told.json:
        print_json({"out": told.out, "n": len(table), "columns": list(table)})
    else:
        typer.echo(f"wrote {counted(len(table), 'row')} to {told.out}")


def _points(told: PredictArguments, saved: SavedFit) -> pd.DataFrame:
    """The columns of the file that are the features of the fit, in its order."""
    from ..files import features_named, read_dataset

    table, names = read(told.data), saved.mixture.feature_names
    if told.columns:
        data = read_dataset(table, columns=names_in(told.columns)).dataset
        return _called(data.frame()[list(data.feature_names)], names)
    points = features_named(table, names)
    taken = ", ".join(map(str, points))
    if taken != ", ".join(names):
        say(f"{told.data}: the features are, in the order of the fit's, {taken}")
    return points if table.named else _called(points, names)


def _called(points: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Columns that are in the fit's order already, by its names."""
    return points.set_axis(list(names), axis=1) if points.shape[1] == len(names) else points


def _remark(saved: SavedFit) -> None:
    """Which labels these are, where there could be others."""
    from ..inference.methods import METHODS

    if saved.draws is not None:
        say("labels are those of the point estimate; --posterior averages over the draws")
    method = METHODS.get(str(saved.facts.get("method")))
    if method is not None and method.own_labels:
        say("labels are the mixture's most probable components, not k-means' nearest centres")
