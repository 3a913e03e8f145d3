"""A fit without its data, for the pickle of an estimator: predictions need only the mixture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import torch

from ..inference.fit import Fit
from ..observations import Observations

POINTS = ("x", "sample_weight")


class LeftOut(Observations):
    """What is known of data that are no longer there: how many, where, how wide, their names."""

    def __init__(self, whole: Observations) -> None:
        self.__dict__.update(  # as a frozen class's
            shape=(whole.n, whole.d),
            kind=torch.empty(0, dtype=whole.dtype, device=whole.device),
            origin=whole.origin,
            scale=whole.scale,
            feature_names=whole.feature_names,
            total_weight=whole.total_weight,
            cache={},
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name in POINTS:
            raise ValueError(
                "this needs the data of the fit, which are left out of an estimator's pickle: fit "
                "it anew, or keep what is needed before it is pickled"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def n(self) -> int:
        """Number of points that there were."""
        return int(self.__dict__["shape"][0])

    @property
    def d(self) -> int:
        """Number of features."""
        return int(self.__dict__["shape"][1])

    @property
    def dtype(self) -> torch.dtype:
        """Type of number that the points had."""
        return self.__dict__["kind"].dtype

    @property
    def device(self) -> torch.device:
        """Where the points were."""
        return self.__dict__["kind"].device


def without_data(fit: Fit) -> Fit:
    """The fit with nothing that grows with the number of points; draws are kept.

    What needs the data raises ValueError.
    """
    observations, options, posterior = LeftOut(fit.observations), fit.options, fit.posterior
    if getattr(options, "sample_weight", None) is not None:
        options = replace(options, sample_weight=None)
    if posterior is not None:
        posterior = replace(posterior, observations=observations, allocations=None, kept=None)
    known: dict[str, Any] = {"observations": observations, "options": options, "own_labels": None}
    return replace(fit, posterior=posterior, **known)
