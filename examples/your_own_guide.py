"""A hand-written Pyro guide for the mixture: trained by Pyro's own SVI, then by `gp.fit`.

Prints the evidence lower bound of both and the posterior as ArviZ sums it up; draws
your_own_guide.png.
"""

# %% The model is a Pyro program; `specialise` makes its default priors concrete for these data
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, TraceEnum_ELBO
from torch.distributions.constraints import positive

import gmm_pyro as gp

torch.set_num_threads(1)  # for tensors as small as these, threads cost more than they bring
data = gp.datasets.three_clusters(seed=42)
model = gp.MixtureModel(n_components=3, covariance="spherical").specialise(data.x)
start = gp.fit(model, data.x, method="em").mixture


# %% The guide: a Dirichlet for the weights, which no automatic guide has, beside independent means
# and scales. It takes the model's arguments; the assignment is summed out and needs no guide.
def guide(x):
    concentration = pyro.param("concentration", len(x) * start.weights, positive)
    centre = pyro.param("centre", start.means.clone)  # a copy: training works in place
    spread = pyro.param("spread", torch.full_like(start.means, 0.1), positive)
    log_scale = pyro.param("log_scale", start.covariances.sqrt().log())
    log_spread = pyro.param("log_spread", torch.full_like(start.weights, 0.05), positive)
    pyro.sample("weights", dist.Dirichlet(concentration))
    pyro.sample("means", dist.Normal(centre, spread).to_event(2))
    pyro.sample("scales", dist.LogNormal(log_scale, log_spread).to_event(1))


# %% Pyro's own inference; the scope gives the parameters a store of their own
torch.manual_seed(0)
with pyro.get_param_store().scope():
    elbo = TraceEnum_ELBO(max_plate_nesting=1)
    svi = SVI(model, guide, pyro.optim.ClippedAdam({"lr": 0.005}), elbo)
    for _ in range(150):
        svi.step(data.x)
    bound = -sum(svi.evaluate_loss(data.x) for _ in range(40)) / 40
print(f"Pyro's SVI: ELBO {bound:.2f} nats")

# %% The same guide in gp.fit, which leaves Pyro's store as it was
fit = gp.fit(model, data.x, method="svi:enumerated", guide=guide, rate=0.005)
print(f"gp.fit:     ELBO {fit.objective:.2f} nats after {fit.steps} steps\n")
print(az.summary(fit.to_arviz(), kind="stats"))

# %%
figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
gp.plots.clusters(fit, data.x, ax=ax)
ax.set_title("clusters, with draws from the guide")

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "your_own_guide.png", dpi=90)
