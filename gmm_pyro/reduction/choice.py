"""Which kernel evaluates which parameters at which points."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..data.points import Points
from .background import Background
from .barred import Barred
from .incomplete import Incomplete
from .kernels import Centred, Features, Kernel
from .theta import Theta


def kernel_for(theta: Theta, points: Points, like: Tensor | None = None) -> Kernel[Any]:
    """The kernel that evaluates these parameters exactly; `fresh` makes it ready for chunks.

    It works in the type of the points, or in that of another tensor.
    """
    like = points.x if like is None else like
    whole = Centred if theta.centred else Features
    kernel = (whole if points.measured is None else Incomplete)(theta, points, like)
    kernel.barred = Barred.of(points, theta.parameters.log_weights.shape[1], like)
    kernel.background = Background.of(points, theta, like)
    return kernel
