"""What a mixture says of points that are not in this process: lazily, or as a sum."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..data.away import is_away, mapped, observed_away
from ..data.points import Observations
from .criteria import Criteria
from .moments import MixtureMoments

Mixture = TypeVar("Mixture", bound=MixtureMoments)
Told = ParamSpec("Told")
Answer = TypeVar("Answer")


def lazy_away(
    method: Callable[Concatenate[Mixture, Any, Told], Tensor],
) -> Callable[Concatenate[Mixture, Any, Told], Tensor]:
    """A method with a value for each point, which of points elsewhere is a lazy Dask array.

    Its partitions are theirs; nothing is worked out before it is computed or written.

    Args:
        method: of a mixture.

    Raises:
        ValueError: by the method, if more is said of points that are elsewhere.
    """

    @functools.wraps(method)
    def called(mixture: Mixture, x: Any, *more: Told.args, **known: Told.kwargs) -> Any:
        if not is_away(x):
            return method(mixture, x, *more, **known)
        if any(value is not None for value in (*more, *known.values())):
            raise ValueError(f"{method.__name__} takes nothing beside points in partitions")
        of_points = functools.partial(_values, mixture=mixture, method=method.__name__)
        d, dtype = mixture.means.shape[1], mixture.means.dtype
        one = of_points(torch.zeros(1, d, dtype=torch.float64).to(dtype))
        return mapped(x, of_points, mixture.feature_names, one[0])

    found: Any = called
    return found


def criteria_away(mixture: Any, x: Any, sample_weight: Any = None) -> Criteria:
    """The criteria of points elsewhere, in one pass over them: weighted, if there are weights."""
    found = observed_away(x, mixture.feature_names, sample_weight=sample_weight)
    own = functools.partial(_criteria, mixture=mixture, weighted=sample_weight is not None)
    return found.fold(own, Criteria.plus)


def _values(x: Tensor, mixture: Any, method: str) -> np.ndarray:
    values: np.ndarray = getattr(mixture, method)(x).numpy()
    return values


def _criteria(points: Observations, mixture: Any, *, weighted: bool) -> Criteria:
    weight = points.sample_weight if weighted else None
    if weight is not None and not points.n_weighted:
        points, weight = points.subset(slice(0)), None
    found: Criteria = mixture.criteria(points, weight)
    return found
