"""Claims about data files: formats, columns, classes, and numbers to the last bit."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.io
import torch
import xarray

from gmm_pyro.datasets import bimodal, iris, make_mixture
from gmm_pyro.files import features_named, read_dataset, read_table, write_dataset, write_table
from gmm_pyro.files.text import dialect_of

WRITTEN = ["p.csv", "p.tsv", "P.CSV.GZ", "p.parquet", "new/p.pq", "p.npz", "p.nc"]
WRITTEN += ["p.csv.bz2", "p.tsv.xz", "p.csv.zip", "p.feather", "p.arrow"]


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_read_to_the_last_bit(name: str, tmp_path) -> None:
    data = make_mixture(n=200, d=3, outliers=0.1)
    content = read_dataset(write_dataset(data, tmp_path / name), "label")
    assert torch.equal(content.dataset.x, data.x)
    assert torch.equal(content.dataset.labels, data.labels)
    assert content.dataset.feature_names == data.feature_names
    assert (content.label_column, content.left_out, content.notes) == ("label", {}, ())


def test_an_array_alone_has_no_labels(tmp_path) -> None:
    content = read_dataset(write_dataset(bimodal(), tmp_path / "points.npy"))
    assert torch.equal(content.dataset.x, bimodal().x)
    assert content.label_column is None


@pytest.mark.parametrize(
    "name", ["t.csv", "t.tsv", "t.parquet", "t.npz", "t.nc", "t.arrow", "t.xlsx", "t.csv.zip"]
)
def test_a_table_keeps_its_columns(name: str, tmp_path) -> None:
    table = pd.DataFrame({"row": [0, 1], "share": [0.1 + 0.2, 1e-300]})
    pd.testing.assert_frame_equal(read_table(write_table(table, tmp_path / name)).frame, table)


REPEATED = "row 142 repeats an earlier one"  # of the irises


class TestFilesOfOtherPrograms:
    """Each is written by the library that owns its format."""

    x = iris().x.numpy()
    names = list(iris().feature_names)

    def check(self, source: object, names: list[str] | None = None) -> None:
        content = read_dataset(source)
        assert torch.equal(content.dataset.x, iris().x)
        assert list(content.dataset.feature_names) == (names or self.names)

    def test_parquet_of_polars(self, tmp_path) -> None:
        pl.DataFrame(self.x, schema=self.names).write_parquet(tmp_path / "iris.parquet")
        self.check(tmp_path / "iris.parquet")

    def test_csv_of_pandas_with_its_index(self, tmp_path) -> None:
        pd.DataFrame(self.x, columns=self.names).to_csv(tmp_path / "iris.csv")
        self.check(tmp_path / "iris.csv")
        assert read_dataset(tmp_path / "iris.csv").left_out == {"Unnamed: 0": "no name"}

    def test_csv_with_semicolons_and_decimal_commas(self, tmp_path) -> None:
        table = pd.DataFrame(self.x, columns=["Länge, cm", *self.names[1:]])
        table.to_csv(tmp_path / "i.csv", sep=";", decimal=",", index=False, encoding="utf-8-sig")
        self.check(tmp_path / "i.csv", ["Länge, cm", *self.names[1:]])
        assert read_dataset(tmp_path / "i.csv").notes == (
            "fields are separated by semicolons",
            "numbers have decimal commas",
            REPEATED,
        )

    def test_one_column_with_decimal_commas(self, tmp_path) -> None:
        table = pd.DataFrame({"length": self.x[:, 0]})
        table.to_csv(tmp_path / "iris.csv", sep=";", decimal=",", index=False)
        content = read_dataset(tmp_path / "iris.csv")
        assert torch.equal(content.dataset.x[:, 0], iris().x[:, 0])
        assert content.notes[0] == "numbers have decimal commas"

    def test_text_without_a_header_as_numpy_writes_it(self, tmp_path) -> None:
        np.savetxt(tmp_path / "iris.csv", self.x, delimiter=",")
        self.check(tmp_path / "iris.csv", ["x0", "x1", "x2", "x3"])
        assert read_dataset(tmp_path / "iris.csv").notes == (
            "the first row holds numbers, so columns are called x0, x1, …",
            REPEATED,
        )

    def test_text_without_a_header_keeps_its_first_row_beside_words(self, tmp_path) -> None:
        table = pd.DataFrame(self.x).assign(species="setosa")
        table.to_csv(tmp_path / "iris.csv", header=False, index=False)
        self.check(tmp_path / "iris.csv", ["x0", "x1", "x2", "x3"])
        content = read_dataset(tmp_path / "iris.csv")
        assert content.left_out == {"x4": "not numeric"}
        assert content.notes[0] == "the first row holds numbers, so columns are called x0, x1, …"

    def test_text_with_blanks_as_numpy_writes_it(self, tmp_path) -> None:
        np.savetxt(tmp_path / "iris.txt", self.x)
        self.check(tmp_path / "iris.txt", ["x0", "x1", "x2", "x3"])

    def test_text_with_row_names_as_r_writes_it(self, tmp_path) -> None:
        lines = [" ".join(f'"{name}"' for name in self.names)]
        lines += [f'"{i}" {" ".join(map(str, row))}' for i, row in enumerate(self.x.tolist(), 1)]
        (tmp_path / "iris.dat").write_text("\n".join(lines) + "\n")
        self.check(tmp_path / "iris.dat")
        assert read_dataset(tmp_path / "iris.dat").notes == (
            "fields are separated by blanks",
            "the first column, without a name, is taken for row names",
            REPEATED,
        )

    def test_compressed_text(self, tmp_path) -> None:
        with gzip.open(tmp_path / "iris.tsv.gz", "wt") as file:
            pd.DataFrame(self.x, columns=self.names).to_csv(file, sep="\t", index=False)
        self.check(tmp_path / "iris.tsv.gz")
        assert read_table(tmp_path / "iris.tsv.gz").name == "iris"

    def test_structured_arrays(self, tmp_path) -> None:
        records = pd.DataFrame(self.x, columns=self.names).to_records(index=False)
        np.save(tmp_path / "iris.npy", records)
        self.check(tmp_path / "iris.npy")

    def test_npz_with_classes_beside_the_points(self, tmp_path) -> None:
        y = iris().labels.numpy()
        np.savez(tmp_path / "iris.npz", X=self.x, y=y)
        self.check(tmp_path / "iris.npz", ["x0", "x1", "x2", "x3"])
        assert read_dataset(tmp_path / "iris.npz").left_out == {"y": "beside the array"}
        assert read_dataset(tmp_path / "iris.npz", "y").dataset.labels.tolist() == y.tolist()

    def test_npz_with_several_arrays_needs_a_name(self, tmp_path) -> None:
        np.savez(tmp_path / "iris.npz", train=self.x, test=self.x[:5])
        with pytest.raises(ValueError, match="several arrays of two dimensions, train, test: name"):
            read_dataset(tmp_path / "iris.npz")
        self.check(f"{tmp_path / 'iris.npz'}:train", ["x0", "x1", "x2", "x3"])
        with pytest.raises(ValueError, match="it has no array 'rest': it has train, test"):
            read_dataset(f"{tmp_path / 'iris.npz'}:rest")

    def test_netcdf_of_an_array_with_named_features(self, tmp_path) -> None:
        array = xarray.DataArray(
            self.x,
            dims=["flower", "measurement"],
            coords={"measurement": self.names, "species": ("flower", iris().labels.numpy())},
        )
        xarray.Dataset({"iris": array, "site": ("place", [1.0])}).to_netcdf(tmp_path / "iris.nc")
        self.check(tmp_path / "iris.nc")
        self.check(f"{tmp_path / 'iris.nc'}:iris")
        labels = read_dataset(tmp_path / "iris.nc", "species").dataset.labels
        assert torch.equal(labels, iris().labels)

    def test_netcdf_of_a_frame(self, tmp_path) -> None:
        frame = pd.DataFrame(self.x, columns=self.names)
        frame.rename_axis("flower").to_xarray().to_netcdf(tmp_path / "iris.nc")
        self.check(tmp_path / "iris.nc")

    def test_netcdf_beside_features_without_names_replaces_none(self, tmp_path) -> None:
        points = np.arange(6.0).reshape(3, 2)
        data = {"points": (("place", "axis"), points), "x0": ("place", [7.0, 8.0, 9.0])}
        xarray.Dataset(data).to_netcdf(tmp_path / "p.nc")
        table = read_table(tmp_path / "p.nc")
        assert (list(table.frame), table.aside) == (["x0", "x1"], frozenset())
        assert np.array_equal(table.frame.to_numpy(), points)

    def test_netcdf_of_the_older_kind(self, tmp_path) -> None:
        with scipy.io.netcdf_file(str(tmp_path / "iris.nc"), "w") as file:
            for dimension, size in (("n", 150), ("d", 4)):
                file.createDimension(dimension, size)
            file.createVariable("x", "d", ("n", "d"))[:] = self.x
        self.check(tmp_path / "iris.nc", ["x0", "x1", "x2", "x3"])

    def test_standard_input_and_pipes_are_text(self, tmp_path, monkeypatch) -> None:
        text = pd.DataFrame(self.x, columns=self.names).to_csv(sep="\t", index=False).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        self.check("-")
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[text])
        writer.start()
        self.check(tmp_path / "pipe")
        writer.join()


DIALECTS = {
    "a,b\n1,2\n": (",", ".", True),
    "a\tb\n1\t2\n": ("\t", ".", True),
    "a;b\n1;2\n": (";", ".", True),
    "a;b\n1,5;2,25\n": (";", ",", True),
    "a;b\n1.5;2\n": (";", ".", True),
    "a, cm;b, cm\n1,5;2\n": (";", ",", True),
    '"a;b",c\n1,2\n': (",", ".", True),
    "a,kind\n1,x;y\n2,z\n": (",", ".", True),
    "a,kind\n1,x;y\n2,u;v\n": (",", ".", True),
    "a|b\n1|2\n": ("|", ".", True),
    "a\n1\n2\n": (",", ".", True),
    "1,2\n3,4\n": (",", ".", False),
    "  1.5  2\n 30   4 \n": (" ", ".", False),
    'a "b c"\n1 2\n': (" ", ".", True),
    "1,5;2\n3;4\n": (";", ",", False),
    "5.1,3.5,setosa\n4.9,3.0,setosa\n": (",", ".", False),
    "setosa 5.1\nsetosa 4.9\n": (" ", ".", False),
    "1.0,,3.0\n4.0,5.0,6.0\n": (",", ".", False),
    "1.0,NA,3.0\n4.0,5.0,6.0\n": (",", ".", False),
    "1.0,2.0,a\nNA,?,b\n3.0,,c\n": (",", ".", False),
    "NA,NA\n1,2\n": (",", ".", False),
    "1,5;x\n2,5;y\n": (";", ",", False),
    "a,kind\n,x\n2,y\n": (",", ".", True),
    "kind,group\nx,u\ny,v\n": (",", ".", True),
    '"a" "b"\n"1" 1.5 2\n"2" 3 4\n': (" ", ".", True),
    '"a" "7"\n"u" 1.5 2\n"v" 3 4\n': (" ", ".", True),
    ",0,1\n0,5.1,3.5\n1,4.9,3.0\n": (",", ".", True),
    "country,2019,2020\nDE,1.0,2.0\nFR,3.5,4.0\n": (",", ".", True),
    ",0,1,label\n0,5.1,3.5,a\n1,4.9,3.0,b\n": (",", ".", True),
    ",0,x\nu,1,y\nv,1,x\n": (",", ".", True),
    "0,1,label\n5.1,3.5,0\n4.9,3.0,1\n": (",", ".", True),
    "value\n1,5\n2,5\n3,5\n": ("\t", ",", True),
    "value\r\n1,5\r\n2\r\n-3,5e1\r\n": ("\t", ",", True),
    'value\n"1,5"\n"2,5"\n': ("\t", ",", True),
    'value\n"1",5\n"2",7\n': (",", ".", True),
    "value\na,5\nb,7\n": (",", ".", True),
    "value\n1,5.5\n2,7.5\n": (",", ".", True),
    "": (",", ".", True),
}


@pytest.mark.parametrize("text", DIALECTS)
def test_the_way_a_text_holds_a_table_is_seen_from_its_first_rows(text: str) -> None:
    found = dialect_of(text)
    assert (found.separator, found.decimal, found.header) == DIALECTS[text]


def test_a_text_that_is_cut_off_is_judged_by_its_whole_rows() -> None:
    assert dialect_of("a;b\n1;2\n3;4\n5", whole=False).separator == ";"


class TestColumns:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        table = pd.DataFrame(
            {
                "id": range(101, 121),
                "height": np.linspace(1.5, 1.9, 20),
                "smoker": [True, False] * 10,
                "born": pd.date_range("1990-01-01", periods=20),
                "city": ["Bonn", "Ulm"] * 10,
                "children": [0, 3] * 10,
                "share": [0.5, 2.0] * 10,
            }
        )
        table.to_parquet(tmp_path / "people.parquet")
        return tmp_path / "people.parquet"

    def test_numeric_columns_are_features_and_others_are_left_out_with_reasons(self, file) -> None:
        content = read_dataset(file)
        assert content.dataset.feature_names == ("height", "children", "share")
        assert content.left_out == {
            "id": "only identifies rows",
            "smoker": "true or false",
            "born": "times",
            "city": "not numeric",
        }

    def test_columns_are_taken_as_they_are_named(self, file) -> None:
        content = read_dataset(file, columns=["children", "smoker"])
        assert content.dataset.feature_names == ("children", "smoker")
        assert content.dataset.x[:2].tolist() == [[0.0, 1.0], [3.0, 0.0]]
        assert content.left_out == {}

    def test_weights_and_classes_are_no_features(self, file) -> None:
        content = read_dataset(file, "city", weights_column="share")
        assert content.dataset.feature_names == ("height", "children")
        assert content.dataset.sample_weight.tolist() == [0.5, 2.0] * 10
        assert content.dataset.labels.tolist() == [0, 1] * 10

    def test_a_missing_column_is_named_with_those_that_there_are(self, file) -> None:
        with pytest.raises(ValueError, match="has no columns 'hight', 'x': it has id, height, .*; "
                           "did you mean 'height' for 'hight'"):  # fmt: skip
            read_dataset(file, columns=["hight", "x"])

    def test_one_column_has_one_purpose(self, file) -> None:
        with pytest.raises(ValueError, match="'share' is named more than once"):
            read_dataset(file, "city", columns=["share", "id"], weights_column="share")

    def test_a_column_of_strings_is_no_feature_even_if_it_is_named(self, file) -> None:
        with pytest.raises(ValueError, match="column 'city' must hold real numbers, got strings"):
            read_dataset(file, columns=["city"])


class TestFeaturesOfAFit:
    def table(self, tmp_path: Path, **columns: list[float]) -> object:
        pd.DataFrame(columns).to_csv(tmp_path / "new.csv", index=False)
        return read_table(tmp_path / "new.csv")

    def test_they_are_found_by_name_in_any_order(self, tmp_path) -> None:
        table = self.table(tmp_path, b=[1.5], label=[0], other=[3], a=[2.5])
        assert features_named(table, ["a", "b"]).to_numpy().tolist() == [[2.5, 1.5]]

    def test_a_missing_one_is_named(self, tmp_path) -> None:
        table = self.table(tmp_path, petal_len=[1.5], width=[2.0])
        with pytest.raises(
            ValueError, match="no column 'petal_length': .*; did you mean 'petal_len"
        ):
            features_named(table, ["petal_length", "width"])

    def test_without_names_the_order_counts(self, tmp_path) -> None:
        np.save(tmp_path / "new.npy", [[1.5, 2.5]])
        unnamed = read_table(tmp_path / "new.npy")
        assert features_named(unnamed, ["a", "b"]).to_numpy().tolist() == [[1.5, 2.5]]
        named = self.table(tmp_path, a=[1.5], label=[0], b=[2.5])
        assert features_named(named, ["x0", "x1"]).to_numpy().tolist() == [[1.5, 2.5]]
        with pytest.raises(
            ValueError, match="must have 3 features, as the fit has; it has 2: x0, x1"
        ):
            features_named(unnamed, ["a", "b", "c"])


class TestClasses:
    def test_a_missing_class_and_minus_one_are_outliers(self, tmp_path) -> None:
        (tmp_path / "points.csv").write_text("x,kind\n1,b\n2,a\n3,\n4,-1\n5,a\n")
        labels = read_dataset(tmp_path / "points.csv", "kind").dataset.labels
        assert labels.tolist() == [1, 0, -1, -1, 0]

    def test_outliers_come_back_as_outliers(self, tmp_path) -> None:
        data = make_mixture(n=30, outliers=0.2)
        read = read_dataset(write_dataset(data, tmp_path / "points.csv"))
        assert torch.equal(read.dataset.labels, data.labels)


class TestMistakes:
    def test_a_file_that_cannot_be_written_leaves_nothing(self, tmp_path, monkeypatch) -> None:
        def fail(_: object, path: Path, **__: object) -> None:
            path.write_text("half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
        with pytest.raises(OSError, match="No space left on device: '.*points.csv'"):
            write_dataset(bimodal(), tmp_path / "points.csv")
        assert list(tmp_path.iterdir()) == []

    def test_without_pyarrow_the_way_to_get_it_is_named(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # its import then fails
        (tmp_path / "points.parquet").touch()
        with pytest.raises(ImportError, match=r"pip install 'gmm-pyro\[parquet\]'"):
            read_dataset(tmp_path / "points.parquet")

    def test_a_text_that_is_not_utf_8_is_named(self, tmp_path) -> None:
        (tmp_path / "old.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
        with pytest.raises(ValueError, match="old.csv cannot be read: it is no UTF-8 text"):
            read_table(tmp_path / "old.csv")

    def test_arrays_that_are_no_table_are_named_with_their_shapes(self, tmp_path) -> None:
        np.save(tmp_path / "cube.npy", np.zeros((2, 3, 4)))
        with pytest.raises(ValueError, match=r"shape \(n, d\) or \(n,\), got \(2, 3, 4\)"):
            read_table(tmp_path / "cube.npy")
        np.savez(tmp_path / "a.npz", a=np.zeros(2), b=np.zeros(3))
        with pytest.raises(ValueError, match=r"differ in length: a \(2\), b \(3\)"):
            read_table(tmp_path / "a.npz")
        np.savez(tmp_path / "b.npz", cube=np.zeros((2, 3, 4)))
        with pytest.raises(ValueError, match=r"one or two dimensions: it has cube \(2, 3, 4\)"):
            read_table(tmp_path / "b.npz")

    def test_no_code_in_a_file_is_run(self, tmp_path) -> None:
        np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
        with pytest.raises(ValueError, match="objects.npy cannot be read: .*allow_pickle"):
            read_table(tmp_path / "objects.npy")
