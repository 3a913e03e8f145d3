"""Claims about workbooks, Arrow's files and compressed texts, as their own libraries write them."""

from __future__ import annotations

import bz2
import lzma
import sys
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import feather

from gmm_pyro.files import Reading, read_dataset, read_table, write_table

TABLE = pd.DataFrame({"height": [1.5, 2.25, 3.0], "width": [0.1 + 0.2, 1e-300, 7.0]})


def book(path: Path, **sheets: list[list[object]]) -> Path:
    """A workbook with these rows."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path


class TestWorkbooks:
    rows = [
        [],
        ["id", "born", "age", "size", "city", "note"],
        ["u", date(1990, 1, 31), 31, 1.5, "Ulm", None],
        ["v", date(1991, 1, 31), "-", 2, "Bonn"],
        [],
        ["w", date(1992, 1, 31), 33, None, "Ulm"],
    ]

    def test_cells_are_numbers_dates_and_words(self, tmp_path) -> None:
        path = book(tmp_path / "people.xlsx", people=self.rows)
        content = read_dataset(path, reading=Reading(na=("-",)))
        expected = [[31, 1.5], [np.nan, 2], [33, np.nan]]
        np.testing.assert_array_equal(content.dataset.x, expected)
        assert content.dataset.feature_names == ("age", "size")
        assert content.left_out == {
            "id": "not numeric",
            "born": "times",
            "city": "not numeric",
            "note": "no values",
        }
        assert content.notes == ("'-' is taken for missing: 1 in age",)

    def test_words_among_numbers_are_refused(self, tmp_path) -> None:
        path = book(tmp_path / "people.xlsx", people=self.rows)
        with pytest.raises(ValueError, match="1 of 3 values of age are no numbers: '-'; --na '-'"):
            read_dataset(path)

    def test_of_several_sheets_one_is_named_or_the_first_is_read(self, tmp_path) -> None:
        path = book(tmp_path / "b.xlsx", one=[["a"], [1]], **{"sheet 2": [["b"], [2]]})
        first = read_table(path)
        assert list(first.frame) == ["a"]
        assert first.notes == ("sheet 'one' is read; b.xlsx:NAME reads another one ('sheet 2')",)
        assert list(read_table(f"{path}:sheet 2").frame) == ["b"]
        with pytest.raises(ValueError, match="it has no sheet 'three': it has one, sheet 2"):
            read_table(f"{path}:three")

    def test_numbers_are_written_to_sixteen_digits(self, tmp_path) -> None:
        path = write_table(TABLE, tmp_path / "p.xlsx")
        pd.testing.assert_frame_equal(read_table(path).frame, TABLE, rtol=1e-15)

    def test_without_a_header_columns_are_numbered(self, tmp_path) -> None:
        table = read_table(book(tmp_path / "b.xlsx", one=[[1, 2.5], [3, 4.5]]))
        assert (list(table.frame), table.named) == (["x0", "x1"], False)
        assert table.frame.to_numpy().tolist() == [[1, 2.5], [3, 4.5]]

    def test_what_holds_nothing_is_refused(self, tmp_path) -> None:
        with pytest.raises(ValueError, match="b.xlsx cannot be read: its sheet has nothing in it"):
            read_table(book(tmp_path / "b.xlsx", one=[[]]))
        (tmp_path / "b.xlsx").write_text("no workbook")
        with pytest.raises(ValueError, match="b.xlsx cannot be read: File is not a zip file"):
            read_table(tmp_path / "b.xlsx")

    def test_cells_far_apart_take_no_memory(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr("gmm_pyro.disk.untrusted.SMALL", 10**6)
        made = openpyxl.Workbook(write_only=True)
        sheet = made.create_sheet()
        for _ in range(600):
            sheet.append([1])
        sheet.append([None] * 16000 + [1])
        made.save(tmp_path / "b.xlsx")
        with pytest.raises(ValueError, match="more than 100 times its length is refused"):
            read_table(tmp_path / "b.xlsx")

    def test_without_openpyxl_the_way_to_get_it_is_named(self, tmp_path, monkeypatch) -> None:
        path = book(tmp_path / "b.xlsx", one=[["a"], [1]])
        for module in ("openpyxl", "openpyxl.workbook"):
            monkeypatch.setitem(sys.modules, module, None)  # its import then fails
        with pytest.raises(ImportError, match=r"needs openpyxl: pip install 'gmm-pyro\[excel\]'"):
            read_table(path)
        with pytest.raises(ImportError, match=r"pip install 'gmm-pyro\[excel\]'"):
            write_table(TABLE, tmp_path / "new.xlsx")
        assert list(tmp_path.iterdir()) == [path]


class TestArrow:
    def check(self, path: Path) -> None:
        pd.testing.assert_frame_equal(read_table(path).frame, TABLE)

    def test_feather_of_pyarrow(self, tmp_path) -> None:
        feather.write_feather(TABLE, str(tmp_path / "p.feather"))
        self.check(tmp_path / "p.feather")

    @pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
    def test_arrow_of_polars(self, tmp_path, compression) -> None:
        pl.from_pandas(TABLE).write_ipc(tmp_path / "p.arrow", compression=compression)
        self.check(tmp_path / "p.arrow")

    def test_streams(self, tmp_path) -> None:
        table = pa.Table.from_pandas(TABLE)
        with pa.ipc.new_stream(str(tmp_path / "p.arrow"), table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        self.check(tmp_path / "p.arrow")

    def test_what_is_none_is_refused(self, tmp_path) -> None:
        (tmp_path / "p.feather").write_text("no feather")
        with pytest.raises(ValueError, match="p.feather cannot be read: "):
            read_table(tmp_path / "p.feather")

    def test_what_is_damaged_is_refused(self, tmp_path) -> None:
        whole = write_table(TABLE, tmp_path / "p.arrow").read_bytes()
        (tmp_path / "p.arrow").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match="p.arrow cannot be read: "):
            read_table(tmp_path / "p.arrow")

    def test_batches_that_grow_beyond_measure_are_refused(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr("gmm_pyro.disk.untrusted.SMALL", 10**6)
        zeros = pa.table({"a": np.zeros(10**5)})
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        path = str(tmp_path / "p.arrow")
        with pa.ipc.new_file(path, zeros.schema, options=options) as writer:
            for _ in range(6):
                writer.write_table(zeros)
        with pytest.raises(ValueError, match="more than 100 times its length is refused"):
            read_table(tmp_path / "p.arrow")

    def test_without_pyarrow_the_way_to_get_it_is_named(self, tmp_path, monkeypatch) -> None:
        write_table(TABLE, tmp_path / "p.feather")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'gmm-pyro\[parquet\]'"):
            read_table(tmp_path / "p.feather")


class TestCompressedTexts:
    text = TABLE.to_csv(index=False).encode()

    @pytest.mark.parametrize(("suffix", "pack"), [(".bz2", bz2.compress), (".xz", lzma.compress)])
    def test_bzip2_and_xz(self, tmp_path, suffix, pack) -> None:
        (tmp_path / f"p.CSV{suffix}").write_bytes(pack(self.text))
        table = read_table(tmp_path / f"p.CSV{suffix}")
        pd.testing.assert_frame_equal(table.frame, TABLE)
        assert table.name == "p"
        (tmp_path / f"p.CSV{suffix}").write_bytes(pack(self.text)[:20])
        with pytest.raises(ValueError, match=f"p.CSV{suffix} cannot be read: "):
            read_table(tmp_path / f"p.CSV{suffix}")

    def test_zip_archives_hold_one_file(self, tmp_path) -> None:
        path = tmp_path / "p.csv.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("__MACOSX/._other.csv", b"")
            archive.writestr("other.csv", self.text)
        pd.testing.assert_frame_equal(read_table(path).frame, TABLE)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("more.csv", self.text)
        with pytest.raises(ValueError, match="must hold one file; it holds other.csv, more.csv"):
            read_table(path)

    @pytest.mark.parametrize("suffix", [".bz2", ".xz", ".zip"])
    def test_what_grows_beyond_measure_is_refused(self, tmp_path, suffix, monkeypatch) -> None:
        monkeypatch.setattr("gmm_pyro.disk.untrusted.SMALL", 10**5)
        path = tmp_path / f"p.csv{suffix}"
        zeros = b"0\n" * 10**6
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("p.csv", zeros)
        else:
            path.write_bytes((bz2 if suffix == ".bz2" else lzma).compress(zeros))
        with pytest.raises(ValueError, match="more than 100 times its length is refused"):
            read_table(path)

    @pytest.mark.parametrize("name", ["p.npy.gz", "p.xlsx.zip", "p.zip", "p.csv.zst"])
    def test_other_files_are_not_compressed(self, tmp_path, name) -> None:
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match="must end in .csv, .*, .csv.bz2, .csv.xz, .csv.zip;"):
            read_table(tmp_path / name)
