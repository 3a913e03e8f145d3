"""Array-likes as NumPy arrays: real numbers, whole numbers, classes of points.

What an object is, its class says: attributes of the object itself may be called anything, as the
coordinates of xarray's arrays and the columns of frames are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from numbers import Real
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from .checks import shown
from .devices import PRECISIONS

KINDS = {
    "c": "complex numbers",
    "U": "strings",
    "S": "bytes",
    "M": "dates",
    "m": "durations",
    "O": "objects",
    "V": "records",
}


def array_of(value: Any, name: str, wanted: str = "an array of numbers") -> np.ndarray:
    """A value as an array of any type, without a copy where there can be one.

    Args:
        value: what was given.
        name: the argument's name.
        wanted: what it should be, for messages.

    Raises:
        ValueError: if it is not dense, or not rectangular.
    """
    if isinstance(value, Tensor):
        return _numbers_of(dense_tensor(value, name))
    if hasattr(type(value), "toarray"):
        raise ValueError(f"{name} must be dense, got {type(value).__name__}: call its toarray()")
    if isinstance(value, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(value.astype(float), np.nan))
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array: {error}") from error
    except Exception as error:  # whatever an object's own conversion raises
        kind = type(value).__name__
        raise ValueError(f"{name} must be {wanted}, got {kind}: {error}") from error
    if array.dtype == object and array.ndim == 0 and not isinstance(value, Real):
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}{_instead(value)}")
    return array


def _instead(value: Any) -> str:
    """What to pass in the place of an object, as the end of a message."""
    if isinstance(value, Mapping):
        return ": pandas.DataFrame makes a frame of it"
    return ": pass its .x" if isinstance(getattr(value, "x", None), Tensor) else ""


def dense_tensor(tensor: Tensor, name: str) -> Tensor:
    """The tensor, if it holds real numbers, and all of them.

    Raises:
        ValueError: if it does not.
    """
    if tensor.is_complex() or tensor.layout != torch.strided:
        raise ValueError(
            f"{name} must be dense and real, got a {tensor.layout} tensor of {tensor.dtype}"
        )
    if tensor.is_meta:
        raise ValueError(f"{name} must hold numbers, got a tensor without any, on device 'meta'")
    return tensor


def _numbers_of(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu().resolve_neg()
    known = tensor.dtype in PRECISIONS.values() or not tensor.is_floating_point()
    return np.asarray((tensor if known else tensor.float()).numpy())  # NumPy has no bfloat16


def real(array: np.ndarray, name: str) -> np.ndarray:
    """The array as real numbers; None is no number.

    Raises:
        ValueError: if it holds anything else, which is named.
    """
    if array.dtype == object and not any(isinstance(v, str | complex) for v in array.flat):
        try:
            array = array.astype(float)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name} must hold real numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        held = KINDS.get(array.dtype.kind, str(array.dtype))
        if array.dtype == object and any(isinstance(v, str) for v in array.flat):
            held = "strings"
        raise ValueError(f"{name} must hold real numbers, got {held} (dtype {array.dtype})")
    return array


def finite(value: Any, name: str) -> Float[np.ndarray, "*shape"]:
    """An array of finite numbers in float64.

    Raises:
        ValueError: if the value is none.
    """
    with np.errstate(over="ignore"):  # what does not fit is infinite then
        array = real(array_of(value, name), name).astype(float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {shown(value)}")
    return array


def whole_numbers(value: Any, name: str, wanted: str) -> Int[np.ndarray, "m"]:
    """One or more integers in a row.

    Args:
        value: what was given.
        name: the argument's name.
        wanted: what it should hold, for the message.

    Raises:
        ValueError: if the value holds anything else.
    """
    array = array_of(value, name, wanted)
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    return array.astype(np.int64)


def rows_of(value: Any, n: int) -> Int[np.ndarray, "m"]:
    """Numbers of rows, from one or more numbers or from n booleans.

    Raises:
        ValueError: if there are no such rows.
    """
    wanted = f"one or more integers, or {n} booleans"
    given = array_of(value, "rows", wanted)
    chosen = given.dtype == bool and given.shape == (n,)
    rows = whole_numbers(given.nonzero()[0] if chosen else value, "rows", wanted)
    if rows.min() < 0 or rows.max() >= n:
        raise ValueError(f"rows must be different numbers from 0 to {n - 1}, got {shown(value)}")
    return rows


def classes(value: Any, name: str, n: int | None = None) -> Shaped[np.ndarray, "n"]:
    """The class of each point: numbers, or words.

    Args:
        value: what was given, array-like of shape (n,).
        name: the argument's name.
        n: how many there must be, if that is known.

    Raises:
        ValueError: if the value is of another shape, or holds what is neither.

    Example:
        >>> classes(["setosa", "virginica"], "labels").tolist()
        ['setosa', 'virginica']
    """
    array = _of_one_kind(array_of(value, name))
    if array.ndim != 1 or (n is not None and len(array) != n):
        size = "n" if n is None else n
        raise ValueError(f"{name} must have shape ({size},), got {array.shape}")
    if array.dtype.kind not in "iubfUS" or (array.dtype.kind == "f" and np.isnan(array).any()):
        held = "NaN" if array.dtype.kind == "f" else KINDS.get(array.dtype.kind, array.dtype)
        raise ValueError(f"{name} must be numbers or words, one a point; got {held}")
    return array


def _of_one_kind(array: np.ndarray) -> np.ndarray:
    """An array of objects as one of words or of numbers, where all of them are."""
    if array.dtype != object:
        return array
    if all(isinstance(item, str) for item in array.flat):
        return array.astype(str)
    if all(_is_finite(item) for item in array.flat):
        return array.astype(float)
    return array


def _is_finite(item: Any) -> bool:
    real = isinstance(item, Real)
    return real and bool(abs(item) <= sys.float_info.max)


def aliased(array: np.ndarray) -> Tensor:
    """A tensor on the array's own memory where torch can share it, a copy where it cannot."""
    if array.dtype.kind in "iub" or array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    odd = any(stride < 0 or stride % array.itemsize for stride in array.strides)
    if odd or not array.dtype.isnative:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if array.size and not array.flags.writeable:
        # Without the mark, at which torch would warn: nothing here writes to the data.
        pointer, _ = array.__array_interface__["data"]
        interface = {**array.__array_interface__, "data": (pointer, False)}
        array = np.asarray(SimpleNamespace(__array_interface__=interface, keeps_alive=array))
    return torch.from_numpy(array)
