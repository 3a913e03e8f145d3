"""Priors from tables of words and numbers, as a TOML file has them.

A table for each site, `[means]`, has the name of its distribution, which is any of Pyro's, and the
arguments of that: a number, a list, or a table with a number for each feature. A table
`[conjugate]` in their place has fields of `ConjugatePriors`. Of these the concentration may be a
table with a `kind`, and a `value`, or a distribution with its arguments; and the scale a table with
`kind = "random"`, `dof` and `mean`.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution

from ..data.checks import check_choice, meant, shown
from .concentration import DirichletProcess, Dynamic, Static
from .conjugate import ConjugatePriors
from .hierarchy import RandomScale
from .priors import Priors

SITES = ("weights", "means", "scales", "correlations")
UNITS = ("location", "spread")
CONJUGATE = "conjugate"
OF_CONJUGATE = ("concentration", "mean", "mean_strength", "dof", "scale", "mean_scale", "spread")
KIND = "distribution"
CONCENTRATIONS = {"static": Static, "dynamic": Dynamic, "dirichlet process": DirichletProcess}
RANDOM = "random"


def check_tables(content: Mapping[str, Any], what: str) -> None:
    """Refuse tables that are no priors, as far as it can be told without data.

    Args:
        content: the tables, by name.
        what: what messages call them.

    Raises:
        ValueError: if one names what there is not.
    """
    _check_names(what, content, (*SITES, *UNITS, CONJUGATE))
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


def _check_table(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        message = f"{name} must be a table, [{name}]; got {shown(value)}"
        raise ValueError(message)  # noqa: TRY004 - of a file, not of an argument


def priors_from(
    content: Mapping[str, Any], names: Sequence[str], k: int
) -> Priors | ConjugatePriors:
    """The priors that tables say.

    Args:
        content: the tables, by name.
        names: names of the features.
        k: number of components.

    Raises:
        ValueError: if they are none, or need what is not there.

    Example:
        >>> priors_from({"conjugate": {"dof": 5, "scale": {"kind": "random"}}}, ["x0"], 3).dof
        tensor(5., dtype=torch.float64)
    """
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
    if key == "concentration" and isinstance(value, Mapping):
        return _concentration(place, value, names)
    if key != "scale" or not isinstance(value, Mapping) or value.get("kind") != RANDOM:
        return _numbers(f"[{CONJUGATE}] {key}", value, names)
    _check_names(place, value, ("kind", "dof", "mean"))
    given: dict[str, Any] = {}
    if "dof" in value:
        given["dof"] = _number(f"{place} dof", value["dof"])
    if "mean" in value:
        given["mean"] = _numbers(f"{place} mean", value["mean"], names)
    return RandomScale(**given)


def _concentration(place: str, table: Mapping[str, Any], names: Sequence[str]) -> Any:
    """A concentration of some kind, that is a number, or has a distribution or the kind's own."""
    kind = check_choice(f"{place} kind", table.get("kind", "static"), CONCENTRATIONS)
    rest = {name: value for name, value in table.items() if name != "kind"}
    make: Any = CONCENTRATIONS[kind]
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
    if isinstance(value, Mapping):
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
