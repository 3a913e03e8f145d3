"""What all pages have in common: looks, script, versions, and their way to the disk."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from ..disk.placing import whole_file, write_bytes
from ..running.versions import __version__, versions
from .settings import Fact

HERE = Path(__file__).parent / "templates"


def write_page(path: str | Path, text: Callable[[], str]) -> Path:
    """Write a page; it appears when it is whole, and replaces an earlier one.

    Args:
        path: where to write it.
        text: makes the page.

    Returns:
        The path.

    Raises:
        OSError: if it cannot be written there, with the path.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with whole_file(path) as partial:  # before the work, in case it cannot be written
        write_bytes(partial, text().encode("utf-8", "replace"))
    return path


def rendered(name: str, **content: Any) -> str:
    """A page as text.

    Args:
        name: of its template.
        **content: what the template shows, beside what all pages have.
    """
    style, script = ((HERE / file).read_text("utf-8") for file in ("report.css", "report.js"))
    return (
        _templates()
        .get_template(name)
        .render(
            style=style,
            script=script,
            style_hash=_digest(style),
            script_hash=_digest(script),
            version=__version__,
            versions=[Fact(library, version) for library, version in versions().items()],
            **content,
        )
    )


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _digest(text: str) -> str:
    """How a page names the one script or style that it lets run."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
