"""Imports point one way, heavy libraries have one door each, and `import gmm_pyro` is cheap."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "gmm_pyro"

# A module imports from layers above its own; within one layer, two never import each other.
LAYERS = [
    ["words", "features", "forking", "threads", "untrusted", "interrupts", "placing", "checks"],
    ["storage"],
    ["arrays", "devices"],
    ["tables", "spread"],
    ["weighting"],
    ["observations", "covariance"],
    ["kernels"],
    ["far", "mixture_file"],
    ["reduction"],
    ["mixture"],
    ["datasets", "label_scores", "metrics"],
    ["files"],
    ["priors", "normal_wishart"],
    ["conjugate"],
    ["model"],
    ["start", "numbering"],
    ["posterior"],
    ["plots", "inference_data"],
    ["inference"],
    ["report"],
    ["comparison", "calibration", "saved_fit"],
    ["estimator"],
    ["terminal"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
ONLY_IN = {"matplotlib": {"plots"}, "arviz": {"inference_data"}}
CALLERS_OF_PLOTS = {"plots", "report", "comparison", "saved_fit", "cli"}
HEAVY = ["arviz", "matplotlib", "numpy", "pandas", "pyro", "scipy", "sklearn", "torch"]


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that may run, also inside functions: not those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from statements(ast.Module(node.orelse, []))
        else:
            yield from statements(node)


def imported(file: Path) -> Iterator[str]:
    """Absolute dotted names that a file imports."""
    package = ("gmm_pyro", *file.relative_to(ROOT).parent.parts)
    for node in statements(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def edges() -> set[tuple[str, str]]:
    """(module, what it imports) for all modules below the package itself."""
    found = set()
    for file in ROOT.rglob("*.py"):
        module = file.relative_to(ROOT).with_suffix("").parts[0]
        if module != "__init__":
            found |= {(module, name) for name in imported(file)}
    return found


def inner_edges() -> set[tuple[str, str]]:
    names = {
        (module, name.split(".")[1]) for module, name in edges() if name.startswith("gmm_pyro.")
    }
    return {(module, name) for module, name in names if name not in (module, "__version__")}


def test_every_module_has_a_layer() -> None:
    modules = {file.relative_to(ROOT).with_suffix("").parts[0] for file in ROOT.rglob("*.py")}
    assert modules - {"__init__"} <= RANK.keys()
    assert {name for _, name in inner_edges()} <= RANK.keys()


def test_no_import_points_back() -> None:
    found = inner_edges()
    back = {
        (a, b) for a, b in found if RANK[a] < RANK[b] or (RANK[a] == RANK[b] and (b, a) in found)
    }
    assert not back


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_heavy_library_has_one_door(library: str) -> None:
    assert {module for module, name in edges() if name.split(".")[0] == library} <= ONLY_IN[library]


def test_few_modules_call_plots() -> None:
    assert {module for module, name in inner_edges() if name == "plots"} <= CALLERS_OF_PLOTS


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, gmm_pyro; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout


def declared() -> set[str]:
    """Names of the distributions that pyproject.toml declares, for all and as extras."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["parquet"], *extras["transport"]]
    return {canonical(re.split(r"[<>=\[ ]", line)[0]) for line in wanted}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_library_that_is_imported_is_declared() -> None:
    homes = packages_distributions()
    libraries = {name.split(".")[0] for _, name in edges()} - {"gmm_pyro", *sys.stdlib_module_names}
    needed = {library: {canonical(home) for home in homes[library]} for library in libraries}
    assert {library for library, homes in needed.items() if not homes & declared()} == set()
