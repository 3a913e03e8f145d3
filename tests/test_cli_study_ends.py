"""Claims about how `gmm-pyro study` ends, and goes on."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import gmm_pyro as gp
import studied
from gmm_pyro.disk.alone import alone_in
from gmm_pyro.study.frame import frame_of
from study_files import BESIDE, CHEAP, DATA, HEAD, STUDY, frame_in, rows_in

TOKEN = f"ended-{os.getpid()}"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with study.toml, where cells are run by this process."""
    monkeypatch.setattr("gmm_pyro.study.study.Pool", studied.HerePool)
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


# ---------------------------------------------------------------------- how it goes on


def test_a_study_that_has_grown_goes_on_with_its_file(run, here: Path) -> None:
    run("study", "study.toml")
    before = rows_in("results")
    more = CHEAP.replace('"em" }', '"more em" }')
    text = STUDY.replace("es = 2", "es = 3").replace('"kmeans"', f'"kmeans", {more}')
    (here / "grown.toml").write_text(text)
    done = run("study", "grown.toml", "--resume", "results")
    assert done.out.startswith("grown: 3 methods on 1 design, 18 cells, 8 of them run before\n")
    assert set(before) < set(rows_in("results"))
    assert len(frame_in("results")) == len(rows_in("results")) == 18
    done = run("study", "--resume", "results")
    assert done.out.startswith("results: 3 methods on 1 design, 18 cells, 18 of them run before\n")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seed = 1", "seed = 2", "the folder holds another study: seed 1, "),
        ('["ari", ', "[", "the folder holds another study: seed 1, "),
        ("n = [20, 30]", "n = [20]", "whose cells are others: 4 have been run"),
        ('"kmeans", ', "", "whose cells are others: 4 have been run"),
    ],
)
def test_another_study_does_not_go_on(run, here: Path, old: str, new: str, says: str) -> None:
    run("study", "study.toml")
    before = rows_in("results")
    (here / "study.toml").write_text(STUDY.replace(old, new))
    done = run("study", "study.toml", "--resume", "results")
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert len(done.err.splitlines()) == 1
    assert rows_in("results") == before


def test_two_runs_are_not_at_work_in_one_folder(run, here: Path) -> None:
    run("study", "study.toml")
    before = rows_in("results")
    with alone_in(Path("results")):
        for words in (["--resume", "results"], ["study.toml", "--force"]):
            done = run("study", *words)
            assert done.code == 2
            assert done.err == "gmm-pyro: another run is at work here: results\n"
    assert rows_in("results") == before


def test_a_study_of_objects_goes_on_in_python(run, here: Path) -> None:
    study = gp.Study(gp.datasets.bimodal(), [lambda x: np.zeros(len(x), int)], metrics=["ari"])
    study.run(here / "results")
    done = run("study", "--resume", "results")
    assert done.code == 2
    assert done.err.endswith("goes on where it was begun: by Study.run in Python\n")


class Interrupted(studied.HerePool):
    """A pool that is interrupted after some cells."""

    number = signal.SIGINT

    def rows(self, cells: Any) -> Iterator[Any]:
        for i, pair in enumerate(super().rows(cells)):
            if i == 3:
                signal.raise_signal(self.number)
            yield pair


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_says_how_to_go_on(run, here: Path, monkeypatch, number, code) -> None:
    monkeypatch.setattr(Interrupted, "number", number)
    monkeypatch.setattr("gmm_pyro.study.study.Pool", Interrupted)
    (here / "sub").mkdir()
    (here / "study.toml").rename(here / "sub" / "study.toml")
    options = ["--jobs", 2, "--shuffle", "--table-format", "tsv"]
    done = run("study", "sub/study.toml", "--out", "the results", *options)
    assert done.code == code
    said = "gmm-pyro: interrupted; 3 of 8 cells are in the results; to go on: "
    assert done.err.startswith(said)
    assert not list((here / "the results").glob("frame*"))
    words = shlex.split(done.err.removeprefix(said))
    on = ["sub/study.toml", "--resume", "the results", "--jobs", "2"]
    assert words == ["gmm-pyro", "study", *on, "--shuffle", "--table-format", "tsv"]
    monkeypatch.setattr("gmm_pyro.study.study.Pool", studied.HerePool)
    done = run(*words[1:])
    assert (done.code, done.err) == (0, "")
    assert len(pd.read_csv("the results/frame.tsv", sep="\t")) == 8


def test_an_interrupt_before_the_first_cell_leaves_nothing(run, here: Path, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("gmm_pyro.study.study.refuse_another", interrupt)
    done = run("study", "study.toml")
    assert (done.code, done.err) == (130, "gmm-pyro: interrupted; nothing is written\n")
    assert not list(here.glob("results/*"))


def test_a_worker_that_cannot_begin_is_one_line(run, here: Path, monkeypatch) -> None:
    class Unable(studied.HerePool):
        def rows(self, cells: Any) -> Iterator[Any]:
            raise RuntimeError("a worker of the study could not begin:\n no room")

    monkeypatch.setattr("gmm_pyro.study.study.Pool", Unable)
    done = run("study", "study.toml")
    assert done.code == 1
    assert done.err == "gmm-pyro: a worker of the study could not begin: no room\n"


# ---------------------------------------------------------------------- by workers


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str, str]:
    """A study by two workers that Ctrl-C ends: its folder, the exit code and what was said."""
    home = tmp_path_factory.mktemp("ended")
    (home / "beside_it.py").write_text(BESIDE)
    methods = f'methods = ["beside_it:slow", "beside_it:broken", {CHEAP}]'
    (home / "study.toml").write_text(f"{HEAD}{methods}\n{DATA.replace('es = 2', 'es = 3')}")
    search = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    told = {"cwd": home, "env": os.environ | {"PYTHONPATH": search, studied.TOKEN: TOKEN}}
    command = [sys.executable, "-m", "gmm_pyro", "study", "study.toml", "--jobs", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes, **told) as process:
        while len(rows_in(home / "results")) < 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    return home, process.returncode, out, err


def test_ctrl_c_ends_it_with_its_workers(ended) -> None:
    _, code, out, err = ended
    assert code == 130
    assert out == "study: 3 methods on 1 design, 18 cells\n"
    assert err.endswith("to go on: gmm-pyro study --resume results --jobs 2\n")
    assert studied.none_left(TOKEN)


def test_it_goes_on_to_the_same_frame(run, here: Path, ended, monkeypatch) -> None:
    home, _, _, err = ended
    monkeypatch.chdir(home)
    done = run(*shlex.split(err.partition("to go on: ")[2])[1:])
    assert (done.code, done.err) == (0, "")
    known = re.search(r"interrupted; (\d+) of 18 cells", err)
    assert known is not None
    assert f", {known[1]} of them run before\n" in done.out
    assert "broken: failed in 6 cells: ZeroDivisionError: no way\n" in done.out
    monkeypatch.syspath_prepend(home)
    study = gp.Study.from_toml((home / "study.toml").read_text())
    expected = frame_of(study.plan, studied.rows_here(study)).drop(columns=studied.TIMES)
    found = gp.StudyResults.load("results").frame.drop(columns=studied.TIMES)
    assert_frame_equal(found, expected, check_exact=True)
    assert len(frame_in("results")) == 18
