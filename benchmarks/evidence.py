"""The log evidence of the galaxies under Chib's prior, by three estimators that share no draw.

    python benchmarks/evidence.py [--seeds 12] [--draws 20000000]

Means ~ N(20, 10²), variances ~ inverse gamma (3, 20), weights ~ Dirichlet(1), for 1 to 8 components
with variances of their own, and for 2 and 3 with an equal one. Each is estimated

- by bridge sampling between the chains of a fit by gibbs and draws from its proposal;
- by sequential Monte Carlo, which knows nothing of the fit;
- for up to three components, by the mean likelihood of so many draws from the prior, in NumPy's
  arithmetic alone.

For the first two the table has the mean over seeds, the deviation between them and the root mean
square of the standard errors that they give: the last two ought to be about equal. A fit says
what `gmm_pyro.inference.weighing.deciding` chooses of both.

Known figures: -226.80 for three components from 10⁸ draws from the prior, where Chib (1995) has
-224.138, which Neal (1999) shows to be wrong; -239.76 and -226.84 for two and three of equal
variance.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import common
import numpy as np
import torch

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.weighing import deciding
from gmm_pyro.inference.weighing.evidence import UNKNOWN, Evidence
from gmm_pyro.inference.weighing.sequential import sequential

CHIB = gp.ConjugatePriors(concentration=1.0, mean=20.0, mean_scale=10.0, dof=6.0, scale=40.0)
PROBLEMS = [("full", k) for k in range(1, 9)] + [("tied", 2), ("tied", 3)]
FROM_PRIOR = 3  # components at most
AT_ONCE = 100_000
SHORT = {"n_draws": 500, "max_doublings": 0}  # bridge sampling takes 256 of them


def by_bridge(model: gp.MixtureModel, x: torch.Tensor, seed: int) -> Evidence:
    """By a fit that takes bridge sampling, whatever its error."""
    kept = deciding.PRECISE, deciding.TRUSTED
    deciding.PRECISE = deciding.TRUSTED = math.inf
    try:
        told = gp.fit(model, x, method="gibbs", seed=seed, **SHORT).diagnostics
    finally:
        deciding.PRECISE, deciding.TRUSTED = kept
    if told.get("evidence_by") != "bridge sampling":  # one component has no population
        return UNKNOWN
    return Evidence(*(told[name] for name in vars(UNKNOWN)))


def by_particles(model: gp.MixtureModel, x: torch.Tensor, seed: int) -> Evidence:
    """By sequential Monte Carlo."""
    found = sequential(model.log_density(observe(x)), torch.Generator().manual_seed(seed))
    return UNKNOWN if found is None else found.evidence


def from_prior(k: int, family: str, x: np.ndarray, draws: int) -> tuple[float, float]:
    """By the mean likelihood of draws from the prior, and its standard error."""
    random, logs = np.random.default_rng(k), []
    for _ in range(draws // AT_ONCE):
        means = random.normal(20.0, 10.0, (k, AT_ONCE))
        variance = 20.0 / random.gamma(3.0, size=(1 if family == "tied" else k, AT_ONCE))
        weights = random.exponential(size=(k, AT_ONCE))
        height = weights / weights.sum(0) / np.sqrt(2 * np.pi * variance)
        slope = np.broadcast_to(-0.5 / variance, means.shape)
        total = np.zeros(AT_ONCE)
        with np.errstate(divide="ignore"):
            for point in x:
                density = sum(
                    height[j] * np.exp(slope[j] * (point - means[j]) ** 2) for j in range(k)
                )
                total += np.log(density)
        logs.append(total)
    log_p = np.concatenate(logs)
    top = log_p.max()
    ratio = np.exp(log_p - top)
    error = ratio.std() / ratio.mean() / math.sqrt(len(ratio))
    return float(top + np.log(ratio.mean())), float(error)


def summary(found: list[Evidence]) -> dict[str, str]:
    """Mean, deviation between seeds and standard error of those that are known."""
    known = [one for one in found if math.isfinite(one.log_evidence)]
    if len(known) < 2:
        return {"mean": "-", "deviation": "-", "error": "-", "known": f"{len(known)}/{len(found)}"}
    values = [one.log_evidence for one in known]
    error = math.sqrt(np.mean([one.log_evidence_se**2 for one in known]))
    return {
        "mean": f"{np.mean(values):.3f}",
        "deviation": f"{np.std(values, ddof=1):.3f}",
        "error": f"{error:.3f}",
        "known": f"{len(known)}/{len(found)}",
    }


def timed(estimate: Callable[[int], Evidence], seeds: int) -> tuple[list[Evidence], float]:
    """Estimates, and processor seconds of one."""
    began = time.process_time()
    found = [estimate(seed) for seed in range(seeds)]
    return found, (time.process_time() - began) / seeds


def main() -> None:
    """Run all, and print and store what they say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--draws", type=int, default=20_000_000)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", gp.FitWarning)
    x = gp.datasets.galaxies().x
    rows: list[dict[str, Any]] = []
    for family, k in PROBLEMS:
        model = gp.MixtureModel(k, family, priors=CHIB)
        row: dict[str, Any] = {"variances": "equal" if family == "tied" else "own", "k": k}
        for name, estimate in {"bridge": by_bridge, "sequential": by_particles}.items():
            found, seconds = timed(partial(estimate, model, x), chosen.seeds)
            row |= {f"{name}: {key}": value for key, value in summary(found).items()}
            row[f"{name}: seconds"] = round(seconds, 1)
        row["prior: mean"] = row["prior: error"] = "-"
        if k <= FROM_PRIOR:
            mean, error = from_prior(k, family, x[:, 0].numpy(), chosen.draws)
            row |= {"prior: mean": f"{mean:.3f}", "prior: error": f"{error:.3f}"}
        rows.append(row)  # which are stored as they come
        common.report("evidence", "Log evidence of the galaxies under Chib's prior", rows)


if __name__ == "__main__":
    main()
