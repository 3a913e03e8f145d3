"""Write arviz-0.nc or arviz-1.nc, for whichever generation of ArviZ is installed.

The tests of each generation read both, so they are made anew, on both, when groups or names change:

    .venv/bin/python tests/data/make_arviz_files.py
    .venv-arviz1/bin/python tests/data/make_arviz_files.py
"""

from __future__ import annotations

from pathlib import Path

import arviz as az
import pandas as pd

import gmm_pyro as gp
from gmm_pyro.inference_data import to_arviz


def main() -> None:
    """Fit a little mixture, and write its draws."""
    x = gp.datasets.make_mixture(n=20, d=2, k=2, separation=6, seed=1).x.numpy()
    frame = pd.DataFrame(x, columns=["height", "width"])
    fit = gp.fit(gp.MixtureModel(2), frame, method="svi", n_draws=25)
    generation = az.__version__.split(".")[0]
    options = {"compress": False} if generation == "0" else {}  # so little takes more if compressed
    path = Path(__file__).parent / f"arviz-{generation}.nc"
    to_arviz(fit, n_prior_draws=10).to_netcdf(str(path), **options)


if __name__ == "__main__":  # whoever looks for doctests imports this file
    main()
