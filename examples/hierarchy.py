"""Mixtures of several groups that share a hyperprior, in one Pyro program.

Four clinics measure two kinds of patients, one of them only nine patients. Each clinic has a
mixture of its own, and the means of all are about common ones. Prints the means of every clinic,
alone and together; draws hierarchy.png.
"""

# %% Clinics differ a little in where the two kinds are, and much in how many patients they have
from pathlib import Path

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal, init_to_value

import gmm_pyro as gp

torch.manual_seed(0)
torch.set_num_threads(1)  # for programs as small as this, threads cost more than they bring
clinics = {"North": 150, "East": 60, "South": 25, "West": 9}
common, between = torch.tensor([[2.0], [6.0]]).double(), 0.4
truth = {name: common + between * torch.randn(2, 1).double() for name in clinics}
data = {
    name: gp.GaussianMixture([0.6, 0.4], truth[name], [0.8, 0.8], "spherical").sample(n, seed=n)
    for name, n in clinics.items()
}

# %% Alone: every clinic has the same prior, and knows nothing of the others
priors = gp.Priors(
    weights=dist.Dirichlet(torch.tensor([3.0, 3.0])),
    means=dist.Normal(torch.tensor([[2.0], [6.0]]), 2.0),
    scales=dist.LogNormal(0.0, 0.3),
)
model = gp.MixtureModel(2, "spherical", priors=priors)
alone = {name: gp.fit(model, x, "laplace", n_draws=500) for name, x in data.items()}
alone = {name: fit.posterior.draws["means"][0, :, :, 0] for name, fit in alone.items()}

# %% Together: a prefix for each clinic's sites, and assignments summed out by the package
observations = {name: model.log_density(x).observations for name, x in data.items()}


def program():
    centre = pyro.sample("centre", dist.Normal(common.new_tensor([2.0, 6.0]), 2.0).to_event(1))
    spread = pyro.sample("spread", dist.LogNormal(common.new_tensor(-1.0), 0.7))
    for name, x in observations.items():
        shared = gp.Priors(
            weights=priors.weights,
            means=dist.Normal(centre[:, None], spread),
            scales=priors.scales,
            spread=[1.0],
            location=[0.0],
        )
        gp.MixtureModel(2, "spherical", priors=shared, prefix=f"{name}_")(x, collapsed=True)


# %% Any of Pyro's guides will do; nothing is enumerated
start = {f"{name}_means": draws.mean(0)[:, None] for name, draws in alone.items()}
start |= {f"{name}_scales": torch.full((2,), 0.8).double() for name in data}
start |= {f"{name}_weights": torch.tensor([0.6, 0.4]).double() for name in data}
start |= {"centre": common[:, 0], "spread": common.new_tensor(0.5)}
steps = 200
with pyro.get_param_store().scope():
    guide = AutoMultivariateNormal(program, init_loc_fn=init_to_value(values=start), init_scale=0.1)
    rate = {"lr": 0.05, "lrd": 0.02 ** (1 / steps)}
    svi = SVI(program, guide, pyro.optim.ClippedAdam(rate), Trace_ELBO())
    bounds = [-svi.step() for _ in range(steps)]
    with torch.no_grad():
        draws = [guide() for _ in range(300)]
together = {name: torch.stack([draw[f"{name}_means"][:, 0] for draw in draws]) for name in clinics}
centre = torch.stack([draw["centre"] for draw in draws])
spread = torch.stack([draw["spread"] for draw in draws])

# %%
print(f"{'':8}{'patients':>9}  {'alone':>26}  {'together':>26}")
for name, n in clinics.items():
    found = [
        "  ".join(f"{m:6.2f} ± {s:.2f}" for m, s in zip(d.mean(0), d.std(0), strict=True))
        for d in (alone[name], together[name])
    ]
    print(f"{name:8}{n:9}  {found[0]:>26}  {found[1]:>26}")
print(f"common centres {centre.mean(0)[0]:.2f} and {centre.mean(0)[1]:.2f}")
print(f"spread between clinics {spread.mean():.2f} ± {spread.std():.2f}")

# %%
figure, axes = plt.subplots(
    4, 1, figsize=(7.5, 6), sharex=True, layout="constrained", gridspec_kw={"hspace": 0.02}
)
for ax, (name, n) in zip(axes, clinics.items(), strict=True):
    ax.hist(data[name][:, 0], bins=torch.arange(-1.0, 9.5, 0.5).tolist(), color="0.85")
    top = ax.get_ylim()[1]
    for height, colour, found in ((0.9, "#E69F00", alone), (0.72, "#0072B2", together)):
        levels = torch.tensor([0.03, 0.5, 0.97]).double()
        for low, middle, high in found[name].double().quantile(levels, 0).T.tolist():
            ax.plot([low, high], [height * top] * 2, color=colour, linewidth=3)
            ax.plot(middle, height * top, "o", color=colour, markersize=6)
    for mean in truth[name][:, 0].tolist():
        ax.axvline(mean, color="black", linestyle="--", linewidth=1)
    ax.set(ylabel=f"{name}, {n}", yticks=[])
axes[0].plot([], [], "o-", color="#E69F00", linewidth=3, label="alone")
axes[0].plot([], [], "o-", color="#0072B2", linewidth=3, label="together")
axes[0].plot([], [], "--", color="black", linewidth=1, label="true mean")
axes[0].legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.4))
axes[-1].set(xlabel="reading")

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "hierarchy.png", dpi=90)
