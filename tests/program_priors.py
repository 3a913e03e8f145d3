"""Prior programs that tests share: hierarchies, regressions, constraints, and what must be refused.

They are at the top of a module, so that fits with them can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

import oracles
from gmm_pyro import MixtureModel
from gmm_pyro.model.log_density import LogDensity
from oracles import normal, numbers

Returned = dict[str, Any]
K, D = 3, 2


def centred() -> Returned:
    """Means about a common centre, both unknown; other sites have their defaults."""
    centre = pyro.sample("centre", dist.Normal(0.0, 5.0).expand([D]).to_event(1))
    spread = pyro.sample("spread_of_means", dist.LogNormal(1.0, 0.5))
    with pyro.plate("components", K):
        means = pyro.sample("means", dist.Normal(centre, spread).to_event(1))
    return {"means": means}


def offsets(n_components: int, n_features: int) -> Returned:
    """The same with standardised offsets, in plates, for any number of either."""
    spread = pyro.sample("spread_of_means", dist.LogNormal(1.0, 0.5))
    with pyro.plate("components", n_components, dim=-2), pyro.plate("features", n_features, dim=-1):
        offset = pyro.sample("offset", dist.Normal(0.0, 1.0))
    return {"means": spread * offset}


def transposed() -> Returned:
    """Offsets whose components are the last axis."""
    with pyro.plate("features", D, dim=-2), pyro.plate("components", K, dim=-1):
        offset = pyro.sample("offset", dist.Normal(0.0, 2.0))
    return {"means": offset.mT}


def everything() -> Returned:
    """All sites: a concentration, a common size of the components, shrunken correlations."""
    concentration = pyro.sample("concentration", dist.Gamma(4.0, 2.0))
    weights = pyro.sample("weights", dist.Dirichlet(concentration * torch.ones(K)))
    size = pyro.sample("size", dist.HalfNormal(2.0))
    with pyro.plate("components", K):
        means = pyro.sample("means", dist.Normal(torch.zeros(D), 3.0).to_event(1))
        ratio = pyro.sample("ratio", dist.LogNormal(torch.zeros(D), 0.3).to_event(1))
        root = pyro.sample("correlations", dist.LKJCholesky(D, 2.0))
    return {"weights": weights, "means": means, "scales": size * ratio, "correlations": root}


COVARIATE = [-1.0, 0.0, 2.0]


def regression() -> Returned:
    """Means on a line through a covariate of each component, with equal weights."""
    slope = pyro.sample("slope", dist.Normal(torch.zeros(D), 3.0).to_event(1))
    covariate = torch.tensor(COVARIATE)[:, None]
    return {"weights": torch.full((K,), 1 / K), "means": slope * covariate}


def sticks() -> Returned:
    """Weights by stick-breaking, whose order is not that of any other numbering."""
    with pyro.plate("sticks", K - 1):
        share = pyro.sample("share", dist.Beta(1.0, 2.0))
    left = (1 - share).cumprod(-1)
    weights = torch.cat([share[:1], share[1:] * left[:-1], left[-1:]])
    return {"weights": weights}


def known_centres() -> Returned:
    """Components that the prior tells apart, with a spread that is unknown."""
    spread = pyro.sample("spread_of_means", dist.LogNormal(0.0, 0.5))
    centres = torch.tensor([[-2.0, 0.0], [0.0, 0.0], [4.0, 1.0]])
    return {"means": pyro.sample("means", dist.Normal(centres, spread).to_event(2))}


def with_a_factor() -> Returned:
    """A factor that keeps means apart, which no distribution of them says."""
    means = pyro.sample("means", dist.Normal(torch.zeros(K, D), 4.0).to_event(2))
    gaps = torch.stack([means[i] - means[j] for i in range(K) for j in range(i)])
    pyro.factor("apart", gaps.square().sum(-1).log().sum())
    return {"means": means}


PROGRAMS: dict[str, Callable[..., Returned]] = {
    f.__name__: f
    for f in (centred, offsets, transposed, everything, regression, sticks, known_centres)
}
PROGRAMS["with_a_factor"] = with_a_factor


def discrete() -> Returned:
    """With a site that would have to be summed out."""
    return {"means": pyro.sample("which", dist.Categorical(torch.ones(2))) * torch.ones(K, D)}


def learnt() -> Returned:
    """With a parameter."""
    return {"means": pyro.param("loc", numbers([0.0])) + pyro.sample("one", dist.Normal(0.0, 1.0))}


def moving_support() -> Returned:
    """With a site whose support another one sets."""
    width = pyro.sample("width", dist.LogNormal(0.0, 1.0))
    return {"means": pyro.sample("place", dist.Uniform(-width, width))}


def changing() -> Returned:
    """With other sites in other runs."""
    one = pyro.sample("one", dist.Normal(0.0, 1.0))
    return {"means": pyro.sample("two", dist.Normal(0.0, 1.0)) if one > 0 else one}


def misnamed() -> Returned:
    """With a site called as one of the mixture's, which it returns another value for."""
    return {"means": 2 * pyro.sample("means", dist.Normal(torch.zeros(K, D), 1.0).to_event(2))}


def unnormalised() -> Returned:
    """With weights that are none."""
    return {"weights": pyro.sample("share", dist.Uniform(0.0, 0.2)) * torch.ones(K)}


def a_part() -> Returned:
    """With a part of a plate."""
    with pyro.plate("some", 4, subsample_size=2):
        pyro.sample("one", dist.Normal(0.0, 1.0))
    return {}


def nothing() -> Returned:
    """With no site at all but the defaults, and a word that is none."""
    return {"mean": torch.zeros(K, D)}


def misshapen() -> Returned:
    """With means of another shape."""
    return {"means": pyro.sample("centre", dist.Normal(torch.zeros(K + 1, D), 1.0).to_event(2))}


def a_delta() -> Returned:
    """With a function of nothing as a site."""
    return {"means": pyro.sample("fixed", dist.Delta(torch.tensor(1.0)))}


def no_tensor(n_components: int) -> Tensor:
    """What returns no dictionary."""
    return pyro.sample("one", dist.Normal(0.0, 1.0)) * n_components


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "discrete": (discrete, "must be continuous, got 'which', a Categorical"),
    "learnt": (learnt, r"has no parameters that are learnt, got pyro.param\('loc'\)"),
    "moving support": (moving_support, "the support of 'place' depends on other sites"),
    "changing": (changing, "must have the same sites in every run"),
    "misnamed": (misnamed, "the site 'means' of a prior program must be what it returns as means"),
    "unnormalised": (unnormalised, "must return weights within"),
    "a part": (a_part, "takes all of a plate, got a part of 'some'"),
    "an unknown name": (nothing, "must return a dictionary of values of the sites weights, means"),
    "no dictionary": (no_tensor, "must return a dictionary of values of the sites weights, means"),
    "another shape": (misshapen, r"must return means of shape \(3, 2\), got \(4, 2\)"),
    "a delta": (a_delta, "'fixed' is a Delta: use pyro.deterministic"),
}


# ---------------------------------------------------------------------- data and densities

X = torch.cat([normal(15, D, seed=i) * 0.5 + 3 * numbers([i % 2, i // 2]) for i in range(K)])
AXES: dict[str, dict[str, int | None]] = {  # of sites that are not a mixture's own
    "centred": {"centre": None, "spread_of_means": None},
    "offsets": {"spread_of_means": None, "offset": 0},
    "transposed": {"offset": 1},
    "everything": {"concentration": None, "size": None, "ratio": 0},
    "regression": {"slope": None},
    "sticks": {"share": None},
    "known_centres": {"spread_of_means": None},
    "with_a_factor": {},
}
RIGID = ("regression", "sticks")  # of which no numbering but one is known


SAME = 1e-10  # relative: both readings add up a few hundred terms in float64
close = partial(oracles.close, rounding=SAME)
every_program = pytest.mark.parametrize("program", PROGRAMS)


@cache
def density_of(program: str, family: str = "full") -> LogDensity:
    """The log density of the data with a program as the prior."""
    return MixtureModel(K, family, priors=PROGRAMS[program]).log_density(X)
