"""Whether Gibbs sampling goes to all modes and says so: every fit against long runs of sweeps.

    python benchmarks/gibbs_modes.py [--seeds 8] [--reference]

With `--reference`, each posterior is described in two ways that know nothing of populations and
jumps, and the one with the smaller standard error is stored; without it they are read.

- Sweeps: 256 chains without jumps that start apart, of 30,000 sweeps each, of which the last 20,000
  count: some 5 million draws. Where sweeps do not lead from mode to mode, chains that are stuck
  give them a large error.
- Importance sampling: 80,000 draws from the posteriors given assignments that 512 short chains have
  visited, weighed by the posterior. It is not stored where its weights have an effective size below
  1,000, as for wine with full covariances.

A fit that says CONVERGED is false if its mean log density or a mean of its weights, in falling
order, is more than four combined standard errors from theirs.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from typing import Any

import common
import numpy as np
import torch
from sklearn.datasets import load_iris, load_wine

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.chains.sweep import Sampler
from gmm_pyro.inference.evidences import evidence_if_any
from gmm_pyro.inference.starts.starting import starting_parameters
from gmm_pyro.inference.weighing.assigned import Assigned
from gmm_pyro.inference.weighing.proposal import Proposal
from gmm_pyro.model.declaration import require_conjugate
from gmm_pyro.posterior.convergence import ess_mean

STORED = common.RESULTS / "gibbs_modes_reference.json"
CHAINS, FORGOTTEN, SWEEPS, THIN = 256, 10_000, 20_000, 10
FALSE = 4.0  # combined standard errors
PROBLEMS = [
    ("iris", 2, "full"),
    ("iris", 3, "full"),
    ("iris", 4, "full"),
    ("wine", 3, "diag"),
    ("wine", 3, "full"),
    ("old_faithful", 2, "full"),
    ("old_faithful", 3, "full"),
    ("galaxies", 3, "full"),
    ("galaxies", 4, "full"),
    ("galaxies", 6, "full"),
]
UNREACHED = [("wine", 3, "full")]  # by either
VISITING, SETTLED, PROPOSED, AT_ONCE, FEWEST = 512, 200, 80_000, 500, 1_000  # of weights


def points(data: str) -> np.ndarray:
    """The data by its name."""
    own = {"iris": load_iris, "wine": load_wine}
    if data in own:
        return own[data]().data
    return np.asarray(getattr(gp.datasets, data)().x)


def summary(log_density: np.ndarray, weights: np.ndarray) -> dict[str, list[float]]:
    """Means and standard errors of the log density and the weights in falling order.

    Args:
        log_density: of draws, (chain, draw).
        weights: theirs, (chain, draw, k).
    """
    falling = -np.sort(-weights, axis=2)
    values = np.concatenate([log_density[..., None], falling], 2)
    varies = values.std((0, 1))
    return {
        "mean": values.mean((0, 1)).tolist(),
        "error": (varies / np.sqrt(ess_mean(values))).tolist(),
    }


def reference(data: str, k: int, family: str) -> dict[str, Any]:
    """The more precise of two descriptions."""
    found = [swept(data, k, family), weighed(data, k, family)]
    return min(filter(None, found), key=lambda one: one["error"][0])


def weighed(data: str, k: int, family: str) -> dict[str, Any] | None:
    """By importance sampling; None where too few draws have the weight."""
    x = points(data)
    model = gp.MixtureModel(k, family, priors=gp.ConjugatePriors()).specialise(x)
    density, generator = model.log_density(observe(x)), torch.Generator().manual_seed(0)
    visited = Assigned.visited(density, chains=VISITING, seed=0, warm_up=SETTLED)
    proposal, weights, values = Proposal(density, visited), [], []
    for _ in range(PROPOSED // AT_ONCE):
        p = proposal.draw(AT_ONCE, generator)
        likelihood = proposal.log_likelihood(p)
        log_density = likelihood + density.log_prior(density.values(p))
        falling = p.log_weights.exp().sort(1, descending=True).values
        weights.append(proposal.log_weight(p, likelihood))
        values.append(torch.cat([log_density[:, None], falling], 1))
    share, value = torch.cat(weights).softmax(0)[:, None], torch.cat(values)
    if float(1 / share.square().sum()) < FEWEST:
        return None
    mean = (share * value).sum(0)
    error = (share * (value - mean)).square().sum(0).sqrt()
    return {"by": "importance sampling", "mean": mean.tolist(), "error": error.tolist()}


def swept(data: str, k: int, family: str) -> dict[str, Any]:
    """By long runs of sweeps alone."""
    x = points(data)
    model = gp.MixtureModel(k, family, priors=gp.ConjugatePriors()).specialise(x)
    observations, generator = observe(x), torch.Generator().manual_seed(0)
    density = model.log_density(observations)
    prior = require_conjugate(model, "this", observations.origin)
    sampler = Sampler.of(prior, observations, exchange=False)
    starts = [
        starting_parameters(
            *(kind, observations, model.family, k),
            n_starts=CHAINS // 2,
            floor=1e-6 * observations.scale.square(),
            generator=generator,
        )
        for kind in ("k-means++", "random points")
    ]
    p, log_density, weights = type(starts[0]).joined(starts), [], []
    with torch.no_grad():
        for sweep in range(FORGOTTEN + SWEEPS):
            following, statistics = sampler.sweep(p, generator)
            if sweep >= FORGOTTEN and sweep % THIN == 0:
                log_density.append(statistics.log_norm + density.log_prior(density.values(p)))
                weights.append(p.log_weights.exp())
            p = following
    found = summary(torch.stack(log_density, 1).numpy(), torch.stack(weights, 1).numpy())
    return {"by": "sweeps", **found}


def fitted(data: str, k: int, family: str, seed: int) -> dict[str, Any]:
    """A fit at defaults."""
    model = gp.MixtureModel(k, family, priors=gp.ConjugatePriors())
    x, began = points(data), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gp.FitWarning)
        fit = gp.fit(model, x, method="gibbs", seed=seed)
    told = fit.diagnostics
    weights = fit.posterior.draws["weights"].numpy()
    return {
        "processor_seconds": time.process_time() - began,
        "status": fit.status.name,
        "r_hat": told["r_hat"],
        "ess": min(told["ess_bulk"], told["ess_tail"]),
        "jumps": told.get("jumps", math.nan),
        "log_evidence": evidence_if_any(fit).log_evidence,
        "doublings": told["doublings"],
        **summary(fit.posterior.statistics["lp"].numpy(), weights),
    }


def off(found: dict[str, Any], known: dict[str, Any]) -> float:
    """The largest difference of means, in combined standard errors."""
    parts = zip(found["mean"], known["mean"], found["error"], known["error"], strict=True)
    return max(abs(a - b) / math.hypot(s, t) for a, b, s, t in parts)


def row(name: str, fits: list[dict[str, Any]], known: dict[str, Any] | None) -> dict[str, Any]:
    """A line of the table."""
    converged = [fit for fit in fits if fit["status"] == "CONVERGED"]
    errors = [off(fit, known) for fit in converged] if known else []
    seconds = [fit["processor_seconds"] for fit in fits]
    evidence = [fit["log_evidence"] for fit in converged]
    return {
        "posterior": name,
        "converged": f"{len(converged)} of {len(fits)}",
        "falsely": sum(error > FALSE for error in errors) if known else "-",
        "largest difference (standard errors)": round(max(errors), 1) if errors else "-",
        "processor seconds": round(float(np.median(seconds)), 1),
        "most": round(max(seconds), 1),
        "effective draws": round(float(np.median([fit["ess"] for fit in fits]))),
        "log evidence": f"{np.median(evidence):.2f}" if evidence else "-",
        "its deviation": f"{np.std(evidence):.2f}" if evidence else "-",
    }


def main() -> None:
    """Run all fits, and print and store what they say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--reference", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    known = {} if chosen.reference else json.loads(STORED.read_text())
    rows: list[dict[str, Any]] = []
    for problem in PROBLEMS:
        name = "{} {} {}".format(*problem)
        if chosen.reference and problem not in UNREACHED:
            known[name] = reference(*problem)
            STORED.write_text(json.dumps(known, indent=1))
        fits = [fitted(*problem, seed) for seed in range(chosen.seeds)]
        rows.append(row(name, fits, known.get(name)))
        print(rows[-1], flush=True)
    common.report("gibbs_modes", "Gibbs sampling between modes", rows)


if __name__ == "__main__":
    main()
