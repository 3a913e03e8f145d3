"""Overlaps of mixtures by R's MixSim, as its own integration by Davies' algorithm has them.

The examples are those of Melnykov, Chen & Maitra (2012), JSS 51(12), sections 3.1 and 3.2, run anew
by `data/make_mixsim.R`, which also has mixtures of its generator.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gmm_pyro as gp
from gmm_pyro.designs import largest_overlap, mean_overlap, overlap

THEIRS = json.loads((Path(__file__).parent / "data" / "mixsim.json").read_text())
ASKED = [{"mean": 0.05, "largest": 0.15}, {"largest": 0.1}, {"mean": 0.05}]  # by section 3.1


def mixture_of(entry: dict[str, Any]) -> gp.GaussianMixture:
    """From weights, means and lower triangles of covariances."""
    means = np.array(entry["means"])
    k, d = means.shape
    rows, columns = np.tril_indices(d)
    covariances = np.empty((k, d, d))
    covariances[:, rows, columns] = covariances[:, columns, rows] = entry["covariances"]
    return gp.GaussianMixture(entry["weights"], means, covariances)


@pytest.mark.parametrize("entry", THEIRS, ids=[entry["call"] for entry in THEIRS])
def test_overlaps_are_those_of_mixsim(entry: dict[str, Any]) -> None:
    """To the error that it allows in a probability; an overlap is the sum of two."""
    mixture, eps = mixture_of(entry), entry["eps"]
    np.testing.assert_allclose(overlap(mixture), entry["omega"], rtol=0, atol=eps)
    assert mean_overlap(mixture) == pytest.approx(entry["mean"], rel=0, abs=2 * eps)
    assert largest_overlap(mixture) == pytest.approx(entry["largest"], rel=0, abs=2 * eps)


@pytest.mark.parametrize("example", range(len(ASKED)))
def test_examples_of_the_paper_overlap_as_was_asked(example: int) -> None:
    """MixSim stops within `eps` of it, by probabilities that have such an error themselves."""
    entry = THEIRS[example]
    found = {"mean": mean_overlap, "largest": largest_overlap}
    for which, wanted in ASKED[example].items():
        ours = found[which](mixture_of(entry))
        assert ours == pytest.approx(wanted, rel=0, abs=3 * entry["eps"])


def test_irises_are_the_same_here() -> None:
    data = gp.datasets.iris()
    assert data.labels is not None
    entry = next(entry for entry in THEIRS if entry["call"] == "overlap(iris)")
    species = [data.x[data.labels == i].numpy() for i in range(3)]
    mixture = mixture_of(entry)
    np.testing.assert_allclose(mixture.means, [x.mean(0) for x in species])
    np.testing.assert_allclose(mixture.covariance_matrices(), [np.cov(x.T) for x in species])
