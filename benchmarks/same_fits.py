"""A digest of what each method finds with each family, to be held against another commit.

    python benchmarks/same_fits.py > before.txt     # at one commit
    python benchmarks/same_fits.py | diff before.txt -     # at another one, on the same machine

A change that should not change any result leaves every digest as it is: of the point estimate, the
objective's history, the status and the draws, to the last bit of float64. Digests differ by
processor, so none is stored.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.inference import METHODS

SHORT: dict[str, dict[str, Any]] = {
    "nuts": {"n_chains": 4, "n_draws": 10, "n_warmup": 20, "max_doublings": 0},
    "gibbs": {"n_draws": 50, "n_warmup": 30, "max_doublings": 0, "keep_allocations": 5},
    "svi": {"n_draws": 20},
    "laplace": {"n_draws": 20},
}
ENUMERATED: dict[str, dict[str, Any]] = {
    "map": {"max_steps": 30},
    "svi": {"max_steps": 30, "n_draws": 5},
    "nuts": {"n_chains": 1, "n_draws": 3, "n_warmup": 3, "max_doublings": 0},
}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("em", {"acceleration": "squarem"}),
    ("em", {"sample_weight": "some"}),
    ("map", {"sample_weight": "some"}),
    ("svi", {"guide": "multivariate", "n_draws": 20}),
    ("svi", {"guide": "low_rank", "n_draws": 20}),
    ("svi", {"guide": "structured", "n_draws": 20}),
    ("svi", {"batch_size": 40, "max_steps": 100, "n_draws": 20}),
]


def fits() -> Iterator[tuple[str, gp.MixtureModel, str, dict[str, Any]]]:
    """Names, models, methods and options."""
    for method in (name for name in METHODS if ":" not in name):
        for family in FAMILIES:
            priors = gp.ConjugatePriors() if method == "gibbs" else None
            yield (
                f"{method} {family}",
                gp.MixtureModel(3, family, priors),
                method,
                SHORT.get(method, {}),
            )
    for method, options in ENUMERATED.items():
        yield (
            f"{method} enumerated",
            gp.MixtureModel(3),
            method,
            {**options, "engine": "enumerated"},
        )
    for method, options in OTHERS:
        words = " ".join(f"{name}={value}" for name, value in options.items())
        yield f"{method} {words}", gp.MixtureModel(3), method, options


def digest(fit: gp.Fit) -> str:
    """A short name of everything that a fit has found."""
    p, posterior = fit.mixture.parameters, fit.posterior
    parts = [p.log_weights, p.means, p.factor, fit.history, fit.labels.double()]
    if posterior is not None:
        parts += [*posterior.draws.values(), *posterior.statistics.values()]
        if posterior.allocations is not None:
            parts.append(posterior.allocations)
    found = hashlib.sha256(f"{fit.status.name} {fit.steps} {fit.objective!r}".encode())
    for part in parts:
        found.update(np.ascontiguousarray(part.detach().cpu().numpy()).tobytes())
    return found.hexdigest()[:16]


def main() -> None:
    """Print one line for each fit."""
    data = gp.datasets.make_mixture(n=150, d=2, k=3, separation=2.5, seed=4)
    weight = torch.rand(150, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name, model, method, options in fits():
        if "sample_weight" in options:
            options = {**options, "sample_weight": weight}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gp.FitWarning)
            print(digest(gp.fit(model, data.x, method=method, seed=2, **options)), name, flush=True)


if __name__ == "__main__":
    main()
