"""What may be known of points beside their values."""

from __future__ import annotations

from typing import Any, TypedDict


class Known(TypedDict, total=False):
    """Arguments about points, as `gmm_pyro.fit` has them."""

    noise: Any
    projection: Any
    labels: Any
