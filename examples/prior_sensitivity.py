"""What a prior moves and what it does not: one model under several priors.

Prints posterior means and intervals under each prior, and how many components are in use; draws
prior_sensitivity.png.
"""

# %% The first 60 waits for Old Faithful, in minutes: few enough for a prior to have a say
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import gmm_pyro as gp

waiting = gp.datasets.old_faithful().frame()[["waiting"]][:60]

# %% Two components, one variance: where the data speak up, and where the prior does
priors = {
    "default": gp.ConjugatePriors(),
    "means near 70": gp.ConjugatePriors(mean=70.0, mean_strength=2.0),
    "narrow": gp.ConjugatePriors(scale=30 * 2.0**2, dof=30.0),  # as 30 points with sd 2 minutes
    "wide": gp.ConjugatePriors(scale=30 * 9.0**2, dof=30.0),
    "equal weights": gp.ConjugatePriors(concentration=100.0),
}
found = {}
for name, prior in priors.items():
    model = gp.MixtureModel(2, covariance="tied", priors=prior)
    posterior = gp.fit(model, waiting, method="gibbs", n_draws=500).posterior
    posterior = posterior.relabel("ordered")  # by the mean: component 0 has the short waits
    sites = {site: draws.flatten(0, 1) for site, draws in posterior.draws.items()}
    found[name] = {
        "short wait, minutes": sites["means"][:, 0, 0],
        "long wait, minutes": sites["means"][:, 1, 0],
        "share of long waits": sites["weights"][:, 1],
        "deviation, minutes": sites["precisions"].flatten().rsqrt(),
    }

quantities = list(found["default"])
print(f"{'':14}" + "".join(f"{quantity:>26}" for quantity in quantities))
middle, reach = {}, {}
for name, draws in found.items():
    middle[name] = np.array([float(draws[quantity].mean()) for quantity in quantities])
    ends = np.array([np.quantile(draws[quantity], [0.03, 0.97]) for quantity in quantities])
    reach[name] = np.abs(ends - middle[name][:, None]).T
    cells = [f"{m:.2f} ({a:.2f}, {b:.2f})" for m, (a, b) in zip(middle[name], ends, strict=True)]
    print(f"{name:14}" + "".join(f"{cell:>26}" for cell in cells))

# %% Six components for what looks like two clusters: how many hold a point is up to the Dirichlet.
# A fit warns of components that hold none, which are what is counted here, and of chains that
# disagree on where these are, which is no matter here: its words are printed, and chains need not
# jump between such places
used = {}
for concentration in (0.2, 1.0, 5.0):
    prior = gp.ConjugatePriors(concentration=concentration, mean_strength=0.2)
    model = gp.MixtureModel(6, covariance="tied", priors=prior)
    options = {"n_draws": 250, "keep_allocations": 250, "jumps": "never", "max_doublings": 0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", gp.FitWarning)
        fit = gp.fit(model, waiting, method="gibbs", **options)
    counts = [len(labels.unique()) for labels in fit.posterior.allocations.flatten(0, 1)]
    used[concentration] = np.bincount(counts, minlength=7)[1:] / len(counts)
    mean = float(np.mean(counts))
    print(f"\nDirichlet({concentration}) for 6 components: {mean:.1f} of them hold a point")
    print("".join(f"the fit says: {warning.message}\n" for warning in caught), end="")

# %%
figure, axes = plt.subplots(
    1, 5, figsize=(11, 3.4), width_ratios=(1, 1, 1, 1, 1.6), layout="constrained"
)
places = np.arange(len(priors))[::-1]
for number, (ax, quantity) in enumerate(zip(axes[:4], quantities, strict=True)):
    values = [middle[name][number] for name in priors]
    errors = np.stack([reach[name][:, number] for name in priors], axis=1)
    ax.errorbar(values, places, xerr=errors, fmt="o", capsize=3, color="#0072B2")
    name, _, unit = quantity.partition(", ")
    ax.set(title=name, xlabel=unit, yticks=[], ylim=(-0.5, len(priors) - 0.5))
    ax.axvline(values[0], color="0.6", linewidth=0.8, linestyle=":")
axes[0].set_yticks(places, list(priors))
for number, (concentration, shares) in enumerate(used.items()):
    colour = ("#56B4E9", "#0072B2", "#E69F00")[number]
    axes[4].bar(
        np.arange(1, 7) + 0.28 * (number - 1), shares, 0.28, color=colour, label=concentration
    )
axes[4].set(title="components in use, of 6", xlabel="number", ylabel="probability")
axes[4].legend(title="concentration", frameon=False)

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "prior_sensitivity.png", dpi=80)
