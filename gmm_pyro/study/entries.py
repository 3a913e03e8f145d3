"""What every method of a study is: a name, what it is told, and how it runs on a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Int
from torch import Tensor

from ..data.checks import check_count, shown
from ..datasets import OUTLIER, Dataset, make_mixture
from .answers import Answer

OWN = "own"  # of a number of components: what the method has by itself


@dataclass(frozen=True, eq=False)
class Task:
    """What a method is given.

    Attributes:
        data: the data set.
        seed: of all that is random.
        start: labels to start from, shape (n,), or None.
    """

    data: Dataset
    seed: int
    start: Int[Tensor, "n"] | None = None


@dataclass(frozen=True, eq=False)
class Entry(ABC):
    """A method of a study.

    Attributes:
        name: what it is called in tables.
        n_components: number of components; None for the truth's, "own" for the method's own.
        options: what else it is told, by name.
        written: what TOML has for the method itself, or None where it cannot have it.
    """

    name: str
    n_components: int | str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    written: str | None = None

    def __post_init__(self) -> None:
        """Check the number of components."""
        k = self.n_components
        if k is not None and k != OWN:
            if isinstance(k, str):
                raise ValueError(f"n_components must be a number, {OWN!r} or None, got {shown(k)}")
            object.__setattr__(self, "n_components", check_count("n_components", k))

    @abstractmethod
    def run(self, task: Task) -> Answer:
        """What the method says about the data.

        Raises:
            Exception: whatever the method raises.
        """

    @property
    def facts(self) -> dict[str, Any]:
        """All that the method is told, by name."""
        return {
            "method": self.written or self.name,
            "n_components": self.n_components,
            **self.options,
        }

    def rehearse(self) -> None:
        """Run on a few points, so that what is imported on the way is not counted later."""
        self.run(Task(few_points(), 0))

    def k(self, data: Dataset) -> int:
        """The number of components for a data set.

        Raises:
            ValueError: if it is not known.
        """
        if isinstance(self.n_components, int):
            return self.n_components
        k = known_size(data)
        if k is not None:
            return k
        raise ValueError(f"{data.name} has no known number of components: give n_components")


def few_points() -> Dataset:
    """What methods are rehearsed on."""
    return make_mixture(n=30, k=2, d=2, separation=4.0, seed=0)


def known_size(data: Dataset) -> int | None:
    """The number of components of the truth, or of classes, or None where neither is known."""
    if data.truth is not None:
        return data.truth.n_components
    if data.labels is not None and (data.labels != OUTLIER).any():
        return len(data.labels[data.labels != OUTLIER].unique())
    return None
