"""Draws from a posterior, by site, with components aligned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of every site of a model.

    Attributes:
        draws: site name -> tensor of shape (chain, draw, *site).
    """

    draws: Mapping[str, Tensor]
