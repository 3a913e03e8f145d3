"""A one-dimensional mixture trained by gradients, as any torch module, and EM's optimum beside it.

Prints the loss every 100 epochs and both results; draws bimodal_gradient.png.
"""

# %% The data: 500 points about -2 and 500 about 2, with standard deviation 0.5
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import gmm_pyro as gp

data = gp.datasets.bimodal(seed=0)

# %% A mixture to start from, as a torch module: called on points, it gives their log densities
start = gp.GaussianMixture(
    weights=[0.5, 0.5], means=[-1.0, 1.0], covariances=[1.0, 1.0], covariance="spherical"
)
module = gp.MixtureModule(start)
optimiser = torch.optim.Adam(module.parameters(), lr=0.01)

# %% Training: the loss is the mean negative log-likelihood, in nats a point
losses = []
for epoch in range(1, 501):
    optimiser.zero_grad()
    loss = -module(data.x).mean()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
    if epoch % 100 == 0:
        print(f"epoch {epoch}   loss {losses[-1]:.6f}")

# %% EM's optimum
trained = module.mixture()
em = gp.fit(gp.MixtureModel(2, covariance="spherical"), data.x, method="em").mixture
optimum = -gp.metrics.mean_log_density(em, data.x)

print(f"\n{'':8}  {'loss':8}  {'means':>15}  {'standard deviations':>19}")
for name, mixture in {"gradient": trained, "EM": em}.items():
    loss = -gp.metrics.mean_log_density(mixture, data.x)
    means, deviations = mixture.means.flatten().tolist(), mixture.covariances.sqrt().tolist()
    print(f"{name:8}  {loss:.6f}", *(f"{number:8.4f}" for number in means + deviations))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(range(1, 501), losses, color="tab:blue")
left.axhline(optimum, color="black", linestyle="--", label="EM's optimum")
left.set(xlabel="epoch", ylabel="loss, nats a point")
left.legend()
gp.plots.density(trained, ax=right, x=data.x)
right.set_title("density after training")

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "bimodal_gradient.png", dpi=90)
