"""How many components, and of what shape: one question, asked of all models at once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from ..agglomeration.growing import grow
from ..covariance import FAMILIES, CovarianceFamily, Parameters, family_named
from ..data.arrays import whole_numbers
from ..data.checks import check_choice, check_count, check_flag, check_seed, shown
from ..data.features import check_names
from ..data.observations import observe
from ..data.points import Observations
from ..inference.em import EMOptions
from ..inference.fit import fit
from ..inference.methods import METHODS, choice, method_named
from ..inference.starts.starting import (
    brought_into,
    k_means_plus_plus,
    sample_of,
)
from ..inference.task import Status, Task
from ..mixture.value import GaussianMixture
from ..model.program import MixtureModel
from ..reduction.assignments import GivenLabels
from ..reduction.theta import anywhere
from ..running.seeds import Stream
from ..running.threads import one_thread_a_product
from .criteria import CRITERIA
from .ladder import Ladder
from .selection import Cell, Selection
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
    seed: int = 0,
    sample_weight: Any = None,
    feature_names: Sequence[str] | None = None,
    missing: str = "integrate",
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    progress: bool = False,
    **options: Any,
) -> Selection:
    """Fit mixtures of several numbers of components and families, and say which is the best.

    By EM, all sizes of a family are found together, from starts of their own, from each other by
    splits and mergers, and from the families within; what rests on components of few points is
    marked, and is never the best. Other methods are run model by model.

    Args:
        x: points, as `gmm_pyro.fit` has them.
        k: the numbers of components.
        covariance: a covariance family, several, or "all" that the method takes.
        criterion: "bic", "aic" or "icl"; "elpd" (leave-one-out) of methods with draws; "evidence"
            of those that have it.
        method: name of the method.
        seed: of all random choices.
        sample_weight: non-negative weights of the points, or None.
        feature_names: d column names, if x has none.
        missing: what to do with values that are NaN, as `gmm_pyro.fit` has it.
        dtype: floating-point type of the work on points.
        device: torch device.
        progress: whether to show a progress bar on standard error.
        **options: the method's options; for EM, `n_starts` of each number, `tolerance`,
            `max_steps`, `covariance_floor` and `least_points`.

    Returns:
        The selection: its `best` fit, its `table`, its `plot`.

    Raises:
        ValueError: if the data, a name, or an option's value is not valid, or the criterion needs
            what the method does not have.
        OptionError: if the method has no such option.

    Example:
        >>> from gmm_pyro.datasets import bimodal
        >>> select(bimodal().x, k=range(1, 4), covariance=["full", "tied"]).best_cell.n_components
        2
    """
    started = time.perf_counter()
    numbers, row = _numbers(k), method_named(method)
    check_choice("criterion", criterion, CRITERIA)
    _check_needs(criterion, method)
    choice(method, {**options, "seed": check_seed(seed)})  # refuses what it does not know
    if method == "em" and "start" in options:
        raise ValueError("select takes no start: every model has starts of its own")
    observations = observe(
        x,
        sample_weight=sample_weight,
        feature_names=None if feature_names is None else check_names(feature_names),
        missing=missing,
        dtype=dtype,
        device=device,
    )
    families = _families(covariance, observations.d, every=row.by_m_steps)
    silent = not check_flag("progress", progress)
    with tqdm(total=len(families), desc="select", unit="family", disable=silent) as bar:
        if method == "em":
            settings = EMOptions(**{**QUICK, "seed": seed, **options})
            cells = _by_em(observations, numbers, families, settings, bar)
        else:
            given = {**options, "seed": seed}
            cells = _one_by_one(observations, numbers, families, method, criterion, given, bar)
    seconds = time.perf_counter() - started
    return Selection(observations, tuple(cells), criterion, method, options, seed, seconds)


def _numbers(k: Any) -> list[int]:
    wanted = "numbers of components, as range(1, 10)"
    given = whole_numbers([k] if isinstance(k, Integral) else k, "k", wanted)
    return sorted({check_count("k", number) for number in given.tolist()})


def _families(given: Any, d: int, *, every: bool) -> list[CovarianceFamily]:
    """The families, the more constrained before those that hold them.

    All of one feature are two: of one variance, or of several.
    """
    if isinstance(given, str) and given == "all":
        names = ["tied", "full"] if d == 1 else list(FAMILIES)
        found = [FAMILIES[name] for name in names if every or FAMILIES[name].has_sites]
    else:
        if not isinstance(given, str | Sequence):
            raise ValueError(f"covariance must be a family or several, got {shown(given)}")
        names = [given] if isinstance(given, str) else list(given)
        if not names:
            raise ValueError("covariance must be 'all', or at least one family, got none")
        found = list(dict.fromkeys(family_named(name) for name in names))
    return sorted(found, key=lambda family: family.n_parameters(3, max(d, 2)))


def _check_needs(criterion: str, method: str) -> None:
    needs, row = CRITERIA[criterion].needs, METHODS[method]
    lacks = (criterion == "elpd" and not row.draws) or (
        criterion == "evidence" and method not in ("laplace", "gibbs", "nuts")
    )
    if lacks:
        raise ValueError(f"criterion {criterion!r} needs {needs}; {method} has none")


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
        return [Cell(k, family.name, "too few points") for family in families for k in numbers]
    tasks = [Task("em", MixtureModel(1, f.name), observations, options) for f in families]
    sample = sample_of(observations, max(possible), tasks[0].generator(Stream.SEARCH))
    starts = _labels(sample, possible, options)
    ladders: dict[CovarianceFamily, Ladder] = {}
    for family, task in zip(families, tasks, strict=True):
        ladder = Ladder(task, sample, possible)
        begun = [_from_labels(ladder, *starts), *_from_within(ladder, ladders)]
        ladder.climb(joined(begun, sample))
        ladder.exchange()
        ladder.converge(observations, options.tolerance, options.max_steps)
        ladders[family] = ladder
        bar.update()
    return [_cell(ladders[family], k, observations) for family in families for k in numbers]


def _from_within(ladder: Ladder, ladders: dict[CovarianceFamily, Ladder]) -> list[Sizes]:
    """The solutions of the largest families that the ladder's own holds: one batch, or none."""
    family = ladder.family
    within = [other for other in ladders if _holds(family, other)]
    closest = [one for one in within if not any(_holds(other, one) for other in within)]
    mixtures = [_brought(family, ladders[one], k) for one in closest for k in ladder.numbers]
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


def _cell(ladder: Ladder, k: int, observations: Observations) -> Cell:
    family = ladder.family
    if k not in ladder.rungs:
        return Cell(k, family.name, "too few points")
    rung = ladder.rungs[k]
    mixture = GaussianMixture.from_parameters(
        family,
        rung.parameters,
        dtype=observations.x.dtype,
        feature_names=observations.feature_names,
    )
    status = "converged" if rung.converged else "step limit"
    weight = observations.sample_weight
    criteria = mixture.criteria(observations.x, weight)
    return Cell(k, family.name, status if rung.sound else "not sound", mixture, criteria)


# ---------------------------------------------------------------------- by other methods


def _one_by_one(
    observations: Observations,
    numbers: list[int],
    families: list[CovarianceFamily],
    method: str,
    criterion: str,
    options: dict[str, Any],
    bar: tqdm[Any],
) -> list[Cell]:
    cells = []
    for family in families:
        for k in numbers:
            if k > observations.n_weighted:
                cells.append(Cell(k, family.name, "too few points"))
                continue
            model = MixtureModel(k, family.name)
            found = fit(model, observations, method, missing="integrate", **options)
            if found.status is Status.INTERRUPTED:
                raise KeyboardInterrupt
            criteria = found.mixture.criteria(observations.x, observations.sample_weight)
            status = found.status.name.lower().replace("_", " ")
            more = _others(found, criterion)
            cells.append(
                Cell(k, family.name, status, found.mixture, criteria, found=more, fitted=found)
            )
        bar.update()
    return cells


def _others(found: Any, criterion: str) -> dict[str, float]:
    if criterion == "evidence":
        return {
            name: float(found.diagnostics.get(name, math.nan))
            for name in ("log_evidence", "log_evidence_se")
        }
    if criterion != "elpd":
        return {}
    from ..inference_data import elpd_loo  # arviz takes seconds to import

    loo = elpd_loo(found)
    return {"elpd": loo.elpd, "elpd_se": loo.se, "elpd_worst_k": loo.worst_k}
