"""Claims about `gmm-pyro compare`: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from gmm_pyro.comparison import Comparison
from gmm_pyro.datasets import iris
from gmm_pyro.inference import METHODS, Method
from gmm_pyro.inference.task import Outcome, Status, Task


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """Irises with their species by name, a remark, and a column of row numbers without a name."""
    names = pd.Series(["setosa", "versicolor", "virginica"])
    table = pd.DataFrame(iris().x.numpy(), columns=list(iris().feature_names))
    table["species"] = names[iris().labels.numpy()].to_numpy()
    table["remark"] = "nice"
    table.to_csv(tmp_path / "flowers.csv")
    return tmp_path / "flowers.csv"


def test_generated_data_need_no_other_option(run, tmp_path) -> None:
    done = run("compare", "--methods", "kmeans,em", "--data", "three-clusters")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "three-clusters: 300 points, 2 features; 3 components, full covariances"
    assert [line.split()[0] for line in lines[4:6]] == ["kmeans", "em"]
    assert lines[-1] == "wrote comparison.csv, 4 pictures and 2 mixtures to results"
    table = pd.read_csv(tmp_path / "results" / "comparison.csv")
    assert list(table["method"]) == ["kmeans", "em"]


@pytest.mark.usefixtures("no_pictures")
class TestCompare:
    def test_each_fit_has_a_progress_bar_on_a_terminal(self, run, a_terminal) -> None:
        done = run("compare", "--methods", "kmeans, em")
        assert "kmeans: " in done.err
        assert "em: " in done.err
        assert "step" not in done.out.replace("steps", "")

    def test_elsewhere_a_quick_fit_says_nothing_of_its_steps(self, run) -> None:
        assert run("compare", "--methods", "kmeans, em").err == ""

    def test_a_file_gives_its_numeric_columns_and_its_classes(self, run, flowers, tmp_path) -> None:
        done = run("compare", "--data", flowers, "--label-column", "species", "--methods", "em")
        assert done.code == 0
        assert done.out.startswith("flowers: 150 points, 4 features; 3 components")
        assert "left out: Unnamed: 0 (no name), remark (not numeric)\n" in done.err
        table = pd.read_csv(tmp_path / "results" / "comparison.csv")
        assert table["ari"][0] > 0.8
        assert table["kl_to_truth"].isna().all()

    def test_options_reach_the_comparison(self, run, flowers, tmp_path) -> None:
        options = ["--components", 2, "--covariance", "VII", "--test-size", 0.2, "--out", "a/b"]
        done = run("compare", "--data", flowers, "--methods", "em", *options)
        assert "120 points, 4 features; 2 components, spherical covariances" in done.out
        table = pd.read_csv(tmp_path / "a" / "b" / "comparison.csv")
        assert table["held_out_log_density"].notna().all()
        assert table["ari"].isna().all()

    def test_a_column_called_label_is_taken_for_the_classes_and_said_to_be(self, run) -> None:
        run("simulate", "bimodal", "--out", "points.csv")
        done = run("compare", "--data", "points.csv", "--methods", "em")
        assert "column 'label' is taken for the true classes\n" in done.err
        assert done.out.startswith("points: 1000 points, 1 feature; 2 components")

    def test_a_name_that_looks_like_markup_is_a_name(self, run, flowers, tmp_path) -> None:
        flowers.rename(tmp_path / "run[b].csv")
        done = run("compare", "--data", "run[b].csv", "--components", 3, "--methods", "kmeans")
        assert done.out.startswith("run[b]: 150 points")

    def test_another_seed_is_another_draw(self, run, tmp_path) -> None:
        for data in ("bimodal", "bimodal:1"):
            run("compare", "--data", data, "--methods", "kmeans", "--out", data.replace(":", ""))
        one, other = (pd.read_csv(tmp_path / d / "comparison.csv") for d in ("bimodal", "bimodal1"))
        assert one["log_likelihood"][0] != other["log_likelihood"][0]


@pytest.mark.usefixtures("no_pictures")
class TestOutput:
    def test_an_earlier_comparison_is_replaced_by_force_only(self, run, tmp_path) -> None:
        assert run("compare", "--methods", "kmeans,em").code == 0
        before = (tmp_path / "results" / "comparison.csv").read_bytes()
        done = run("compare", "--methods", "kmeans", "--seed", 1)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("gmm-pyro: the folder is not empty, and is replaced with")
        assert (tmp_path / "results" / "comparison.csv").read_bytes() == before
        assert run("compare", "--methods", "kmeans", "--force").code == 0
        assert not (tmp_path / "results" / "mixtures" / "em.json").exists()

    def test_json_is_the_table_and_nothing_else(self, run, flowers, tmp_path) -> None:
        columns = "petal_length,petal_width"
        done = run(
            *("compare", "--data", flowers, "--label-column", "species", "--json"),
            *("--methods", "kmeans,em", "--columns", columns),
        )
        found = json.loads(done.out)
        assert found["data"]["features"] == columns.split(",")
        table = pd.read_csv(tmp_path / "results" / "comparison.csv", index_col="method")
        assert list(found["methods"]) == ["kmeans", "em"]
        for name, row in found["methods"].items():
            assert row["ari"] == pytest.approx(table.loc[name, "ari"])
            assert row["kl_to_truth"] is None
        assert all((tmp_path / file).exists() for file in found["files"])

    def test_the_report_is_told_the_command_and_is_no_older_than_the_rest(
        self, run, monkeypatch, tmp_path
    ) -> None:
        def report(_: Comparison, path: Path, *, command: str) -> Path:
            path.write_text(command)
            return path

        monkeypatch.setattr(Comparison, "report", report)
        done = run("compare", "--methods", "kmeans, em", "--report", "--out", "a b")
        assert done.out.splitlines()[-1].startswith("wrote comparison.csv, report.html, ")
        text = (tmp_path / "a b" / "report.html").read_text()
        assert text == "gmm-pyro compare --methods 'kmeans, em' --report --out 'a b'"
        run("compare", "--methods", "kmeans", "--out", "a b", "--force")
        assert not (tmp_path / "a b" / "report.html").exists()

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
    def test_without_its_report_nothing_is_written(self, run, monkeypatch, tmp_path, error) -> None:
        def fail(_: Comparison, path: Path, *, command: str) -> Path:
            path.write_text(command)
            raise error(28, "No space left on device", str(path))

        monkeypatch.setattr(Comparison, "report", fail)
        options = ["compare", "--methods", "kmeans", "--report", "--out"]
        done = run(*options, "new")
        interrupted = error is KeyboardInterrupt
        said = "interrupted; nothing is written" if interrupted else "No space .*: new/report.html"
        assert done.code == (130 if interrupted else 2)
        assert re.search(f"gmm-pyro: {said}\n", done.err)
        assert list(tmp_path.iterdir()) == []

        (tmp_path / "old").mkdir()
        for name in ("comparison.csv", "report.html"):
            (tmp_path / "old" / name).write_text("old")
        run(*options, "old", "--force")
        left = {path.name: path.read_text() for path in (tmp_path / "old").iterdir()}
        assert left == {"comparison.csv": "old", "report.html": "old"}

    def test_a_failure_leaves_no_folder(self, run, monkeypatch, tmp_path) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device", "comparison.csv")

        monkeypatch.setattr("gmm_pyro.comparison.saving._write", fail)
        done = run("compare", "--methods", "kmeans", "--out", "new")
        assert done.code == 2
        assert "No space left on device: comparison.csv" in done.err
        assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_pictures")
class TestEndings:
    @staticmethod
    def add(monkeypatch, run: Callable[[Task], Outcome]) -> None:
        monkeypatch.setitem(METHODS, "own", Method(run, METHODS["em"].options))

    def test_a_failed_method_is_told_of_and_the_others_count(self, run, monkeypatch) -> None:
        self.add(monkeypatch, lambda _: 1 / 0)
        done = run("compare", "--methods", "own,em")
        assert done.code == 0
        assert "own failed: ZeroDivisionError: division by zero\n" in done.err
        assert "own     failed" in done.out

    def test_if_all_methods_fail_the_exit_code_says_so(self, run, monkeypatch, tmp_path) -> None:
        self.add(monkeypatch, lambda _: 1 / 0)
        assert run("compare", "--methods", "own").code == 1
        assert (tmp_path / "results" / "comparison.csv").exists()

    def test_an_interrupt_saves_what_is_finished(self, run, monkeypatch, tmp_path) -> None:
        def interrupt(_: Task) -> Outcome:
            raise KeyboardInterrupt

        self.add(monkeypatch, interrupt)
        done = run("compare", "--methods", "kmeans,own,em")
        assert done.code == 130
        assert "em not run: interrupted\n" in done.err
        assert (tmp_path / "results" / "mixtures" / "kmeans.json").exists()

    def test_warnings_of_a_fit_are_passed_on(self, run, monkeypatch) -> None:
        def stop(task: Task) -> Outcome:
            found = METHODS["em"].run(task)
            return Outcome(found.parameters, 0.0, [0.0], Status.STEP_LIMIT, 1)

        self.add(monkeypatch, stop)
        done = run("compare", "--methods", "own")
        assert "own warns: own stopped at the step limit" in done.err
        assert "step limit" in done.out
