"""How many components, and of what shape: one question, asked of all models at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from ..agglomeration.growing import grow
from ..covariance import CovarianceFamily, Parameters
from ..data.checks import check_choice, check_flag, check_seed
from ..data.features import check_names
from ..data.observations import observe
from ..data.points import Observations
from ..inference.em import EMOptions
from ..inference.methods import choice, method_named
from ..inference.starts.starting import brought_into, k_means_plus_plus, sample_of
from ..inference.task import Task
from ..mixture.noise_component import NoiseComponent, beside_noise
from ..mixture.value import GaussianMixture
from ..model.program import MixtureModel
from ..reduction.assignments import GivenLabels
from ..reduction.theta import anywhere
from ..running.seeds import Stream
from ..running.threads import one_thread_a_product
from .cell import (
    ERRORS,
    FAILED,
    NOT_SOUND,
    TOO_FEW,
    Cell,
    complain,
    refuse_if_all_failed,
)
from .criteria import CRITERIA
from .ladder import Ladder
from .measuring import MEASURES
from .one_by_one import MEASURES as OF_FITS
from .one_by_one import Measure, nothing, one_by_one
from .plan import Plan, check_needs, families_of, labelled, noise_of, numbers_of, times_of
from .selection import Selection
from .sizes import Sizes, from_assignment, joined, side_by_side

QUICK = {  # in place of EM's defaults: `Selection.fit` runs on to these
    "tolerance": 1e-6,  # nats a point that may be left: criteria are right to a few thousandths
    "max_steps": 1000,
}
TREES = ("VVV", "VII")  # criteria of agglomeration
ORDER = "IEV"  # of the letters of a code: a family holds those whose letters are none later
THINNEST = 1e-3  # share of a feature's variance that a start has: few points are no cluster yet


def select(
    x: Any,
    k: Iterable[int] | int = range(1, 10),
    covariance: str | Sequence[str] = "all",
    criterion: str = "bic",
    method: str = "em",
    *,
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
    observations = observe(
        x,
        sample_weight=sample_weight,
        feature_names=None if feature_names is None else check_names(feature_names),
        missing=missing,
        dtype=dtype,
        device=device,
    )
    observations = beside_noise(labelled(observations, labels, numbers), None)
    families = families_of(covariance, observations.d, every=row.by_m_steps)
    plan = Plan(numbers, families, chosen, noise_of(noise_component, observations), fixed)
    plan.check(options, observations, kind)
    times = times_of(kind, observations.n_weighted, n_folds=n_folds, n_resamples=n_resamples)
    silent, total = not check_flag("progress", progress), len(families) * (1 + times)
    with tqdm(total=total, desc="select", unit="family", disable=silent) as bar:
        cells = _measured(observations, plan, options, criterion, times, bar)
    complain(cells)
    seconds = time.perf_counter() - started
    return Selection(observations, tuple(cells), criterion, method, options, seed, seconds)


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
    settings = EMOptions(**{**QUICK, **options, "seed": plan.choice.options.seed})
    return _by_em(observations, plan.numbers, plan.families, settings, bar)


# ---------------------------------------------------------------------- by EM


@one_thread_a_product()
def _by_em(
    observations: Observations,
    numbers: list[int],
    families: list[CovarianceFamily],
    options: EMOptions,
    bar: tqdm[Any],
) -> list[Cell]:
    """The cells of all families, each begun also at those within it."""
    possible = [k for k in numbers if k <= observations.n_weighted]
    if not possible:
        bar.update(len(families))
        return [Cell(k, family.name, TOO_FEW) for family in families for k in numbers]
    tasks = [Task("em", MixtureModel(1, f.name), observations, options) for f in families]
    sample = sample_of(observations, max(possible), tasks[0].generator(Stream.SEARCH))
    starts = _labels(sample, possible, options)
    ladders: dict[CovarianceFamily, Ladder] = {}
    errors: dict[CovarianceFamily, Exception] = {}
    for family, task in zip(families, tasks, strict=True):
        try:
            ladder = Ladder(task, sample, possible)
            begun = [_from_labels(ladder, *starts), *_from_within(ladder, ladders)]
            ladder.climb(joined(begun, sample))
            ladder.exchange()
            ladder.converge(observations, options.tolerance, options.max_steps)
            ladders[family] = ladder
        except ERRORS as error:
            errors[family] = error
        bar.update()
    found: dict[CovarianceFamily, Ladder | Exception] = {**ladders, **errors}
    return [_cell(found[family], family, k, observations) for family in families for k in numbers]


def _from_within(ladder: Ladder, ladders: dict[CovarianceFamily, Ladder]) -> list[Sizes]:
    """The solutions of the largest families that the ladder's own holds: one batch, or none."""
    family = ladder.family
    within = [other for other in ladders if _holds(family, other)]
    closest = [one for one in within if not any(_holds(other, one) for other in within)]
    found = [(ladders[one], k) for one in closest for k in ladder.numbers]
    mixtures = [_brought(family, one, k) for one, k in found if k in one.rungs]
    return [side_by_side(family, mixtures, ladder.points)] if mixtures else []


def _labels(
    sample: Observations, numbers: Sequence[int], options: EMOptions
) -> tuple[Int[Tensor, "s n"], list[int]]:
    """Clusterings for each number of components, which all families begin at.

    They are those of trees of agglomeration, as mclust's, and as many by k-means++ as options say.
    """
    found, sizes, seed = [], [], Stream.SEARCH.seed(options.seed)
    trees = [grow(sample, criterion, "svd", seed) for criterion in TREES]
    for k in numbers:
        count = 1 if k == 1 else options.n_starts
        drawn = k_means_plus_plus(sample, sample.bulk, k, range(count), seed).labels
        cut = [tree.labels(min(k, len(tree.rows)))[None].to(drawn) for tree in trees]
        found += [drawn, *cut]
        sizes += [k] * (count + len(cut))
    return torch.cat(found), sizes


def _from_labels(ladder: Ladder, labels: Int[Tensor, "s n"], sizes: list[int]) -> Sizes:
    sample, family = ladder.points, ladder.family
    floor = torch.maximum(ladder.floor, THINNEST * sample.bulk.square())
    theta = anywhere(sample, family, (len(sizes), max(sizes)))
    return from_assignment(family, theta, GivenLabels(labels), sizes, sample, floor)


def _holds(family: CovarianceFamily, other: CovarianceFamily) -> bool:
    """Whether every covariance of the other is one of the family, by the letters of their codes."""
    codes = family.mclust, other.mclust
    if family is other or any(set(code) - set(ORDER) or len(code) != 3 for code in codes):
        return False
    return all(ORDER.index(a) >= ORDER.index(b) for a, b in zip(*codes, strict=True))


def _brought(family: CovarianceFamily, within: Ladder, k: int) -> Parameters:
    p = within.rungs[k].parameters
    return brought_into(family, GaussianMixture.from_parameters(within.family, p))


def _cell(
    found: Ladder | Exception, family: CovarianceFamily, k: int, observations: Observations
) -> Cell:
    if k > observations.n_weighted:
        return Cell(k, family.name, TOO_FEW)
    if isinstance(found, Exception):
        return Cell(k, family.name, FAILED, error=found)
    if k not in found.rungs:
        return Cell(k, family.name, NOT_SOUND)
    rung = found.rungs[k]
    try:
        mixture = GaussianMixture.from_parameters(
            family,
            rung.parameters,
            dtype=observations.x.dtype,
            feature_names=observations.feature_names,
        )
        criteria = mixture.criteria(observations, observations.sample_weight)
    except ERRORS as error:
        return Cell(k, family.name, FAILED, error=error)
    status = "converged" if rung.converged else "step limit"
    return Cell(k, family.name, status if rung.sound else NOT_SOUND, mixture, criteria)
