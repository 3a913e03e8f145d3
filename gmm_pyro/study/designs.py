"""Where the data of a study come from: designs, and data sets that are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ..data.checks import shown
from ..datasets import DATASETS, Dataset, dataset_named
from ..datasets.identity import fingerprint
from .plan import Planned, in_words

GIVEN = "dataset"  # the kind of a data set that is given, where it is written down


@runtime_checkable
class Draws(Protocol):
    """What a study asks of a design; see `gmm_pyro.designs.Design`."""

    @property
    def kind(self) -> str:
        """What is drawn."""

    @property
    def name(self) -> str:
        """What the design is called in tables."""

    @property
    def replicates(self) -> int:
        """Number of data sets at each setting."""

    def settings(self) -> list[dict[str, Any]]:
        """All combinations of the levels."""

    def draw(self, setting: Mapping[str, Any], seed: int) -> Dataset:
        """The data set of a setting and a seed, and of nothing else."""

    def to_dict(self) -> dict[str, Any]:
        """The design as TOML holds it."""


@dataclass(frozen=True, eq=False)
class Given:
    """A data set as a design: one setting, one replicate.

    Attributes:
        dataset: the data set.
        replicates: how often each method is run on it.
    """

    dataset: Dataset
    replicates: int = 1

    @property
    def kind(self) -> str:
        """It stands for these data and no others."""
        return f"{GIVEN} {fingerprint(self.dataset)}"

    @property
    def name(self) -> str:
        """That of the data."""
        return self.dataset.name

    def settings(self) -> list[dict[str, Any]]:
        """One, without factors."""
        return [{}]

    def draw(self, setting: Mapping[str, Any], seed: int) -> Dataset:
        """The data."""
        del setting, seed
        return self.dataset

    def to_dict(self) -> dict[str, Any]:
        """The name of the data.

        Raises:
            ValueError: if they are not the ones that the package has by this name.
        """
        known = dataset_named(self.name) if self.name in DATASETS else None
        if known is None or fingerprint(known) != fingerprint(self.dataset):
            raise ValueError(
                "only data that gmm_pyro has by name, and those of a data_file, can be written "
                f"down, got {self.dataset}"
            )
        return {"kind": GIVEN, "name": self.name}


def designs_of(data: Any) -> tuple[Draws, ...]:
    """Designs, from one or more designs and data sets.

    Raises:
        TypeError: if something is neither.
        ValueError: if there are none, or two of one name.
    """
    listed = list(data) if isinstance(data, list | tuple) else [data]
    found = tuple(_design_of(one) for one in listed)
    names = [design.name for design in found]
    if not found or len(set(names)) < len(names):
        raise ValueError(
            f"data must hold one or more designs and data sets of different names, got {names}"
        )
    return found


def _design_of(value: Any) -> Draws:
    if isinstance(value, Dataset):
        return Given(value)
    if isinstance(value, Draws) and not isinstance(value, type):
        return value
    raise TypeError(f"data must be a design or a Dataset, or a list of them, got {shown(value)}")


def planned(design: Draws) -> Planned:
    """The design, in words and numbers.

    Raises:
        ValueError: if it has no setting.
    """
    settings = tuple(in_words(setting) for setting in design.settings())
    if not settings:
        raise ValueError(f"the design {design.name!r} has no setting")
    return Planned(design.name, design.kind, settings, design.replicates)
