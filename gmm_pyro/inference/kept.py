"""Long runs: which fit a checkpoint is of, and what the states of its loops consist of.

What takes long in a fit are loops, and these alone are kept (`keeping/loops.py` says why): steps
of EM, of the ascent of the bound and of chains, blocks of Adam, and what L-BFGS was told of its
function.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..covariance import FAMILIES, NaturalParameters, Parameters, Statistics
from ..data.checks import check_number, check_path
from ..data.parquet import files_of as parquet_files
from ..data.parquet import names_files
from ..data.partitioned import Partitioned
from ..data.points import Observations
from ..keeping.fingerprint import fingerprint
from ..keeping.folder import opened
from ..keeping.loops import Keeper, keeping
from ..keeping.values import Vocabulary
from ..model.normal_wishart import NormalWishart
from ..model.program import MixtureModel
from ..reduction.theta import Theta
from ..running.versions import versions
from . import em, expectation
from .chains.jumps import Places
from .chains.trajectory import Point
from .chains.walk import StepSize
from .climb import adam
from .task import Options, Outcome, Status, Task
from .telescoping.chains import Drawn
from .telescoping.state import State
from .telescoping.visited import Seen
from .variational import ascent
from .variational.approximation import Factors
from .variational.batches import Memory
from .variational.components import SeparateFactor, Wishart
from .variational.scale import ScaleFactor
from .variational.weights import WeightsFactor

SECONDS = 60.0  # from one writing to the next
SHOWING = ("progress",)  # options that change nothing of a fit
ROWS = 1000  # that tell data from others, beside their location and scale
LIBRARIES = ("gmm_pyro", "torch", "pyro-ppl", "numpy", "scipy", "scikit-learn")
RECORDS = (
    *(Parameters, NaturalParameters, Statistics, Theta, expectation.Expectation),
    *(expectation.Climb, em.Leap, adam.Ascent, Places, Point, StepSize, State, Seen),
    *(ascent.State, ascent.Climb, Factors, WeightsFactor, Wishart, SeparateFactor, ScaleFactor),
    *(NormalWishart, Memory, Drawn),
)


@dataclass(frozen=True)
class Place:
    """Where a fit is kept, and how often.

    Attributes:
        folder: where.
        seconds: from one writing to the next.
        files: names and sizes of the files that the data are read from.
    """

    folder: Path
    seconds: float = SECONDS
    files: tuple[tuple[str, int], ...] = ()


def place_of(folder: str | Path | None, seconds: float, x: Any) -> Place | None:
    """Where a fit of some data is to be kept, if it is.

    Raises:
        TypeError: if the folder is none.
        ValueError: if the seconds are no number of at least 0.
    """
    seconds = check_number("checkpoint_seconds", seconds)
    if folder is None:
        return None
    return Place(check_path("checkpoint", folder), seconds, files_of(x))


def files_of(x: Any) -> tuple[tuple[str, int], ...]:
    """Names and sizes of the files that data stay in: memory-mapped ones, and those of Parquet."""
    names: Sequence[str] = parquet_files(str(x)) if names_files(x) else ()
    if isinstance(x, Partitioned):
        names = x.files
    elif isinstance(x, np.memmap) and x.filename is not None:
        names = [str(x.filename)]
    return tuple((name, Path(name).stat().st_size) for name in names)


def run_kept(
    run: Callable[[Task[Any]], Outcome], task: Task[Options], place: Place | None
) -> Outcome:
    """What a method makes of a task, kept in a place if there is one, or gone on with from there.

    Raises:
        FileExistsError: if another fit is kept there, by what differs, or anything else.
        BlockingIOError: if another run is at work there.
        ValueError: if a file there is not what it should be.
        OSError: if it cannot be written.
    """
    if place is None:
        return run(task)
    with opened(place.folder, facts_of(task, place.files)) as folder:
        with keeping(Keeper(folder, vocabulary(task), place.seconds)):
            outcome = run(task)
        folder.ended(outcome.status.name.lower())
    return outcome


def vocabulary(task: Task[Options]) -> Vocabulary:
    """What states consist of."""
    families = {family.name: family for family in (*FAMILIES.values(), task.model.family)}
    constants = {**families, **{status.name: status for status in Status}}
    names = {f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}": kind for kind in RECORDS}
    return Vocabulary(names, constants)


def facts_of(task: Task[Options], files: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """Which fit a task is, by name: all that its result depends on.

    What is long is a fingerprint.
    """
    found = versions()
    return {
        "method": task.name,
        **dict(_of_model(task.model)),
        **dict(_of_data(task.observations)),
        **({"files": [[name, size] for name, size in files]} if files else {}),
        **{f"option {name}": value for name, value in _of_options(task.options)},
        **{f"version of {name}": found[name] for name in LIBRARIES},
        "machine": platform.machine(),
    }


def _of_model(model: MixtureModel) -> Iterator[tuple[str, Any]]:
    yield "n_components", model.n_components
    yield "covariance", model.family.name
    for name in ("priors", "noise_component", "fixed", "unknown"):
        yield name, _in_short(getattr(model, name))


def _of_data(x: Observations) -> Iterator[tuple[str, Any]]:
    yield from (("n", x.n), ("d", x.d), ("feature_names", list(x.feature_names)))
    yield from (("dtype", str(x.dtype)), ("device", x.device.type), ("compiled", x.compiled))
    yield from (("location", x.origin.tolist()), ("scale", x.scale.tolist()))
    if isinstance(x, Partitioned):  # rows of all of them would take another pass
        yield "partitions", fingerprint(x.sizes)
        yield "some rows", x.bits
    else:
        rows = torch.arange(0, x.n, max(1, x.n // ROWS), device=x.device)
        yield "some rows", fingerprint(x.subset(rows).x)
    yield "sample_weight", _in_short(x.sample_weight)
    yield "labels", _in_short(x.allowed)
    measured = x.measured
    yield (
        "missing values",
        None if measured is None else fingerprint((measured.kind, measured.observed)),
    )
    yield "noise", None if measured is None else _in_short(measured.noise)
    yield "projection", None if measured is None else _in_short(measured.projection)


def _of_options(options: Options) -> Iterator[tuple[str, Any]]:
    for name, value in vars(options).items():
        if name not in SHOWING:
            yield name, _in_short(value)


def _in_short(value: Any) -> Any:
    """A number or a word as it is, and all else by its fingerprint."""
    return value if isinstance(value, bool | int | float | str | None) else fingerprint(value)
