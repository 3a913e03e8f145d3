"""The posterior of hyperparameters: a prior program against Pyro's and NumPyro's own NUTS.

    python benchmarks/hierarchy.py [--quick]

One program on all sides: the means of two univariate components have a common centre and a spread,
both unknown. Pyro's sampler runs over the program with the assignment enumerated, NumPyro's
over the program with it summed out, compiled; its compilation is counted apart. Every side starts
at the same mode. The standard errors are those of the means of the draws.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import common
import numpy as np
import pyro
import pyro.distributions as dist
import torch

import gmm_pyro as gp
from gmm_pyro.inference_data.generation import dataset
from gmm_pyro.running.threads import one_thread_a_product

QUICK = "--quick" in sys.argv
X = gp.datasets.bimodal(seed=0).x[::5]
K, D = 2, 1
HYPERPARAMETERS = ("centre", "spread")
DRAWS, WARM_UP = (50, 50) if QUICK else (1000, 500)  # of NumPyro's chain
FEW, FEW_WARM_UP = (10, 10) if QUICK else (100, 100)  # of Pyro's, which takes long

Draws = dict[str, np.ndarray]  # of the hyperparameters, each (chain, draw, ...)


def program() -> dict[str, torch.Tensor]:
    """The prior: means about a centre, all unknown; weights and scales as usual."""
    centre = pyro.sample("centre", dist.Normal(0.0, 5.0).expand([D]).to_event(1))
    spread = pyro.sample("spread", dist.LogNormal(1.0, 0.5))
    weights = pyro.sample("weights", dist.Dirichlet(2 * torch.ones(K)))
    with pyro.plate("components", K):
        means = pyro.sample("means", dist.Normal(centre, spread).to_event(1))
        scales = pyro.sample("scales", dist.LogNormal(torch.zeros(D), 1.0).to_event(1))
    return {"weights": weights, "means": means, "scales": scales}


MODEL = gp.MixtureModel(K, priors=program)


def mode() -> dict[str, Any]:
    """Values of the sites at the mode, from which the peers start."""
    density = MODEL.log_density(X)
    mixture = gp.fit(MODEL, X, "map").mixture
    return {name: value[0] for name, value in density.values(mixture.parameters).items()}


def ours() -> tuple[Draws, float, float]:
    """Draws by `nuts`, the seconds that they took, and those of compilation."""
    started = time.perf_counter()
    posterior = gp.fit(MODEL, X, "nuts", n_draws=25 if QUICK else 250).posterior
    seconds = time.perf_counter() - started
    return {name: posterior.draws[name].numpy() for name in HYPERPARAMETERS}, seconds, 0.0


def pyros() -> tuple[Draws, float, float]:
    """Draws by Pyro's NUTS."""
    from pyro.infer import MCMC, NUTS
    from pyro.infer.autoguide import init_to_value

    start = init_to_value(values=mode())
    pyro.set_rng_seed(0)
    mcmc = MCMC(
        NUTS(MODEL, max_plate_nesting=1, init_strategy=start),
        num_samples=FEW,
        warmup_steps=FEW_WARM_UP,
        disable_progbar=True,
    )
    started = time.perf_counter()
    with one_thread_a_product():
        mcmc.run(X)
    seconds = time.perf_counter() - started
    draws = mcmc.get_samples(group_by_chain=True)
    return {name: draws[name].numpy() for name in HYPERPARAMETERS}, seconds, 0.0


def numpyros() -> tuple[Draws, float, float]:
    """Draws by NumPyro's NUTS."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as ndist
    from numpyro.infer import MCMC, NUTS, init_to_value

    numpyro.enable_x64()
    x = X.numpy()

    def same() -> None:
        centre = numpyro.sample("centre", ndist.Normal(0.0, 5.0).expand([D]).to_event(1))
        spread = numpyro.sample("spread", ndist.LogNormal(1.0, 0.5))
        weights = numpyro.sample("weights", ndist.Dirichlet(2 * jnp.ones(K)))
        with numpyro.plate("components", K):
            means = numpyro.sample("means", ndist.Normal(centre, spread).to_event(1))
            scales = numpyro.sample("scales", ndist.LogNormal(jnp.zeros(D), 1.0).to_event(1))
        component = ndist.Normal(means, scales).to_event(1)
        numpyro.sample("x", ndist.MixtureSameFamily(ndist.Categorical(weights), component), obs=x)

    values = {name: jnp.array(value.numpy()) for name, value in mode().items()}
    mcmc = MCMC(
        NUTS(same, init_strategy=init_to_value(values=values)),
        num_warmup=WARM_UP,
        num_samples=DRAWS,
        progress_bar=False,
    )
    seconds = []
    for seed in (1, 0):
        started = time.perf_counter()
        mcmc.run(jax.random.PRNGKey(seed))
        jax.block_until_ready(mcmc.get_samples())
        seconds.append(time.perf_counter() - started)
    draws = mcmc.get_samples(group_by_chain=True)
    found = {name: np.asarray(draws[name]) for name in HYPERPARAMETERS}
    return found, seconds[1], seconds[0] - seconds[1]


def row(name: str, run: Callable[[], tuple[Draws, float, float]]) -> dict[str, Any]:
    """What the table says of one side."""
    import arviz

    draws, seconds, compiling = run()
    print(f"{name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    data = dataset(draws, {}, {})
    effective = arviz.ess(data, method="bulk")
    fewest = min(float(effective[name].values.min()) for name in HYPERPARAMETERS)
    errors = arviz.mcse(data, method="mean")
    flat = {
        "centre": (draws["centre"][..., 0], float(errors["centre"].values.flat[0])),
        "spread": (draws["spread"], float(errors["spread"].values)),
    }
    return {
        "sampler": name,
        **{key: f"{value.mean():.3f} ± {error:.3f}" for key, (value, error) in flat.items()},
        "sd of spread": float(draws["spread"].std()),
        "seconds": seconds,
        "compiling, s": compiling,
        "ESS": fewest,
        "ESS a second": fewest / seconds,
    }


def main() -> None:
    """Measure all sides."""
    sides = {
        "gmm_pyro nuts, 16 chains": ours,
        "NumPyro's NUTS, 1 chain": numpyros,
        "Pyro's NUTS, enumerated, 1 chain": pyros,
    }
    gp.fit(MODEL, X, "nuts", n_draws=2, n_warmup=2, max_doublings=0)  # imports
    title = "200 x 1, k = 2, means with a common centre and spread: posterior of these"
    rows: list[dict[str, Any]] = []
    for name, run in sides.items():  # the last takes long: what there is, is written before
        rows.append(row(name, run))
        common.report("hierarchy", title, rows)


if __name__ == "__main__":
    main()
