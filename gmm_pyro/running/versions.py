"""The version of the package, and of what its numbers depend on."""

from __future__ import annotations

import platform
from importlib import metadata

__version__ = "0.1.0"

LIBRARIES = ("torch", "pyro-ppl", "arviz", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib")


def versions() -> dict[str, str]:
    """Of Python, of the package and of its libraries, by name."""
    found = {"python": platform.python_version(), "gmm_pyro": __version__}
    return found | {name: metadata.version(name) for name in LIBRARIES}
