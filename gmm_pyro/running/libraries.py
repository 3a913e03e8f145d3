"""Which libraries workers have: the same as this process, or results may differ in their bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OWN = "gmm_pyro"
NEEDED = ("torch", "numpy")  # without which nothing works
NAMES = (OWN, *NEEDED, "numba")  # whether it is there at all, a fit asks when it is to compile

Versions = Mapping[str, str | None]  # of libraries by name; None of what is not there


def refuse_strange(own: Versions, workers: Mapping[str, Versions]) -> list[str]:
    """How workers differ from this process.

    Args:
        own: what is installed here.
        workers: what is installed there, by the names of workers.

    Returns:
        What a worker has that differs, in words, for each of those that have something.

    Raises:
        ValueError: if a worker lacks what it needs, or has another version of this package.
    """
    differing = []
    for worker, theirs in workers.items():
        found = [name for name in NAMES if theirs[name] != own[name]]
        words = f"{worker} has {_in_words(theirs, found)}, and this process {_in_words(own, found)}"
        if OWN in found or any(name in NEEDED and theirs[name] is None for name in found):
            raise ValueError(f"workers must have the libraries of this process: {words}")
        if any(theirs[name] is not None for name in found):
            differing.append(words)
    return differing


def _in_words(versions: Versions, names: list[str]) -> str:
    told = (f"{name} {versions[name]}" if versions[name] else f"no {name}" for name in names)
    return ", ".join(told)


def libraries_of(client: Any) -> tuple[Versions, dict[str, Versions]]:
    """What is installed here, and at each worker of a client of `distributed`."""
    found = client.get_versions(packages=NAMES)
    answers = {name: told for name, told in found["workers"].items() if isinstance(told, Mapping)}
    return found["client"]["packages"], {name: t["packages"] for name, t in answers.items()}
