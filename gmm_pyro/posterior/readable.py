"""Draws as numbers that people read: standard deviations and correlations, whatever the sites are.

Also the numbers that say whether chains have met, and what they are called.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily
from ..covariance.sharing import NOISE_WEIGHT
from .convergence import Convergence, convergence_of
from .record import Draws
from .sizes import FILLED, SIZE, likeliest

SITES = ("weights", "means", "scales", "correlations", NOISE_WEIGHT)
COMES_AND_GOES = 0.01  # share of the draws in which a surplus component has no point

Named = dict[str, Float[np.ndarray, "chain draw *value"]]


def readable_sites(family: CovarianceFamily, draws: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Draws of weights, means, scales and correlation matrices, from whatever sites there are.

    A component that does not exist in a draw has a weight of 0 and NaN for the rest.
    """
    sites = dict(draws)
    if "precisions" in sites:
        sites |= family.sites(family.factor(sites))
        del sites["precisions"]
    if "correlations" in sites:
        matrices = sites["correlations"] @ sites["correlations"].mT
        matrices.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        sites["correlations"] = matrices
    if SIZE in sites:
        sites |= _of_those_that_exist(family, sites)
    order = [name for name in SITES if name in sites] + [n for n in sites if n not in SITES]
    return {name: sites[name].cpu().numpy() for name in order}


def _of_those_that_exist(
    family: CovarianceFamily, sites: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Values of single components, NaN where there is no such component in a draw."""
    missing, found = sites["weights"] == 0, {}
    for name in ("means", "scales", "correlations"):
        if name in sites and not family.shares(name):
            value = sites[name]
            absent = missing.view(*missing.shape, *[1] * (value.ndim - missing.ndim))
            found[name] = value.masked_fill(absent, math.nan)
    return found


def without_constants(sites: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Readable sites without what is always the same.

    Correlations are those of each pair of features, the diagonal's ones left out, and the weight
    of a single component is left out.
    """
    kept = dict(sites)
    if "weights" in kept and kept["weights"].shape[-1] == 1:
        del kept["weights"]
    if "correlations" in kept:
        rows, columns = _pairs(kept["correlations"].shape[-1])
        kept["correlations"] = kept["correlations"][..., rows, columns]
    return kept


def without_components(
    family: CovarianceFamily, sites: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Readable sites of all components together, where not all draws have the same ones."""
    single = {name for name in SITES if not family.shares(name)}
    return {name: values for name, values in sites.items() if name not in single}


def matrices(correlations: np.ndarray, d: int) -> np.ndarray:
    """Correlation matrices of d features from the correlations of their pairs."""
    rows, columns = _pairs(d)
    full = np.broadcast_to(np.eye(d), (*correlations.shape[:-1], d, d)).copy()
    full[..., rows, columns] = full[..., columns, rows] = correlations
    return full


def pair_names(features: Sequence[str]) -> list[str]:
    """What the pairs of features are called, in their order: below the diagonal, row by row."""
    return [f"{features[i]}, {features[j]}" for i, j in zip(*_pairs(len(features)), strict=True)]


def _pairs(d: int) -> tuple[np.ndarray, ...]:
    return np.tril_indices(d, -1)


def convergence(posterior: Draws, alone: Sequence[int] = ()) -> Convergence:
    """The worst R-hat and effective sample sizes; see `Posterior.convergence`.

    Args:
        posterior: the draws.
        alone: components that change places with no other, as their parameters are held or points
            are known to be theirs: their own numbers count also where one comes and goes.
    """
    named = of_components(posterior)
    if has_surplus(posterior):
        named = of_whole(posterior) | _of_some(posterior, named, alone)
    return convergence_of(*flattened(named))


def _of_some(posterior: Draws, named: Named, some: Sequence[int]) -> Named:
    """The numbers of some components under their own names: those of others never vary."""
    found: Named = {}
    for name in SITES if some else ():
        if name in named and not posterior.family.shares(name):
            found[name] = np.zeros_like(named[name])
            found[name][:, :, list(some)] = named[name][:, :, list(some)]
    return found


def flattened(named: Named) -> tuple[Float[np.ndarray, "chain draw q"], list[str]]:
    """All entries side by side, and what they are called."""
    flat = [values.reshape(*values.shape[:2], -1).astype(float) for values in named.values()]
    names = [label for name, x in named.items() for label in _labels(name, x.shape[2:])]
    return np.concatenate(flat, 2), names


def has_surplus(posterior: Draws) -> bool:
    """Whether some component often has less than one point to expect: it comes and goes."""
    if FILLED in posterior.draws:
        return True
    least = posterior.draws["weights"].amin(-1) * posterior.observations.total_weight
    return posterior.n_components > 1 and float((least < 1).double().mean()) > COMES_AND_GOES


def of_components(posterior: Draws) -> Named:
    """The numbers of single components, which are aligned, and those of the whole."""
    sites = without_constants(readable_sites(posterior.family, posterior.draws))
    kept = {n: value for n, value in sites.items() if n in SITES or n in posterior.axes}
    return _statistics(posterior) | kept


def of_whole(posterior: Draws) -> Named:
    """What no numbering of the components can change."""
    p, shape = posterior.parameters(), (posterior.n_chains, posterior.n_draws, -1)
    weights = p.log_weights.exp()[..., None]
    variances = posterior.family.deviations(p.factor, p.means.shape[-1]).square()
    centre = (weights * p.means).sum(1)
    variance = (weights * (variances + (p.means - centre[:, None]).square())).sum(1)
    falling = weights[..., 0].sort(1, descending=True).values
    if FILLED in posterior.draws:  # beyond those that most draws have, there is often none
        falling = falling[:, : likeliest(posterior)]
    found = {
        "weights in falling order": falling,
        "mean": centre,
        "standard deviation": variance.sqrt(),
    }
    numbers = {name: value.view(shape).cpu().numpy() for name, value in found.items()}
    shared = [name for name, axis in posterior.axes.items() if axis is None]
    shared += [NOISE_WEIGHT] if NOISE_WEIGHT in posterior.draws else []
    numbers |= {name: posterior.draws[name].cpu().numpy() for name in shared}
    return _statistics(posterior) | numbers


def _statistics(posterior: Draws) -> Named:
    """Log-likelihood and log prior density of every draw, as far as a sampler has left them."""
    known = {name: value.cpu().numpy() for name, value in posterior.statistics.items()}
    found = {name: known[name] for name in ("log_likelihood",) if name in known}
    if found and "lp" in known:
        found["log_prior"] = known["lp"] - known["log_likelihood"]
    return found


def _labels(name: str, shape: tuple[int, ...]) -> list[str]:
    """What the entries of a variable are called."""
    if not shape:
        return [name]
    return [f"{name}[{', '.join(map(str, i))}]" for i in itertools.product(*map(range, shape))]
