"""A mixture as a layer: the noise of a regression, learnt together with its curve.

A network is fitted by least squares and a mixture to what it leaves; then both are trained as one
torch module. Prints log densities of held-out points and the errors of the curve; draws
mixture_layer.png.
"""

# %% A wave with noise of two kinds: most readings are good, one in four is a late, wide echo
import math
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

import gmm_pyro as gp

torch.set_num_threads(1)  # for networks as small as this, threads cost more than they bring
noise = gp.GaussianMixture(
    weights=[0.75, 0.25], means=[0.0, 1.5], covariances=[0.15**2, 0.5**2], covariance="spherical"
)


def curve(x):
    return (2 * x).sin()


def readings(n, seed):
    x = torch.linspace(-3.0, 3.0, n, dtype=torch.float64)[:, None]
    return x, curve(x) + noise.sample(n, seed=seed)


(x, y), (new_x, new_y) = readings(400, seed=0), readings(2000, seed=1)


# %% p(y | x) is the mixture's density at y - network(x); gradients go through it to the curve
class Regression(nn.Module):
    def __init__(self, network, mixture):
        super().__init__()
        self.network, self.noise = network, gp.MixtureModule(mixture)

    def forward(self, x, y):
        return self.noise(y - self.network(x))


def train(module, loss, steps):
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()


# %% In two steps: least squares, then EM on the residuals
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
network.double()
train(network, lambda: (y - network(x)).square().mean(), steps=400)
residuals = (y - network(x)).detach()
mixture = gp.fit(gp.MixtureModel(2, covariance="spherical"), residuals, method="em").mixture
regression = Regression(network, mixture)


# %% The curve and the noise may share a constant: the curve is counted from the main component
def summary(regression):
    with torch.no_grad():
        main = regression.noise.mixture()
        offset = main.means[main.weights.argmax()]
        found = regression.network(new_x) + offset
        error = (found - curve(new_x)).square().mean().sqrt()
        return float(regression(new_x, new_y).mean()), float(error), found


two_steps = summary(regression)

# %% Together, from there
train(regression, lambda: -regression(x, y).mean(), steps=400)
together = summary(regression)
best = float(noise.log_prob(new_y - curve(new_x)).mean())
print(f"{'held out':>22}  {'error of the curve':>18}")
for name, (log_density, error, _) in {"two steps": two_steps, "together": together}.items():
    print(f"{name:10} {log_density:6.3f} nats  {error:18.3f}")
print(f"{'the truth':10} {best:6.3f} nats")
learnt = regression.noise.mixture()
for weight, variance in zip(learnt.weights.tolist(), learnt.covariances.tolist(), strict=True):
    print(f"noise: weight {weight:.2f}, standard deviation {math.sqrt(variance):.2f}")

# %%
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.8), width_ratios=(2, 1), layout="constrained"
)
left.scatter(x, y, s=8, color="0.6", linewidths=0, label="readings")
left.plot(new_x, curve(new_x), color="black", linestyle="--", linewidth=1, label="true curve")
left.plot(new_x, two_steps[2], color="#E69F00", linewidth=2, label="two steps")
left.plot(new_x, together[2], color="#0072B2", linewidth=2, label="together")
left.set(title="the curve", xlabel="x", ylabel="y", ylim=(-1.6, 4.6))
left.legend(frameon=False, ncols=2)
grid = torch.linspace(-1.5, 3.5, 400, dtype=torch.float64)
right.plot(grid, noise.log_prob(grid).exp(), color="black", linestyle="--", linewidth=1)
for fitted, colour in ((mixture, "#E69F00"), (learnt, "#0072B2")):
    centred = grid + fitted.means[fitted.weights.argmax()]
    right.plot(grid, fitted.log_prob(centred).exp(), color=colour, linewidth=2)
right.set(title="the noise", xlabel="y - curve", ylabel="density")

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "mixture_layer.png", dpi=90)
