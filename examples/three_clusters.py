"""Expectation-maximisation on three clusters: the data, the fit, and four ways to start it.

Prints the fitted parameters and how the starts compare; draws three_clusters.png.
"""

# %% The data: 100 points about each of (0, 0), (5, 5) and (5, 0)
from pathlib import Path

import matplotlib.pyplot as plt

import gmm_pyro as gp

data = gp.datasets.three_clusters(seed=42)

# %% The fit, and the cluster of each point
model = gp.MixtureModel(n_components=3)
fit = gp.fit(model, data.x, method="em")
labels = fit.mixture.predict(data.x)

print(f"EM {fit.status.message} after {fit.steps} steps")
for weight, mean in zip(fit.mixture.weights.tolist(), fit.mixture.means.tolist(), strict=True):
    print(f"weight {weight:.3f}   mean ({mean[0]:6.3f}, {mean[1]:6.3f})")
print(f"adjusted Rand index with the true labels: {gp.metrics.adjusted_rand(data.labels, labels)}")

# %% The same points before and after
figure, (before, after) = plt.subplots(
    1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained"
)
gp.plots.scatter(data.x, ax=before)
gp.plots.clusters(fit, data.x, ax=after)
before.set_title("data")
after.set_title("predicted cluster, mean, 1 and 2 sd")

# %% One start of each kind: they differ in steps, and here all lead to the same optimum
print(f"\n{'start':14}  steps  log-likelihood")
for start in ("k-means++", "k-means", "random", "random points"):
    one = gp.fit(model, data.x, method="em", start=start, n_starts=1)
    print(f"{start:14}  {one.steps:5}  {one.objective:14.4f}")

# %%
folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "three_clusters.png", dpi=90)
