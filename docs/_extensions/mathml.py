"""Formulas as MathML, which browsers draw themselves: no script, no font and no network."""

from __future__ import annotations

import re
from html import escape

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)
# Names of functions, as log: the converter leaves no room around them, or too much.
NAME = re.compile(r"<m[io]>([A-Za-z]{2,})</m[io]>(?P<open>(?=<mo[^>]*>[(\[]))?")
FENCES = {
    r"\lvert": r"\left|",
    r"\rvert": r"\right|",
    r"\lVert": r"\left\|",
    r"\rVert": r"\right\|",
}
# What the converter leaves of `&` and `\\` where it knows of no columns and rows.
LEFT_OVER = re.compile(r"<mi>&</mi>|<mspace linebreak")


def mathml(formula: str, display: str, node: nodes.Element) -> str:
    """The `<math>` element of a LaTeX formula.

    What the converter does not know warns, with its place: it would show as text on the page.
    """
    for name, fence in FENCES.items():  # without left and right a bar is an operator
        formula = formula.replace(name, fence)
    formula = formula.replace("{aligned}", "{split}")  # the same columns, which it knows
    try:
        element = NAME.sub(spaced, convert(formula, display=display))
    except Exception as error:  # the converter has a dozen exceptions, with no common base
        LOGGER.warning("cannot read the formula %r: %r", formula, error, location=node)
        return f"<code>{escape(formula)}</code>"
    if "\\" in element:
        LOGGER.warning("a command in the formula %r is not known", formula, location=node)
    if LEFT_OVER.search(element):
        LOGGER.warning("columns or lines of the formula %r are lost", formula, location=node)
    return element


def spaced(name: re.Match[str]) -> str:
    """The name of a function with a thin space on either side, but none before a bracket."""
    after = "0" if name["open"] is not None else "0.167em"
    return f'<mo lspace="0.167em" rspace="{after}">{name[1]}</mo>'


def visit_inline(writer: HTML5Translator, node: nodes.math) -> None:
    """A formula within a sentence."""
    writer.body.append(mathml(node.astext(), "inline", node))
    raise nodes.SkipNode


def visit_block(writer: HTML5Translator, node: nodes.math_block) -> None:
    """A formula on a line of its own, with its number where it has a label."""
    writer.body.append(writer.starttag(node, "div", CLASS="formula"))
    if node["number"]:
        number = get_node_equation_number(writer, node)
        writer.body.append(f'<span class="eqno">({number})</span>')
    writer.body.append(mathml(node.astext(), "block", node))
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the renderer under the name `mathml`."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
