"""A posterior looked at from all sides: labels in order, clusters in doubt, densities with bands.

Prints convergence and the clustering of least expected loss; draws posterior.png.
"""

# %% Overlapping clusters, whose posterior is wide
from pathlib import Path

import matplotlib.pyplot as plt

import gmm_pyro as gp

data = gp.datasets.make_mixture(n=200, d=2, k=3, separation=3.0, seed=2)
model = gp.MixtureModel(n_components=3)

# %% Gibbs sampling visits all labellings; the draws of a fit are put in order
fit = gp.fit(model, data.x, method="gibbs", n_draws=500, seed=0)
posterior = fit.posterior
print(f"R-hat {fit.diagnostics['r_hat']:.3f}, {fit.diagnostics['ess_bulk']:.0f} effective draws")
print(f"{posterior.ambiguous:.1%} of the draws could be labelled in another way")

# %% The clustering of least expected loss, in variation of information
partition = posterior.partition(loss="vi")
agreement = gp.metrics.adjusted_rand(data.labels, partition.labels)
print(f"{partition.n_clusters} clusters, adjusted Rand index {agreement:.3f} with the truth")

# %% Ellipses of draws, co-clustering, a marginal density with its band, and labels before and after
figure = plt.figure(figsize=(12, 7.5), layout="constrained")
above, below = figure.subfigures(2, 1)
left, middle, right = above.subplots(1, 3)
gp.plots.posterior_ellipses(posterior, left)
gp.plots.co_clustering(posterior, middle)
gp.plots.density_band(posterior, right, feature="x0")
gp.plots.label_traces(posterior, below.subplots(1, 2, sharey=True))

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "posterior.png", dpi=56)
