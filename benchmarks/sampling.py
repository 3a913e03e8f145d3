"""Exact samplers: effective draws a second, a sweep against a step of EM, and relabelling.

    python benchmarks/sampling.py [--quick]

All samplers have one posterior, that of the default conjugate prior. Effective draws are the fewest
of the log-likelihood and of the means of the components; warm-up counts, compilation does not.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import common
import numpy as np
import torch

import gmm_pyro as gp
from gmm_pyro.covariance import Parameters
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.chains.sweep import Sampler
from gmm_pyro.inference_data.generation import dataset
from gmm_pyro.posterior import Posterior
from gmm_pyro.reduction.sums import maximise, reduce
from gmm_pyro.reduction.theta import theta_of
from gmm_pyro.running.threads import one_thread_a_product

QUICK = "--quick" in sys.argv
SMALL = gp.datasets.three_clusters().x
MODEL = gp.MixtureModel(3, priors=gp.ConjugatePriors())
ROUNDS = 1 if QUICK else 3  # of relabelling

Draws = dict[str, np.ndarray]  # the log-likelihood, and the means


def fewest(draws: Draws) -> float:
    """The smallest effective number of draws of all quantities (ArviZ's bulk ESS)."""
    import arviz

    found = arviz.ess(dataset(draws, {}, {}), method="bulk")
    return float(min(found[name].values.min() for name in found.data_vars))


def rate(run: Callable[[int], Draws], rounds: int) -> tuple[float, float]:
    """Effective draws a second, and seconds: medians over seeds."""
    rates, seconds = [], []
    for seed in range(rounds):
        started = time.perf_counter()
        draws = run(seed)
        seconds.append(time.perf_counter() - started)
        rates.append(fewest(draws) / seconds[-1])
    return statistics.median(rates), statistics.median(seconds)


def ours(method: str, **options: Any) -> Callable[[int], Draws]:
    """Draws of one of our samplers."""

    def run(seed: int) -> Draws:
        posterior = gp.fit(MODEL, SMALL, method, seed=seed, **options).posterior
        return {
            "log_likelihood": posterior.statistics["log_likelihood"].numpy(),
            "means": posterior.draws["means"].numpy(),
        }

    small = {"n_draws": 2, "n_warmup": 2, "engine": options.get("engine")}
    known = {name: value for name, value in small.items() if value is not None}
    gp.fit(MODEL, SMALL, method, **known)  # what is imported on first use does not count
    return run


def numpyros(n_chains: int, n_draws: int) -> Callable[[int], Draws] | None:
    """NumPyro's NUTS on the marginal density, compiled before it is timed."""
    try:
        import jax
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist
        from numpyro.infer import MCMC, NUTS, init_to_value
    except ImportError:
        return None
    numpyro.enable_x64()
    numpyro.set_host_device_count(2)
    model = MODEL.specialise(SMALL)
    prior = model.priors.conjugate(model.family, 3)
    alpha, h = prior.mixing.concentration.numpy(), prior.components
    start = gp.fit(model, SMALL, "map").mixture
    x, scale = SMALL.numpy(), h.scale[0, 0].numpy()

    def program() -> None:
        weights = numpyro.sample("weights", dist.Dirichlet(alpha))
        wishart = dist.WishartCholesky(float(h.dof), rate_matrix=scale)
        with numpyro.plate("components", 3):
            root = numpyro.sample("root", wishart)
            precision = root @ root.mT
            normal = dist.MultivariateNormal(
                h.mean[0, 0].numpy(), precision_matrix=float(h.mean_strength) * precision
            )
            means = numpyro.sample("means", normal)
        components = dist.MultivariateNormal(means, precision_matrix=precision)
        mixture = dist.MixtureSameFamily(dist.Categorical(weights), components)
        log_likelihood = mixture.log_prob(x).sum()
        numpyro.deterministic("log_likelihood", log_likelihood)
        numpyro.factor("x", log_likelihood)

    precision = np.linalg.inv(start.covariance_matrices().numpy())
    values = {
        "weights": jnp.array(start.weights.numpy()),
        "means": jnp.array(start.means.numpy()),
        "root": jnp.array(np.linalg.cholesky(precision)),
    }
    mcmc = MCMC(
        NUTS(program, init_strategy=init_to_value(values=values)),
        num_warmup=300,
        num_samples=n_draws,
        num_chains=n_chains,
        chain_method="parallel",
        progress_bar=False,
    )

    def run(seed: int) -> Draws:
        mcmc.run(jax.random.PRNGKey(seed))
        draws = mcmc.get_samples(group_by_chain=True)
        return {name: np.asarray(draws[name]) for name in ("log_likelihood", "means")}

    run(100)
    return run


def samplers() -> list[dict[str, Any]]:
    """Effective draws a second of all samplers."""
    n_draws = 200 if QUICK else 1000
    pyros = {"engine": "enumerated", "n_chains": 1, "n_draws": n_draws // 4, "n_warmup": 150}
    sides: list[tuple[str, Callable[[int], Draws] | None, int]] = [
        ("gibbs, 16 chains", ours("gibbs", n_chains=16, n_draws=n_draws), 3),
        ("nuts, 16 chains", ours("nuts", n_draws=n_draws // 4), 1),
        ("Pyro's NUTS, enumerated, 1 chain", ours("nuts", **pyros), 1),
        ("NumPyro's NUTS, 2 chains, compiled", numpyros(2, n_draws), 1),
    ]
    rows: list[dict[str, Any]] = []
    for name, run, rounds in sides:
        if run is not None:
            per_second, seconds = rate(run, rounds)
            rows.append({"sampler": name, "seconds": seconds, "ESS a second": per_second})
    return rows


def sweeps() -> list[dict[str, Any]]:
    """A sweep against a step of EM, 100,000 x 8 with 8 components, and small ones by kernel."""
    n = 10_000 if QUICK else 100_000
    large, small = (
        gp.datasets.make_mixture(n, 8, 8, separation=2.5, seed=1),
        gp.datasets.three_clusters(),
    )
    rounds = 5 if QUICK else 25
    sides = {"gmm_pyro": sweeping(large, 1), "other": stepping(large)}
    rows = [against(f"a sweep / a step of EM, {n:,} x 8, k = 8", sides, rounds, repeats=3)]
    sides = {"gmm_pyro": sweeping(small, 16), "other": sweeping(small, 16, compiled=False)}
    return [
        *rows,
        against(
            "a sweep of 16 chains / the same by torch, 300 x 2, k = 3", sides, rounds, repeats=30
        ),
    ]


def against(
    what: str, sides: dict[str, Callable[[], Any]], rounds: int, repeats: int
) -> dict[str, Any]:
    """One side against the other, and how long ours takes in units of its time."""

    def repeated(run: Callable[[], Any]) -> Callable[[], None]:
        def runs() -> None:
            for _ in range(repeats):
                run()

        return runs

    with one_thread_a_product():
        runs = {name: repeated(run) for name, run in sides.items()}
        times = common.interleaved(runs, rounds=rounds, warm_up=3)
    return {
        "what": what,
        "ms": common.milliseconds(times["gmm_pyro"], repeats),
        "against, ms": common.milliseconds(times["other"], repeats),
        "ratio": 1 / common.ratio(times, "other"),
    }


def sweeping(data: gp.Dataset, n_chains: int, *, compiled: bool = True) -> Callable[[], Any]:
    """A sweep of chains that begin at the truth."""
    observations = replace(observe(data.x), compiled=compiled)
    k = data.truth.n_components
    model = gp.MixtureModel(k, priors=gp.ConjugatePriors()).specialise(observations)
    prior = model.priors.conjugate(model.family, k, observations.origin)
    sampler = Sampler.of(prior, observations, exchange=True)
    generator = torch.Generator().manual_seed(0)
    p = Parameters.joined([data.truth.parameters] * n_chains)
    return lambda: sampler.sweep(p, generator)


def stepping(data: gp.Dataset) -> Callable[[], Any]:
    """A step of EM from the truth."""
    observations, p = replace(observe(data.x), compiled=True), data.truth.parameters
    floor = torch.zeros(data.x.shape[1], dtype=torch.float64)
    theta = theta_of(data.truth.family, p, observations)
    return lambda: maximise(observations, theta, reduce(observations, theta), floor)


def relabelling() -> dict[str, Any]:
    """4,000 draws of 1,000 points and 5 components, exchanged at random, put in order."""
    data = gp.datasets.make_mixture(1000, 2, 5, separation=3.0, seed=1)
    model = gp.MixtureModel(5, priors=gp.ConjugatePriors())
    posterior: Posterior = gp.fit(model, data.x, "gibbs", n_draws=1000).posterior.raw()
    times = common.interleaved({"gmm_pyro": posterior.relabel}, rounds=ROUNDS)
    return {
        "what": "relabelling 4,000 draws of 1,000 points, k = 5",
        "ms": common.milliseconds(times["gmm_pyro"]),
        "against, ms": "-",
        "ratio": "-",
    }


def main() -> None:
    """Print and write the tables."""
    title = "300 x 2, k = 3: the fewest effective draws a second"
    common.report("samplers", title, samplers())
    common.report("sweeps", "Sweeps and relabelling: minimum / median", [*sweeps(), relabelling()])


if __name__ == "__main__":
    main()
