"""Files that are damaged on the way, and what may come of reading them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
import xarray
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.files import read_dataset, write_dataset
from gmm_pyro.saved_fit import load_fit, save_fit
from oracles import clusters

DATA = clusters(3, separation=4)


def points(path: Path) -> Tensor:
    """Of a data set."""
    return read_dataset(path).dataset.x


def numbers_of(mixture: gp.GaussianMixture) -> Tensor:
    """All of them, in a row."""
    return torch.cat([mixture.weights, mixture.means.flatten(), mixture.covariances.flatten()])


def mixture(path: Path) -> Tensor:
    """The numbers of a mixture."""
    return numbers_of(gp.GaussianMixture.load(path))


def fit(path: Path) -> Tensor:
    """The numbers of a fit's draws and mixture."""
    found = load_fit(path.parent)
    return torch.cat([found.posterior().draws["means"].flatten(), numbers_of(found.mixture)])


READERS: dict[str, Callable[[Path], Tensor]] = {
    **dict.fromkeys(["a.csv", "a.tsv", "a.csv.gz", "a.npy", "a.npz", "a.parquet", "a.nc"], points),
    **dict.fromkeys(["compressed.npz", "plain.parquet", "plain.nc", "older.nc"], points),
    **dict.fromkeys(["m.json", "m.npz"], mixture),
    **dict.fromkeys(["fit/fit.json", "fit/posterior.nc"], fit),
}
CHECKED = {"a.csv.gz", "a.npz", "compressed.npz", "m.npz", "a.parquet"}  # by sums in the format


def write_sound(home: Path) -> None:
    """Write a sound file of every format that the package reads."""
    x = DATA.x.numpy()
    for name in ("a.csv", "a.tsv", "a.csv.gz", "a.npy", "a.npz", "a.parquet", "a.nc"):
        write_dataset(DATA, home / name)
    np.savez_compressed(home / "compressed.npz", x=x)
    pd.DataFrame(x, columns=list("abc")).to_parquet(home / "plain.parquet")
    xarray.Dataset({"x": (("n", "d"), x)}).to_netcdf(home / "plain.nc", engine="h5netcdf")
    with scipy.io.netcdf_file(str(home / "older.nc"), "w") as file:
        file.createDimension("n", 60)
        file.createDimension("d", 3)
        file.createVariable("x", "d", ("n", "d"))[:] = x
    for name in ("m.json", "m.npz"):
        DATA.truth.save(home / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gmm_pyro.plots.fit_figures", lambda *_, **__: {})
        save_fit(gp.fit(gp.MixtureModel(2), x, "laplace", n_draws=20), home / "fit")


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content cut off, with a part left out or overwritten, or with bits flipped."""
    first, last = sorted(chance.randrange(len(content)) for _ in range(2))
    kind = chance.randrange(5)
    if kind == 0:
        return content[:first]
    if kind == 1:
        return content[:first] + content[last + 1 :]
    if kind == 2:
        length = min(8, len(content) - first)
        return (
            content[:first] + bytes([chance.choice([0, 255])]) * length + content[first + length :]
        )
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 8])):
        place = chance.randrange(min(len(changed), chance.choice([512, len(changed)])))
        changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def outcome(name: str, path: Path, expected: Tensor) -> str:
    """What is wrong with how a damaged file was read, or nothing."""
    try:
        found = READERS[name](path)
    except (ValueError, OSError) as error:
        is_named = path.name in f"{error}{getattr(error, 'filename', '')}" and "\n" not in str(
            error
        )
        return "" if is_named else f"not named: {error!r}"
    return "wrong numbers" if name in CHECKED and not torch.equal(found, expected) else ""
