"""Simulation-based calibration: ranks that are uniform under Gibbs sampling, and not under SVI.

Prints how the ranks of true parameters among posterior draws are distributed, for both methods;
draws calibration.png.
"""

# %% A model with a concrete prior: parameters, and data from them, can be drawn
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import gmm_pyro as gp

torch.set_num_threads(1)  # for tensors as small as these, threads cost more than they bring
prior = gp.ConjugatePriors(mean=0.0, mean_scale=2.0, dof=4.0, scale=1.0, spread=torch.ones(1))
model = gp.MixtureModel(n_components=2, covariance="spherical", priors=prior)

# %% Gibbs sampling: 250 data sets of 30 points, all of them in one batch
exact = gp.calibration.simulation_based_calibration(model, "gibbs", n_points=30, n_datasets=250)
print(f"gibbs\n{exact.table.round(3)}\n")

# %% Variational inference: the normal guide knows of no dependence, and is too narrow
options = {"guide": "normal", "n_starts": 1, "tolerance": 1e-4}
narrow = gp.calibration.simulation_based_calibration(
    model, "svi", n_points=30, n_datasets=60, **options
)
print(f"svi\n{narrow.table.round(3)}\n")

# %% The same test by another route: the sampler's joint distribution of parameters and data
print(f"Geweke's test of gibbs\n{gp.calibration.geweke(model).table.round(3)}")

# %%
figure = plt.figure(figsize=(8, 8), layout="constrained")
above, below = figure.subfigures(2, 1)
for part, name, result in ((above, "gibbs", exact), (below, "svi, normal guide", narrow)):
    gp.plots.calibration(result, part)
    part.suptitle(f"{name}, {result.n_datasets} data sets", fontweight="bold")

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "calibration.png", dpi=90)
