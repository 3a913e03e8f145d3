"""How many components, and of what shape: one question, asked of all models at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from tqdm import tqdm

from ..data.checks import check_choice, check_flag, check_seed
from ..data.features import check_names
from ..data.observations import observe
from ..data.points import Observations
from ..inference.methods import choice, method_named
from ..mixture.noise_component import NoiseComponent, beside_noise
from ..reduction.decision import decided
from .by_ladders import by_ladders
from .cell import Cell, complain, refuse_if_all_failed
from .criteria import CRITERIA
from .measuring import MEASURES
from .one_by_one import MEASURES as OF_FITS
from .one_by_one import Measure, nothing, one_by_one
from .plan import (
    Plan,
    as_written,
    check_needs,
    families_of,
    labelled,
    noise_of,
    numbers_of,
    times_of,
)
from .selection import Selection

STEPS, SETS = 200, 30  # that a family takes, often, and sets of components that take one at once


def select(
    x: Any,
    k: Iterable[int] | int = range(1, 10),
    covariance: str | Sequence[str] = "all",
    criterion: str = "bic",
    method: str = "em",
    *,
    priors: Any = None,
    noise_component: NoiseComponent | str | None = None,
    n_folds: int | None = None,
    n_resamples: int | None = None,
    seed: int = 0,
    sample_weight: Any = None,
    feature_names: Sequence[str] | None = None,
    missing: str = "integrate",
    labels: Any = None,
    fixed: Mapping[str, Any] | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    progress: bool = False,
    **options: Any,
) -> Selection:
    """Fit mixtures of several numbers of components and families, and say which is the best.

    By EM, all sizes of a family are found together, from starts of their own, from each other by
    splits and mergers, and from the families within; what rests on components of few points is
    marked, and is never the best. Other methods are run model by model, each as `gmm_pyro.fit` runs
    it, and so is EM with a component of noise, labels or fixed parameters. A model whose fit raises
    a numerical error is marked as failed, which warns.

    Args:
        x: points, as `gmm_pyro.fit` has them.
        k: the numbers of components.
        covariance: a covariance family, several, or "all" that the method takes.
        criterion: "bic", "aic" or "icl"; "cross_validation", the mean log density of points that
            are held out, in nats; "stability", the mean adjusted Rand index of the clusterings by
            fits to pairs of resamples, which a single component has none of, and which few clusters
            are favoured by; "elpd" (leave-one-out) of methods with draws; "evidence" of those that
            have it.
        method: name of the method.
        priors: of every model, as `MixtureModel` has them, for methods that have some; their own,
            which know the number of components, if None. Evidences are of one prior for all only
            where it is given with its units (`ConjugatePriors(scale=...)`).
        noise_component: what points are in every model that belong to none of its components, as
            `MixtureModel` has it. What it takes from the data is counted by BIC, and is taken from
            all points, also where some of them are held out.
        n_folds: parts of the points that cross-validation holds out in turn; 5, if None. All models
            are searched anew without each of them, so that it takes so many times as long.
        n_resamples: resamples of stability, all points with random weights; 10, if None. All models
            are searched anew for each of them.
        seed: of all random choices.
        sample_weight: non-negative weights of the points, or None.
        feature_names: d column names, if x has none.
        missing: what to do with values that are NaN, as `gmm_pyro.fit` has it.
        labels: components that points are known to come from, as `gmm_pyro.fit` has them: numbers
            from 0 on, of components that every model has.
        fixed: what stays as it is, as `gmm_pyro.fit` has it; weights, means and covariances may be
            those of the first components alone, with the others free.
        dtype: floating-point type of the work on points.
        device: torch device.
        progress: whether to show a progress bar on standard error.
        **options: the method's options; for EM, `n_starts` of each number, `tolerance`,
            `max_steps`, `covariance_floor` and `least_points`.

    Returns:
        The selection: its `best` fit, its `table`, its `plot`.

    Raises:
        ValueError: if the data, a name, or an option's value is not valid, or the criterion needs
            what the method does not have; the first error of a fit, if all have failed.
        OptionError: if the method has no such option.

    Example:
        >>> from gmm_pyro.datasets import bimodal
        >>> select(bimodal().x, k=range(1, 4), covariance=["full", "tied"]).best_cell.n_components
        2
    """
    started = time.perf_counter()
    numbers, row = numbers_of(k), method_named(method)
    kind = CRITERIA[check_choice("criterion", criterion, CRITERIA)]
    check_needs(criterion, method)
    chosen = choice(method, {**options, "seed": check_seed(seed)})  # refuses what it does not know
    names = None if feature_names is None else check_names(feature_names)
    weights = {"sample_weight": sample_weight, "feature_names": names}
    observations = observe(x, missing=missing, dtype=dtype, device=device, **weights)
    observations = beside_noise(labelled(observations, labels, numbers), None)
    families = families_of(covariance, observations.d, every=row.by_m_steps)
    noise = noise_of(noise_component, observations)
    plan = Plan(numbers, families, chosen, noise, fixed, priors)
    plan.check(options, observations, kind)
    times = times_of(kind, observations.n_weighted, n_folds=n_folds, n_resamples=n_resamples)
    silent, total = not check_flag("progress", progress), len(families) * (1 + times)
    with tqdm(total=total, desc="select", unit="family", disable=silent) as bar:
        cells = _measured(observations, plan, options, criterion, times, bar)
    complain(cells)
    seconds = time.perf_counter() - started
    told = as_written(
        **{"priors": priors, "noise_component": noise_component, "n_folds": n_folds},
        **{"n_resamples": n_resamples, "missing": missing, "labels": labels, "fixed": fixed},
        dtype=dtype,
    )
    return Selection(observations, tuple(cells), criterion, method, options, seed, seconds, told)


def _measured(
    observations: Observations,
    plan: Plan,
    options: Mapping[str, Any],
    criterion: str,
    times: int,
    bar: tqdm[Any],
) -> list[Cell]:
    """The cells of all models, with the criterion."""
    cells = _fitted(observations, plan, options, OF_FITS.get(criterion, nothing), bar)
    refuse_if_all_failed(cells)
    if criterion not in MEASURES:
        return cells

    def fitting(data: Observations) -> list[Cell]:
        return _fitted(data, plan, options, nothing, bar)

    return MEASURES[criterion](cells, observations, fitting, times, plan.choice.options.seed)


def _fitted(
    observations: Observations,
    plan: Plan,
    options: Mapping[str, Any],
    measure: Measure,
    bar: tqdm[Any],
) -> list[Cell]:
    """The cells of all models."""
    if not plan.by_ladder(observations):
        return one_by_one(observations, plan, measure, bar.update)
    passes, most = STEPS * len(plan.families), max(plan.numbers)
    observations = decided(observations, plan.families[0], most, passes, SETS)
    return by_ladders(observations, plan, options, bar.update)
