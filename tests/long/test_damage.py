"""The damaged files of the suite, a hundred times as many: bounded in time and memory, too."""

from __future__ import annotations

import random
import resource
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from damage import READERS, damaged, outcome

ROUNDS = 300
SECONDS = 5  # that a file of some kilobytes may take
KILOBYTES = 200_000  # that the process may grow by


@pytest.mark.timeout(3000)
def test_damaged_files_are_read_right_or_refused(sound: Path, tmp_path, record: Callable) -> None:
    shutil.copytree(sound / "fit", tmp_path / "fit")
    counts: Counter[str] = Counter()
    wrong = []
    for name in READERS:
        expected, content = READERS[name](sound / name), (sound / name).read_bytes()
        path, chance = tmp_path / name, random.Random(f"long {name}")
        for number in range(ROUNDS):
            path.write_bytes(damaged(content, chance))
            before, begun = peak(), time.perf_counter()
            said = outcome(name, path, expected)
            if time.perf_counter() - begun > SECONDS:
                said += " slow"
            if peak() - before > KILOBYTES:
                said += " large"
            counts[name] += 1
            wrong += [f"{name} {number}: {said}"] if said else []
        path.write_bytes(content)
    record("damage", [*(f"{name}: {n} damaged files" for name, n in counts.items()), *wrong])
    assert wrong == []


def peak() -> int:
    """The most memory that the process has had, in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
