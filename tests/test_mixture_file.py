"""Copies of a mixture are the same mixture, to the digits that densities are held to."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gmm_pyro import GaussianMixture
from gmm_pyro.covariance import CovarianceFamily, Parameters
from oracles import every_class

every_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def narrow(family: CovarianceFamily, dtype: torch.dtype, d: int = 3) -> GaussianMixture:
    """Features of different units, and correlations that float32 cannot hold."""
    generator = np.random.default_rng(0)
    unit = torch.logspace(-3, 3, d, dtype=torch.float64)
    root = torch.tensor(np.tril(0.3 + 0.1 * generator.uniform(size=(3, d, d))))
    root = root - 0.299 * torch.eye(d)  # correlations of about .999999
    dense = (root @ root.mT) * unit * unit[:, None]
    if family.tied:
        dense = dense[:1]
    factor = family.fit(family.compress(dense), torch.zeros(d, dtype=torch.float64))
    if family.event_shape(d) == (d, d):
        factor = root[: len(dense)] * unit[:, None]
    parameters = Parameters(
        torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64).log(),
        torch.tensor(generator.normal(size=(1, 3, d))) * unit,
        factor[None],
    )
    return GaussianMixture.from_parameters(family, parameters, dtype=dtype)


def densities(mixture: GaussianMixture, x: Tensor) -> Tensor:
    """In float64, whatever the mixture returns."""
    whole = GaussianMixture.from_parameters(mixture.family, mixture.parameters)
    return whole.log_prob(x)


def on_disk(name: str) -> Callable[[GaussianMixture, Path], GaussianMixture]:
    return lambda mixture, folder: GaussianMixture.load(mixture.save(folder / name))


COPIES: dict[str, Callable[[GaussianMixture, Path], GaussianMixture]] = {
    "json": on_disk("m.json"),
    "npz": on_disk("m.npz"),
    "pickle": lambda mixture, _: pickle.loads(pickle.dumps(mixture)),  # noqa: S301
    "copy": lambda mixture, _: copy.copy(mixture),
    "deepcopy": lambda mixture, _: copy.deepcopy(mixture),
    "permute": lambda mixture, _: mixture.permute([2, 0, 1]).permute([1, 2, 0]),
    "marginal": lambda mixture, _: mixture.marginal([2, 0, 1]).marginal([1, 2, 0]),
}


@every_class
@every_type
@pytest.mark.parametrize("name", COPIES)
def test_a_copy_has_the_same_densities(
    family: CovarianceFamily, dtype: torch.dtype, name: str, tmp_path: Path
) -> None:
    mixture = narrow(family, dtype)
    other = COPIES[name](mixture, tmp_path)
    assert other.family is family
    assert other.means.dtype == dtype
    assert other.means.equal(mixture.means)
    x = narrow(family, torch.float64).sample(50, seed=1)
    # an orthogonal transformation turns factors whose condition is 3e9; the others change nothing
    rounding = 1e-10 if name == "marginal" else 1e-12
    torch.testing.assert_close(densities(other, x), densities(mixture, x), rtol=0, atol=rounding)


@every_class
@every_type
def test_a_density_is_that_of_some_features_times_that_of_the_others_given_them(
    family: CovarianceFamily, dtype: torch.dtype
) -> None:
    mixture = narrow(family, dtype)
    for point in narrow(family, torch.float64).sample(5, seed=2):
        some, others = [2, 0], [1]
        parts = densities(mixture.marginal(some), point[None, some]) + densities(
            mixture.conditional(some, point[some]), point[None, others]
        )
        torch.testing.assert_close(parts, densities(mixture, point[None]), rtol=0, atol=1e-9)


@every_class
def test_what_is_given_may_be_far_out(family: CovarianceFamily) -> None:
    """The component that is nearest in units of its width has all the weight."""
    mixture = narrow(family, torch.float64)
    there = mixture.conditional([0], [1e200])
    nearest = int(mixture.marginal([0]).predict([1e200]))
    assert there.weights.tolist() == [float(i == nearest) for i in range(3)]
    assert there.means.isfinite().all()


def test_values_without_conditional_means_are_refused() -> None:
    mixture = GaussianMixture([1.0], [[0.0, 0.0]], [[1e-4, 9.0], [9.0, 1e6]], "tied")
    with pytest.raises(ValueError, match="conditional means are out of range"):
        mixture.conditional([0], [1e304])


@every_type
def test_files_of_early_versions(dtype: torch.dtype, tmp_path: Path) -> None:
    """They have covariances in the mixture's own type, and no factor."""
    content = {
        "format": "gmm_pyro.GaussianMixture",
        "covariance": "diag",
        "feature_names": ["a", "b"],
        "dtype": str(dtype).removeprefix("torch."),
        "weights": [0.25, 0.75],
        "means": [[0.0, 1.0], [2.0, 3.0]],
        "covariances": [[1.0, 4.0], [0.25, 1.0]],
    }
    (tmp_path / "m.json").write_text(json.dumps(content))
    arrays: dict[str, Any] = {
        name: np.array(
            value, dtype=content["dtype"] if name in ("weights", "means", "covariances") else None
        )
        for name, value in content.items()
        if name != "dtype"
    }
    np.savez(tmp_path / "m.npz", **arrays)
    wanted = GaussianMixture(
        *(torch.tensor(content[name], dtype=dtype) for name in ("weights", "means", "covariances")),
        "diag",
        ["a", "b"],
    )
    for name in ("m.json", "m.npz"):
        found = GaussianMixture.load(tmp_path / name)
        assert found.means.dtype == dtype
        assert found.feature_names == ("a", "b")
        x = torch.tensor([[0.5, -1.0], [1e3, 4.0]], dtype=dtype)
        assert found.log_prob(x).equal(wanted.log_prob(x))


@every_class
@pytest.mark.parametrize("entry", ["covariances", "factor"])
def test_a_factor_of_other_covariances_is_refused(
    family: CovarianceFamily, entry: str, tmp_path: Path
) -> None:
    path = narrow(family, torch.float32).save(tmp_path / "m.json")
    content = json.loads(path.read_text())
    content[entry] = (1.001 * np.array(content[entry])).tolist()
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="its factor is not that of its covariances"):
        GaussianMixture.load(path)


@every_class
def test_there_is_one_instance_of_a_family(family: CovarianceFamily) -> None:
    copies = [type(family)(), copy.copy(family), copy.deepcopy(family)]
    copies.append(pickle.loads(pickle.dumps(family)))  # noqa: S301
    assert all(other is family for other in copies)
