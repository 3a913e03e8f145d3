"""Whether an argument is a mixture, and where its mixture is if it is something that has one."""

from __future__ import annotations

from typing import Any

from .value import GaussianMixture


def check_mixture(name: str, value: Any) -> GaussianMixture:
    """The mixture.

    Raises:
        TypeError: if the value is none, with where its own one is to be found.

    Example:
        >>> check_mixture("truth", [0.5, 0.5])
        Traceback (most recent call last):
        TypeError: truth must be a gmm_pyro.GaussianMixture, got list
    """
    if isinstance(value, GaussianMixture):
        return value
    raise TypeError(
        f"{name} must be a gmm_pyro.GaussianMixture, got {type(value).__name__}"
        f"{mixture_within(value)}"
    )


def mixture_within(value: Any) -> str:
    """Where the mixture of a fit, a posterior or an estimator is, as the end of a message."""
    for place in ("mixture", "fit_.mixture"):
        found = value
        for attribute in place.split("."):
            found = getattr(found, attribute, None)
        if isinstance(found, GaussianMixture):
            return f": pass its .{place}"
    return ": pass its mixture()" if callable(getattr(value, "mixture", None)) else ""
