"""What pictures show, before anything is drawn: planes through d features, and cluster colours.

A view is linear, so what it shows of a mixture is again a mixture, and what it shows of posterior
draws is a list of mixtures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..covariance.records import TINY
from ..data.arrays import classes
from ..data.features import columns_of
from ..mixture.noise_component import NoiseComponent
from ..mixture.noise_kinds import WideGaussian
from ..mixture.value import GaussianMixture
from ..posterior import Posterior
from ..posterior.sizes import FILLED

THINNEST = 1e-12  # share of the whole variance that a component is drawn with, at least

# ---------------------------------------------------------------------- planes


@dataclass(frozen=True, eq=False)
class View:
    """A linear map from d features to the v axes of a picture, v = 1 or 2.

    Attributes:
        origin: the point that is shown at zero, float64, shape (d,).
        axes: coefficients of the picture's axes, shape (d, v).
        names: labels of the picture's axes.
    """

    origin: Float[Tensor, "d"]
    axes: Float[Tensor, "d v"]
    names: tuple[str, ...]

    @property
    def is_plane(self) -> bool:
        """Whether there are two axes."""
        return len(self.names) == 2

    def points(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n v"]:
        """The points as the picture shows them."""
        return (x.detach().cpu().double() - self.origin) @ self.axes

    def mixture(self, mixture: GaussianMixture) -> GaussianMixture:
        """The mixture as the picture shows it: its marginal along the picture's axes."""
        dense = mixture.covariance_matrices().cpu().double()
        shown = self.axes.T @ dense @ self.axes
        shown = (shown + shown.mT) / 2
        if int(torch.linalg.cholesky_ex(shown)[1].amax()):  # a component that is a point, or a line
            whole = self.axes.T @ mixture.covariance().cpu().double() @ self.axes
            shown = shown + torch.diag(THINNEST * whole.diagonal() + TINY)
        weights, noise = mixture.weights.cpu().double(), mixture.noise_component
        weights, means = weights / weights.sum(), self.points(mixture.means)
        if noise is None:
            return GaussianMixture(weights, means, shown)
        seen, weight = self._noise(noise), mixture.noise_weight
        return GaussianMixture(weights, means, shown, noise_component=seen, noise_weight=weight)

    def _noise(self, noise: NoiseComponent) -> NoiseComponent:
        """Noise along the axes: where these are oblique, a Gaussian of the same moments."""
        columns = self.axes.abs().argmax(0)
        if self.axes.equal(torch.eye(len(self.axes)).to(self.axes)[:, columns]):
            return noise.marginal(columns.tolist())
        mean, covariance = noise.moments()
        return WideGaussian(self.axes.T @ covariance @ self.axes, self.points(mean[None])[0])


def view_of_points(
    x: Float[Tensor, "n d"], names: Sequence[str], features: Sequence[int | str] | None = None
) -> View:
    """The view of points: of chosen features, of all, or of principal axes where there are many.

    Args:
        x: points, shape (n, d).
        names: d feature names.
        features: names or numbers of one or two features; None takes all of one or two, and the
            first two principal axes of more.

    Raises:
        ValueError: if a feature does not exist, or there are not one or two different ones.

    Example:
        >>> view_of_points(torch.eye(3), ["a", "b", "c"], features=["c", 0]).names
        ('c', 'a')
    """
    x = filled(x.detach().cpu().double())
    covariance = torch.cov(x.T, correction=min(1, len(x) - 1)).reshape(x.shape[1], x.shape[1])
    return _view(x.mean(0), covariance, names, features)


def filled(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The points, with the mean of its column in place of what is missing."""
    return torch.where(x.isnan(), x.nanmean(0), x)


def view_of_mixture(mixture: GaussianMixture, features: Sequence[int | str] | None = None) -> View:
    """The view of a mixture, as `view_of_points` of very many points drawn from it."""
    mean, covariance = (t.cpu().double() for t in (mixture.mean(), mixture.covariance()))
    return _view(mean, covariance, mixture.feature_names, features)


def _view(
    mean: Float[Tensor, "d"],
    covariance: Float[Tensor, "d d"],
    names: Sequence[str],
    features: Sequence[int | str] | None,
) -> View:
    if features is None and len(names) > 2:
        return _principal_view(mean, covariance)
    every = range(len(names)) if features is None else features
    columns = columns_of(every, names, "one or two")
    axes = torch.eye(len(names), dtype=torch.float64)[:, columns]
    return View(torch.zeros_like(mean), axes, tuple(names[i] for i in columns))


def _principal_view(mean: Float[Tensor, "d"], covariance: Float[Tensor, "d d"]) -> View:
    """The first two principal axes of the features in units of their standard deviations.

    The sign of an axis is that of its largest coefficient, so that pictures can be compared.
    """
    sd = covariance.diagonal().sqrt()
    sd = torch.where(sd > 0, sd, 1.0)  # of a feature that is constant
    values, vectors = torch.linalg.eigh(covariance / sd / sd[:, None])
    share, axes = values.flip(0)[:2] / values.sum().clamp_min(TINY), vectors.flip(1)[:, :2]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    names = (f"principal axis {i + 1} ({share[i]:.0%} of variance)" for i in range(2))
    return View(mean, axes * largest.sign() / sd[:, None], tuple(names))


# ---------------------------------------------------------------------- draws


def mixtures_drawn(
    posterior: Posterior, like: GaussianMixture, count: int
) -> list[GaussianMixture]:
    """At most `count` mixtures, evenly spaced among the draws of a posterior.

    Args:
        posterior: draws of the model's sites, components aligned with the mixture's; where those
            with points are counted, draws are taken that have as many, and aligned.
        like: a mixture of the same family and features.
        count: how many at most.
    """
    if FILLED in posterior.draws:
        posterior = posterior.of_filled(like.n_components)
        posterior = posterior.relabel(like=like) if like.n_components > 1 else posterior
    parameters, names = posterior.parameters(), like.feature_names
    n_draws = len(parameters.means)
    return [
        GaussianMixture.from_parameters(
            *(like.family, parameters[[draw]]),
            feature_names=names,
            noise_component=like.noise_component,
        )
        for draw in torch.linspace(0, n_draws - 1, min(count, n_draws)).long().tolist()
    ]


# ---------------------------------------------------------------------- colours


def ranks(labels: Any, n: int) -> Int[Tensor, "n"]:
    """Classes, numbers or words, numbered from 0 in their order; outliers, negative ones, are -1.

    Raises:
        ValueError: if there are not n labels.

    Example:
        >>> ranks([7, 3, 3, -1], 4).tolist()
        [1, 0, 0, -1]
    """
    given = classes(labels, "labels", n)
    inside = np.ones(n, bool) if given.dtype.kind in "US" else given >= 0
    numbers = np.full(n, -1)
    numbers[inside] = np.unique(given[inside], return_inverse=True)[1]
    return torch.from_numpy(numbers)


def colours_of_components(
    predicted: Int[Tensor, "n"], k: int, classes: Int[Tensor, "n"] | None
) -> Int[Tensor, "k"]:
    """A colour number for each component: that of the class with which it shares most points.

    Components and classes are matched one to one; components without a class get numbers that no
    class has.

    Args:
        predicted: component of each point, -1 for noise.
        k: number of components.
        classes: class of each point, from 0, with -1 for none; None leaves components as they are.

    Example:
        >>> colours_of_components(torch.tensor([0, 0, 1]), 2, torch.tensor([1, 1, 0])).tolist()
        [1, 0]
    """
    from scipy.optimize import linear_sum_assignment

    if classes is None:
        return torch.arange(k)
    size = max(k, int(classes.max()) + 1)
    known = (classes >= 0) & (predicted >= 0)
    shared = torch.bincount(predicted[known] * size + classes[known], minlength=size * size)
    _, colours = linear_sum_assignment(shared.reshape(size, size).numpy(), maximize=True)
    return torch.as_tensor(colours[:k])
