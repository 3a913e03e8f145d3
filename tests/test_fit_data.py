"""What a fit makes of its data, whatever the method: names, weights, number types, refusals."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.inference import METHODS
from gmm_pyro.metrics import adjusted_rand
from oracles import clusters
from runs import (
    CLIMBS,
    SAMPLERS,
    STEP_LIMIT,
    UNMIXED,
    agree,
    brief,
    every_method,
    fit,
    fitted,
    in_float64,
    same,
)

pytestmark = UNMIXED


@STEP_LIMIT
@pytest.mark.parametrize(
    ("method", "frame"), [*((method, pd.DataFrame) for method in METHODS), ("em", pl.DataFrame)]
)
def test_column_names_are_carried(method: str, frame: Callable) -> None:
    table = frame({"height": clusters().x[:, 0].numpy(), "width": clusters().x[:, 1].numpy()})
    found = brief(method, table)
    assert found.mixture.feature_names == ("height", "width")
    assert found.observations.feature_names == ("height", "width")


@every_method
@STEP_LIMIT
def test_a_one_dimensional_array_is_univariate_data(method: str) -> None:
    x = clusters(1).x
    assert same(brief(method, x[:, 0].numpy()), brief(method, x))


@every_method
def test_sample_weights_count(method: str) -> None:
    """Points of weight zero are as good as absent; what is drawn for whole points refuses them."""
    data = clusters(n=80)
    noise = torch.cat([data.x, 50 + data.x[:20]])
    weight = torch.cat([torch.ones(80), torch.zeros(20)])
    if method == "gibbs":
        with pytest.raises(ValueError, match="gibbs takes no sample_weight"):
            fit(method, noise, sample_weight=weight)
        return
    found = fit(method, noise, sample_weight=weight)
    assert found.observations.total_weight == 80
    assert (found.mixture.means.abs() < 25).all()
    assert adjusted_rand(data.labels, found.mixture.predict(data.x)) > 0.85


@every_method
def test_float32(method: str) -> None:
    """The type of what is returned, the same clusters, and the densities of float64.

    A walk in single precision is soon another walk, so that its draws are held to the posterior
    and not to those of float64; whatever climbs to a place comes to the same one.
    """
    x = clusters().x
    found = fit(method, x, dtype=torch.float32)
    assert found.observations.x.dtype == torch.float32
    assert found.mixture.means.dtype == torch.float32
    assert found.history.dtype == torch.float64
    assert adjusted_rand(clusters().labels, found.mixture.predict(x)) > 0.85
    if method in CLIMBS:
        one, double = found.mixture, fitted(method, "full", 2).mixture
        order = torch.cdist(double.means, one.means.double()).argmin(1).tolist()
        agree(in_float64(one).permute(order), double, 0.05)
    elif found.posterior is not None and method in SAMPLERS:
        draws = {name: draw.flatten(0, 1) for name, draw in found.posterior.draws.items()}
        density = found.model.log_density(observe(found.observations.x.double()))
        lp = density.log_prior(draws) + density.log_likelihood(draws)
        rounding = 1e-5 * len(x)  # of sums of ten numbers as large as 10, at every point
        said = found.posterior.statistics["lp"].flatten()
        torch.testing.assert_close(said, lp, rtol=0, atol=rounding)


class TestColumnsThatHoldNoNumbers:
    """Of words and dates, which are left out of data and said to be."""

    table = pd.DataFrame(clusters().x.numpy(), columns=["height", "width"]).assign(
        city="Ulm", born=pd.Timestamp("1990-01-01"), seen=datetime.date(2024, 1, 31)
    )

    @pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
    def test_they_are_left_out_with_one_warning_where_the_fit_is_asked_for(self, frame) -> None:
        table = self.table if frame is pd.DataFrame else pl.from_pandas(self.table)
        with pytest.warns(gp.ColumnWarning) as caught:
            found = gp.fit(gp.MixtureModel(2), table)
        (warning,) = caught
        assert str(warning.message) == (
            "columns that hold no numbers are left out: city (strings), born (dates), seen "
            "(dates); nothing is said of data without them"
        )
        assert warning.filename == __file__
        assert found.mixture.feature_names == ("height", "width")
        assert same(found, gp.fit(gp.MixtureModel(2), self.table[["height", "width"]]))
        assert len(found.mixture.predict(table)) == len(self.table)  # by name, without a word

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (["-", "n.a."] + ["3.5"] * 10, "2 of 12 values of column 'age' are no numbers: '-', "
             "'n.a.'; pandas.to_numeric(x['age'], errors='coerce') takes them for missing"),
            (["-"] + [3.5] * 11, "1 of 12 values of column 'age' are no numbers: '-'"),
            (["1", None] * 6, "column 'age' must hold real numbers, got numbers as strings: "
             "pandas.to_numeric(x['age']) reads them"),
        ],
    )  # fmt: skip
    def test_words_among_numbers_are_refused(self, values, message) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            gp.fit(gp.MixtureModel(2), self.table[:12].assign(age=values))

    def test_where_there_is_nothing_else_they_are_refused(self) -> None:
        with pytest.raises(ValueError, match="column 'city' must hold real numbers, got strings"):
            gp.fit(gp.MixtureModel(2), self.table[["city", "born"]])


@every_method
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.tensor([[0.0, 1.0], [math.inf, 2.0], [3.0, 4.0]]),
            "1 infinite value, the first at row 1",
        ),
        (torch.tensor([[1.0, 2.0]]), "fewer than the 2 components"),
        (torch.tensor([[1.0, 2.0], [1.0, 3.0], [1.0, 5.0]]), "constant over its 3 rows: 'x0'"),
        (np.array([["a", "b"], ["c", "d"]]), "must hold real numbers, got strings"),
    ],
    ids=["infinite", "too few points", "constant column", "strings"],
)
def test_bad_data_are_refused(method: str, x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(method, x)
