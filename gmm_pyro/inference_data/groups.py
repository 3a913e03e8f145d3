"""The groups of the ArviZ object of a fit: draws, what they say about the data, and predictions.

The log-likelihood is the marginal one, with the assignment summed out, point by point: what
leave-one-out cross-validation needs. ArviZ's own reader of Pyro programs drops it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..data.checks import check_count, check_flag, shown
from ..data.points import Observations
from ..inference.result import Result
from ..mixture.noise_component import NoiseComponent, with_noise
from ..posterior import Posterior
from ..posterior.readable import readable_sites, without_components, without_constants
from ..posterior.sizes import FILLED, SIZE
from ..running.seeds import Stream
from ..running.threads import one_thread_a_product
from .generation import Values
from .naming import assembled, split_by_feature
from .quantities import quantities

MOST_NUMBERS = 50_000_000  # of predicted data: 400 MB
NUMBERS_AT_ONCE = 1 << 20  # of the data sets that are drawn in one go
MOST_PRIOR_DRAWS = 10**6
PRIOR_DRAWS = 500


def to_arviz(
    fit: Result,
    *,
    n_prior_draws: int = PRIOR_DRAWS,
    constants: bool = False,
    by_feature: bool = False,
    n_filled: int | None = None,
    components: bool = False,
) -> Any:
    """The draws of a fit with named dimensions, what they say and predict, and the data.

    Dimensions are component, feature, pair (of features) and obs_id, after chain and draw; features
    have the data's column names. Logarithms are natural, densities in nats.

    - `posterior`: weights, means, scales (standard deviations) and correlations, also where the
      model has precisions, which are left out; and the sites of a prior program, with a dimension
      component where they have one, others by number, as "offset_dim_1". Whatever the components
      are called: log_likelihood (of all points together) and log_prior (of the model's sites, as
      the components are called).
      Where the number of components is unknown: n_components and n_filled (those with points), as
      integers, and what components have in common. What single ones have is there with `n_filled=`,
      as a component of one draw is none of another: some draws do not have it at all.
      What is the same in every draw is not there, so that R-hat and rank plots have a meaning for
      all that is: correlations are one number a pair, called "width, height", and a single
      component has no weight.
    - `log_likelihood`: x, the marginal log-likelihood, shape (chain, draw, obs_id).
    - `log_prior`: log prior density of each of the model's sites, as `az.psens` asks for; their sum
      is the variable of that name in `posterior`. Factors of a prior program have a term each.
    - `sample_stats`: what the sampler says about each draw; `lp`, log p(sites, x), which is the sum
      of the log-likelihood and the log prior density, as the components are called; entropy (of the
      assignment, the sum over the points) and filled_components (those that are the most probable
      one of a point), which may be the same in every draw.
    - `posterior_predictive`: x, a data set of n points a draw, shape (chain, draw, obs_id,
      feature). Where these are more than 50 million numbers, every second, third, … draw has one,
      and the coordinate `draw` says which.
    - `prior`, `prior_predictive`: the model's sites and data sets of independent draws from the
      priors, as far as these can be drawn from; not where parameters are fixed.
    - `constant_data`: sample_weight, shape (obs_id,), if there are weights. ArviZ's `loo` knows
      nothing of them and counts every row once; this package's `elpd_loo` counts them. possible,
      which components a point may come from, shape (obs_id, component), if labels are known: the
      log-likelihood is then that of points and labels.
    - `observed_data`: x. Univariate data have no dimension `feature` here nor in what is
      predicted, as the PIT of ArviZ's leave-one-out needs them.

    Attributes of the object and of `posterior` say how the fit was made.

    Args:
        fit: the fit.
        n_prior_draws: draws from the prior; with 0, the two groups are left out.
        constants: whether correlations are matrices, of dimensions feature and feature_bis, and a
            single component has its weight of one.
        by_feature: whether the observed data, and what is predicted, have a variable a feature in
            the place of x, so that `az.plot_ppc` and `az.plot_loo_pit` draw each on an axis of its
            own. The log-likelihood then is that of whole points for each of them, since it is
            whole points that are left out: give `az.loo`, `az.compare` and `az.psens` the object
            without it, or one variable's name.
        n_filled: where the number of components is unknown: only the draws with so many that have
            points, these alone, aligned, as one chain. They are `Posterior.of_filled`'s; there is
            no prior of them.
        components: where the number of components is unknown: whether `posterior` and `prior` have
            as many components as the largest draw. One that is not in a draw has a weight of 0 and
            NaN for the rest, of which some of ArviZ's pictures make an error; those with points
            come first, but their numbers mean nothing from draw to draw.

    Raises:
        TypeError: if it is no fit.
        ValueError: if the method has no draws, a feature's name cannot be a variable's, or no draw
            has so many components with points.
    """
    if n_filled is not None:
        fit, n_prior_draws = _with_filled(fit, n_filled), 0
    n_prior_draws = check_count("n_prior_draws", n_prior_draws, 0, MOST_PRIOR_DRAWS)
    constants, by_feature = check_flag("constants", constants), check_flag("by_feature", by_feature)
    shown = Shown(constants=constants, components=check_flag("components", components))
    posterior, observations = posterior_of(fit), fit.observations
    parts = _drawn(fit, posterior, shown)
    prior = _prior(fit, n_prior_draws)
    with one_thread_a_product():
        kept, x = _posterior_predictive(fit, posterior)
        parts["posterior_predictive"] = {"x": x}
        if prior is not None:
            parts["prior"] = shown.of(posterior, prior)
            parts["prior_predictive"] = {"x": _prior_predictive(fit, prior)}
    parts |= _constant(observations)
    parts["observed_data"] = {"x": _univariate(observations.measurements.cpu().numpy())}
    if by_feature:
        parts = split_by_feature(parts, observations.feature_names)
    coords = {"posterior_predictive": {"draw": kept.numpy()}}
    if prior is not None:  # which may have more components than any draw
        coords["prior"] = {"component": np.arange(prior["weights"].shape[-1])}
    return assembled(fit, parts, coords)


def resamples_to_arviz(
    fit: Result, posterior: Posterior, attributes: Mapping[str, str | float]
) -> Any:
    """Estimates from resamples of the data of a fit, as draws that nothing was predicted from.

    Args:
        fit: what is resampled.
        posterior: the estimates as draws, with what is known of each as `statistics`.
        attributes: what is to be said beside how the fit was made.
    """
    statistics = {name: value.cpu().numpy() for name, value in posterior.statistics.items()}
    parts: dict[str, Values] = {
        "posterior": Shown().of(posterior, posterior.draws),
        "sample_stats": statistics,
        **_constant(fit.observations),
        "observed_data": {"x": _univariate(fit.observations.measurements.cpu().numpy())},
    }
    return assembled(fit, parts, {}, attributes)


def draws_and_log_likelihood(fit: Result) -> Any:
    """The part of `to_arviz` that leave-one-out cross-validation needs."""
    posterior = posterior_of(fit)
    parts = _drawn(fit, posterior)
    needed = {name: parts[name] for name in ("posterior", "log_likelihood")}
    return assembled(fit, needed | _constant(fit.observations), {})


def posterior_of(fit: Result) -> Posterior:
    """The draws of a fit.

    Raises:
        TypeError: if it is no fit.
        ValueError: if the method has none.
    """
    if not isinstance(fit, Result):
        raise TypeError(f"fit must be a gmm_pyro.Fit, got {shown(fit)}")
    if fit.posterior is None:
        raise ValueError(f"this fit by {fit.method} has a point estimate only; no draws to convert")
    return fit.posterior


def _with_filled(fit: Result, k: int) -> Result:
    """The fit with draws of k components with points alone, numbered as the mixture if they can."""
    posterior = posterior_of(fit).of_filled(k)
    if k == fit.mixture.n_components > 1:
        posterior = posterior.relabel(like=fit.mixture)
    return replace(fit, posterior=posterior)


# ---------------------------------------------------------------------- groups


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is shown of draws: what never varies, and components that not all draws have."""

    constants: bool = False
    components: bool = False

    def of(self, posterior: Posterior, draws: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Draws as people read them."""
        sites = readable_sites(posterior.family, draws)
        if SIZE in sites and not self.components:
            sites = without_components(posterior.family, sites)
        return sites if self.constants else without_constants(sites)


def _drawn(fit: Result, posterior: Posterior, shown: Shown | None = None) -> dict[str, Values]:
    """The groups that belong to the draws themselves."""
    chains = posterior.n_chains, posterior.n_draws
    found, of_sites = quantities(posterior), _log_priors(fit, posterior)
    scalars = {"log_likelihood": found.log_likelihood}
    statistics = {**posterior.statistics, **scalars, "entropy": found.entropy}
    statistics["filled_components"] = found.filled_components
    if of_sites:
        scalars["log_prior"] = torch.stack(list(of_sites.values())).sum(0)
        statistics["lp"] = found.log_likelihood + scalars["log_prior"]

    def arrays(values: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        return {name: value.reshape(chains).cpu().numpy() for name, value in values.items()}

    readable = (shown or Shown()).of(posterior, posterior.draws)
    return {
        "posterior": readable | arrays(scalars),
        **({"log_prior": arrays(of_sites)} if of_sites else {}),
        "log_likelihood": {"x": found.pointwise.view(*chains, -1).cpu().numpy()},
        "sample_stats": arrays(statistics),
    }


@torch.no_grad()
def _log_priors(fit: Result, posterior: Posterior) -> dict[str, Float[Tensor, "s"]]:
    """Log prior density of each site of every draw; their sum is that of the draw.

    There is none where only some of the components are left.
    """
    if fit.model.unknown is not None and SIZE not in posterior.draws:
        return {}
    density = fit.model.log_density(fit.observations)
    if FILLED in posterior.draws:  # of a stick, whose places they may have left
        posterior = posterior.raw()
    values = {name: value.flatten(0, 1) for name, value in posterior.draws.items()}
    with one_thread_a_product():
        return density.prior.log_probs(values)


def _constant(observations: Observations) -> dict[str, Values]:
    """The group of the sample weights and of what is known of components, if there is any."""
    weight, allowed, found = observations.sample_weight, observations.allowed, {}
    if weight is not None:
        found["sample_weight"] = weight.cpu().numpy()
    if allowed is not None:
        found["possible"] = allowed.table[allowed.kind].cpu().numpy().astype("int8")
    return {"constant_data": found} if found else {}


def _posterior_predictive(fit: Result, posterior: Posterior) -> tuple[Int[Tensor, "m"], np.ndarray]:
    """The numbers of the draws that predict a data set, and these data sets."""
    chains, draws = posterior.n_chains, posterior.n_draws
    kept = torch.arange(0, draws, _stride(chains * draws, fit.observations))
    rows = (draws * torch.arange(chains)[:, None] + kept).flatten()
    x = _predicted(fit, posterior.parameters()[rows], Stream.POSTERIOR_PREDICTIVE)
    return kept, x.reshape(chains, len(kept), *x.shape[1:])


def _prior(fit: Result, n_draws: int) -> dict[str, Tensor] | None:
    """Draws of all sites from their priors, shape (1, n_draws, *site), if they can be drawn."""
    if n_draws == 0 or fit.model.fixed is not None:  # whose prior is another one
        return None
    try:
        seed = Stream.PRIOR.seed(fit.seed)
        drawn = fit.model.sites(like=fit.observations.origin.cpu()).draw(n_draws, seed)
    except NotImplementedError:  # an improper prior
        return None
    return {name: value[None] for name, value in drawn.items()}


def _prior_predictive(fit: Result, prior: Mapping[str, Tensor]) -> np.ndarray:
    """Data sets of draws from the prior: of the first ones, where there are too many numbers."""
    n_draws = prior["weights"].shape[1]
    most = n_draws // _stride(n_draws, fit.observations)
    values = {name: value[0, : max(1, most)] for name, value in prior.items()}
    parameters = fit.model.log_density(fit.observations).parameters(values)
    return _predicted(fit, parameters, Stream.PRIOR_PREDICTIVE)[None]


def _predicted(fit: Result, parameters: Parameters, stream: Stream) -> np.ndarray:
    device = parameters.means.device
    generator = torch.Generator(device).manual_seed(stream.seed(fit.seed))
    observations = fit.observations
    noise, family = fit.model.noise, fit.model.family
    drawn = data_sets(family, parameters, observations.n, generator, noise)
    measured = observations.measured
    if measured is not None and measured.projection_of_rows is not None:
        drawn = (measured.projection_of_rows.to(drawn) @ drawn[..., None])[..., 0]
    if measured is not None and measured.noise is not None:
        drawn = drawn + measured.drawn_noise(len(drawn), generator).to(drawn)
    return _univariate(drawn.to(observations.dtype).cpu().numpy())


def _stride(n_sets: int, observations: Observations) -> int:
    """Every which draw can have a data set."""
    return max(1, math.ceil(n_sets * observations.x.numel() / MOST_NUMBERS))


def _univariate(x: np.ndarray) -> np.ndarray:
    """Without the axis of features, if there is one only."""
    return x[..., 0] if x.shape[-1] == 1 else x


# ---------------------------------------------------------------------- data sets


@torch.no_grad()
def data_sets(
    family: CovarianceFamily,
    parameters: Parameters,
    n: int,
    generator: torch.Generator,
    noise: NoiseComponent | None = None,
) -> Float[Tensor, "s n d"]:
    """A data set of n independent points for each of s mixtures."""
    d = parameters.means.shape[-1]
    rows = torch.arange(len(parameters.means)).split(max(1, NUMBERS_AT_ONCE // (n * d)))
    parts = [parameters[part] for part in rows]
    sets = [with_noise(_draw(family, p, n, generator), p, noise, generator)[0] for p in parts]
    return torch.cat(sets)


def _draw(
    family: CovarianceFamily, parameters: Parameters, n: int, generator: torch.Generator
) -> Float[Tensor, "s n d"]:
    means = parameters.means
    s, k, d = means.shape
    edges = parameters.log_weights.exp().cumsum(-1)
    kind: Any = {"generator": generator, "dtype": means.dtype, "device": means.device}
    uniform = torch.rand(s, n, **kind)
    component = torch.searchsorted(edges, uniform, right=True).clamp_(max=k - 1)
    noise = torch.randn(s, n, d, **kind)
    x = means.gather(1, component[..., None].expand(-1, -1, d))
    for j, root in enumerate(family.scale_tril(parameters.factor, d).unbind(1)):
        drawn = family.of_component(component) == j
        x += torch.where(drawn[..., None], noise @ root.mT, 0.0)
    return x
