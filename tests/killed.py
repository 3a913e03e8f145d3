"""Fits that are killed as they are kept in a folder, and whether two results are the same.

Other processes import it, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.keeping import folder
from gmm_pyro.keeping.fingerprint import fingerprint

X = gp.datasets.make_mixture(n=60, k=2, d=2, separation=2.5, seed=1).x
TWO = gp.MixtureModel(2)
HALVES = (X[:, 0] > X[:, 0].median()).long()
CHAINS = {"n_chains": 2, "max_doublings": 0, "n_starts": 2}
NOISY = gp.MixtureModel(2, noise_component="uniform")
UNKNOWN = gp.MixtureModel(gp.Unknown("uniform", most=3))
ELSEWHERE = ("seconds", "observations", "model", "options")  # of a fit: what it was asked


class Killed(BaseException):
    """The end of a process, as the disk sees it: nothing is written from then on."""


@contextmanager
def killed_after(writings: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Have so many files written in this block, and no more; the list has how many are left."""
    left, save = [writings], folder.Folder._save

    def saved(self: folder.Folder, *arguments: Any) -> None:
        if left[0] <= 0:
            raise Killed
        save(self, *arguments)
        left[0] -= 1

    with monkeypatch.context() as patch:
        patch.setattr(folder.Folder, "_save", saved)
        yield left


def bits(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All numbers and words that a value consists of, by their places in it."""
    if isinstance(value, torch.Tensor):
        yield place, (str(value.dtype), value.shape, value.contiguous().numpy().tobytes())
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from bits(entry, f"{place}.{name}")
    elif isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from bits(entry, f"{place}[{number}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        for name in (name for name in names if name not in ELSEWHERE):
            yield from bits(getattr(value, name), f"{place}.{name}")
    else:
        yield place, repr(value)


def differing(one: gp.Fit, other: gp.Fit) -> list[str]:
    """Where two fits are not the same to the last bit, but for their seconds."""
    a, b = (dict(bits(fit)) for fit in (one, other))
    assert len(a) > 15
    return [place for place in sorted(a.keys() | b.keys()) if a.get(place) != b.get(place)]


def gibbs(**more: Any) -> gp.Fit:
    """A sampler without a population, whose sweeps are what takes its time."""
    return gp.fit(
        TWO, X, "gibbs", **{"n_draws": 30, "n_warmup": 0, "start": HALVES, **CHAINS, **more}
    )


# ---------------------------------------------------------------------- models

PRIORS: dict[str, Callable[[], Any]] = {
    "distributions": lambda: gp.MixtureModel(
        2, priors=gp.Priors(means=dist.Normal(0.0, 2.0), weights=dist.Dirichlet(torch.ones(2)))
    ),
    "of several features": lambda: gp.MixtureModel(
        2, priors=gp.Priors(means=dist.MultivariateNormal(torch.zeros(2), 4 * torch.eye(2)))
    ),
    "conjugate": lambda: gp.MixtureModel(2, priors=gp.ConjugatePriors(dof=5.0)),
    "a program": lambda: gp.MixtureModel(2, priors=program),
    "an unknown number": lambda: UNKNOWN,
    "noise": lambda: NOISY,
    "a start": lambda: gp.GaussianMixture([0.5, 0.5], X[:2], torch.eye(2).expand(2, 2, 2)),
}


def program() -> dict[str, torch.Tensor]:
    """A prior whose spread of means is unknown."""
    spread = pyro.sample("spread", dist.HalfNormal(5.0))
    with pyro.plate("components", 2):
        return {"means": pyro.sample("means", dist.Normal(0.0, spread).expand([2]).to_event(1))}


def fingerprints() -> dict[str, str]:
    """Of the models, in this process."""
    return {name: fingerprint(made()) for name, made in PRIORS.items()}
