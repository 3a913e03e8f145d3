"""The functions that are called from outside."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from numba import types

from . import algebra, chunk, lanes, products, records  # noqa: F401 - callers ask for their sizes
from .build import kept
from .records import Asked, Known, Shape


def anyhow(kind: types.Type, ndim: int) -> types.Array:
    """Arrays of any order in memory: one variant is enough."""
    return types.Array(kind, ndim, "A")


NUMBERS = {torch.float32: types.float32, torch.float64: types.float64}


def pass_over(
    data: tuple[Any, ...], shape: tuple[int, ...], known: Any, asked: Any, work: Any, totals: Any
) -> None:
    """`chunk.work_on`, of tuples in the place of records, whose arrays may be of any order."""
    x, first, origin, theta = data
    weight, each, kind, allowed, noise = known
    mode, seed, labels, shares = asked
    of_rows = Known(weight, each, kind, allowed, noise)
    sets, k, form, group = shape
    sizes, assignment = Shape(sets, k, form, group), Asked(mode, seed, labels, shares)
    chunk.work_on(x, first, origin, theta, sizes, of_rows, assignment, work, totals)


@functools.cache
def entry(dtype: torch.dtype) -> Callable[..., None]:
    """`pass_over` for points of a type, compiled or read from where it is kept."""
    number, index = NUMBERS[dtype], types.int64
    flat, totals = types.Array(number, 1, "C"), types.Array(types.float64, 1, "C")
    of_one, of_two, of_three = (anyhow(number, ndim) for ndim in (1, 2, 3))
    data = types.Tuple([of_two, index, flat, flat])
    known = types.Tuple([of_one, of_two, anyhow(index, 1), of_two, of_two])
    asked = types.Tuple([index, index, anyhow(index, 2), of_three])
    signature = types.void(data, types.UniTuple(index, 4), known, asked, flat, totals)
    return kept(pass_over, signature)


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
def natural() -> Callable[..., float]:
    """`algebra.natural`, as `entry` has it."""
    signature = types.float64(TWO, THREE, THREE, ONE, INDEX, TWO, THREE, THREE)
    return kept(algebra.natural.py_func, signature)


def make_ready(dtype: torch.dtype) -> None:
    """Compile, or read, all that a fit to points of a type may call."""
    entry(dtype), by_features(dtype)
    taken_apart(), m_step(), natural()
