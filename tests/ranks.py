"""What each of two ranks of torch.distributed does; as a script, one of them.

python tests/ranks.py RANK FOLDER
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

import gmm_pyro as gp

MIXTURE = gp.datasets.three_clusters().truth
MODEL = gp.MixtureModel(3)
SIZES = (700, 500, 1, 899, 200, 200)  # of partitions
OF_FIRST = 3  # partitions that the first rank has
X = MIXTURE.sample(sum(SIZES), seed=3).numpy()
PARTS = np.split(X, np.cumsum(SIZES)[:-1])
FITS: dict[str, dict[str, Any]] = {
    "em": {"n_starts": 2},
    "svi": {"start": MIXTURE, "max_steps": 10},
    "gibbs": {"start": MIXTURE, "n_draws": 3, "n_warmup": 4, "n_chains": 2},
}


def fitted(x: Any, method: str) -> gp.Fit:
    """A short fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gp.FitWarning)
        return gp.fit(MODEL, x, method, **FITS[method])


def told(found: gp.Fit) -> dict[str, torch.Tensor]:
    """The numbers of a fit."""
    mixture = found.mixture
    numbers = {name: getattr(mixture, name) for name in ("weights", "means", "covariances")}
    draws = {} if found.posterior is None else dict(found.posterior.draws)
    return {"history": found.history, **numbers, **draws}


def holed() -> np.ndarray:
    """Points with a missing value."""
    x = X.copy()
    x[5, 1] = np.nan
    return x


def mistakes(rank: int, x: Any, folder: Path) -> dict[str, Callable[[], Any]]:
    """What one rank does, or all do, and cannot be."""
    first = rank == 0
    return {
        "no rows": lambda: gp.across_ranks(*(PARTS[:1] if first else [])),
        "an empty partition": lambda: gp.across_ranks(X if first else X[:0]),
        "other columns": lambda: gp.across_ranks(X if first else X[:, :1]),
        "a missing value": lambda: gp.across_ranks(X if first else holed()),
        "a constant column": lambda: gp.across_ranks(np.ones((5, 2))),
        "another type": lambda: gp.across_ranks(X, dtype="float64" if first else "float32"),
        "another model": lambda: gp.fit(gp.MixtureModel(2 + rank), x),
        "a checkpoint": lambda: gp.fit(MODEL, x, checkpoint=folder / "kept"),
        "labels": lambda: fitted(x, "svi").labels,
    }


def main(rank: int, folder: Path) -> None:
    """All that a rank does; what it finds is in a folder."""
    store = distributed.FileStore(str(folder / "store"), 2)
    limit = timedelta(seconds=100)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=limit)
    own = PARTS[:OF_FIRST] if rank == 0 else PARTS[OF_FIRST:]
    x = gp.across_ranks(*own)
    fits = {method: fitted(x, method) for method in FITS}
    torch.save({method: told(found) for method, found in fits.items()}, folder / f"{rank}.pt")
    mixture, index = fits["em"].mixture, torch.tensor([0, 700, 2000, 1201, 2499])
    messages = {"bic": mixture.bic(x), "some": x.subset(index).x.tolist()}
    for name, wrong in mistakes(rank, x, folder).items():
        try:
            wrong()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            messages[name] = f"{type(error).__name__}: {error}"
    if rank == 0:  # the other one has ended
        try:
            mixture.bic(x)
        except ConnectionError as error:
            messages["a rank that is gone"] = str(error)
    (folder / f"{rank}.json").write_text(json.dumps(messages))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
