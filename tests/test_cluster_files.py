"""Data in partitions of several kinds: frames, arrays with names, and files of Parquet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.data import parquet
from gmm_pyro.data.observations import observe
from gmm_pyro.data.parquet import RowGroup
from gmm_pyro.data.tables import ColumnWarning
from gmm_pyro.saved_fit import away, predict_files

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")
import dask.array as da
import dask.dataframe as dd
import psutil
import xarray
from dask.delayed import delayed

from gmm_pyro.running import on_dask

MIXTURE = gp.datasets.three_clusters().truth
X = MIXTURE.sample(3000, seed=3).numpy()
FRAME = pd.DataFrame(X, columns=["width", "height"])
NAMED = gp.GaussianMixture(
    MIXTURE.weights, MIXTURE.means, MIXTURE.covariances, feature_names=["width", "height"]
)
MODEL = gp.MixtureModel(3)


def fitted(x: Any) -> gp.Fit:
    """Some steps of EM."""
    return gp.fit(MODEL, x, start=NAMED, tolerance=1e-5)


def at_work(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(str(process))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of two row groups each."""
    for i in range(3):
        rows = FRAME.iloc[1000 * i : 1000 * (i + 1)]
        rows.to_parquet(tmp_path / f"{i}.parquet", row_group_size=600, index=False)
    return tmp_path


@pytest.fixture(scope="module")
def from_array() -> gp.Fit:
    """A fit of the partitions that are in the files."""
    chunks = (600, 400) * 3, 2
    return fitted(
        xarray.DataArray(
            da.from_array(X, chunks=chunks),
            dims=("row", "feature"),
            coords={"feature": ["width", "height"]},
        )
    )


@pytest.mark.parametrize("name", ["", "*.parquet"])
def test_row_groups_of_files_are_partitions(folder: Path, name: str, from_array: gp.Fit) -> None:
    found = fitted(str(folder / name))
    assert found.observations.sizes == (600, 400) * 3
    assert found.mixture.feature_names == ("width", "height")
    assert torch.equal(found.mixture.means, from_array.mixture.means)
    assert found.labels.chunks == ((600, 400) * 3,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_are_read_to_the_last_bit_however_few_rows_at_a_time(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "AT_ONCE", 7)
    frame = FRAME.assign(width=FRAME["width"].astype("float32")).where(FRAME["height"] < 3)
    path = tmp_path / "p.parquet"
    frame.to_parquet(path, row_group_size=600)  # pandas writes NaN as missing
    names = ["height", "width"]
    found = RowGroup(str(path), 1).content(names, np.dtype(dtype))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, frame[names].iloc[600:1200].to_numpy().astype(dtype))


def test_numbers_of_other_kinds_are_read_too(tmp_path: Path) -> None:
    whole = pd.DataFrame({"count": np.arange(50), "width": np.arange(50) / 4})
    whole.to_parquet(tmp_path / "p.parquet", row_group_size=20)
    found = observe(tmp_path).subset(slice(None))
    np.testing.assert_array_equal(found.x, whole.to_numpy())


def test_what_no_float32_can_hold_is_refused(tmp_path: Path) -> None:
    FRAME.assign(width=FRAME["width"] * 1e50).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(ValueError, match="infinite value.*row group 0 of .*column 'width'"):
        observe(tmp_path, dtype="float32")


def test_a_file_that_was_written_anew_is_read_anew(folder: Path) -> None:
    group = RowGroup(str(folder / "0.parquet"), 0)
    names = list(FRAME)
    group.content(names, np.dtype("float64"))
    FRAME.iloc[2000:2300].to_parquet(folder / "0.parquet")
    found = group.content(names, np.dtype("float64"))
    np.testing.assert_array_equal(found, FRAME.iloc[2000:2300])


def test_a_few_rows_take_no_more_than_their_row_groups(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "FITS", 0.0)
    observations = observe(folder)
    read: list[str] = []
    content = RowGroup.content

    def told(group: RowGroup, *arguments: Any) -> Any:
        read.append(str(group))
        return content(group, *arguments)

    monkeypatch.setattr(RowGroup, "content", told)
    found = observations.subset(torch.tensor([5, 601, 2999]))
    np.testing.assert_array_equal(found.x, FRAME.iloc[[5, 601, 2999]])
    assert sorted(name.split()[2] for name in read) == ["0", "1", "1"]
    assert {name.rpartition("/")[2] for name in read} == {"0.parquet", "2.parquet"}


def test_a_path_is_taken_as_its_name(folder: Path) -> None:
    assert observe(folder / "1.parquet").n == 1000


def test_a_frame_of_partitions_of_unknown_lengths(from_array: gp.Fit) -> None:
    parts = [delayed(FRAME.iloc[a:b]) for a, b in [(0, 600), (600, 1000), (1000, 1000)]]
    parts += [delayed(FRAME.iloc[a : a + n]) for a, n in [(1000, 600), (1600, 400)]]
    parts += [delayed(FRAME.iloc[a : a + n]) for a, n in [(2000, 600), (2600, 400)]]
    found = fitted(dd.from_delayed(parts, meta=FRAME.iloc[:0]))
    assert found.observations.sizes == (600, 400) * 3  # one has no row
    assert torch.equal(found.mixture.means, from_array.mixture.means)
    labels = found.mixture.predict(dd.from_pandas(FRAME, npartitions=3))
    np.testing.assert_array_equal(labels.compute(), found.mixture.predict(FRAME))


def test_columns_go_by_their_names(folder: Path) -> None:
    found = fitted(str(folder))
    turned = dd.from_pandas(FRAME[["height", "width"]].assign(more=1.0), npartitions=2)
    np.testing.assert_array_equal(
        found.mixture.predict(turned).compute(), found.mixture.predict(FRAME)
    )


def test_columns_of_words_are_left_out_and_said() -> None:
    words = dd.from_pandas(FRAME.assign(colour="red"), npartitions=2)
    with pytest.warns(ColumnWarning, match="left out: colour") as caught:
        assert observe(words).feature_names == ("width", "height")
    assert caught[0].filename == __file__


def test_one_dimension_and_single_precision() -> None:
    found = observe(da.from_array(X[:, 0], chunks=1000), dtype="float32")
    assert (found.n, found.d, found.dtype) == (3000, 1, torch.float32)
    assert torch.equal(found.subset(slice(None)).x[:, 0], torch.tensor(X[:, 0]).float())


def test_a_file_that_is_not_parquet_is_named(folder: Path) -> None:
    (folder / "1.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=r"1\.parquet cannot be read as Parquet"):
        fitted(str(folder))


def test_a_row_group_that_cannot_be_read_is_named(folder: Path) -> None:
    path = folder / "1.parquet"
    content = bytearray(path.read_bytes())
    content[4:3000] = bytes(2996)  # the footer stays
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"row group 0 of .*1\.parquet cannot be read"):
        fitted(str(folder))


def test_a_file_with_other_columns_is_named(folder: Path) -> None:
    FRAME.rename(columns={"height": "high"}).to_parquet(folder / "2.parquet", index=False)
    with pytest.raises(ValueError, match=r"2\.parquet has no column 'height': it has width"):
        fitted(str(folder))


def test_a_file_that_goes_away_in_the_middle_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "FITS", 0)  # it is read in every pass
    points = observe(str(folder))
    (folder / "1.parquet").unlink()
    with pytest.raises(ValueError, match=r"row group 0 of .*1\.parquet cannot be read"):
        fitted(points)


def test_a_partition_of_a_frame_with_other_columns_is_named() -> None:
    parts = [FRAME[:2000], FRAME[2000:].rename(columns={"height": "high"})]
    other = dd.from_delayed([delayed(part) for part in parts], meta=FRAME[:0], verify_meta=False)
    with pytest.raises(ValueError, match="partition 1 has no column 'height': it has width"):
        fitted(other)


def test_a_partition_of_an_array_with_other_columns_is_named() -> None:
    parts = [da.from_delayed(delayed(x), (1000, 2), float) for x in (X[:1000], X[:1000, :1])]
    with pytest.raises(ValueError, match=r"partition 1 must have 2 columns, got shape \(1000, 1\)"):
        fitted(da.concatenate(parts))


def test_missing_values_are_refused_by_their_file(folder: Path) -> None:
    holes = FRAME.assign(width=FRAME["width"].where(FRAME.index != 700))
    holes.to_parquet(folder / "2.parquet", row_group_size=500)
    with pytest.raises(ValueError, match=r"row 200 of row group 1 of .*2\.parquet, column 'width'"):
        fitted(str(folder))


OTHER_FILES: dict[str, Callable[[Path], Any]] = {
    "a name": lambda file: file.rename(file.with_name("2b.parquet")),
    "a size": lambda file: FRAME[2000:].to_parquet(file, row_group_size=600, compression=None),
}


@pytest.mark.parametrize("what", OTHER_FILES)
def test_a_checkpoint_of_other_files_is_refused(what: str, run, folder: Path) -> None:
    """The same points in a file of another name or size are other data, wherever it is asked."""
    kept, more = folder / "kept", {"n_starts": 1, "search": "starts", "tolerance": 1e-5}
    one = gp.fit(MODEL, str(folder / "*.parquet"), checkpoint=kept, **more)
    words = ["fit", folder / "*.parquet", "-k", 3, "--starts", 1, "--search", "starts"]
    words += ["--tolerance", "1e-5", "--checkpoint", kept]
    assert run(*words).code == 0
    assert gp.GaussianMixture.load(folder / "fit" / "mixture.json").means.equal(one.mixture.means)
    OTHER_FILES[what](folder / "2.parquet")
    done = run(*words)
    assert done.code == 2
    assert "the checkpoint is of another fit: files differs" in done.err
    with pytest.raises(FileExistsError, match="of another fit: files differs"):
        gp.fit(MODEL, str(folder / "*.parquet"), checkpoint=kept, **more)


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are none at"):
        fitted(str(tmp_path / "*.parquet"))


class TestCommandLine:
    def test_a_pattern_of_files_is_fitted_in_partitions(self, run, folder: Path) -> None:
        done = run("fit", "*.parquet", "-k", 3, "--starts", 2, "--tolerance", "1e-5")
        assert done.code == 0
        lines = done.out.splitlines()
        assert lines[0].startswith("*.parquet: 3000 points, 2 features in 6 partitions; 3 comp")
        assert sum(int(line.split()[2]) for line in lines[5:8]) == 3000
        assert lines[-1] == "wrote mixture.json, fit.json to fit"
        facts = json.loads((folder / "fit" / "fit.json").read_text())
        mixture = gp.GaussianMixture.load(folder / "fit" / "mixture.json")
        assert facts["bic"] == pytest.approx(mixture.bic(FRAME), rel=1e-12)
        assert facts["data"] == {"source": "*.parquet"}

    def test_columns_that_are_asked_for_are_the_features(self, run, folder: Path) -> None:
        done = run("fit", ".", "-k", 2, "--columns", "height", "--starts", 1, "--max-steps", 3)
        assert done.out.startswith(".: 3000 points, 1 feature in 6 partitions")
        assert gp.GaussianMixture.load(folder / "fit/mixture.json").feature_names == ("height",)

    def test_columns_mean_what_they_mean_in_a_file_that_is_read_whole(
        self, run, folder: Path
    ) -> None:
        """Weights, classes, names of rows and words."""
        weight = 1.0 + np.arange(len(FRAME)) % 3
        beside = {"label": np.arange(len(FRAME)) % 2, "id": np.arange(len(FRAME)), "word": "a"}
        frame = FRAME.assign(w=weight, more=FRAME["width"], **beside)
        far = np.random.default_rng(5).uniform(-30, 30, (60, 2))
        frame.loc[::50, ["width", "height"]] = far
        frame.to_parquet("whole.pq", row_group_size=700, index=False)
        for name in ("parts", "1"):
            (folder / name).mkdir()
        frame.to_parquet("parts/0.parquet", row_group_size=700, index=False)
        words = ["-k", 3, "--starts", 2, "--weights-column", "w", "--exclude", "more"]
        words += ["--noise-component", "uniform"]
        there = run("fit", "parts", *words, "--out", "there")
        here = run("fit", "whole.pq", *words, "--out", "here")
        assert (there.code, here.code) == (0, 0)
        for told in (here.err, there.err):
            assert "left out: id (only identifies rows), word (not numeric)" in told
            assert "column 'label' is taken for the true classes" in told
        mixtures = [gp.GaussianMixture.load(f"{out}/mixture.json") for out in ("here", "there")]
        assert mixtures[1].feature_names == ("width", "height")
        torch.testing.assert_close(mixtures[0].means, mixtures[1].means, rtol=0, atol=1e-4)
        assert mixtures[0].noise_weight == pytest.approx(mixtures[1].noise_weight, abs=1e-4)
        assert mixtures[0].noise_weight > 0.01
        sizes = [
            [
                float(line.split()[2])
                for line in done.out.splitlines()
                if line[:9].strip() in tuple("012")
            ]
            for done in (here, there)
        ]
        assert len(sizes[0]) == 3
        assert sizes[0] == pytest.approx(sizes[1], abs=6)  # two points of the largest weight

    def test_an_unknown_number_of_components(self, run, folder: Path) -> None:
        words = ["-k", "unknown", "--most-components", 4, "--method", "gibbs", "--draws", 20]
        done = run("fit", "0.parquet", *words, "--option", "n_warmup=20", "--workers", 0)
        assert "--workers must be 1 or more" in done.err
        Path("one").mkdir()
        FRAME.iloc[::30].to_parquet("one/0.parquet", row_group_size=40, index=False)
        done = run("fit", "one", *words, "--option", "n_warmup=20")
        assert done.code == 0
        assert json.loads(Path("fit/fit.json").read_text())["method"] == "gibbs"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ([], "--components is needed"),
            (["-k", "2..4"], "--components is needed"),
            (["-k", 3, "--exclude", "depth"], "depth"),
            (["-k", 3, "--missing", "refuse"], "--missing is for a file that is read whole"),
            (["-k", 3, "--keep", "width"], "--keep is for a file that is read whole"),
            (["-k", 3, "--workers", 0], "--workers must be 1 or more, got 0"),
            (["-k", 3, "--workers", 1, "--scheduler", "tcp://127.0.0.1:9"], "take one"),
            (["-k", 3, "--method", "kmeans"], "kmeans needs all points in memory"),
        ],
    )
    def test_what_cannot_be_is_refused(self, run, folder: Path, options: Any, words: str) -> None:
        done = run("fit", "*.parquet", *options)
        assert done.code == 2
        assert words in done.err

    def test_data_of_another_kind_have_no_partitions(self, run) -> None:
        done = run("fit", "three-clusters", "-k", 3, "--scheduler", "tcp://127.0.0.1:9")
        assert done.code == 2
        assert "got three-clusters" in done.err

    @pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no groups of processes")
    @pytest.mark.timeout(120)
    def test_ctrl_c_is_the_commands_alone(self, folder: Path) -> None:
        """A terminal sends it to workers, too: they say nothing of it, and none is left."""
        words = ["fit", "*.parquet", "-k", "3", "--method", "gibbs", "--starts", "1"]
        words += ["--option", "n_draws=100000", "--workers", "1", "--checkpoint", "kept"]
        process = subprocess.Popen(
            [sys.executable, "-m", "gmm_pyro", *words],
            **{"cwd": folder, "start_new_session": True, "text": True},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
        )
        while not (folder / "kept" / "checkpoint.json").exists():
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=100)
        assert process.returncode == 130
        assert "nterrupted" in printed
        assert "Traceback" not in printed
        assert "distributed" not in printed
        deadline = time.monotonic() + 20
        while at_work(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert at_work(process.pid) == []


class TestPredictions:
    """`gmm-pyro predict` of files, a row group at a time."""

    @pytest.fixture
    def named(self, folder: Path) -> Path:
        """The files, which name their rows, and a mixture in m.json."""
        for i in range(3):
            rows = FRAME.assign(name=[f"r{row}" for row in FRAME.index])
            rows = rows.iloc[1000 * i : 1000 * (i + 1)]
            rows.to_parquet(folder / f"{i}.parquet", row_group_size=600, index=False)
        NAMED.save(folder / "m.json")
        return folder

    def test_they_are_those_of_the_table_in_memory(self, run, named: Path) -> None:
        pd.concat(pd.read_parquet(f"{i}.parquet") for i in range(3)).to_csv("all.csv", index=False)
        asked = ("--keep", "name", "--out")
        assert run("predict", "m.json", "all.csv", *asked, "whole.feather").code == 0
        done = run("predict", "m.json", "*.parquet", *asked, "told")
        assert (done.code, done.out) == (0, "wrote 3000 rows in 6 files to told\n")
        files = sorted(Path("told").iterdir())
        assert [file.name for file in files] == [f"part-{i:05d}.parquet" for i in range(6)]
        parts = [pd.read_parquet(file) for file in files]
        assert [len(part) for part in parts] == [600, 400] * 3
        whole = pd.read_feather("whole.feather")
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, rtol=1e-12)
        np.testing.assert_array_equal(whole["label"], NAMED.predict(FRAME))

    def test_draws_are_averaged_over(self, run, named: Path) -> None:
        told = ("-k", 3, "--method", "gibbs", "--draws", 4, "--warmup", 4, "--chains", 1)
        FRAME.iloc[:600].to_csv("some.csv", index=False)
        assert run("fit", "some.csv", *told).code == 0
        assert run("predict", "fit", "0.parquet", "--posterior", "--out", "one.csv").code == 0
        assert run("predict", "fit", "[0].parquet", "--posterior", "--out", "told").code == 0
        found, whole = pd.read_parquet("told"), pd.read_csv("one.csv")
        pd.testing.assert_frame_equal(found, whole, rtol=1e-9)

    def test_a_part_that_fails_leaves_nothing(self, run, named: Path) -> None:
        FRAME.rename(columns={"height": "high"}).to_parquet("2.parquet", index=False)
        done = run("predict", "m.json", "*.parquet", "--out", "told")
        assert (done.code, done.out) == (2, "")
        assert "row group 0 of 2.parquet has no column 'height'" in done.err
        assert list(Path().rglob("*part*")) == []
        assert not Path("told").exists()

    def test_what_a_writer_that_died_has_left_is_removed(
        self, named: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = away._written

        def died(part: Any, teller: Any) -> int:
            (teller.folder / ".partial-1").mkdir(exist_ok=True)
            (teller.folder / ".partial-1" / part[1]).touch()
            return written(part, teller)

        monkeypatch.setattr(away, "_written", died)
        told = named / "told"
        n, files = predict_files(NAMED, str(named), told, names=["width", "height"])
        assert n == 3000
        assert sorted(told.rglob("*")) == files

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ([], "--out is needed of data in partitions"),
            (["--out", "taken"], "replaced with --force only: taken"),
            (["--out", "told", "--keep", "label"], "cannot stand beside predictions"),
            (["--out", "told", "--keep", "nam"], "did you mean 'name'?"),
            (["--out", "told", "--columns", "width"], "must have"),
            (["--out", "told", "--na", "x"], "--na is for a file that is read whole"),
            (["--out", "told", "--posterior"], "a point estimate only"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, run, named: Path, options: list[str], words: str
    ) -> None:
        (named / "taken").mkdir()
        (named / "taken" / "file").touch()
        done = run("predict", "m.json", "*.parquet", *options)
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
        assert words in done.err
        assert not (named / "told").exists()
