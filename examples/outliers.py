"""Clusters among outliers: with a component of noise beside them, and without.

Prints what each makes of the clusters, of which the truth is known; draws outliers.png.
"""

# %% The data: 300 points of three clusters, and 200 that are anywhere
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import gmm_pyro as gp

clusters = gp.datasets.make_mixture(n=300, d=2, k=3, separation=5.0, seed=4)
generator = torch.Generator().manual_seed(0)
low, high = clusters.x.amin(0) - 4, clusters.x.amax(0) + 4
anywhere = low + (high - low) * torch.rand(200, 2, generator=generator)
x = torch.cat([clusters.x, anywhere])
is_noise = torch.arange(500) >= 300

# %% The noise is uniform over the box of the data; all that is to be found of it is its weight
fits = {
    "without noise": gp.fit(gp.MixtureModel(3), x),
    "with noise": gp.fit(gp.MixtureModel(3, noise_component="uniform"), x),
}

# %% How far off are the covariances of the clusters, and which points are noise?
for name, fit in fits.items():
    errors = gp.metrics.parameter_errors(fit.mixture, clusters.truth)
    print(f"{name}: covariances are off by {errors.covariances:.0%}, BIC {fit.mixture.bic(x):.0f}")
found = fits["with noise"].mixture.predict(x) == -1
print(f"{(found & is_noise).sum()} of {is_noise.sum()} outliers are found")
print(f"{(found & ~is_noise).sum()} of {(~is_noise).sum()} others are taken for such")
print(f"the weight of the noise is {fits['with noise'].mixture.noise_weight:.2f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained")
for (name, fit), ax in zip(fits.items(), axes, strict=True):
    gp.plots.clusters(fit, x, ax=ax)
    ax.set_title(name)

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "outliers.png", dpi=90)
