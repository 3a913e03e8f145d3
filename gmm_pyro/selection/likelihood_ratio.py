"""How many components: k against k + 1 by likelihood ratios, whose distribution is simulated.

Twice the gain of log-likelihood by one more component is not distributed as chi-squared, since the
parameters of a component that is not there are not identified. Data sets from the mixture of k
components show how large the gain is where there is nothing to gain (McLachlan 1987).

A likelihood of a mixture has many maxima, and a longer search finds higher ones. A p-value is right
only if the data are searched as the data sets that they are compared with: so they are one more of
these, and the statistic that counts is `alike`, found by the same starts and steps. `statistic` is
that of the full search of a fit, which is too long for a thousand data sets: of data sets like Old
Faithful it finds 4 to 7 more (`benchmarks/results/bootstrap_against_fits.md`), and compared with
replicates that lack them it would be significant too often.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters
from ..data.checks import check_count, check_list, check_number, check_seed, shown
from ..data.observations import observe
from ..data.points import Observations
from ..inference.fit import Fit, fit
from ..inference.soundness import Soundness
from ..inference.task import Task
from ..model.program import MixtureModel
from ..reduction.together import DataSets
from ..running.seeds import Stream
from ..running.threads import one_thread_a_product
from .climbing import Ends, Rule, climbed
from .resamples import NEXT, NUMBERS, share_of
from .splitting import likeliest_with_one_more
from .tests_of_k import LikelihoodRatioTest, LikelihoodRatioTests

MOST = 10**6  # data sets
TOLERANCE = 3e-5  # log-likelihood that may be left of a data set, in nats a point
MAX_STEPS = 500  # of a data set


def bootstrap_lrt(
    x: Any,
    k: Any = range(1, 10),
    *,
    covariance: str = "full",
    n: int = 999,
    level: float = 0.05,
    seed: int = 0,
    **options: Any,
) -> LikelihoodRatioTests:
    """Sequential bootstrap likelihood-ratio tests of the number of components.

    The first number of components is tested against the second, then that against the third, until
    a test is not significant. The data, and n data sets from the mixture of fewer components, are
    fitted by both numbers of components, all of them as one batch.

    Args:
        x: data of shape (n, d), as `fit` takes it, complete and without weights.
        k: numbers of components in turn, each one more than the one before.
        covariance: the covariance family, or mclust's code.
        n: how many data sets each test simulates.
        level: of each test: the probability of an error of the first kind.
        seed: of every random choice.
        **options: of em, for the fits of x itself; `covariance_floor` and `least_points` are those
            of the simulated data sets, too.

    Returns:
        The tests, with the number of components that they come to.

    Raises:
        ValueError: if the data are not valid, k is no such list, or n is too small for a p-value
            as low as the level.

    Source: McLachlan (1987), Applied Statistics 36, 318-324.

    Example:
        >>> import gmm_pyro as gp
        >>> tests = bootstrap_lrt(gp.datasets.bimodal().x, n=39)
        >>> tests.n_components, len(tests.table)
        (2, 2)
    """
    numbers = _consecutive(k)
    level = check_number("level", level, high=1.0, positive=True)
    n, seed = check_count("n", n, 1, MOST), check_seed(seed)
    if (n + 1) * level < 1:
        raise ValueError(f"n must be at least 1 / level - 1 = {1 / level - 1:.0f}, got {n}")
    started = time.perf_counter()
    observations = _complete(observe(x, n_components=numbers[-1], missing="refuse"))

    def fitted(k: int) -> Fit:
        return fit(MixtureModel(k, covariance), observations, "em", seed=seed, **options)

    fits, found = {numbers[0]: fitted(numbers[0])}, []
    for k0, k1 in zip(numbers, numbers[1:], strict=False):
        fits[k1] = fitted(k1)
        found.append(_tested(fits[k0], fits[k1], n, seed))
        if found[-1].p_value > level:
            break
    last = found[-1]
    chosen = last.k1 if last.p_value <= level else last.k0
    return LikelihoodRatioTests(
        tuple(found), fits, chosen, level, seed, time.perf_counter() - started
    )


def _consecutive(k: Any) -> list[int]:
    numbers = [check_count("k", number, 1) for number in check_list("k", k, "numbers")]
    if len(numbers) < 2 or any(b - a != 1 for a, b in zip(numbers, numbers[1:], strict=False)):
        raise ValueError(f"k must be two or more numbers, each one more than the last: {shown(k)}")
    return numbers


def _complete(observations: Observations) -> Observations:
    weight = observations.sample_weight
    known = observations.measured is not None or observations.allowed is not None
    if known or weight is not None:
        raise ValueError("x must be points without weights, noise, projections or labels")
    return observations


@one_thread_a_product()
@torch.no_grad()
def _tested(null: Fit, full: Fit, n: int, seed: int) -> LikelihoodRatioTest:
    """The test of one number of components against one more."""
    parts = [_gains(null, full, samples, seed) for samples in _data_sets(null, n, seed)]
    gains, sound, converged = map(torch.cat, zip(*parts, strict=True))
    values = 2 * gains
    alike, replicates = float(values[0]), values[1:]
    return LikelihoodRatioTest(
        k0=null.model.n_components,
        k1=full.model.n_components,
        log_likelihoods=(null.objective, full.objective),
        alike=alike,
        p_value=(1 + int((replicates >= alike).sum())) / (n + 1),
        replicates=replicates,
        unsound=share_of(~sound[1:]),
        unconverged=share_of(~converged[1:]),
    )


def _data_sets(null: Fit, n: int, seed: int) -> Iterator[DataSets]:
    """The data, and after them n data sets from their mixture, in batches that memory holds."""
    data = null.observations
    points = replace(data, cache={})
    size = data.x.numel()
    for part, sets in enumerate(torch.arange(n).split(max(1, NUMBERS // size))):
        own = (Stream.RESAMPLES.seed(seed) + NEXT * part) % 2**63
        x = null.mixture.sample(len(sets) * data.n, own).view(len(sets), data.n, data.d)
        x = x.to(data.x)
        yield DataSets(points, torch.cat([data.x[None], x]) if part == 0 else x)


def _gains(
    null: Fit, full: Fit, samples: DataSets, seed: int
) -> tuple[Float[Tensor, "s"], Tensor, Tensor]:
    """What one more component gains on each data set, in nats; whether it is sound, and the end.

    Where no sound solution has been found, one component twice stands for it: it gains nothing.
    """
    task = Task("em", full.model, full.observations, full.options)
    tolerance = TOLERANCE * samples.n
    rule = Rule(full.model.family, task.floor, tolerance, MAX_STEPS)
    s, everyone = len(samples), torch.arange(len(samples))
    values = (value.expand(s, *value.shape[1:]) for value in null.mixture.parameters.values)
    nulls = climbed(samples, Ends.begun(Parameters(*values)), rule, everyone)
    generator = torch.Generator().manual_seed(Stream.SPLITS.seed(seed) % 2**63)
    more = likeliest_with_one_more(
        samples, nulls.parameters, rule, Soundness.for_task(task), generator
    )
    sound = more.log_likelihood.isfinite()
    gains = (more.log_likelihood - nulls.heading).clamp_min(0.0).nan_to_num(neginf=0.0)
    return gains, sound, more.converged & nulls.converged
