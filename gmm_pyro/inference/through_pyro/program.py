"""The Pyro program as Pyro's inference sees it, and a place of its own for it to run in.

Pyro keeps parameters in a store of the process and draws from torch's default generator; both are
put back as they were.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...model.log_density import LogDensity
from ...model.program import MixtureModel
from ...running.validation import VALIDATION
from ..climb.curvature import origins, units
from ..task import Options, Task

STANDARDISED = "standardised_means"  # the site of the means in the data's own units


@contextmanager
def isolated(seed: int, device: torch.device) -> Iterator[None]:
    """A parameter store and a default generator of its own, restored at the end.

    Pyro's validation is off meanwhile: it costs a fifth of the time, and the model is known.
    """
    import pyro

    cuda = [device] if device.type == "cuda" else []
    with (
        pyro.get_param_store().scope(),
        torch.random.fork_rng(devices=cuda),
        pyro.settings.context(**dict.fromkeys(VALIDATION, False)),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Encountered NaN")  # the fit's status says so
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True, eq=False)
class Program:
    """The Pyro program as a guide sees it, and its numbers in terms of the log density's vector.

    A guide's first width and Adam's step are lengths, and data come in any unit, so the automatic
    guides see the means from the data's centre, in units of their spread. Densities of guide and
    program change by the same constant, which leaves the ELBO as it is.

    Attributes:
        run: the program.
        density: the log density that it stands for.
        origin: what the log density's vector is where the guide's is zero, shape (m,).
        unit: how much it changes where the guide's changes by one, shape (m,).
        names: what the program calls the sites that it does not call by their own name.
        nesting: how deep its plates are nested, that of the points included.
    """

    run: Callable[..., Any]
    density: LogDensity
    origin: Float[Tensor, "m"]
    unit: Float[Tensor, "m"]
    names: Mapping[str, str]
    nesting: int = 1

    @classmethod
    def plain(cls, model: MixtureModel, density: LogDensity) -> Program:
        """The model itself."""
        one = density.observations.scale.new_ones(density.dimension)
        names = {site.name: f"{model.prefix}{site.name}" for site in density.sites}
        nesting = max(1, density.prior.nesting)
        return cls(model, density, torch.zeros_like(one), one, names, nesting)

    @classmethod
    def standardised(cls, model: MixtureModel, density: LogDensity) -> Program:
        """The model with its means, where they are unbounded, in the data's own units."""
        import pyro
        import pyro.distributions as dist
        from pyro.infer.reparam.reparam import Reparam

        site = next((site for site in density.sites if site.name == "means"), None)
        plain = cls.plain(model, density)
        if site is None or not site.unbounded or density.prior.nesting:
            return plain  # or means are in plates, and no event of their own

        data = density.observations
        origin, scale = (value.expand(site.shape) for value in (data.origin, data.bulk))
        affine = dist.transforms.AffineTransform(origin, scale, event_dim=2)  # must not broadcast

        class Standardise(Reparam):
            def apply(self, message: Any) -> Any:
                prior = dist.TransformedDistribution(message["fn"], affine.inv)
                means = affine(pyro.sample(STANDARDISED, prior))
                fixed = dist.Delta(means, event_dim=2)
                return {"fn": fixed, "value": means, "is_observed": True}

        run = pyro.poutine.reparam(model, {plain.names["means"]: Standardise()})
        names = {**plain.names, "means": STANDARDISED}
        return cls(run, density, origins(density), units(density), names)

    @property
    def site_names(self) -> list[str]:
        """The program's names of the log density's sites."""
        return [self.names.get(site.name, site.name) for site in self.density.sites]

    def values(self, vector: Float[Tensor, "1 m"]) -> dict[str, Tensor]:
        """Values of the program's sites at a vector of the log density's."""
        values = self.density.constrain((vector - self.origin) / self.unit)
        return {self.names.get(name, name): value[0].detach() for name, value in values.items()}

    def continuous(self) -> Callable[..., Any]:
        """The program without its discrete site, which an automatic guide must not see."""
        import pyro

        blocked: Callable[..., Any] = pyro.poutine.block(
            self.run, hide=[f"{self.density.model.prefix}assignment"]
        )
        return blocked

    def restore(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Values of the log density's sites from those of the program's."""
        restored = {
            site.name: values[name]
            for site, name in zip(self.density.sites, self.site_names, strict=True)
        }
        if STANDARDISED in values:
            data = self.density.observations
            restored["means"] = data.origin + data.bulk * values[STANDARDISED]
        return self._completed(restored)

    def _completed(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """With the mixture's sites among them, whatever axes there are before those of a site."""
        prior = self.density.prior
        first = next(iter(prior))
        outer = values[first].shape[: values[first].ndim - len(prior[first].event_shape)]
        sets = {name: value.flatten(0, len(outer) - 1) for name, value in values.items()}
        return {n: v.unflatten(0, outer) for n, v in prior.completed(sets).items()}


def told_of(task: Task[Options]) -> dict[str, Any]:
    """Keyword arguments that the program is called with beside the data."""
    data = task.observations
    noise = None if data.measured is None else data.measured.noise_of_rows
    projection = None if data.measured is None else data.measured.projection_of_rows
    labels = None if data.allowed is None else data.allowed.table[data.allowed.kind]
    known = {
        "sample_weight": data.sample_weight,
        "noise": noise,
        "projection": projection,
        "labels": labels,
    }
    return {name: value for name, value in known.items() if value is not None}
