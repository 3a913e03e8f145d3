"""The functions that are called from outside."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from numba import types

from . import algebra, chunk, coupled
from .build import kept


def anyhow(kind: types.Type, ndim: int) -> types.Array:
    """Arrays of any order in memory: one variant is enough."""
    return types.Array(kind, ndim, "A")


NUMBERS = {torch.float32: types.float32, torch.float64: types.float64}


@functools.cache
def entry(dtype: torch.dtype) -> Callable[..., None]:
    """`chunk.work_on` for points of a type, compiled or read from where it is kept."""
    number, index = NUMBERS[dtype], types.int64

    flat = types.Array(number, 1, "C")
    signature = types.void(
        *(anyhow(number, 2), index, flat, flat, types.UniTuple(index, 2), index, index),
        *(anyhow(number, 1), anyhow(number, 2)),
        *(anyhow(index, 1), anyhow(number, 2), anyhow(number, 2)),
        *(index, anyhow(index, 2), anyhow(number, 3)),
        *(index, flat, types.Array(types.float64, 1, "C")),
    )
    return kept(chunk.work_on.py_func, signature)


FLOATS, INDEX = (types.Array(types.float64, ndim, "C") for ndim in (1, 2, 3)), types.int64
ONE, TWO, THREE = FLOATS


@functools.cache
def taken_apart() -> Callable[..., None]:
    """`algebra.taken_apart`, as `entry` has it."""
    signature = types.void(ONE, INDEX, INDEX, TWO, THREE, THREE, ONE)
    return kept(algebra.taken_apart.py_func, signature)


@functools.cache
def by_features(dtype: torch.dtype) -> Callable[..., None]:
    """`algebra.by_features` for points of a type, as `entry` has it."""
    flat = types.Array(NUMBERS[dtype], 1, "C")
    signature = types.void(TWO, THREE, THREE, ONE, INDEX, flat)
    return kept(algebra.by_features.py_func, signature)


@functools.cache
def m_step() -> Callable[..., bool]:
    """`algebra.m_step`, as `entry` has it."""
    signature = types.boolean(TWO, THREE, THREE, ONE, ONE, INDEX, TWO, THREE, THREE)
    return kept(algebra.m_step.py_func, signature)


@functools.cache
def coupled_m_step() -> Callable[..., bool]:
    """`coupled.m_step`, as `entry` has it."""
    rule, rounds = types.UniTuple(INDEX, 3), types.Array(INDEX, 3, "C")
    signature = types.boolean(
        *(TWO, THREE, THREE, ONE, ONE, rule, rounds, THREE), *(TWO, THREE, THREE)
    )
    return kept(coupled.m_step.py_func, signature)


@functools.cache
def natural() -> Callable[..., float]:
    """`algebra.natural`, as `entry` has it."""
    signature = types.float64(TWO, THREE, THREE, ONE, INDEX, TWO, THREE, THREE)
    return kept(algebra.natural.py_func, signature)
