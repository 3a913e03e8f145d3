"""Methods on the same data, side by side: k-means, EM, MAP, variational Bayes, Gibbs sampling.

Prints the comparison as a table; draws compare_methods.png.
"""

# %% The data: 300 points of a random mixture, which is known and held out points can come from
from pathlib import Path

import gmm_pyro as gp

data = gp.datasets.make_mixture(n=300, d=2, k=4, separation=3.0, imbalance=0.2, seed=4)
model = gp.MixtureModel(n_components=4)

# %% One fit for each method, all with one prior, and what is known about it; chains are brief, and
# need not agree to the last percent that a paper would ask for
brief = {"n_draws": 250, "max_doublings": 0}
comparison = gp.compare(model, data, seed=0, options={"gibbs": brief})
columns = ["status", "seconds", "held_out_log_density", "ari", "kl_to_truth", "r_hat", "ess_bulk"]
print(comparison.table[columns].round(3).to_string())

# %% The true classes, and the clusters of each method on the same axes
figure = comparison.plot()

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "compare_methods.png", dpi=58)
