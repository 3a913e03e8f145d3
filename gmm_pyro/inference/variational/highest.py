"""The highest bound that a search finds, run on to convergence on all of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ...running.seeds import Stream
from ..starts.starting import is_given, sample_of
from ..task import Options, Run, Status, Task, iterate, stalled
from .approximation import Factors, VariationalPrior
from .ascent import Ascent, State
from .batches import Batches, Memory
from .search import Search

Bounded = TypeVar("Bounded", State, Memory)


@dataclass(frozen=True, eq=False)
class Highest:
    """Where the highest ascent has ended.

    Attributes:
        factors: q of one set, but for q(z).
        counts: expected numbers of points of the components, shape (1, k).
    """

    factors: Factors
    counts: Float[Tensor, "1 k"]


def highest(
    task: Task[Options], prior: VariationalPrior, bar: tqdm[Any], size: int | None = None
) -> Run[Highest]:
    """The highest bound that is found, on all of the data, run on to convergence.

    Args:
        task: the task.
        prior: of its mixture.
        bar: counts the steps.
        size: points in a minibatch, or None for all.
    """
    options, observations = task.options, task.observations
    renumber = not is_given(options.start) and observations.allowed is None
    whole = Ascent(prior, observations, renumber)
    search = _searched(task, whole, bar)
    climb = search.best.climb
    state, history = climb.state, climb.history[0, :-1].tolist()
    limit = 0 if search.interrupted else max(0, options.max_steps - len(history))
    run: Run[State] | Run[Memory]
    if size is None or size >= observations.n:
        run = _run_on(task, whole.step, state, limit, bar)
    else:
        batches = Batches.of(whole, size, task.generator(Stream.JUDGES))
        run = _run_on(task, batches.passed, batches.begun(state.factors), limit, bar)
    status = Status.INTERRUPTED if search.interrupted else run.status
    values, found = history + run.history, Highest(run.state.factors, run.state.counts)
    return Run(found, values, status, search=search.figures(values[-1]))


def _searched(task: Task[Options], whole: Ascent, bar: tqdm[Any]) -> Search:
    """A search by all of the data, or by a part of very many and then by all."""
    observations, k, part = whole.observations, task.model.n_components, whole.observations
    if not is_given(task.options.start):
        part = sample_of(observations, k, task.generator(Stream.SEARCH))
    search = Search(task, replace(whole, observations=part), bar)
    search.run()
    if part is observations:
        return search
    by_all = Search(task, whole, bar)
    by_all.go_on(search)
    return by_all


def _run_on(
    task: Task[Options],
    step: Callable[[Bounded], Bounded],
    state: Bounded,
    limit: int,
    bar: tqdm[Any],
) -> Run[Bounded]:
    """Steps until the bound has converged."""
    return iterate(
        step,
        state,
        lambda state: float(state.bound[0]),
        converged=stalled(task.options.tolerance * task.observations.total_weight),
        max_steps=limit,
        bar=bar,
    )
