"""Claims about data files: columns, classes, numbers to the last bit, and nothing half written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from gmm_pyro.datasets import bimodal, make_mixture
from gmm_pyro.files import read_dataset, write_dataset


@pytest.mark.parametrize("name", ["points.csv", "points.parquet", "POINTS.CSV", "new/points.pq"])
def test_what_is_written_is_read_to_the_last_bit(name: str, tmp_path) -> None:
    data = make_mixture(n=200, d=3, outliers=0.1)
    content = read_dataset(write_dataset(data, tmp_path / name))
    assert torch.equal(content.dataset.x, data.x)
    assert torch.equal(content.dataset.labels, data.labels)
    assert content.dataset.feature_names == data.feature_names
    assert (content.label_column, content.left_out) == ("label", ())


def test_a_missing_class_and_minus_one_are_outliers(tmp_path) -> None:
    (tmp_path / "points.csv").write_text("x,kind\n1,b\n2,a\n3,\n4,-1\n5,a\n")
    labels = read_dataset(tmp_path / "points.csv", "kind").dataset.labels
    assert labels.tolist() == [1, 0, -1, -1, 0]


def test_outliers_come_back_as_outliers(tmp_path) -> None:
    data = make_mixture(n=30, outliers=0.2)
    read = read_dataset(write_dataset(data, tmp_path / "points.csv"))
    assert torch.equal(read.dataset.labels, data.labels)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch) -> None:
    def fail(_: object, path: Path, **__: object) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match="No space left on device: '.*points.csv'"):
        write_dataset(bimodal(), tmp_path / "points.csv")
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_the_way_to_get_it_is_named(tmp_path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise ImportError("several\nlines")

    monkeypatch.setattr(pd, "read_parquet", fail)
    with pytest.raises(ImportError, match=r"pip install 'gmm-pyro\[parquet\]'"):
        read_dataset(tmp_path / "points.parquet")
