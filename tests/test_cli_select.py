"""Claims about `gmm-pyro select`: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

import gmm_pyro as gp
from gmm_pyro.cli.ranking import best_blocks, grid_blocks
from gmm_pyro.cli.sizes import numbers_in, refuse_several
from gmm_pyro.comparison.printed import width_of
from gmm_pyro.inference import METHODS, Method
from gmm_pyro.inference.task import Outcome, Status, Task

pytestmark = pytest.mark.usefixtures("no_pictures", "blank")  # they are tested elsewhere
QUICK = ["-k", "2,3", "--covariance", "VVV,tied", "--starts", "2"]


@pytest.fixture
def points(tmp_path) -> pd.DataFrame:
    """Three clusters, with other columns beside, in points.csv."""
    table = gp.datasets.three_clusters().frame().rename(columns={"x0": "width", "x1": "height"})
    table["weight"] = np.linspace(0.5, 1.5, len(table))
    table["name"] = [f"p{i}" for i in range(len(table))]
    table.to_csv(tmp_path / "points.csv", index=False)
    return table


@pytest.fixture
def x(points) -> torch.Tensor:
    return torch.tensor(points[["width", "height"]].to_numpy())


@pytest.fixture
def blank(monkeypatch) -> None:
    """Pictures are not painted, which takes most of the time."""
    monkeypatch.setattr("gmm_pyro.plots.png", lambda *_: b"a picture")


# ---------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1-9", list(range(1, 10))),
        ("1,2,5", [1, 2, 5]),
        ("2-4,7", [2, 3, 4, 7]),
        ("3", [3]),
        (" 7, 2 - 3 ,3", [2, 3, 7]),
        ("4-4", [4]),
    ],
)
def test_numbers_and_ranges(text: str, numbers: list[int]) -> None:
    assert numbers_in(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "1-", "-3", "1-2-3", "1.5", "1:3", "1,"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="--components must be numbers, as 1-9"):
        numbers_in(text)


def test_a_hint_can_be_pasted_into_a_shell() -> None:
    with pytest.raises(ValueError, match="gmm-pyro select 'my points.csv' --components '1, 2'$"):
        refuse_several("my points.csv", "1, 2", "full")
    refuse_several("points.csv", " 3", "full")
    refuse_several("points.csv", None, "VVV")


# ---------------------------------------------------------------------- what it finds


def test_the_folder_has_the_best_fit_as_fit_writes_it(run, points, x, tmp_path) -> None:
    done = run("select", "points.csv", "--columns", "width,height", *QUICK, "--keep", "name")
    assert done.code == 0, done.err
    selection = gp.select(x, [2, 3], ["VVV", "tied"], n_starts=2)
    best = selection.best
    home = tmp_path / "selection"
    mixture = gp.GaussianMixture.load(home / "best" / "mixture.json")
    assert mixture.family.name == best.model.family.name
    found = float(mixture.log_prob(x).sum())
    assert found == pytest.approx(float(best.mixture.log_prob(x).sum()), rel=1e-12)
    assert found == pytest.approx(best.objective, rel=1e-9)
    facts = json.loads((home / "best" / "fit.json").read_text())
    assert facts["selection"]["in_words"] == selection.in_words()
    assert facts["bic"] == pytest.approx(selection.best_cell.criteria.bic, abs=0.01)
    assert facts["command"].startswith("gmm-pyro select points.csv --columns width,height")
    assert facts["data"]["label_column"] == "label"
    labels = pd.read_csv(home / "best" / "labels.csv")
    assert labels["name"].tolist() == points["name"].tolist()
    assert labels["label"].tolist() == mixture.predict(x).tolist()
    assert adjusted_rand_score(labels["label"], best.labels) == 1.0
    assert not list(tmp_path.rglob(".partial*"))


def test_the_saved_fit_predicts(run, points, tmp_path) -> None:
    run("select", "points.csv", *QUICK, "--columns", "width,height")
    done = run("predict", "selection/best", "points.csv", "--out", "labels.csv")
    assert done.code == 0
    again = pd.read_csv(tmp_path / "labels.csv")["label"]
    assert again.tolist() == pd.read_csv("selection/best/labels.csv")["label"].tolist()


def test_the_table_is_that_of_the_selection(run, points, x, tmp_path) -> None:
    columns = ["--columns", "width,height"]
    done = run("select", "points.csv", *columns, *QUICK, "--criterion", "icl", "-o", "a/b")
    selection = gp.select(x, [2, 3], ["VVV", "tied"], "icl", n_starts=2)
    table = pd.read_csv(tmp_path / "a" / "b" / "selection.csv")
    pd.testing.assert_frame_equal(table, selection.table, check_dtype=False, rtol=1e-9)
    assert done.out.endswith(
        "wrote figures/criterion.png, selection.csv and the best fit in best/ to a/b\n"
    )


def test_weights_and_method_options_reach_the_selection(run, points, x) -> None:
    options = ["--weights-column", "weight", "--seed", 5, "--tolerance", 1e-5, "--json"]
    named = ["--columns", "width,height", "--option", "dtype=float32"]
    done = run("select", "points.csv", *named, *options, "-k", "3", "--covariance", "full")
    found = json.loads(done.out)
    weight = points["weight"].to_numpy()
    told = {"sample_weight": weight, "seed": 5, "tolerance": 1e-5, "dtype": "float32"}
    selection = gp.select(x, 3, "full", **told)
    assert found["best"]["bic"] == pytest.approx(selection.best_cell.criteria.bic, rel=1e-6)
    assert found["seed"] == 5
    facts = json.loads(Path("selection/best/fit.json").read_text())
    assert (facts["dtype"], facts["sample_weight"]) == ("float32", True)


def test_other_methods_have_their_own_criteria(run) -> None:
    small = ["-k", "1,2", "--covariance", "full", "--draws", 20]
    done = run("select", "galaxies", "-m", "laplace", "--criterion", "evidence", *small)
    assert done.code == 0
    table = pd.read_csv("selection/selection.csv")
    assert table["log_evidence"].is_monotonic_decreasing
    assert Path("selection/best/posterior.nc").exists()


def test_noise_and_folds_reach_the_selection(run, points, x) -> None:
    told = ["--noise-component", "uniform", "--criterion", "cross_validation", "--folds", 2]
    named = ["--columns", "width,height", "-k", "3", "--covariance", "VII", "--starts", "1"]
    done = run("select", "points.csv", *named, *told, "--json")
    selection = gp.select(
        x, 3, "VII", "cross_validation", noise_component="uniform", n_folds=2, n_starts=1
    )
    best = json.loads(done.out)["best"]
    assert best["cross_validation"] == pytest.approx(selection.table["cross_validation"][0])
    mixture = gp.GaussianMixture.load("selection/best/mixture.json")
    assert mixture.noise_weight == pytest.approx(selection.best.mixture.noise_weight)


# ---------------------------------------------------------------------- what it prints


def test_the_answer_is_the_last_word(run, points) -> None:
    done = run("select", "points.csv", "--columns", "width,height", *QUICK)
    lines = done.out.splitlines()
    first = "points: 300 points, 2 features; 2,3 components, 2 families of covariances"
    assert lines[0] == first
    assert lines[1].startswith("em: 4 models in ")
    assert lines[3].split() == ["bic", "2", "3"]
    assert [line.split()[0] for line in lines[5:7]] == ["tied", "full"]
    assert lines[8].split()[:2] == ["k", "covariance"]
    assert lines[10].split()[:2] == ["*", "3"]
    best = ("best (*): 3 components, ", "best (*, ~ near it): 3 components, ")
    assert lines[-2].startswith(best)
    assert max(map(len, lines[:-1])) <= 80
    assert done.err == "column 'label' is taken for the true classes\n"


@pytest.fixture(scope="module")
def galaxies() -> gp.Selection:
    """Galaxies, of which AIC has two models near each other."""
    return gp.select(gp.datasets.galaxies().x, range(1, 8), "full", "aic")


def test_near_models_are_marked(galaxies: gp.Selection) -> None:
    (cells,) = best_blocks(galaxies, 100)
    assert cells[""][0] == "*"
    assert cells[""].count("~") == len(galaxies.ties) - 1 > 0
    assert cells["k"][0] == str(galaxies.best_cell.n_components)
    assert list(grid_blocks(galaxies, 100)) == []  # one family is all in the other table


def test_narrow_terminals_get_more_tables(galaxies: gp.Selection) -> None:
    parts = list(best_blocks(galaxies, 40))
    assert len(parts) > 1
    assert all(width_of(part) <= 40 for part in parts)
    assert all(list(part)[:3] == ["", "k", "covariance"] for part in parts)
    (whole,) = best_blocks(galaxies, 100)
    assert {name for part in parts for name in part} == whole.keys()


def test_json_is_one_document(run, points) -> None:
    done = run("select", "points.csv", "--columns", "width,height", *QUICK, "--json")
    found = json.loads(done.out)
    assert found["best"] == found["near"][0] == found["models"][0]
    assert found["best"]["n_components"] == 3
    assert len(found["models"]) == found["n_models"] == 4
    assert all(Path(file).exists() for file in found["files"])


def test_a_bar_ticks_by_family_on_a_terminal(run, points, a_terminal) -> None:
    done = run("select", "points.csv", "--columns", "width,height", *QUICK)
    assert "select: " in done.err
    assert "2/2" in done.err
    assert "select: " not in done.out


def test_the_report_has_the_command(run, points) -> None:
    small = ["-k", "3", "--covariance", "VVV", "--starts", "2"]
    run("select", "points.csv", "--columns", "width,height", *small, "--report")
    page = Path("selection/report.html").read_text()
    assert "gmm-pyro select points.csv --columns width,height" in page
    assert "<title>points: models selected</title>" in page


# ---------------------------------------------------------------------- folders


def test_each_selection_has_a_new_folder(run, points) -> None:
    for folder in ("selection", "selection-2"):
        done = run("select", "points.csv", "--columns", "width", "-k", "1", "--covariance", "VVV")
        assert done.out.endswith(f" to {folder}\n")


def test_by_force_nothing_of_an_earlier_one_stays(run, points) -> None:
    small = ["select", "points.csv", "--columns", "width", "-k", "1", "--covariance", "VVV"]
    run(*small, "--table-format", "tsv", "-o", "here")
    for name in ("mine.txt", "report.html"):
        Path("here", name).write_text("of an earlier day")
    assert run(*small, "-o", "here").code == 2
    assert run(*small, "-o", "here", "--force").code == 0
    files = {str(path.relative_to("here")) for path in Path("here").rglob("*.*")}
    fit = {"fit.json", "labels.csv", "mixture.json", "responsibilities.csv"}
    ours = {"selection.csv", "figures/criterion.png", *(f"best/{name}" for name in fit)}
    assert files == {"mine.txt", *ours}


# ---------------------------------------------------------------------- how it ends


@pytest.fixture
def hopeless(tmp_path) -> None:
    """So few points, apart from each other, that no mixture of three components is sound."""
    rows = gp.datasets.iris().x[:12].numpy()
    pd.DataFrame(rows, columns=list("abcd")).to_csv(tmp_path / "few.csv", index=False)


@pytest.mark.usefixtures("hopeless")
def test_no_sound_model_is_said_and_all_but_the_fit_is_written(run) -> None:
    done = run("select", "few.csv", "-k", "3,4,13", "--covariance", "VVV")
    assert done.code == 1
    assert done.out.splitlines()[-2] == "no model is sound"
    assert done.out.endswith("wrote figures/criterion.png, selection.csv to selection\n")
    assert not Path("selection/best").exists()
    table = pd.read_csv("selection/selection.csv")
    assert table["status"].tolist() == ["not sound", "not sound", "too few points"]
    done = run("select", "few.csv", "-k", "3", "--covariance", "VVV", "--json")
    found = json.loads(done.out)
    assert (found["best"], found["near"], done.code) == (None, [], 1)


def of_own(monkeypatch, run: Callable[[Task], Outcome]) -> None:
    monkeypatch.setitem(METHODS, "own", Method(run, METHODS["em"].options))


SMALL = ["-k", "1-3", "--covariance", "VVV", "--starts", "2"]


def test_an_interrupt_of_a_model_ends_all(run, monkeypatch, tmp_path) -> None:
    """A method keeps its best so far; a selection of some models is none."""
    calls = []

    def interrupted(task: Task) -> Outcome:
        calls.append(task)
        return replace(METHODS["em"].run(task), status=Status.INTERRUPTED)

    of_own(monkeypatch, interrupted)
    done = run("select", "bimodal", "-m", "own", *SMALL)
    assert (done.code, len(calls)) == (130, 1)
    assert done.err.endswith("gmm-pyro: interrupted; nothing is written\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_em(run, monkeypatch, tmp_path) -> None:
    def interrupt(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("gmm_pyro.selection.ladder.Ladder.climb", interrupt)
    done = run("select", "bimodal", *SMALL)
    assert done.code == 130
    assert "interrupted; nothing is written" in done.err
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_leaves_nothing(run, monkeypatch, tmp_path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "fit.json")

    monkeypatch.setattr("gmm_pyro.selection.saving.save_fit", fail)
    done = run("select", "bimodal", *SMALL, "--out", "new")
    assert done.code == 2
    assert "No space left on device: fit.json" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_model_at_the_step_limit_is_marked(run) -> None:
    small = ["-k", "3", "--covariance", "EEE", "--starts", "1", "--max-steps", 1]
    done = run("select", "old-faithful", *small)
    assert done.code == 0
    assert "step limit" in done.out
    assert "warning: em stopped at the step limit" in done.err
