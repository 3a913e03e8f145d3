"""`gmm-pyro predict`: what a saved fit says of other points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..data.words import counted
from .arguments import Exclude, Force, Json, Keep, OutFile, ReadingArguments, Scheduler, Workers
from .away import is_away, refuse_of_files, scheduled
from .data import names_in, read, reading_of, refuse_no_source
from .names import DATASETS, completing
from .output import STDOUT, deliver, print_json, say
from .progress import progress_said

if TYPE_CHECKING:
    import pandas as pd

    from ..files import Reading
    from ..mixture.value import GaussianMixture
    from ..posterior import Posterior
    from ..saved_fit import SavedFit


@dataclass(frozen=True, kw_only=True)
class PredictArguments(ReadingArguments):
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
            help="File of points, - for standard input, or a data set, as for 'gmm-pyro fit'; it "
            "is read as the data of the fit were, where no option says otherwise.",
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
    exclude: Exclude
    keep: Keep
    posterior: Annotated[
        bool,
        typer.Option(
            "--posterior",
            help="Average over the draws of the posterior, in place of the point estimate. Where "
            "the number of components was unknown, densities are averaged over all draws, and "
            "responsibilities, which labels go by, over those with as many components with points "
            "as most have.",
        ),
    ] = False
    json: Json = False
    force: Force = False
    workers: Workers = None
    scheduler: Scheduler = None


def predict(told: PredictArguments) -> None:
    """Label other points by a saved fit: row, label, log density (nats), responsibilities.

    The columns of the fit are taken by their names, in any order, and other columns are ignored;
    without names, there must be as many features as the fit has. Of data in partitions, of which
    '*.parquet' and a folder are some, --out is a folder, with a file of Parquet for each.
    """
    from ..data.observations import as_points
    from ..disk.placing import refuse_existing
    from ..disk.untrusted import content_named
    from ..saved_fit import beside, load_fit, refuse_clashes
    from ..saved_fit import predict as run

    saved = load_fit(told.fit)
    if is_away(told):
        return _predict_away(told, saved)
    refuse_no_source(told.data)
    refuse_clashes(names_in(told.keep), noise=saved.mixture.noise_component is not None)
    if told.out != STDOUT:
        refuse_existing(told.out, force=told.force)
    source, every = _source(told, saved)
    points, kept = _points(told, saved)
    with content_named(told.data, ValueError):
        as_points(points, feature_names=saved.mixture.feature_names, missing="integrate")
    _remark(told, saved)
    table = beside(run(source, points, every_draw=every).frame(), kept)
    deliver(table, told.out, as_json=told.json)
    if told.out == STDOUT:
        return None
    if told.json:
        print_json({"out": told.out, "n": len(table), "columns": list(table)})
    else:
        typer.echo(f"wrote {counted(len(table), 'row')} to {told.out}")
    return None


def _predict_away(told: PredictArguments, saved: SavedFit) -> None:
    """The same of data in partitions, into a folder."""
    from ..disk.placing import refuse_existing, refuse_unwritable
    from ..running.watching import shown_alone
    from ..saved_fit import predict_files

    refuse_of_files(told, "exclude")
    if told.out == STDOUT:
        raise ValueError("--out is needed of data in partitions: a folder for files of Parquet")
    refuse_existing(told.out, force=told.force)
    refuse_unwritable(told.out)
    source, every = _source(told, saved)
    _remark(told, saved)
    running = scheduled(told.workers, told.scheduler)
    with running, progress_said(), shown_alone("predict"):
        n, files = predict_files(
            *(source, told.data, told.out),
            names=names_in(told.columns) or saved.mixture.feature_names,
            keep=names_in(told.keep),
            every_draw=every,
            force=told.force,
        )
    if told.json:
        print_json({"out": told.out, "n": n, "files": [path.name for path in files]})
    else:
        size = f"{counted(n, 'row')} in {counted(len(files), 'file')}"
        typer.echo(f"wrote {size} to {told.out}")


def _source(
    told: PredictArguments, saved: SavedFit
) -> tuple[GaussianMixture | Posterior, Posterior | None]:
    """What predictions are by, and draws that densities are averaged over, if these are others."""
    if not told.posterior:
        return saved.mixture, None
    return saved.posterior(), saved.every_draw()


def _points(told: PredictArguments, saved: SavedFit) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The columns of the file that are the features of the fit, in its order, and those kept."""
    from ..files import columns_kept, features_named, read_dataset

    keep, exclude = names_in(told.keep), names_in(told.exclude)
    table, names = read(told.data, _reading(told, saved, keep)), saved.mixture.feature_names
    kept = columns_kept(table, keep) if keep else None
    if told.columns:
        data = read_dataset(table, columns=names_in(told.columns), exclude=exclude).dataset
        return _called(data.frame()[list(data.feature_names)], names), kept
    points = features_named(table, names, exclude)
    taken = ", ".join(map(str, points))
    if taken != ", ".join(names):
        say(f"{told.data}: the features are, in the order of the fit's, {taken}")
    return (points if table.named else _called(points, names)), kept


def _reading(told: PredictArguments, saved: SavedFit, keep: Sequence[str]) -> Reading:
    """As the data of the fit were read, where no option says otherwise."""
    from ..disk.untrusted import content_named
    from ..files import is_data_file

    data = saved.facts.get("data")
    before = data.get("reading") if isinstance(data, dict) else None
    with content_named(f"{saved.path} does not say how its data were read", ValueError):
        known = reading_of(told, keep, before or {})
    taken = known.facts().keys() - reading_of(told, keep).facts().keys() - {"encodings"}
    if taken and is_data_file(told.data):
        options = ", ".join(f"--{name}" for name in sorted(taken))
        say(f"{told.data}: {options} as for the data of the fit")
    return known


def _called(points: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Columns that are in the fit's order already, by its names."""
    return points.set_axis(list(names), axis=1) if points.shape[1] == len(names) else points


def _remark(told: PredictArguments, saved: SavedFit) -> None:
    """Which labels these are, where there could be others."""
    from ..inference.methods import METHODS

    if told.posterior:
        if "n_components" in saved.facts.get("number_of_components", {}):
            k = counted(saved.mixture.n_components, "component")
            say(f"labels are from the draws with {k} that have points, densities from all draws")
        return
    if saved.draws is not None:
        say("labels are those of the point estimate; --posterior averages over the draws")
    method = METHODS.get(str(saved.facts.get("method")))
    if method is not None and method.own_labels:
        say("labels are the mixture's most probable components, not k-means' nearest centres")
