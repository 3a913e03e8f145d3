"""Observations: everything accepted arrives as the same numbers; everything else is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from gmm_pyro.data.observations import as_points, observe
from gmm_pyro.data.spread import ROWS, chunks
from gmm_pyro.datasets import bimodal
from oracles import EPSILON

X = np.random.default_rng(0).integers(0, 10, size=(12, 2)).astype(float)  # exact in every type
UNIVARIATE = X[:, 0]
NAMES = ["height", "width"]


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def field_of_a_record(x: np.ndarray) -> np.ndarray:
    """A column whose stride is no multiple of its item size."""
    record = np.zeros(len(x), dtype=[("value", "f8"), ("flag", "i1")])
    record["value"] = x
    return record["value"]


class Named:
    """Has what a series has, and two axes."""

    name = "points"

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def to_numpy(self) -> np.ndarray:
        return self.x

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.x, dtype)


TABLES: dict[str, Callable[[np.ndarray], Any]] = {
    "C order": lambda x: x,
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "broadcast": lambda x: np.broadcast_to(x, x.shape),
    "float32": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "long double": lambda x: x.astype(np.longdouble),
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "int64": lambda x: x.astype(np.int64),
    "uint8": lambda x: x.astype(np.uint8),
    "numbers as objects": lambda x: x.astype(object),
    "nothing masked": lambda x: np.ma.masked_array(x, mask=False),
    "torch": lambda x: torch.tensor(x),
    "torch with gradient": lambda x: torch.tensor(x, requires_grad=True),
    "torch float32": lambda x: torch.tensor(x, dtype=torch.float32),
    "torch int32": lambda x: torch.tensor(x, dtype=torch.int32),
    "torch transposed": lambda x: torch.tensor(x.T.copy()).T,
    "nested lists": lambda x: x.tolist(),
    "tuple of arrays": tuple,
    "pandas": lambda x: pd.DataFrame(x, columns=NAMES),
    "pandas Int64": lambda x: pd.DataFrame(x, columns=NAMES).astype("Int64"),
    "pandas mixed": lambda x: pd.DataFrame(x, columns=NAMES).astype({"width": "Float64"}),
    "pandas arrow": lambda x: pd.DataFrame(x, columns=NAMES).astype("double[pyarrow]"),
    "polars": lambda x: pl.DataFrame(x, schema=NAMES),
    "arrow": lambda x: pa.table({name: x[:, i] for i, name in enumerate(NAMES)}),
    "xarray": lambda x: xr.DataArray(x),
    "xarray with names": lambda x: xr.DataArray(x, dims=("row", "size"), coords={"size": NAMES}),
    "two axes and a name": Named,
    "polars mixed": lambda x: pl.DataFrame(x, schema=NAMES).cast({"width": pl.Int16}),
}

COLUMNS: dict[str, Callable[[np.ndarray], Any]] = {
    "numpy": lambda x: x,
    "field of a record": field_of_a_record,
    "list": lambda x: x.tolist(),
    "range-like tuple": tuple,
    "torch": lambda x: torch.tensor(x),
    "pandas": lambda x: pd.Series(x, name="height"),
    "pandas Int64": lambda x: pd.Series(x, name="height", dtype="Int64"),
    "polars": lambda x: pl.Series("height", x),
    "xarray": lambda x: xr.DataArray(x, name="height"),
}


def plain(x: Any) -> np.ndarray:
    """A copy of the numbers in any array-like."""
    x = x.detach().numpy() if isinstance(x, torch.Tensor) else x
    return np.array(x, dtype=float)


# ---------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_every_table_arrives_as_the_same_numbers_and_is_left_alone(make: Callable) -> None:
    given_x = make(X)
    observations = observe(given_x, sample_weight=np.arange(12.0))
    assert observations.x.dtype == torch.float64
    assert not observations.x.requires_grad
    np.testing.assert_array_equal(observations.x.numpy(), X)
    np.testing.assert_array_equal(plain(given_x), X)


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS)
def test_one_dimensional_data_are_one_feature(make: Callable) -> None:
    observations = observe(make(UNIVARIATE))
    assert (observations.n, observations.d) == (12, 1)
    np.testing.assert_array_equal(observations.x[:, 0].numpy(), UNIVARIATE)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: torch.tensor(x),
        lambda x: x.tolist(),
        lambda x: pd.DataFrame(x),
        lambda x: pd.DataFrame(x, dtype="boolean"),
        lambda x: pl.DataFrame(x),
    ],
    ids=["numpy", "torch", "lists", "pandas", "pandas nullable", "polars"],
)
def test_truth_values_are_zeros_and_ones(make: Callable) -> None:
    np.testing.assert_array_equal(observe(make(X > 4)).x.numpy(), (X > 4).astype(float))


@pytest.mark.parametrize(
    ("x", "names"),
    [
        (X, ("x0", "x1")),
        (torch.tensor(X), ("x0", "x1")),
        (UNIVARIATE, ("x0",)),
        (pd.DataFrame(X, columns=NAMES), ("height", "width")),
        (pd.DataFrame(X), ("0", "1")),
        (pl.DataFrame(X, schema=NAMES), ("height", "width")),
        (pd.Series(UNIVARIATE, name="height"), ("height",)),
        (pd.Series(UNIVARIATE), ("x0",)),
        (pl.Series("height", UNIVARIATE), ("height",)),
        (pl.Series(UNIVARIATE), ("x0",)),
        (xr.DataArray(X), ("x0", "x1")),
        (xr.DataArray(X, dims=("row", "size"), coords={"size": NAMES}), ("height", "width")),
        (xr.DataArray(X, dims=("row", "b"), coords={"part": ("b", NAMES)}), ("height", "width")),
        (xr.DataArray(X, dims=("columns", "name"), coords={"name": [3, 5]}), ("3", "5")),
        (xr.DataArray(UNIVARIATE, name="height"), ("height",)),
        (pa.table({"height": UNIVARIATE}), ("height",)),
        (Named(X), ("x0", "x1")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_columns_keep_their_names(x: Any, names: tuple[str, ...]) -> None:
    assert observe(x).feature_names == names


@pytest.mark.parametrize("make", [np.array, np.asfortranarray, read_only], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_of_the_right_type_are_not_copied(make: Callable, dtype: type) -> None:
    x = make(X.astype(dtype))
    observations = observe(x, dtype=torch.float32 if dtype == np.float32 else None)
    assert observations.x.data_ptr() == x.ctypes.data
    assert x.flags.writeable == (make is not read_only)


def test_torch_tensors_are_not_copied() -> None:
    x = torch.tensor(X, requires_grad=True)
    assert observe(x).x.data_ptr() == x.data_ptr()


def test_memory_mapped_arrays_stay_on_disk(tmp_path) -> None:
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    observations = observe(x)
    assert observations.x.data_ptr() == x.ctypes.data
    np.testing.assert_array_equal(observations.x.numpy(), X)


def test_views_outlive_the_array_that_they_were_made_from() -> None:
    points = as_points(read_only(X)).x
    np.testing.assert_array_equal(points.numpy(), X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_have_the_chosen_type_and_moments_are_float64(dtype: torch.dtype) -> None:
    observations = observe(X, dtype=dtype, sample_weight=np.ones(12))
    assert observations.x.dtype == observations.sample_weight.dtype == dtype
    assert observations.origin.dtype == observations.scale.dtype == torch.float64


@pytest.mark.parametrize(
    "weight",
    [
        range(12),
        np.arange(12, dtype=np.int8),
        np.arange(12, dtype=np.float32),
        torch.arange(12),
        pd.Series(range(12)),
        pl.Series(range(12)),
    ],
    ids=lambda weight: type(weight).__module__,
)
def test_sample_weights_come_in_any_form(weight: Any) -> None:
    observations = observe(X, sample_weight=weight)
    assert observations.sample_weight.tolist() == list(range(12))
    assert observations.total_weight == 66.0


def test_without_weights_every_point_counts_once() -> None:
    observations = observe(X)
    assert observations.sample_weight is None
    assert observations.total_weight == 12.0


# ---------------------------------------------------------------------- location and scale

finite = st.floats(-1e3, 1e3, allow_nan=False)


@given(
    x=arrays(float, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=finite), w=st.data()
)
def test_origin_and_scale_are_the_weighted_mean_and_deviation(x: np.ndarray, w: Any) -> None:
    x[:2] = [[-1.0], [1.0]]  # no column is constant
    weight = w.draw(arrays(float, len(x), elements=st.floats(0.125, 8)))
    observations = observe(x, sample_weight=weight)
    mean = np.average(x.astype(np.longdouble), axis=0, weights=weight)
    deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    rounding = len(x) * EPSILON * np.abs(x).max()  # of a sum of n terms
    np.testing.assert_allclose(observations.origin, mean.astype(float), rtol=0, atol=rounding)
    np.testing.assert_allclose(observations.scale, deviation.astype(float), rtol=0, atol=rounding)


@pytest.mark.parametrize("offset", [0.0, 1e9])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_survive_an_offset(offset: float, *, weighted: bool) -> None:
    generator = np.random.default_rng(1)
    x = offset + generator.normal(size=(1000, 3))
    weight = generator.exponential(size=1000) if weighted else None
    observations = observe(x, sample_weight=weight)
    mean = np.average(x.astype(np.longdouble), axis=0, weights=weight)
    deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight)).astype(float)
    ulp = EPSILON * (offset + 1)  # the spacing of numbers as large as the data
    np.testing.assert_allclose(observations.origin, mean.astype(float), rtol=0, atol=ulp)
    np.testing.assert_allclose(observations.scale, deviation, rtol=1000 * EPSILON, atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("power", [-320, -300, -200, -71, -45, -38, -16, 16, 36, 71, 200, 300, 307])
def test_units_that_a_type_cannot_work_in_are_refused(dtype: str, power: int) -> None:
    """By the column, how far it spreads or what it holds, and what can be done."""
    if dtype == "float64" and abs(power) < 70:
        return
    column = 10.0**power * np.array([-1.0, 0.0, 0.5, 1.0])
    frame = pd.DataFrame({"good": [1.0, 2.0, 3.0, 5.0], "odd": column})
    with pytest.raises(
        ValueError, match="'odd'.*choose other units|'odd'.*other units, or"
    ) as info:
        observe(frame, dtype=dtype)
    found = [float(word) for word in re.findall(r"-?\d[\d.]*e[+-]\d+", str(info.value))]
    said = (np.std(column / 10.0**power) * 10.0**power, column.min())
    assert any(number == pytest.approx(wanted, rel=0.01) for number in found for wanted in said)
    assert ("or dtype='float64'" in str(info.value)) == (dtype == "float32")


def test_numbers_that_float32_rounds_away_are_told_from_constant_ones() -> None:
    x = 1e9 + np.arange(8.0)
    with pytest.raises(ValueError, match=r"in float32 'x0' does not: its mean is 1e\+09 and its"):
        observe(x, dtype="float32")
    with pytest.raises(ValueError, match="constant over its 8 rows: 'x0'"):
        observe(np.full(8, 1e9), dtype="float32")


@pytest.mark.parametrize("weight", [0.0, 1e-250])
def test_a_point_of_little_weight_may_not_be_out_of_range(weight: float) -> None:
    x = np.append(np.arange(9.0), 1e100)
    with pytest.raises(ValueError, match=r"'x0' is 2.58.*a point of little weight is 1e\+100 away"):
        observe(x, sample_weight=np.append(np.ones(9), weight))


@pytest.mark.parametrize("value", [0.0, 1 / 3, 1e9 / 3])
def test_a_constant_column_that_is_allowed_has_the_scale_of_the_others(value: float) -> None:
    constant = np.full(7, value)
    both = observe(np.column_stack([np.arange(7.0), constant]), constant_columns=True)
    assert both.scale.tolist() == [2.0, 2.0]
    assert observe(constant, constant_columns=True).scale.tolist() == [1.0]


def test_moments_of_several_chunks_are_those_of_the_whole() -> None:
    x = 5 + np.random.default_rng(2).normal(size=(ROWS + 1000, 1))
    observations = observe(x)
    assert float(observations.origin) == pytest.approx(x.mean(), rel=1e-13)
    assert float(observations.scale) == pytest.approx(x.std(), rel=1e-13)


def test_integer_weights_are_repeated_rows() -> None:
    weight = np.arange(12) % 4
    weighted, repeated = observe(X, sample_weight=weight), observe(np.repeat(X, weight, axis=0))
    torch.testing.assert_close(weighted.origin, repeated.origin, rtol=12 * EPSILON, atol=0)
    torch.testing.assert_close(weighted.scale, repeated.scale, rtol=12 * EPSILON, atol=0)


def test_float32_points_less_the_origin_are_exact() -> None:
    x = (1e4 + np.random.default_rng(3).normal(size=(100, 2))).astype(np.float32)
    observations = observe(x, dtype=torch.float32)
    assert torch.equal(observations.origin, observations.origin.float().double())


def test_standardised_points_have_mean_zero_and_deviation_one() -> None:
    observations = observe(100 + 7 * X)
    z = observations.standardised(observations.scale)
    np.testing.assert_allclose(z.mean(0), 0, atol=100 * EPSILON)
    np.testing.assert_allclose(z.std(0), 1, rtol=100 * EPSILON)


def test_a_subset_keeps_origin_and_scale_of_the_whole() -> None:
    observations = observe(X, sample_weight=np.arange(12.0))
    part = observations.subset(torch.tensor([3, 1]))
    np.testing.assert_array_equal(part.x.numpy(), X[[3, 1]])
    assert part.sample_weight.tolist() == [3.0, 1.0]
    assert part.origin is observations.origin
    assert part.scale is observations.scale


@given(n=st.integers(0, 100), rows=st.integers(1, 40))
def test_chunks_cover_every_row_once(n: int, rows: int) -> None:
    covered = [list(range(n)[chunk]) for chunk in chunks(n, rows)]
    assert sum(covered, []) == list(range(n))
    assert all(len(part) == rows for part in covered[:-1])


# ---------------------------------------------------------------------- what is refused


def spoiled(value: float, *places: tuple[int, int]) -> pd.DataFrame:
    x = X.copy()
    for place in places:
        x[place] = value
    return pd.DataFrame(x, columns=NAMES)


LARGEST = np.equal(X, X.max())
DATES = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")

REFUSED: dict[str, tuple[Any, str]] = {
    "one NaN": (spoiled(np.nan, (7, 1)), "x has 1 NaN value, the first at row 7, column 'width'"),
    "three NaN": (
        spoiled(np.nan, (9, 0), (4, 1), (11, 1)),
        "x has 3 NaN values, the first at row 4, column 'width'",
    ),
    "infinity": (
        spoiled(np.inf, (5, 0), (5, 1)),
        "x has 2 infinite values, the first at row 5, column 'height'",
    ),
    "negative infinity": (
        spoiled(-np.inf, (3, 0)).to_numpy(),
        "x has 1 infinite value, the first at row 3, column 'x0'",
    ),
    "pandas NA": (
        spoiled(np.nan, (7, 1)).astype("Int64"),
        "x has 1 NaN value, the first at row 7, column 'width'",
    ),
    "polars null": (
        pl.DataFrame({"height": [1, 2, None], "width": [1.5, 2.0, 3.0]}),
        "x has 1 NaN value, the first at row 2, column 'height'",
    ),
    "masked": (
        np.ma.masked_array(X, mask=LARGEST),
        f"x has {LARGEST.sum()} NaN values, the first at row",
    ),
    "one constant column": (
        np.column_stack([X, np.full(12, 2.5)]),
        "x must vary in every column; constant over its 12 rows: 'x2' (always 2.5)",
    ),
    "two constant columns": (
        pd.DataFrame({"a": [1, 1], "b": [1, 2], "c": [0, 0]}),
        "constant over its 2 rows: 'a' (always 1), 'c' (always 0)",
    ),
    "complex": (X + 1j, "x must hold real numbers, got complex numbers (dtype complex128)"),
    "complex torch": (torch.tensor(X + 1j), "x must be dense and real"),
    "strings": ([["a", "b"]], "x must hold real numbers, got strings"),
    "numbers as strings": ([["1", "2"]], "x must hold real numbers, got strings"),
    "strings among numbers": (
        np.array([[1.0, "b"]], dtype=object),
        "x must hold real numbers, got strings (dtype object)",
    ),
    "bytes": (np.array([b"a"]), "x must hold real numbers, got bytes"),
    "dates": (DATES, "x must hold real numbers, got dates (dtype datetime64[D])"),
    "string column": (
        pd.DataFrame({"b": ["u", "v"]}),
        "column 'b' must hold real numbers, got strings",
    ),
    "polars string column": (
        pl.DataFrame({"b": ["u", "v"]}),
        "column 'b' must hold real numbers, got strings",
    ),
    "date column": (pd.DataFrame({"day": DATES}), "column 'day' must hold real numbers, got dates"),
    "polars date series": (
        pl.Series("day", DATES),
        "column 'day' must hold real numbers, got dates",
    ),
    "twice the same name": (
        pd.DataFrame(X, columns=["a", "a"]),
        "x must have column names that differ; 'a' occurs 2 times",
    ),
    "lazy": (pl.DataFrame(X).lazy(), "x must be in memory, got a LazyFrame: call its collect()"),
    "xarray data set": (
        xr.Dataset({"a": ("row", UNIVARIATE)}),
        "x must be one array, got an xarray Dataset: take one of its variables",
    ),
    "xarray of three axes": (xr.DataArray(X[None]), "univariate data; got (1, 12, 2)"),
    "xarray, twice the same name": (
        xr.DataArray(X, dims=("row", "size"), coords={"size": ["a", "a"]}),
        "x must have column names that differ; 'a' occurs 2 times",
    ),
    "mapping": ({"a": [1.0, 2.0]}, "x must be an array of numbers, got {'a': [1.0, 2.0]}: pandas"),
    "set": ({1.0, 2.0}, "x must be an array of numbers, got {1.0, 2.0}"),
    "generator": (iter([1.0]), "x must be an array of numbers, got <list_iterator"),
    "data set": (bimodal(), "x must be an array of numbers, got <bimodal: 1000 points of 1 feat"),
    "meta tensor": (torch.empty(3, 2, device="meta"), "x must hold numbers, got a tensor without"),
    "very many digits": ([10**400, 1], "x must hold real numbers: int too large"),
    "None": ([[2.0, 1.0], [0.0, None]], "x has 1 NaN value, the first at row 1, column 'x1'"),
    "objects": ([[{}, 1.0]], "x must hold real numbers"),
    "ragged": ([[1, 2], [3]], "x must be a rectangular array"),
    "sparse": (sparse.csr_array(X), "x must be dense, got csr_array: call its toarray()"),
    "sparse torch": (torch.tensor(X).to_sparse(), "x must be dense and real"),
    "number": (3.0, "x must have shape (n, d), or (n,) for univariate data; got ()"),
    "three axes": (np.zeros((4, 3, 2)), "or (n,) for univariate data; got (4, 3, 2)"),
    "no columns": (np.zeros((4, 0)), "or (n,) for univariate data; got (4, 0)"),
    "no rows": (np.zeros((0, 3)), "x must have at least one row; got shape (0, 3)"),
    "empty list": ([], "x must have at least one row"),
    "empty frame": (pd.DataFrame(), "x must have shape (n, d)"),
    "rows missing": (pl.DataFrame(schema={"a": pl.Float64}), "x must have at least one row"),
}


@pytest.mark.parametrize(("x", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_data_are_refused_with_what_and_where(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        observe(x, missing="refuse")


def test_bad_values_are_counted_over_all_chunks() -> None:
    x = np.arange(2.0 * (ROWS + 10)).reshape(-1, 2)
    x[ROWS + 4, 1] = x[ROWS + 7, 0] = np.nan
    message = f"x has 2 NaN values, the first at row {ROWS + 4}, column 'x1'"
    with pytest.raises(ValueError, match=re.escape(message)):
        observe(x, missing="refuse")


def test_numbers_whose_sum_overflows_are_finite() -> None:
    points = as_points(np.full((4, 1), 1e308)).x
    assert points.sum() == np.inf


@pytest.mark.parametrize("n_components", [13, 20])
def test_fewer_points_than_components(n_components: int) -> None:
    message = f"x has 12 points, fewer than the {n_components} components to be fitted"
    with pytest.raises(ValueError, match=re.escape(message)):
        observe(X, n_components=n_components)


def test_points_without_weight_do_not_count() -> None:
    message = "x has 2 points of positive weight, fewer than the 3 components to be fitted"
    with pytest.raises(ValueError, match=re.escape(message)):
        observe(X, n_components=3, sample_weight=[1.0, 2.0] + [0.0] * 10)


def test_a_column_must_vary_among_points_that_count() -> None:
    with pytest.raises(ValueError, match="x must vary in every column; constant over its 2 rows"):
        observe([[1.0], [1.0], [2.0]], sample_weight=[1, 1, 0])


def test_wrong_number_of_features() -> None:
    with pytest.raises(ValueError, match=re.escape("x must have 3 features, got 2: shape (12, 2)")):
        as_points(X, n_features=3)


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.complex128, torch.bool, torch.float16, "float", "int64", 64]
)
def test_points_are_of_single_or_double_precision(dtype: Any) -> None:
    message = "dtype must be torch.float64 or torch.float32, or the name of one, got "
    with pytest.raises(ValueError, match=re.escape(f"{message}{dtype!r}")):
        observe(X, dtype=dtype)


WEIGHTS = {
    "negative": ([1.0] * 10 + [-2.0, 1.0], "must be finite and not negative, got -2 at row 10"),
    "NaN": ([np.nan] + [1.0] * 11, "must be finite and not negative, got nan at row 0"),
    "infinite": ([1.0] * 11 + [np.inf], "must be finite and not negative, got inf at row 11"),
    "too few": ([1.0, 2.0], "must have shape (12,), got (2,)"),
    "a column": (np.ones((12, 1)), "must have shape (12,), got (12, 1)"),
    "zeros": ([0.0] * 12, "must have a positive entry, got zeros only"),
    "strings": (["a"] * 12, "must hold real numbers, got strings"),
    "complex": (torch.ones(12) * 1j, "must be dense and real"),
}


@pytest.mark.parametrize(("weight", "message"), WEIGHTS.values(), ids=WEIGHTS)
def test_bad_weights_are_refused_with_what_and_where(weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"sample_weight {message}")):
        observe(X, sample_weight=weight)
