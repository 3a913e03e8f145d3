"""The one function of these loops that is called from outside, for each type of number."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from numba import types

from .build import kept
from .chunk import work_on

NUMBERS = {torch.float32: types.float32, torch.float64: types.float64}


@functools.cache
def entry(dtype: torch.dtype) -> Callable[..., None]:
    """`chunk.work_on` for points of a type, compiled or read from where it is kept.

    Arrays that come from outside may lie in memory in any order: one variant is enough.
    """
    number, index = NUMBERS[dtype], types.int64

    def anyhow(kind: types.Type, ndim: int) -> types.Array:
        return types.Array(kind, ndim, "A")

    flat = types.Array(number, 1, "C")
    signature = types.void(
        *(anyhow(number, 2), index, flat, flat, types.UniTuple(index, 2), index, index),
        *(anyhow(number, 1), anyhow(number, 2)),
        *(anyhow(index, 1), anyhow(number, 2), anyhow(number, 2)),
        *(anyhow(index, 1), anyhow(index, 2), anyhow(number, 3)),
        *(index, flat, types.Array(types.float64, 1, "C")),
    )
    return kept(work_on.py_func, signature)
