"""Files, checkpoints and arrays that are not what they were, or what partitions usually hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.data.parquet import RowGroup
from gmm_pyro.data.survey import Survey
from gmm_pyro.data.tables import ColumnWarning

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")
import dask.array as da
import xarray

from gmm_pyro.running import on_dask

MIXTURE = gp.datasets.three_clusters().truth
MODEL = gp.MixtureModel(3)
X = MIXTURE.sample(600, seed=3).numpy()
CHANGED = "row group . of .*0.parquet cannot be read: the file has changed since it was read first"


def write(x: np.ndarray, folder: Path) -> None:
    """A file of row groups of 200."""
    frame = pd.DataFrame(x, columns=["width", "height"])
    frame.to_parquet(folder / "0.parquet", row_group_size=200, index=False)


@pytest.fixture
def reread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose file is read anew in each pass."""
    monkeypatch.setattr(on_dask, "FITS", 0.0)
    write(X, tmp_path)
    return tmp_path


# ---------------------------------------------------------------------- files that change


@pytest.mark.parametrize("other", [X + 50, X[:590], X[:100], np.vstack([X, X])])
def test_a_file_that_changes_after_a_fit_is_refused(reread: Path, other: np.ndarray) -> None:
    found = gp.fit(MODEL, str(reread), n_starts=1)
    labels = found.labels
    write(other, reread)
    with pytest.raises(ValueError, match=CHANGED):
        found.mixture.bic(found.observations)
    with pytest.raises(ValueError, match=CHANGED):
        labels.compute()


def test_a_file_that_changes_in_a_fit_is_refused(
    reread: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, reads = RowGroup.content, []

    def changing(group: RowGroup, *arguments: Any) -> Any:
        reads.append(group)
        if len(reads) == 20:
            write(3 * X[:, ::-1], reread)
        return content(group, *arguments)

    monkeypatch.setattr(RowGroup, "content", changing)
    with pytest.raises(ValueError, match="the file has changed"):
        gp.fit(MODEL, str(reread), n_starts=1, tolerance=1e-12)
    assert len(reads) >= 20


# ---------------------------------------------------------------------- checkpoints of other data


@pytest.mark.parametrize(
    ("method", "what"),
    [("em", "values"), ("em", "labels"), ("em", "weights"), ("svi", "values"), ("svi", "labels")],
)
def test_a_checkpoint_of_data_that_differ_within_partitions_is_refused(
    method: str, what: str, tmp_path: Path
) -> None:
    """The same location and scale to the last bit, as many known labels, the same total weight."""
    values = np.round(X * 8)
    known = np.where(np.arange(600) % 4 == 0, np.arange(600) // 4 % 3, -1)
    weights = 1.0 + np.arange(600) % 2
    given: dict[str, Any] = {"values": values, "labels": known, "weights": weights}
    changed = {name: value.copy() for name, value in given.items()}
    for first in range(0, 600, 200):
        part = changed[what][first : first + 200]
        part[..., -1:] = part[::-1][..., -1:].copy() if what == "values" else part[..., -1:]
        if what != "values":
            part[:] = np.roll(part, 4 if what == "labels" else 1)

    def fitted(of: dict[str, Any]) -> gp.Fit:
        beside = {"labels": da.from_array(of["labels"], chunks=200)}
        if what == "weights":
            beside = {"sample_weight": da.from_array(of["weights"], chunks=200)}
        x = da.from_array(of["values"], chunks=(200, 2))
        kept = {"checkpoint": tmp_path / "kept", "checkpoint_seconds": 0.0}
        return gp.fit(MODEL, x, method, start=MIXTURE, max_steps=3, **beside, **kept)

    with pytest.warns(gp.FitWarning):
        fitted(given)
    with pytest.raises(FileExistsError, match="checkpoint is of another fit"):
        fitted(changed)


def test_a_survey_tells_rows_in_another_order_from_these() -> None:
    """Values, weights and the order of partitions, where sums of them are the same."""
    x, weight = torch.arange(20.0).view(10, 2), torch.arange(10.0)
    turned = torch.stack([x[:, 0], x[:, 1].flip(0)], 1)
    one = Survey.of(x, "one", weight)
    others = [Survey.of(turned, "one", weight), Survey.of(x, "one", weight.flip(0))]
    others += [Survey.of(turned, "one"), Survey.of(x, "one")]
    assert len({survey.bits for survey in (one, *others)}) == 5
    assert one.joined(others[0]).bits != others[0].joined(one).bits
    assert Survey.of(x.T.contiguous().T, "two", weight).bits == one.bits


# ---------------------------------------------------------------------- kinds of arrays


@pytest.mark.parametrize(
    "kind", [lambda x: x.astype(">f8"), lambda x: x[::-1], lambda x: x.astype(np.longdouble)]
)
@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
def test_arrays_that_torch_cannot_share_are_copied(kind: Any) -> None:
    def read_only(block: np.ndarray) -> np.ndarray:
        block = kind(block.copy())
        block.flags.writeable = False
        return block

    parts = da.from_array(X, chunks=(200, 2))
    dtype = kind(X[:1]).dtype
    found = observe(parts.map_blocks(read_only, dtype=dtype))
    np.testing.assert_allclose(found.origin, X.mean(0), rtol=1e-12)


def test_a_single_column_of_xarray_is_called_as_its_array() -> None:
    column = xarray.DataArray(da.from_array(X[:, 0], chunks=200), dims="row", name="width")
    assert observe(column).feature_names == ("width",)
    with pytest.raises(ValueError, match="width"):
        observe(column, feature_names=["height"])


def test_numbers_beyond_float32_are_told_from_infinite_ones() -> None:
    far = da.from_array(X * 1e200, chunks=(200, 2))
    with pytest.raises(ValueError, match="beyond the range of float32"):
        observe(far, dtype="float32")


# ---------------------------------------------------------------------- kinds of folders


def test_files_of_another_ending_and_names_with_brackets(tmp_path: Path) -> None:
    write(X, tmp_path)
    (tmp_path / "0.parquet").rename(tmp_path / "a[1].pq")
    for source in (tmp_path, tmp_path / "a[1].pq"):
        assert observe(str(source)).n == 600


def test_names_of_folders_are_no_columns(tmp_path: Path) -> None:
    (tmp_path / "year=2026").mkdir()
    write(X, tmp_path / "year=2026")
    with pytest.warns(ColumnWarning, match="what names of folders say.*is no column"):
        assert observe(str(tmp_path)).feature_names == ("width", "height")


def test_files_without_rows_are_refused(tmp_path: Path) -> None:
    write(X[:0], tmp_path)
    with pytest.raises(ValueError, match="at least one row"):
        gp.fit(MODEL, str(tmp_path))


def test_words_in_a_second_file_are_refused_by_its_name(tmp_path: Path) -> None:
    write(X, tmp_path)
    frame = pd.DataFrame({"width": ["a", "b"], "height": [1.0, 2.0]})
    frame.to_parquet(tmp_path / "1.parquet", index=False)
    with pytest.raises(ValueError, match="row group 0 of .*1.parquet.*'width' must hold real"):
        gp.fit(MODEL, str(tmp_path))


# ---------------------------------------------------------------------- the command line


def test_a_folder_that_is_taken_is_refused_before_the_fit(run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(X, tmp_path / "data")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    done = run("fit", "data", "-k", 3, "--out", "taken", "--checkpoint", "kept")
    assert done.code == 2
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["fit", "data", "-k", 2, "--columns", "width,width"], "'width' is named more than once"),
        (["fit", "data", "-k", 2, "--columns", "width", "--exclude", "width"], "more than once"),
        (["fit", "data", "-k", 2, "--columns", "width", "--label-column", "depth"], "depth"),
        (["predict", "fit", "data", "--columns", "width,width", "--out", "told"], "must differ"),
    ],
)
def test_columns_are_named_once(command: list[Any], words: str, run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(X, tmp_path / "data")
    if command[0] == "predict":
        assert run("fit", "data", "-k", 3, "--max-steps", 2, "--starts", 1).code == 0
    done = run(*command)
    assert done.code == 2
    assert words in done.err
