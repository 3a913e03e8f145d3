"""M-steps of families whose covariances depend on each other, against numerical minima.

Stored: results/m_steps.txt.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gmm_pyro.covariance import FAMILIES
from m_steps import numerical_minimum, objective

COUPLED = [name for name, family in FAMILIES.items() if not family.has_sites]
ROTATIONS = 20
SEEDS = (0, 1)


@pytest.mark.parametrize("d", range(1, 6))
@pytest.mark.parametrize("k", range(1, 5))
@pytest.mark.parametrize("code", COUPLED)
def test_no_start_of_bfgs_finds_less(code: str, k: int, d: int) -> None:
    """One component of four is a line; EVE and VVE are looked for from 20 rotations."""
    family = FAMILIES[code]
    for seed in SEEDS:
        random = np.random.default_rng([seed, k, d])
        points = random.normal(size=(k, d + random.integers(1, 9), d))
        points = points * np.exp(random.normal(size=(k, 1, d)))
        if k == 4:
            points[1] = points[1, :1] * points[1, :, :1]
        points = points @ np.linalg.qr(random.normal(size=(d, d)))[0]
        scatter, counts = points.mT @ points, random.uniform(3, 20, size=k)
        floor = np.full(d, 1e-2)
        covariance = torch.tensor(scatter / counts[:, None, None])[None]
        compact = family.compress(covariance)
        factor = family.fit_all(compact, torch.tensor(counts)[None], torch.tensor(floor))
        found = family.dense(factor, d)[0].numpy()
        scatter = scatter + np.diag(floor)
        tries = ROTATIONS if code in ("EVE", "VVE") else 2
        best = numerical_minimum(code, scatter, counts, tries, seed)
        assert objective(found, scatter, counts) <= best + 1e-9 * abs(best)
