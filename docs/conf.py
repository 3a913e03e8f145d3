"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import os
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
    "docstrings",
    "mathml",
]
exclude_patterns = ["_build"]
smartquotes = False
nitpicky = True
default_role = "py:obj"
nitpick_ignore_regex = [
    ("py:obj", ".*"),  # code in backticks, which need not be a name
    # in annotations: names without their module, and modules below those of the reference
    ("py:class", r"[^.]*"),
    ("py:class", r"(pd\..*|gmm_pyro\.\w+\.\w+\..*)"),
    ("py:class", r"gmm_pyro\.(model\.Site|normal_wishart\.Conjugate|sites\.Sites)"),
    ("py:class", r"(collections|jaxtyping|matplotlib|np|numpy|pandas|pathlib|pyro|torch)\..*"),
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "gmm_pyro"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

# Names of other projects become links where their inventories can be had; where not, an empty one
# stands in, so that the build needs no network. DOCS_OFFLINE=1 does not even try.
LOCATIONS = [] if os.environ.get("DOCS_OFFLINE") else [None]
OTHERS = {
    "arviz": "https://python.arviz.org/en/latest/",
    "matplotlib": "https://matplotlib.org/stable/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "pyro": "https://docs.pyro.ai/en/stable/",
    "python": "https://docs.python.org/3/",
    "sklearn": "https://scikit-learn.org/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}
intersphinx_mapping = {
    name: (url, (*LOCATIONS, "_extensions/none.inv")) for name, url in OTHERS.items()
}
intersphinx_timeout = 5  # seconds
