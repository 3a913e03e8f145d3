"""Claims about `gmm-pyro study`: what it says and leaves, and what it refuses."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import gmm_pyro as gp
import studied
from gmm_pyro.study.frame import frame_of
from study_files import BESIDE, DATA, HEAD, STUDY, frame_in, rows_in


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with study.toml, where cells are run by this process."""
    monkeypatch.setattr("gmm_pyro.study.study.Pool", studied.HerePool)
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


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


# ---------------------------------------------------------------------- tables


def test_a_table_has_the_means_of_the_frame(run, here: Path) -> None:
    run("study", "study.toml")
    done = run("study", "--table", "results", "--by", "n,method", "--measure", "ari", "--json")
    found = json.loads(done.out)
    assert (found["by"], found["measures"], found["of"]) == (["n", "method"], ["ari"], "mean")
    expected = frame_in("results").groupby(["n", "method"])["ari"].mean()
    means = {(row["n"], row["method"]): row["mean"] for row in found["rows"]}
    assert means == pytest.approx(expected.to_dict())


def test_tables_are_as_wide_as_the_terminal_or_files(run, here: Path) -> None:
    run("study", "study.toml")
    done = run("study", "--table", "results", "--measure", "ari, log_likelihood", "--of", "median")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[2].split()[:4] == ["method", "cells", "failed", "ARI"]
    assert str(gp.StudyResults.load("results").table(of="median"))[:7] == done.out[:7] == "Medians"
    assert max(map(len, done.out.splitlines()[:6])) <= 80
    for name in ("t.md", "new/t.tex", "t.csv", "t.tsv", "t.parquet"):
        done = run("study", "--table", "results", "--out", name)
        assert (done.code, done.out) == (0, f"wrote the table to {name}\n")
    assert Path("new/t.tex").read_text().startswith("\\begin{table}")
    assert_frame_equal(pd.read_parquet("t.parquet"), pd.read_csv("t.csv"), check_dtype=False)
    assert_frame_equal(pd.read_csv("t.tsv", sep="\t"), pd.read_csv("t.csv"))


def test_what_cannot_be_a_table_is_one_line(run, here: Path) -> None:
    run("study", "study.toml")
    Path("t.md").write_text("mine")
    asked = {
        "--by sep": "by must be one of design, n, d, k, separation, method; got 'sep'",
        "--measure arri": "got 'arri'; did you mean 'ari'?",
        "--of mode": "of must be one of mean, median; got 'mode'",
        "--out t.txt": "--out must end in .md, .tex, .csv, .tsv or .parquet beside --table",
        "--out t.md": "the file exists, and is replaced with --force only: t.md",
    }
    for words, says in asked.items():
        done = run("study", "--table", "results", *words.split())
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
        assert says in done.err
    assert Path("t.md").read_text() == "mine"
    assert run("study", "--table", "results", "--out", "t.md", "--force").code == 0


# ---------------------------------------------------------------------- pages


def test_the_page_is_in_the_folder_and_has_the_command(run, here: Path) -> None:
    run("study", "study.toml", "--out", "overlaps")
    for _ in range(2):  # the second replaces the first
        done = run("study", "--report", "overlaps")
        assert (done.code, done.out, done.err) == (
            0,
            "wrote the page to overlaps/report.html\n",
            "",
        )
    page = Path("overlaps/report.html").read_text()
    assert "<code>gmm-pyro study study.toml --out overlaps</code>" in page
    assert "The command that makes this study" in page
    assert run("study", "--resume", "overlaps").code == 0
    assert run("study", "study.toml", "--out", "overlaps", "--force").code == 0
    assert not Path("overlaps/report.html").exists()


def test_a_page_elsewhere_has_what_is_asked_and_replaces_by_force_only(run, here: Path) -> None:
    run("study", "study.toml")
    asked = ("study", "--report", "results", "--out", "new/page.html")
    chosen = ("--measure", "ari,seconds", "--baseline", "em")
    found = json.loads(run(*asked, *chosen, "--json").out)
    assert found == {"out": "new/page.html", "cells": 8, "left": 0}
    page = Path("new/page.html").read_text()
    assert re.findall(r'id="measure-(\w+)"', page) == ["ari", "seconds"]
    assert "kmeans less em" in page
    done = run(*asked)
    assert (done.code, "replaced with --force only: new/page.html" in done.err) == (2, True)
    assert run(*asked, "--force").code == 0
    assert "kmeans less em" not in Path("new/page.html").read_text()
    assert not Path("results/report.html").exists()


def test_what_cannot_be_a_page_is_one_line(run, here: Path) -> None:
    run("study", "study.toml")
    asked = {
        "--measure arri": "got 'arri'; did you mean 'ari'?",
        "--baseline kmean": "got 'kmean'; did you mean 'kmeans'?",
        "--out page.md": "--out must end in .html beside --report, got 'page.md'",
        "--measure arri --out new/page.html": "got 'arri'; did you mean 'ari'?",
    }
    for words, says in asked.items():
        done = run("study", "--report", "results", *words.split())
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
        assert says in done.err
    assert not Path("results/report.html").exists()
    assert not Path("new").exists()


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
        (["study.toml", "--by", "n"], "--by says nothing without --table"),
        (["--resume", "results", "--of", "mean"], "--of says nothing without --table"),
        (["--table", "results", "--jobs", "2"], "--jobs says nothing beside --table"),
        (["--table", "results", "study.toml"], "a file says nothing beside --table"),
        (["--report", "nowhere"], "nowhere holds no study: there is no study.json in it"),
        (["--report", "results", "study.toml"], "a file says nothing beside --report"),
        (["--report", "results", "--table", "r"], "--table says nothing beside --report"),
        (["--report", "results", "--by", "n"], "--by says nothing beside --report"),
        (["--table", "results", "--baseline", "em"], "--baseline says nothing without --report"),
        (["study.toml", "--measure", "ari"], "--measure says nothing without --table or --report"),
        (["--table", "nowhere"], "nowhere holds no study: there is no study.json in it"),
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
