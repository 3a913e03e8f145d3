"""A mixture's parameters in a file: numbers in float64, with the factor of the covariances.

The covariances of a mixture in float32 are rounded, and what is left of a narrow one may no longer
be positive definite; a Cholesky factor of them is another one in any precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters, family_named
from ..data.checks import check_choice
from ..data.devices import precision_of
from ..disk.storage import read_record, write_record
from .noise_component import NoiseComponent
from .noise_kinds import KINDS
from .record import MixtureRecord, check_means, check_weights

FORMAT = "gmm_pyro.GaussianMixture"
ARRAYS = ("weights", "means", "covariances", "factor")
OF_NOISE = ("low", "high", "mean", "covariance", "concentration", "log_odds")
CLOSE = 1e-9  # share of a covariance by which one with this factor may differ from it

Mixture = TypeVar("Mixture", bound=MixtureRecord)


def write_mixture(path: str | Path, mixture: MixtureRecord) -> Path:
    """Write a mixture as JSON, or as NumPy arrays if the name ends in .npz."""
    p, single = mixture.parameters, mixture.means.dtype is not torch.float64
    arrays = {
        "weights": p.log_weights[0].exp() if single else mixture.weights,
        "means": p.means[0],
        "covariances": mixture.family.covariances(p.factor[0]) if single else mixture.covariances,
        "factor": p.factor[0],
    }
    arrays |= {f"noise_{name}": value for name, value in _arrays_of_noise(mixture).items()}
    noise = mixture.noise_component
    words = {
        "covariance": mixture.family.name,
        "feature_names": list(mixture.feature_names),
        "precision": str(mixture.means.dtype).removeprefix("torch."),
        **({"n_held": mixture.n_held} if mixture.n_held else {}),
        **({} if noise is None else {"noise_component": noise.KIND}),
        **({"noise_of_data": True} if noise is not None and noise.n_parameters > 1 else {}),
    }
    numbers = {name: array.cpu().double().numpy() for name, array in arrays.items()}
    return write_record(path, FORMAT, numbers, words)


def _arrays_of_noise(mixture: MixtureRecord) -> dict[str, Tensor]:
    """What there is to know of the noise, if there is any."""
    noise, log_odds = mixture.noise_component, mixture.parameters.log_odds
    if noise is None or log_odds is None:
        return {}
    own = dict(zip(noise.ARRAYS, noise.arrays, strict=True))
    return {**own, "concentration": torch.tensor(noise.concentration), "log_odds": log_odds}


def read_mixture(kind: type[Mixture], path: str | Path) -> Mixture:
    """A mixture of this class, from a file that `write_mixture` wrote.

    Raises:
        OSError: if it cannot be opened.
        Exception: if it holds something else.
    """
    noise = [f"noise_{name}" for name in OF_NOISE]
    record: dict[str, Any] = read_record(path, FORMAT, (*ARRAYS, *noise))
    weights, means, covariances = (torch.from_numpy(record[name]) for name in ARRAYS[:3])
    family = family_named(str(record["covariance"]))
    names = [str(name) for name in record["feature_names"]]
    if "factor" not in record:  # in files of early versions
        return kind(weights, means, covariances, family.name, names)
    factor = torch.from_numpy(record["factor"])
    _check_factor(family, factor, means, covariances)
    dtype = precision_of(str(record.get("precision", record["means"].dtype)))
    check_means(means)
    check_weights(weights, len(means))
    component, log_odds = _noise_of(record, means.shape[1])
    parameters = Parameters(weights.log()[None], means[None], factor[None], log_odds)
    visible, n_held = (weights, means, covariances), int(record.get("n_held", 0))
    return kind._assembled(family, visible, parameters, dtype, names, n_held, component)


def _noise_of(
    record: Mapping[str, Any], d: int
) -> tuple[NoiseComponent | None, Float[Tensor, "1"] | None]:
    """The component of noise in a file, with its log odds, if there is one."""
    if "noise_component" not in record:
        return None, None
    kind = KINDS[check_choice("noise_component", str(record["noise_component"]), KINDS)]
    numbers = {name: record[f"noise_{name}"] for name in (*kind.ARRAYS, "concentration")}
    if record.get("noise_of_data"):
        numbers["of_data"] = True
    component, odds = kind(**numbers), torch.from_numpy(record["noise_log_odds"])
    if component.n_features != d or odds.shape != (1,) or odds.isnan().any():
        raise ValueError(f"its noise is of {component.n_features} features, and its means of {d}")
    return component, odds


def _check_factor(
    family: CovarianceFamily, factor: Tensor, means: Tensor, covariances: Tensor
) -> None:
    """Refuse a factor that belongs to other covariances."""
    k, d = means.shape
    if factor.shape != family.factor_shape(k, d):
        raise ValueError(f"its factor has shape {tuple(factor.shape)}")
    found, given = family.covariances(factor), covariances.double()
    sound = found.shape == given.shape and bool(family.factor_support.check(factor).all())
    if not (sound and torch.allclose(found, given, CLOSE, CLOSE * float(found.abs().max()))):
        raise ValueError("its factor is not that of its covariances")
