"""Where data lie and how far they spread, in passes over them, and what numbers can hold of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..running.threads import Sums, total

TAILS = (0.25, 0.1, 0.05, 0.02)  # shares of the data on either side of it
SPREADS = {torch.float32: 1e15, torch.float64: 1e70}  # of a column at most; 1 / it at least
REACH = 1e3  # times the largest standard deviation, which a point of little weight may be away
ROWS = 65_536  # numbers read at a time where a whole pass over the data needs a temporary
COLUMNS = 64  # from which the ends of columns are found at the speed of memory


def chunks(n: int, rows: int) -> Iterator[slice]:
    """Consecutive slices of at most `rows` rows that cover n rows."""
    return (slice(first, min(first + rows, n)) for first in range(0, n, rows))


def passes(points: Float[Tensor, "n d"]) -> Iterator[slice]:
    """Slices of rows for a pass over the data with temporaries of about half a megabyte."""
    return chunks(len(points), max(1, ROWS // points.shape[1]))


def reach(points: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
    """The lowest and highest value of each column, infinite the other way where it has none."""
    lowest, highest = _end(points, torch.amin), _end(points, torch.amax)
    if not lowest.isnan().any():
        return lowest, highest
    return points.nan_to_num(torch.inf).amin(0), points.nan_to_num(-torch.inf).amax(0)


def _end(points: Float[Tensor, "n d"], of: Callable[..., Tensor]) -> Float[Tensor, "d"]:
    """The lowest or highest value of each column; of few columns, of many rows side by side."""
    n, d = points.shape
    beside = COLUMNS // d
    if beside < 2 or d == 1 or n < COLUMNS or not points.is_contiguous():
        return of(points, 0)
    last = n - n % beside
    of_rows = of(points[:last].view(-1, beside * d), 0).view(beside, d)
    return of(torch.cat([of_rows, points[last:]]), 0)


def joined_ends(one: Float[Tensor, "2 *d"], other: Float[Tensor, "2 *d"]) -> Float[Tensor, "2 *d"]:
    """The lowest and highest values of two parts."""
    return torch.stack([one[0].minimum(other[0]), one[1].maximum(other[1])])


def location_and_scale(points: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weighted means and standard deviations of the columns, in float64, in two passes."""
    mean, deviation = mean_and_deviation(points, weight)
    return origin_at(mean, points.dtype), deviation


def origin_at(mean: Float[Tensor, "d"], dtype: torch.dtype) -> Float[Tensor, "d"]:
    """A mean as a type of number holds it: x - origin is then the same in that type and float64."""
    return mean.to(dtype).double()


def mean_and_deviation(points: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same, with the means as float64 has them.

    They are those of the values that are not missing. The second pass is about the mean that the
    first has rounded, and finds by how much that is off.

    Source: Chan, Golub & LeVeque (1983), the corrected two-pass algorithm.
    """
    weight = points.new_ones(1).expand(len(points)) if weight is None else weight
    unit, blocks = _unit(points), list(passes(points))
    # a sum is NaN where a value is
    holes = bool(points.sum().isnan()) and bool(points.amin(0).isnan().any())

    def counted(rows: slice) -> Sums:
        return (weight[rows].double() @ (~points[rows].isnan()).double(),)

    count = total(lambda: counted, blocks)[0] if holes else weight.double().sum()

    def moments(shift: Tensor | float) -> Callable[[], Callable[[slice], Sums]]:
        """First and second ones of blocks about a point, worked out in room of a thread's own."""

        def worker() -> Callable[[slice], Sums]:
            room = points.new_empty(len(points[blocks[0]]), points.shape[1], dtype=torch.float64)

            def sums(rows: slice) -> Sums:
                some, w = points[rows], weight[rows].double()
                z = room[: len(some)].copy_(some).div_(unit).sub_(shift)
                z = z.nan_to_num_(0.0) if holes else z
                return w @ z / count, w @ z.square_() / count

            return sums

        return worker

    mean, _ = total(moments(0.0), blocks)
    off, square = total(moments(mean), blocks)
    return unit * (mean + off), unit * (square - off.square()).clamp_min(0.0).sqrt()


def _unit(points: Tensor) -> Float[Tensor, "d"]:
    """One for each column, or how far it reaches where that has no square."""
    lowest, highest = reach(points)
    half = highest.double() / 2 - lowest.double() / 2
    moderate = (half > 1e-150) & (half < 1e150) | (half == 0)
    return torch.where(moderate, 1.0, half)


def middle_range(x: Float[Tensor, "n d"], weight: Float[Tensor, "n"] | None) -> Float[Tensor, "d"]:
    """Range of most of each column without its tails, of the first tails that leave one."""
    weight = x.new_ones(len(x)) if weight is None else weight
    values, order = x.double().sort(0)  # missing values come last, as NaN
    below = (weight.double()[order] * ~values.isnan()).cumsum(0)
    result = torch.full_like(values[0], torch.inf)
    for tail in TAILS:
        share = tail * below[-1]
        last = len(values) - 1  # where a column has no value, every row is below
        low = values.gather(0, (below < share).sum(0, keepdim=True).clamp_max(last))
        above = (below <= below[-1] - share).sum(0, keepdim=True).clamp_max(last)
        high = values.gather(0, above)
        width = (high - low)[0]
        result = torch.where(result.isinf() & (width > 0), width, result)
    return result


def refuse_lost(wide: Tensor, names: tuple[str, ...], constant: Bool[Tensor, "d"]) -> None:
    """Refuse columns that vary, but not in float32."""
    origin, scale = location_and_scale(wide, None)
    lowest, highest = reach(wide)
    for i in constant.nonzero()[:, 0].tolist():
        if bool(lowest[i] < highest[i]):
            raise ValueError(
                f"x must vary in every column; in float32 {names[i]!r} does not: its mean is "
                f"{float(origin[i]):g} and its standard deviation {float(scale[i]):g}. Choose "
                "another zero or other units, or dtype='float64'"
            )


def refuse_extreme(
    ends: tuple[Float[Tensor, "d"], Float[Tensor, "d"]],
    origin: Float[Tensor, "d"],
    scale: Float[Tensor, "d"],
    names: tuple[str, ...],
) -> None:
    """Refuse columns whose numbers leave the range of their type when they are multiplied.

    Those of float32 are squared; in float64, second derivatives take fourth powers. The ends are
    the lowest and highest values, in the type of the points.
    """
    lowest, highest = ends
    dtype = lowest.dtype
    most = SPREADS[dtype]
    farthest = torch.maximum(highest - origin, origin - lowest)
    for name, spread, far in zip(names, scale.tolist(), farthest.tolist(), strict=True):
        if 1 / most < spread < most and far < REACH * most:
            continue
        kind = str(dtype).removeprefix("torch.")
        found = (
            f"is {spread:g}"
            if far < REACH * most or not spread < most
            else (f"is {spread:g}, and a point of little weight is {far:g} away")
        )
        raise ValueError(
            f"x must have columns of moderate size; the standard deviation of {name!r} {found}, "
            f"and {kind} can work from {1 / most:g} to {most:g}: choose other units"
            + (", or dtype='float64'" if dtype is torch.float32 else "")
        )
