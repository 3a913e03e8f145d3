"""How loops are compiled: without the interpreter's lock, kept on disk where that can be."""

from __future__ import annotations

from typing import Any

from numba import njit

compiled: Any = njit(nogil=True, error_model="numpy")
compiled_in_place: Any = njit(nogil=True, error_model="numpy", forceinline=True)


def kept(function: Any, signature: Any) -> Any:
    """A function compiled for a signature, or read from where an earlier process has kept it.

    Where neither the package's folder nor the user's own can be written, it is not kept.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(signature, cache=True, **options)(function)
    except (RuntimeError, OSError):
        return njit(signature, **options)(function)
