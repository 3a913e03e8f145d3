"""Which axes of a prior program's sites count components, found by exchanging some.

A program says nowhere what its axes mean. Where exchanging entries along some axes exchanges the
components of the mixture that it returns, these are the sites' values in another numbering. Of
several ways to do so, the one that changes the prior density least is what the program means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..covariance import CovarianceFamily
from ..covariance.records import in_order
from .layout import Site, laid_out
from .program_runs import Call, Structure, evaluated

MOST_WAYS = 4096  # to choose axes that are all tried
CLOSE = 1e-8  # relative difference of values that are the same

Axes = dict[str, int | None]


def along(value: Tensor, order: Int[Tensor, "s k"], axis: int | None) -> Tensor:
    """Values of s sets with component order[s, j] in place j along an axis of theirs."""
    if axis is None:
        return value
    if axis == 0:
        return in_order(value, order)
    return in_order(value.movedim(1 + axis, 1), order).movedim(1, 1 + axis)


@torch.no_grad()
def with_axes(
    call: Call, structure: Structure, family: CovarianceFamily, values: Mapping[str, Tensor]
) -> Structure:
    """The structure with the axes that count components; it does not renumber if there are none.

    Args:
        call: the program.
        structure: what else is known of it.
        family: the covariance family.
        values: of its sites at a few sets that have no symmetry.
    """
    k = call.shapes["weights"][0]
    layout = laid_out(structure.sites, call.like)
    none: Axes = {site.name: None for site in layout}
    if k == 1:
        return replace(structure, axes=none)
    exchange = _Exchange(call, structure, family, layout)
    options = [exchange.options(site, values[site.name]) for site in layout]
    ways = [dict(zip(none, way, strict=True)) for way in product(*options)]
    for axes in exchange.sorted(ways, values) if len(ways) <= MOST_WAYS else []:
        if exchange.exchanges_all(axes, values):
            return replace(structure, axes=axes)
    return replace(structure, axes=none, renumbers=False)


class _Exchange:
    """Exchanges of components of a program."""

    def __init__(
        self, call: Call, structure: Structure, family: CovarianceFamily, layout: tuple[Site, ...]
    ) -> None:
        self.call, self.structure, self.family, self.layout = call, structure, family, layout
        self.k = call.shapes["weights"][0]

    def options(self, site: Site, value: Tensor) -> list[int | None]:
        """No axis, or one of k entries along which values stay within the support if exchanged."""
        found: list[int | None] = [None]
        order = self._order(len(value), self.k - 1)
        for axis in [i for i, size in enumerate(value.shape[1:]) if size == self.k]:
            other = along(value, order, axis)
            inside = bool(site.support.check(other).all())
            if inside and _close(self._jacobian(site, other), self._jacobian(site, value)).all():
                found.append(axis)
        return found

    def sorted(self, ways: list[Axes], values: Mapping[str, Tensor]) -> list[Axes]:
        """Those that exchange the first two components of a set, the one first that changes least.

        Among equals, it is the one that moves fewest sites.
        """
        one = {name: value[:1] for name, value in values.items()}
        base, here = self._evaluated(one)
        order = self._order(1, 1)
        moved = [{n: along(v, order, axes[n]) for n, v in one.items()} for axes in ways]
        both = {name: torch.cat([way[name] for way in moved]) for name in one}
        returned, there = self._evaluated(both)
        right = self._matches(returned, base, order)
        change = ((there - here).abs() / (1 + here.abs())).nan_to_num(nan=torch.inf)
        changes = torch.where(change < CLOSE, 0.0, change).tolist()
        kept = [i for i, is_right in enumerate(right.tolist()) if is_right]
        kept.sort(key=lambda i: (changes[i], sum(a is not None for a in ways[i].values())))
        return [ways[i] for i in kept[:8]]

    def exchanges_all(self, axes: Axes, values: Mapping[str, Tensor]) -> bool:
        """Whether any two components are exchanged so, in all sets."""
        base, _ = self._evaluated(values)
        for j in range(1, self.k):
            order = self._order(len(next(iter(values.values()))), j)
            moved = {name: along(value, order, axes[name]) for name, value in values.items()}
            if not self._matches(self._evaluated(moved)[0], base, order).all():
                return False
        return True

    def _matches(
        self, returned: Mapping[str, Tensor], base: Mapping[str, Tensor], order: Tensor
    ) -> Bool[Tensor, "s"]:
        """Which sets are those at the base with their components in an order."""
        right: Tensor | bool = True
        for name, value in returned.items():
            expected = along(base[name], order, self.family.component_axis(name))
            right = right & _close(value, expected).reshape(len(value), -1).all(1)
        assert isinstance(right, Tensor)
        return right

    def _evaluated(
        self, values: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], Float[Tensor, "s"]]:
        at_once = self.structure.at_once
        returned, log_probs = evaluated(self.call, values, at_once=at_once)
        total: Tensor = sum(log_probs.values())  # type: ignore[assignment]
        return returned, total

    def _jacobian(self, site: Site, value: Tensor) -> Float[Tensor, "s"]:
        """Of the site's own bijection."""
        vector = site.unconstrain(value)
        return replace(site, entries=slice(None)).log_jacobian(vector, value)

    def _order(self, sets: int, other: int) -> Int[Tensor, "s k"]:
        """That which exchanges the first component with another one."""
        order = torch.arange(self.k)
        order[0], order[other] = other, 0
        return order.expand(sets, -1).to(self.call.like.device)


def _close(one: Tensor, other: Tensor) -> Bool[Tensor, "*b"]:
    """Which numbers are the same but for rounding."""
    return one.isclose(other, rtol=CLOSE, atol=CLOSE, equal_nan=True)
