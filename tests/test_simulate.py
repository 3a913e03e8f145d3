"""Points drawn into files of Parquet as they are written: what is in them, and in how much memory.

Statistical claims fail by chance once in a million seeds each, where a test is named.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import gmm_pyro as gp
from gmm_pyro.files import read_dataset, sampling

parquet = pytest.importorskip("pyarrow.parquet")

RARE = 1e-6  # how often a statistical claim fails by chance
LINE = gp.GaussianMixture([0.3, 0.7], [[-2.0], [1.0]], [[[0.25]], [[1.0]]], "full", ["height"])
PLANE = gp.GaussianMixture(
    [0.2, 0.5, 0.3],
    [[0.0, 0.0], [6.0, 1.0], [-3.0, 8.0]],
    [[[1.0, 0.5], [0.5, 2.0]], [[0.5, 0.0], [0.0, 0.5]], [[3.0, -1.0], [-1.0, 1.0]]],
    feature_names=["width", "height"],
)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of 1,024 numbers, four to a file."""
    monkeypatch.setattr(sampling, "NUMBERS", 1024)
    monkeypatch.setattr(sampling, "GROUPS", 4)


def groups_of(path: Path) -> list[int]:
    """Rows of the row groups of a file."""
    told = parquet.read_metadata(path)
    return [told.row_group(i).num_rows for i in range(told.num_row_groups)]


def written(mixture: gp.GaussianMixture, path: Path, n: int, **more: Any) -> Any:
    """What is drawn, as a frame."""
    return parquet.read_table(
        sampling.write_draw(sampling.Draw(mixture=mixture, n=n, **more), path)
    ).to_pandas()


def test_few_points_are_those_of_the_mixture(run, tmp_path) -> None:
    PLANE.save(tmp_path / "mixture.json")
    done = run("simulate", "mixture.json", "--n", 500, "--seed", 3, "--out", "p.parquet")
    assert (done.code, done.out) == (0, "wrote 500 points of 2 features to p.parquet\n")
    found, drawn = read_dataset(tmp_path / "p.parquet").dataset, PLANE.sample_labelled(500, 3)
    torch.testing.assert_close(found.x, drawn.x, rtol=1e-12, atol=1e-12)
    assert torch.equal(found.labels, drawn.labels)
    assert found.feature_names == ("width", "height")


@pytest.mark.usefixtures("small_groups")
class TestManyPoints:
    def test_they_are_of_the_mixture(self, tmp_path) -> None:
        """By Kolmogorov's test of the density, and a chi-squared one of the labels."""
        frame = written(LINE, tmp_path / "p.parquet", 20_000, seed=5)

        def cdf(x: np.ndarray) -> np.ndarray:
            return 0.3 * stats.norm.cdf(x, -2, 0.5) + 0.7 * stats.norm.cdf(x, 1, 1)

        assert stats.kstest(frame["height"], cdf).pvalue > RARE
        counts = np.bincount(frame["label"])
        assert stats.chisquare(counts, 20_000 * np.array([0.3, 0.7])).pvalue > RARE

    def test_components_have_their_moments(self, tmp_path) -> None:
        """By Hotelling's test of each mean, and errors of covariances that 5.5 deviations bound."""
        frame = written(PLANE, tmp_path / "p.parquet", 20_000, seed=6)
        for label, some in frame.groupby("label"):
            x, mean = some[["width", "height"]].to_numpy(), PLANE.means[label].numpy()
            covariance, n = PLANE.covariances[label].numpy(), len(x)
            off = x.mean(0) - mean
            assert stats.chi2.sf(n * off @ np.linalg.solve(covariance, off), 2) > RARE
            spread = np.diag(covariance)
            deviation = np.sqrt((covariance**2 + np.outer(spread, spread)) / n)
            assert (np.abs(np.cov(x.T) - covariance) < 5.5 * deviation).all()

    def test_row_groups_are_drawn_each_by_itself(self, tmp_path) -> None:
        """Neighbours are not correlated, and no point is there twice."""
        frame = written(LINE, tmp_path / "p.parquet", 20 * 1024, seed=7, labels=False)
        groups = frame["height"].to_numpy().reshape(20, 1024)
        assert len(np.unique(groups)) == groups.size
        assert stats.pearsonr(groups[:-1].ravel(), groups[1:].ravel()).pvalue > RARE

    def test_more_points_begin_with_the_same(self, tmp_path) -> None:
        few = written(PLANE, tmp_path / "few.parquet", 1_100, seed=8)
        many = written(PLANE, tmp_path / "many", 5_000, seed=8)
        assert groups_of(tmp_path / "few.parquet") == [512, 512, 76]
        np.testing.assert_array_equal(few[:1024], many[:1024])

    def test_a_folder_has_files_in_the_order_of_their_rows(self, tmp_path) -> None:
        whole = written(PLANE, tmp_path / "p.parquet", 5_000, seed=9)
        folder = written(PLANE, tmp_path / "folder", 5_000, seed=9)
        files = sorted((tmp_path / "folder").iterdir())
        assert [file.name for file in files] == ["00000.parquet", "00001.parquet", "00002.parquet"]
        assert [groups_of(file) for file in files] == [[512] * 4, [512] * 4, [512, 392]]
        np.testing.assert_array_equal(whole, folder)

    def test_no_more_than_a_row_group_is_drawn_at_once(self, tmp_path, monkeypatch) -> None:
        asked: list[int] = []
        draw = gp.GaussianMixture.sample_labelled

        def counted(mixture: gp.GaussianMixture, n: int, seed: int) -> Any:
            asked.append(n)
            return draw(mixture, n, seed)

        monkeypatch.setattr(gp.GaussianMixture, "sample_labelled", counted)
        written(PLANE, tmp_path / "p.parquet", 5_000)
        assert sorted(asked) == [392, *[512] * 9]

    def test_files_are_fitted_in_partitions(self, run, tmp_path) -> None:
        pytest.importorskip("distributed")
        PLANE.save(tmp_path / "mixture.json")
        told = "--n", 3_000, "--dtype", "float32", "--no-labels"
        assert run("simulate", "mixture.json", *told, "--out", "points").code == 0
        fit = gp.fit(gp.MixtureModel(3), tmp_path / "points", start=PLANE, dtype="float32")
        assert fit.observations.sizes == (512,) * 5 + (440,)
        np.testing.assert_allclose(fit.mixture.means, PLANE.means, atol=0.5)

    @pytest.mark.parametrize("place", ["p.parquet", "folder"])
    def test_an_error_leaves_nothing(self, place, tmp_path, monkeypatch) -> None:
        draw = gp.GaussianMixture.sample_labelled

        def interrupted(mixture: gp.GaussianMixture, n: int, seed: int) -> Any:
            if n < 512:
                raise KeyboardInterrupt
            return draw(mixture, n, seed)

        monkeypatch.setattr(gp.GaussianMixture, "sample_labelled", interrupted)
        with pytest.raises(KeyboardInterrupt):
            written(PLANE, tmp_path / place, 5_000)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("place", ["p.parquet", "folder"])
    def test_a_full_disk_is_an_error_that_names_the_file(self, place, tmp_path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        try:
            with pytest.raises(OSError, match="File too large") as caught:
                written(PLANE, tmp_path / place, 5_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert Path(caught.value.filename).relative_to(tmp_path).parts[0] == place
        assert list(tmp_path.iterdir()) == []


def test_single_precision_rounds_the_same_numbers(run, tmp_path) -> None:
    PLANE.save(tmp_path / "mixture.json")
    run("simulate", "mixture.json", "--n", 50, "--out", "p.parquet", "--dtype", "float32")
    table = parquet.read_table(tmp_path / "p.parquet")
    assert [str(kind) for kind in table.schema.types] == ["float", "float", "int64"]
    np.testing.assert_array_equal(table["width"], PLANE.sample(50)[:, 0].float())


@pytest.mark.parametrize("name", ["iris.csv", "iris.npz", "iris.parquet"])
def test_data_sets_have_their_type_and_labels_as_asked(run, tmp_path, name) -> None:
    assert run("simulate", "iris", "--out", name, "--dtype", "float32", "--no-labels").code == 0
    found = read_dataset(tmp_path / name).dataset
    assert found.labels is None
    np.testing.assert_allclose(found.x, gp.datasets.iris().x, rtol=1e-7)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["iris", "--out", "folder"], "must end in .csv"),
        (["iris", "--dtype", "float16"], "dtype must be one of float32, float64; got 'float16'"),
        (["m.json", "--out", "full"], "the folder is not empty, and is replaced with --force only"),
        (["m.json", "--out", "full/p.pq"], "the file exists, and is replaced with --force only"),
        (["label.json", "--out", "p.pq"], "a feature is called 'label', as the column of"),
    ],
)
def test_what_cannot_be_is_refused(run, tmp_path, words, complaint) -> None:
    PLANE.save(tmp_path / "m.json")
    named = gp.GaussianMixture([1.0], [[0.0]], [[[1.0]]], feature_names=["label"])
    named.save(tmp_path / "label.json")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "p.pq").write_text("mine")
    done = run("simulate", *words)
    assert done.code == 2
    assert complaint in done.err


def test_a_folder_is_replaced_by_force(run, tmp_path) -> None:
    PLANE.save(tmp_path / "m.json")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "00007.parquet").write_text("of an earlier run")
    assert run("simulate", "m.json", "--out", "full", "--force").code == 0
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["00000.parquet"]
