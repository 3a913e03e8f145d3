"""Mixtures as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..comparison.printed import width_of

if TYPE_CHECKING:
    from ..mixture.value import GaussianMixture


def components_that_fit(
    mixture: GaussianMixture, sizes: Sequence[float], width: int
) -> list[dict[str, list[str]]]:
    """Tables of a mixture's components, by header: their share, the points in them, their means.

    One table with a row a component, where there is room for all features; else with a row a
    feature and a column a component, and as many tables as that takes.

    Args:
        mixture: the mixture.
        sizes: number of points that each component is the most probable one of, or their weight.
        width: how many characters a line has.
    """
    means = dict(zip(mixture.feature_names, mixture.means.T.tolist(), strict=True))
    cells = {
        "component": [str(i) for i in range(mixture.n_components)],
        "weight": [f"{weight:.3f}" for weight in mixture.weights.tolist()],
        "points": [f"{size:.10g}" for size in sizes],
        **{f"mean {name}": [f"{m:.4g}" for m in column] for name, column in means.items()},
    }
    return [cells] if width_of(cells) <= width else list(_turned(cells, width))


def _turned(cells: Mapping[str, list[str]], width: int) -> Iterator[dict[str, list[str]]]:
    """The table with its rows as columns, in parts of as many of them as there is room for."""
    (corner, headers), *rows = cells.items()
    names = [name for name, _ in rows]
    columns = dict(zip(headers, zip(*(row for _, row in rows), strict=True), strict=True))
    yield from in_blocks({corner: names}, columns, width)


def in_blocks(
    lead: Mapping[str, list[str]], columns: Mapping[str, Sequence[str]], width: int
) -> Iterator[dict[str, list[str]]]:
    """A table by header in parts that begin alike, of as many columns as there is room for.

    Args:
        lead: the columns that each part begins with.
        columns: the others.
        width: how many characters a line has.

    Example:
        >>> parts = in_blocks({"": ["a"]}, {"one": ["1"], "two": ["2"]}, width=7)
        >>> [list(part) for part in parts]
        [['', 'one'], ['', 'two']]
    """
    part = dict(lead)
    for header, column in columns.items():
        if width_of({**part, header: list(column)}) > width and len(part) > len(lead):
            yield part
            part = dict(lead)
        part[header] = list(column)
    yield part
