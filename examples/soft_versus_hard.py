"""Hard clusters by k-means beside a mixture's soft assignment, on clusters that overlap.

Prints how well each agrees with the true labels and with the other; draws soft_versus_hard.png.
"""

# %% The data: three clusters of different shapes, two of which overlap
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import gmm_pyro as gp

data = gp.datasets.make_mixture(n=400, d=2, k=3, separation=2.5, seed=0)
model = gp.MixtureModel(n_components=3)

# %% k-means gives each point to the nearest mean; the mixture shares it out among components
soft = gp.fit(model, data.x, method="em").mixture
hard = gp.fit(model, data.x, method="kmeans").mixture
hard = hard.permute(gp.metrics.match_components(hard, soft))  # so that cluster 0 is component 0

nearest = torch.cdist(data.x, hard.means).argmin(1)
responsibilities = soft.responsibilities(data.x)  # shape (n, k), rows sum to 1
certainty, component = responsibilities.max(1)
changed = nearest != component

# %% Who is right, and do they know it? The mean certainty is the accuracy that the mixture expects
for name, labels in {"k-means": nearest, "mixture": component}.items():
    ari = gp.metrics.adjusted_rand(data.labels, labels)
    accuracy = gp.metrics.accuracy(data.labels, labels)
    print(f"{name}: adjusted Rand index {ari:.3f}, {accuracy:.1%} of the points right")
print(f"the mixture expects to be right about {certainty.mean():.1%}")
print(f"it is less than 90% sure of {(certainty < 0.9).sum()} points; {changed.sum()} change sides")

# %%
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained"
)
gp.plots.scatter(data.x, nearest, ax=left)
left.get_legend().remove()
left.scatter(*hard.means.T, marker="+", s=80, color="black")
left.scatter(*data.x[changed].T, s=50, facecolors="none", edgecolors="black", linewidths=0.8)
left.set_title(f"k-means (ringed: {changed.sum()} points that change sides)")
gp.plots.responsibilities(soft, data.x, ax=right)
right.set_title("mixture (dark edges: uncertain)")

folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
figure.savefig(folder / "soft_versus_hard.png", dpi=90)
