"""Geweke's test: two ways to draw parameters and data must give one joint distribution.

The marginal-conditional simulator draws parameters from the prior and data from them. The
successive-conditional simulator draws data given the parameters, then moves the parameters by one
sweep of the sampler given those data, over and over. If a sweep leaves the posterior as it is, both
have the model's joint distribution; a mistake in one conditional distribution lets the second one
drift away.

Here the second has many independent chains that start at draws of the first, so each is stationary
from its first step if the sampler is right, and the chains' averages are independent: their spread
is the standard error, whatever the autocorrelation within a chain. Moments are those of a
quantity's rank among all values of both, which exist where those of the quantity itself, under
priors with heavy tails, do not.

Source: Geweke (2004), "Getting it right: joint distribution tests of posterior simulators".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters
from ..data.checks import check_count, check_function, check_seed
from ..inference.warned import held_fixed
from ..model.declaration import require_conjugate
from ..model.program import MixtureModel
from ..running.threads import one_thread_a_product
from .joint import draw_points, draw_prior, gibbs_sampler, require_concrete
from .quantities import Quantities, check_quantities, evaluate
from .ranks import FAILURE_RATE
from .telescoped import TelescopedSweeps

if TYPE_CHECKING:
    import pandas as pd

MOST = 10**6  # points or chains
THIN = 5  # sweeps from one joint draw that is looked at to the next
MOMENTS = ("mean", "square")  # of the ranks

Sweep = Callable[[Parameters, Float[Tensor, "s n d"], torch.Generator], Parameters]


@dataclass(frozen=True, eq=False)
class GewekeTest:
    """How far a sampler's joint distribution of parameters and data is from the model's.

    Attributes:
        z_scores: quantity -> differences of the first and the second moment of its ranks, in
            standard errors, shape (2,); standard normal if the sampler is right.
        n_chains: chains of the successive-conditional simulator, and draws of the other one.
        n_sweeps: sweeps of each chain.
        failure_rate: probability that a right sampler fails in any of the moments; each has an
            equal share of it (Bonferroni).
    """

    z_scores: Mapping[str, Float[Tensor, "2"]]
    n_chains: int
    n_sweeps: int
    failure_rate: float = FAILURE_RATE

    @property
    def p_values(self) -> dict[str, Float[Tensor, "2"]]:
        """Probability of a z-score as far from zero, under a sampler that is right."""
        return {name: (z.abs() / math.sqrt(2)).erfc() for name, z in self.z_scores.items()}

    @property
    def passes(self) -> dict[str, bool]:
        """Whether both moments of a quantity agree."""
        level = self.failure_rate / (len(MOMENTS) * len(self.z_scores))
        return {name: bool((p > level).all()) for name, p in self.p_values.items()}

    @property
    def table(self) -> pd.DataFrame:
        """One row a quantity: z-scores and p-values of both moments, and whether it passes."""
        import pandas as pd

        columns = [f"{what}_{moment}" for what in ("z", "p") for moment in MOMENTS]
        rows = [torch.cat([z, self.p_values[name]]).tolist() for name, z in self.z_scores.items()]
        frame = pd.DataFrame(rows, pd.Index(self.z_scores, name="quantity"), columns)
        return frame.assign(passes=pd.Series(self.passes))


@one_thread_a_product()
@torch.no_grad()
def geweke(
    model: MixtureModel,
    sweep: Sweep | None = None,
    *,
    n_points: int = 10,
    n_chains: int = 1000,
    n_sweeps: int = 100,
    seed: int = 0,
    quantities: Quantities | None = None,
) -> GewekeTest:
    """Geweke's joint distribution test of Gibbs sampling, or of a sampler of your own.

    Args:
        model: a model with concrete priors, as `ConjugatePriors(mean=0.0, spread=torch.ones(d))`.
        sweep: a step of a sampler that leaves the posterior as it is, from s sets of `Parameters`,
            their data (s, n, d) and a generator to new `Parameters`; if None, a sweep of Gibbs
            sampling.
        n_points: points n in each data set; with fewer, the chains move faster.
        n_chains: chains, and draws from the joint distribution that they are compared with.
        n_sweeps: sweeps of each chain; with more, it can drift further.
        seed: seed of every random choice.
        quantities: what is compared, as in `simulation_based_calibration`.

    Raises:
        TypeError: if the model is not one.
        ValueError: if its priors wait for data, or are not conjugate and there is no `sweep`.

    Example:
        >>> from gmm_pyro import ConjugatePriors
        >>> prior = ConjugatePriors(mean=0.0, spread=torch.ones(1))
        >>> test = geweke(MixtureModel(1, priors=prior), n_chains=200, n_sweeps=20)
        >>> all(test.passes.values())
        True
    """
    require_concrete(model)
    model = held_fixed(model)
    n_points = check_count("n_points", n_points, 2, MOST)
    n_chains = check_count("n_chains", n_chains, 2, MOST)
    n_sweeps, seed = check_count("n_sweeps", n_sweeps), check_seed(seed)
    hierarchy, own = model.hierarchy(), sweep is not None
    if sweep is not None:
        check_function("sweep", sweep)
    elif hierarchy is None:
        sweep = _gibbs_sweep(model)
    quantities = check_quantities(quantities, model, seed)
    generator = torch.Generator().manual_seed(seed)
    independent = draw_prior(model, n_chains, generator)
    data = draw_points(model, independent, n_points, generator)
    prior = evaluate(quantities, independent, data)
    parameters, successive = draw_prior(model, n_chains, generator), []
    if hierarchy is not None and not own:
        telescoped = TelescopedSweeps.from_prior(model, hierarchy, n_chains, generator)
        sweep, parameters = telescoped, telescoped.state.parameters
    assert sweep is not None
    for step in range(n_sweeps):
        data = draw_points(model, parameters, n_points, generator)
        parameters = sweep(parameters, data, generator)
        if (n_sweeps - 1 - step) % THIN == 0:
            successive.append(evaluate(quantities, parameters, data))
    z_scores = {
        name: _z_scores(value, torch.stack([draw[name] for draw in successive]))
        for name, value in prior.items()
    }
    return GewekeTest(z_scores, n_chains, n_sweeps)


def _gibbs_sweep(model: MixtureModel) -> Sweep:
    require_conjugate(model, "gibbs")

    def sweep(parameters: Parameters, x: Tensor, generator: torch.Generator) -> Parameters:
        return gibbs_sampler(model, x).sweep(parameters, generator)[0]

    return sweep


def _z_scores(
    independent: Float[Tensor, "c"], successive: Float[Tensor, "draw c"]
) -> Float[Tensor, "2"]:
    """Differences of moments of the ranks, in standard errors from independent chains."""
    from scipy.stats import rankdata

    everything = torch.cat([independent, successive.flatten()])
    rank = torch.from_numpy(rankdata(everything) - 0.5) / len(everything)
    a, b = rank[: len(independent)], rank[len(independent) :].view_as(successive)
    moments = [(a, b.mean(0)), (a.square(), b.square().mean(0))]
    return torch.stack([_difference(left, right) for left, right in moments])


def _difference(left: Float[Tensor, "c"], right: Float[Tensor, "c"]) -> Float[Tensor, ""]:
    error = (left.var() / len(left) + right.var() / len(right)).sqrt()
    return torch.where(error > 0, (right.mean() - left.mean()) / error, 0.0)
