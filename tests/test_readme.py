"""Every Python block of the README runs, in order, and prints the text block that follows it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<output>.*?)```", re.DOTALL)


@pytest.mark.slow
def test_blocks_print_what_the_page_says() -> None:
    names: dict[str, object] = {}
    blocks = list(BLOCK.finditer(README))
    assert len(blocks) == README.count("```python")
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block["code"], names)
        assert printed.getvalue() == block["output"]


def test_the_first_example_is_at_most_ten_lines() -> None:
    first = next(BLOCK.finditer(README))
    assert len(first["code"].splitlines()) <= 10


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert target.startswith("https://") or (Path(__file__).parents[1] / target).exists()
