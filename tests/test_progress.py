"""Claims about progress: a bar in a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import sys
import time

import pytest
from tqdm import tqdm

from gmm_pyro.cli import progress


@pytest.fixture
def often(monkeypatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.05)


def steps(seconds: float) -> None:
    """A bar of one step at a time."""
    with tqdm(total=1000, desc="em", unit="step", mininterval=0) as bar:
        for _ in range(5):
            time.sleep(seconds / 5)
            bar.update()


@pytest.mark.usefixtures("often")
class TestElsewhere:
    def test_a_line_says_how_far_it_is(self, capsys) -> None:
        with progress.progress_said():
            steps(0.3)
        lines = capsys.readouterr().err.splitlines()
        assert 2 <= len(lines) <= 6
        for line in lines:
            assert line.startswith("em: step ")
            assert line.endswith(" of at most 1000 after 0 s")
        done = [int(line.split()[2]) for line in lines]
        assert done == sorted(done)
        assert done[-1] >= 2

    def test_what_is_quick_says_nothing(self, capsys) -> None:
        with progress.progress_said():
            steps(0.0)
        assert capsys.readouterr().err == ""

    def test_other_lines_are_passed_on(self, capsys) -> None:
        with progress.progress_said():
            print("beware", file=sys.stderr)
            steps(0.0)
            print("done", file=sys.stderr, flush=True)
        assert capsys.readouterr().err == "beware\ndone\n"

    def test_what_ends_the_work_ends_the_lines(self, capsys) -> None:
        before = sys.stderr
        with pytest.raises(KeyboardInterrupt), progress.progress_said():
            raise KeyboardInterrupt
        assert sys.stderr is before


@pytest.mark.usefixtures("often", "a_terminal")
def test_in_a_terminal_there_is_the_bar_itself(capsys) -> None:
    with progress.progress_said():
        steps(0.1)
    told = capsys.readouterr().err
    assert "\rem: " in told
    assert "5/1000" in told


@pytest.mark.parametrize(
    ("bar", "words"),
    [
        ("map:enumerated:   3%|3   | 30/1000 [00:30<16:10, 1.00step/s]",
         "map:enumerated: step 30 of at most 1000 after 31 s"),
        ("gibbs: 12step [00:31,  2.58s/step]", "gibbs: step 12 after 31 s"),
        ("select:  14%|#  | 2/14 [00:30<16:10, 15.00s/family]",
         "select: family 2 of 14 after 31 s"),
        ("select:  14%|#  | 2/14 [00:30<16:10,  1.20family/s]",
         "select: family 2 of 14 after 31 s"),
        ("em:   3%|3   | 30/1000 [00:30<16:10, 1.00step/s, partition 7 of 40]",
         "em: step 30 of at most 1000, partition 7 of 40, after 31 s"),
        ("data:  18%|#7        | 7/40 [00:00<00:01, 23.17partition/s]",
         "data: partition 7 of 40 after 31 s"),
        ("", ""),
        ("something else", ""),
    ],
)  # fmt: skip
def test_a_bar_in_words(bar: str, words: str) -> None:
    assert progress.in_words(bar, 31.4) == words
