"""Fisher's irises: clusters that every method finds without the species, held against the species.

Prints the comparison, and how many flowers each method puts with another species; draws
iris_species.png.
"""

# %% Four lengths in cm of 150 flowers; as Fisher did, one covariance is taken for all species
import math
from pathlib import Path

import matplotlib.pyplot as plt

import gmm_pyro as gp

data = gp.datasets.iris()
# flowers of one species differ by some 3 mm, and 0.3² is about 0.1
prior = gp.ConjugatePriors(scale=0.1)
model = gp.MixtureModel(n_components=3, covariance="tied", priors=prior)

# %% All methods of the registry but those through Pyro, which take longer: one model, one prior
methods = [name for name, method in gp.inference.METHODS.items() if not method.through_pyro]
options = {
    "gibbs": {"n_draws": 300},
    "nuts": {"n_draws": 40, "n_warmup": 60},  # of each of 16 chains
}
comparison = gp.compare(model, data, methods, seed=0, options=options)
table = comparison.table.assign(misplaced=lambda t: (data.n * (1 - t["accuracy"])).round())
columns = ["status", "log_likelihood", "ari", "misplaced", "r_hat", "ess_bulk"]
print(table[columns].round(3).to_string(na_rep=""))

# %% Where EM's clusters and the species differ: one species is apart, two of them touch
em = comparison.fits["em"]
misplaced = int(table.loc["em", "misplaced"])
certainty = em.mixture.responsibilities(data.x).max(1).values
print(f"\nEM puts {misplaced} of {data.n} flowers with another species")
print(f"and, by its own probabilities, expects {data.n - float(certainty.sum()):.1f}")

# %% The species, and the clusters of each method: rings are flowers with another species
petals = ["petal_length", "petal_width"]
rows = math.ceil((1 + len(comparison.fits)) / 3)
figure, axes = plt.subplots(
    rows, 3, figsize=(9, 2.4 * rows), sharex=True, sharey=True, layout="constrained"
)
first, *others = axes.flat
gp.plots.scatter(data.x, data.labels, first, data.feature_names, features=petals)
handles = first.get_legend_handles_labels()[0]
first.legend(handles, ["setosa", "versicolor", "virginica"], loc="lower right", frameon=False)
first.set_title("species")
for ax, (name, fit) in zip(others, comparison.fits.items(), strict=False):
    gp.plots.clusters(fit.mixture, data.x, ax, data.labels, features=petals)
    ax.set_title(f"{name}: {table.loc[name, 'misplaced']:.0f} misplaced")
for ax in axes.flat:
    ax.set_aspect("auto")  # the panels are wide
    ax.label_outer()
for ax in others[len(comparison.fits) :]:
    ax.remove()

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "iris_species.png", dpi=80)
