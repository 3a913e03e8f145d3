"""How sure the parameters of a fit are: estimates from resamples of its data, all as one batch.

Every resample is a weighting of the same points, or a data set from the fitted mixture, and is
fitted by EM from the fit's own mixture on: the variation about this solution of the likelihood, not
that of the search for it. Components are numbered as in the fit.

Source: Efron & Tibshirani (1993), "An introduction to the bootstrap"; Newton & Raftery (1994) for
random weights; O'Hagan, Murphy, Scrucca & Gormley (2019) for mixtures.
"""

from __future__ import annotations

import time
import warnings

import torch
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters
from ..covariance.sharing import NOISE_WEIGHT
from ..data.checks import check_choice, check_count, check_number, check_seed, shown
from ..inference.fit import Fit
from ..inference.soundness import Soundness
from ..inference.task import FitWarning, Task
from ..posterior import Posterior
from ..posterior.relabelling import numbered_as
from ..running.threads import one_thread_a_product
from .climbing import Ends, Rule, climbed, sound
from .resamples import KINDS, check_resampled, resamples, share_of
from .result import Bootstrap

MOST = 10**6  # resamples
FEW = 0.05  # share of the resamples, above which what is wrong with them is said


def bootstrap(
    fit: Fit,
    n: int = 999,
    *,
    kind: str = "weighted",
    seed: int = 0,
    tolerance: float | None = None,
    max_steps: int | None = None,
) -> Bootstrap:
    """Standard errors and intervals of the parameters of a fit by em, from resamples of its data.

    Args:
        fit: a fit by em. Sample weights, missing values, labels, fixed parameters and a component
            of noise are as in the fit.
        n: how many resamples; the jackknife has as many as there are points.
        kind: "weighted": all points with random weights, exponential ones that are scaled to the
            weight of the data (Newton & Raftery 1994). No component loses all its points, so it is
            the default. "nonparametric": as many points as there are, drawn with replacement.
            "parametric": as many points from the fitted mixture. "jackknife": all points but one.
        seed: of the random numbers.
        tolerance: log-likelihood that may be left, in nats a point; that of the fit, if None.
        max_steps: most steps of each resample; those of the fit, if None.

    Returns:
        The estimates, and what they say. Resamples of which more than a twentieth have not
        converged, or are degenerate, warn.

    Raises:
        TypeError: if it is no fit.
        ValueError: if it is by another method, or its data cannot be resampled so.

    Example:
        >>> import gmm_pyro as gp
        >>> data = gp.datasets.old_faithful()
        >>> found = bootstrap(gp.fit(gp.MixtureModel(2), data.x), n=99)
        >>> found.standard_errors["weights"].shape, found.intervals()["means"].lower.shape
        (torch.Size([2]), torch.Size([2, 2]))
    """
    started = time.perf_counter()
    _check(fit, kind)
    n, seed = check_count("n", n, 2, MOST), check_seed(seed)
    with one_thread_a_product():
        ends, is_sound = _estimates(fit, kind, n, seed, _rule(fit, tolerance, max_steps))
        finite = _finite(ends.parameters)
        kept = finite if kind == "jackknife" else is_sound
        if int(kept.sum()) < (len(ends) if kind == "jackknife" else 2):
            raise ValueError(
                f"the fit has no regular solution for {int((~kept).sum())} of its {len(ends)} "
                f"resamples of kind={kind!r}"
            )
        posterior = _aligned(fit, ends[kept.nonzero()[:, 0]])
    found = Bootstrap(
        fit=fit,
        kind=kind,
        posterior=posterior,
        n=len(ends),
        unconverged=share_of(~ends.converged),
        degenerate=share_of(~is_sound),
        ambiguous=posterior.ambiguous or 0.0,
        seed=seed,
        seconds=time.perf_counter() - started,
    )
    _complain(found)
    return found


def _check(fit: Fit, kind: str) -> None:
    if not isinstance(fit, Fit):
        raise TypeError(f"fit must be a gmm_pyro.Fit, got {shown(fit)}")
    check_choice("kind", kind, KINDS)
    if fit.method != "em":
        raise ValueError(
            f"fit must be by em, whose estimates resamples vary about; this is one by {fit.method}"
        )
    check_resampled(fit, kind)


def _rule(fit: Fit, tolerance: float | None, max_steps: int | None) -> Rule:
    """How resamples climb."""
    options, total = fit.options, fit.observations.total_weight
    given = options.tolerance if tolerance is None else check_number("tolerance", tolerance)
    most = options.max_steps if max_steps is None else check_count("max_steps", max_steps, 1)
    floor = Task(fit.method, fit.model, fit.observations, options).floor
    return Rule(fit.model.family, floor, given * total, most, fit.model.fixed)


def _estimates(fit: Fit, kind: str, n: int, seed: int, rule: Rule) -> tuple[Ends, Tensor]:
    """Where EM comes to from the fit's mixture on each resample, and whether that is sound."""
    soundness = Soundness.for_task(Task(fit.method, fit.model, fit.observations, fit.options))
    start, found, flags = fit.mixture.parameters, [], []
    for samples in resamples(fit, kind, n, seed):
        everyone = torch.arange(len(samples))
        values = (value.expand(len(samples), *value.shape[1:]) for value in start.values)
        ends = climbed(samples, Ends.begun(Parameters(*values)), rule, everyone)
        found.append(ends)
        flags.append(sound(samples, ends.parameters, rule.family, soundness, everyone))
    return Ends.joined(found), torch.cat(flags)


def _finite(parameters: Parameters) -> Tensor:
    values = [value.flatten(1) for value in parameters.values if value.ndim > 1]
    return torch.cat(values, 1).isfinite().all(1)


def _aligned(fit: Fit, ends: Ends) -> Posterior:
    """The estimates as draws, with components numbered as in the fit."""
    statistics = {
        "converged": ends.converged[None],
        "log_likelihood": ends.log_likelihood[None],
        "n_steps": ends.steps[None],
    }
    draws = {name: value[None] for name, value in sites(fit.model.family, ends.parameters).items()}
    posterior = Posterior(
        draws,
        fit.model.family,
        fit.observations,
        statistics=statistics,
        independent=True,
        noise_component=fit.model.noise,
    )
    told_apart = fit.observations.allowed is not None or fit.model.fixed is not None
    return posterior if told_apart else numbered_as(posterior, fit.mixture)


def sites(family: CovarianceFamily, parameters: Parameters) -> dict[str, Tensor]:
    """Values of the sites of s mixtures: the inverse of `CovarianceFamily.parameters`."""
    weights = parameters.log_weights.exp()
    found = {"weights": weights, "means": parameters.means, **family.sites(parameters.factor)}
    if parameters.log_odds is not None:
        found[NOISE_WEIGHT] = parameters.log_odds.sigmoid()
    return found


def _complain(found: Bootstrap) -> None:
    shares = {"did not converge": found.unconverged, "are degenerate": found.degenerate}
    for what, share in shares.items():
        if share > FEW:
            warnings.warn(f"{share:.0%} of {found.n} resamples {what}", FitWarning, stacklevel=3)
