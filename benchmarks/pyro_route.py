"""MAP and SVI against the way of Pyro's tutorial, on the same model, data and start.

    python benchmarks/pyro_route.py [--quick]

Pyro's side is AutoDelta or AutoNormal with TraceEnum_ELBO and Adam over the same program, from the
same k-means++ start. Its clock stops at the first step within 0.1 nat of the best objective that
either side reaches; for SVI that is judged by the same 256 draws of the collapsed ELBO.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import common
import pyro
import torch
from pyro.infer import SVI, TraceEnum_ELBO
from pyro.infer.autoguide import AutoDelta, AutoNormal, init_to_value
from pyro.optim import Adam

import gmm_pyro as gp
from gmm_pyro.inference.guide import NormalGuide
from gmm_pyro.inference.svi import elbo
from gmm_pyro.model import LogDensity
from gmm_pyro.threads import one_thread_a_product

N, D, K = 2_000, 4, 5
EVERY = 20  # steps of Pyro's between two looks at the objective
CLOSE = 0.1  # nats

Objective = Callable[[Any, LogDensity], float]


def start_values(density: LogDensity) -> dict[str, torch.Tensor]:
    """Site values of one k-means++ start, improved by one step of EM."""
    model, x = density.model, density.observations.x
    start = gp.fit(model, x, "em", n_starts=1, max_steps=1, covariance_floor=1e-3).mixture
    return {name: value[0] for name, value in density.values(start.parameters).items()}


def log_joint(guide: Any, density: LogDensity) -> float:
    """Objective of AutoDelta."""
    values = {name: value.detach()[None] for name, value in guide(density.observations.x).items()}
    return float(density.log_prior(values) + density.log_likelihood(values))


def bound(guide: Any, density: LogDensity) -> float:
    """Objective of AutoNormal: the ELBO by fixed draws."""
    parts = [guide._get_loc_and_scale(site.name) for site in density.sites]
    loc, scale = (torch.cat([t.detach().flatten() for t in ts]) for ts in zip(*parts, strict=True))
    noise = torch.randn(256, len(loc), generator=torch.Generator().manual_seed(0)).double()
    normal = NormalGuide(loc, scale)
    with torch.no_grad():
        return float(elbo(density, normal, torch.zeros(normal.n_parameters).double(), noise))


def pyros_way(
    kind: type, objective: Objective, density: LogDensity, steps: int
) -> tuple[list[float], list[float]]:
    """Seconds and objective after every few steps; looking does not count."""
    seconds, values = [0.0], []
    model, x = density.model, density.observations.x
    with pyro.get_param_store().scope(), one_thread_a_product():
        start = init_to_value(values=start_values(density))
        guide = kind(pyro.poutine.block(model, hide=["assignment"]), init_loc_fn=start)
        svi = SVI(model, guide, Adam({"lr": 0.02}), TraceEnum_ELBO(max_plate_nesting=1))
        svi.step(x)
        for _ in range(steps // EVERY):
            started = time.perf_counter()
            for _ in range(EVERY):
                svi.step(x)
            seconds.append(seconds[-1] + time.perf_counter() - started)
            values.append(objective(guide, density))
    return seconds[1:], values


def row(method: str, kind: type, objective: Objective, steps: int) -> dict[str, Any]:
    """Both sides of one method."""
    data = gp.datasets.make_mixture(N, D, K, separation=2.5, seed=1)
    model = gp.MixtureModel(K).specialise(data.x)
    density = model.log_density(data.x)
    gp.fit(model, data.x[:100], method)  # imports
    fits = [gp.fit(model, data.x, method, seed=0) for _ in range(5)]
    ours = statistics.median(fit.seconds for fit in fits)
    seconds, values = pyros_way(kind, objective, density, steps)
    best = max([fits[0].objective, *values])
    close = [s for s, value in zip(seconds, values, strict=True) if value > best - CLOSE]
    return {
        "method": method,
        "gmm_pyro, s": ours,
        "gmm_pyro, objective": f"{fits[0].objective:.2f}",
        "Pyro, s to within 0.1 nat": close[0] if close else f"> {seconds[-1]:.3g}",
        "Pyro, objective": f"{max(values):.2f}",
        "Pyro / ours": (close[0] if close else seconds[-1]) / ours,
        "Pyro, ms a step": 1e3 * seconds[-1] / steps,
    }


def main() -> None:
    """Measure both methods."""
    steps = 100 if "--quick" in sys.argv else 2_000
    rows = [row("map", AutoDelta, log_joint, steps), row("svi", AutoNormal, bound, steps)]
    title = f"{N} points, {D} features, {K} components: time to the optimum"
    common.report("pyro_route", title, rows)


if __name__ == "__main__":
    main()
