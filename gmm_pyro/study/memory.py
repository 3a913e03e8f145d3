"""By how much the memory of this process grows while something runs."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MIB = 2**20


class Memory:
    """The largest resident memory from now on, beside what there is now.

    Linux forgets earlier peaks when it is asked to. Elsewhere the peak is that of the process's
    whole life, so that what stays below an earlier peak counts as nothing.
    """

    def __init__(self) -> None:
        with suppress(OSError):
            RESET.write_text("5")  # forget the peak: proc(5)
        self._before = _resident()[0]

    def growth(self) -> float:
        """How far the largest was above what there was, in MiB; NaN where it is not known."""
        return max(0.0, _resident()[1] - self._before) / MIB


def _resident() -> tuple[float, float]:
    """Resident memory, and the peak of it, in bytes."""
    try:
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return tuple(1024.0 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]
    except (OSError, KeyError, ValueError):
        peak = _peak_of_life()
        return peak, peak


def _peak_of_life() -> float:
    try:
        import resource
    except ImportError:  # on Windows
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
