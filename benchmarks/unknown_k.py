"""The posterior of the number of components of the galaxies' velocities, and the evidence of each.

    python benchmarks/unknown_k.py [posterior|evidence] [--draws 5000]

`posterior`: under the prior of Richardson & Green (1997), k ~ U{1..30}, weights ~ Dirichlet(1),
means ~ N(midrange, R²), 1/σ² ~ Γ(2, β), β ~ Γ(.2, 10 / R²), beside their table 1 and the figures of
an independent sampler on this file. `evidence`: under the prior of Chib (1995), means ~ N(20, 100),
σ² ~ IG(3, 20), weights ~ Dirichlet(1): the log ratios of the evidence of numbers of components that
are known, and of the posterior of one that is not, with k ~ U{1..10}; and both in one picture,
`results/unknown_k_evidence.png`.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from typing import Any

import common
import numpy as np
from matplotlib.figure import Figure

import gmm_pyro as gp
from gmm_pyro.posterior.convergence import ess_mean, r_hat

PUBLISHED = {3: 0.061, 4: 0.128, 5: 0.182, 6: 0.199, 7: 0.160, 8: 0.109, 9: 0.071}
INDEPENDENT = {3: 0.066, 4: 0.131, 5: 0.185, 6: 0.197, 7: 0.160, 8: 0.109, 9: 0.067}
CHAINS = 16
LIKELY = 0.05  # share of draws that a number has whose evidence is compared


def shares(sizes: np.ndarray, k: int) -> tuple[float, float]:
    """The share of draws with k components, and its standard error."""
    hit = (sizes == k).astype(float)
    share = float(hit.mean())
    return share, math.sqrt(share * (1 - share) / float(ess_mean(hit[..., None])[0]))


def telescoped(model: gp.MixtureModel, draws: int, seed: int) -> tuple[gp.Fit, np.ndarray, float]:
    """A fit, its numbers of components, and the seconds that it took."""
    started = time.perf_counter()
    fit = gp.fit(
        model,
        gp.datasets.galaxies().x,
        "gibbs",
        n_chains=CHAINS,
        n_draws=draws,
        max_doublings=0,
        seed=seed,
    )
    assert fit.posterior is not None
    sizes = fit.posterior.draws["n_components"].numpy().astype(float)
    return fit, sizes, time.perf_counter() - started


def posterior(draws: int) -> list[dict[str, Any]]:
    """One row for each number of components with published figures, and one of convergence."""
    x = gp.datasets.galaxies().x
    low, high = float(x.min()), float(x.max())
    spread = high - low
    scale = gp.RandomScale(dof=0.4, mean=0.04 * spread**2)
    priors = gp.ConjugatePriors(1.0, mean=(low + high) / 2, mean_scale=spread, dof=4.0, scale=scale)
    model = gp.MixtureModel(gp.Unknown("uniform", most=30), "spherical", priors)
    fit, sizes, seconds = telescoped(model, draws, seed=0)
    rows = []
    for k in PUBLISHED:
        share, error = shares(sizes, k)
        rows.append(
            {
                "components": k,
                "P(k)": round(share, 4),
                "standard error": round(error, 4),
                "Richardson & Green": PUBLISHED[k],
                "independent sampler": INDEPENDENT[k],
            }
        )
    assert fit.posterior is not None
    density = fit.posterior.statistics["lp"].numpy()
    found = r_hat(np.stack([sizes, density], 2))
    ended = (
        f"{fit.status.name}, {sizes.size:,} draws, {seconds:.0f} s; R-hat of k "
        f"{found[0]:.4f}, of the log density {found[1]:.4f}"
    )
    rows.append({**dict.fromkeys(rows[0], ""), "components": ended})
    return rows


def evidence(draws: int) -> list[dict[str, Any]]:
    """One row for each likely number of components after the likeliest one."""
    given = {"concentration": 1.0, "mean": 20.0, "mean_scale": 10.0, "dof": 6.0, "scale": 40.0}
    priors = gp.ConjugatePriors(**given)
    unknown = gp.MixtureModel(gp.Unknown("uniform", most=10), "spherical", priors)
    fit, sizes, _ = telescoped(unknown, draws, seed=1)
    known = [k for k in range(1, 11) if (sizes == k).mean() > LIKELY]
    x = gp.datasets.galaxies().x
    selection = gp.select(x, known, "spherical", "evidence", "gibbs", priors=priors, seed=1)
    fits = {k: selection.fit(k, "spherical") for k in known}
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    gp.plots.number_of_components(fit, figure.subplots(), evidence=selection)
    figure.savefig(common.RESULTS / "unknown_k_evidence.png", dpi=120)
    rows, first = [], known[0]
    for k in known:
        (share, error), (base, base_error) = shares(sizes, k), shares(sizes, first)
        of_draws = math.log(share / base)
        of_fits = fits[k].log_evidence - fits[first].log_evidence
        errors = [error / share, base_error / base] if k != first else [0.0]
        errors += [fits[j].evidence.log_evidence_se for j in (k, first) if k != first]
        combined = math.sqrt(sum(e**2 for e in errors))
        rows.append(
            {
                "components": k,
                "log evidence": round(fits[k].log_evidence, 3),
                "its error": round(fits[k].evidence.log_evidence_se, 3),
                "log ratio of evidence": round(of_fits, 3),
                "log ratio of P(k)": round(of_draws, 3),
                "difference, combined errors": round((of_draws - of_fits) / combined, 2)
                if combined
                else 0.0,
            }
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=["posterior", "evidence"])
    parser.add_argument("--draws", type=int, default=5000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", gp.FitWarning)
    parts = {"posterior": posterior, "evidence": evidence}
    for name in [arguments.part] if arguments.part else parts:
        common.report(
            f"unknown_k_{name}",
            f"Galaxies, unknown number of components: {name} (`python benchmarks/unknown_k.py"
            f" {name} --draws {arguments.draws}`)",
            parts[name](arguments.draws),
        )
