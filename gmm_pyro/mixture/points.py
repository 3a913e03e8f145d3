"""What comes out of a mixture as points."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Sample:
    """Points drawn from a mixture, with the component that each came from."""

    x: Float[Tensor, "n d"]
    labels: Int[Tensor, "n"]
