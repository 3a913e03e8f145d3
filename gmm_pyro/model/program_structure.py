"""What a prior program consists of, found by running it a few times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import constraints

from ..covariance import CovarianceFamily
from ..data.checks import shown
from .layout import laid_out, to_support
from .program_axes import with_axes
from .program_runs import Call, ProgramSite, Structure, runs_at_once

RUNS = 32  # of the program, for the middle and the spread of its sites
TRIED = 2  # sets at which one run for all is compared with one for each
RESERVED = ("assignment", "points", "x", "precisions")  # what the model itself has, or could have
SUPPORTS = {
    "weights": constraints.simplex,
    "means": constraints.real,
    "scales": constraints.positive,
    "correlations": constraints.corr_cholesky,
}
ROUNDING = 1e-6  # of weights' sums and of rows of correlations in single precision


def structure_of(call: Call, family: CovarianceFamily) -> Structure:
    """What is found of a program.

    Raises:
        ValueError: if a site is discrete, or no run is like another.
    """
    from .replaying import noted

    runs = [noted(call, seed, call.like) for seed in range(RUNS)]
    returned, first = runs[0]
    _check_returned(returned)
    for _, other in runs[1:]:
        _check_alike(first, other)
    sites = {
        name: ProgramSite(site.value.shape, site.support)
        for name, site in first.items()
        if not site.given
    }
    _check_sites(sites, returned, first)
    vectors = _unconstrained(sites, [found for _, found in runs], call.like)
    middle, spread = _middle_and_spread(vectors)
    structure = Structure(
        sites,
        _sources(returned, sites, first),
        any(site.given for site in first.values()),
        max(site.nesting for site in first.values()),
        middle,
        spread,
    )
    values = generic_values(structure, TRIED)
    structure = replace(structure, at_once=runs_at_once(call, values))
    return with_axes(call, structure, family, generic_values(structure, 4))


def generic_values(structure: Structure, count: int) -> dict[str, Tensor]:
    """Values of a program's sites that have no symmetry, about as far apart as its draws."""
    generator, middle = torch.Generator().manual_seed(0), structure.middle
    noise = torch.randn(count, len(middle), generator=generator, dtype=torch.float64).to(middle)
    vectors = middle + structure.spread * noise
    layout = laid_out(structure.sites, middle)
    return {site.name: site.constrain(vectors) for site in layout}


def _check_returned(returned: Mapping[str, Tensor]) -> None:
    for name, value in returned.items():
        support = SUPPORTS.get(name, constraints.real)
        if name in ("weights", "correlations"):  # whose sums of one have been rounded
            norm = value.sum(-1) if name == "weights" else value.norm(dim=-1)
            fits = bool((norm - 1).abs().max() < ROUNDING)
            fits &= bool((value >= 0).all()) if name == "weights" else value.equal(value.tril())
        else:
            fits = bool(support.check(value).all())
        if not fits:
            raise ValueError(
                f"a prior program must return {name} within {support}, got {shown(value.tolist())}"
            )


def _check_alike(first: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Refuse a program whose sites are not the same in all runs."""
    shapes = [{name: site.value.shape for name, site in run.items()} for run in (first, other)]
    if list(shapes[0].items()) != list(shapes[1].items()):
        raise ValueError(
            "a prior program must have the same sites in every run, got "
            f"{', '.join(shapes[0])} and {', '.join(shapes[1])}, or others of other shapes"
        )
    for name, site in first.items():
        if not site.given and not _same_support(site, other[name]):
            raise ValueError(
                f"the support of {name!r} depends on other sites: sample it where its support is "
                "always the same, and return a function of it"
            )


def _same_support(one: Any, other: Any) -> bool:
    """Whether two supports have the same values for the same unconstrained numbers."""
    transforms = [to_support("a site", site) for site in (one, other)]
    at = torch.full_like(transforms[0].inv(one.value), 0.3)
    ends = [transform(at) for transform in transforms]
    return type(one.support) is type(other.support) and torch.allclose(*ends)


def _check_sites(
    sites: Mapping[str, Any], returned: Mapping[str, Tensor], noted: Mapping[str, Any]
) -> None:
    if not sites:
        raise ValueError("a prior program must sample at least one site, got none")
    for name in noted:
        if name in RESERVED:
            raise ValueError(f"a site of a prior program must not be called {name!r}")
        if name in returned and returned[name] is not noted[name].value:
            raise ValueError(
                f"the site {name!r} of a prior program must be what it returns as {name}, of shape "
                f"{tuple(returned[name].shape)}; call it otherwise"
            )
    for name in SUPPORTS:
        if name in noted and name not in returned:
            raise ValueError(
                f"a prior program of this family has no site {name!r}; call it otherwise"
            )


def _sources(
    returned: Mapping[str, Tensor], sites: Mapping[str, Any], noted: Mapping[str, Any]
) -> dict[str, str]:
    """Which of the mixture's sites are returned as they were sampled, and where."""
    return {
        name: site
        for name, value in returned.items()
        for site in sites
        if noted[site].value is value
    }


def _unconstrained(
    sites: Mapping[str, ProgramSite], runs: Sequence[Mapping[str, Any]], like: Tensor
) -> Float[Tensor, "s m"]:
    layout = laid_out(sites, like)
    return torch.cat(
        [
            site.unconstrain(torch.stack([run[site.name].value for run in runs]).to(like))
            for site in layout
        ],
        1,
    )


def _middle_and_spread(
    vectors: Float[Tensor, "s m"],
) -> tuple[Float[Tensor, "m"], Float[Tensor, "m"]]:
    """Of the entries; heavy tails and infinities do not count."""
    vectors = vectors.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    levels = vectors.new_tensor([0.16, 0.5, 0.84])
    low, middle, high = vectors.quantile(levels, 0)
    spread = 0.5 * (high - low)
    return middle, torch.where(spread > 0, spread, 1.0)
