"""Arguments of the right and of the wrong kind, and what may come of a call with them."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import torch
import xarray as xr
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

import gmm_pyro as gp

PACKAGE = str(Path(gp.__file__).parent)
Call = Callable[[], Any]

# ---------------------------------------------------------------------- what may come of a call


def fault_of(call: Call, *names: str, others: tuple[str, ...] = ()) -> str | None:
    """What is wrong with how a call ends: nothing after a result, or after a clear refusal.

    A refusal is a ValueError or a TypeError that a `raise` statement of this package composed, and
    that says one of the names; or an error of the system that names the file; or whatever is raised
    below a file of `others`, whose words these are.
    """
    try:
        with warnings.catch_warnings():
            for category in (gp.FitWarning, ConvergenceWarning):
                warnings.simplefilter("ignore", category)
            warnings.filterwarnings("ignore", "X (has|does not have valid) feature names")
            call()
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if any(part in frame.filename for frame in frames for part in others):
            return None
        return _fault(error, frames[-1], names)
    return None


def _fault(error: Exception, last: traceback.FrameSummary, names: tuple[str, ...]) -> str | None:
    if isinstance(error, OSError) and error.filename is not None:
        return None
    ours = last.filename.startswith(PACKAGE) and (last.line or "").startswith("raise")
    if not ours or not isinstance(error, ValueError | TypeError):
        return f"raw {type(error).__name__} at {last.filename}:{last.lineno}: {error}"
    if not any(name in str(error) for name in names):
        return f"names none of {names}: {error}"
    return None


# ---------------------------------------------------------------------- values of any kind

ODD: dict[str, Any] = {
    "None": None,
    "True": True,
    "-1": -1,
    "0": 0,
    "1": 1,
    "2.5": 2.5,
    "-0.5": -0.5,
    "1e300": 1e300,
    "10**12": 10**12,
    "10**30": 10**30,
    "10**5000": 10**5000,
    "NaN": float("nan"),
    "inf": float("inf"),
    "complex": 1j,
    "empty word": "",
    "word": "banana",
    "bytes": b"em",
    "empty list": [],
    "list": [1, 2],
    "list of words": ["full"],
    "mixed list": [1, "a", None],
    "ragged list": [[1, 2], [3]],
    "tuple": (1.5,),
    "set": {1, 2},
    "mapping": {"a": 1},
    "range": range(3),
    "fraction": Fraction(1, 2),
    "decimal": Decimal(1),
    "numpy integer": np.int64(2),
    "numpy single": np.float32(0.5),
    "numpy bool": np.bool_(True),  # noqa: FBT003
    "numpy date": np.datetime64("2020-01-01"),
    "0-d array": np.array(2),
    "0-d array of floats": np.array(0.5),
    "0-d array of an object": np.array(None),
    "array": np.array([1.0, 2.0]),
    "array of integers": np.array([1, 2]),
    "empty array": np.array([]),
    "array of words": np.array(["a", "b"]),
    "matrix": np.eye(2),
    "0-d tensor": torch.tensor(2),
    "0-d tensor of floats": torch.tensor(0.5),
    "0-d tensor of bool": torch.tensor(True),  # noqa: FBT003
    "tensor": torch.tensor([1.0, 2.0]),
    "empty tensor": torch.tensor([]),
    "meta tensor": torch.empty(2, device="meta"),
    "sparse": sparse.eye_array(2).tocsr(),
    "series": pd.Series([1.0, 2.0]),
    "frame": pd.DataFrame({"a": [1.0, 2.0]}),
    "polars frame": pl.DataFrame({"a": [1.0, 2.0]}),
    "lazy frame": pl.LazyFrame({"a": [1.0, 2.0]}),
    "data array": xr.DataArray(np.eye(2)),
    "object": object(),
    "class": int,
    "function": len,
    "generator": (i for i in ()),
    "ellipsis": ...,
    "slice": slice(2),
    "mixture": gp.GaussianMixture([1.0], [[0.0]], [1.0], "spherical"),
    "model": gp.MixtureModel(2),
    "priors": gp.Priors(),
}


ENDLESS = {  # of which as many are made as are asked for
    *("max_steps", "max_tree_depth", "n_warmup", "thin"),
    *("n_sweeps", "max_iter"),
}


def odd_values(argument: str) -> dict[str, Any]:
    """Values for an argument: without those that are right, and take for ever."""
    return {
        word: value for word, value in ODD.items() if word != "10**12" or argument not in ENDLESS
    }


# ---------------------------------------------------------------------- data of any kind


def _points(n: int, d: int) -> np.ndarray:
    x = np.random.default_rng(n + d).normal(size=(n, d))
    x[: n // 2] += 4
    return x


class Named:
    """Has the attributes of a series, and two dimensions."""

    name = "points"

    def to_numpy(self) -> np.ndarray:
        return _points(12, 2)


X = _points(12, 2)
DATA: dict[str, Any] = {
    "plain": X,
    "larger": _points(40, 3),
    "univariate": X[:, 0],
    "six features": _points(14, 6),
    "as many as components": _points(2, 1),
    "one point": np.array([[1.0, 2.0]]),
    "one number": np.array([1.0]),
    "constant column": np.column_stack([X[:, 0], np.ones(12)]),
    "all the same": np.ones((12, 2)),
    "repeated": np.repeat(X[:3], 4, axis=0),
    "two places": np.repeat(X[:2], 6, axis=0),
    "truth values": X > 0,
    "integers": (10 * X).astype(int),
    "bytes": (10 * X).astype(np.int8),
    "objects": X.astype(object),
    "single": X.astype(np.float32),
    "half": X.astype(np.float16),
    "long": X.astype(np.longdouble),
    "Fortran": np.asfortranarray(X),
    "other byte order": X.astype(X.dtype.newbyteorder()),
    "read-only": np.broadcast_to(X, X.shape),
    "backwards": X[::-1, ::-1],
    "every other": np.repeat(X, 2, axis=0)[::2],
    "lists": X.tolist(),
    "tuples": tuple(map(tuple, X.tolist())),
    "list of arrays": list(X),
    "list of tensors": [torch.tensor(row) for row in X],
    "huge": 1e300 * X,
    "large": 1e90 * X,
    "tiny": 1e-300 * X,
    "far": X + 1e12,
    "infinite": np.where(X > 4, np.inf, X),
    "missing": np.where(X > 4, np.nan, X),
    "masked": np.ma.masked_array(X, X > 4),
    "matrix": np.asmatrix(X),
    "structured": np.zeros(5, dtype=[("a", "f8"), ("b", "f8")]),
    "strings": X.astype(str),
    "complex": X + 1j,
    "dates": np.arange("2020-01-01", "2020-01-13", dtype="datetime64[D]"),
    "durations": np.arange(12).astype("timedelta64[D]"),
    "empty": np.empty((0, 2)),
    "no columns": np.empty((12, 0)),
    "three axes": X[None],
    "tensor": torch.tensor(X),
    "tensor with gradient": torch.tensor(X, requires_grad=True),
    "tensor of integers": torch.tensor((10 * X).astype(int)),
    "tensor of half": torch.tensor(X, dtype=torch.bfloat16),
    "tensor transposed": torch.tensor(X.T.copy()).T,
    "sparse tensor": torch.tensor(X).to_sparse(),
    "meta tensor": torch.empty(12, 2, device="meta"),
    "sparse": sparse.csr_array(X),
    "frame": pd.DataFrame(X, columns=["a", "b"]),
    "frame of two types": pd.DataFrame({"a": X[:, 0], "b": (10 * X[:, 1]).astype(int)}),
    "frame of nullable": pd.DataFrame(X).convert_dtypes(),
    "frame of categories": pd.DataFrame({"a": pd.Categorical(list("abcabcabcabc"))}),
    "frame of dates": pd.DataFrame({"a": pd.date_range("2020", periods=12)}),
    "frame, names repeated": pd.DataFrame(X, columns=["a", "a"]),
    "frame of two levels": pd.DataFrame(X, columns=pd.MultiIndex.from_tuples([(0, 1), (0, 2)])),
    "series": pd.Series(X[:, 0], name="a"),
    "polars": pl.DataFrame(X, schema=["a", "b"]),
    "polars series": pl.Series("a", X[:, 0]),
    "polars lazy": pl.DataFrame(X, schema=["a", "b"]).lazy(),
    "polars of words": pl.DataFrame({"a": ["u", "v"]}),
    "data array": xr.DataArray(X, dims=("row", "feature"), coords={"feature": ["a", "b"]}),
    "data array, one axis": xr.DataArray(X[:, 0], dims="row", name="a"),
    "data array, three axes": xr.DataArray(X[None]),
    "xarray data set": xr.Dataset({"a": ("row", X[:, 0])}),
    "series of two axes": Named(),
    "data set": gp.datasets.bimodal(),
    "mapping": {"a": X[:, 0]},
    "set": {1.0, 2.0},
    "generator": (row for row in X),
    "number": 3.0,
    "word": "iris",
    "None": None,
    "object": object(),
    "ragged": [[1.0], [1.0, 2.0]],
}


# ---------------------------------------------------------------------- fits

QUICK = {
    **{"max_steps": 8, "n_starts": 2, "n_draws": 12, "n_warmup": 6, "n_chains": 2},
    "max_tree_depth": 3,
}
RIGHT: dict[str, tuple[Any, ...]] = {
    "seed": (0, 7, np.int64(3), 2**40),
    "start": ("k-means++", "k-means", "random", "random points", "agglomeration"),
    "n_starts": (1, 3),
    "max_steps": (1, 5, np.int32(4)),
    "tolerance": (0, 1e-3, np.float32(0.1)),
    "covariance_floor": (0.0, 1e-6, 0.5),
    "progress": (False,),
    "dtype": (None, torch.float32, torch.float64, "float32", "float64"),
    "device": (None, "cpu", torch.device("cpu")),
    "acceleration": (None, "squarem"),
    "rate": (0.01, 0.5),
    "batch_size": (None, 5),
    "guide": ("normal", "multivariate", "low_rank", "structured"),
    "n_particles": (None, 4),
    "n_draws": (1, 9),
    "n_chains": (1, 2),
    "n_warmup": (0, 5),
    "thin": (1, 2),
    "exchange": (True, False),
    "keep_allocations": (0, 3),
    "target_accept": (0.6, 0.9),
    "max_tree_depth": (1, 3),
}
OF_DATA = ("sample_weight", "dtype", "device")
FAMILIES = (*gp.FAMILIES, "VVI")


def _priors(random: Random) -> Any:
    import pyro.distributions as dist

    wrong = random.choice(list(ODD.values()))
    return random.choice(
        [
            lambda: None,
            lambda: gp.Priors(),
            lambda: gp.Priors(means=dist.Normal(0.0, 3.0), scales=dist.HalfNormal(2.0)),
            lambda: gp.ConjugatePriors(),
            lambda: gp.ConjugatePriors(concentration=0.5, dof=9, scale=0.1),
            lambda: gp.Priors(**{random.choice(["weights", "means", "scales"]): wrong}),
            lambda: gp.Priors(**{random.choice(["location", "spread"]): wrong}),
            lambda: gp.ConjugatePriors(**{random.choice(["concentration", "mean"]): wrong}),
            lambda: gp.ConjugatePriors(**{random.choice(["dof", "scale"]): wrong}),
            lambda: gp.ConjugatePriors(**{random.choice(["mean_scale", "spread"]): wrong}),
            lambda: wrong,
        ]
    )()


def drawn_fit(seed: int) -> tuple[str, Call]:
    """What is drawn from a seed, in words, and the fit that it asks for."""
    random = Random(seed)
    method = random.choice(list(gp.inference.METHODS))
    data = "plain" if random.random() < 0.4 else random.choice(list(DATA))
    options: dict[str, Any] = {}
    known = [*_fields(gp.inference.METHODS[method].options), *OF_DATA]
    for name in random.sample(known, random.choice([0, 1, 1, 2, 4])):
        right = RIGHT.get(name) if random.random() < 0.5 else None
        options[name] = random.choice(right or list(odd_values(name).values()))
    quick = {name: value for name, value in QUICK.items() if name in known}
    k: Any = random.choice([1, 2, 2, 3])
    covariance: Any = random.choice(FAMILIES)
    odd = random.random()
    if odd < 0.03:
        k = random.choice(list(ODD.values()))
    elif odd < 0.06:
        covariance = random.choice(list(ODD.values()))
    choose_priors = random.random() < 0.35
    words = f"{method}, {data}, k={_short(k)}, {_short(covariance)}, {_short(options)}"

    def call() -> None:
        priors = _priors(random) if choose_priors else None
        model = gp.MixtureModel(k, covariance, priors=priors)
        gp.fit(model, DATA[data], method, **(quick | options))

    return words, call


def _short(value: Any) -> str:
    try:
        return " ".join(repr(value).split())[:120]
    except ValueError:  # an integer of very many digits
        return "a large integer"


def names_of_fits() -> tuple[str, ...]:
    """What a refusal of a fit may name."""
    options = {name for row in gp.inference.METHODS.values() for name in _fields(row.options)}
    return (*sorted(options), *OF_DATA, "x ", "column", "prior", "method", "n_components",
            "covariance", *_fields(gp.Priors), *_fields(gp.ConjugatePriors))  # fmt: skip


def _fields(cls: Any) -> Iterator[str]:
    return (field.name for field in fields(cls) if not field.name.startswith("_"))
