"""Logits of components that points are known not to come from."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from ..data.points import Points
from ..running.counting import Rows, counted_from


@dataclass(frozen=True, eq=False)
class Barred:
    """Which components points cannot come from, where something is known of that.

    Attributes:
        kind: of every point, from 0 to g - 1.
        log_allowed: 0 where a component is possible for points of a kind, and else -inf.
        first: number of the first point, by which others go.
    """

    kind: Int[Tensor, "n"]
    log_allowed: Float[Tensor, "k g"]
    first: int = 0

    @classmethod
    def of(cls, points: Points, k: int, like: Tensor) -> Barred | None:
        """What is known of points of a mixture of k components, in the type of a tensor.

        Raises:
            ValueError: if it is known of another number of components.
        """
        allowed = points.allowed
        if allowed is None:
            return None
        if allowed.n_components != k:
            raise ValueError(
                f"the points have labels of {allowed.n_components} components, and the mixture has "
                f"{k}: give it their x, or labels of its own"
            )
        return cls(allowed.kind, allowed.log_allowed(like), points.first)

    def bar(self, logits: Float[Tensor, "s k n"], rows: Rows) -> None:
        """Take the impossible from logits of some rows, in place."""
        logits.add_(self.log_allowed[:, self.kind[counted_from(self.first, rows)]])
