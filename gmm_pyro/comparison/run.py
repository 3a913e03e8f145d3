"""`compare`: the same data and model, one method after the other."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from ..data.checks import MOST, check_flag, check_list, check_mapping, check_seed, plain, shown
from ..data.features import places
from ..data.observations import as_points, observe
from ..data.points import Observations, Points
from ..data.weighting import as_weights
from ..datasets import Dataset
from ..inference.fit import Fit, complaints, fit, fit_quietly, held_fixed, integrated_out
from ..inference.fixing import conditioned, holding
from ..inference.methods import choice, in_full, method_named
from ..inference.ordering import numbered_alike
from ..inference.task import FitWarning, Status
from ..model.conjugate import ConjugatePriors
from ..model.program import MixtureModel
from .posteriors import posterior_scores, reference_of
from .record import Request
from .result import Comparison
from .scores import scores_of, table_of

OF_DATA = ("sample_weight", "missing", "labels", "dtype", "device")  # that all are told alike


def compare(
    model: MixtureModel,
    data: Any,
    methods: Sequence[str] = ("kmeans", "em", "map", "svi", "gibbs"),
    *,
    sample_weight: Any = None,
    missing: str | None = None,
    labels: Any = None,
    seed: int = 0,
    test_size: float | None = None,
    progress: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> Comparison:
    """Fit a model to the same data by several methods, and compare the results.

    All methods have the same prior. Where the model leaves it open and one of them needs a
    conjugate prior (gibbs), it is the default `ConjugatePriors` for all.

    A method that fails does not stop the others: the table has the reason in its row, and so for
    methods that an interrupt (Ctrl-C) kept from running. Warnings of fits become notes.

    Args:
        model: the model, also one whose sites `pyro.condition` holds.
        data: a `Dataset`, or points of shape (n, d) as `fit` takes them.
        methods: names of methods, each once.
        sample_weight: how often each point counts, shape (n,), in every fit and in every number of
            the table; None takes those of the `Dataset`, if it has some. Held-out points keep
            theirs; points that are drawn from a known truth count once.
        missing: what to do where values of the data are missing, as `fit` has it.
        labels: components that points are known to come from, as `fit` has them, which all methods
            are told; the labels of a `Dataset` are told to none. Points that are held out, or drawn
            from a known truth, have none.
        seed: seed of every fit and of the held-out data.
        test_size: how many points are held out, as a share of n or as a number. Of data with a
            known truth, that many others are drawn from it (n, if None); of other data, they are
            taken out at random (none, if None).
        progress: whether each fit shows a progress bar on standard error.
        options: options of single methods, by the names that `methods` has.
        dtype: floating-point type of the fits' work on points, as `fit` takes it.
        device: torch device of the fits.

    Raises:
        ValueError: if the data, the model, a name or the size is not valid.

    Example:
        >>> from gmm_pyro.datasets import bimodal
        >>> comparison = compare(MixtureModel(2), bimodal(), methods=["kmeans", "em"])
        >>> float(comparison.table.loc["em", "ari"])
        1.0
    """
    (model, conditions), seed = conditioned(model), check_seed(seed)
    common = {"seed": seed, "progress": check_flag("progress", progress)}
    entries = _entries(methods, _options(options), common)
    request = Request(model, tuple(e.name for e in entries), seed, test_size, _options(options))
    model = _with_one_prior(held_fixed(model), entries)
    dataset = _dataset(data, model.feature_names, sample_weight)
    train, held_out, rows_fitted = _split(dataset, test_size, seed)
    points = _labelled(dataset.points, data, labels, model.n_components).subset(rows_fitted)
    observations = observe(  # bad data are no method's failure
        points,
        n_components=model.n_components,
        sample_weight=train.sample_weight,
        dtype=dtype,
        device=device,
        missing=missing or "integrate",
    )
    if missing is None and observations.has_holes:
        warnings.warn(integrated_out(observations), FitWarning, stacklevel=2)
    model = holding(model, conditions, observations)
    attempts = _attempts(entries, model, observations)
    fits = {name: attempt.fit for name, attempt in attempts.items() if attempt.fit}
    rows = {e.name: {"method": e.method, "status": attempts[e.name].status} for e in entries}
    reference = reference_of(fits)
    for name, scores in _scored(fits, reference, train, held_out):
        rows[name] |= scores
    return Comparison(
        table=table_of(rows),
        fits=fits,
        dataset=train,
        held_out=held_out,
        notes={name: attempt.notes for name, attempt in attempts.items() if attempt.notes},
        reference=reference,
        interrupted=any(attempt.interrupted for attempt in attempts.values()),
        request=request,
    )


def _scored(
    fits: Mapping[str, Fit], reference: str | None, train: Dataset, held_out: Dataset | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """How good each fit is, and its posterior beside that of the reference."""
    exact = None if reference is None else fits[reference]
    for name, found in fits.items():
        scores = scores_of(found, train, held_out)
        yield name, {**scores, **posterior_scores(found, exact, train.truth)}


# ---------------------------------------------------------------------- methods


@dataclass(frozen=True)
class Entry:
    """A method to be run, by the name that it was asked for with."""

    name: str
    method: str
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Attempt:
    """What came of an entry."""

    status: str
    fit: Fit | None = None
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def renumbered(self, fit: Fit) -> Attempt:
        """The same with its fit in another numbering, which its status and notes speak of."""
        told = set() if self.fit is None else set(complaints(self.fit))
        now = tuple(complaints(fit))
        others = tuple(note for note in self.notes if note not in told)
        return replace(self, status=_status(fit), fit=fit, notes=now + others)


NOT_RUN = Attempt("not run: interrupted", interrupted=True)


def _entries(
    methods: Sequence[str], options: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any]
) -> list[Entry]:
    """The methods to be run; every name is checked before the first one is."""
    names = _names(methods)
    for name, own in options.items():
        if name not in names:
            raise ValueError(f"options are for {name!r}, which is not among {', '.join(names)}")
        if of_all := next((option for option in OF_DATA if option in own), None):
            raise ValueError(f"{of_all} is no option of one method: it is compare's own")
    found = {name: in_full(name, {**common, **options.get(name, {})}) for name in names}
    for method, _ in found.values():
        method_named(method)  # refuses what is none
    return [Entry(name, *parts) for name, parts in found.items()]


def _names(methods: Any) -> list[str]:
    """Names of methods, each once."""
    names = [methods] if isinstance(methods, str) else check_list("methods", methods, "names")
    if odd := [name for name in names if not isinstance(name, str)]:
        raise TypeError(f"methods must hold names of methods, got {shown(odd[0])}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"methods must hold one or more different names, got {names}")
    return names


def _options(options: Any) -> dict[str, dict[str, Any]]:
    """Options of single methods, by name."""
    if options is None:
        return {}
    given = check_mapping("options", options, "options by the name of the method")
    return {
        name: dict(check_mapping(f"options of {shown(name)}", own, "values by name"))
        for name, own in given.items()
    }


def _with_one_prior(model: MixtureModel, entries: list[Entry]) -> MixtureModel:
    """The model with the default prior of the pickiest method, so that all have the same one."""
    if model.priors is None and any(method_named(entry.method).conjugate for entry in entries):
        return replace(model, priors=ConjugatePriors())
    return model


# ---------------------------------------------------------------------- data


def _dataset(data: Any, names: tuple[str, ...] | None, sample_weight: Any) -> Dataset:
    """The data and their weights, with the features that the model's priors are for, if named."""
    if not isinstance(data, Dataset):
        if sample_weight is None and isinstance(data, Observations):
            sample_weight = data.sample_weight
        data = _of_points(as_points(data, feature_names=names, missing="integrate"))
    if sample_weight is not None:
        weight = as_weights(sample_weight, data.n).cpu()
        data = replace(data, sample_weight=weight)
    order = None if names is None else places(names, data.feature_names, data.name)
    if order is None or order == list(range(data.d)):
        return data
    truth = None if data.truth is None else data.truth.marginal(order)
    found = tuple(data.feature_names[i] for i in order)
    return replace(data, x=data.x[:, order], truth=truth, feature_names=found)


def _of_points(points: Points) -> Dataset:
    if points.measured is not None and points.measured.noise is not None:
        raise ValueError("compare takes no noise: fit the methods one by one, with noise=")
    return Dataset(points.x.cpu(), None, None, "data", points.feature_names)


def _labelled(points: Points, data: Any, labels: Any, n_components: int) -> Points:
    """The points with the labels that are known, if there are any, or those that they came with."""
    if labels is not None:
        return points.labelled(labels, n_components)
    return replace(points, allowed=data.allowed if isinstance(data, Points) else None)


def _split(
    data: Dataset, test_size: float | None, seed: int
) -> tuple[Dataset, Dataset | None, slice | Int[Tensor, "m"]]:
    """The data to be fitted, held-out data of the same kind, and which rows the former are."""
    every = slice(data.n)
    if data.truth is not None:
        count = data.n if test_size is None else _count(test_size, data.n)
        return data, data.held_out(count, seed), every
    if test_size is None:
        return data, None, every
    count = _count(test_size, data.n)
    if count >= data.n:
        raise ValueError(f"test_size must leave points to fit, got {count} of {data.n}")
    order = torch.randperm(data.n, generator=torch.Generator().manual_seed(seed))
    fitted = order[count:].sort().values
    return data.subset(fitted), data.subset(order[:count].sort().values), fitted


def _count(test_size: float, n: int) -> int:
    """A number of points, from a share or a number."""
    size = plain(test_size)
    real = isinstance(size, Real) and not isinstance(size, bool)
    if real and 0 < size < 1:
        return max(1, round(float(size) * n))
    if not real or not 1 <= size <= MOST or size % 1:  # NaN is neither
        raise ValueError(
            "test_size must be a share between 0 and 1, or a whole number of points, "
            f"got {shown(test_size)}"
        )
    return int(size)


# ---------------------------------------------------------------------- one fit


def _attempts(entries: list[Entry], model: MixtureModel, data: Observations) -> dict[str, Attempt]:
    """What came of all entries, the components of all fits in one numbering."""
    attempts: dict[str, Attempt] = {}
    for entry in entries:
        interrupted = any(attempt.interrupted for attempt in attempts.values())
        attempts[entry.name] = NOT_RUN if interrupted else _attempt(entry, model, data)
    fits = {name: attempt.fit for name, attempt in attempts.items() if attempt.fit}
    alike = numbered_alike(fits)
    return attempts | {name: attempts[name].renumbered(fit) for name, fit in alike.items()}


def _attempt(entry: Entry, model: MixtureModel, data: Observations) -> Attempt:
    """A fit, or why there is none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FitWarning)
        try:
            _rehearse(entry)
            result = fit_quietly(model, data, choice(entry.method, entry.options))
        except KeyboardInterrupt:
            return NOT_RUN
        except Exception as error:
            reason = " ".join(str(error).split()) or "no message"
            return Attempt(f"failed: {type(error).__name__}: {reason}")
    notes = (*(str(warning.message) for warning in caught), *complaints(result))
    return Attempt(_status(result), result, notes, result.status is Status.INTERRUPTED)


def _rehearse(entry: Entry) -> None:
    """One step on a few points, so that what a method imports is not counted as its time."""
    method = method_named(entry.method)
    options: dict[str, Any] = {"n_draws": 2} if method.draws else {}
    options |= {"n_warmup": 2} if method.exact else {}
    points = [[0.0], [1.0], [3.0], [4.0]]
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        result = fit(MixtureModel(1), points, entry.method, max_steps=1, **options)
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt


def _status(result: Fit) -> str:
    """How a fit ended, in few words, with what is wrong with the solution."""
    problems = result.diagnostics["problems"]
    words = result.status.name.lower().replace("_", " ")
    return f"{words}; degenerate: {'; '.join(problems)}" if problems else words
