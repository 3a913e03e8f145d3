"""Priors of the weights: how many of six components three clusters fill.

scikit-learn's gallery has this example (Concentration Prior Type Analysis of Variation Bayesian
Gaussian Mixture). Prints bounds and filled components; draws concentration_prior.png.
"""

# %% Three flat clusters, one above the other, as in the gallery
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import gmm_pyro as gp
from gmm_pyro.estimator import PyroBayesianGaussianMixture

random = np.random.RandomState(2)
sizes, heights, widths = [200, 500, 200], [-0.7, 0.0, 0.7], [0.7, 0.5, 0.5]
points = np.vstack(
    [
        random.multivariate_normal([0.0, height], np.diag([width, 0.1]), size)
        for size, height, width in zip(sizes, heights, widths, strict=True)
    ]
)

# %% Six components at most, by scikit-learn's steps, and by a search whose moves merge and delete.
# The gallery's arguments; the bound has no constants left out, so that priors can be compared by it
KINDS = {"dirichlet_distribution": (0.001, 1.0, 1e3), "dirichlet_process": (1.0, 1e3, 1e5)}
shared = {"n_components": 6, "mean_precision_prior": 0.8, "init_params": "random"}
shared |= {"reg_covar": 0.0, "max_iter": 1500, "random_state": 2}
models = {}
print("prior                   concentration  search    bound  filled  largest weights")
for kind, concentrations in KINDS.items():
    for concentration in concentrations:
        for search in (None, "moves"):
            model = PyroBayesianGaussianMixture(
                weight_concentration_prior_type=kind,
                weight_concentration_prior=concentration,
                search=search,
                **shared,
            ).fit(points)
            models[kind, concentration, search] = model
            filled = model.fit_.diagnostics["filled_components"]
            weights = np.sort(model.weights_)[::-1]
            print(
                f"{kind:23} {concentration:13g}  {search or 'none':6} {model.lower_bound_:8.1f}"
                f"  {filled:6}  {' '.join(f'{weight:.2f}' for weight in weights)}"
            )

# %% What the search has found: components that hold points, and all weights, the largest first.
# Those that hold none are as wide as the prior
figure, axes = plt.subplots(
    4, 3, figsize=(9.5, 8.5), layout="constrained", height_ratios=(3, 1, 3, 1)
)
for row, (kind, concentrations) in enumerate(KINDS.items()):
    for column, concentration in enumerate(concentrations):
        model = models[kind, concentration, "moves"]
        above, below = axes[2 * row : 2 * row + 2, column]
        filled = np.unique(model.predict(points))
        shares = model.weights_[filled] / model.weights_[filled].sum()
        mixture = gp.GaussianMixture(shares, model.means_[filled], model.covariances_[filled])
        gp.plots.clusters(mixture, points, above)
        name = kind.replace("_", " ").replace("dirichlet", "Dirichlet")
        title = f"{name}, {concentration:g}\nfills {len(filled)}, bound {model.lower_bound_:.0f}"
        above.set(title=title, xlim=(-3, 3), ylim=(-2.2, 2.2))
        below.bar(range(1, 7), np.sort(model.weights_)[::-1], color="#0072B2")
        below.set(ylim=(0, 1), ylabel="weight" if column == 0 else "")

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "concentration_prior.png", dpi=70)
