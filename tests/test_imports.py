"""Imports point one way, heavy libraries have one door each, and `import gmm_pyro` is cheap."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "gmm_pyro"

# A room imports from layers above its own; within one layer, two never import each other. Records
# (`comparison.record`) are in the layer of what they consist of, below the faces that extend them.
LAYERS = [
    ["running"],
    ["data"],
    ["disk"],
    ["keeping"],
    ["covariance"],
    ["reduction"],
    ["mixture"],
    ["datasets", "metrics", "agglomeration.tree"],
    ["files", "designs"],
    ["model"],
    ["posterior"],
    ["inference.task"],
    ["inference.result"],
    ["combining.record"],
    ["plots", "inference_data"],
    ["combining"],
    ["agglomeration"],
    ["inference"],
    ["comparison.columns", "comparison.record"],
    ["report"],
    ["comparison", "calibration", "saved_fit"],
    ["selection"],
    ["study"],
    ["estimator"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
ONLY_IN = {"matplotlib": {"plots"}, "arviz": {"inference_data"}}
CALLERS_OF_PLOTS = {"agglomeration", "plots", "combining", "selection", "report", "comparison"}
CALLERS_OF_PLOTS |= {"saved_fit", "study", "cli"}
HEAVY = ["arviz", "matplotlib", "numpy", "pandas", "pyro", "scipy", "sklearn", "torch"]


MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in ROOT.rglob("*.py")
}
OUTSIDE = "__init__"  # the package itself, which has all names and loads none


def for_types(tree: ast.AST) -> set[ast.AST]:
    """The nodes that only a type checker reads."""
    guards = (node for node in ast.walk(tree) if isinstance(node, ast.If))
    only = (guard.body for guard in guards if ast.unparse(guard.test) == "TYPE_CHECKING")
    return {node for body in only for line in body for node in ast.walk(line)}


def imported(module: str, *, to_run: bool = False) -> Iterator[str]:
    """Absolute dotted names that a module imports, inside functions too; or those that may run."""
    file = MODULES[module]
    package = ("gmm_pyro", *file.relative_to(ROOT).parent.parts)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in set(ast.walk(tree)) - (for_types(tree) if to_run else set()):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def edges(*, to_run: bool = False) -> set[tuple[str, str]]:
    """(module, what it imports) for all modules below the package itself."""
    inside = MODULES.keys() - {OUTSIDE}
    return {(module, name) for module in inside for name in imported(module, to_run=to_run)}


def inner_edges() -> set[tuple[str, str]]:
    """(module, module that it imports): a name belongs to the module that has it."""
    found = set()
    for module, name in edges():
        parts = name.split(".")[1:] if name.startswith("gmm_pyro.") else []
        known = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        target = next((candidate for candidate in known if candidate in MODULES), None)
        if parts and target not in (None, module):
            found.add((module, str(target)))
    return found


def room(module: str) -> str:
    """The room of a module; a record is one of its own."""
    return module if module in RANK else module.split(".")[0]


def room_edges() -> set[tuple[str, str]]:
    pairs = {(room(a), room(b)) for a, b in inner_edges()}
    return {(a, b) for a, b in pairs if a.split(".")[0] != b.split(".")[0]}


def test_every_module_has_a_layer() -> None:
    assert {room(module) for module in MODULES} - {OUTSIDE} <= RANK.keys()


def test_no_module_reaches_itself() -> None:
    found: dict[str, set[str]] = {}
    for a, b in inner_edges():
        found.setdefault(a, set()).add(b)
    waiting = set(MODULES)
    while leaves := {module for module in waiting if not found.get(module, set()) & waiting}:
        waiting -= leaves
    assert not waiting


def test_no_import_points_back() -> None:
    found = room_edges()
    back = {
        (a, b) for a, b in found if RANK[a] < RANK[b] or (RANK[a] == RANK[b] and (b, a) in found)
    }
    assert not back


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_heavy_library_has_one_door(library: str) -> None:
    doors = {room(module) for module, name in edges(to_run=True) if name.split(".")[0] == library}
    assert doors <= ONLY_IN[library]


def test_few_modules_call_plots() -> None:
    assert {a for a, b in room_edges() if b == "plots"} <= CALLERS_OF_PLOTS


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, gmm_pyro; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout


def declared() -> set[str]:
    """Names of the distributions that pyproject.toml declares, for all and as extras."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    ours = ("cluster", "excel", "fast", "parquet", "transport")
    wanted = [*project["dependencies"], *(line for extra in ours for line in extras[extra])]
    return {canonical(re.split(r"[<>=\[ ]", line)[0]) for line in wanted}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_library_that_is_imported_is_declared() -> None:
    homes = packages_distributions()
    libraries = {name.split(".")[0] for _, name in edges(to_run=True)} - {
        "gmm_pyro",
        *sys.stdlib_module_names,
    }
    needed = {library: {canonical(home) for home in homes[library]} for library in libraries}
    assert {library for library, homes in needed.items() if not homes & declared()} == set()


def test_no_test_file_is_imported() -> None:
    """What several share is in a helper beside them."""
    files = list(Path(__file__).parent.rglob("*.py"))
    imports = re.compile(r"^\s*(?:from|import) (test_\w+)", re.MULTILINE)
    found = {file.name: imports.findall(file.read_text(encoding="utf-8")) for file in files}
    assert {name: others for name, others in found.items() if others} == {}


BENCHMARKS = sorted((ROOT.parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", BENCHMARKS, ids=[script.stem for script in BENCHMARKS])
def test_what_benchmarks_take_from_the_package_is_there(script: Path) -> None:
    """They run now and then, and need peers that tests do without."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gmm_pyro"):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                assert hasattr(module, name.name) or f"{node.module}.{name.name}" in sys.modules
