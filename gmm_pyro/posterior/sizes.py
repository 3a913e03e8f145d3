"""Draws with different numbers of components: those of one number, aligned.

Components with points come first in every draw, so that all draws of one number of them are draws
of one posterior, whose components are aligned as those of any other: none is thrown away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data.checks import check_count
from .record import Draws
from .relabelling import relabelled

Drawn = TypeVar("Drawn", bound=Draws)

SIZE, FILLED = "n_components", "n_filled"  # how many components there are, and have points


def numbers(posterior: Draws, name: str) -> Float[np.ndarray, "chain draw"]:
    """How many components there are, or have points, in every draw.

    Raises:
        ValueError: if the model knows that.
    """
    if name not in posterior.draws:
        raise ValueError(
            f"these draws have no {name}: their number of components is known, "
            f"{posterior.n_components}"
        )
    return posterior.draws[name].cpu().numpy().astype(float)


def likeliest(posterior: Draws) -> int:
    """The number of components with points that most draws have."""
    return int(posterior.draws[FILLED].flatten().cpu().bincount().argmax())


def of_one_number(posterior: Drawn, k: int | None = None) -> Drawn:
    """The draws, or where their number of components is unknown those with k filled ones.

    What is said of single components is said of these; k is what most draws have, if None.
    """
    return of_filled(posterior, k) if SIZE in posterior.draws else posterior


def of_filled(posterior: Drawn, k: int | None) -> Drawn:
    """The draws with k filled components; see `Posterior.of_filled`."""
    found = numbers(posterior, FILLED)
    k = likeliest(posterior) if k is None else check_count("k", k, 1)
    rows = torch.from_numpy(found.ravel() == k).nonzero()[:, 0]
    if len(rows) == 0:
        seen = sorted(set(found.ravel().astype(int).tolist()))
        raise ValueError(f"no draw has {k} components with points; draws have {seen}")
    draws = {
        name: _cut(posterior, name, values.flatten(0, 1)[rows.to(values.device)], k)[None]
        for name, values in posterior.draws.items()
        if name not in (SIZE, FILLED)
    }
    weights = draws["weights"]
    draws["weights"] = weights / weights.sum(-1, keepdim=True)
    alone = replace(
        posterior,
        draws=draws,
        permutation=None,
        statistics={
            name: v.flatten(0, 1)[rows.to(v.device)][None]
            for name, v in posterior.statistics.items()
        },
        allocations=None,
        kept=None,
        independent=False,
        axes={name: axis for name, axis in posterior.axes.items() if name in draws},
    )
    return alone if k == 1 else relabelled(alone, "stephens", None, None, None)


def _cut(posterior: Draws, name: str, values: Tensor, k: int) -> Tensor:
    """Values of the first k components, where components have values of their own."""
    axis = posterior.component_axis(name)
    return values if axis is None else values.narrow(1 + axis, 0, k)
