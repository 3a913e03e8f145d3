"""Claims about a full disk, here a limit to the length of files: one error, and no trace."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.comparison.saving import save_comparison
from gmm_pyro.datasets import Dataset
from gmm_pyro.files import read_dataset, write_dataset
from gmm_pyro.saved_fit import save_fit
from oracles import clusters, normal

LIMITS = (100, 4096, 40960)  # bytes


@contextmanager
def at_most(length: int) -> Iterator[None]:
    """No file can grow longer; Python ignores the signal that says so, and gets an error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refused(write: Callable[[], object], home: Path, length: int) -> str:
    """The name of the file that was too long, when nothing else is left of it."""
    with at_most(length), pytest.raises(OSError, match="File too large") as caught:
        write()
    assert list(home.rglob("*")) == []
    return Path(caught.value.filename).relative_to(home).as_posix()


@pytest.fixture(scope="module")
def points() -> Dataset:
    return Dataset(normal(4000, 2, seed=1), None, None, "noise", ("a", "b"))


@pytest.mark.parametrize("length", LIMITS)
@pytest.mark.parametrize("suffix", ["csv", "tsv.gz", "npy", "npz", "parquet", "nc"])
def test_a_data_set_is_written_whole_or_not_at_all(suffix, length, points, tmp_path) -> None:
    name = f"points.{suffix}"
    assert refused(lambda: write_dataset(points, tmp_path / name), tmp_path, length) == name
    whole = write_dataset(points, tmp_path / name)
    with at_most(whole.stat().st_size):  # which is enough
        write_dataset(points, whole)
    assert torch.equal(read_dataset(whole).dataset.x, points.x)


@pytest.mark.parametrize("name", ["mixture.json", "mixture.npz"])
def test_a_mixture_is_written_whole_or_not_at_all(name, tmp_path) -> None:
    mixture = gp.GaussianMixture([1 / 40] * 40, torch.arange(80.0).view(40, 2), [1.0] * 40, "VII")
    assert refused(lambda: mixture.save(tmp_path / name), tmp_path, 900) == name


@pytest.fixture(scope="module")
def comparison() -> gp.Comparison:
    data = clusters(separation=5, seed=2)
    return gp.compare(gp.MixtureModel(2), data, ["laplace"], options={"laplace": {"n_draws": 50}})


@pytest.mark.usefixtures("no_pictures")
class TestFolders:
    @pytest.mark.parametrize(("length", "name"), [(100, "mixture.json"), (20_000, "posterior.nc")])
    def test_of_a_fit_there_is_no_folder(self, comparison, length, name, tmp_path) -> None:
        fit = comparison.fits["laplace"]
        assert refused(lambda: save_fit(fit, tmp_path / "fit"), tmp_path, length) == f"fit/{name}"

    def test_of_a_comparison_there_is_no_folder(self, comparison, tmp_path) -> None:
        def save() -> None:
            comparison.save(tmp_path / "new", posteriors=True)

        assert refused(save, tmp_path, 20_000) == "new/posteriors/laplace.nc"

    def test_nor_where_its_report_is_too_long(self, comparison, monkeypatch, tmp_path) -> None:
        monkeypatch.setattr("gmm_pyro.report.page.html_of", lambda *_: "long " * 10_000)

        def save() -> None:
            save_comparison(comparison, tmp_path / "new", report=comparison.report)

        assert refused(save, tmp_path, 40_960) == "new/report.html"

    def test_the_command_line_says_so_in_a_line(self, run, tmp_path) -> None:
        with at_most(100):
            done = run("simulate", "iris", "--out", "iris.nc")
        assert (done.code, done.out) == (2, "")
        assert done.err == "gmm-pyro: File too large: iris.nc\n"
        assert list(tmp_path.iterdir()) == []
