"""What comes out of a mixture as points, and what may be known of points that go into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Sample:
    """Points drawn from a mixture, with the component that each came from."""

    x: Float[Tensor, "n d"]
    labels: Int[Tensor, "n"]


class Known(TypedDict, total=False):
    """What may be known of points beside their values, as `gmm_pyro.fit` has it."""

    projection: Any
    labels: Any
