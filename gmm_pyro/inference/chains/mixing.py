"""Whether chains have met, and what to do where they have not.

Chains have mixed where every R-hat is at most 1.01 and every effective sample size, of the bulk and
of the tails, is at least 400. Where they have not, more of the same helps only if each of them goes
everywhere: chains that differ in what no numbering of the components can change are in different
modes, unless they are still on their way.

Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021) for the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...data.words import listed
from ...posterior import Posterior
from ...posterior.convergence import Convergence, convergence_of, r_hat
from ...posterior.readable import convergence, flattened, has_surplus, of_whole
from ...posterior.sizes import FILLED

LARGEST_R_HAT = 1.01
FEWEST_EFFECTIVE = 400
DIFFERENT = 1.05  # R-hat of what no numbering changes, from which chains are in different places
NOTABLE = 0.5  # standard deviations within chains, between the means of different places
DRIFT = 1.0  # standard deviations within chains, that all of them rise from half to half


@dataclass(frozen=True)
class Mixing:
    """What is said of chains.

    Attributes:
        convergence: their worst R-hat and effective sample sizes.
        mixed: whether these are as they should be.
        advice: what is wrong and what to do, as a sentence; "" where they have mixed.
    """

    convergence: Convergence
    mixed: bool
    advice: str

    def may_mix(self, doublings: int) -> bool:
        """Whether chains so often twice as long could be mixed, at the rate of what they are."""
        found, longer = self.convergence, 2**doublings
        enough = min(found.ess_bulk, found.ess_tail) * longer >= FEWEST_EFFECTIVE
        return enough and found.r_hat - 1 <= longer * (LARGEST_R_HAT - 1)


def is_mixed(found: Convergence) -> bool:
    """Whether R-hat and both effective sample sizes are as they should be; NaN is not."""
    enough = min(found.ess_bulk, found.ess_tail) >= FEWEST_EFFECTIVE
    return enough and found.r_hat <= LARGEST_R_HAT


def judged(posterior: Posterior, alone: Sequence[int] = ()) -> Mixing:
    """Whether the chains of a sampler, their components aligned, have met.

    Args:
        posterior: their draws.
        alone: components that labels or what is held tell apart from all others.
    """
    found = convergence(posterior, alone)
    if is_mixed(found):
        return Mixing(found, mixed=True, advice="")
    density = {"log density": posterior.statistics["lp"].cpu().numpy()}
    whole, names = flattened(density | of_whole(posterior))
    unknown = (
        FILLED in posterior.draws
    )  # chains that come and go slowly are in no mode of their own
    places = "" if unknown or not found.worst or len(whole) < 2 else _places(whole, names)
    if places:
        advice = f"drew chains that disagree: {places}"
    else:
        advice = f"drew chains that disagree or are too short: {_figures(found)}"
        advice += _remedy(posterior, convergence_of(whole, names))
    return Mixing(found, mixed=False, advice=advice)


def _figures(found: Convergence) -> str:
    if not found.worst:
        return "there are too few draws for an R-hat"
    return (
        f"the largest R-hat is {found.r_hat:.3f} ({found.worst}) where {LARGEST_R_HAT} is wanted, "
        f"the smallest effective number of draws {found.ess_bulk:.0f}, and {found.ess_tail:.0f} in "
        f"the tails, where {FEWEST_EFFECTIVE} is"
    )


def _remedy(posterior: Posterior, of_whole: Convergence) -> str:
    if is_mixed(of_whole) and not has_surplus(posterior):
        return (
            f"; what no numbering of the components can change has mixed (R-hat "
            f"{of_whole.r_hat:.3f}), so components that overlap pass for each other: ask for "
            "co_clustering, partition or predictive_density, or take fewer components"
        )
    chains = " or n_chains" if FILLED in posterior.draws else ""
    return f"; raise n_draws{chains}"


# ---------------------------------------------------------------------- chains in different places


def _places(values: Float[np.ndarray, "chain draw q"], names: list[str]) -> str:
    """Which chains are where, by the quantity that tells them apart best; "" where none does."""
    apart = np.nan_to_num(r_hat(values), nan=1.0)
    spread = np.sqrt(values.var(1).mean(0))
    order = [0, *(1 + (-apart[1:]).argsort(kind="stable")).tolist()]  # the log density, if it tells
    told = (
        _described(names[q], values[..., q].mean(1), NOTABLE * spread[q])
        for q in order
        if apart[q] > DIFFERENT
    )
    where = next(filter(None, told), "")
    if not where:
        return ""
    halves = np.array_split(values[..., 0], 2, axis=1)
    rise = (halves[1].mean(1) - halves[0].mean(1)) / spread[0]
    if (rise > DRIFT).all():
        return f"{where}, and their log density still rises; raise n_warmup"
    return (
        f"{where}: different modes, so that more warm-up will not help; look at the modes one by "
        "one, or choose by priors or n_components which of them is meant"
    )


def _described(name: str, means: Float[np.ndarray, "chain"], gap: float) -> str:
    """Chains by place, the most populated first; "" where all are in one."""
    order = means.argsort()
    groups = np.split(order, np.flatnonzero(np.diff(means[order]) > gap) + 1)
    parts = []
    for group in sorted(groups, key=len, reverse=True):
        numbers = listed([str(i + 1) for i in sorted(group.tolist())])
        who = f"chains {numbers}" if len(group) > 1 else f"chain {numbers}"
        parts.append(f"{who} near {means[group].mean():.4g}")
    return f"by {name}, {listed(parts)}" if len(parts) > 1 else ""
