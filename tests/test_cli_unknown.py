"""Claims about `gmm-pyro fit --components unknown`: a folder, a line in words, and predictions."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import gmm_pyro as gp
from gmm_pyro.cli.fit import in_words

pytestmark = pytest.mark.usefixtures("no_pictures")
QUICK = ["-m", "gibbs", "--draws", "10", "--chains", "3", "--warmup", "5"]
QUICK += ["--option", "max_doublings=0", "--out", "fit"]


@pytest.fixture
def points(tmp_path) -> pd.DataFrame:
    table = gp.datasets.make_mixture(n=40, k=2, d=1, separation=8.0, seed=1).frame()[["x0"]]
    table.to_csv(tmp_path / "points.csv", index=False)
    return table


def test_a_folder(run, points, tmp_path) -> None:
    most = ["--components", "unknown", "--components-prior", "poisson(1)", "--most-components", 3]
    done = run("fit", "points.csv", *most, *QUICK)
    assert done.code == 0
    facts = json.loads((tmp_path / "fit" / "fit.json").read_text())
    table = pd.DataFrame(facts["number_of_components"]).set_index("k")
    assert table.index.tolist() == [1, 2, 3]
    prior = gp.Unknown("poisson(1)", 3).probabilities
    np.testing.assert_allclose(table["n_components_prior"], prior)
    said = [line for line in done.out.splitlines() if "components" in line]
    assert in_words(table["n_filled"].to_dict(), "with points") in said
    assert in_words(table["n_components"].to_dict(), "in all") in said
    done = run("predict", "fit", "points.csv", "--posterior")
    assert done.code == 0
    assert "labels are from the draws with 2 components that have points" in done.err
    assert done.out.splitlines()[0] == "row,label,log_density,component_0,component_1"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--components", "unknown"], "em needs a known number of components"),
        (["--components", 2, "--components-prior", "uniform"], "is for --components unknown"),
        (["--components", 2, "--most-components", 9], "is for --components unknown"),
        (
            ["--components", "unknown", "--components-prior", "poison(1)", *QUICK],
            "did you mean 'poisson'",
        ),
        (["--components", "unknwon"], "must be an integer"),
    ],
)
def test_refusals(options: list[str], complaint: str, run, points, tmp_path) -> None:
    done = run("fit", "points.csv", *options)
    assert done.code == 2
    assert complaint in done.err
    assert not (tmp_path / "fit").exists()


def test_words() -> None:
    shares = {k: 0.1 for k in range(1, 11)}
    told = in_words(shares, "in all")
    assert told.startswith("1 component in all (10 %), 2 (10 %)")
    assert told.endswith("others (40 %)")
