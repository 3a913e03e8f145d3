"""How many components? Mixtures of one to five, compared by leave-one-out cross-validation.

Prints ArviZ's comparison, and what it warns of; draws how_many_components.png.
"""

# %% Old Faithful: durations of eruptions, and the waits that follow them
import warnings
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt

import gmm_pyro as gp

data = gp.datasets.old_faithful().frame()

# %% A posterior for each number. Components that the data do not ask for come and go, and chains
# that disagree on where such components are say so; a mean's prior is worth a fifth of a point, so
# that those without points stay near
priors = gp.ConjugatePriors(concentration=1.0, mean_strength=0.2)
fits = {}
with warnings.catch_warnings(record=True) as doubts:
    warnings.simplefilter("always", gp.FitWarning)
    for k in range(1, 6):
        model = gp.MixtureModel(k, covariance="tied", priors=priors)
        fits[k] = gp.fit(model, data, method="gibbs", n_draws=250, max_doublings=1)
        print(f"{k} components: R-hat {fits[k].diagnostics['r_hat']:.3f}")
print("\n".join(str(doubt.message) for doubt in doubts) or "no fit warns")

# %% The log-likelihoods of the points are all that leave-one-out needs. ArviZ warns of points that
# its importance sampling cannot leave out; what it says is kept to be read
posteriors = {str(k): fit.to_arviz() for k, fit in fits.items()}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", UserWarning)
    table = az.compare(posteriors)
table = table.rename(columns={"elpd_loo": "elpd", "p_loo": "p"})  # their names in ArviZ 0.x
columns = ["elpd", "se", "elpd_diff", "dse", "p", "weight"]
print(f"\n{table[columns].round(2)}\n")
notes = [str(warning.message) for warning in caught if warning.category is UserWarning]
print("\n".join(notes) or "ArviZ trusts the estimates of all points")

# %% Differences of less than 4 nats are small, whatever their standard error (Sivula et al. 2020)
distance = table["elpd_diff"].astype(float).abs()
chosen = min(int(k) for k in distance.index[distance < 4])
print(f"the fewest components that are about as good as the best: {chosen}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
ordered = table.loc[[str(k) for k in fits]].astype({"elpd_diff": float, "dse": float})
left.errorbar(
    list(fits), -ordered["elpd_diff"].abs(), ordered["dse"], fmt="o", capsize=4, color="#0072B2"
)
left.axhspan(-4, 0, color="0.9", label="small differences")
left.annotate(
    f"{-distance['1']:.0f} ± {ordered['dse']['1']:.0f}",
    xy=(1, -20),
    xytext=(1, -17),
    ha="center",
    arrowprops={"arrowstyle": "->"},
)
left.legend(loc="lower right", frameon=False)
left.set(xlim=(0.2, 5.4), ylim=(-20, 2))
left.set(
    title="leave-one-out: distance from the best",
    xlabel="components",
    ylabel="nats, with standard error",
)
gp.plots.clusters(fits[chosen], data, right)
right.set(title=f"{chosen} components", xlabel="eruption, minutes", ylabel="wait, minutes")

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "how_many_components.png", dpi=90)
