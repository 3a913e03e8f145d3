"""Projections: measurements that show some combinations of the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .arrays import finite
from .features import default_names
from .measured import Measured
from .points import Points

FLAT = 1e-12  # of the squares of projections along the best direction, which are none


def projected(
    points: Points, projection: Any, names: Sequence[str] | None, n_features: int | None
) -> Points:
    """The points of which some are projections, estimated, with what was measured of them.

    Args:
        points: the measurements, with their noise.
        projection: as `as_projection` takes it.
        names: of the features, if they are known.
        n_features: how many there must be, if that is known.

    Raises:
        ValueError: if the projection does not fit.
    """
    matrices = as_projection(projection, points.measurements)
    noise = None if points.measured is None else points.measured.noise_of_rows
    measured = Measured.of(points.measurements, noise, matrices)
    assert measured is not None
    x = measured.estimated()
    wanted = n_features if names is None else len(names)
    if wanted not in (None, x.shape[1]):
        raise ValueError(
            f"projection must be of {wanted} features, got shape {tuple(matrices.shape)}"
        )
    own = tuple(names or default_names(x.shape[1]))
    origin = x.new_zeros(x.shape[1], dtype=torch.float64)
    return Points(x, own, origin, measured=measured, allowed=points.allowed)


def as_projection(projection: Any, x: Float[Tensor, "n m"]) -> Float[Tensor, "r m d"]:
    """Projections R in float64: of each row, or one for all.

    Args:
        projection: array-like of shape (n, m, d), or (m, d) for all points alike.
        x: the measurements.

    Returns:
        Of shape (n, m, d), or (1, m, d).

    Raises:
        ValueError: if it has another shape, or is not finite.

    Example:
        >>> as_projection([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], torch.zeros(5, 2)).shape
        torch.Size([1, 2, 3])
    """
    n, m = x.shape
    given = torch.as_tensor(finite(projection, "projection"), device=x.device)
    found = given[None] if given.ndim == 2 else given
    if found.ndim != 3 or found.shape[:2] not in ((n, m), (1, m)) or found.shape[2] == 0:
        raise ValueError(
            f"projection must have shape ({n}, {m}, d), or ({m}, d) for all points alike, got "
            f"{tuple(given.shape)}"
        )
    return found


def refuse_unseen(points: Points) -> None:
    """Refuse projections none of which depends on some direction: that could not be fitted."""
    projection = None if points.measured is None else points.measured.projection_of_rows
    if projection is None:
        return
    lengths = torch.linalg.eigvalsh((projection.mT @ projection).sum(0))
    if not lengths[0] > FLAT * lengths[-1]:
        raise ValueError(
            "projection must show every feature to some of the points: there is a direction that "
            "no measurement depends on"
        )
