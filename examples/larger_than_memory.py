"""Larger than memory: points in files of Parquet, fitted by worker processes that read them.

Prints that the fit is the one in memory, and what travelled; draws larger_than_memory.png.

Processes import this script, so that what it does stands under `if __name__ == "__main__"`.
"""

# %% Files as other programs leave them, of two groups of rows each
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import gmm_pyro as gp

FILES, ROWS = 4, 50_000


def write(folder, mixture):
    """A part of the points in each file; no more than one of them is ever in memory."""
    for i in range(FILES):
        rows = pd.DataFrame(mixture.sample(ROWS, seed=i).numpy(), columns=["width", "height"])
        rows.to_parquet(f"{folder}/{i}.parquet", row_group_size=ROWS // 2)


# %% Two lines start processes; files are named by a pattern, and read by those who work on them
def fit_there(pattern):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        fit = gp.fit(gp.MixtureModel(4), pattern, n_starts=2)
        labels = fit.mixture.predict(pattern)  # nothing is worked out yet
        return fit, np.bincount(labels.compute(), minlength=4)


# %% One machine with room for all points comes to the same maximum
if __name__ == "__main__":
    truth = gp.datasets.make_mixture(n=10, d=2, k=4, separation=3.0, seed=3).truth
    with tempfile.TemporaryDirectory() as folder:
        write(folder, truth)
        there, counts = fit_there(f"{folder}/*.parquet")
        x = pd.read_parquet(folder)
    here = gp.fit(gp.MixtureModel(4), x, n_starts=2)
    n, d = x.shape
    partitions = len(there.observations.sizes)
    print(f"{n:,} points in {partitions} partitions, {n * d * 8 / 1e6:.1f} MB")
    print(f"log-likelihood a point: {there.objective / n:.9f} there, {here.objective / n:.9f} here")

# %% What travels in a pass: parameters to where the points are, and sums back
if __name__ == "__main__":
    numbers = 4 * (1 + d + d * d)  # a weight or count, a mean, a matrix of each component
    print(f"a worker gets {numbers} parameters or so, and gives back {numbers} sums of {n:,} rows")
    print("points of each label:", *counts)

# %%
if __name__ == "__main__":
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    for ax, fit, where in zip(axes, (there, here), ("in partitions", "in memory"), strict=True):
        gp.plots.clusters(fit.mixture, x.sample(2_000, random_state=0), ax=ax)
        ax.set_title(where)
    folder = Path(__file__).parent if "__file__" in globals() else Path()  # not in a notebook
    figure.savefig(folder / "larger_than_memory.png", dpi=90)
