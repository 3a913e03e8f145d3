"""Warnings in words: what went wrong with each method, and what can be done about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..comparison.record import Record
from ..data.words import listed
from ..inference.fit import Fit
from ..inference.methods import METHODS
from ..inference.svi import GuideOptions
from ..inference.task import Status
from .searches import by_search, told_close
from .tables import UNTRUSTED

AMBIGUOUS = 0.05  # share of draws without a clear labelling, from which labels mean little

EXACT = [name for name, row in METHODS.items() if row.exact and not row.through_pyro]
PROBLEMS = {  # words in a sentence of the diagnosis, and what to do
    "no point": "Fewer components may be enough; else raise n_starts, so that more starting values "
    "are tried.",
    "singular": "Take a method with priors, as map; or a family with fewer parameters, as 'diag' "
    "or 'tied'; or raise covariance_floor. Repeated rows in the data do this, too.",
    "too thin": "Leave out features that follow from others, and points that lie very far away; in "
    "float32, take dtype='float64'.",
    "no numbers": "Leave out points that lie very far away, and features that follow from others; "
    "in float32, take dtype='float64'.",
    "single point": "Look at that point: it may be an outlier, or a value that data were rounded "
    "to. Else take fewer components, or raise n_starts.",
    "all points are in one component": "The data may have one cluster only; else raise n_starts, "
    "or give a start.",
}
SINGULAR_ANYWAY = {  # of methods that the floor binds at their starts only
    "singular": "Take a prior whose scales keep away from zero (map has priors, gradient has "
    "none), or fewer components, or a family with fewer parameters, as 'diag' or 'tied'. Repeated "
    "rows in the data do this, too.",
}
FAILURES = {  # words in an error, and what to do
    "conjugate prior": "Leave priors open, or give ConjugatePriors() to all methods: every one "
    "takes them.",
    "ImportError": "Install what is missing, and compare again.",
    "ModuleNotFound": "Install what is missing, and compare again.",
    "OptionError": "Leave that option out, or correct its name.",
    "MemoryError": "Fit fewer points, or keep fewer draws.",
}


@dataclass(frozen=True)
class Advice:
    """One warning.

    Attributes:
        method: name of the method, or None where it is about the comparison.
        fact: what happened.
        remedy: what to do about it.
    """

    method: str | None
    fact: str
    remedy: str


def advice_on(comparison: Record) -> list[Advice]:
    """All warnings of a comparison, method by method."""
    found = []
    if comparison.interrupted:
        remedy = "Compare again and let it finish; the methods that had finished are shown."
        found.append(Advice(None, "The comparison was interrupted.", remedy))
    for name, row in comparison.table.iterrows():
        method, fit = str(name), comparison.fits.get(str(name))
        if fit is None:
            found.append(_failure(method, str(row["status"])))
            continue
        notes = comparison.notes.get(method, ())
        told = *_status(fit), *_problems(fit), *_modes(fit), *_draws(fit, row), *_rest(fit, notes)
        found += [Advice(method, fact, remedy) for fact, remedy in told]
    return [*found, *_close(comparison)]


def advice_on_fit(fit: Fit) -> list[Advice]:
    """What a fit says of itself: how it ended, whether it is degenerate, what it leaves out."""
    return [Advice(None, *told) for told in (*_status(fit), *_problems(fit), *_modes(fit))]


def _close(comparison: Record) -> Iterator[Advice]:
    """Of searches whose best solution is hardly better than another: once for all who share it."""
    for search, names in by_search(comparison).items():
        if (fact := told_close(search)) is not None:
            yield Advice(
                listed(names),
                fact,
                "Look whether what you conclude is the same for them; draws from the posterior "
                "weigh them. Fewer components may leave one.",
            )


def _failure(method: str, status: str) -> Advice:
    """Of a method that has no fit."""
    if status.startswith("not run"):
        return Advice(method, "It was not run, because of the interrupt.", "Compare again.")
    reason = status.removeprefix("failed: ")
    default = "Mend what the message names, or leave the method out; the others stand as they are."
    return Advice(method, f"It failed. {_ended(reason)}", _remedy(reason, FAILURES, default))


def _remedy(trouble: str, known: Mapping[str, str], default: str) -> str:
    """What to do about a trouble, by the first known words that are in it."""
    return next((remedy for words, remedy in known.items() if words in trouble), default)


def _status(fit: Fit) -> Iterator[tuple[str, str]]:
    options = fit.options
    if fit.status is Status.STEP_LIMIT:
        yield (
            f"It stopped at the step limit, after {fit.steps} steps, before it had converged.",
            f"Raise max_steps (it was {options.max_steps}), or tolerance (it was "
            f"{options.tolerance:g}).",
        )
    elif fit.status is Status.DIVERGED:
        yield (
            "It diverged: its objective is no longer finite, and the last finite state is shown.",
            _steadier(fit),
        )
    elif fit.status in (Status.UNMIXED, Status.STUCK, Status.COLLAPSED):
        fact, _, remedy = fit.message.partition("; ")
        yield _ended(f"It {fact}"), _ended(remedy[:1].upper() + remedy[1:])
    elif fit.status is Status.INTERRUPTED:
        yield "It was interrupted; the best state so far is shown.", "Run it again to its end."


def _steadier(fit: Fit) -> str:
    """What may help a fit that has diverged."""
    method = METHODS[fit.method]
    if isinstance(fit.options, GuideOptions):
        return "Lower rate, or take guide='normal'."
    first = "Raise covariance_floor" if method.floored else "Try another start or seed"
    first = "Lower rate" if method.minibatches and method.likeliest else first
    return f"{first}, and look for columns on very different scales."


def _problems(fit: Fit) -> Iterator[tuple[str, str]]:
    known = PROBLEMS if METHODS[fit.method].floored else PROBLEMS | SINGULAR_ANYWAY
    default = "Try fewer components, another start or another seed."
    for problem in fit.diagnostics["problems"]:
        remedy = _remedy(problem, known, default)
        yield f"Its solution is degenerate: {_ended(problem)}", remedy


def _modes(fit: Fit) -> Iterator[tuple[str, str]]:
    """What an approximation leaves out of the posterior that it knows of."""
    if fit.found_modes is not None and fit.found_modes.leaves_out_much:
        fact, _, remedy = str(fit.found_modes.in_words()).partition("; ")
        yield _ended(f"It {fact}"), _ended(remedy[:1].upper() + remedy[1:])


def _draws(fit: Fit, row: pd.Series[Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the draws, if there are any."""
    posterior = fit.posterior
    if posterior is None:
        return
    if pd.notna(row["k_hat"]) and row["k_hat"] > UNTRUSTED:
        yield (
            f"Its Pareto k-hat is {row['k_hat']:.2f}, above {UNTRUSTED}: the approximation misses "
            "too much of the posterior for its means and intervals to be trusted.",
            _better_than(fit),
        )
    if row["elpd_worst_k"] > UNTRUSTED:
        yield (
            f"Its leave-one-out has points with a Pareto k-hat up to {row['elpd_worst_k']:.2f}, "
            f"above {UNTRUSTED}: such points are influential, and its ELPD is not reliable.",
            "Look at those points; compare by K-fold or held-out points instead, or take a model "
            "that fits them.",
        )
    if posterior.ambiguous is not None and posterior.ambiguous > AMBIGUOUS:
        yield (
            f"In {posterior.ambiguous:.0%} of its draws two components could as well be exchanged, "
            "so numbers of single components mean little.",
            "Ask what needs no labels: co_clustering, partition, predictive_density. Fewer "
            "components may be enough.",
        )


def _better_than(fit: Fit) -> str:
    """What comes closer to the posterior than an approximation."""
    is_normal = isinstance(fit.options, GuideOptions) and fit.options.guide == "normal"
    richer = "Take guide='multivariate', or " if is_normal else "Take "
    return f"{richer}the exact samplers {listed(EXACT)}."


def _rest(fit: Fit, notes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Warnings that the status and the diagnosis do not say."""
    said = fit.message, "found a degenerate solution", "describes "
    known = tuple(f"{fit.method} {words}" for words in said)
    for note in notes:
        if not note.startswith(known):
            yield f"It warned: {_ended(note)}", "Read the warning; the fit stands as it is."


def _ended(text: str) -> str:
    """A sentence with its full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
