"""`compare`: the same data and model, one method after the other."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..data.checks import check_flag, check_list, check_mapping, check_seed, shown
from ..data.observations import observe
from ..data.points import Observations
from ..data.words import counted
from ..inference.fit import Fit, fit, fit_quietly
from ..inference.fixing import conditioned, holding_all
from ..inference.methods import choice, in_full, method_named
from ..inference.ordering import numbered_alike
from ..inference.task import FitWarning, Status
from ..inference.warned import complaints, held_fixed, integrated_out
from ..model.conjugate import ConjugatePriors
from ..model.program import MixtureModel
from .posteriors import posterior_scores, reference_of
from .record import Request
from .result import Comparison
from .sample import Sample, sample_of, split
from .scores import scores_of, table_of

OF_ALL = (  # what all methods are told alike
    *("sample_weight", "missing", "noise", "projection", "labels", "fixed", "dtype", "device"),
)


def compare(
    model: MixtureModel,
    data: Any,
    methods: Sequence[str] = ("kmeans", "em", "map", "svi", "gibbs"),
    *,
    sample_weight: Any = None,
    missing: str | None = None,
    noise: Any = None,
    projection: Any = None,
    labels: Any = None,
    fixed: Mapping[str, Any] | None = None,
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
        noise: by how much values may be off, as `fit` has it, in every fit and in the densities of
            measurements. Held-out points keep theirs; points that are drawn from a known truth are
            exact.
        projection: what the data show of the features of the mixture, as `fit` has it. The truth of
            a `Dataset`, which is of what it shows, is then not known.
        labels: components that points are known to come from, as `fit` has them, which all methods
            are told; the labels of a `Dataset` are told to none. Points that are held out, or drawn
            from a known truth, have none.
        fixed: what stays as it is, by name, as `fit` has it; methods that hold nothing fail.
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
    of_each = _options(options)
    entries = _entries(methods, of_each, common)
    told = _given(noise=noise, projection=projection, labels=labels, fixed=fixed)
    names = tuple(entry.name for entry in entries)
    request = Request(model, names, seed, test_size, of_each, told)
    model = _with_one_prior(held_fixed(model), entries)
    measured = {"sample_weight": sample_weight, "noise": noise, "projection": projection}
    sample = sample_of(data, model.feature_names, **measured).labelled(labels, model.n_components)
    train, held_out = split(sample, test_size, seed)
    observations = _observed(train, model.n_components, missing, dtype=dtype, device=device)
    model = holding_all(model, conditions, fixed, observations)
    attempts = _attempts(entries, model, observations)
    fits = {name: attempt.fit for name, attempt in attempts.items() if attempt.fit}
    rows = {e.name: {"method": e.method, "status": attempts[e.name].status} for e in entries}
    reference = reference_of(fits)
    for name, scores in _scored(fits, reference, train, held_out):
        rows[name] |= scores
    return Comparison(
        table=table_of(rows),
        fits=fits,
        dataset=train.dataset,
        held_out=None if held_out is None else held_out.dataset,
        notes=_notes(attempts, held_out),
        reference=reference,
        interrupted=any(attempt.interrupted for attempt in attempts.values()),
        request=request,
    )


def _given(**arguments: Any) -> tuple[str, ...]:
    """Names of the arguments that are not left out."""
    return tuple(name for name, value in arguments.items() if value is not None)


def _notes(attempts: Mapping[str, Attempt], held_out: Sample | None) -> dict[str, tuple[str, ...]]:
    """What there is to say of each method, if there is anything."""
    found = {
        name: (*attempt.notes, *_beyond_noise(attempt.fit, held_out))
        for name, attempt in attempts.items()
    }
    return {name: notes for name, notes in found.items() if notes}


def _beyond_noise(result: Fit | None, held_out: Sample | None) -> Iterator[str]:
    """What held-out points that the noise does not reach do to scores, in a sentence."""
    noise = None if result is None else result.mixture.noise_component
    if noise is None or held_out is None:
        return
    points = held_out.points
    count = int((noise.log_density(points) == -torch.inf).sum())
    if count:
        yield (
            f"{count} of {counted(points.n, 'held-out point')} "
            f"{'is' if count == 1 else 'are'} outside of the noise component's box, where only "
            "clusters have a density: the held-out score may rest on these"
        )


def _observed(sample: Sample, n_components: int, missing: str | None, **place: Any) -> Observations:
    """What all methods are to fit: data that are bad are no method's failure."""
    observations = observe(
        sample.points,
        n_components=n_components,
        sample_weight=sample.dataset.sample_weight,
        missing=missing or "integrate",
        **place,
    )
    if missing is None and observations.has_holes:
        warnings.warn(integrated_out(observations), FitWarning, stacklevel=3)
    return observations


def _scored(
    fits: Mapping[str, Fit], reference: str | None, train: Sample, held_out: Sample | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """How good each fit is, and its posterior beside that of the reference."""
    exact = None if reference is None else fits[reference]
    for name, found in fits.items():
        scores = scores_of(found, train, held_out)
        yield name, {**scores, **posterior_scores(found, exact, train.dataset.truth)}


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
        return replace(self, status=status_of(fit), fit=fit, notes=now + others)


NOT_RUN = Attempt("not run: interrupted", interrupted=True)


def _entries(
    methods: Sequence[str], options: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any]
) -> list[Entry]:
    """The methods to be run; every name is checked before the first one is."""
    names = _names(methods)
    for name, own in options.items():
        if name not in names:
            raise ValueError(f"options are for {name!r}, which is not among {', '.join(names)}")
        if of_all := next((option for option in OF_ALL if option in own), None):
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
    return Attempt(status_of(result), result, notes, result.status is Status.INTERRUPTED)


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


def status_of(result: Fit) -> str:
    """How a fit ended, in few words, with what is wrong with the solution."""
    problems = result.diagnostics["problems"]
    words = result.status.name.lower().replace("_", " ")
    return f"{words}; degenerate: {'; '.join(problems)}" if problems else words
