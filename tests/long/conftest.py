"""What long checks share: a place for what they measure."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from gmm_pyro import __version__

RESULTS = Path(__file__).parent / "results"


@pytest.fixture
def record() -> Callable[[str, Iterable[str]], None]:
    """Write lines into `results/NAME.txt`, under the date and the versions."""

    def write(name: str, lines: Iterable[str]) -> None:
        versions = f"gmm_pyro {__version__}, Python {platform.python_version()}"
        head = f"{datetime.now(UTC):%Y-%m-%d}, {versions}, torch {torch.__version__}"
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.txt").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")

    return write
