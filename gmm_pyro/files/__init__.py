"""Data files as tables and data sets, and both as files.

`formats.py` reads any format into a table: `text.py` delimited text with whatever it is separated
by (`encoding.py`, `compression.py`), `arrays.py` and `netcdf.py` arrays, `arrow.py` Parquet and
Feather, `sheets.py` workbooks. `reading.py` is what they are told beside; `notation.py` knows how
numbers are written, and `doubts.py` what would make numbers of words. `columns.py` decides which
columns are features; `writing.py` writes.
"""

from .columns import FileContent, columns_kept, features_named, read_dataset
from .formats import (
    FORMATS,
    STDIN,
    is_data_file,
    known_endings,
    read_table,
    refuse_missing,
)
from .netcdf import read_netcdf, write_netcdf
from .reading import Reading
from .sampling import Draw, is_folder, write_draw
from .table import DataTable
from .writing import write_dataset, write_table

__all__ = [
    "FORMATS",
    "STDIN",
    "DataTable",
    "Draw",
    "FileContent",
    "Reading",
    "columns_kept",
    "features_named",
    "is_data_file",
    "is_folder",
    "known_endings",
    "read_dataset",
    "read_netcdf",
    "read_table",
    "refuse_missing",
    "write_dataset",
    "write_draw",
    "write_netcdf",
    "write_table",
]
