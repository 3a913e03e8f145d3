"""The functions that are called from outside."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from numba import types

from . import (  # noqa: F401 - callers ask for sizes of some
    algebra,
    axes,
    chunk,
    coupled,
    exchange,
    lanes,
    products,
    records,
    volumes,
)
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
    mode, seed, before, labels, shares = asked
    of_rows = Known(weight, each, kind, allowed, noise)
    sets, k, form, group = shape
    sizes, assignment = Shape(sets, k, form, group), Asked(mode, seed, before, labels, shares)
    chunk.work_on(x, first, origin, theta, sizes, of_rows, assignment, work, totals)


@functools.cache
def entry(dtype: torch.dtype) -> Callable[..., None]:
    """`pass_over` for points of a type, compiled or read from where it is kept."""
    number, index = NUMBERS[dtype], types.int64
    flat, totals = types.Array(number, 1, "C"), types.Array(types.float64, 1, "C")
    of_one, of_two, of_three = (anyhow(number, ndim) for ndim in (1, 2, 3))
    data = types.Tuple([of_two, index, flat, flat])
    known = types.Tuple([of_one, of_two, anyhow(index, 1), of_two, of_two])
    asked = types.Tuple([index, index, index, anyhow(index, 2), of_three])
    signature = types.void(data, types.UniTuple(index, 4), known, asked, flat, totals)
    return kept(pass_over, signature)


FLOATS, INDEX = (types.Array(types.float64, ndim, "C") for ndim in (1, 2, 3, 4)), types.int64
ONE, TWO, THREE, FOUR = FLOATS
FLAGS = types.Array(types.boolean, 1, "C")


@functools.cache
def taken_apart() -> Callable[..., None]:
    """`exchange.taken_apart`, as `entry` has it."""
    signature = types.void(ONE, INDEX, INDEX, TWO, THREE, THREE, ONE)
    return kept(exchange.taken_apart.py_func, signature)


@functools.cache
def write_copies() -> Callable[..., None]:
    """`exchange.write_copies`, as `entry` has it."""
    signature = types.void(types.Array(types.boolean, 2, "C"), types.float64, THREE)
    return kept(exchange.write_copies.py_func, signature)


@functools.cache
def by_features(dtype: torch.dtype) -> Callable[..., None]:
    """`exchange.by_features` for points of a type, as `entry` has it."""
    flat = types.Array(NUMBERS[dtype], 1, "C")
    signature = types.void(TWO, THREE, THREE, ONE, INDEX, flat)
    return kept(exchange.by_features.py_func, signature)


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


def make_ready(dtype: torch.dtype) -> None:
    """Compile, or read, all that a fit to points of a type may call."""
    entry(dtype), by_features(dtype)
    taken_apart(), m_step(), natural(), write_copies()


def make_coupled_ready() -> None:
    """Compile, or read, all parts of the M-steps of coupled families."""
    for part in COUPLED:
        coupled_part(part.py_func.__name__)
