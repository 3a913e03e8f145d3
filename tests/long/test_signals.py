"""Signals at many moments of whole commands: the right exit code, and nothing half done."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gmm_pyro.running.interrupts import EXIT_CODES
from processes import ended

COMMANDS = {
    "em": "fit iris -k 3",
    "map": "fit iris -k 3 -m map",
    "laplace": "fit iris -k 3 -m laplace",
    "gibbs": "fit iris -k 3 -m gibbs --draws 200 --warmup 100",
    "nuts": "fit iris -k 2 -m nuts --draws 50 --warmup 50 --chains 2",
    "compare": "compare --data iris --methods kmeans,em,map,svi --report",
}
TIMES = 12  # for each command


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_signal_is_lost(command: str, tmp_path: Path, record: Callable) -> None:
    chance, ends, wrong = random.Random(command), Counter(), []
    words = [*COMMANDS[command].split(), "--out", "out", "--force"]
    length = ended(words, tmp_path, None, 0.0)[1]
    for number in range(TIMES):
        sent = chance.choice(list(EXIT_CODES))
        code, _, told = ended(words, tmp_path, sent, chance.uniform(0.0, length))
        ends[f"{sent.name}: exit code {code}"] += 1
        left = [str(path) for path in tmp_path.rglob(".partial*")]
        # 0 is right for a signal that came when all was written
        if code not in (EXIT_CODES[sent], 0) or "Traceback" in told or left:
            wrong.append(f"{number}: {sent.name}, exit code {code}, {left}, {told[-500:]}")
    record(f"signals_{command}", [*(f"{end}, {n} times" for end, n in ends.items()), *wrong])
    assert wrong == []
