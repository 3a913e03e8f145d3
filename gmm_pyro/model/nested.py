"""Tensors inside distributions, however deep: cast, held as they are, asked for gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.transforms import Transform

UNCHECKED = {"_validate_args": False}  # of a distribution that is evaluated over and over
PARTED = (Distribution, Transform, torch.nn.Module)  # that hold tensors, or others of their kind
FORGOTTEN = {"_inv": None, "_cached_x_y": (None, None)}  # what a transform remembers of its past


def cast(value: Any, like: Tensor) -> Any:
    """A copy of a distribution whose tensors have the dtype and device of another tensor.

    It keeps their gradients: what is learned of a copy is learned of the distribution.
    """

    def change(tensor: Tensor) -> Tensor:
        return tensor.to(like) if tensor.is_floating_point() else tensor.to(like.device)

    return _changed(value, change, UNCHECKED)


def held(value: Any) -> Any:
    """A copy of a distribution or of numbers that learns nothing, whatever becomes of the first."""
    return _changed(value, lambda tensor: tensor.detach().clone(), {})


def learned(value: Any) -> bool:
    """Whether a tensor in a distribution or among numbers requires a gradient."""
    if isinstance(value, Tensor):
        return value.requires_grad
    if isinstance(value, list | tuple):
        return any(map(learned, value))
    if isinstance(value, dict):
        return any(map(learned, value.values()))
    if isinstance(value, PARTED):
        return any(learned(item) for name, item in vars(value).items() if name not in FORGOTTEN)
    return False


def _changed(value: Any, change: Callable[[Tensor], Tensor], marks: Mapping[str, Any]) -> Any:
    """A copy of a distribution with every tensor changed, and marks on all distributions in it."""

    def again(item: Any) -> Any:
        return _changed(item, change, marks)

    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(map(again, value))
    if isinstance(value, dict):
        entries = copy.copy(value)
        entries.update({name: again(item) for name, item in value.items()})
        return entries
    if isinstance(value, PARTED):
        clone = copy.copy(value)
        parts = {name: again(v) for name, v in vars(value).items() if name not in FORGOTTEN}
        clone.__dict__.update(parts)
        if isinstance(clone, Transform | Distribution):
            clone.__dict__.update(FORGOTTEN if isinstance(clone, Transform) else marks)
        return clone
    return value


def distributions(value: Any) -> Iterator[Distribution]:
    """A distribution and those that it is made of."""
    if isinstance(value, Distribution):
        yield value
    if isinstance(value, PARTED):
        for name, part in vars(value).items():
            if name not in FORGOTTEN:
                yield from distributions(part)
