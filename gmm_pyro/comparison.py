"""Several methods on one data set, side by side: `compare`, and the `Comparison` it returns."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import metrics
from .datasets import OUTLIER, Dataset
from .inference.fit import METHODS, Fit, fit, method_named
from .inference.task import FitWarning, Status
from .mixture import GaussianMixture
from .model import MixtureModel
from .observations import as_points, observe
from .threads import one_thread_a_product

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = (
    *("method", "engine", "status", "steps", "seconds"),
    *("log_likelihood", "held_out_log_density", "bic", "n_parameters"),
    *("ari", "nmi", "accuracy"),
    *("weight_error", "mean_error", "covariance_error", "kl_to_truth", "kl_standard_error"),
)
WORDS = ("method", "engine", "status")
COUNTS = ("steps", "n_parameters")
FIGURES = ("data", "clusters", "traces", "parameter_errors")
DOTS_PER_INCH = 150


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fits of several methods to the same data, and how good they are.

    A fit goes by the name that it was asked for with: `method`, or `method:engine`.

    Attributes:
        table: a pandas frame with one row a method, by name, and the columns `COLUMNS`; what cannot
            be had without a truth, labels or held-out data is empty. `seconds` is wall-clock time
            without what a method imports when it is first used; `log_likelihood` is the mean log
            density of the data that were fitted, `held_out_log_density` that of other data, both in
            nats a point; `bic` is lower for better fits; `ari`, `nmi` and `accuracy` hold the most
            probable components against the labels; the errors are those of
            `metrics.parameter_errors`; `kl_to_truth` is the Kullback-Leibler divergence from the
            truth in nats, by Monte Carlo.
        fits: the fits that were made, by name.
        dataset: the data that were fitted.
        held_out: other data of the same kind, or None.
        notes: what the methods warned of, by name; those without warnings are left out.
        interrupted: whether an interrupt (Ctrl-C) ended the comparison early.
    """

    table: pd.DataFrame
    fits: Mapping[str, Fit]
    dataset: Dataset
    held_out: Dataset | None
    notes: Mapping[str, tuple[str, ...]]
    interrupted: bool = False

    def plot(self) -> Figure:
        """A figure with the data, and beside them the clusters of each fit."""
        from . import plots  # matplotlib takes a second to import

        data = self.dataset
        return plots.comparison_figure(
            data.x, self.fits, data.labels, feature_names=data.feature_names
        )

    def save(self, folder: str | Path) -> list[Path]:
        """Write the table, the pictures and the mixtures into a folder.

        These are `comparison.csv`, `figures/*.png` and `mixtures/<name>.json`, with "-" for the ":"
        in a name. They replace those of an earlier comparison; other files in the folder stay.
        Nothing appears in its place before everything is written.

        Returns:
            The paths of the files.

        Raises:
            OSError: if the folder cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
            self._write(Path(partial))
            return _move_into_place(Path(partial), folder)

    @one_thread_a_product()
    def _write(self, folder: Path) -> None:
        from . import plots

        (folder / "figures").mkdir()
        (folder / "mixtures").mkdir()
        for name, result in self.fits.items():
            result.mixture.save(folder / "mixtures" / f"{name.replace(':', '-')}.json")
        data = self.dataset
        figures = plots.comparison_figures(
            data.x, self.fits, self.table, data.labels, data.feature_names
        )
        for name, figure in figures.items():
            figure.savefig(folder / "figures" / f"{name}.png", dpi=DOTS_PER_INCH)
        self.table.to_csv(folder / "comparison.csv", index=False)


def _move_into_place(partial: Path, folder: Path) -> list[Path]:
    """Move the files of one folder into another one, which loses those of an earlier comparison."""
    written = [path.relative_to(partial) for path in partial.rglob("*.*") if path.is_file()]
    for path in written:
        (folder / path).parent.mkdir(exist_ok=True)
        os.replace(partial / path, folder / path)
    figures = [folder / "figures" / f"{name}.png" for name in FIGURES]
    mixtures = [
        path for path in folder.glob("mixtures/*.json") if path.stem.partition("-")[0] in METHODS
    ]
    kept = [folder / path for path in sorted(written)]
    for path in {*figures, *mixtures} - {*kept}:
        path.unlink(missing_ok=True)
    return kept


# ---------------------------------------------------------------------- compare


def compare(
    model: MixtureModel,
    data: Any,
    methods: Sequence[str] = ("kmeans", "em", "gradient", "map", "svi"),
    *,
    seed: int = 0,
    test_size: float | None = None,
    progress: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Comparison:
    """Fit a model to the same data by several methods, and compare the results.

    A method that fails does not stop the others: the table has the reason in its row, and so for
    methods that an interrupt (Ctrl-C) kept from running. Warnings of fits become notes.

    Args:
        model: the model.
        data: a `Dataset`, or points of shape (n, d) as `fit` takes them.
        methods: names of methods, each once; "svi:enumerated" is a method and its engine.
        seed: seed of every fit and of the held-out data.
        test_size: how many points are held out, as a share of n or as a number. Of data with a
            known truth, that many others are drawn from it (n, if None); of other data, they are
            taken out at random (none, if None).
        progress: whether each fit shows a progress bar on standard error.
        options: options of single methods, by the names that `methods` has.

    Raises:
        ValueError: if the data, the model, a name or the size is not valid.

    Example:
        >>> from gmm_pyro.datasets import bimodal
        >>> comparison = compare(MixtureModel(2), bimodal(), methods=["kmeans", "em"])
        >>> comparison.table.loc["em", "ari"]
        1.0
    """
    entries = _entries(methods, options or {}, {"seed": seed, "progress": progress})
    train, held_out = _split(_dataset(data), test_size, seed)
    observe(train.x, n_components=model.n_components)  # bad data are no method's failure
    attempts: dict[str, Attempt] = {}
    interrupted = False
    for entry in entries:
        attempt = NOT_RUN if interrupted else _attempt(entry, model, train)
        attempts[entry.name] = attempt
        interrupted = interrupted or attempt.interrupted
    return Comparison(
        table=_table(entries, attempts, train, held_out),
        fits={name: attempt.fit for name, attempt in attempts.items() if attempt.fit},
        dataset=train,
        held_out=held_out,
        notes={name: attempt.notes for name, attempt in attempts.items() if attempt.notes},
        interrupted=interrupted,
    )


@dataclass(frozen=True)
class Entry:
    """A method to be run, by the name that it was asked for with."""

    name: str
    method: str
    engine: str | None
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Attempt:
    """What came of an entry."""

    status: str
    fit: Fit | None = None
    notes: tuple[str, ...] = ()
    interrupted: bool = False


NOT_RUN = Attempt("not run: interrupted", interrupted=True)


def _entries(
    methods: Sequence[str], options: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any]
) -> list[Entry]:
    """The methods to be run; every name is checked before the first one is."""
    names = [methods] if isinstance(methods, str) else list(methods)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"methods must hold one or more different names, got {names}")
    for name in options:
        if name not in names:
            raise ValueError(f"options are for {name!r}, which is not among {', '.join(names)}")
    return [_entry(name, {**common, **options.get(name, {})}) for name in names]


def _entry(name: str, options: Mapping[str, Any]) -> Entry:
    method, _, engine = name.partition(":")
    known: Any = method_named(method).options
    if engine and not hasattr(known, "engine"):
        raise ValueError(f"method {method!r} has no engines, got {name!r}")
    chosen = engine or options.get("engine", getattr(known, "engine", None))
    if chosen is None:
        return Entry(name, method, None, options)
    known(engine=chosen)  # refuses an engine that does not exist
    return Entry(name, method, chosen, {**options, "engine": chosen})


def _dataset(data: Any) -> Dataset:
    if isinstance(data, Dataset):
        return data
    points, names = as_points(data)
    return Dataset(points.cpu(), None, None, "data", names)


def _split(data: Dataset, test_size: float | None, seed: int) -> tuple[Dataset, Dataset | None]:
    """The data to be fitted, and held-out data of the same kind."""
    if data.truth is not None:
        return data, data.held_out(data.n if test_size is None else _count(test_size, data.n), seed)
    if test_size is None:
        return data, None
    count = _count(test_size, data.n)
    if count >= data.n:
        raise ValueError(f"test_size must leave points to fit, got {count} of {data.n}")
    order = torch.randperm(data.n, generator=torch.Generator().manual_seed(seed))
    return _rows(data, order[count:].sort().values), _rows(data, order[:count].sort().values)


def _count(test_size: float, n: int) -> int:
    """A number of points, from a share or a number."""
    if 0 < test_size < 1:
        return max(1, round(test_size * n))
    if not test_size >= 1 or test_size % 1:  # NaN is neither
        raise ValueError(
            "test_size must be a share between 0 and 1, or a whole number of points, "
            f"got {test_size!r}"
        )
    return int(test_size)


def _rows(data: Dataset, index: torch.Tensor) -> Dataset:
    labels = None if data.labels is None else data.labels[index]
    return replace(data, x=data.x[index], labels=labels)


# ---------------------------------------------------------------------- one fit


def _attempt(entry: Entry, model: MixtureModel, data: Dataset) -> Attempt:
    """A fit, or why there is none."""
    import pandas as pd

    frame = pd.DataFrame(data.x.numpy(), columns=list(data.feature_names))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FitWarning)
        try:
            _rehearse(entry)
            result = fit(model, frame, entry.method, **entry.options)
        except KeyboardInterrupt:
            return NOT_RUN
        except Exception as error:
            reason = " ".join(str(error).split()) or "no message"
            return Attempt(f"failed: {type(error).__name__}: {reason}")
    notes = tuple(str(warning.message) for warning in caught)
    return Attempt(_status(result), result, notes, result.status is Status.INTERRUPTED)


def _rehearse(entry: Entry) -> None:
    """One step on a few points, so that what a method imports is not counted as its time."""
    options = {"engine": entry.engine} if entry.engine else {}
    points = [[0.0], [1.0], [3.0], [4.0]]
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        fit(MixtureModel(1), points, entry.method, max_steps=1, **options)


def _status(result: Fit) -> str:
    """How a fit ended, in few words, with what is wrong with the solution."""
    problems = result.diagnostics["problems"]
    words = result.status.name.lower().replace("_", " ")
    return f"{words}; degenerate: {'; '.join(problems)}" if problems else words


# ---------------------------------------------------------------------- the table


@one_thread_a_product()
def _table(
    entries: Sequence[Entry],
    attempts: Mapping[str, Attempt],
    data: Dataset,
    held_out: Dataset | None,
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for entry in entries:
        attempt = attempts[entry.name]
        row = {"method": entry.method, "engine": entry.engine, "status": attempt.status}
        rows.append(row | ({} if attempt.fit is None else _scores(attempt.fit, data, held_out)))
    table = pd.DataFrame(rows, index=[entry.name for entry in entries], columns=list(COLUMNS))
    types = {name: "Int64" if name in COUNTS else "float64" for name in COLUMNS[len(WORDS) :]}
    return table.astype(types)


def _scores(result: Fit, data: Dataset, held_out: Dataset | None) -> dict[str, Any]:
    """The numbers of one row; those that cannot be had are left out."""
    mixture = result.mixture
    scores = {
        "steps": result.steps,
        "seconds": result.seconds,
        "log_likelihood": metrics.mean_log_density(mixture, data.x),
        "bic": metrics.bic(mixture, data.x),
        "n_parameters": mixture.n_parameters,
    }
    if held_out is not None:
        scores["held_out_log_density"] = metrics.mean_log_density(mixture, held_out.x)
    if data.labels is not None and (data.labels != OUTLIER).any():
        scores |= _agreement(data.labels, mixture.predict(data.x))
    if data.truth is not None:
        scores |= _distances(data.truth, mixture)
    return scores


def _agreement(labels: Tensor, predicted: Tensor) -> dict[str, float]:
    """Scores of the most probable components against the labels."""
    return {
        "ari": metrics.adjusted_rand(labels, predicted),
        "nmi": metrics.normalised_mutual_information(labels, predicted),
        "accuracy": metrics.accuracy(labels, predicted),
    }


def _distances(truth: GaussianMixture, mixture: GaussianMixture) -> dict[str, float]:
    """Errors of the parameters, and the divergence of the density, from the truth's."""
    errors = metrics.parameter_errors(mixture, truth)
    divergence = metrics.kl_divergence(truth, mixture)
    return {
        "weight_error": errors.weights,
        "mean_error": errors.means,
        "covariance_error": errors.covariances,
        "kl_to_truth": divergence.value,
        "kl_standard_error": divergence.standard_error,
    }
