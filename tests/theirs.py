"""scikit-learn's own tests of its mixtures, run on one of this package's estimators."""

from __future__ import annotations

import inspect
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import sklearn.mixture.tests

import gmm_pyro as gp

CONFTEST = """
import numpy, pytest

@pytest.fixture
def global_dtype():
    return numpy.float64

@pytest.fixture
def global_random_seed():
    return 0
"""


def run_theirs(python: Path, folder: Path, file: str, name: str, left_out: Sequence[str]) -> str:
    """What pytest says of a file of scikit-learn's, where the name stands for ours.

    Args:
        python: what runs pytest.
        folder: where to put the file.
        file: name of the file.
        name: scikit-learn's name of the class; ours is Pyro and this.
        left_out: tests that are not run.
    """
    source = (Path(inspect.getfile(sklearn.mixture.tests)).parent / file).read_text()
    own = f"from gmm_pyro.estimator import Pyro{name} as {name}\n"
    source = source.replace(f"from sklearn.mixture import {name}\n", own)
    source = source.replace(f"This {name} instance", f"This Pyro{name} instance")
    assert own in source
    (folder / "test_theirs.py").write_text(source)
    (folder / "conftest.py").write_text(CONFTEST)
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        + [f"--deselect=test_theirs.py::{test}" for test in left_out]
        + [f"--rootdir={folder}", str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(gp.__file__).parents[1])},
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    return run.stdout
