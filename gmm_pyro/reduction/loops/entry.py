"""The functions that are called from outside."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from numba import types

from . import algebra, axes, chunk, coupled, volumes
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


FLOATS, INDEX = (types.Array(types.float64, ndim, "C") for ndim in (1, 2, 3, 4)), types.int64
ONE, TWO, THREE, FOUR = FLOATS
FLAGS = types.Array(types.boolean, 1, "C")


@functools.cache
def taken_apart() -> Callable[..., None]:
    """`algebra.taken_apart`, as `entry` has it."""
    signature = types.void(ONE, INDEX, INDEX, TWO, THREE, THREE, ONE)
    return kept(algebra.taken_apart.py_func, signature)


@functools.cache
def write_copies() -> Callable[..., None]:
    """`algebra.write_copies`, as `entry` has it."""
    signature = types.void(types.Array(types.boolean, 2, "C"), types.float64, THREE)
    return kept(algebra.write_copies.py_func, signature)


@functools.cache
def by_features(dtype: torch.dtype) -> Callable[..., None]:
    """`algebra.by_features` for points of a type, as `entry` has it."""
    flat = types.Array(NUMBERS[dtype], 1, "C")
    signature = types.void(TWO, THREE, THREE, ONE, INDEX, flat)
    return kept(algebra.by_features.py_func, signature)


@functools.cache
def m_step() -> Callable[..., None]:
    """`algebra.m_step`, as `entry` has it."""
    signature = types.void(TWO, THREE, THREE, ONE, ONE, INDEX, TWO, THREE, THREE, FLAGS)
    return kept(algebra.m_step.py_func, signature)


COUPLED = {
    coupled.begin: types.void(TWO, THREE, THREE, ONE, ONE, INDEX, TWO, THREE, THREE, FLAGS, TWO),
    coupled.end: types.void(THREE, TWO, INDEX, INDEX, FLAGS),
    volumes.one_shape: types.void(THREE, TWO, THREE, INDEX, types.UniTuple(INDEX, 2), FLAGS),
    volumes.one_volume: types.void(THREE, TWO, INDEX, INDEX, FLAGS),
    axes.own_axes: types.void(THREE, TWO, FLAGS, THREE, FOUR),
    axes.common_axes: types.void(
        *(THREE, TWO, THREE, types.Array(INDEX, 3, "C"), INDEX, FLAGS, THREE, FOUR)
    ),
    axes.assembled: types.void(THREE, FOUR, THREE),
}


@functools.cache
def coupled_part(name: str) -> Callable[..., None]:
    """A part of the M-step of coupled families, as `entry` has it."""
    function = next(one for one in COUPLED if one.py_func.__name__ == name)
    return kept(function.py_func, COUPLED[function])


@functools.cache
def natural() -> Callable[..., float]:
    """`algebra.natural`, as `entry` has it."""
    signature = types.float64(TWO, THREE, THREE, ONE, INDEX, TWO, THREE, THREE)
    return kept(algebra.natural.py_func, signature)
