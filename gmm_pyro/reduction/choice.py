"""Which kernel evaluates which parameters at which points, and what a reduction is done by."""

from __future__ import annotations

from typing import Any, Protocol, Self

from torch import Tensor

from ..covariance import Statistics
from ..data.points import Points
from ..running.threads import Sums
from .assignments import Assignment
from .background import Background
from .barred import Barred
from .compiled import Compiled, Recipe
from .decision import is_ready
from .incomplete import Incomplete
from .kernels import Centred, Features, Kernel
from .theta import Theta


class Reducer(Protocol):
    """What gives sums of blocks of rows: a kernel, or a compiled loop."""

    def fresh(self) -> Self:
        """The same with state of its own, for one thread to work with."""
        ...

    def blocks(self) -> list[Any]:
        """All points, in units of work for threads."""
        ...

    def sums(self, block: Any, assign: Assignment) -> Sums:
        """Sums of a block of rows under an assignment."""
        ...

    def summed(self, sums: Sums) -> Statistics:
        """The statistics that these stand for, added up over all blocks."""
        ...


def reducer_for(theta: Theta, points: Points, assign: Assignment) -> Reducer:
    """What reduces points under an assignment: compiled where the fit has decided so.

    The centred kernel takes over where it must; torch's take what the loops do not know.
    """
    if points.compiled and not theta.centred and points.measured is None and is_ready(points.dtype):
        recipe = Recipe.of(assign)
        if recipe is not None and not (recipe.beside and points.log_noise is not None):
            return Compiled(theta, points, recipe)
    return kernel_for(theta, points)


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
