"""A study as TOML, and back: what of it can be said in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ..data.checks import check_list, check_mapping, check_path, meant, shown
from ..datasets import dataset_named
from ..designs import Design
from ..disk.untrusted import content_named
from .data_files import FILE, HERE, file_told
from .designs import GIVEN, Draws
from .entries import Entry
from .methods import method_from
from .ours import Ours
from .toml import read, written

PLAIN = ("metrics", "seed", "timeout", "covariance", "priors", "shared_start", "level")
USUAL = {"covariance": "full", "priors": None, "shared_start": False, "level": 0.9, "timeout": None}
TABLES = ("data", "methods")
OF_STUDY = (*PLAIN, "methods")  # and of no design


class Writable(Protocol):
    """What a file says of a study, beside its plain arguments."""

    @property
    def covariance(self) -> str:
        """Covariance family of our methods."""

    @property
    def priors(self) -> Any:
        """Their priors."""

    @property
    def designs(self) -> tuple[Draws, ...]:
        """Where the data come from."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The methods."""


def toml_or_none(study: Writable) -> str | None:
    """The study as TOML, or None where it cannot be written so."""
    try:
        return to_written(study)
    except ValueError:
        return None


def to_written(study: Writable) -> str:
    """The study as TOML; see `Study.to_toml`."""
    facts = {name: getattr(study, name) for name in PLAIN}
    content = {n: v for n, v in facts.items() if n not in USUAL or v != USUAL[n]}
    methods = [_method(entry, study.covariance, study.priors) for entry in study.entries]
    if all(list(method) == ["method"] for method in methods):
        content["methods"] = [method["method"] for method in methods]
        methods = []
    content["data"] = [design.to_dict() for design in study.designs]
    return written(content | ({"methods": methods} if methods else {}))


def _method(entry: Entry, covariance: str, priors: Any) -> dict[str, Any]:
    """What a file says of a method: no more than it must.

    Raises:
        ValueError: if the method is a function or a class that has no name.
    """
    if entry.written is None:
        raise ValueError(
            f"{entry.name} cannot be written as TOML: only what can be imported by a name can be"
        )
    told: dict[str, Any] = {"method": entry.written}
    if entry.n_components is not None:
        told["n_components"] = entry.n_components
    if isinstance(entry, Ours):
        own = {"covariance": (entry.covariance, covariance), "priors": (entry.priors, priors)}
        told |= {name: value for name, (value, usual) in own.items() if value is not usual}
    told |= entry.options
    plain = method_from(told, covariance=covariance, priors=priors).name == entry.name
    return told if plain else {"method": entry.written, "name": entry.name, **told}


def from_written(text: str, base: str | Path = HERE) -> dict[str, Any]:
    """The arguments of the study that a text says; see `Study.from_toml`."""
    base = check_path("base", base)
    content = read(text)
    known = (*PLAIN, *TABLES)
    for name in content:
        if name not in known:
            raise ValueError(
                f"a study has {', '.join(known)}; got {shown(name)}{meant(name, known)}"
            )
    data = check_list("data", content.get("data", []), "tables, each begun by [[data]]")
    _refuse_sunk(data)
    for name in TABLES:
        if name not in content:
            raise ValueError(f"the text of a study must have {name}: [[{name}]] begins an entry")
    if isinstance(content["methods"], list):
        for number, method in enumerate(content["methods"], 1):
            with content_named(f"methods, entry {number}"):
                method_from(method)
    designs = [_numbered(number, one, base) for number, one in enumerate(data, 1)]
    return {**content, "data": designs}


def _refuse_sunk(data: list[Any]) -> None:
    """Refuse what was meant for the study, and stands below the head of an entry."""
    for number, one in enumerate(data, 1):
        sunk = [name for name in OF_STUDY if isinstance(one, Mapping) and name in one]
        if sunk:
            raise ValueError(
                f"{sunk[0]} is in [[data]], entry {number}: as a word on the whole study it must "
                "stand above the first [[data]]"
            )


def _numbered(number: int, told: Any, base: Path) -> Any:
    """A design or a data set, whose mistakes are told with its place."""
    with content_named(f"[[data]], entry {number}"):
        return _design(told, base)


def _design(told: Any, base: Path) -> Any:
    told = check_mapping("data", told, "kind and factors")
    if told.get("kind") == GIVEN:
        return _given(told)
    if told.get("kind") == FILE:
        return file_told(told, base)
    return Design.from_dict(told)


def _given(told: Mapping[str, Any]) -> Any:
    """A data set by its name."""
    if set(told) != {"kind", "name"}:
        raise ValueError(f"data of the kind {GIVEN!r} have a name alone, got {shown(dict(told))}")
    return dataset_named(told["name"])
