"""Runs of a prior program for many sets of values of its sites.

A program is not told how many sets of values there are: `torch.func.vmap` runs it once for all of
them, so that it means for many what it means for one. Where an operation of its own cannot do so,
it runs once for each.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.checks import shown
from .sites import Sites

Evaluated = tuple[dict[str, Tensor], dict[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Call:
    """A prior program as a function without arguments.

    Attributes:
        program: the program.
        arguments: what it is called with.
        shapes: of the mixture's sites.
        defaults: priors of those that it does not return.
        unit: spread of the data, shape (d,).
        like: a tensor whose dtype and device the values take.
    """

    program: Callable[..., Any]
    arguments: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    defaults: Sites
    unit: Float[Tensor, "d"]
    like: Tensor

    def __call__(self) -> dict[str, Tensor]:
        """Run it: values of the mixture's sites, as they are in a single set.

        Raises:
            ValueError: if it does not return a dictionary of some of them in their shapes.
        """
        import pyro

        from .replaying import default_dtype

        with default_dtype(self.like.dtype):
            returned = self.program(**self.arguments)
        unknown = set(returned) - set(self.shapes) if isinstance(returned, Mapping) else {"?"}
        if unknown:
            raise ValueError(
                "a prior program must return a dictionary of values of the sites "
                f"{', '.join(self.shapes)}, or of some of these; got {shown(returned)}"
            )
        return {
            name: self._whole(name, returned[name])
            if name in returned
            else pyro.sample(name, self.defaults.given(name, {}))
            for name in self.shapes
        }

    def _whole(self, name: str, value: Any) -> Tensor:
        """A value that is returned, in the site's shape; one that is already stays as it is."""
        shape = self.shapes[name]
        value = value if isinstance(value, Tensor) else torch.as_tensor(value)
        value = value.to(self.like)
        try:
            return value if value.shape == shape else value.expand(shape)
        except RuntimeError as error:
            raise ValueError(
                f"a prior program must return {name} of shape {shape}, got {tuple(value.shape)}; "
                "Pyro's particles must not be vectorised over it"
            ) from error


@dataclass(frozen=True, eq=False)
class ProgramSite:
    """The shape and the support of a site of a program, as of a distribution."""

    event_shape: torch.Size
    support: Any


@dataclass(frozen=True, eq=False)
class Structure:
    """What is found of a program by running it.

    Attributes:
        sites: by name, in the order in which they are sampled.
        sources: of the mixture's sites that are returned as they were sampled: where.
        is_given: whether it observes something, or has factors, so that it draws other values than
            it holds likely.
        nesting: how deep its plates are nested.
        middle: of the unconstrained vector, by draws, shape (m,).
        spread: of its entries, by draws, shape (m,).
        at_once: whether one run can be for many sets.
        axes: of each site, which one counts components; None for what they share.
        renumbers: whether exchanging components along these axes exchanges those of the mixture.
    """

    sites: Mapping[str, ProgramSite]
    sources: Mapping[str, str]
    is_given: bool
    nesting: int
    middle: Float[Tensor, "m"]
    spread: Float[Tensor, "m"]
    at_once: bool = True
    axes: Mapping[str, int | None] | None = None
    renumbers: bool = True


def evaluated(call: Call, values: Mapping[str, Tensor], *, at_once: bool) -> Evaluated:
    """What a program returns for s sets of values of its sites, and the log probabilities.

    Both are by name, the latter in nats, with the terms of what the program observes.
    """
    from .replaying import replayed, unchecked

    count = len(next(iter(values.values())))
    if count == 0:
        one = {name: value.new_ones(1, *value.shape[1:]) for name, value in values.items()}
        some, log_probs = evaluated(call, one, at_once=at_once)
        return {n: v[:0] for n, v in some.items()}, {n: v[:0] for n, v in log_probs.items()}
    with unchecked():
        if at_once:
            return torch.func.vmap(lambda one: replayed(call, one))(dict(values))
        each = [replayed(call, {n: v[i] for n, v in values.items()}) for i in range(count)]
    return _stacked([one for one, _ in each]), _stacked([log_probs for _, log_probs in each])


def _stacked(each: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


def runs_at_once(call: Call, values: Mapping[str, Tensor]) -> bool:
    """Whether one run for many sets says the same as one for each."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("error")  # of operations that are run one by one all the same
            together = evaluated(call, values, at_once=True)
    except (RuntimeError, ValueError, NotImplementedError, Warning):
        return False
    apart = evaluated(call, values, at_once=False)
    return all(
        torch.allclose(one[name], other[name], rtol=1e-9, atol=1e-9, equal_nan=True)
        for one, other in zip(together, apart, strict=True)
        for name in one
    )
