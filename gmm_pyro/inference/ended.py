"""What has come of a method, in the user's terms: its result, and how it has ended."""

from __future__ import annotations

import time

import torch

from ..mixture.value import GaussianMixture
from .diagnosis import diagnose
from .fixing import mixture_holding, posterior_holding
from .result import Result
from .soundness import Soundness
from .task import Options, Outcome, Task


def result_of(
    task: Task[Options],
    outcome: Outcome,
    surplus: frozenset[int] | None,
    rule: Soundness | None,
    started: float,
) -> Result:
    """The outcome in the user's terms, with what is wrong with it.

    Args:
        task: what was asked for.
        outcome: what the method has come to.
        surplus: components that may be empty; None of a method without priors.
        rule: what makes a solution sound, of methods that look for the likeliest.
        started: when the seconds begin.
    """
    observations, family = task.observations, task.model.family
    mixture = GaussianMixture.from_parameters(
        family,
        outcome.parameters,
        dtype=observations.dtype,
        feature_names=observations.feature_names,
        noise_component=task.model.noise,
    )
    fixed, posterior = task.model.fixed, outcome.posterior
    if fixed is not None:
        mixture = mixture_holding(fixed, mixture)
        posterior = None if posterior is None else posterior_holding(fixed, posterior)
    diagnosis = diagnose(
        *(observations, family, outcome.parameters, task.floor, surplus or (), rule), fixed=fixed
    )
    modes = {} if outcome.modes is None else outcome.modes.figures()
    kernel = {"kernel": "compiled" if observations.compiled else "torch"}
    return Result(
        model=task.model,
        method=task.name,
        mixture=mixture,
        posterior=posterior,
        history=torch.tensor(outcome.history, dtype=torch.float64),
        objective=outcome.objective,
        status=outcome.status,
        message=_message(outcome),
        steps=outcome.steps,
        seconds=time.perf_counter() - started,
        seed=task.options.seed,
        options=task.options,
        diagnostics={**vars(diagnosis), **outcome.diagnostics, **modes, **kernel},
        observations=observations,
        own_labels=outcome.own_labels,
        surplus=surplus or frozenset(),
        uses_priors=surplus is not None,
        search=outcome.search,
        found_modes=outcome.modes,
        variational=outcome.variational,
    )


def _message(outcome: Outcome) -> str:
    """How the fit has ended, and what it leaves out."""
    message = outcome.message or outcome.status.message
    left_out = outcome.modes.in_words() if outcome.modes is not None else None
    return message if left_out is None else f"{message}; {left_out}"
