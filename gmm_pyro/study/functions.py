"""Functions as methods of a study, and how they are named in a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..data.checks import shown
from .answers import Answer, answer_of
from .entries import OWN, Entry, Task


@dataclass(frozen=True, eq=False)
class Function(Entry):
    """A function of points, shape (n, d), that gives labels, a mixture or a fit.

    It is also told what it has arguments for: `k`, the number of components; `seed`;
    `sample_weight`, shape (n,) or None; `start`, labels or None; and its options.

    A study knows a function by the name: one that has changed is another method by another name.

    Attributes:
        function: what is called.
    """

    function: Callable[..., Any] = len

    def run(self, task: Task) -> Answer:
        """What the function says."""
        data = task.data
        weight = None if data.sample_weight is None else data.sample_weight.cpu().numpy()
        if weight is not None and "sample_weight" not in self._arguments:
            raise ValueError(f"{self.name} takes no sample_weight, which {data.name} has")
        offered: dict[str, Callable[[], Any]] = {
            "k": lambda: self.k(data),
            "seed": lambda: task.seed,
            "sample_weight": lambda: weight,
            "start": lambda: None if task.start is None else task.start.numpy(),
        }
        taken = {name: give() for name, give in offered.items() if name in self._arguments}
        if self.n_components == OWN:
            taken.pop("k", None)
        return answer_of(
            self.function(data.x.cpu().numpy().copy(), **{**taken, **self.options}), data
        )

    def rehearse(self) -> None:
        """Nothing: a function may count its calls."""

    @property
    def _arguments(self) -> list[str]:
        try:
            return list(inspect.signature(self.function).parameters)[1:]
        except (TypeError, ValueError):  # some that are written in C say nothing of themselves
            return []


def imported(name: str) -> Any:
    """What "module:name" stands for.

    Raises:
        ValueError: if there is no such module, or nothing of this name in it.

    Example:
        >>> imported("math:sqrt")(4.0)
        2.0
    """
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{shown(name)} cannot be imported: {error}") from error
    return found


def name_of(value: Any) -> str | None:
    """The "module:name" that something can be imported by, or None if it cannot be.

    Example:
        >>> import math
        >>> name_of(math.sqrt), name_of(lambda x: x)
        ('math:sqrt', None)
    """
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if module in (None, "__main__") or path is None or "<" in path:
        return None
    try:
        found = imported(f"{module}:{path}")
    except ValueError:
        return None
    return f"{module}:{path}" if found is value else None
