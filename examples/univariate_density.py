"""The density of one variable, with a band that says how well it is known.

Prints which number of components and which covariance family the Bayesian information criterion
prefers, and what the posterior predicts; draws univariate_density.png.
"""

# %% Minutes from one eruption of Old Faithful to the next: 272 whole numbers
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import gmm_pyro as gp

waiting = gp.datasets.old_faithful().frame()[["waiting"]]

# %% How many components, and do they have one variance (tied) or each its own (full)?
counts = range(1, 6)
criterion = {}
for family in ("tied", "full"):
    for k in counts:
        em = gp.fit(gp.MixtureModel(k, covariance=family), waiting, method="em")
        criterion[family, k] = em.mixture.bic(waiting)
best = min(criterion, key=criterion.get)
print(f"least BIC: {best[1]} components, {best[0]} variances, {criterion[best]:.1f}")

# %% The posterior of that model, and the densities of its draws at each place
model = gp.MixtureModel(best[1], covariance=best[0])
fit = gp.fit(model, waiting, method="gibbs", n_draws=500, seed=0)
posterior = fit.posterior
print(f"R-hat {fit.diagnostics['r_hat']:.3f}, {fit.diagnostics['ess_bulk']:.0f} effective draws")
at = np.array([54.0, 67.0, 80.0])
band = posterior.density_band(at, prob=0.94)
for minutes, mean, low, high in zip(at, band.mean, band.lower, band.upper, strict=True):
    print(f"density at {minutes:.0f} minutes: {mean:.4f}, 94 % in {low:.4f} to {high:.4f}")

# %% What it says of the next wait
new = posterior.sample_predictive(20_000, seed=0)[:, 0]
low, high = torch.quantile(new, torch.tensor([0.03, 0.97], dtype=new.dtype)).tolist()
print(f"the next wait takes {low:.0f} to {high:.0f} minutes with probability 94 %;")
print(f"{waiting['waiting'].between(low, high).mean():.1%} of the observed ones did")

# %%
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.8), width_ratios=(2, 1), layout="constrained"
)
grid = np.linspace(35, 105, 281)
band = posterior.density_band(grid, prob=0.94)
bins = np.arange(42.5, 98, 2)  # two whole minutes each
left.hist(waiting["waiting"], bins, density=True, color="0.8", label="272 waits")
left.fill_between(grid, band.lower, band.upper, color="#0072B2", alpha=0.3, lw=0, label="94 % band")
left.plot(grid, band.mean, color="#0072B2", label="posterior mean")
left.set(title=f"{best[1]} components, {best[0]} variances", xlabel="minutes", ylabel="density")
left.legend(frameon=False)
for family, marker, colour in (("tied", "o", "#0072B2"), ("full", "s", "#E69F00")):
    values = [criterion[family, k] for k in counts]
    right.plot(counts, values, color=colour, marker=marker, label=family)
right.set(title="lower is better", xlabel="components", ylabel="BIC", xticks=counts)
right.legend(frameon=False)

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "univariate_density.png", dpi=90)
