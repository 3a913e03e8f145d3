"""Runs the code blocks of these pages; as a script, it draws their pictures anew.

    python docs/figures.py                        # all pages
    python docs/figures.py tutorial methods/em    # some of them

A block saves a picture as `images/NAME.png`. Blocks run in a folder of their own; what they save
there goes to `docs/images`.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
}
FENCE = re.compile(
    r"^(?P<ticks>`{3,})(?P<language>[^`\n]*)\n(?P<code>.*?)^(?P=ticks)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
PICTURE = re.compile(r"(?<=images/)[\w-]+\.png")


@dataclass(frozen=True)
class Block:
    """A code fence of a page.

    Attributes:
        language: What stands behind the backticks.
        code: What stands within the fence.
        output: The text fence that follows with nothing in between, or None.
        line: The line of the page on which the code begins, from 1.
    """

    language: str
    code: str
    output: str | None
    line: int


def pages() -> list[str]:
    """Names of all pages, as `tutorial` or `methods/em`."""
    files = (path.relative_to(FOLDER) for path in FOLDER.rglob("*.md"))
    return sorted(str(path.with_suffix("")) for path in files if path.parts[0] != "_build")


def source(page: str) -> str:
    """The Markdown of a page."""
    return (FOLDER / f"{page}.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """The code fences of a page, in order."""
    text = source(page)
    found = list(FENCE.finditer(text))
    followers = [*found[1:], None]
    return [
        Block(
            language=fence["language"].strip(),
            code=fence["code"],
            output=follower["code"] if follower and _is_output(text, fence, follower) else None,
            line=text.count("\n", 0, fence.start("code")) + 1,
        )
        for fence, follower in zip(found, followers, strict=True)
    ]


def _is_output(text: str, fence: re.Match[str], follower: re.Match[str]) -> bool:
    between = text[fence.end() : follower.start()]
    return follower["language"] == "text" and not between.strip()


def run(
    page: str, folder: Path, programs: Path = Path(sys.executable).parent
) -> Iterator[tuple[Block, str]]:
    """Runs the Python and shell blocks of a page in order, and yields each with what it printed.

    Python blocks share their names. All blocks run in `folder`, where `images/` is made, and where
    the stored results of the benchmarks are as in a clone. The commands of shell blocks are those
    of `programs`, by default of this Python. Torch's generator and threads, Pyro's parameters and
    matplotlib's settings are put back at the end.
    """
    import matplotlib
    import matplotlib.pyplot as plt
    import pyro
    import torch

    (folder / "images").mkdir()
    (folder / "benchmarks").symlink_to(FOLDER.parent / "benchmarks")
    matplotlib.use("agg")
    names: dict[str, object] = {"__name__": page}
    with ExitStack() as stack:
        stack.enter_context(chdir(folder))
        sys.path.insert(0, str(FOLDER))  # for modules beside the pages
        stack.callback(sys.path.remove, str(FOLDER))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(pyro.get_param_store().scope())
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)  # on tensors as small as these, threads wait for each other
        stack.enter_context(plt.rc_context(STYLE))
        stack.callback(plt.close, "all")
        for block in blocks(page):
            if block.language == "python":
                yield block, run_python(block, page, names)
            elif block.language == "sh":
                yield block, run_shell(block, programs)


def run_python(block: Block, page: str, names: dict[str, object]) -> str:
    """What a Python block prints; an error's line is that of the page."""
    printed = io.StringIO()
    code = compile("\n" * (block.line - 1) + block.code, str(FOLDER / f"{page}.md"), "exec")
    with redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def run_shell(block: Block, programs: Path) -> str:
    """What a shell block prints, in 80 columns; a folder's commands first, then this Python's."""
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        env={**os.environ, "PATH": path, "COLUMNS": "80", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"line {block.line}:\n{block.code}\n{done.stdout}{done.stderr}")
    return done.stdout


def draw(page: str) -> list[str]:
    """Runs a page and keeps its pictures, in 256 colours to save space; returns their names."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        for _ in run(page, Path(folder)):
            pass
        pictures = sorted(Path(folder, "images").glob("*.png"))
        for picture in pictures:
            image = Image.open(picture).convert("RGB").quantize(256)
            image.save(FOLDER / "images" / picture.name, optimize=True)
        return [picture.name for picture in pictures]


if __name__ == "__main__":
    for name in sys.argv[1:] or pages():
        print(name, *draw(name))
