"""Priors from a TOML file: distributions by site, or the numbers of the conjugate prior.

A table for each site, `[means]`, has the name of its distribution, which is any of Pyro's, and the
arguments of that: a number, a list, or a table with a number for each feature. A table
`[conjugate]` in their place has fields of `ConjugatePriors`. Of these the concentration may be a
table with a `kind`, and a `value`, or a distribution with its arguments; and the scale a table with
`kind = "random"`, `dof` and `mean`.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.checks import meant, shown

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.points import Observations
    from ..model.conjugate import ConjugatePriors
    from ..model.priors import Priors
    from ..model.program import MixtureModel

SITES = ("weights", "means", "scales", "correlations")
UNITS = ("location", "spread")
CONJUGATE = "conjugate"
OF_CONJUGATE = ("concentration", "mean", "mean_strength", "dof", "scale", "mean_scale", "spread")
KIND = "distribution"
CONCENTRATIONS = {"static": "Static", "dynamic": "Dynamic", "dirichlet process": "DirichletProcess"}
RANDOM = "random"


@dataclass(frozen=True)
class PriorFile:
    """What a file says of priors.

    Attributes:
        path: the file.
        content: its tables, whose names are checked.
    """

    path: Path
    content: Mapping[str, Any]

    def facts(self) -> dict[str, Any]:
        """The file and its content, for a file of settings."""
        return {"file": self.path, "content": dict(self.content)}


def read_priors(path: Path | None) -> PriorFile | None:
    """What a file says of priors; None without one.

    Raises:
        ValueError: if it is no TOML, or names what there is not.
        OSError: if it cannot be read.
    """
    from ..disk.untrusted import content_named

    if path is None:
        return None
    with content_named(f"{path} cannot be read", ValueError):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    with content_named(str(path), ValueError):
        _check_names("the file", content, (*SITES, *UNITS, CONJUGATE))
        if not content:
            raise ValueError(f"it must have some of the tables {', '.join((*SITES, CONJUGATE))}")
        if CONJUGATE in content and len(content) > 1:
            others = ", ".join(name for name in content if name != CONJUGATE)
            raise ValueError(f"[{CONJUGATE}] stands alone; there is also {others}")
        for name in content.keys() - set(UNITS):
            _check_table(name, content[name])
        _check_names(f"[{CONJUGATE}]", content.get(CONJUGATE, {}), OF_CONJUGATE)
        for site in content.keys() & set(SITES):
            _distribution_named(site, content[site])
    return PriorFile(path, content)


def _check_table(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        message = f"{name} must be a table, [{name}]; got {shown(value)}"
        raise ValueError(message)  # noqa: TRY004 - of a file, not of an argument


def refuse_without_priors(methods: Sequence[str], file: PriorFile | None) -> None:
    """Refuse priors for methods none of which has any.

    Raises:
        ValueError: if that is so.
    """
    from ..inference.methods import METHODS

    rows = [METHODS[name] for name in methods if name in METHODS]
    if file is None or not rows:  # unknown names are refused elsewhere
        return
    names = " and ".join(methods)
    if all(row.priors is None for row in rows):
        having = ", ".join(name for name, row in METHODS.items() if row.priors is not None)
        raise ValueError(f"--priors is for methods with priors, {having}; got {names}")
    if CONJUGATE not in file.content and all(row.conjugate for row in rows):
        raise ValueError(f"{file.path}: {names} needs a table [{CONJUGATE}], and no other")


def with_priors(
    model: MixtureModel, file: PriorFile | None, observations: Observations
) -> MixtureModel:
    """The model with the priors that a file gives it, which are checked with these data.

    Raises:
        ValueError: if they are none, or do not fit the model.
    """
    from ..disk.untrusted import content_named

    if file is None:
        return model
    with content_named(str(file.path), ValueError):
        priors = _priors(file.content, observations.feature_names, model.n_components)
        found = replace(model, priors=priors)
        found.specialise(observations).sites()
        return found


def _priors(content: Mapping[str, Any], names: Sequence[str], k: int) -> Priors | ConjugatePriors:
    from ..model.conjugate import ConjugatePriors
    from ..model.priors import Priors

    given: dict[str, Any]
    if CONJUGATE in content:
        table = content[CONJUGATE]
        given = {key: _of_conjugate(key, table[key], names) for key in table}
        return ConjugatePriors(**_one_each(given, len(names)))
    given = {name: _numbers(name, content[name], names) for name in UNITS if name in content}
    for name in (name for name in SITES if name in content):
        given[name] = _distribution(name, content[name], names, k)
    return Priors(**_one_each(given, len(names)))


def _of_conjugate(key: str, value: Any, names: Sequence[str]) -> Any:
    """A field of the conjugate prior: numbers, or of what kind it is where it is unknown itself."""
    place = f"[{CONJUGATE}.{key}]"
    if key == "concentration" and isinstance(value, dict):
        return _concentration(place, value, names)
    if key != "scale" or not isinstance(value, dict) or value.get("kind") != RANDOM:
        return _numbers(f"[{CONJUGATE}] {key}", value, names)
    from ..model.hierarchy import RandomScale

    _check_names(place, value, ("kind", "dof", "mean"))
    given: dict[str, Any] = {}
    if "dof" in value:
        given["dof"] = _number(f"{place} dof", value["dof"])
    if "mean" in value:
        given["mean"] = _numbers(f"{place} mean", value["mean"], names)
    return RandomScale(**given)


def _concentration(place: str, table: Mapping[str, Any], names: Sequence[str]) -> Any:
    """A concentration of some kind, that is a number, or has a distribution or the kind's own."""
    from ..data.checks import check_choice
    from ..model import concentration

    kind = check_choice(f"{place} kind", table.get("kind", "static"), CONCENTRATIONS)
    rest = {name: value for name, value in table.items() if name != "kind"}
    make = getattr(concentration, CONCENTRATIONS[kind])
    if KIND in rest:
        return make(_distribution(place[1:-1], rest, names, 1))
    _check_names(place, rest, ("value",))
    given = {name: _number(f"{place} {name}", rest[name]) for name in rest}
    if not given and kind == "static":
        raise ValueError(f"{place} must have a value, or a {KIND} of it")
    return make(**given)


def _one_each(given: Mapping[str, Any], d: int) -> dict[str, Any]:
    """What is given, with a number for each feature in the place of a single one for all."""
    return {
        name: value.expand(d).clone() if name in UNITS and value.ndim == 0 else value
        for name, value in given.items()
    }


def _distribution(site: str, table: Mapping[str, Any], names: Sequence[str], k: int) -> Any:
    """The distribution of a site, with what follows from the number of components and features."""
    kind = _distribution_named(site, table)
    arguments: dict[str, Any] = {
        key: _numbers(f"[{site}] {key}", value, names)
        for key, value in table.items()
        if key != KIND
    }
    concentration = arguments.get("concentration")
    if kind.__name__ == "Dirichlet" and concentration is not None and concentration.ndim == 0:
        arguments["concentration"] = concentration.expand(k)
    if "dim" in _arguments(kind):
        arguments["dim"] = int(arguments.get("dim", len(names)))
    parameters = inspect.signature(kind).parameters
    for name in _arguments(kind):
        if name not in arguments and parameters[name].default is inspect.Parameter.empty:
            raise ValueError(f"[{site}] must have {name}, which {kind.__name__} takes")
    try:
        return kind(**arguments, validate_args=True)
    except ValueError as error:
        raise ValueError(f"[{site}] {error}") from error


def _distribution_named(site: str, table: Mapping[str, Any]) -> Any:
    """The class of the distribution of a site, which knows all keys of its table."""
    import pyro.distributions as dist
    from torch.distributions import Distribution

    known = [
        name
        for name, value in vars(dist).items()
        if inspect.isclass(value) and issubclass(value, Distribution) and not name.startswith("_")
    ]
    name = table.get(KIND)
    if name is None:
        raise ValueError(f'[{site}] must have a {KIND}, as {KIND} = "Normal"')
    if name not in known:
        raise ValueError(
            f"[{site}] {KIND} must be one of Pyro's; got {shown(name)}{meant(name, known)}"
        )
    kind = getattr(dist, name)
    _check_names(f"[{site}]", table, (KIND, *_arguments(kind)))
    return kind


def _arguments(kind: Any) -> list[str]:
    return [name for name in inspect.signature(kind).parameters if name != "validate_args"]


def _check_names(place: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    for name in table:
        if name not in known:
            listed = ", ".join(known)
            raise ValueError(f"{place} has no {name!r}: it may have {listed}{meant(name, known)}")


def _numbers(place: str, value: Any, names: Sequence[str]) -> Tensor:
    """A number, a list of them, lists of these, or one a feature by its name."""
    import torch

    if isinstance(value, dict):
        if value.keys() != set(names):
            raise ValueError(
                f"{place} must have a number for each of {', '.join(names)}; got "
                f"{', '.join(value) or 'none'}"
            )
        value = [value[name] for name in names]
    if not _are_numbers(value):
        raise ValueError(f"{place} must be a number, or numbers in a list; got {shown(value)}")
    try:
        return torch.tensor(value, dtype=torch.float64)
    except ValueError as error:
        raise ValueError(f"{place} must have lists of one length; got {shown(value)}") from error


def _number(place: str, value: Any) -> float:
    """A single number."""
    if isinstance(value, list) or not _are_numbers(value):
        raise ValueError(f"{place} must be a number; got {shown(value)}")
    return float(value)


def _are_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > 0 and all(map(_are_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool)
