"""Docstrings as the package writes them, for Sphinx: plain text with names in backticks.

In reStructuredText, `*` and `|` have a meaning that formulas do not intend; they are escaped. The
type of an attribute is shown behind its name, without its module. A name in backticks links to the
reference where the reference has it, and is code where not.
"""

from __future__ import annotations

import re
from typing import Any

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CODE = re.compile(r"(`+[^`]*`+)")
TYPE = re.compile(r"^ +:type: (?P<type>.*)")
MODULE = re.compile(r"(?<![\w.~'])(?=(?:[a-z_]\w*\.)+[A-Za-z])")
# Names as annotations have them, and as the inventories of their projects do.
ELSEWHERE = {
    "Tensor": "torch.Tensor",
    "ArrayLike": "numpy.typing.ArrayLike",
    "Axes": "matplotlib.axes.Axes",
    "Figure": "matplotlib.figure.Figure",
    "TorchDistribution": "pyro.distributions.torch_distribution.TorchDistribution",
    "matplotlib.axes._axes.Axes": "matplotlib.axes.Axes",
    "pd.DataFrame": "pandas.DataFrame",
    "torch._C.Generator": "torch.Generator",
}


def escape(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Escapes what is no markup, except in examples; runs before napoleon."""
    if what in ("attribute", "property"):
        lines.insert(0, "")  # else napoleon takes what is before a colon for the type
    example = False
    for i, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if not example:
            parts = CODE.split(line)
            parts[::2] = [re.sub(r"[*|]", r"\\\g<0>", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def attribute_types(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Moves an attribute's type from below its text to its heading; runs after napoleon."""
    heading = None
    for i, line in enumerate(lines):
        if line.startswith(".. attribute:: "):
            heading = i
        elif heading is not None and (found := TYPE.match(line)):
            lines[heading] += f"\n   :type: {MODULE.sub('~', found['type'])}"
            lines[i] = ""
            heading = None
    lines[:] = "\n".join(lines).split("\n")


def rename(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Element) -> Any:
    """Gives a name that is not ours the form under which its project has it."""
    node["reftarget"] = ELSEWHERE.get(node["reftarget"], node["reftarget"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects the two handlers around napoleon's, and the third before intersphinx's."""
    app.connect("autodoc-process-docstring", escape, priority=400)
    app.connect("autodoc-process-docstring", attribute_types, priority=600)
    app.connect("missing-reference", rename, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
