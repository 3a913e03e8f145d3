"""MAP and SVI against the way of Pyro's tutorial and NumPyro's, on the same model, data and start.

    python benchmarks/pyro_route.py [--quick]

The other side is AutoDelta or AutoNormal and Adam: Pyro's with TraceEnum_ELBO over the enumerated
program, NumPyro's over the program with the assignment summed out, compiled, its compilation not
counted. Their clocks stop at the first look within 0.1 nat of the best objective that any side
reaches; ELBOs are judged by the same draws of the same function. Ours runs from data to its own
end, and its restarts count.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import common
import pyro
import torch
from pyro.infer import SVI, TraceEnum_ELBO
from pyro.infer.autoguide import AutoDelta, AutoNormal, init_to_value
from pyro.optim import Adam
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.inference.guides.bound import elbo, matched_noise
from gmm_pyro.inference.guides.gaussian import NormalGuide
from gmm_pyro.model.log_density import LogDensity
from gmm_pyro.running.threads import one_thread_a_product

N, D, K = 2_000, 4, 5
SITES = ("weights", "means", "scales", "correlations")
EVERY = 20  # steps between two looks at the objective
CLOSE = 0.1  # nats
RATE = 0.02  # of Adam, for both peers
JUDGES = 2048  # draws that ELBOs are judged by

Trace = tuple[list[float], list[float]]  # seconds so far and objective, at every look


def start_values(density: LogDensity) -> dict[str, Tensor]:
    """Site values of one k-means++ start, improved by one step of EM."""
    model, x = density.model, density.observations.x
    start = gp.fit(model, x, "em", n_starts=1, max_steps=1, covariance_floor=1e-3).mixture
    return {name: value[0] for name, value in density.values(start.parameters).items()}


def log_joint(values: dict[str, Tensor], density: LogDensity) -> float:
    """Objective of MAP: the log density of the sites."""
    batch = {name: value.detach()[None] for name, value in values.items()}
    return float(density.log_prior(batch) + density.log_likelihood(batch))


def bound(loc: Tensor, scale: Tensor, density: LogDensity) -> float:
    """Objective of SVI: the ELBO of independent normals over the unconstrained vector."""
    normal = NormalGuide(loc, scale)
    noise = matched_noise(torch.Generator().manual_seed(0), normal, JUDGES)
    with torch.no_grad():
        return float(elbo(density, normal, torch.zeros(normal.n_parameters).double(), noise))


def looks(step: Callable[[], Any], objective: Callable[[], float], steps: int) -> Trace:
    """Take steps and look at the objective now and then; looking does not count."""
    seconds, values = [0.0], []
    for _ in range(steps // EVERY):
        started = time.perf_counter()
        step()
        seconds.append(seconds[-1] + time.perf_counter() - started)
        values.append(objective())
    return seconds[1:], values


def pyros(method: str, density: LogDensity, steps: int) -> Trace:
    """Pyro's own route."""
    model, x = density.model, density.observations.x
    kind = {"map": AutoDelta, "svi": AutoNormal}[method]
    with pyro.get_param_store().scope(), one_thread_a_product():
        start = init_to_value(values=start_values(density))
        guide: Any = kind(pyro.poutine.block(model, hide=["assignment"]), init_loc_fn=start)
        svi = SVI(model, guide, Adam({"lr": RATE}), TraceEnum_ELBO(max_plate_nesting=1))
        svi.step(x)

        def objective() -> float:
            if method == "map":
                return log_joint(guide(x), density)
            parts = [guide._get_loc_and_scale(site.name) for site in density.sites]
            pairs = zip(*parts, strict=True)
            loc, scale = (torch.cat([t.detach().flatten() for t in ts]) for ts in pairs)
            return bound(loc, scale, density)

        return looks(lambda: [svi.step(x) for _ in range(EVERY)], objective, steps)


def numpyros(method: str, density: LogDensity, steps: int) -> Trace | None:
    """NumPyro's route, or None where it is not installed."""
    try:
        import jax
        import numpyro
        from numpyro.infer import SVI as Svi
        from numpyro.infer import Trace_ELBO, autoguide
        from numpyro.infer import init_to_value as init
    except ImportError:
        return None
    numpyro.enable_x64()
    values = {name: value.numpy() for name, value in start_values(density).items()}
    kind = {"map": autoguide.AutoDelta, "svi": autoguide.AutoNormal}[method]
    program, x = numpyro_program(density), density.observations.x.numpy()
    svi = Svi(
        program,
        kind(program, init_loc_fn=init(values=values)),
        numpyro.optim.Adam(RATE),
        Trace_ELBO(),
    )
    some = jax.jit(
        lambda state: jax.lax.scan(lambda s, _: (svi.update(s, x)[0], None), state, None, EVERY)[0]
    )
    state = some(svi.init(jax.random.PRNGKey(0), x))

    def step() -> None:
        nonlocal state
        state = jax.block_until_ready(some(state))

    def parameters(kind: str) -> Iterator[Tensor]:
        found = svi.get_params(state)
        return (torch.tensor(found[f"{site}_auto_{kind}"].tolist()).double() for site in SITES)

    def objective() -> float:
        if method == "map":
            return log_joint(dict(zip(SITES, parameters("loc"), strict=True)), density)
        # the bijections are those of torch, so the unconstrained vectors are the same
        loc, scale = (torch.cat([t.flatten() for t in parameters(k)]) for k in ("loc", "scale"))
        return bound(loc, scale, density)

    return looks(step, objective, steps)


def numpyro_program(density: LogDensity) -> Callable[[Any], None]:
    """The model with its default priors as a NumPyro program."""
    import numpyro
    import numpyro.distributions as dist
    from jax import numpy as jnp

    priors = density.model.priors
    location, spread = priors.location.numpy(), priors.spread.numpy()

    def program(x: Any) -> None:
        weights = numpyro.sample("weights", dist.Dirichlet(2 * jnp.ones(K)))
        normal = dist.Normal(location, 2 * spread).expand([K, D]).to_event(2)
        means = numpyro.sample("means", normal)
        size = dist.LogNormal(jnp.log(spread) - jnp.log(K) / D, 1.0).expand([K, D]).to_event(2)
        scales = numpyro.sample("scales", size)
        lkj = dist.LKJCholesky(D, 2.0).expand([K]).to_event(1)
        factor = scales[..., None] * numpyro.sample("correlations", lkj)
        component = dist.MultivariateNormal(means, scale_tril=factor)
        numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(weights), component), obs=x)

    return program


def row(method: str, steps: int) -> dict[str, Any]:
    """All sides of one method."""
    data = gp.datasets.make_mixture(N, D, K, separation=2.5, seed=1)
    model = gp.MixtureModel(K).specialise(data.x)
    density = model.log_density(data.x)
    gp.fit(model, data.x[:100], method, search="starts")  # imports
    fits = [gp.fit(model, data.x, method, seed=0, search="starts") for _ in range(5)]
    ours = statistics.median(fit.seconds for fit in fits)
    traces = {"Pyro": pyros(method, density, steps), "NumPyro": numpyros(method, density, steps)}
    best = max([fits[0].objective, *(max(t[1]) for t in traces.values() if t)])
    result: dict[str, Any] = {
        "method": method,
        "size": f"{N:,} x {D}, k = {K}",
        "gmm_pyro, s": ours,
        "gmm_pyro, objective": f"{fits[0].objective:.2f}",
    }
    for peer, trace in traces.items():
        result |= columns(peer, trace, best, ours, steps)
    return result


def columns(peer: str, trace: Trace | None, best: float, ours: float, steps: int) -> dict[str, Any]:
    """What the table says of one peer; a ratio is a lower bound if it never came close."""
    names = [f"{peer}, ms a step", f"{peer}, s", f"{peer}, objective", f"{peer} / ours"]
    if trace is None:
        return dict.fromkeys(names, "-")
    seconds, values = trace
    close = [s for s, value in zip(*trace, strict=True) if value > best - CLOSE]
    taken = close[0] if close else seconds[-1]
    shown = f"{taken:.3g}" if close else f"> {taken:.3g}"
    numbers = [1e3 * seconds[-1] / steps, shown, f"{max(values):.2f}", taken / ours]
    return dict(zip(names, numbers, strict=True))


def main() -> None:
    """Measure both methods."""
    steps = 100 if "--quick" in sys.argv else 2_000
    rows = [row(method, steps) for method in ("map", "svi")]
    title = f"{N} points, {D} features, {K} components: seconds to within 0.1 nat of the optimum"
    common.report("pyro_route", title, rows)


if __name__ == "__main__":
    main()
