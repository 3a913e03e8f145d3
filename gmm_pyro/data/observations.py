"""Array-likes in, validated observations out: the only place that coerces and checks data.

Everything behind this module can rely on a finite floating-point tensor of shape (n, d). The data
are never copied when they already have the right type, so a memory-mapped array stays on disk:
`origin` and `scale` say where the data lie and how far they spread, and the reduction centres one
cache-sized chunk at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from .arrays import aliased
from .away import is_away, observed_away
from .checks import check_choice
from .devices import device_of, precision_of
from .features import default_names, places
from .measured import Measured
from .noise import as_noise, order_of
from .points import Observations, Points
from .projection import projected, refuse_unseen
from .spread import (
    location_and_scale,
    passes,
    reach,
    refuse_extreme,
    refuse_lost,
)
from .tables import to_numeric
from .weighting import as_weights
from .words import counted

MISSING = ("integrate", "refuse")


def observe(
    x: Any,
    *,
    n_components: int = 1,
    sample_weight: Any = None,
    feature_names: Sequence[str] | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    constant_columns: bool = False,
    missing: str = "integrate",
    noise: Any = None,
    projection: Any = None,
    labels: Any = None,
) -> Observations:
    """Validated observations of data to be fitted.

    Args:
        x: numpy array, torch tensor, pandas or polars frame, xarray array or nested list of shape
            (n, d); a one-dimensional array of n values is univariate data. Observations keep
            their weights, unless there are others.
        n_components: the number of components to be fitted, which n must not fall short of.
        sample_weight: n non-negative weights, or None; of data in partitions, as `observed_away`
            has them.
        feature_names: names of the features that a model is for, as in `as_points`.
        dtype: floating-point type of the work on points, or its name; that of Points, else float64,
            where None.
        device: torch device; where the data are, if None.
        constant_columns: whether a column may be constant: its scale is then the largest of the
            others', or one.
        missing: what to do where a value is NaN: "integrate" over all that it may be, which
            supposes that it does not depend on the value itself whether it is missing, or "refuse".
        noise: of the measurements: standard deviations (n, d) or covariances (n, d, d), or those
            of all points, without the n; None where x is exact. Observations keep theirs.
        projection: what was measured of the features, as `gmm_pyro.fit` has it. Observations keep
            theirs.
        labels: the components of points, as far as they are known, as `gmm_pyro.fit` has them.
            Observations keep theirs.

    Raises:
        ValueError: if the data are not numeric, not finite, not of this shape, constant in a
            column, in units that the type cannot work in (`spread.SPREADS`), or fewer than the
            components; or if the weights do not fit.

    Example:
        >>> observations = observe([[0.0, 1.0], [2.0, 1.5], [4.0, 5.0]])
        >>> observations.n, observations.d, observations.origin.tolist()
        (3, 2, [2.0, 2.5])
    """
    if is_away(x):
        _refuse_away(noise=noise, projection=projection, device=device)
        beside = {"sample_weight": sample_weight, "labels": labels}
        found = observed_away(x, feature_names, dtype, n_components, **beside)
        _refuse_too_few(found.n_weighted, n_components, weighted=found.sample_weight is not None)
        return found
    points = as_points(
        x,
        feature_names=feature_names,
        dtype=dtype,
        device=device,
        missing=missing,
        noise=noise,
        projection=projection,
    )
    points = points if labels is None else points.labelled(labels, n_components)
    own = x.sample_weight if isinstance(x, Observations) else None
    given = own if sample_weight is None else sample_weight
    weight = None if given is None else as_weights(given, points.n).to(points.x)
    used = _of_positive_weight(points.x, weight)
    _refuse_too_few(len(used), n_components, weighted=weight is not None)
    refuse_unseen(points)
    if isinstance(points, Observations) and given is own:
        return points
    constant = _constant(used, points.feature_names)
    if constant.any() and not constant_columns:
        if points.dtype is torch.float32:
            wide = as_points(x, feature_names=feature_names, device=device, missing="integrate")
            refuse_lost(wide.x, points.feature_names, constant)
        _refuse_constant_columns(used, points.feature_names, constant)
    origin, scale = location_and_scale(points.x, weight)
    scale = scale.masked_fill(constant, 0.0)
    scale = scale.masked_fill(constant, float(scale.max()) or 1.0)
    refuse_extreme(reach(points.x), origin, scale, points.feature_names)
    known: dict[str, Any] = {"measured": points.measured, "allowed": points.allowed}
    return Observations(points.x, points.feature_names, origin, scale, weight, **known)


def observed(x: Any, feature_names: Sequence[str] | None = None) -> Observations:
    """The observations themselves, or those of data: see `observe`."""
    return x if isinstance(x, Observations) else observe(x, feature_names=feature_names)


def as_points(
    x: Any,
    *,
    feature_names: Sequence[str] | None = None,
    n_features: int | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    what: str = "x",
    missing: str = "refuse",
    noise: Any = None,
    projection: Any = None,
) -> Points:
    """Points of shape (n, d) and their column names; no copy where none is needed.

    After a fit there is one rule, which `feature_names` asks for. A frame's columns are those of
    the fitted names, in whatever order they are; others are ignored, and a missing one is an error.
    Arrays go by position, and so do frames where the names of either side only count columns: a fit
    of an array has the names x0, x1, …, a frame made from one 0, 1, … or column_0, column_1, ….

    Args:
        x: any array-like; one-dimensional input is n values of one feature. Points have been
            checked, and are only put in order.
        feature_names: names of the features that x must have, as far as x has names, if they are
            known.
        n_features: the number of columns that x must have, if known.
        dtype: floating-point type of the result, or its name; that of Points, else float64, where
            None.
        device: torch device; where the data are, if None.
        what: what messages call x.
        missing: what to do where a value is NaN: "integrate" keeps it so, for who can do that, or
            "refuse".
        noise: of the measurements, as `observe` has it.
        projection: of the features, as `observe` has it; names are then of these, and not of x.

    Raises:
        ValueError: if x is not numeric, not finite or not of this shape, or lacks a feature; if
            `missing` is another word, or the noise does not fit.
    """
    check_choice("missing", missing, MISSING)
    kind, place = precision_of(dtype), device_of(device)
    if projection is not None:
        found = as_points(x, dtype=dtype, device=device, what=what, missing=missing, noise=noise)
        return projected(found, projection, feature_names, n_features)
    if isinstance(x, Points):
        if missing == "refuse" and x.measured is not None:
            _refuse_non_finite(x.x, x.x, x.feature_names, what, missing)
        found = _converted(x, feature_names, x.dtype if dtype is None else kind, place, what)
    else:
        wanted = n_features if feature_names is None else len(feature_names)
        found = _coerced(x, feature_names, wanted, kind, place, what, missing)
    return found if noise is None else _with_noise(found, noise, order_of(x, feature_names))


def _coerced(
    x: Any,
    feature_names: Sequence[str] | None,
    n_features: int | None,
    dtype: torch.dtype,
    device: torch.device | None,
    what: str,
    missing: str,
) -> Points:
    """Points of anything else, checked."""
    array, names = to_numeric(x, what, feature_names)
    points = array if isinstance(array, Tensor) else aliased(array)
    given = points.detach()[:, None] if points.ndim == 1 else points.detach()
    points = given.to(device=device, dtype=dtype)
    _check_shape(what, x, points, n_features)
    names = names or tuple(feature_names or default_names(points.shape[1]))
    holes = _refuse_non_finite(points, given, names, what, missing)
    origin = points.new_zeros(points.shape[1], dtype=torch.float64)
    return Points(points, names, origin, measured=Measured.of(points) if holes else None)


def _with_noise(points: Points, noise: Any, order: list[int] | None = None) -> Points:
    """The points alone, measured with noise, of which columns are in another order perhaps."""
    covariances = as_noise(noise, points.x, points.feature_names, order)
    measured, allowed = Measured.of(points.x, covariances), points.allowed
    return Points(points.x, points.feature_names, points.origin, measured=measured, allowed=allowed)


def _converted(
    points: Points,
    feature_names: Sequence[str] | None,
    dtype: torch.dtype,
    device: torch.device | None,
    what: str,
) -> Points:
    """Points with these features in their order, in a type and at a place; themselves if so."""
    found = points if feature_names is None else _in_order(points, feature_names, what)
    if found.dtype is dtype and device in (None, found.device):
        return found
    x = found.x.to(device=device, dtype=dtype)
    _refuse_non_finite(x, found.x, found.feature_names, what, "integrate")
    origin = found.origin.to(device=device)
    measured = None if found.measured is None else found.measured.taken(x)
    allowed = None if found.allowed is None else found.allowed.to(x.device)
    return Points(x, found.feature_names, origin, measured=measured, allowed=allowed)


def _in_order(points: Points, feature_names: Sequence[str], what: str) -> Points:
    """Points with the features of these names; those of an array go by position."""
    names = points.feature_names
    order = None if names == default_names(points.d) else places(feature_names, names, what)
    if order is None:
        _check_features(what, points.d, len(feature_names), (points.n, points.d))
        order = list(range(points.d))
    if order == list(range(points.d)) and names == tuple(feature_names):
        return points
    x, origin = points.x[:, order], points.origin[order]
    measured = None if points.measured is None else points.measured.taken(x, order)
    return Points(x, tuple(feature_names), origin, measured=measured, allowed=points.allowed)


def _check_shape(what: str, x: Any, points: Tensor, n_features: int | None) -> None:
    given = tuple(getattr(x, "shape", points.shape))
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"{what} must have shape (n, d), or (n,) for univariate data; got {given}")
    if len(points) == 0:
        raise ValueError(f"{what} must have at least one row; got shape {given}")
    _check_features(what, points.shape[1], n_features, given)


def _check_features(what: str, d: int, n_features: int | None, shape: tuple[int, ...]) -> None:
    if n_features is not None and d != n_features:
        raise ValueError(f"{what} must have {n_features} features, got {d}: shape {shape}")


def _refuse_non_finite(
    points: Tensor, given: Tensor, names: tuple[str, ...], what: str, missing: str
) -> bool:
    """Whether values are missing; refuse infinite ones, and missing ones where they are to be."""
    if torch.isfinite(points.sum()):  # one cheap pass; a sum hides no NaN and no infinity
        return False
    verb = "have" if what.endswith("s") else "has"
    count, first = _counted(points, torch.isinf)
    if first is not None:
        place = f"the first at row {first[0]}, column {names[first[1]]!r}"
        if bool(given[first].isfinite()):
            raise ValueError(
                f"{what} {verb} {counted(count, 'value')} beyond the range of float32, {place} "
                f"({float(given[first]):g}): choose other units, or dtype='float64'"
            )
        raise ValueError(f"{what} {verb} {counted(count, 'infinite value')}, {place}")
    count, first = _counted(points, torch.isnan)
    if first is not None and missing == "refuse":
        place = f"the first at row {first[0]}, column {names[first[1]]!r}"
        raise ValueError(f"{what} {verb} {counted(count, 'NaN value')}, {place}")
    return first is not None


def _counted(
    points: Tensor, is_bad: Callable[[Tensor], Tensor]
) -> tuple[int, tuple[int, int] | None]:
    """How many values are bad, and the row and column of the first one."""
    count, first = 0, None
    for rows in passes(points):
        bad = is_bad(points[rows])
        if first is None and bad.any():
            row, column = bad.nonzero()[0].tolist()
            first = rows.start + row, column
        count += int(bad.sum())
    return count, first


def _constant(used: Tensor, names: tuple[str, ...]) -> Bool[Tensor, "d"]:
    """Which columns have one value only; those without a value are refused."""
    lowest, highest = reach(used)
    unseen = highest < lowest
    if unseen.any():
        listed = ", ".join(repr(names[i]) for i in unseen.nonzero()[:, 0].tolist())
        raise ValueError(f"x must have values in every column; all are missing in {listed}")
    return lowest == highest


def _refuse_away(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} is not known of data in partitions: leave it away")


def _of_positive_weight(x: Tensor, weight: Tensor | None) -> Tensor:
    return x if weight is None or bool((weight > 0).all()) else x[weight > 0]


def _refuse_too_few(count: int, n_components: int, *, weighted: bool) -> None:
    if count < n_components:
        kind = "points of positive weight" if weighted else "points"
        raise ValueError(
            f"x has {count} {kind}, fewer than the {n_components} components to be fitted"
        )


def _refuse_constant_columns(
    points: Tensor, names: tuple[str, ...], constant: Bool[Tensor, "d"]
) -> None:
    _, values = reach(points)
    listed = ", ".join(
        f"{names[i]!r} (always {float(values[i]):g})" for i in constant.nonzero()[:, 0].tolist()
    )
    raise ValueError(f"x must vary in every column; constant over its {len(points)} rows: {listed}")
