"""exp and log of lanes, to 2 units in the last place.

exp: x = j log 2 + r with an integer j, and e^x = 2^j e^r with a Taylor series in |r| < .35.
log: x = 2^j m with m in [√½, √2), and log m = 2 artanh s with s = (m - 1) / (m + 1), |s| < .18.

Source: Tang (1989, 1990), "Table-driven implementation of the exponential function" and "… of the
logarithm function in IEEE floating-point arithmetic", for the two-part log 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numba.extending import intrinsic, overload

from .lanes import (
    Lanes,
    constant,
    exponent_of,
    fill,
    fraction_of,
    fused,
    larger,
    multiply_add,
    power_of_two,
    vector,
    where_less,
)

MAGIC = {64: 1.5 * 2.0**52, 32: 1.5 * 2.0**23}  # plus x rounds x to an integer
LOG2_HIGH = 0.693145751953125  # so few bits that its product with an exponent is exact
LOG2_LOW = math.log(2) - LOG2_HIGH + 2.3190468138462996e-17  # the last is what log(2) lacks
RANGE = {64: (-708.0, 709.0), 32: (-87.0, 88.0)}  # where e^x is a normal number
TAYLOR = {64: 13, 32: 7}  # terms of e^r
ARTANH = {64: 10, 32: 4}  # terms of artanh s / s - 1
EVEN = math.sqrt(2.0)


def _polynomial(coefficients: Sequence[float]) -> Any:
    """A function of lanes: the polynomial with these coefficients, the highest first."""

    @intrinsic
    def horner(typing: Any, x: Any) -> Any:
        kind = vector(x.dtype)

        def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            total = constant(kind, coefficients[0])
            for coefficient in coefficients[1:]:
                total = multiply_add(builder, total, values[0], constant(kind, coefficient))
            return total

        return x(x), build

    return horner


def exp(x: Any) -> Any:
    """e^x of lanes; NaN stays NaN, and what is out of range goes to its end."""
    raise NotImplementedError


def log(x: Any) -> Any:
    """log x of lanes, which are positive normal numbers; NaN stays NaN."""
    raise NotImplementedError


@overload(exp, inline="always")
def _exp(x: Any) -> Any:
    if not isinstance(x, Lanes):
        return None
    bits = x.dtype.bitwidth
    magic, (low, high), terms = MAGIC[bits], RANGE[bits], TAYLOR[bits]
    series = _polynomial([1 / math.factorial(i) for i in range(terms, -1, -1)])
    scale = 1 / math.log(2)

    def of_lanes(x: Any) -> Any:
        x = larger(fill(x, low), x)
        x = where_less(fill(x, high), x, fill(x, high), x)
        shifted = fused(x, fill(x, scale), fill(x, magic))
        j = shifted - fill(x, magic)
        r = fused(j, fill(x, -LOG2_LOW), fused(j, fill(x, -LOG2_HIGH), x))
        return series(r) * power_of_two(shifted)

    return of_lanes


@overload(log, inline="always")
def _log(x: Any) -> Any:
    if not isinstance(x, Lanes):
        return None
    terms = ARTANH[x.dtype.bitwidth]
    series = _polynomial([2 / (2 * i + 1) for i in range(terms, 0, -1)])

    def of_lanes(x: Any) -> Any:
        one, even = fill(x, 1.0), fill(x, EVEN)
        m, j = fraction_of(x), exponent_of(x)
        j = where_less(even, m, j + one, j)
        m = where_less(even, m, fill(x, 0.5) * m, m)
        f = m - one
        s = f / (m + one)
        square = s * s
        bend = series(square) * square  # artanh s = s (1 + bend / 2)
        high = fused(j, fill(x, LOG2_HIGH), f)
        # 2 s = f - s f
        found = high + fused(j, fill(x, LOG2_LOW), s * (bend - f))
        return where_less(fill(x, 0.0), x, found, x)

    return of_lanes
