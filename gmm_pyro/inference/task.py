"""What a method is given, what it returns, and the loop that all iterative methods share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any, Generic, Self, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from ..covariance import Parameters
from ..data.checks import check_choice, check_count, check_flag, check_number
from ..data.points import Observations
from ..keeping.loops import resumed
from ..model.program import MixtureModel
from ..posterior import Posterior
from ..running.seeds import Stream
from ..running.watching import shown_beside
from .modes.found import FoundModes
from .searched import Searched
from .variational.record import Variational

State = TypeVar("State")
Other = TypeVar("Other")
Chosen = TypeVar("Chosen", bound="Options", covariant=True)  # options of a method

SEARCHES = ("starts", "moves", "thorough")
LARGEST = {  # more would not be held in memory
    **dict.fromkeys(("n_starts", "n_chains", "n_particles"), 10**6),
    "n_draws": 10**7,
}
TYPICAL = 100  # steps of a fit, where the limit is far
ROUNDING = 1e-15  # relative change of an objective that is no change
LEVEL = 10  # steps that come no higher than as many before them, after which there is no way up


class FitWarning(UserWarning):
    """A fit that did not converge, is degenerate, or does not do all that it was asked for."""


class Status(Enum):
    """How a fit ended; the value is a sentence about it."""

    CONVERGED = "converged"
    STEP_LIMIT = "stopped at the step limit before it converged; raise max_steps or tolerance"
    DIVERGED = "diverged: the objective is no longer finite; the last finite state is kept"
    STUCK = (
        "found no way up where the slope is not level: the objective has an edge there, or is too "
        "steep; try another start or seed"
    )
    COLLAPSED = (
        "is on a spike: a covariance shrinks without end onto points that are equal, or lie in a "
        "plane, and the objective grows with it; take fewer components, a family with fewer "
        "parameters, or a prior that knows how thin a component can be"
    )
    UNMIXED = "drew chains that disagree or are too short"
    INTERRUPTED = "interrupted; the best state so far is kept"

    @property
    def message(self) -> str:
        """What happened, in words."""
        return self.value


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options common to all methods.

    Attributes:
        seed: seed of every random choice, an integer from 0 to 2**63 - 1.
        start: "several" kinds, or one of "k-means++", "k-means", "random" (responsibilities),
            "random points", "invariant" (k-means++ on invariant coordinates, where groups show
            that no single feature shows) and "agglomeration" (clusters of cheapest merges, as
            mclust starts: see `gmm_pyro.agglomerate`); n labels; or a GaussianMixture.
        n_starts: restarts that are tried as one batch.
        search: "moves" from the best starts to better solutions, which take components from where
            they are hardly missed to where they are; "thorough", the same with ten times as many
            starts and moves until ten or more in a row have failed; or "starts" alone. More is
            never worse. A single start is run to its end, and no moves begin there.
        max_steps: most steps.
        tolerance: gain of the objective that may be left, in nats a point, when a fit stops.
        covariance_floor: smallest eigenvalue of a covariance in units of each feature's variance,
            which is taken to be at most that of ten interquartile ranges: no outlier sets it. The
            floor binds only on a component that would otherwise be thinner; 0 switches it off.
            Methods with a prior, and `gradient`, have it for their starts alone: the diagnostics
            name what falls below.
        least_points: how many points a component of a sound solution of maximum likelihood holds at
            least; `soundness.py` has the rule, and its default, None. What is not sound is never
            preferred to what is, and the diagnostics name it.
        progress: whether to show a progress bar on standard error.
    """

    seed: int = 0
    start: Any = "several"
    n_starts: int = 10
    search: str = "moves"
    max_steps: int = 1000
    tolerance: float = 1e-8
    covariance_floor: float = 1e-6
    least_points: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        self._count(n_starts=1, max_steps=1, seed=0)
        self._measure("tolerance", "covariance_floor")
        self._flag("progress")
        if self.least_points is not None:
            self._count(least_points=1)
        check_choice("search", self.search, SEARCHES)

    def settled(self, model: MixtureModel) -> Self:
        """The same with what depends on the model: a number in the place of None."""
        del model
        return self

    @property
    def reductions(self) -> tuple[int, int]:
        """How many passes over the data a fit takes, about, and of how many sets each is."""
        return min(self.max_steps, TYPICAL), 1

    def _count(self, **smallest: int) -> None:
        """Have options as Python's integers, of at least so much."""
        for name, least in smallest.items():
            number = check_count(name, getattr(self, name), least, LARGEST.get(name))
            object.__setattr__(self, name, number)

    def _measure(self, *names: str, high: float = math.inf, positive: bool = False) -> None:
        """Have options as finite numbers that are not negative."""
        for name in names:
            number = check_number(name, getattr(self, name), high=high, positive=positive)
            object.__setattr__(self, name, number)

    def _flag(self, *names: str) -> None:
        """Have options as Python's truth values."""
        for name in names:
            object.__setattr__(self, name, check_flag(name, getattr(self, name)))


@dataclass(frozen=True, eq=False)
class Task(Generic[Chosen]):
    """A model, its data and the options of one fit.

    Attributes:
        name: what the progress bar says.
        model: the model, with concrete priors if the method uses them.
        observations: the data.
        options: the method's options.
    """

    name: str
    model: MixtureModel
    observations: Observations
    options: Chosen

    @cached_property
    def floor(self) -> Float[Tensor, "d"]:
        """Smallest variance of each feature."""
        return self.options.covariance_floor * self.observations.bulk.square()

    def generator(self, stream: Stream = Stream.SEARCH) -> torch.Generator:
        """A generator of its own for each purpose, on the data's device."""
        seed = stream.seed(self.options.seed)
        return torch.Generator(self.observations.device).manual_seed(seed)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method hands back: the point estimate and how it was reached.

    Attributes:
        parameters: a batch of one parameter set.
        objective: what the method maximised, in nats, at those parameters.
        history: the objective after every step.
        status: how the fit ended.
        steps: number of steps.
        posterior: draws, for methods that have them; none where there is no mode to draw around.
        own_labels: the component of every point, for a method that has labels other than the most
            probable ones.
        message: how the fit ended, in more words than those of the status; "" takes these.
        diagnostics: what the method has to say beside: numbers and short words.
        search: what the search for its start has come to, of methods that begin with one.
        modes: the modes of the posterior that are known, of approximations.
        variational: the factors that variational Bayes has found.
    """

    parameters: Parameters
    objective: float
    history: list[float]
    status: Status
    steps: int
    posterior: Posterior | None = None
    own_labels: Int[Tensor, "n"] | None = None
    message: str = ""
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    search: Searched | None = None
    modes: FoundModes | None = None
    variational: Variational | None = None

    def __post_init__(self) -> None:
        """Whatever the method says of its end, an objective that is no number is none to reach."""
        good = self.status in (Status.CONVERGED, Status.UNMIXED)
        if good and not math.isfinite(self.objective):
            object.__setattr__(self, "status", Status.DIVERGED)


@dataclass(frozen=True, eq=False)
class Run(Generic[State]):
    """Where a loop ended: its best state, the objective along the way, and why it stopped.

    Attributes:
        state: the best state.
        history: the objective at the start and after every block of `stride` steps.
        status: why it stopped.
        stride: steps from one entry of the history to the next.
        search: what the search for its start has come to, if there was one.
    """

    state: State
    history: list[float]
    status: Status
    stride: int = 1
    search: Searched | None = None

    @property
    def steps(self) -> int:
        """Number of steps taken after the start."""
        return (len(self.history) - 1) * self.stride

    @property
    def is_the_last(self) -> bool:
        """Whether no next phase is to follow: after an interrupt, or where there is no solution."""
        return self.status in (Status.INTERRUPTED, Status.COLLAPSED)

    def allows(self, max_steps: int) -> int:
        """Steps that the next phase may take."""
        return 0 if self.is_the_last else max_steps

    def then(self, following: Run[Other]) -> Run[Other]:
        """The next phase, marked as this one if it was the last."""
        status = self.status if self.is_the_last else following.status
        return replace(following, status=status, search=self.search)

    def followed_by(self, leg: Run[State]) -> Run[State]:
        """This and a leg that goes on where it has ended, as one climb."""
        return replace(leg, history=self.history[:-1] + leg.history, search=self.search)

    def outcome(
        self, parameters: Parameters, objective: float | None = None, **more: Any
    ) -> Outcome:
        """What a method hands back that has ended so, at the last objective if none is given.

        `more` are those fields of an outcome that a run has none of.
        """
        return Outcome(
            parameters=parameters,
            objective=self.history[-1] if objective is None else objective,
            history=self.history,
            status=self.status,
            steps=self.steps,
            **{"search": self.search, **more},
        )


def iterate(
    step: Callable[[State], State],
    state: State,
    objective: Callable[[State], float],
    *,
    converged: Callable[[list[float]], bool],
    max_steps: int,
    bar: tqdm[Any],
    stride: int = 1,
    leads_nowhere: Callable[[State], bool] = lambda _: False,
) -> Run[State]:
    """Repeat a step until it has converged, diverged, reached the limit, or is interrupted.

    A step may stand for a block of `stride` steps that the bar counts and the limit limits. It has
    collapsed if it is found to lead nowhere.
    """
    loop = resumed(state, max_steps, stride)
    history = [objective(state), *loop.items]
    status = Status.STEP_LIMIT if math.isfinite(history[0]) else Status.DIVERGED
    state, status = loop.state or (state, status)
    left = max_steps // stride - len(loop.items)
    try:
        if loop.items:
            bar.update(stride * len(loop.items))
        while left > 0 and status is Status.STEP_LIMIT:
            left -= 1
            following = step(state)
            value = objective(following)
            if not math.isfinite(value):
                status = Status.DIVERGED
                break
            state = following
            history.append(value)
            bar.update(stride)
            if leads_nowhere(state):
                status = Status.COLLAPSED
            elif converged(history):
                status = Status.CONVERGED
            loop.keep((state, status), value)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return Run(state, history, status, stride)


def stalled(tolerance: float) -> Callable[[list[float]], bool]:
    """The rule that stops a linearly converging climb within `tolerance` nats of where it leads.

    Successive gains shrink by a ratio ρ, so what is left after a gain g is about g ρ / (1 - ρ):
    Aitken's extrapolation (Böhning et al. 1994). A small last gain alone says little where ρ is
    close to one.

    In float32 rounding may move the objective by more than the tolerance, up and down for ever: the
    climb has stopped, too, where the last steps came no higher than those before them.
    """

    def rule(history: list[float]) -> bool:
        gain = history[-1] - history[-2]
        if abs(gain) <= ROUNDING * abs(history[-1]):
            return True
        if len(history) > 2 * LEVEL and max(history[-LEVEL:]) <= max(history[-2 * LEVEL : -LEVEL]):
            return True
        if abs(gain) > tolerance or len(history) < 3:
            return False
        ratio = gain / (history[-2] - history[-3] or gain)
        return ratio < 1 and gain * ratio / (1 - ratio) <= tolerance

    return rule


@contextmanager
def progress_bar(task: Task[Options]) -> Iterator[tqdm[Any]]:
    """A bar on standard error that counts steps, and partitions of a long one; silent if not asked.

    Its length is the step limit until the fit ends, and the steps taken from then on.
    """
    told: dict[str, Any] = {"unit": "step", "disable": not task.options.progress}
    with tqdm(desc=task.name, total=task.options.max_steps, **told) as bar, shown_beside(bar):
        yield bar
        bar.total = bar.n
        bar.refresh()
