"""What the compiled loops are made of, against NumPy: exp, log, and tiles of products."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from numba import types

from gmm_pyro.reduction.loops import elementary
from gmm_pyro.reduction.loops.build import kept
from gmm_pyro.reduction.loops.lanes import BITS, added_up, lanes_of, load, store
from gmm_pyro.reduction.loops.products import multiply

ULP = 2.0  # units in the last place
WIDER = {np.float32: np.float64, np.float64: np.longdouble}
NUMBERS = {np.float32: types.float32, np.float64: types.float64}
every_type = pytest.mark.parametrize("kind", NUMBERS, ids=["float32", "float64"])


def exp_of(x: Any, found: Any) -> None:
    for i in range(0, len(x), lanes_of(x)):
        store(found, i, elementary.exp(load(x, i)))


def log_of(x: Any, found: Any) -> None:
    for i in range(0, len(x), lanes_of(x)):
        store(found, i, elementary.log(load(x, i)))


def product_of(a: Any, a_at: Any, b: Any, b_at: Any, c: Any, c_at: Any, size: Any) -> None:
    multiply(a, a_at, b, b_at, c, c_at, size)


def sums_of(x: Any, found: Any) -> None:
    for i in range(len(found)):
        found[i] = added_up(load(x, i * lanes_of(x)))


@cache
def over(function: Callable, kind: Any, found: Any = None) -> Callable:
    """A function of an array, compiled for a type."""
    arrays = [types.Array(NUMBERS[number], 1, "C") for number in (kind, found or kind)]
    return kept(function, types.void(*arrays))


def lanes(kind: Any) -> int:
    return BITS // (8 * np.dtype(kind).itemsize)


def values(function: Callable, x: np.ndarray) -> np.ndarray:
    """Of all numbers, filled up to whole lanes."""
    count = lanes(x.dtype.type)
    full = np.append(x, np.ones(-len(x) % count, x.dtype))
    found = np.empty_like(full)
    over(function, x.dtype.type)(full, found)
    return found[: len(x)]


def off(found: np.ndarray, exact: np.ndarray) -> float:
    """The largest error in units in the last place."""
    return float(np.max(np.abs(found - exact) / np.spacing(np.abs(exact).astype(found.dtype))))


# ---------------------------------------------------------------------- exp and log


@every_type
def test_exp_is_right_to_two_units_in_the_last_place(kind: Any) -> None:
    low, high = elementary.RANGE[8 * np.dtype(kind).itemsize]
    rng = np.random.default_rng(0)
    borders = (np.arange(2 * low, 2 * high) + 1) / 2 * np.log(2)  # where the integer part changes
    borders = borders[(borders > low) & (borders < high)]
    x = np.concatenate(
        [
            np.linspace(low, high, 200_001),
            rng.uniform(-1, 1, 100_000),
            *(np.nextafter(borders.astype(kind), kind(to)) for to in (-np.inf, np.inf)),
            [s * 10.0**power for s in (-1, 1) for power in range(-37, 2)],
            [0.0, -0.0],
        ]
    ).astype(kind)
    exact = np.exp(x.astype(WIDER[kind]))
    assert np.unique(values(exp_of, x)).size > 1e5
    assert off(values(exp_of, x), exact) <= ULP


@every_type
def test_exp_out_of_range_is_that_of_the_ends(kind: Any) -> None:
    low, high = elementary.RANGE[8 * np.dtype(kind).itemsize]
    x = np.array([-np.inf, -1e30, low - 1, high + 1, 1e30, np.inf], kind)
    assert off(values(exp_of, x), np.exp(np.clip(x, low, high).astype(WIDER[kind]))) <= ULP


@every_type
def test_log_is_right_to_two_units_in_the_last_place(kind: Any) -> None:
    info, rng = np.finfo(kind), np.random.default_rng(0)
    near_one = 1 + np.arange(-2000, 2001) * kind(info.epsneg)
    x = np.concatenate(
        [
            np.exp(rng.uniform(np.log(info.tiny), np.log(info.max), 200_000)).astype(kind),
            rng.uniform(0.5, 2, 200_000).astype(kind),
            near_one.astype(kind),
            np.nextafter(kind(2) ** np.arange(info.minexp + 1, info.maxexp), kind(0)),
            kind(2) ** np.arange(info.minexp, info.maxexp, dtype=kind),
            np.array([info.tiny, info.max, np.sqrt(2), np.sqrt(0.5)], kind),
        ]
    ).astype(kind)
    exact = np.log(x.astype(WIDER[kind]))
    one = exact == 0
    found = values(log_of, x)
    assert (found[one] == 0).all()
    assert off(found[~one], exact[~one]) <= ULP


@every_type
@pytest.mark.parametrize("function", [exp_of, log_of])
def test_what_is_no_number_stays_so_and_spoils_no_neighbour(kind: Any, function: Callable) -> None:
    x = np.linspace(0.5, 3, 4 * lanes(kind)).astype(kind)
    sound, x[1::3] = values(function, x), np.nan
    found = values(function, x)
    assert np.isnan(found[1::3]).all()
    keep = ~np.isnan(x)
    assert np.array_equal(found[keep], sound[keep])


@every_type
def test_lanes_are_added_up_in_float64(kind: Any) -> None:
    x = np.random.default_rng(0).normal(size=7 * lanes(kind)).astype(kind)
    found = np.empty(7)
    over(sums_of, kind, np.float64)(x, found)
    exact = x.astype(float).reshape(7, -1)
    assert np.abs(found - exact.sum(1)).max() <= 1e-15 * np.abs(exact).sum(1).max()


# ---------------------------------------------------------------------- products


@cache
def product_for(kind: Any) -> Callable:
    flat, at = types.Array(NUMBERS[kind], 1, "C"), types.int64
    steps = [types.UniTuple(at, count) for count in (3, 4, 3, 5)]
    return kept(product_of, types.void(flat, steps[0], flat, steps[1], flat, steps[2], steps[3]))


@every_type
@pytest.mark.parametrize("entries", [1, 2, 7, 33])
@pytest.mark.parametrize(("parts", "results"), [(1, 1), (3, 1), (1, 3), (2, 2)], ids=str)
def test_tiles_make_up_products_of_all_shapes(
    kind: Any, entries: int, parts: int, results: int
) -> None:
    rng = np.random.default_rng(entries)
    for rows, wide in product(range(1, 14), range(1, 6)):
        columns = wide * lanes(kind)
        a = rng.normal(size=(rows, parts, entries)).astype(kind)
        b = rng.normal(size=(parts, entries, results, columns)).astype(kind)
        ahead, gap = 3, 5  # before all, and between the rows of the result
        step = columns + gap
        c = np.full(ahead + results * rows * step, np.nan, kind)
        product_for(kind)(
            *(np.append(np.nan, a).astype(kind), (1, parts * entries, entries)),
            *(
                np.append(np.nan, b).astype(kind),
                (1, results * columns, entries * results * columns, columns),
            ),
            *(c, (ahead, step, rows * step)),
            (rows, wide, entries, parts, results),
        )
        found = c[ahead:].reshape(results, rows, step)
        wanted = np.einsum("rpe,peqc->qrc", a.astype(float), b.astype(float))
        size = np.einsum("rpe,peqc->qrc", np.abs(a).astype(float), np.abs(b).astype(float))
        bound = (parts * entries + 1) * np.finfo(kind).eps * size
        assert (np.abs(found[..., :columns] - wanted) <= bound).all(), (rows, wide)
        assert np.isnan(found[..., columns:]).all()  # nothing is written beside the result
        assert np.isnan(c[:ahead]).all()
