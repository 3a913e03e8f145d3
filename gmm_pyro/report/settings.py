"""How a comparison was made: options, priors, the call that makes it again, and versions."""

from __future__ import annotations

import inspect
import reprlib
from dataclasses import dataclass, fields
from itertools import starmap
from typing import Any

from torch import Tensor

from ..comparison.record import Record
from ..datasets.identity import fingerprint
from ..inference.fit import Fit
from ..inference.methods import METHODS
from ..model.program import MixtureModel


@dataclass(frozen=True)
class Fact:
    """Something about the data or the model, with its name.

    Attributes:
        name: what it is.
        value: as text.
        long: whether it may need a line of its own.
    """

    name: str
    value: str
    long: bool = False


@dataclass(frozen=True)
class Setting:
    """An option of a method.

    Attributes:
        name: of the option.
        value: as text.
        changed: whether it is another than the default.
    """

    name: str
    value: str
    changed: bool


def settings_of(fit: Fit) -> list[Setting]:
    """All options of a fit but the progress bar, which changes nothing."""
    given = vars(fit.options)
    return [
        Setting(f.name, short(given[f.name]), _differs(given[f.name], f.default))
        for f in fields(fit.options)
        if f.name != "progress"
    ]


def _differs(value: Any, default: Any) -> bool:
    plain = isinstance(value, str | int | float | None)
    return bool(value != default) if plain else value is not default


def priors_of(comparison: Record) -> list[Fact]:
    """The priors of the first method that has some: their kind, then one site after the other."""
    for fit in comparison.fits.values():
        if METHODS[fit.method].priors is not None:
            priors: Any = fit.model.priors
            names = [field.name for field in fields(priors) if not field.name.startswith("_")]
            values = {name: getattr(priors, name) for name in names}
            sites = {n: "default" if v is None else short(v) for n, v in values.items()}
            return list(starmap(Fact, [("kind", type(priors).__name__), *sites.items()]))
    return []


def short(value: Any) -> str:
    """A value as text that fits into a line or two.

    Example:
        >>> short("k-means++"), short(1e-6)
        ("'k-means++'", '1e-06')
    """
    if inspect.isfunction(value):
        return value.__qualname__
    if isinstance(value, Tensor):
        numbers = value.detach().flatten().tolist()
        text = ", ".join(f"{number:.4g}" for number in numbers[:12])
        more = ", …" if len(numbers) > 12 else ""
        return f"[{text}{more}]" if value.ndim else text
    text = repr(value) if isinstance(value, str | int | float) else reprlib.repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def components_of(model: MixtureModel) -> str:
    """The number of components, or what is thought of it."""
    if model.unknown is None:
        return str(model.n_components)
    prior = model.unknown.prior
    words = prior if isinstance(prior, str) else short(prior)
    return f"unknown, at most {model.n_components}: {words}"


# ---------------------------------------------------------------------- how to make it again


def python_call(comparison: Record) -> str | None:
    """The call of `compare`, or None where it is not known."""
    request = comparison.request
    if request is None:
        return None
    data, model = comparison.dataset, request.model
    k = model.n_components if model.unknown is None else f"gp.{model.unknown!r}"
    words = [f'{k}, covariance="{model.family.name}"']
    about = f"{' '.join(data.name.split())}: {_points(comparison)}"
    lines = ["import gmm_pyro as gp", "", f"data = ...  # {about}"]
    if model.priors is not None:
        lines += [f"priors = ...  # {type(model.priors).__name__}, as under the settings"]
        words += ["priors=priors"]
    lines += [f"model = gp.MixtureModel({', '.join(words)})"]
    given = [f"seed={request.seed}"]
    if data.sample_weight is not None:
        given += ["sample_weight=..."]
    given += [f"{name}=..." for name in request.told]
    if request.test_size is not None:
        given += [f"test_size={request.test_size!r}"]
    if request.options:
        given += [f"options={ {k: dict(v) for k, v in request.options.items()}!r}"]
    methods = list(request.methods)
    lines += [f"comparison = gp.compare(model, data, {methods!r}, {', '.join(given)})"]
    return "\n".join([*lines, 'comparison.report("report.html")'])


def _points(comparison: Record) -> str:
    """What the data were that `compare` was given, of which held-out points may be a part."""
    data, held_out = comparison.dataset, comparison.held_out
    known = f"fingerprint {fingerprint(data)}"
    if held_out is None or data.truth is not None:  # others are drawn from a truth
        return f"{data.n} x {data.d}, {known}"
    return f"{data.n + held_out.n} x {data.d}, fitted and held out; the fitted have {known}"
