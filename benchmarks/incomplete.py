"""Data with holes and noise: what a step costs, and what the fits are worth beside other ways.

    python benchmarks/incomplete.py [--quick]

- Steps: one pass over points with 10 % of their values missing, and with noise of each row, beside
  one over whole points, on one thread.
- Irises with 30 % of their values missing at random: adjusted Rand index of each method, beside the
  same after the means of columns were filled in, and of a fit to the whole rows alone; medians over
  some patterns.
- Extreme deconvolution beside astroML's, if it is there, from the same start: log-likelihoods of
  the measurements after as many steps, in nats a point, and seconds.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from typing import Any

import common
import numpy as np
import torch
from sklearn.datasets import load_iris

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.starts.starting import starting_parameters
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import theta_of

METHODS = ["em", "map", "laplace", "svi", "gibbs"]


def steps(*, quick: bool) -> list[dict[str, Any]]:
    """Milliseconds of a pass."""
    n, d, k = (10_000 if quick else 100_000), 8, 8
    data = gp.datasets.make_mixture(n=n, d=d, k=k, seed=0)
    rng = np.random.default_rng(1)
    holes = np.where(rng.random((n, d)) < 0.1, np.nan, data.x.numpy())
    few = n // 10
    whole, family = observe(data.x), gp.MixtureModel(k).family
    p = starting_parameters(
        *("k-means++", whole, family, k),
        n_starts=1,
        floor=1e-6 * whole.scale.square(),
        generator=torch.Generator().manual_seed(0),
    )
    cases = {
        "whole": (whole, 1),
        "10 % missing": (observe(holes), 1),
        "noise of each row": (observe(data.x[:few], noise=rng.uniform(0.1, 0.5, (few, d))), 10),
    }
    torch.set_num_threads(1)
    thetas = {name: theta_of(family, p, o) for name, (o, _) in cases.items()}
    sides = {name: (lambda n=name: reduce(cases[n][0], thetas[n])) for name in cases}
    times = common.interleaved(sides, rounds=3 if quick else 9, warm_up=2)
    return [
        {
            "data": name,
            "size": f"{n:,} x {d}, k = {k}",
            "kinds of rows": times_as_many
            * (1 if o.measured is None else len(o.measured.observed)),
            "ms (least / median)": common.milliseconds([t * times_as_many for t in times[name]]),
            "times a whole one": round(times_as_many * common.ratio(times, name, "whole"), 2),
        }
        for name, (o, times_as_many) in cases.items()
    ]


def irises(*, quick: bool) -> list[dict[str, Any]]:
    """Adjusted Rand indices."""
    x, species = load_iris(return_X_y=True)
    scores: dict[tuple[str, str], list[float]] = {}
    for seed in range(1 if quick else 5):
        hidden = np.random.default_rng(seed).random(x.shape) < 0.3
        holes = np.where(hidden, np.nan, x)
        ways = {
            "integrated out": holes,
            "means filled in": np.where(hidden, np.nanmean(holes, 0), x),
            "whole rows": holes[~hidden.any(1)],
        }
        for method in METHODS[: 2 if quick else None]:
            for way, data in ways.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", gp.FitWarning)
                    priors = gp.ConjugatePriors()
                    fit = gp.fit(gp.MixtureModel(3, priors=priors), data, method)
                score = gp.metrics.adjusted_rand(species, fit.mixture.predict(holes))
                scores.setdefault((method, way), []).append(score)
    ways = list(dict.fromkeys(way for _, way in scores))
    return [
        {"method": method, **{w: round(statistics.median(scores[method, w]), 3) for w in ways}}
        for method in dict.fromkeys(method for method, _ in scores)
    ]


def deconvolution(*, quick: bool) -> list[dict[str, Any]]:
    """Ours and astroML's, from one start."""
    try:
        from astroML.density_estimation import XDGMM
    except ImportError:
        return []
    n, k, most = (500 if quick else 2_000), 3, 100
    data = gp.datasets.make_mixture(n=n, d=2, k=k, separation=4.0, seed=3)
    rng = np.random.default_rng(4)
    deviations = rng.uniform(0.1, 1.0, (n, 2))
    noisy = data.x.numpy() + deviations * rng.normal(size=(n, 2))
    noise = deviations[:, :, None] ** 2 * np.eye(2)
    start = gp.fit(gp.MixtureModel(k), noisy).mixture
    theirs = XDGMM(k)

    def peer() -> float:
        theirs.mu, theirs.alpha, theirs.V = (
            value.numpy().copy() for value in (start.means, start.weights, start.covariances)
        )
        for _ in range(most):
            theirs._EMstep(noisy, noise)  # fit has a start of its own
        return float(theirs.logL(noisy, noise))

    def ours() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gp.FitWarning)
            fit = gp.fit(
                *(gp.MixtureModel(k), noisy),
                noise=deviations,
                start=start,
                search="starts",
                max_steps=most,
                tolerance=0,
            )
        return fit.objective

    times = common.interleaved({"astroML": peer, "gmm_pyro": ours}, rounds=3, warm_up=0)
    found = {"astroML": peer() / n, "gmm_pyro": ours() / n}
    return [
        {
            "side": side,
            "steps": most,
            "log-likelihood, nats a point": round(found[side], 6),
            "seconds": round(statistics.median(times[side]), 2),
        }
        for side in found
    ]


def main() -> None:
    """Run all parts, and print and store what they say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    common.report("incomplete_steps", "A pass over data with holes and noise", steps(quick=quick))
    common.report("incomplete_irises", "Irises with 30 % missing: ARI", irises(quick=quick))
    rows = deconvolution(quick=quick)
    if rows:
        common.report("incomplete_deconvolution", "Extreme deconvolution from one start", rows)


if __name__ == "__main__":
    main()
