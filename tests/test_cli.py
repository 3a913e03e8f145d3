"""Claims about the command line: what it prints and writes, and one clear line for bad input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from gmm_pyro import cli
from gmm_pyro.datasets import DATASETS, bimodal, iris, three_clusters
from gmm_pyro.files import read_dataset
from gmm_pyro.inference.fit import METHODS, Method, method_named
from gmm_pyro.inference.task import Outcome, Status, Task

HEAVY = ["torch", "pandas", "sklearn", "scipy", "matplotlib", "pyro", "arviz", "numpy"]


@dataclass(frozen=True)
class Run:
    """What a run of the command line printed, and how it ended."""

    code: int | None
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys, tmp_path) -> Callable[..., Run]:
    """Run the command line in an empty folder, 80 columns wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["gmm-pyro", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Run(ended.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """Irises with their species by name, a remark, and a column of row numbers without a name."""
    names = pd.Series(["setosa", "versicolor", "virginica"])
    table = pd.DataFrame(iris().x.numpy(), columns=list(iris().feature_names))
    table["species"] = names[iris().labels.numpy()].to_numpy()
    table["remark"] = "nice"
    table.to_csv(tmp_path / "flowers.csv")
    return tmp_path / "flowers.csv"


class TestHelp:
    @pytest.mark.parametrize("command", [[], ["compare"], ["simulate"]])
    def test_help_imports_nothing_heavy(self, command: list[str]) -> None:
        code = (
            "import sys, atexit\n"
            f"sys.argv = ['gmm-pyro', *{command}, '--help']\n"
            f"atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules]))\n"
            "from gmm_pyro.cli import main\n"
            "main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == "[]"

    def test_help_shows_the_defaults(self) -> None:
        shown = CliRunner().invoke(cli.app, ["compare", "--help"], env={"COLUMNS": "200"}).output
        for default in ("three-clusters", cli.METHODS, "full", "results", "0"):
            assert f"[default: {default}]" in shown
        assert "[default: (that of the truth or labels)]" in shown

    def test_help_names_the_data_sets_and_methods_that_there_are(self) -> None:
        assert cli.DATASETS.replace(" or ", ", ").split(", ") == list(DATASETS)
        names = {name.partition(":")[0] for name in cli.METHODS.split(", ")}
        assert names == METHODS.keys() - {"nuts"}  # which takes longer than the rest together
        for name in cli.METHODS.split(", "):
            method_named(name.partition(":")[0])


class TestCompare:
    def test_generated_data_need_no_other_option(self, run, tmp_path) -> None:
        done = run("compare", "--methods", "kmeans,em", "--data", "three-clusters")
        assert done.code == 0
        lines = done.out.splitlines()
        assert lines[0] == "three-clusters: 300 points, 2 features; 3 components, full covariances"
        assert [line.split()[0] for line in lines[4:6]] == ["kmeans", "em"]
        assert lines[-1] == "wrote comparison.csv, 4 pictures and 2 mixtures to results"
        table = pd.read_csv(tmp_path / "results" / "comparison.csv")
        assert list(table["method"]) == ["kmeans", "em"]

    def test_each_fit_has_a_progress_bar_on_standard_error(self, run) -> None:
        done = run("compare", "--methods", "kmeans, em")
        assert "kmeans: " in done.err
        assert "em: " in done.err
        assert "step" not in done.out.replace("steps", "")

    def test_a_file_gives_its_numeric_columns_and_its_classes(self, run, flowers, tmp_path) -> None:
        done = run("compare", "--data", flowers, "--label-column", "species", "--methods", "em")
        assert done.code == 0
        assert done.out.startswith("flowers: 150 points, 4 features; 3 components")
        assert "left out, as not numeric or without a name: Unnamed: 0, remark\n" in done.err
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

    def test_another_seed_is_another_draw(self, run, tmp_path) -> None:
        for data in ("bimodal", "bimodal:1"):
            run("compare", "--data", data, "--methods", "kmeans", "--out", data.replace(":", ""))
        one, other = (pd.read_csv(tmp_path / d / "comparison.csv") for d in ("bimodal", "bimodal1"))
        assert one["log_likelihood"][0] != other["log_likelihood"][0]


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


class TestSimulate:
    @pytest.mark.parametrize("name", ["points.csv", "points.parquet", "new/points.PQ"])
    def test_the_file_holds_the_points_to_the_last_bit(self, run, name, tmp_path) -> None:
        done = run("simulate", "three-clusters", "--out", name)
        assert (done.code, done.err) == (0, "")
        assert done.out == f"wrote 300 points of 2 features to {name}\n"
        content = read_dataset(tmp_path / name)
        assert torch.equal(content.dataset.x, three_clusters().x)
        assert torch.equal(content.dataset.labels, three_clusters().labels)
        assert content.left_out == ()

    def test_a_seed_is_another_draw(self, run, tmp_path) -> None:
        run("simulate", "bimodal", "--out", "points.csv", "--seed", 7)
        assert torch.equal(read_dataset(tmp_path / "points.csv").dataset.x, bimodal(seed=7).x)


BAD_FILES = {
    "semicolons.csv": "a;b\n1;2\n",
    "empty.csv": "",
    "gap.csv": "a,b\n1,2\n,3\n4,5\n",
    "plain.csv": "a,b\n1,2\n2,3\n4,5\n",
    "constant.csv": "a,b\n1,2\n2,2\n4,2\n",
    "fake.parquet": "no parquet",
}
BAD_INPUT = {
    "": "Missing command",
    "compere": "No such command 'compere'",
    "compare --seed one": "Invalid value for '--seed'",
    "compare --dat iris": "No such option: --dat",
    "compare --data irs": "got 'irs'; did you mean 'iris'? (or a .csv or .parquet file)",
    "compare --data bimodal:x": "the seed in NAME:SEED must be a whole number, got 'bimodal:x'",
    "compare --data iris --label-column kind": "--label-column is for files",
    "compare --data none.csv": "No such file or directory: none.csv",
    "compare --data semicolons.csv": "semicolons.csv has no numeric column with a name: it has a;b",
    "compare --data empty.csv": "empty.csv cannot be read: No columns to parse from file",
    "compare --data gap.csv --components 2": "x has 1 NaN value, the first at row 1, column 'a'",
    "compare --data constant.csv --components 2": "x must vary in every column",
    "compare --data fake.parquet": "fake.parquet cannot be read: ",
    "compare --data plain.csv": "--components is needed: plain has neither a truth nor labels",
    "compare --data plain.csv --label-column c": "plain.csv has no column 'c': it has a, b",
    "compare --data plain.csv --components 4": "x has 3 points, fewer than the 4 components",
    "compare --components 0": "n_components must be a positive integer, got 0",
    "compare --methods em,svj": "got 'svj'; did you mean 'svi'?",
    "compare --methods ,": "methods must hold one or more different names",
    "compare --methods svi:enum": "engine must be one of collapsed, enumerated; got 'enum'",
    "compare --covariance fulll": "got 'fulll'; did you mean 'full'?",
    "compare --test-size 1.5": "test_size must be a share between 0 and 1",
    "compare --methods em --out plain.csv": "File exists: plain.csv",
    "simulate bimodal": "Missing option '--out'",
    "simulate bimodl --out points.csv": "got 'bimodl'; did you mean 'bimodal'?",
    "simulate bimodal --out points.txt": "must end in .csv or .parquet or .pq, got points.txt",
    "simulate bimodal --out plain.csv/points.csv": ": plain.csv",
}


@pytest.mark.parametrize("arguments", BAD_INPUT)
def test_bad_input_is_one_line_on_standard_error_and_exit_code_2(run, arguments, tmp_path) -> None:
    for name, text in BAD_FILES.items():
        (tmp_path / name).write_text(text)
    done = run(*arguments.split())
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("gmm-pyro: ")
    assert BAD_INPUT[arguments] in done.err
    assert done.err.count("\n") == 1


def test_a_mistake_of_the_program_keeps_its_traceback(monkeypatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_the_package_runs_as_a_module_and_ends_as_the_script_does(tmp_path) -> None:
    command = [sys.executable, "-m", "gmm_pyro", "compare", "--seed", "one"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gmm-pyro: Invalid value for '--seed'")
    assert done.stderr.count("\n") == 1
