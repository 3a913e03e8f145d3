"""The methods of this package as methods of a study."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.checks import check_choice
from ..disk.untrusted import content_named
from ..inference.fit import fit
from ..inference.methods import choice, method_named
from ..inference.task import FitWarning
from ..model.conjugate import ConjugatePriors
from ..model.prior_tables import check_tables, priors_from
from ..model.program import MixtureModel
from .answers import Answer, of_fit
from .entries import Entry, Task, few_points

FEW = {"max_steps": 1}
PRIORS: dict[str, Callable[[], Any]] = {"conjugate": ConjugatePriors, "default": lambda: None}


@dataclass(frozen=True, eq=False)
class Ours(Entry):
    """A method by its name, with a model of its own.

    Attributes:
        method: name of the method, the engine with it.
        covariance: covariance family.
        priors: of the model, also by a word, or tables of words and numbers, as a file of priors
            has them; None for the method's default ones.
    """

    method: str = "em"
    covariance: str = "full"
    priors: Any = None

    def __post_init__(self) -> None:
        """Refuse mistakes in words before the study begins."""
        super().__post_init__()
        choice(self.method, self.options)
        k = self.n_components if isinstance(self.n_components, int) else 2
        priors = self.priors
        if isinstance(priors, Mapping):
            with content_named("priors", ValueError):
                check_tables(priors, "the table")
            priors = None  # which need features
        MixtureModel(k, self.covariance, priors_of(priors, (), k))

    def run(self, task: Task) -> Answer:
        """A fit, which does not warn: its reason says what it would warn of."""
        return self._run(task, self.options)

    def _run(self, task: Task, options: Mapping[str, Any]) -> Answer:
        data = task.data
        k = self.k(data)
        priors = priors_of(self.priors, data.feature_names, k)
        model = MixtureModel(k, self.covariance, priors)
        start = {} if task.start is None else {"start": task.start}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            found = fit(
                model,
                data.points,
                self.method,
                sample_weight=data.sample_weight,
                missing="integrate",
                **{"seed": task.seed, **start, **options},
            )
        return of_fit(found, data)

    @property
    def facts(self) -> dict[str, Any]:
        """All that the method is told, its model among it."""
        return {**super().facts, "covariance": self.covariance, "priors": self.priors}

    def rehearse(self) -> None:
        """One step, or a few draws."""
        method = method_named(self.method)
        few = FEW | ({"n_draws": 8} if method.draws else {})
        few |= {"n_warmup": 2} if method.exact else {}
        self._run(Task(few_points(), 0), {**self.options, **few})


def priors_of(value: Any, names: Sequence[str], k: int) -> Any:
    """Priors, from themselves, a word, or tables for features of these names and k components.

    Raises:
        ValueError: if they are none.
    """
    if isinstance(value, Mapping):
        return priors_from(value, names, k)
    if not isinstance(value, str):
        return value
    return PRIORS[check_choice("priors", value, PRIORS)]()
