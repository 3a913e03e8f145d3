"""Claims about data files in studies: what is read, what is known of it, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gmm_pyro as gp
import studied
from gmm_pyro.study import data_file

FRAME = pd.DataFrame(
    {
        "length": [0.1, 0.2, 0.3, 5.1, 5.2, 5.3],
        "width": [1.5, 1.25, 1.0, 2.5, 2.25, 2.0],
        "species": ["b", "b", "b", "a", "a", "a"],
    }
)
HEAD = 'methods = ["kmeans"]\nmetrics = ["ari"]\n'
DATA = '[[data]]\nkind = "file"\npath = "points.csv"\nlabels = "species"\n'


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder beside the current one, with points.csv; cells are run by this process."""
    monkeypatch.setattr("gmm_pyro.study.study.Pool", studied.HerePool)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    written(tmp_path)
    return tmp_path


def written(folder: Path, frame: pd.DataFrame = FRAME) -> None:
    frame.to_csv(folder / "points.csv", index=False)


def study(base: Path, more: str = "") -> gp.Study:
    return gp.Study.from_toml(f"{HEAD}{DATA}{more}", base=base)


def test_a_file_is_the_data_set_that_pandas_reads(home: Path) -> None:
    (design,) = study(home, 'features = ["width", "length"]\nname = "flowers"').designs
    data = design.draw({}, 0)
    assert (data.name, data.feature_names) == ("flowers", ("width", "length"))
    assert np.array_equal(data.x.numpy(), FRAME[["width", "length"]].to_numpy())
    assert data.labels.tolist() == (FRAME["species"] == "b").astype(int).tolist()
    frame = study(home).run("results").frame
    assert frame[["design", "ari"]].to_numpy().tolist() == [["points", 1.0]]


def test_paths_start_from_the_current_folder_without_another(home: Path) -> None:
    written(home / "here", FRAME[:4])
    (design,) = gp.Study.from_toml(HEAD + DATA).designs
    assert design.draw({}, 0).n == 4
    (design,) = gp.Study.from_toml(HEAD + DATA.replace("points", "../points")).designs
    assert design.draw({}, 0).n == 6


def test_it_is_written_with_its_path_and_is_the_same_again(home: Path) -> None:
    more = 'features = ["length"]\nweights = "width"\nname = "a \\"b\\""\n'
    told = {"features": ["length"], "weights": "width", "name": 'a "b"', "labels": "species"}
    first = study(home, more)
    assert first.to_toml().endswith(DATA.split("\n", 1)[1] + more)
    assert gp.Study.from_toml(first.to_toml(), base=home).plan == first.plan
    made = gp.Study(data_file("points.csv", base=home, **told), "kmeans", metrics=["ari"])
    assert made.plan == first.plan


def with_value(column: str, value: Any) -> pd.DataFrame:
    frame = FRAME.copy()
    frame.loc[2, column] = value
    return frame


OTHERS = {
    "a class": with_value("species", "a"),
    "the last bit of a number": with_value("length", float(np.nextafter(0.3, 1))),
    "the order of rows": FRAME[::-1],
    "the name of a feature": FRAME.rename(columns={"width": "breadth"}),
    "a missing value": with_value("width", float("nan")),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_study_does_not_go_on_with_another_content(home: Path, case: str) -> None:
    study(home).run("results")
    written(home, OTHERS[case])
    says = "holds another study, whose data called points are others"
    with pytest.raises(FileExistsError, match=says):
        study(home).run("results")
    assert len(gp.StudyResults.load("results").frame) == 1


def test_a_study_goes_on_with_the_same_content_wherever_and_however_it_is_kept(home: Path) -> None:
    first = study(home).run("results").frame
    (home / "other").mkdir()
    FRAME.to_csv(home / "other" / "points.tsv", index=False, sep="\t")
    text = (HEAD + DATA).replace("points.csv", "other/points.tsv")
    again = gp.Study.from_toml(text, base=home).run("results").frame
    pd.testing.assert_frame_equal(first, again)


WRONG = {
    "no such file": (DATA.replace("points", "nowhere"), "nowhere.csv cannot be read: No such file"),
    "a folder": (DATA.replace("points.csv", "here"), "must end in .csv, "),
    "no path": (DATA.replace("path =", "name ="), "must have a path, got {"),
    "an empty path": (DATA.replace("points.csv", ""), "path must be the name of a place"),
    "standard input": (DATA.replace("points.csv", "-"), "which standard input is not"),
    "a number": (DATA.replace('"points.csv"', "3"), "path must be the name of a place, "),
    "no such class": (DATA.replace('"species"', '"specis"'), "points.csv has no column 'specis'"),
    "no such feature": (f"{DATA}features = ['lenth']\n", "points.csv has no column 'lenth'"),
    "a word as a feature": (f"{DATA}features = 'length'\n", "features must"),
    "no features": (f"{DATA}features = []\n", "features must be a name, or names of columns"),
    "a number as a name": (f"{DATA}name = 3\n", "name must be a name, or names of columns, got 3"),
    "another word": (f"{DATA}label = 'a'\n", "got 'label'; did you mean 'labels'?"),
    "a factor": (f"{DATA}n = 30\n", "have path, labels, features, weights, name; got 'n'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_told_with_the_entry(home: Path, case: str) -> None:
    text, says = WRONG[case]
    iris = '[[data]]\nkind = "dataset"\nname = "iris"\n'
    with pytest.raises(ValueError, match=r"^\[\[data\]\], entry 2: ") as told:
        gp.Study.from_toml(HEAD + iris + text, base=home)
    assert says in str(told.value)


def test_words_among_numbers_are_told_with_the_file(home: Path) -> None:
    frame = FRAME.astype({"length": str})
    frame.loc[3, "length"] = "long"
    written(home, frame)
    with pytest.raises(ValueError, match=r"entry 1: .*points\.csv.*'length'"):
        study(home)


def test_the_command_reads_files_beside_the_study(run, home: Path) -> None:
    written(home, FRAME.assign(id=range(6)))
    (home / "study.toml").write_text(HEAD + DATA)
    done = run("study", "../study.toml")
    assert (done.code, done.out.splitlines()[0]) == (0, "study: 1 method on 1 design, 1 cell")
    left = "points.csv: left out: id (only identifies rows); features chooses others\n"
    assert done.err == left
    done = run("study", "../study.toml", "--resume", "results")
    assert (done.code, "1 of them run before" in done.out) == (0, True)
    written(home)
    assert run("study", "../study.toml", "--resume", "results").code == 0
    written(home, OTHERS["a class"])
    done = run("study", "../study.toml", "--resume", "results")
    says = "the folder holds another study, whose data called points are others"
    assert (done.code, done.err) == (2, f"gmm-pyro: {says}; take another folder: results\n")
    (home / "points.csv").unlink()
    done = run("study", "../study.toml", "--resume", "results")
    says = "[[data]], entry 1: ../points.csv cannot be read: No such file or directory"
    assert (done.code, done.err) == (2, f"gmm-pyro: ../study.toml: {says}\n")


def test_what_is_taken_for_the_classes_is_said(run, home: Path) -> None:
    written(home, FRAME.rename(columns={"species": "label"}))
    (home / "study.toml").write_text(HEAD + DATA.replace('labels = "species"\n', ""))
    done = run("study", "../study.toml")
    assert done.err == "points.csv: column 'label' is taken for the true classes\n"
