"""Resamples of the data of a fit: other weights of its points, or other points.

A weight says how often a point counts, so a point of weight 3 is resampled as three of weight 1:
it has the sum of their new weights. What a resample weighs is what the data weigh.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.points import Observations, Points
from ..inference.result import Result
from ..reduction.together import DataSets, Samples, Weightings
from ..running.seeds import Stream

KINDS = ("weighted", "parametric", "nonparametric", "jackknife")
NUMBERS = 1 << 24  # that the resamples at hand have, 128 MB
NEXT = 7_919  # between the seeds of two batches of resamples


def resamples(fit: Result, kind: str, n: int, seed: int) -> Iterator[Samples]:
    """n resamples in batches that memory has room for; as many as points, of the jackknife."""
    data = fit.observations
    size = round(data.total_weight) if kind == "parametric" else data.n
    numbers = size * (data.d if kind == "parametric" else 1)
    count = data.n_weighted if kind == "jackknife" else n
    for part, sets in enumerate(torch.arange(count).split(max(1, NUMBERS // numbers))):
        own = (Stream.RESAMPLES.seed(seed) + NEXT * part) % 2**63
        if kind == "parametric":
            x = fit.mixture.sample(len(sets) * size, own).view(len(sets), size, data.d)
            yield drawn_sets(fit, x.to(data.x))
        else:
            generator = torch.Generator().manual_seed(own)
            weight = _weights(kind, data, sets, generator)
            yield Weightings(data, weight.to(data.x))


def drawn_sets(fit: Result, x: Float[Tensor, "s n d"]) -> DataSets:
    """Data sets in the place of those of a fit."""
    noise, log_noise = fit.model.noise, None
    if noise is not None:
        every = Points(x.flatten(0, 1), fit.observations.feature_names, fit.observations.origin)
        log_noise = noise.log_density(every).view(x.shape[:2])
    return DataSets(replace(fit.observations, sample_weight=None, cache={}), x, log_noise)


def _weights(
    kind: str, data: Observations, sets: Tensor, generator: torch.Generator
) -> Float[Tensor, "s n"]:
    weight = data.weights.cpu()
    if kind == "jackknife":
        return _without_one(weight, sets)
    if kind == "nonparametric":
        return _counted(weight, len(sets), generator)
    return exponential_weights(weight, len(sets), generator)


def exponential_weights(
    weight: Float[Tensor, "n"], count: int, generator: torch.Generator
) -> Float[Tensor, "s n"]:
    """Of each point a sum of so many exponential numbers as it counts: Dirichlet as a whole.

    Source: Rubin (1981); Newton & Raftery (1994).
    """
    drawn = torch._standard_gamma(weight.expand(count, -1).contiguous(), generator=generator)
    return drawn * (weight.sum() / drawn.sum(1, keepdim=True))


def _counted(
    weight: Float[Tensor, "n"], count: int, generator: torch.Generator
) -> Float[Tensor, "s n"]:
    """How often each point is among as many as there are, drawn with replacement (Efron 1979)."""
    edges, size = weight.cumsum(0), max(1, round(float(weight.sum())))
    uniform = torch.rand(count, size, generator=generator, dtype=weight.dtype) * edges[-1]
    rows = torch.searchsorted(edges, uniform, right=True).clamp_max(len(weight) - 1)
    one = torch.ones_like(uniform)
    return weight.new_zeros(count, len(weight)).scatter_add_(1, rows, one) * (edges[-1] / size)


def _without_one(weight: Float[Tensor, "n"], sets: Tensor) -> Float[Tensor, "s n"]:
    """The weights with one point of each left out, once (Quenouille 1956)."""
    rows = weight.nonzero()[:, 0][sets]
    left = weight.repeat(len(rows), 1)
    left[torch.arange(len(rows)), rows] -= 1.0
    return left


def check_resampled(fit: Result, kind: str) -> None:
    """Refuse a fit whose data cannot be resampled so.

    Raises:
        ValueError: if it cannot, with the kinds that can.
    """
    data = fit.observations
    if data.x.shape[0] != data.n:  # raises where the data are left out
        raise ValueError("the data of the fit are not there")
    known = data.measured is not None or data.allowed is not None
    if kind == "parametric" and known:
        raise ValueError(
            "kind='parametric' draws complete points of unknown components, and those of this fit "
            "have missing values, noise, a projection or labels: kind='weighted' reweights them"
        )
    total = data.total_weight
    if kind in ("parametric", "nonparametric") and round(total) < fit.model.n_components:
        raise ValueError(
            f"kind={kind!r} draws as many points as the weights of this fit sum to, {total:g}, "
            f"fewer than its {fit.model.n_components} components: kind='weighted' reweights them"
        )
    weight = data.weights
    if kind == "jackknife" and bool(((weight > 0) & (weight < 1)).any()):
        raise ValueError(
            "kind='jackknife' leaves out one point at a time, and the fit has sample weights "
            "below 1: kind='weighted' reweights them"
        )


def share_of(flags: Tensor) -> float:
    """Which share is true."""
    return float(flags.double().mean()) if len(flags) else math.nan
