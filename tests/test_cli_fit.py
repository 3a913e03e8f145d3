"""Claims about `gmm-pyro fit` and `predict`: a folder, and what it says of other points."""

from __future__ import annotations

import json
import signal
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray
from sklearn.mixture import GaussianMixture as SklearnMixture
from tqdm import tqdm

from gmm_pyro import GaussianMixture, datasets
from gmm_pyro.inference import METHODS, Method
from gmm_pyro.inference.task import FitWarning, Outcome, Status, Task

pytestmark = pytest.mark.usefixtures("no_pictures")  # they are tested with `save_fit`
EM = ["--tolerance", "1e-4", "--starts", "2"]  # enough for clusters that are apart


@pytest.fixture
def points(run, tmp_path) -> pd.DataFrame:
    """Three clusters, with other columns beside, in points.csv."""
    table = datasets.three_clusters().frame().rename(columns={"x0": "width", "x1": "height"})
    table["weight"] = np.linspace(0.5, 1.5, len(table))
    table["colour"] = "red"
    table.to_csv(tmp_path / "points.csv")
    return table


class TestFit:
    def test_a_fit_is_a_folder_that_appears_at_once(self, run, points, tmp_path) -> None:
        done = run("fit", "points.csv", "--columns", "width,height", "--out", "new/fit", *EM)
        assert done.code == 0
        lines = done.out.splitlines()
        assert lines[0] == "points: 300 points, 2 features; 3 components, full covariances"
        assert lines[1].startswith("em: converged, ")
        assert lines[3].split() == [
            "component",
            "weight",
            "points",
            "mean",
            "width",
            "mean",
            "height",
        ]
        assert lines[-1].endswith("responsibilities.csv, fit.json to new/fit")
        assert sum(int(line.split()[2]) for line in lines[5:8]) == 300
        assert not list(tmp_path.rglob(".partial*"))
        facts = json.loads((tmp_path / "new" / "fit" / "fit.json").read_text())
        assert facts["command"].startswith("gmm-pyro fit points.csv --columns width,height")
        assert facts["data"]["label_column"] == "label"

    def test_all_that_is_not_the_result_goes_to_standard_error(self, run, points) -> None:
        done = run("fit", "points.csv", *EM, "--json", "--weights-column", "weight", "-k", 2)
        found = json.loads(done.out)
        assert found["features"] == ["width", "height"]
        assert found["sample_weight"] is True
        assert found["data"]["left_out"] == {"Unnamed: 0": "no name", "colour": "not numeric"}
        assert done.err == (
            "left out: Unnamed: 0 (no name), colour (not numeric)\n"
            "column 'label' is taken for the true classes\n"
        )

    def test_sample_weights_are_those_of_the_column(self, run, points, tmp_path) -> None:
        run("fit", "points.csv", "--weights-column", "weight", "-k", 1)
        x, weight = points[["width", "height"]], points["weight"]
        mean = GaussianMixture.load(tmp_path / "fit" / "mixture.json").means[0]
        np.testing.assert_allclose(mean, np.average(x, axis=0, weights=weight))

    def test_options_reach_the_method(self, run) -> None:
        options = ["--seed", 4, "--max-steps", 7, "--option", "acceleration=squarem", *EM]
        done = run("fit", "three-clusters", *options, "--covariance", "VVI", "--json")
        found = json.loads(done.out)
        expected = {"seed": 4, "max_steps": 7, "acceleration": "squarem", "n_starts": 2}
        assert expected.items() <= found["options"].items()
        assert found["covariance"] == "diag"

    @pytest.mark.parametrize("method", ["em", "map"])
    def test_a_search_reaches_the_method(self, run, method) -> None:
        done = run("fit", "bimodal", "--method", method, "--search", "starts", "--json", *EM)
        assert json.loads(done.out)["options"]["search"] == "starts"

    def test_without_a_flag_the_search_is_the_methods_own(self, run) -> None:
        found = json.loads(run("fit", "bimodal", "--json", *EM).out)
        assert found["options"]["search"] == METHODS["em"].options().search

    def test_a_fit_that_does_not_converge_warns(self, run) -> None:
        done = run("fit", "three-clusters", "--max-steps", 1)
        assert done.code == 0
        assert "warning: em stopped at the step limit before it converged; raise" in done.err
        assert "em: step limit, 1 step, " in done.out

    def test_names_that_look_like_markup_are_names(self, run, points, tmp_path) -> None:
        table = points[["width", "height"]].rename(columns={"width": "w [/s]", "height": "h [cm]"})
        table.to_csv(tmp_path / "run[b].csv", index=False)
        done = run("fit", "run[b].csv", "--components", 3, *EM)
        assert done.code == 0
        lines = done.out.splitlines()
        assert lines[0].startswith("run[b]: 300 points")
        assert lines[3].endswith("mean w [/s]  mean h [cm]")

    def test_each_fit_has_a_new_folder(self, run, tmp_path) -> None:
        (tmp_path / "fit-2").write_text("mine")
        (tmp_path / "fit-3").mkdir()
        for k, folder in ((1, "fit"), (2, "fit-3"), (3, "fit-4")):
            done = run("fit", "bimodal", "--components", k, *EM)
            assert done.out.endswith(f"fit.json to {folder}\n")
            assert GaussianMixture.load(tmp_path / folder / "mixture.json").n_components == k
        assert (tmp_path / "fit-2").read_text() == "mine"

    def test_a_folder_that_another_fit_takes_meanwhile_is_not_touched(
        self, run, monkeypatch, tmp_path
    ) -> None:
        def slow(task: Task) -> Outcome:
            (tmp_path / "fit").mkdir()
            (tmp_path / "fit" / "fit.json").write_text("another's")
            return METHODS["em"].run(task)

        monkeypatch.setitem(METHODS, "own", Method(slow, METHODS["em"].options))
        done = run("fit", "bimodal", "--method", "own", *EM)
        assert done.out.endswith("fit.json to fit-2\n")
        assert (tmp_path / "fit" / "fit.json").read_text() == "another's"

    def test_a_folder_that_is_named_needs_force(self, run, tmp_path) -> None:
        assert run("fit", "bimodal", "--out", "fit", *EM).code == 0
        before = (tmp_path / "fit" / "fit.json").read_text()
        done = run("fit", "bimodal", "--components", 1, "--out", "fit")
        assert done.code == 2
        assert done.err.startswith("gmm-pyro: the folder is not empty, and is replaced with")
        assert (tmp_path / "fit" / "fit.json").read_text() == before

    def test_by_force_and_without_a_name_the_first_folder_is_replaced(self, run, tmp_path) -> None:
        run("fit", "bimodal", *EM)
        assert run("fit", "bimodal", "--components", 1, "--force", *EM).code == 0
        assert GaussianMixture.load(tmp_path / "fit" / "mixture.json").n_components == 1
        assert not (tmp_path / "fit-2").exists()


class TestEndings:
    def add(self, monkeypatch, run: Callable[[Task], Outcome]) -> None:
        monkeypatch.setitem(METHODS, "own", Method(run, METHODS["em"].options))

    def test_an_interrupted_fit_saves_the_best_so_far(self, run, monkeypatch, tmp_path) -> None:
        def interrupted(task: Task) -> Outcome:
            return replace(METHODS["em"].run(task), status=Status.INTERRUPTED)

        self.add(monkeypatch, interrupted)
        done = run("fit", "bimodal", "--method", "own", *EM)
        assert done.code == 130
        assert "interrupted; the best so far is saved\n" in done.err
        facts = json.loads((tmp_path / "fit" / "fit.json").read_text())
        assert (facts["status"], facts["converged"]) == ("interrupted", False)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
    def test_what_ends_the_program_leaves_nothing(self, run, monkeypatch, tmp_path, error) -> None:
        def end(_: Task) -> Outcome:
            raise error

        self.add(monkeypatch, end)
        if error is KeyboardInterrupt:
            done = run("fit", "bimodal", "--method", "own")
            assert done.code == 130
            assert "gmm-pyro: interrupted; nothing is written\n" in done.err
        else:
            with pytest.raises(error):
                run("fit", "bimodal", "--method", "own")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
    def test_warnings_are_said_before_what_ends_the_program(
        self, run, monkeypatch, capsys, error
    ) -> None:
        def end(_: Task) -> Outcome:
            warnings.warn("start 3 went astray", FitWarning, stacklevel=1)
            raise error

        self.add(monkeypatch, end)
        if error is KeyboardInterrupt:
            told = run("fit", "bimodal", "--method", "own").err
        else:
            with pytest.raises(error):
                run("fit", "bimodal", "--method", "own")
            told = capsys.readouterr().err
        assert "warning: start 3 went astray\n" in told

    def test_ctrl_c_in_a_sampler_keeps_the_draws_that_there_are(
        self, run, monkeypatch, tmp_path
    ) -> None:
        update, calls = tqdm.update, []

        def counted(bar: tqdm, n: float = 1) -> bool | None:
            calls.append(n)
            if len(calls) == 60:
                signal.raise_signal(signal.SIGINT)
            return update(bar, n)

        monkeypatch.setattr(tqdm, "update", counted)
        options = ["--draws", 10**6, "--warmup", 1, "--starts", 2, "--json"]
        done = run("fit", "bimodal", "--method", "gibbs", *options)
        assert done.code == 130
        assert json.loads(done.out)["status"] == "interrupted"
        draws = xarray.open_dataset(tmp_path / "fit" / "posterior.nc", group="posterior")
        assert 1 <= draws.sizes["draw"] <= 60


class TestPredict:
    @pytest.fixture
    def mixture(self, tmp_path: Path) -> Path:
        """A mixture of the columns height and width, in a file."""
        mixture = GaussianMixture(
            [0.4, 0.6], [[0.0, 0.0], [5.0, 4.0]], [[2.0, 1.0], [1.0, 3.0]], "diag",
            ["height", "width"],
        )  # fmt: skip
        return mixture.save(tmp_path / "mixture.json")

    @pytest.fixture
    def peer(self) -> SklearnMixture:
        """The same mixture as scikit-learn has it."""
        peer = SklearnMixture(2, covariance_type="diag")
        peer.weights_, peer.means_ = np.array([0.4, 0.6]), np.array([[0.0, 0.0], [5.0, 4.0]])
        peer.covariances_ = np.array([[2.0, 1.0], [1.0, 3.0]])
        peer.precisions_cholesky_ = peer.covariances_**-0.5
        return peer

    def check(self, table: pd.DataFrame, peer: SklearnMixture, points: pd.DataFrame) -> None:
        x = points[["height", "width"]].to_numpy()
        assert table["row"].tolist() == list(range(len(x)))
        assert table["label"].tolist() == peer.predict(x).tolist()
        np.testing.assert_allclose(table["log_density"], peer.score_samples(x), rtol=1e-12)
        shares = table[["component_0", "component_1"]]
        np.testing.assert_allclose(shares, peer.predict_proba(x), atol=1e-12)

    def test_columns_are_found_by_name_and_others_are_ignored(
        self, run, points, mixture, peer
    ) -> None:
        done = run("predict", mixture, "points.csv")
        assert (done.code, done.err) == (0, "")
        self.check(pd.read_csv(StringIO(done.out)), peer, points)

    @pytest.mark.parametrize("out", ["new.parquet", "sub/new.tsv"])
    def test_a_file_has_the_same(self, run, points, mixture, peer, out, tmp_path) -> None:
        done = run("predict", mixture, "points.csv", "--out", out)
        assert done.out == f"wrote 300 rows to {out}\n"
        read = pd.read_parquet if out.endswith("parquet") else pd.read_table
        self.check(read(tmp_path / out), peer, points)
        done = run("predict", mixture, "points.csv", "--out", out)
        assert (done.code, done.out) == (2, "")

    def test_json_has_the_same(self, run, points, mixture, peer) -> None:
        found = json.loads(run("predict", mixture, "points.csv", "--json").out)
        self.check(pd.DataFrame(found), peer, points)

    def test_arrays_have_their_features_in_order(
        self, run, points, mixture, peer, tmp_path
    ) -> None:
        np.save(tmp_path / "new.npy", points[["height", "width"]].to_numpy())
        done = run("predict", mixture, "new.npy")
        self.check(pd.read_csv(StringIO(done.out)), peer, points)
        assert done.err == "new.npy: the features are, in the order of the fit's, x0, x1\n"

    def test_a_data_set_goes_by_its_name(self, run, peer, tmp_path) -> None:
        means = peer.means_
        GaussianMixture(peer.weights_, means, peer.covariances_, "diag").save(tmp_path / "m.json")
        done = run("predict", "m.json", "three-clusters:1")
        points = datasets.three_clusters(seed=1).frame()
        points = points.rename(columns={"x0": "height", "x1": "width"})
        self.check(pd.read_csv(StringIO(done.out)), peer, points)

    def test_columns_can_be_named(self, run, points, mixture, peer, tmp_path) -> None:
        points.rename(columns={"height": "h"}).to_csv(tmp_path / "other.csv")
        done = run("predict", mixture, "other.csv", "--columns", "h, width")
        self.check(pd.read_csv(StringIO(done.out)), peer, points)

    @pytest.mark.parametrize(
        ("columns", "error"),
        [
            (
                {"heigth": [1.0], "width": [1.0]},
                "no column 'height': it has heigth, width; did you",
            ),
            ({"height": [1.0], "width": [np.inf]}, "x has 1 infinite value, the first at row 0"),
            (
                {"height": [1.0], "width": ["a"]},
                "column 'width' must hold real numbers, got strings",
            ),
        ],
    )
    def test_points_that_cannot_be_labelled_are_refused(
        self, run, mixture, columns, error, tmp_path
    ) -> None:
        pd.DataFrame(columns).to_csv(tmp_path / "bad.csv", index=False)
        done = run("predict", mixture, "bad.csv")
        assert (done.code, done.out) == (2, "")
        assert error in done.err

    def test_draws_are_averaged_over_where_that_is_wanted(self, run, tmp_path) -> None:
        small = ["--draws", 10, "--chains", 2, "--warmup", 5, "--starts", 2]
        run("simulate", "bimodal", "--out", "points.csv")
        assert run("fit", "points.csv", "--method", "gibbs", *small).code == 0
        tables = {}
        for options in ([], ["--posterior"]):
            done = run("predict", "fit", "points.csv", *options)
            tables[len(options)] = pd.read_csv(StringIO(done.out))
            assert ("those of the point estimate" in done.err) == (options == [])
        near = np.abs(tables[0]["log_density"] - tables[1]["log_density"])
        assert 0 < near.median() < 0.1

    def test_a_pipe_goes_in_and_a_reader_that_stops_early_sees_no_traceback(
        self, mixture, peer, tmp_path, prepared
    ) -> None:
        points = pd.DataFrame({"height": np.linspace(-3, 9, 10_000), "width": 1.5})
        points.to_csv(tmp_path / "new.csv", sep=";", index=False)
        command = f"cat new.csv | {prepared}/gmm-pyro predict mixture.json - | head -n 5"
        done = subprocess.run(
            ["bash", "-c", f"{command}; echo ${{PIPESTATUS[1]}} >&2"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        self.check(pd.read_csv(StringIO(done.stdout)), peer, points[:4])
        assert done.stderr == "-: fields are separated by semicolons\n1\n"
