"""NetCDF files: written from memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..placing import write_bytes

COMPRESSED = frozenset("biufc")  # kinds of numbers


def write_netcdf(data: Any, path: str | Path) -> Path:
    """Write a dataset or tree of xarray's, or ArviZ's InferenceData, with compressed numbers.

    The content is made in memory, since the HDF5 library can crash where a disk is full.

    Raises:
        OSError: if it cannot be written.
    """
    import xarray

    tree = data.to_datatree() if hasattr(data, "to_datatree") else data
    tree = xarray.DataTree(tree) if isinstance(tree, xarray.Dataset) else tree
    encoding = {
        node.path: {
            name: {"zlib": True}
            for name, variable in node.to_dataset(inherit=False).variables.items()
            if variable.dtype.kind in COMPRESSED
        }
        for node in tree.subtree
    }
    write_bytes(path, tree.to_netcdf(engine="h5netcdf", encoding=encoding))
    return Path(path)
