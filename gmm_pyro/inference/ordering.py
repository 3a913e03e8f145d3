"""Which component is called 0: one stable numbering of a fit, and one of all fits of a comparison.

A likelihood does not depend on it, so nothing here changes what a fit has found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from ..metrics import match_components
from ..mixture.value import GaussianMixture
from ..model.numbering import exchangeable_classes, told_apart
from ..posterior.relabelling import permuted
from ..posterior.sizes import FILLED
from .diagnosis import diagnose
from .result import Result
from .starts.starting import is_given, starting_parameters
from .task import Options, Task

Fitted = TypeVar("Fitted", bound=Result)


def in_stable_order(fit: Fitted) -> Fitted:
    """The fit with its components in rising order of their means, of the first feature first.

    A start that is given numbers the components itself, also of chains that exchange them, and so
    do a prior and labels that tell them apart: only those that these do not are put in order.
    """
    classes = _classes(fit)
    if is_given(fit.options.start) and not _has_a_number_of_its_own(fit):
        drawn = fit.posterior is not None and not fit.posterior.independent
        if not drawn or len(set(classes)) > 1:
            return fit
        return renumbered(fit, match_components(fit.mixture, _start_of(fit)))
    rows = fit.mixture.means.tolist()
    places = [[j for j, c in enumerate(classes) if c == number] for number in set(classes)]
    order = [0] * len(classes)
    for alike in places:
        for place, i in zip(alike, sorted(alike, key=lambda i: rows[i]), strict=True):
            order[place] = i
    return renumbered(fit, order)


def _has_a_number_of_its_own(fit: Result) -> bool:
    """Whether the mixture has the components with points alone, of draws that may have others."""
    return fit.posterior is not None and FILLED in fit.posterior.draws


def _start_of(fit: Result) -> GaussianMixture:
    """The start that a fit was given."""
    family, task = fit.model.family, _task_of(fit)
    start = starting_parameters(
        *(fit.options.start, fit.observations, family, fit.model.n_components),
        n_starts=1,
        floor=task.floor,
        generator=task.generator(),
    )
    return GaussianMixture.from_parameters(family, start)


def _task_of(fit: Result) -> Task[Options]:
    return Task(fit.method, fit.model, fit.observations, fit.options)


def numbered_alike(fits: Mapping[str, Fitted]) -> dict[str, Fitted]:
    """All fits in the numbering of one: a component of one number is the same cluster in all.

    It is that of the likeliest fit among those whose numbering means something, if there are any:
    by a start that was given, or a prior that tells components apart. These keep theirs.
    """
    if not fits:
        return {}
    meant = [name for name, fit in fits.items() if _has_a_meaning(fit)]
    best = max(meant or fits, key=lambda name: _mean_log_density(fits[name]))
    like = fits[best].mixture
    return {
        name: fit
        if name in (best, *meant) or fit.mixture.n_components != like.n_components
        else renumbered(fit, match_components(fit.mixture, like))
        for name, fit in fits.items()
    }


def renumbered(fit: Fitted, order: Sequence[int]) -> Fitted:
    """The fit with component order[j] in place j.

    Draws with other numbers of components than the mixture's are as they are.
    """
    if list(order) == sorted(order):
        return fit
    mixture, posterior, own = fit.mixture.permute(order), fit.posterior, fit.own_labels
    if posterior is not None and not _has_a_number_of_its_own(fit):
        shape = posterior.n_chains, posterior.n_draws, -1
        posterior = permuted(posterior, torch.tensor(order).expand(shape))
    if own is not None:
        own = torch.tensor(order, device=own.device).argsort()[own]
    model, floor = fit.model, _task_of(fit).floor
    diagnosis = diagnose(
        *(fit.observations, model.family, mixture.parameters, floor, fit.surplus),
        fixed=model.fixed,
    )
    diagnostics = {**fit.diagnostics, **vars(diagnosis)}
    q = None if fit.variational is None else fit.variational.permuted(order)
    return replace(
        fit,
        mixture=mixture,
        posterior=posterior,
        own_labels=own,
        diagnostics=diagnostics,
        variational=q,
    )


def _classes(fit: Result) -> tuple[int, ...]:
    """Classes of components that nothing tells apart."""
    if _has_a_number_of_its_own(fit):
        return (0,) * fit.mixture.n_components
    if not fit.uses_priors:
        return told_apart(fit.model, fit.observations)
    return exchangeable_classes(fit.model.log_density(fit.observations))


def _has_a_meaning(fit: Result) -> bool:
    known = not _has_a_number_of_its_own(fit)
    return (known and is_given(fit.options.start)) or len(set(_classes(fit))) > 1


def _mean_log_density(fit: Result) -> float:
    value = float(fit.mixture.log_prob(fit.observations).mean())
    return value if value == value else -torch.inf
