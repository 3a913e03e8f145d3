"""How loops are compiled: without the interpreter's lock, kept on disk where that can be.

numba names the files of a kept function by its own name, and knows of changes in its own file
alone. Here the name has a digest of all that the machine code depends on, so that one name stands
for one content, whoever writes it when: after an edit of any loop, for another type, on another
processor, or with another numba, there is another file.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.resources
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
from numba import njit
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target

from ... import covariance
from ...running.threads import beside
from .lanes import BITS

OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
INNER = {**OPTIONS, "no_cpython_wrapper": True}  # of functions that only others of these call
compiled: Any = njit(**INNER)
compiled_in_place: Any = njit(**INNER, forceinline=True)
part_of_caller: Any = njit(**INNER, inline="always")  # which spares a round of the compiler


def kept(function: Any, signature: Any) -> Any:
    """A function compiled for a signature, or read from where an earlier process has kept it.

    Where neither the package's folder nor the user's own can be written, it is not kept; files
    that cannot be read are made anew.
    """
    return beside(functools.partial(_made, function, signature))


def _made(function: Any, signature: Any) -> Any:
    """As `kept`, in whatever thread."""
    own = renamed(function, f"{function.__name__}_{digest(signature)}")
    for keep in (True, True, False):
        found = _dispatcher(own, keep=keep)
        try:
            found.compile(signature)
        except NumbaError:
            raise  # it is the function that is wrong
        except Exception:  # noqa: BLE001 - whatever a file with anything in it may lead to
            if not keep:
                raise
            _forget(own.__qualname__, found)
        if found.overloads:  # where it could only not be written, it is compiled nevertheless
            break
    found.disable_compile()
    return found


def renamed(function: Any, name: str) -> FunctionType:
    """The same function under another name."""
    own = FunctionType(function.__code__, function.__globals__, function.__name__)
    own.__qualname__ = name
    return own


def digest(signature: Any) -> str:
    """What tells machine code apart: all loops, the types, the processor, and who compiles."""
    target = cpu_target.target_context.codegen().magic_tuple()
    told = repr((sources(), str(signature), target, BITS, numba.__version__))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


@functools.cache
def sources() -> str:
    """A digest of all files of this folder and of the families', whose constants loops have."""
    folders = (importlib.resources.files(name) for name in (__package__, covariance.__name__))
    files = [file for folder in folders for file in folder.iterdir() if file.name.endswith(".py")]
    texts = (file.read_bytes() for file in sorted(files, key=str))
    return hashlib.sha256(b"".join(texts)).hexdigest()


def _dispatcher(function: Any, *, keep: bool) -> Any:
    """What compiles a function, and keeps it if that is wanted and there is a place for it."""
    try:
        return njit(**OPTIONS, cache=keep)(function)
    except (RuntimeError, OSError):
        return njit(**OPTIONS)(function)


def _forget(name: str, dispatcher: Any) -> None:
    """Remove the files of a function of this name that cannot be read."""
    with contextlib.suppress(OSError, TypeError):  # there is no path where nothing is kept
        for file in Path(dispatcher.stats.cache_path).glob(f"*.{name}-*"):
            file.unlink(missing_ok=True)
