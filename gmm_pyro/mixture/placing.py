"""Points as a mixture takes them: what every density and every responsibility begins with."""

from __future__ import annotations

from typing import Any, Unpack

import torch

from ..data.known import Known
from ..data.observations import as_points
from ..data.points import Points
from ..reduction.theta import Theta, theta_of
from .moments import MixtureMoments
from .noise_component import beside_noise


def placed(
    mixture: MixtureMoments, x: Any, **known: Unpack[Known]
) -> tuple[Points, Theta, torch.dtype]:
    """The points in their own precision, the mixture there, and the type of what is said of them.

    Args:
        mixture: the mixture.
        x: points, array-like of shape (n, d).
        **known: `noise`, `projection` and `labels` of the points.

    Raises:
        ValueError: if they are not points with the mixture's features.
    """
    single = str(getattr(x, "dtype", "")).endswith("float32")
    found = as_points(
        x,
        feature_names=mixture.feature_names,
        dtype=mixture.means.dtype if single else torch.float64,
        device=mixture.means.device,
        missing="integrate",
        noise=known.get("noise"),
        projection=known.get("projection"),
    )
    points = beside_noise(found.about(mixture.mean().double()), mixture.noise_component)
    labels = known.get("labels")
    points = points if labels is None else points.labelled(labels, mixture.n_components)
    theta = theta_of(mixture.family, mixture.parameters, points)
    return points, theta, mixture.means.dtype
