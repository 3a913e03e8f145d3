"""What a fork must do so that nothing in the child waits for threads that are the parent's alone.

Only the thread that forks goes on in the child. GNU's OpenMP, which torch computes with, would give
work to the threads that it had before and wait for them for ever; and a lock that another thread
held stays locked.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import cached_property
from typing import Any

SOFT = 1  # OpenMP's omp_pause_soft: threads end, settings stay; the next work starts new ones

_is_paused = True  # whether no OpenMP had threads that could not be ended before the last fork


def register() -> None:
    """Prepare every later fork of this process; where there are none, as on Windows, do nothing."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_end_threads, after_in_child=_renew)


def _end_threads() -> None:
    """End the threads of OpenMP; in parent and child alike, the next product starts them anew."""
    global _is_paused  # noqa: PLW0603 - the child is told by what it inherits
    if "torch" not in sys.modules:
        return
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(prefix="libgomp").lib_controllers
    pauses = [getattr(library.dynlib, "omp_pause_resource_all", None) for library in found]
    _is_paused = all([pause is not None and pause(SOFT) == 0 for pause in pauses])


def _renew() -> None:
    """New locks in the child, and one thread for torch where OpenMP could not be paused."""
    if not _is_paused:
        import torch

        torch.set_num_threads(1)
    _renew_progress_bars()
    _renew_cached_properties()


def _renew_progress_bars() -> None:
    """The lock of tqdm, unless the user has set another; its half for processes stays shared."""
    bars: Any = sys.modules.get("tqdm.std")
    if bars is not None and isinstance(bars.tqdm.get_lock(), bars.TqdmDefaultWriteLock):
        bars.TqdmDefaultWriteLock.th_lock = threading.RLock()
        bars.tqdm.set_lock(bars.TqdmDefaultWriteLock())


def _renew_cached_properties() -> None:
    """Python 3.11 has a lock in each `cached_property`, for all instances together."""
    modules = [m for name, m in sys.modules.items() if name.partition(".")[0] == "gmm_pyro"]
    classes = {c for module in modules for c in vars(module).values() if isinstance(c, type)}
    for entry in (entry for cls in classes for entry in vars(cls).values()):
        if isinstance(entry, cached_property) and hasattr(entry, "lock"):
            entry.lock = threading.RLock()
