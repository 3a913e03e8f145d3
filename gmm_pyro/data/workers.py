"""What is said where workers are not as this process is."""

from __future__ import annotations

import warnings

from .tables import outside
from .words import enumerated

MOST_NAMED = 5  # workers, of those that have other libraries


class WorkerWarning(UserWarning):
    """Workers that have other libraries than this process."""


def say_unlike() -> None:
    """Warn of libraries of Dask's workers that are not those of this process.

    Raises:
        ValueError: if workers cannot work with this process at all.
    """
    from ..running.on_dask import unlike_here

    if found := unlike_here():
        warnings.warn(
            "the last bits of a result may depend on which worker has done what: "
            f"{enumerated(found, MOST_NAMED)}",
            WorkerWarning,
            stacklevel=outside(),
        )
