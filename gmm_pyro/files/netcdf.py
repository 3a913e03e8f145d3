"""NetCDF files, both ways: written from memory, and read when they are no more than they seem."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk.placing import write_bytes
from ..disk.untrusted import SMALL, refuse_expansion

if TYPE_CHECKING:
    import h5py
    import xarray

ENGINES = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy"}  # by first bytes
COMPRESSED = frozenset("biufc")  # kinds of numbers
BARE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"  # NetCDF-4's own words


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
    file = io.BytesIO()
    tree.to_netcdf(file, engine="h5netcdf", encoding=encoding)
    write_bytes(path, file.getvalue())
    return Path(path)


def read_netcdf(path: str | Path, group: str | None = None) -> xarray.Dataset:
    """The variables of one group of a NetCDF file, or of its root, read into memory.

    Raises:
        OSError: if it cannot be opened.
        Exception: if it is no NetCDF file, leads to another file, or declares more than it holds;
            `untrusted.content_named` makes one kind of all.
    """
    import xarray

    path = Path(path)
    length = path.stat().st_size
    with path.open("rb") as file:
        engine = ENGINES.get(file.read(4))
    if engine is None:
        raise ValueError("it is no NetCDF file")
    source: Any = path
    if engine == "h5netcdf":
        _check_hdf5(path, {"/", group or "/"})
    else:
        source = io.BytesIO(path.read_bytes())  # SciPy would map the file, and not let go of it
    with xarray.open_dataset(source, group=group, engine=engine) as data:
        refuse_expansion(data.nbytes, length)
        return data.load()


def _check_hdf5(path: Path, groups: set[str]) -> None:
    """Refuse what leads out of the file, and what is more than the file could hold."""
    import h5py

    length, declared = path.stat().st_size, 0
    with h5py.File(path, "r") as file:
        for variable in (entry for name in groups for entry in _variables(file[name])):
            declared += _declared(variable, length)
            refuse_expansion(declared, length)


def _variables(group: h5py.Group) -> Iterator[h5py.Dataset]:
    """The datasets of a group that NetCDF takes for variables."""
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"its entry {name!r} is a link that may lead elsewhere")  # noqa: TRY004
        entry = group[name]
        if not isinstance(entry, h5py.Dataset):
            continue
        if entry.external or entry.is_virtual:
            raise ValueError(f"the numbers of its variable {name!r} are in another file")
        if not bytes(entry.attrs.get("NAME", b"")).startswith(BARE_DIMENSION):
            yield entry


def _declared(variable: h5py.Dataset, length: int) -> int:
    """Bytes that a variable of a file of this length takes in memory.

    Raises:
        ValueError: if it is not compressed, and the file has less of it.
    """
    size, of_one = variable.size or 0, variable.dtype.itemsize
    if variable.chunks is None and variable.id.get_storage_size() < size * of_one:
        raise ValueError(f"its variable {variable.name!r} declares more numbers than there are")
    at_once = math.prod(variable.chunks or (0,))
    words = _length_of_words(variable, length) if variable.dtype.hasobject else 0
    return max(size, at_once) * of_one + words


def _length_of_words(variable: h5py.Dataset, length: int) -> int:
    """Bytes of texts, many of which may be one in the file: read a few at a time."""
    shape, total = variable.shape, 0
    rows = max(1, SMALL // (max(length, 1) * math.prod(shape[1:])))
    for first in range(0, shape[0] if shape else 0, rows):
        total += sum(map(len, variable[first : first + rows].flat))
        refuse_expansion(total, length)
    return total
