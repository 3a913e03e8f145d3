"""Data files as tables and data sets, and both as files.

`formats.py` reads any format into a table, `text.py` delimited text with whatever it is separated
by; `netcdf.py` knows NetCDF both ways; `columns.py` decides which columns are features;
`writing.py` writes.
"""

from .columns import FileContent, features_named, read_dataset
from .formats import FORMATS, STDIN, DataTable, is_data_file, read_table
from .netcdf import read_netcdf, write_netcdf
from .writing import write_dataset, write_table

__all__ = [
    "FORMATS",
    "STDIN",
    "FileContent",
    "DataTable",
    "features_named",
    "is_data_file",
    "read_dataset",
    "read_netcdf",
    "read_table",
    "write_dataset",
    "write_netcdf",
    "write_table",
]
