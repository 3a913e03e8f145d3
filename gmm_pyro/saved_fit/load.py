"""What a saved fit knows: the mixture, the facts, and the draws."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..covariance.sharing import NOISE_WEIGHT
from ..data.checks import check_path
from ..data.points import LeftOut
from ..disk.untrusted import content_named
from ..files import read_netcdf
from ..mixture.value import GaussianMixture
from ..posterior import Posterior
from ..posterior.alignment import nearest
from ..posterior.readable import matrices
from ..posterior.relabelling import permuted
from ..posterior.sizes import FILLED, SIZE

if TYPE_CHECKING:
    import xarray

SITES = ("weights", "means", "scales", "correlations", NOISE_WEIGHT)


@dataclass(frozen=True, eq=False)
class SavedFit:
    """A fit from a folder, or a mixture from a file.

    Attributes:
        path: the folder or the file.
        mixture: the point estimate.
        facts: what `fit.json` says; empty for a mixture alone.
        draws: the NetCDF file of the draws, or None.
    """

    path: Path
    mixture: GaussianMixture
    facts: Mapping[str, Any] = field(default_factory=dict)
    draws: Path | None = None

    def posterior(self) -> Posterior:
        """The draws, with a description of the mixture in the place of the data.

        Where the number of components was unknown, they are the draws with as many with points as
        the mixture has, these alone, numbered as in it: one chain.

        Raises:
            ValueError: if there are none, or the file does not hold them.
        """
        return self._read(_posterior)

    def every_draw(self) -> Posterior:
        """All draws, whatever their numbers of components, of which those of weight 0 do not exist.

        What they say of densities needs no numbers of components; of these they say nothing.

        Raises:
            ValueError: as `posterior`.
        """
        return self._read(_every_draw)

    def _read(self, made: Callable[[Any, GaussianMixture, LeftOut], Posterior]) -> Posterior:
        """What is made of the file of draws."""
        if self.draws is None:
            method = self.facts.get("method", "")
            kind = f"by {method}, which has" if method else "with"
            raise ValueError(f"{self.path} is a fit {kind} a point estimate only, and no posterior")
        with content_named(f"{self.draws} does not hold draws of this fit"):
            return made(read_netcdf(self.draws, "posterior"), self.mixture, self._data())

    def _data(self) -> LeftOut:
        """What is known of the data: the mixture tells where they were."""
        mixture = self.mixture
        n = int(self.facts.get("n", mixture.n_components))
        return LeftOut(
            (n, mixture.n_features),
            mixture.means,
            mixture.feature_names,
            mixture.mean().double(),
            mixture.covariance().diagonal().double().sqrt(),
            float(self.facts.get("total_weight", n)),
        )


def load_fit(path: str | Path) -> SavedFit:
    """A fit that `save_fit` wrote, or a mixture that `GaussianMixture.save` wrote.

    Raises:
        ValueError: if there is something else.
        OSError: if there is nothing, or it cannot be read.
    """
    path = check_path("path", path)
    if not path.is_dir():
        return SavedFit(path, GaussianMixture.load(path))
    file, facts = path / "mixture.json", path / "fit.json"
    if not file.exists():
        raise FileNotFoundError(errno.ENOENT, "not the folder of a fit, which has", str(file))
    draws = path / "posterior.nc"
    return SavedFit(
        path,
        GaussianMixture.load(file),
        _facts(facts) if facts.exists() else {},
        draws if draws.exists() else None,
    )


def _facts(path: Path) -> dict[str, Any]:
    with content_named(f"{path} cannot be read"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError(f"it must hold a JSON object, got {type(found).__name__}")
        return found


def _posterior(data: xarray.Dataset, mixture: GaussianMixture, described: LeftOut) -> Posterior:
    """Draws of the sites that describe the family, from those that ArviZ shows."""
    found = {name: data[name].values for name in SITES if name in data}
    unknown = SIZE in data and FILLED in data
    if unknown:
        found = _of_filled(found, data[FILLED].values == mixture.n_components, mixture)
    k = mixture.n_components
    if k == 1:  # always one, and not among what ArviZ shows
        found.setdefault("weights", np.ones((*found["means"].shape[:2], 1)))
    posterior = _of_sites(found, k, data, mixture, described)
    if not unknown:
        return posterior
    unit, one = described.scale, mixture.parameters
    order = nearest(mixture.family, posterior.parameters(), one, unit)
    return permuted(posterior, order[None])


def _every_draw(data: xarray.Dataset, mixture: GaussianMixture, described: LeftOut) -> Posterior:
    """Those of the mixture's number, or of all, with copies in place of what does not exist."""
    if SIZE not in data:
        return _posterior(data, mixture, described)
    found = {name: data[name].values for name in SITES if name in data}
    for name, values in found.items():
        if mixture.family.component_axis(name) == 0:
            found[name] = np.where(np.isnan(values), values[:, :, :1], values)
    return _of_sites(found, found["means"].shape[2], data, mixture, described)


def _of_sites(
    found: dict[str, np.ndarray],
    k: int,
    data: xarray.Dataset,
    mixture: GaussianMixture,
    described: LeftOut,
) -> Posterior:
    """Draws of sites of k components, with correlations as the family has them."""
    d = mixture.n_features
    if "correlations" in found and "pair" in data["correlations"].dims:
        found["correlations"] = matrices(found["correlations"], d)
    draws = {name: torch.from_numpy(values) for name, values in found.items()}
    if "correlations" in draws:
        draws["correlations"] = torch.linalg.cholesky(draws["correlations"].double())
    if draws["means"].shape[2:] != (k, d):
        raise ValueError(f"means must have shape {k, d}, got {tuple(draws['means'].shape[2:])}")
    noise = mixture.noise_component
    return Posterior(draws, mixture.family, described, noise_component=noise)


def _of_filled(
    found: Mapping[str, np.ndarray], rows: np.ndarray, mixture: GaussianMixture
) -> dict[str, np.ndarray]:
    """Draws with as many components with points as a mixture, which come first in each."""
    if not rows.any():
        raise ValueError(f"no draw has {mixture.n_components} components with points")
    kept, k = {name: values[rows][None] for name, values in found.items()}, mixture.n_components
    for name, values in kept.items():
        if mixture.family.component_axis(name) == 0:
            kept[name] = values[:, :, :k]
    if "weights" in kept:
        kept["weights"] = kept["weights"] / kept["weights"].sum(-1, keepdims=True)
    return kept
