"""How loops are compiled: without the interpreter's lock, kept on disk where that can be."""

from __future__ import annotations

from typing import Any

from numba import njit

OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
INNER = {**OPTIONS, "no_cpython_wrapper": True}  # of functions that only others of these call
compiled: Any = njit(**INNER)
compiled_in_place: Any = njit(**INNER, forceinline=True)
part_of_caller: Any = njit(**INNER, inline="always")  # which spares a round of the compiler


def kept(function: Any, signature: Any) -> Any:
    """A function compiled for a signature, or read from where an earlier process has kept it.

    Where neither the package's folder nor the user's own can be written, it is not kept.
    """
    try:
        return njit(signature, cache=True, **OPTIONS)(function)
    except (RuntimeError, OSError):
        return njit(signature, **OPTIONS)(function)
