"""Where centres are drawn: greedy k-means++ for many starts at once, and invariant coordinates."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...data.points import Observations
from ...running.counting import uniforms

FLAT = 1e-10  # share of the largest variance that a direction has at least, to be one


def greedy_k_means_plus_plus(
    x: Float[Tensor, "n d"], weight: Float[Tensor, "n"], k: int, starts: range, seed: int
) -> Int[Tensor, "s n"]:
    """The nearest of k centres, for each start.

    A centre is the best of a few points that are drawn in proportion to their squared distance from
    the centres before it (Arthur & Vassilvitskii 2007; the greedy variant of their §7).

    Args:
        x: the points.
        weight: how often each counts.
        k: number of centres.
        starts: numbers of the starts: each is the same, whichever others are asked for.
        seed: of all starts.
    """
    trials, many = 2 + int(math.log(k)), torch.arange(len(starts), device=x.device)
    drawn = uniforms(seed, starts, slice(0, 1 + (k - 1) * trials), x)
    square = x.square().sum(1)

    def distances(rows: Int[Tensor, "s t"]) -> Float[Tensor, "s t n"]:
        products = (x[rows.flatten()] @ x.T).unflatten(0, rows.shape)
        return products.mul_(-2).add_(square).add_(square[rows][..., None]).clamp_(min=0)

    potential = weight.expand(len(starts), -1)
    nearest = distances(_picked(potential, drawn[:, :1]))[:, 0]
    labels = torch.zeros_like(nearest, dtype=torch.int64)
    for j in range(1, k):
        some = drawn[:, 1 + (j - 1) * trials : 1 + j * trials]
        away = torch.minimum(distances(_picked(weight * nearest, some)), nearest[:, None])
        closer = away[many, (away @ weight).argmin(1)]
        labels[closer < nearest] = j
        nearest = closer
    return labels


def _picked(potential: Float[Tensor, "s n"], drawn: Float[Tensor, "s t"]) -> Int[Tensor, "s t"]:
    """Points in proportion to their potential, by uniform numbers."""
    below = potential.cumsum(1)
    return torch.searchsorted(below, drawn * below[:, -1:], right=True).clamp(
        max=below.shape[1] - 1
    )


def invariant_coordinates(sample: Observations) -> Float[Tensor, "n p"]:
    """The points in coordinates that no linear map of the features changes, by their kurtosis.

    The first separate groups of like size, the last a few points from the rest: they are the
    principal axes of whitened points y, each counted |y|² / (p + 2) times.

    Source: Tyler, Critchley, Dümbgen & Oja (2009), "Invariant co-ordinate selection".
    """
    share = (sample.weights / sample.weights.sum())[:, None]
    z = (sample.filled.to(share) - sample.origin) / sample.scale
    z = z - (share * z).sum(0)
    values, vectors = torch.linalg.eigh(z.T @ (share * z))
    wide = values > FLAT * values[-1]
    y = z @ vectors[:, wide] / values[wide].sqrt()
    fourth = y.T @ (share * y.square().sum(1, keepdim=True) * y) / (y.shape[1] + 2)
    return y @ torch.linalg.eigh(fourth).eigenvectors
