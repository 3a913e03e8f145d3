"""What tests have in common: numbers, data, and posteriors of which everything is known."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.covariance.records import present
from gmm_pyro.data.observations import observe
from gmm_pyro.datasets import make_mixture
from gmm_pyro.mixture.value import GaussianMixture
from gmm_pyro.posterior import Posterior

EPSILON = sys.float_info.epsilon
ROUNDING = 1e4 * EPSILON  # of a few dense products of well-conditioned matrices
# Probability that a test of random numbers, which draws what it should, fails with another seed.
FAILURE_RATE = 1e-4
STANDARD_ERRORS = 4.0  # a true claim about a mean fails for 1 seed in 16,000, and seeds are fixed
SITES = ["sites", "precision_sites"]
PRIORED = [name for name, family in FAMILIES.items() if family.has_sites]
every_family = pytest.mark.parametrize("family", PRIORED)  # that takes every method
every_class = pytest.mark.parametrize("family", [FAMILIES[name] for name in PRIORED], ids=PRIORED)
every_dimension = pytest.mark.parametrize("d", [1, 2, 3])


# ---------------------------------------------------------------------- numbers


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Independent standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normal_array(*shape: int, seed: int = 0) -> np.ndarray:
    """The same by NumPy."""
    return np.random.default_rng(seed).normal(size=shape)


def tensors_of(record: Any) -> tuple[Tensor, ...]:
    """Those of a record's fields that are not None."""
    return present(vars(record).values())


def numbers(values: Any) -> Tensor:
    """A tensor in float64."""
    return torch.tensor(values, dtype=torch.float64)


def close(actual: Any, expected: Any, rounding: float = ROUNDING) -> None:
    """Equal to rounding, relative to the largest entry."""
    actual, expected = (
        np.asarray(value.detach() if isinstance(value, Tensor) else value)
        for value in (actual, expected)
    )
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rounding * np.abs(expected).max())


# ---------------------------------------------------------------------- data


@cache
def clusters(
    d: int = 2, n: int = 60, k: int = 2, separation: float = 6, seed: int = 1
) -> gp.Dataset:
    """Clusters of one shape, by default two that are well apart."""
    return make_mixture(n=n, d=d, k=k, separation=separation, seed=seed)


def table(x: Any, names: Sequence[str]) -> pd.DataFrame:
    """Points with names of their features, of which the first are taken."""
    x = np.asarray(x)
    return pd.DataFrame(x, columns=list(names[: x.shape[1]]))


# ---------------------------------------------------------------------- posteriors


def around(
    mixture: GaussianMixture,
    x: Tensor,
    *,
    sites: str = "sites",
    noise: float = 0.05,
    n_draws: int = 20,
    sample_weight: Tensor | None = None,
) -> Posterior:
    """Two chains of draws near a mixture, in its own order of components."""
    generator = torch.Generator().manual_seed(1)
    factor = mixture.parameters.factor[0]
    values = {"weights": mixture.weights, "means": mixture.means}
    values |= getattr(mixture.family, sites)(factor)
    draws = {
        name: value.double().expand(2, n_draws, *value.shape).clone()
        for name, value in values.items()
    }
    draws["means"] += noise * torch.randn(
        draws["means"].shape, generator=generator, dtype=torch.float64
    )
    scatter = noise * torch.rand(draws["weights"].shape, generator=generator).double()
    draws["weights"] = draws["weights"] + scatter
    draws["weights"] /= draws["weights"].sum(-1, keepdim=True)
    return Posterior(draws, mixture.family, observe(x, sample_weight=sample_weight))


def apart(family: str = "full", k: int = 3, d: int = 2, sites: str = "sites") -> Posterior:
    """Draws of components that nobody could mistake for each other."""
    data = make_mixture(n=80, d=d, k=k, separation=8.0, covariance=family)
    order = data.truth.means[:, 0].argsort().tolist()
    return around(data.truth.permute(order), data.x, sites=sites)


def kept(posterior: Posterior, numbers: list[int], seed: int = 2) -> Posterior:
    """The posterior with allocations at some draws: the most probable component, mostly."""
    parameters, data = posterior.parameters(), posterior.observations
    shape = posterior.n_chains, posterior.n_draws
    labels = torch.stack(
        [
            GaussianMixture.from_parameters(posterior.family, parameters[[i]]).predict(data.x)
            for i in range(len(parameters.means))
        ]
    ).reshape(*shape, data.n)
    generator = torch.Generator().manual_seed(seed)
    odd = torch.rand(labels.shape, generator=generator) < 0.05
    labels[odd] = torch.randint(posterior.n_components, (int(odd.sum()),), generator=generator)
    return replace(posterior, allocations=labels[:, numbers], kept=torch.tensor(numbers))


def switched(posterior: Posterior, seed: int = 0) -> tuple[Posterior, Tensor]:
    """Every draw with its components in a random order, which is the second value."""
    k, tied = posterior.n_components, posterior.family.tied
    generator = torch.Generator().manual_seed(seed)
    shape = posterior.n_chains, posterior.n_draws, k
    order = torch.rand(shape, generator=generator).argsort(-1)
    draws = {name: value.clone() for name, value in posterior.draws.items()}
    labels = None if posterior.allocations is None else posterior.allocations.clone()
    for chain, draw in itertools.product(range(shape[0]), range(shape[1])):
        for name, values in posterior.draws.items():
            if not tied or name in ("weights", "means"):
                draws[name][chain, draw] = values[chain, draw, order[chain, draw]]
        if labels is not None and draw in posterior.kept.tolist():
            place = posterior.kept.tolist().index(draw)
            was = posterior.allocations[chain, place].tolist()
            names = order[chain, draw].tolist()
            labels[chain, place] = torch.tensor([names.index(label) for label in was])
    return replace(posterior, draws=draws, allocations=labels), order
