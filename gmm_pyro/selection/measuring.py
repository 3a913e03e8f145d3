"""Criteria that take fits to other data: to parts of the points, or to resamples of them.

Every one of these fits is a search of its own, of all models, by the same means as that of all
data. It does not begin at the solutions of all data: these have seen the points that are held out,
and which mode they are in would be known from there; and resamples that all begin at one solution
agree on it whether or not they would have found it.

Sources: Stone (1974), Smyth (2000), "Model selection for probabilistic clustering using
cross-validated likelihood"; Hennig (2007), Fang & Wang (2012), "Selection of the number of clusters
via the bootstrap method".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.points import Observations
from ..data.spread import location_and_scale
from ..metrics import adjusted_rand
from ..running.seeds import Stream
from .cell import Cell
from .estimates import Estimate, OfPairs, OfPoints
from .plan import of_number
from .resamples import exponential_weights

Fitting = Callable[[Observations], list[Cell]]  # all models, in one order


# ---------------------------------------------------------------------- held-out points


def cross_validated(
    cells: Sequence[Cell], observations: Observations, fitting: Fitting, n_folds: int, seed: int
) -> list[Cell]:
    """Cells with the mean log density of points that a fit to the others has not seen.

    Args:
        cells: the models, as fitted to all points.
        observations: the data.
        fitting: fits all models, in the order of the cells.
        n_folds: how many parts the points are in.
        seed: of the parts.
    """
    part_of = folds(observations, n_folds, seed)
    values = np.full((len(cells), observations.n), np.nan)
    for part in range(n_folds):
        here = part_of == part
        rows, others = here.nonzero()[:, 0], (~here).nonzero()[:, 0]
        held_out = observations.subset(rows)
        for i, cell in enumerate(fitting(in_own_units(observations.subset(others)))):
            values[i, rows.cpu().numpy()] = _log_density(cell, held_out)
    weight = _weight(observations)
    return [
        _measured(cell, "cross_validation", OfPoints(value[weight > 0], weight[weight > 0]))
        for cell, value in zip(cells, values, strict=True)
    ]


def folds(observations: Observations, n_folds: int, seed: int) -> Int[Tensor, "n"]:
    """The part that each point is in: at random, of sizes that differ by one.

    Points of which the same is known of their components are dealt among all parts, and so are
    those of no weight. A point is in one part, however often it counts.
    """
    generator = torch.Generator().manual_seed(Stream.FOLDS.seed(seed) % 2**63)
    order = torch.randperm(observations.n, generator=generator)
    kind = observations.weights.cpu() > 0
    if observations.allowed is not None:
        kind = kind + 2 * observations.allowed.kind.cpu()
    order = order[kind[order].long().argsort(stable=True)]
    part = torch.empty_like(order)
    part[order] = torch.arange(observations.n) % n_folds
    return part.to(observations.device)


def in_own_units(part: Observations) -> Observations:
    """Some of the points as data of their own: nothing of the others' place and spread is left."""
    origin, scale = location_and_scale(part.x, part.sample_weight)
    wide = scale > 0  # of one value only, the others' spread is all that is known
    return replace(part, origin=origin, scale=torch.where(wide, scale, part.scale))


def _log_density(cell: Cell, points: Observations) -> Float[np.ndarray, "n"]:
    if cell.mixture is None:
        return np.full(points.n, np.nan)
    found = cell.mixture.log_prob(of_number(points, cell.n_components))
    return np.asarray(found.double().cpu().numpy())


def _weight(observations: Observations) -> Float[np.ndarray, "n"]:
    """How often points count, of which those without a value say nothing."""
    weight = observations.weights
    if observations.measured is not None:
        weight = weight * (observations.measured.n_observed > 0)
    return np.asarray(weight.cpu().numpy())


# ---------------------------------------------------------------------- resamples


def stable(
    cells: Sequence[Cell], observations: Observations, fitting: Fitting, n_resamples: int, seed: int
) -> list[Cell]:
    """Cells with the agreement of clusterings by fits to resamples: all points, weighted at random.

    Args:
        cells: the models, as fitted to the data.
        observations: the data.
        fitting: fits all models, in the order of the cells.
        n_resamples: how many.
        seed: of the weights.
    """
    generator = torch.Generator().manual_seed(Stream.RESAMPLES.seed(seed) % 2**63)
    weights = exponential_weights(observations.weights.cpu(), n_resamples, generator)
    found = []
    for weight in weights.to(observations.x):
        resample = replace(observations, sample_weight=weight, cache={})
        found.append([_labels(cell, observations) for cell in fitting(resample)])
    count = None if observations.sample_weight is None else observations.weights.cpu().numpy()
    return [
        _measured(cell, "stability", agreement(labels, count) if _may_differ(cell) else None)
        for cell, labels in zip(cells, zip(*found, strict=True), strict=True)
    ]


def _may_differ(cell: Cell) -> bool:
    """Whether there is anything to agree on: one component is the same cluster in all resamples."""
    alone = cell.mixture is None or cell.mixture.noise_component is None
    return cell.counts and not (cell.n_components == 1 and alone)


def _labels(cell: Cell, points: Observations) -> Int[np.ndarray, "n"] | None:
    """Clusters by the points alone, the noise being one of them."""
    if cell.mixture is None:
        return None
    found = cell.mixture.predict(points.unlabelled)
    return np.asarray((found + 1).to(torch.int32).cpu().numpy())


def agreement(
    labels: Sequence[Int[np.ndarray, "n"] | None], weight: Float[np.ndarray, "n"] | None
) -> OfPairs | None:
    """Adjusted Rand indices of all pairs; all points in one cluster agree with nothing."""
    values = np.zeros((len(labels), len(labels)))
    for (i, one), (j, other) in itertools.combinations(enumerate(labels), 2):
        if one is None or other is None:
            return None
        if (one != one[0]).any() and (other != other[0]).any():
            values[i, j] = values[j, i] = adjusted_rand(one, other, weight)
    return OfPairs(values)


def _measured(cell: Cell, column: str, estimate: Estimate | None) -> Cell:
    value, error = (math.nan, math.nan) if estimate is None else (estimate.value, estimate.error)
    return replace(cell, estimate=estimate, found={column: value, f"{column}_se": error})


MEASURES = {"cross_validation": cross_validated, "stability": stable}
