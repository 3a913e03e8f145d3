"""`gmm-pyro methods`: what there is, from the registries."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .arguments import Json
from .names import METHOD_NAMES, completing
from .output import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from .options import MethodFacts


@dataclass(frozen=True, kw_only=True)
class MethodsArguments:
    """What `gmm-pyro methods` is told."""

    method: Annotated[
        str | None,
        typer.Argument(
            help="A method, to see its options; all methods and covariance families without it.",
            show_default=False,
            autocompletion=completing(*METHOD_NAMES),
        ),
    ] = None
    json: Json = False


def methods(told: MethodsArguments) -> None:
    """List the methods and covariance families, or the options of one method."""
    from ..inference.methods import METHODS
    from .options import method_facts

    if told.method is not None:
        facts = method_facts(told.method)
        if told.json:
            print_json(asdict(facts))
        else:
            _print_method(facts)
        return
    found = [method_facts(name) for name in METHODS]
    if told.json:
        every = {facts.name: asdict(facts) for facts in found}
        print_json({"methods": every, "families": _families()})
    else:
        _print_all(found)


def _families() -> dict[str, dict[str, Any]]:
    from ..covariance import FAMILIES

    return {
        name: {"mclust": family.mclust, "summary": _first_line(type(family))}
        for name, family in FAMILIES.items()
    }


def _first_line(documented: type) -> str:
    """The first line of a docstring, without mclust's code, which has a column of its own."""
    line = (documented.__doc__ or "").partition("\n")[0].strip()
    return re.sub(r"\s*\(mclust's \w+\)", "", line)


def _print_all(found: list[MethodFacts]) -> None:
    table = _table("method", "what it finds", "posterior", "priors")
    for facts in found:
        kind = "draws" if facts.draws else ""
        table.add_row(facts.name, facts.summary, kind, facts.priors or "")
    families = _table("covariance", "mclust", "what it is")
    for name, family in _families().items():
        families.add_row(name, family["mclust"], family["summary"])
    _print(table, "", families, "", "'gmm-pyro methods METHOD' lists the options of a method.")


def _print_method(facts: MethodFacts) -> None:
    from .options import OF_DATA

    table = _table("option", "default", "meaning")
    for option in facts.options:
        name = option.flag or f"--option {option.name}="
        table.add_row(name, str(option.default), option.meaning)
    for of_data, meaning in OF_DATA.items():
        table.add_row(f"--option {of_data}=", str(None), meaning)
    lines = [f"{facts.name}: {facts.summary}"]
    if facts.priors is not None:
        lines.append(f"Default priors: {facts.priors}.")
    _print(*lines, "", table)


def _table(*headers: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def _print(*parts: Any) -> None:
    from ..comparison.printed import plain_console

    console = plain_console()
    for part in parts:
        console.print(part)
