"""Studies in files: small ones, a module beside them, and what their folders hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

HEAD = """
seed = 1
metrics = ["ari", "log_likelihood"]
"""
DATA = """
[[data]]
kind = "separated"
n = [20, 30]
d = 2
k = 2
separation = 3.0
replicates = 2
"""
CHEAP = '{ method = "em", n_starts = 1, search = "starts", name = "em" }'
STUDY = f'{HEAD}methods = ["kmeans", {CHEAP}]\n{DATA}'
BESIDE = """
import time

import numpy as np

def slow(x, k):
    time.sleep(0.1)
    return np.argsort(np.argsort(x[:, 0])) * k // len(x)

def broken(x):
    raise ZeroDivisionError("no way")
"""


def frame_in(folder: str | Path) -> pd.DataFrame:
    """The frame that a study has left."""
    return pd.read_csv(Path(folder) / "frame.csv")


def rows_in(folder: str | Path) -> list[str]:
    """All rows, as they are on disk."""
    return "".join(p.read_text() for p in sorted(Path(folder).glob("cells-*"))).splitlines()
