"""Runs of a prior program: with values that are given, or with draws that are noted.

Nothing of a run is seen from outside: its sites stop here, whatever handlers there are around it.
Pyro has one stack of handlers and one set of settings for all threads, so one program runs at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any

import pyro
import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import biject_to

from ..running.validation import VALIDATION

ONE_AT_A_TIME = RLock()

Run = Callable[[], dict[str, Tensor]]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Have numbers and tensors of no type of their own in this one."""
    with ONE_AT_A_TIME:
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


@contextmanager
def unchecked() -> Iterator[None]:
    """Without Pyro's validation, which asks for values where only their shapes are known."""
    with ONE_AT_A_TIME, pyro.settings.context(**dict.fromkeys(VALIDATION, False)):
        yield


class _Alone(Messenger):
    """What no handler outside hears of."""

    def _pyro_sample(self, message: Any) -> None:
        message["stop"] = True

    def _pyro_param(self, message: Any) -> None:
        raise ValueError(
            f"a prior program has no parameters that are learnt, got pyro.param({message['name']!r}"
            "): sample it, or run MixtureModel in a program of your own, where SVI learns it"
        )


class _Replay(_Alone):
    """Sites with the values that are given, and the log probability of each."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.values = values
        self.log_probs: dict[str, Tensor] = {}

    def _pyro_sample(self, message: Any) -> None:
        super()._pyro_sample(message)
        if message["name"] in self.values:
            message["value"], message["is_observed"] = self.values[message["name"]], True

    def _pyro_post_sample(self, message: Any) -> None:
        if site_is_subsample(message) or is_deterministic(message):
            return
        log_prob = message["fn"].log_prob(message["value"])
        log_prob = scale_and_mask(log_prob, message["scale"], message["mask"])
        self.log_probs[message["name"]] = log_prob.sum()


def replayed(run: Run, values: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a program returns with these values of its sites, and the log probability of each."""
    with _Replay(values) as replay:
        returned = run()
    return returned, replay.log_probs


def is_deterministic(message: Any) -> bool:
    """Whether a site is a function of others."""
    return bool(message["infer"].get("_deterministic", False))


# ---------------------------------------------------------------------- what sites there are


@dataclass(frozen=True, eq=False)
class Noted:
    """A site as a run has met it."""

    value: Tensor
    support: Any
    given: bool
    nesting: int


class _Note(_Alone):
    """Sites with values that are drawn, and what is known of each."""

    def __init__(self, like: Tensor) -> None:
        super().__init__()
        self.like, self.sites = like, dict[str, Noted]()

    def _pyro_sample(self, message: Any) -> None:
        super()._pyro_sample(message)
        name, fn = message["name"], message["fn"]
        if site_is_subsample(message):
            _refuse_subsample(name, fn)
        elif message["value"] is None:
            _refuse_discrete(name, fn)
            message["value"] = _drawn(fn).to(self.like)

    def _pyro_post_sample(self, message: Any) -> None:
        if site_is_subsample(message) or is_deterministic(message):
            return
        name, frames = message["name"], message["cond_indep_stack"]
        if name in self.sites:
            raise ValueError(f"a prior program samples each site once, got {name!r} again")
        nesting = max((-frame.dim for frame in frames if frame.vectorized), default=0)
        given = bool(message["is_observed"])
        support = None if given else message["fn"].support
        self.sites[name] = Noted(message["value"], support, given, nesting)


def noted(run: Run, seed: int, like: Tensor) -> tuple[dict[str, Tensor], dict[str, Noted]]:
    """What a program returns at a draw of its sites, and what sites there are.

    Draws are from torch's default generator, which is put back as it was.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad(), pyro.get_param_store().scope():
        torch.default_generator.manual_seed(seed)
        with _Note(like) as note:
            returned = run()
    return returned, note.sites


def _drawn(fn: Any) -> Tensor:
    """A draw; of what cannot be drawn from, the middle of its support."""
    try:
        value: Tensor = fn()
    except NotImplementedError:
        transform = biject_to(fn.support)
        ones = torch.ones(fn.shape())
        value = transform(torch.zeros_like(transform.inv(ones)))
    return value


def _refuse_subsample(name: str, fn: Any) -> None:
    if fn.subsample_size not in (None, fn.size):
        raise ValueError(f"a prior program takes all of a plate, got a part of {name!r}")


def _refuse_discrete(name: str, fn: Any) -> None:
    if isinstance(fn, pyro.distributions.Delta):
        words = f"{name!r} is a Delta: use pyro.deterministic for a function of sites"
        raise ValueError(words)  # noqa: TRY004 - it is the program that is wrong
    if getattr(fn, "has_enumerate_support", False) or fn.support.is_discrete:
        raise ValueError(
            f"the sites of a prior program must be continuous, got {name!r}, a "
            f"{type(fn).__name__}: sum it out, or run MixtureModel in a program of your own"
        )


class Prefixed(Messenger):
    """Sites and plates under their names after a prefix."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def _pyro_sample(self, message: Any) -> None:
        message["name"] = f"{self.prefix}{message['name']}"


def drawn(run: Run, count: int, seed: int) -> dict[str, Tensor]:
    """So many draws of a program's sites, which nothing but their priors tells of.

    Raises:
        NotImplementedError: if one cannot be drawn from.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad(), unchecked():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed is for all devices
        each = [_drawn_once(run) for _ in range(count)]
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


def _drawn_once(run: Run) -> dict[str, Tensor]:
    with _Draw() as draw:
        run()
    return draw.values


class _Draw(_Alone):
    """Sites with values that are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Tensor] = {}

    def _pyro_post_sample(self, message: Any) -> None:
        if not site_is_subsample(message):
            self.values[message["name"]] = message["value"]
