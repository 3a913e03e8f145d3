"""Simulation-based calibration: the truth is one more draw from its own posterior.

With parameters from the prior and data from them, the parameters are distributed as any draw from
the posterior given those data; so their rank among such draws is uniform, whatever the quantity
that they are ranked by. A posterior that is too narrow, too wide or shifted gives ranks that are
not.

Source: Talts et al. (2018); Modrák et al. (2023) for quantities that depend on the data, and ties.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ..covariance import Parameters
from ..data.checks import check_count, check_mapping, check_seed, shown
from ..data.observations import observe
from ..inference.chains.sweeping import GibbsOptions, run_chains
from ..inference.fit import fit
from ..inference.methods import method_named
from ..inference.starts.starting import starting_parameters
from ..inference.task import FitWarning, Status
from ..inference.warned import held_fixed
from ..mixture.noise_component import beside_noise
from ..model.hierarchy import Hierarchy
from ..model.program import MixtureModel
from ..running.threads import one_thread_a_product
from .joint import draw_points, draw_prior, gibbs_sampler, require_concrete
from .quantities import Quantities, check_quantities, evaluate
from .ranks import Calibration, ranks_among
from .telescoped import TelescopedSweeps

BATCHED = ("n_warmup", "thin", "exchange")  # options of Gibbs sampling of many data sets at once
WARMUP, THIN = 200, 8  # its sweeps before the first draw that is ranked, and from one to the next
SEEDS = 2**31  # as many seeds of fits
MOST = 10**6  # points, data sets or draws
FLOOR = 1e-6  # smallest eigenvalue of a starting covariance, in units of the features' variances

Draw = Callable[[MixtureModel, Float[Tensor, "n d"], int], Mapping[str, Tensor]]
Values = dict[str, Float[Tensor, "draw s"]]


@dataclass(frozen=True, eq=False)
class _Simulated:
    """Data sets, and what is asked of their posteriors."""

    model: MixtureModel
    x: Float[Tensor, "s n d"]
    n_draws: int
    quantities: Quantities
    generator: torch.Generator


@one_thread_a_product()
@torch.no_grad()
def simulation_based_calibration(
    model: MixtureModel,
    method: str | Draw = "gibbs",
    *,
    n_points: int = 50,
    n_datasets: int = 200,
    n_draws: int = 63,
    seed: int = 0,
    quantities: Quantities | None = None,
    **options: Any,
) -> Calibration:
    """Ranks of true parameters among a method's posterior draws, over data sets from the prior.

    Gibbs sampling has all data sets in one batch, from one k-means++ start each, after 200 sweeps
    and with 8 from draw to draw; it takes the options `n_warmup`, `thin` and `exchange`. Any other
    method fits one data set after the other by `fit`, with its own options, and the draws that are
    ranked among are evenly spaced along its chains: take enough of them that they are nearly
    independent, as the test supposes.

    Args:
        model: a model with concrete priors, as `ConjugatePriors(mean=0.0, spread=torch.ones(d))`.
        method: name of a method that has draws; or a function of your own from (model, points
            (n, d), seed) to draws of the model's sites, each of shape (draw, *site).
        n_points: points n in each data set.
        n_datasets: number of data sets.
        n_draws: posterior draws of each data set that the truth is ranked among.
        seed: seed of every random choice.
        quantities: what is ranked: name -> function of s sets of `Parameters` and of s data sets
            (s, n, d) to s numbers, the same for any order of the components; if None,
            `default_quantities(model)`.
        **options: options of the method.

    Returns:
        The ranks, with their table and what they should be.

    Raises:
        TypeError: if the model is not one.
        ValueError: if its priors wait for data, the method has no draws, too few or not those of
            this model, or a quantity is not a number.

    Example:
        >>> from gmm_pyro import ConjugatePriors
        >>> prior = ConjugatePriors(mean=0.0, spread=torch.ones(1))
        >>> model = MixtureModel(1, priors=prior)
        >>> result = simulation_based_calibration(model, n_points=10, n_datasets=50, n_draws=15)
        >>> all(result.passes.values())
        True
    """
    require_concrete(model)
    model = held_fixed(model)
    n_points = check_count("n_points", n_points, max(2, model.n_components), MOST)
    n_datasets = check_count("n_datasets", n_datasets, 1, MOST)
    n_draws, seed = check_count("n_draws", n_draws, 1, MOST), check_seed(seed)
    if not callable(method):
        method_named(method)
    quantities = check_quantities(quantities, model, seed)
    generator = torch.Generator().manual_seed(seed)
    truth = draw_prior(model, n_datasets, generator)
    x = draw_points(model, truth, n_points, generator)
    simulated = _Simulated(model, x, n_draws, quantities, generator)
    unconverged = 0
    if method == "gibbs":
        values = _gibbs_values(simulated, options)
    else:
        values, unconverged = _values_one_by_one(simulated, method, options)
    ranks = ranks_among(evaluate(quantities, truth, x), values, generator)
    name = method if isinstance(method, str) else getattr(method, "__name__", "function")
    return Calibration(name, ranks, n_draws, unconverged)


# ---------------------------------------------------------------------- all data sets at once


def _gibbs_values(simulated: _Simulated, options: Mapping[str, Any]) -> Values:
    """Quantities of draws from the posteriors of all data sets, in one batch."""
    for name in options:
        if name not in BATCHED:
            raise ValueError(
                f"Gibbs sampling of many data sets takes the options {', '.join(BATCHED)}; "
                f"got {name!r}"
            )
    model, x = simulated.model, simulated.x
    chosen = GibbsOptions(
        n_draws=simulated.n_draws, **{"n_warmup": WARMUP, "thin": THIN, **options}
    )
    hierarchy = model.hierarchy()
    if hierarchy is not None:
        return _telescoped_values(simulated, hierarchy, chosen)
    sampler = gibbs_sampler(model, x, exchange=chosen.exchange)
    start = _starts(model, x, simulated.generator)
    with tqdm(disable=True) as bar:
        chains = run_chains(sampler, start, chosen, simulated.generator, bar)
    if chains.interrupted:
        raise KeyboardInterrupt
    return _stacked([evaluate(simulated.quantities, p, x) for p in chains.parameters], 0)


def _telescoped_values(
    simulated: _Simulated, hierarchy: Hierarchy, options: GibbsOptions
) -> Values:
    """The same where the number of components is unknown, or their prior: from draws of that."""
    x, generator, found = simulated.x, simulated.generator, []
    sweep = TelescopedSweeps.from_prior(simulated.model, hierarchy, len(x), generator)
    for step in range(options.n_warmup + options.n_draws * options.thin):
        parameters = sweep(sweep.state.parameters, x, generator)
        if step >= options.n_warmup and (step - options.n_warmup) % options.thin == 0:
            found.append(evaluate(simulated.quantities, parameters, x))
    return _stacked(found, 0)


def _stacked(values: list[dict[str, Tensor]], axis: int) -> Values:
    return {name: torch.stack([each[name] for each in values], axis) for name in values[0]}


def _starts(
    model: MixtureModel, x: Float[Tensor, "s n d"], generator: torch.Generator
) -> Parameters:
    """One start by k-means++ for each data set."""
    starts = []
    for points in x:
        observations = observe(points, n_components=model.n_components)
        observations = beside_noise(observations, model.noise)
        floor = FLOOR * observations.scale.square()
        starts.append(
            starting_parameters(
                "k-means++",
                observations,
                model.family,
                model.n_components,
                n_starts=1,
                floor=floor,
                generator=generator,
            )
        )
    return Parameters.joined(starts)


# ---------------------------------------------------------------------- one after the other


def _values_one_by_one(
    simulated: _Simulated, method: str | Draw, options: Mapping[str, Any]
) -> tuple[Values, int]:
    """Quantities of draws from the posterior of each data set, and how many did not converge."""
    model, values, unconverged = simulated.model, [], 0
    for points in simulated.x:
        seed = int(torch.randint(SEEDS, (), generator=simulated.generator))
        with torch.enable_grad():  # a method may climb
            if callable(method):
                draws = _tensors(method(model, points, seed, **options))
            else:
                draws, converged = _fitted(simulated, points, method, {**options, "seed": seed})
                unconverged += not converged
        parameters = _parameters(simulated, draws)
        each = points.expand(simulated.n_draws, *points.shape)
        values.append(evaluate(simulated.quantities, parameters, each))
    return _stacked(values, 1), unconverged


def _tensors(draws: Any) -> dict[str, Tensor]:
    """What a function of the user's returned, if it is tensors by name."""
    for name, value in check_mapping("draws of a method", draws, "tensors by site").items():
        if not isinstance(value, Tensor):
            raise TypeError(f"draws of {name} must be a tensor, got {shown(value)}")
    return dict(draws)


def _fitted(
    simulated: _Simulated, points: Float[Tensor, "n d"], method: str, options: Mapping[str, Any]
) -> tuple[dict[str, Tensor], bool]:
    """Draws of a fit, evenly spaced, and whether it has converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        result = fit(simulated.model, points, method, **options)
    if result.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    posterior = result.posterior
    if posterior is None:
        raise ValueError(f"method {method!r} has no draws to rank parameters among")
    draws = {name: value.flatten(0, 1) for name, value in posterior.draws.items()}
    count = posterior.n_chains * posterior.n_draws
    if posterior.independent:  # but come in antithetic pairs, half of them apart
        return draws, result.converged
    places = torch.linspace(0, count - 1, min(count, simulated.n_draws)).round().long()
    return {name: value[places] for name, value in draws.items()}, result.converged


def _parameters(simulated: _Simulated, draws: dict[str, Tensor]) -> Parameters:
    """As many draws of the model's sites as the truth is to be ranked among.

    Raises:
        ValueError: if there are fewer, or other sites.
    """
    sites, count = simulated.model.sites(), simulated.n_draws
    if not sites.keys() <= draws.keys():
        raise ValueError(f"draws must have the sites {', '.join(sites)}; got {', '.join(draws)}")
    for name, prior in sites.items():
        shape, wanted = tuple(draws[name].shape), tuple(prior.event_shape)
        if shape[1:] != wanted or shape[0] < count:
            raise ValueError(
                f"draws of {name} must have shape ({count} or more, {', '.join(map(str, wanted))})"
                f", got {shape}"
            )
    values = sites.completed({name: draws[name][:count].double() for name in sites})
    return simulated.model.family.parameters(values)
