"""The rooms of the package and who imports whom, from its source: for a page and its picture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "gmm_pyro"
RECORDS = (
    *("inference.task", "inference.result", "combining.record", "agglomeration.tree"),
    *("comparison.columns", "comparison.record"),
)
BOX = (0.8, 0.6)  # of a room: its width, in columns, and its height, in rows
COLOURS = ("#dfe8f5", "#33557f", "#8aa0bd")  # of a box, its edge, and arrows


@cache
def modules() -> dict[str, Path]:
    """Files of all modules by their dotted names below the package, but the package itself."""
    found = {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
        for file in PACKAGE.rglob("*.py")
    }
    del found["__init__"]
    return found


def imported(module: str) -> Iterator[str]:
    """Modules of the package that a module imports: for types and inside functions too."""
    file = modules()[module]
    package = ("gmm_pyro", *file.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            for alias in node.names:
                parts = [part for part in (*base[1:], alias.name) if part]
                known = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
                yield from [name for name in known if name in modules()][:1]


def room(module: str) -> str:
    """The room of a module; a record that others take is one of its own."""
    return module if module in RECORDS else module.split(".")[0]


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """(room, room that it imports)."""
    pairs = {(room(a), room(b)) for a in modules() for b in imported(a)}
    return frozenset((a, b) for a, b in pairs if a.split(".")[0] != b.split(".")[0]) | {
        (record.split(".")[0], record) for record in RECORDS
    }


@cache
def depth(name: str) -> int:
    """The longest way down to a room from one that no other imports."""
    return max((1 + depth(a) for a, b in arrows() if b == name), default=0)


def floors() -> list[list[str]]:
    """Rooms by their depth, the highest first."""
    rooms = sorted({name for pair in arrows() for name in pair})
    return [[r for r in rooms if depth(r) == level] for level in range(1 + max(map(depth, rooms)))]


def direct() -> set[tuple[str, str]]:
    """The arrows that no longer way stands for."""

    def below(name: str) -> set[str]:
        return {b for a, b in arrows() if a == name}

    def all_below(name: str) -> set[str]:
        return below(name).union(*map(all_below, below(name)))

    return {(a, b) for a, b in arrows() if not any(b in all_below(c) for c in below(a) - {b})}


def purpose(name: str) -> str:
    """The first sentence of what a room says of itself."""
    text = ast.get_docstring(ast.parse(modules()[name].read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def listing() -> str:
    """All rooms from the highest to the lowest, with what belongs there."""
    rooms = [name for floor in floors() for name in floor]
    wide = max(map(len, rooms))
    return "\n".join(f"{name:{wide}}  {purpose(name)}" for name in rooms)


def picture() -> Any:
    """The rooms floor by floor, with an arrow to each that a room stands on directly."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    figure = Figure(figsize=(7.5, 8))
    ax = figure.add_subplot()
    widest = max(map(len, floors()))
    at = {
        name: ((i + 0.5) * widest / len(floor), -level)
        for level, floor in enumerate(floors())
        for i, name in enumerate(floor)
    }
    fill, edge, line = COLOURS
    for upper, lower in sorted(direct()):
        (x, y), (u, v) = at[upper], at[lower]
        ends = {"xy": (u, v + BOX[1] / 2), "xytext": (x, y - BOX[1] / 2)}
        ax.annotate("", **ends, zorder=0, arrowprops={"arrowstyle": "->", "color": line, "lw": 0.8})
    for name, (x, y) in at.items():
        corner = x - BOX[0] / 2, y - BOX[1] / 2
        style = {"boxstyle": "round,pad=0,rounding_size=0.1", "facecolor": fill, "edgecolor": edge}
        ax.add_patch(FancyBboxPatch(corner, *BOX, **style))
        ax.text(x, y, name.replace(".", ".\n"), ha="center", va="center", fontsize=7.5)
    ax.set(xlim=(0, widest), ylim=(0.5 - len(floors()), 0.5))
    ax.axis("off")
    return figure
