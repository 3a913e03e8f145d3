"""Whether a model of a known number of components has the prior of one that does not know it.

Only then are evidences of known numbers and the posterior of an unknown one about the same thing.
"""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from .concentration import Static
from .declaration import Declaration
from .hierarchy import Hierarchy

SAME = 1e-9  # relative difference of numbers that rounding may make


def difference(unknown: Declaration, known: Declaration) -> str | None:
    """What differs between two models whose priors are concrete, in a word; None if nothing does.

    Args:
        unknown: a model with an unknown number of components.
        known: a model with a known one.
    """
    if unknown.family is not known.family:
        return "covariance"
    ours, theirs = unknown.hierarchy(), _hierarchy_of(known)
    if ours is None or theirs is None:
        return "priors"
    k = torch.tensor(known.n_components)
    parts = {
        "noise_component": (unknown.noise, known.noise),
        "scale": (ours.scale, theirs.scale),
        "concentration": (_of_each(ours, k), _of_each(theirs, k)),
        **_parts_of(ours.components, theirs.components),
    }
    return next((name for name, pair in parts.items() if not _alike(*pair)), None)


def _hierarchy_of(known: Declaration) -> Hierarchy | None:
    """The prior of a known number as one of which more might be unknown; None if it cannot be."""
    found, conjugate = known.hierarchy(), known.conjugate()
    if conjugate is None:
        return found
    if not conjugate.mixing.is_symmetric:
        return None
    concentration = Static(float(conjugate.mixing.concentration[0]))
    return Hierarchy(conjugate.components, concentration, torch.zeros(1, dtype=torch.float64))


def _of_each(hierarchy: Hierarchy, k: Tensor) -> Any:
    """The concentration of k components, or what it is drawn from."""
    found = hierarchy.concentration
    if found.is_random or hierarchy.sticks:
        return found
    return found.of_each(torch.tensor(found.value, dtype=torch.float64), k)


def _parts_of(one: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    """The numbers of components by name, or what kind they are of if that differs."""
    if type(one) is not type(other):
        return {"mean_scale": (type(one), type(other))}
    return {name: (value, vars(other)[name]) for name, value in vars(one).items()}


def _alike(one: Any, other: Any) -> bool:
    """Whether two values, or records of some, are the same but for rounding."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.allclose(one, other, rtol=SAME, atol=0.0)
    if type(one) is not type(other) or one is other:
        return one is other
    if isinstance(one, Distribution):
        names = one.arg_constraints
        return all(_alike(getattr(one, name), getattr(other, name)) for name in names)
    if is_dataclass(one):
        return all(_alike(value, vars(other)[name]) for name, value in vars(one).items())
    return bool(one == other)
