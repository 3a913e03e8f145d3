"""Claims about files that are damaged or made to do harm: refused in a line that names the file."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray
from pyarrow import parquet

import gmm_pyro as gp
from damage import DATA, READERS, damaged, outcome
from gmm_pyro.files import read_table
from gmm_pyro.files.netcdf import write_netcdf

MANY = 10**12  # numbers, which no machine of ours has memory for


def npy(shape: str, dtype: str = "<f8") -> bytes:
    """An npy file with two numbers that declares what it is told to."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(16)


def npz(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)


def zeros_in_gzip(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        for _ in range(128):
            file.write(b"0\n" * (1 << 19))


def zeros_in_parquet(path: Path) -> None:
    run = pa.array(np.zeros(10**6)).dictionary_encode()
    with parquet.ParquetWriter(path, pa.schema([("a", run.type)])) as writer:
        for _ in range(9):
            writer.write_table(pa.table({"a": run}))


def hdf5(path: Path, make: Callable[[h5py.File], Any]) -> None:
    """A NetCDF file that ours could be, with something else in it."""
    write_netcdf(xarray.Dataset({"x": (("n", "d"), np.eye(3))}), path)
    with h5py.File(path, "a") as file:
        make(file)


def elsewhere(path: Path) -> Path:
    """Another file of numbers, which are nobody's business."""
    other = path.with_name("secret.bin")
    np.full(12, 7.0).tofile(other)
    hdf5(path.with_name("secret.nc"), lambda file: None)
    return other


def external(path: Path) -> None:
    other = [(str(elsewhere(path)), 0, 96)]
    hdf5(path, lambda file: file.create_dataset("y", (4, 3), "f8", external=other))


def linked(link: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        elsewhere(path)
        hdf5(path, lambda file: file.__setitem__("y", link))

    return write


def virtual(path: Path) -> None:
    elsewhere(path)
    layout = h5py.VirtualLayout((3, 3), "f8")
    layout[:] = h5py.VirtualSource(path.with_name("secret.nc"), "x", (3, 3))
    hdf5(path, lambda file: file.create_virtual_dataset("y", layout))


def declaring(**settings: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        hdf5(path, lambda file: file.create_dataset("y", (MANY,), "f8", **settings))

    return write


def repeated_words(path: Path) -> None:
    """A long text of which a thousand entries are the same place in the file."""

    def make(file: h5py.File) -> None:
        words = file.create_dataset("y", (1000,), h5py.string_dtype())
        words[0] = "long " * 100_000
        at = words.id.get_offset()
        file.flush()
        content = bytearray(path.read_bytes())
        content[at : at + 16_000] = content[at : at + 16] * 1000
        path.with_suffix(".changed").write_bytes(content)

    hdf5(path, make)
    path.with_suffix(".changed").replace(path)


HOSTILE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "npy of many numbers": ("a.npy", lambda p: p.write_bytes(npy(f"({MANY},)")), "declares"),
    "npy of long words": ("a.npy", lambda p: p.write_bytes(npy("(2,)", "S2000000000")), "declares"),
    "npy of nothing": ("a.npy", lambda p: p.write_bytes(npy(f"({MANY},)", "S0")), "declares"),
    "npy of less": ("a.npy", lambda p: p.write_bytes(npy("(-1,)")), "declares"),
    "npy of nested signs": ("a.npy", lambda p: p.write_bytes(npy("-" * 9000 + "1")), ""),
    "npz of many numbers": ("a.npz", lambda p: npz(p, npy(f"({MANY},)")), "declares"),
    "npz of zeros": ("a.npz", lambda p: npz(p, bytes(1 << 27)), "would take 134217728"),
    "gzip of zeros": ("a.csv.gz", zeros_in_gzip, "is refused, from 64 MiB on"),
    "parquet of zeros": ("a.parquet", zeros_in_parquet, "would take 72000000"),
    "text of short rows": (
        "a.csv",
        lambda p: p.write_text(",".join(map(str, range(20_000))) + "\n" + "1\n" * 20_000),
        "would take 3200160000",
    ),
    "NetCDF of many numbers": ("a.nc", declaring(chunks=(1000,)), "would take"),
    "NetCDF of many numbers, compressed": ("a.nc", declaring(compression="gzip"), "would take"),
    "NetCDF of many numbers, plainly": ("a.nc", declaring(), "declares more numbers"),
    "NetCDF of one text many times": ("a.nc", repeated_words, "would take"),
    "NetCDF with numbers elsewhere": ("a.nc", external, "'y' are in another file"),
    "NetCDF of another file": ("a.nc", linked(h5py.ExternalLink("secret.nc", "/x")), "a link"),
    "NetCDF with a link": ("a.nc", linked(h5py.SoftLink("/x")), "a link"),
    "NetCDF of parts of others": ("a.nc", virtual, "'y' are in another file"),
}


@pytest.mark.parametrize(("name", "write", "why"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_takes_no_more_than_it_holds(name: str, write: Any, why: str, tmp_path) -> None:
    write(tmp_path / name)
    with pytest.raises(ValueError, match=rf"^\S*/{name} cannot be read: [^\n]*{why}[^\n]*$"):
        read_table(tmp_path / name)


def test_what_compresses_well_is_read_up_to_the_limit(tmp_path) -> None:
    """Even zeros that a gzip file or an archive has a thousandth of, as they are small."""
    table = pd.DataFrame({"a": np.zeros(10**5), "b": np.arange(10**5) % 2})
    for name in ("a.csv.gz", "a.parquet", "a.nc"):
        pd.testing.assert_frame_equal(
            read_table(gp.files.write_table(table, tmp_path / name)).frame, table
        )
    np.savez_compressed(tmp_path / "a.npz", x=table.to_numpy())
    assert np.array_equal(read_table(tmp_path / "a.npz").frame, table)


def mixture_json(path: Path, **changes: Any) -> None:
    DATA.truth.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


HOSTILE_MIXTURES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "long words": ("m.json", lambda p: mixture_json(p, dtype="S2000000000"), "dtype must be one"),
    "half numbers": ("m.json", lambda p: mixture_json(p, dtype="float16"), "dtype must be one"),
    "complex numbers": ("m.json", lambda p: mixture_json(p, dtype="complex128"), "dtype must be"),
    "no type": ("m.json", lambda p: mixture_json(p, dtype=None), "dtype must be one"),
    "a deep list": (
        "m.json",
        lambda p: p.write_text(f'{{"format": {"[" * 10**5}{"]" * 10**5}}}'),
        "recursion",
    ),
    "a long number": ("m.json", lambda p: mixture_json(p, weights=[10**400, 1]), "too large"),
    "a longer number": ("m.json", lambda p: p.write_text("9" * 5000), "digits"),
    "integers": ("m.npz", lambda p: np.savez(p, **arrays(np.int64)), "dtype must be one of"),
    "many numbers": ("m.npz", lambda p: npz(p, npy(f"({MANY},)")), "declares"),
}


def arrays(dtype: type) -> dict[str, np.ndarray]:
    mixture = DATA.truth
    numbers = {
        name: getattr(mixture, name).numpy().astype(dtype)
        for name in ("weights", "means", "covariances")
    }
    return {
        **numbers,
        "format": np.array("gmm_pyro.GaussianMixture"),
        "covariance": np.array("full"),
        "feature_names": np.array(mixture.feature_names),
    }


@pytest.mark.parametrize(("name", "write", "why"), HOSTILE_MIXTURES.values(), ids=HOSTILE_MIXTURES)
def test_a_mixture_s_file_takes_no_more_than_it_holds(name, write, why, tmp_path) -> None:
    write(tmp_path / name)
    says = rf"^\S*/{name} does not hold a mixture saved by gmm_pyro: [^\n]*{why}[^\n]*$"
    with pytest.raises(ValueError, match=says):
        gp.GaussianMixture.load(tmp_path / name)


# ---------------------------------------------------------------------- damage


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_right_or_refused_by_name(name: str, sound: Path, tmp_path) -> None:
    """Where the format has sums to check, a change of any bit is seen."""
    expected, content = READERS[name](sound / name), (sound / name).read_bytes()
    shutil.copytree(sound / "fit", tmp_path / "fit")
    path, chance, wrong = tmp_path / name, random.Random(name), {}
    for number in range(25):
        path.write_bytes(damaged(content, chance))
        if said := outcome(name, path, expected):
            wrong[number] = said
    assert wrong == {}
