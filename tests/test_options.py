"""The options of every method: the common ones, names that do not exist, values without sense."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro import MixtureModel
from gmm_pyro.inference import METHODS, Options
from oracles import clusters
from runs import every_method, fit


@every_method
def test_every_method_has_the_common_options(method: str) -> None:
    names = {field.name for field in dataclasses.fields(METHODS[method].options)}
    assert {field.name for field in dataclasses.fields(Options)} <= names


@every_method
@pytest.mark.parametrize(("name", "meant"), [("n_start", "n_starts"), ("tolerence", "tolerance")])
def test_an_option_that_does_not_exist_is_named_with_the_nearest(
    method: str, name: str, meant: str
) -> None:
    with pytest.raises(gp.OptionError, match=f"no option '{name}'; did you mean '{meant}'"):
        fit(method, clusters().x, **{name: 1})


@pytest.mark.parametrize(
    ("method", "option"),
    [("em", "engine"), ("kmeans", "batch_size"), ("map", "n_draws"), ("gradient", "guide")],
)
def test_an_option_of_another_method_is_refused(method: str, option: str) -> None:
    with pytest.raises(TypeError, match=f"method '{method}' has no option '{option}'.*it has seed"):
        gp.fit(MixtureModel(2), clusters().x, method=method, **{option: 1})


@every_method
@pytest.mark.parametrize(
    "option",
    [
        {"seed": -1},
        {"seed": 0.5},
        {"seed": True},
        {"n_starts": 0},
        {"max_steps": 0},
        {"max_steps": 2.5},
        {"tolerance": -1e-3},
        {"tolerance": math.nan},
        {"tolerance": "small"},
        {"covariance_floor": -1.0},
        {"covariance_floor": math.inf},
        {"dtype": torch.int64},
        {"dtype": "double precision"},
        {"dtype": torch.bfloat16},
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_refused(method: str, option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ValueError, match=f"^{name} must be"):
        fit(method, clusters().x, **option)


def test_numpy_s_integers_are_integers() -> None:
    assert fit("em", clusters().x, seed=np.int64(3), max_steps=np.int32(90)).seed == 3


def test_a_name_of_a_dtype_is_that_dtype() -> None:
    named = fit("em", clusters().x, dtype="float32").mixture.means
    assert named.equal(fit("em", clusters().x, dtype=torch.float32).mixture.means)
