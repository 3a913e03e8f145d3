"""Claims about `gmm-pyro study`: what it runs, says and leaves, and how it goes on."""

from __future__ import annotations

import json
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
from gmm_pyro.study.frame import frame_of

HEAD = """
seed = 1
metrics = ["ari", "log_likelihood"]
"""
DATA = """
[[data]]
kind = "separated"
n = [20, 30]
d = 2
k = 2
separation = 3.0
replicates = 2
"""
CHEAP = '{ method = "em", n_starts = 1, search = "starts", name = "em" }'
STUDY = f'{HEAD}methods = ["kmeans", {CHEAP}]\n{DATA}'
TOKEN = f"ended-{os.getpid()}"
BESIDE = """
import time

import numpy as np

def slow(x, k):
    time.sleep(0.1)
    return np.argsort(np.argsort(x[:, 0])) * k // len(x)

def broken(x):
    raise ZeroDivisionError("no way")
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with study.toml, where cells are run by this process."""
    monkeypatch.setattr("gmm_pyro.study.study.Pool", studied.HerePool)
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def frame_in(folder: str | Path) -> pd.DataFrame:
    return pd.read_csv(Path(folder) / "frame.csv")


def rows_in(folder: str | Path) -> list[str]:
    return "".join(p.read_text() for p in sorted(Path(folder).glob("cells-*"))).splitlines()


# ---------------------------------------------------------------------- what it leaves


def test_the_frame_is_that_of_the_study_in_python(run, here: Path) -> None:
    done = run("study", "study.toml", "--out", "a/b")
    assert (done.code, done.err) == (0, "")
    first, second, last = done.out.splitlines()
    assert first == "study: 2 methods on 1 design, 8 cells"
    assert second.startswith("8 cells in ")
    assert second.endswith(" s: 8 converged")
    assert last == "wrote frame.csv to a/b"
    study = gp.Study.from_toml(STUDY)
    expected = frame_of(study.plan, studied.rows_here(study)).drop(columns=studied.TIMES)
    found = frame_in("a/b").drop(columns=studied.TIMES)
    assert_frame_equal(found.drop(columns="reason"), expected.drop(columns="reason"))
    assert not list(here.rglob(".partial*"))


def test_without_a_name_the_folder_is_results(run, here: Path) -> None:
    assert run("study", "study.toml").out.endswith("wrote frame.csv to results\n")
    assert len(frame_in(here / "results")) == 8


def test_json_is_one_document(run, here: Path) -> None:
    (here / "two_bad.py").write_text(BESIDE)
    text = f'{HEAD}methods = ["kmeans", "two_bad:broken"]\n{DATA}'
    (here / "study.toml").write_text(text)
    found = json.loads(run("study", "study.toml", "--json").out)
    assert found.pop("seconds") > 0
    reason = "ZeroDivisionError: no way"
    failure = {"method": "broken", "status": "failed", "reason": reason, "cells": 4}
    assert found == {
        "designs": ["separated"],
        "methods": ["kmeans", "broken"],
        "cells": 8,
        "statuses": {"converged": 4, "failed": 4},
        "failures": [failure],
        "out": "results",
        "files": ["results/frame.csv"],
    }


def test_a_study_without_an_answer_ends_with_1(run, here: Path) -> None:
    """Modules are found beside the file, and the path of this process is as it was."""
    (here / "sub").mkdir()
    (here / "sub" / "all_bad.py").write_text(BESIDE)
    methods = [f'{{ method = "all_bad:broken", name = "b{i}", i = {i} }}' for i in range(12)]
    (here / "sub" / "study.toml").write_text(f"{HEAD}methods = [{', '.join(methods)}]\n{DATA}")
    before = sys.path[:]
    done = run("study", "sub/study.toml")
    assert (done.code, sys.path) == (1, before)
    lines = done.out.splitlines()
    assert lines[1].endswith(": 48 failed")
    assert lines[2].startswith("b0: failed in 4 cells: TypeError: broken() got an unexpected")
    assert lines[-2:] == ["and 2 reasons more, in the frame", "wrote frame.csv to results"]
    assert frame_in("results")["status"].unique().tolist() == ["failed"]


def test_a_bar_is_for_terminals(run, here: Path, a_terminal: None) -> None:
    done = run("study", "study.toml")
    assert "study: " in done.err
    assert "8/8" in done.err
    assert "%" not in done.out


# ---------------------------------------------------------------------- folders


def test_a_study_that_is_there_is_gone_on_with_or_replaced_by_force(run, here: Path) -> None:
    run("study", "study.toml")
    before = rows_in("results")
    done = run("study", "study.toml")
    assert (done.code, done.out) == (2, "")
    on = "gmm-pyro study --resume results goes on with it, and --force replaces it"
    assert done.err == f"gmm-pyro: results holds a study: {on}\n"
    assert rows_in("results") == before
    (here / "results" / "mine.txt").write_text("mine")
    (here / "results" / "frame.tsv").write_text("of an earlier day")
    (here / "study.toml").write_text(STUDY.replace("seed = 1", "seed = 2"))
    assert run("study", "study.toml", "--force").code == 0
    names = {"mine.txt", "study.json", "frame.csv", "cells-0001-000.jsonl"}
    assert {path.name for path in (here / "results").iterdir()} == names
    assert len(rows_in("results")) == 8
    assert not set(rows_in("results")) & set(before)


def test_what_is_no_study_is_not_touched(run, here: Path) -> None:
    (here / "full").mkdir()
    (here / "full" / "mine.txt").write_text("mine")
    done = run("study", "study.toml", "--out", "full")
    assert done.code == 2
    assert "the folder is not empty, and is replaced with --force only: full" in done.err
    done = run("study", "study.toml", "--out", "study.toml")
    assert "the file exists" in done.err
    assert (here / "study.toml").read_text() == STUDY
    assert run("study", "study.toml", "--out", "full", "--force").code == 0
    assert (here / "full" / "mine.txt").read_text() == "mine"


def test_the_frame_has_the_format_that_is_asked(run, here: Path) -> None:
    run("study", "study.toml")
    found = frame_in("results")
    assert run("study", "--resume", "results", "--table-format", "parquet").code == 0
    again = pd.read_parquet("results/frame.parquet")
    assert_frame_equal(again.drop(columns="reason"), found.drop(columns="reason"))
    assert not Path("results/frame.csv").exists()
    assert len(rows_in("results")) == 8


# ---------------------------------------------------------------------- how it goes on


def test_a_study_that_has_grown_goes_on_with_its_file(run, here: Path) -> None:
    run("study", "study.toml")
    before = rows_in("results")
    text = STUDY.replace("replicates = 2", "replicates = 3").replace('"kmeans"', '"kmeans", "vb"')
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
    assert (done.code, done.out.count("wrote")) == (2, 0)
    assert says in done.err
    assert len(done.err.splitlines()) == 1
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


# ---------------------------------------------------------------------- what is refused

SUNK = "entry 1: as a word on the whole study it must stand above the first [[data]]"
WRONG = {
    "seed = ,": "study.toml: the text is no TOML: Invalid value (at line 1, column 8)",
    HEAD + DATA: "study.toml: the text of a study must have methods",
    f"{DATA}\nmethods = ['em']": f"study.toml: methods is in [[data]], {SUNK}",
    f"sead = 1\n{STUDY}": "got 'sead'; did you mean 'seed'?",
    STUDY.replace("seed = 1", "seed = 'one'"): "seed must be an integer of at least 0, got 'one'",
    STUDY.replace("[20, 30]", "[20, -1]"): "[[data]], entry 1: n must be an integer of at least 1, "
    "got -1",
    STUDY.replace("separation", "separatoin"): "[[data]], entry 1: separated has the factors n, d",
    STUDY.replace("kmeans", "kmenas"): "methods, entry 1: methods must be one of kmeans, em, ",
    STUDY.replace("n_starts = 1", "n_starts = 0"): "methods, entry 2: n_starts must be an integer "
    "of at least 1, got 0",
    STUDY.replace('"em" }', "3 }"): "methods, entry 2: the name of a method must be a word, got 3",
    STUDY.replace("kmeans", "nowhere:f"): "methods, entry 1: 'nowhere:f' cannot be imported: No ",
    STUDY.replace('["ari"', '["arri"'): "got 'arri'; did you mean 'ari'?",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_told_in_one_line(run, here: Path, text: str) -> None:
    (here / "study.toml").write_text(text)
    done = run("study", "study.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("gmm-pyro: study.toml: ")
    assert WRONG[text] in done.err
    assert len(done.err.splitlines()) == 1
    assert not (here / "results").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "study needs a file that says what it is"),
        (["nowhere.toml"], "No such file or directory: nowhere.toml"),
        (["--resume", "nowhere"], "nowhere holds no study: there is no study.json in it"),
        (["--resume", "results", "--force"], "--force says nothing beside --resume"),
        (["--resume", "results", "--out", "b"], "--out says nothing beside --resume"),
        (["study.toml", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["study.toml", "--table-format", "xls"], "table_format must be one of csv, tsv, parquet"),
    ],
)
def test_what_cannot_be_is_refused(run, here: Path, words: list[str], says: str) -> None:
    done = run("study", *words)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1
    assert [path.name for path in here.iterdir()] == ["study.toml"]
