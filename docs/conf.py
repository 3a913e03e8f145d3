"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]

import gmm_pyro  # noqa: E402  (from this folder's parent, installed or not)

project = "gmm_pyro"
author = "The gmm_pyro developers"
copyright = f"2026, {author}"
release = version = gmm_pyro.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "mathml",
]
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
math_numfig = False

html_theme = "furo"
html_title = "gmm_pyro"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
