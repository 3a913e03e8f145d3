"""A fit's labels are what the method itself says of its data."""

from __future__ import annotations

import torch
from sklearn.cluster import KMeans

import gmm_pyro as gp


def test_k_means_keeps_its_own_clusters() -> None:
    """The Gaussians of its clusters would move a few points of overlapping ones."""
    data = gp.datasets.make_mixture(n=400, separation=2.5, seed=0)
    fit = gp.fit(gp.MixtureModel(3), data.x, method="kmeans")
    reference = KMeans(3, n_init=10, random_state=0).fit(data.x.numpy()).labels_
    assert gp.metrics.adjusted_rand(torch.as_tensor(reference), fit.labels) == 1.0
    assert not fit.mixture.predict(data.x).equal(fit.labels)


def test_other_methods_have_the_most_probable_components() -> None:
    data = gp.datasets.three_clusters()
    fit = gp.fit(gp.MixtureModel(3), data.x)
    assert fit.labels.equal(fit.mixture.predict(data.x))


def test_a_comparison_scores_these_labels() -> None:
    data = gp.datasets.make_mixture(n=400, separation=2.5, seed=0)
    comparison = gp.compare(gp.MixtureModel(3), data, methods=["kmeans"])
    expected = gp.metrics.adjusted_rand(data.labels, comparison.fits["kmeans"].labels)
    assert comparison.table.loc["kmeans", "ari"] == expected
