"""The priors of the sites of a mixture, in order, and the checks that one fits its site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import constraints

from ..covariance import CovarianceFamily
from ..data.checks import shown
from .nested import distributions

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution


@dataclass(frozen=True, eq=False)
class Conditional:
    """The prior of a site whose distribution depends on the values of others.

    Attributes:
        event_shape: shape of the site.
        given: the distribution, from the values of the sites that are sampled before it.
        log_density: in nats, from s values of all sites.
        support: of its values, whatever the others are.
    """

    event_shape: tuple[int, ...]
    given: Callable[[Mapping[str, Tensor]], TorchDistribution]
    log_density: Callable[[Mapping[str, Tensor]], Float[Tensor, "s"]]
    support: Any = constraints.real_vector


class Sites(dict[str, "TorchDistribution | Conditional"]):
    """The priors of all sites by name, in the order in which they are sampled."""

    def given(self, name: str, values: Mapping[str, Tensor]) -> TorchDistribution:
        """The distribution of a site, given the values of those before it."""
        prior = self[name]
        return prior.given(values) if isinstance(prior, Conditional) else prior

    def log_prob(self, name: str, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """Log density of s values of a site in nats, given those of the other sites."""
        prior = self[name]
        if isinstance(prior, Conditional):
            return prior.log_density(values)
        return prior.log_prob(values[name])

    def log_density(self, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """Log density of s sets of values of all sites in nats."""
        return self.evaluated(dict(values))[1]

    def log_probs(self, values: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "s"]]:
        """The terms of the log density by site."""
        return {name: self.log_prob(name, values) for name in self}

    def evaluated(self, values: dict[str, Tensor]) -> tuple[dict[str, Tensor], Float[Tensor, "s"]]:
        """Values as `completed` has them, and their log density."""
        total: Tensor = sum(self.log_probs(values).values())  # type: ignore[assignment]
        return self.completed(values), total

    # what a program has more to say about (`program_sites.py`)

    def completed(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Values with those of the mixture's sites among them."""
        return values

    def values_of(self, mixture: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Values of these sites that make a mixture's."""
        return {name: mixture[name] for name in self}

    def component_axis(self, name: str, family: CovarianceFamily) -> int | None:
        """Which axis of a site's value, from 0, counts components; None if they share the value."""
        return family.component_axis(name)

    @property
    def renumbers(self) -> bool:
        """Whether it is known of every site what it is where components are numbered otherwise."""
        return True

    @property
    def are_a_mixtures(self) -> bool:
        """Whether every mixture is that of one value of these sites, and they are nothing else."""
        return True

    @property
    def vectorises(self) -> bool:
        """Whether Pyro's particles may be one more axis of every value, in the program."""
        return True

    @property
    def in_vector(self) -> Mapping[str, Any]:
        """The sites whose values a vector of unconstrained numbers has."""
        return self

    @property
    def nesting(self) -> int:
        """How deep the plates are nested that the sites are in."""
        return 0

    @property
    def lengths(self) -> Float[Tensor, "m"] | float:
        """Natural lengths of the entries of the unconstrained vector."""
        return 1.0

    @property
    def others(self) -> dict[str, int | None]:
        """The component axes of sites that are not a mixture's own."""
        return {}

    def sampled(
        self, prefix: str = "", held: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Run in Pyro: values of a mixture's sites, sampled under their names after a prefix.

        Those that are held are observed.
        """
        import pyro

        values: dict[str, Tensor] = {}
        for name in self:
            own = None if held is None else held.get(name)
            values[name] = pyro.sample(f"{prefix}{name}", self.given(name, values), obs=own)
        return values

    def draw(self, n_draws: int, seed: int) -> dict[str, Tensor]:
        """Independent draws of every site, each of shape (n_draws, *site).

        Distributions draw from torch's default generator, which is put back as it was.

        Raises:
            NotImplementedError: if a prior cannot be drawn from.
        """
        values: dict[str, Tensor] = {}
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(seed)  # torch.manual_seed is for all devices
            for name, prior in self.items():
                if isinstance(prior, Conditional):
                    values[name] = prior.given(values).sample()
                else:
                    values[name] = prior.sample(torch.Size([n_draws]))
        return values


def over(name: str, prior: Any, shape: tuple[int, ...]) -> TorchDistribution:
    """The prior broadcast over a whole site, as one event.

    Raises:
        ValueError: if it does not fit the site.
    """
    batch = shape[: len(shape) - len(prior.event_shape)]
    if batch + tuple(prior.event_shape) != shape or not _broadcasts(prior.batch_shape, batch):
        raise ValueError(
            f"the prior of {name} must broadcast to shape {shape}, got a distribution with batch "
            f"shape {tuple(prior.batch_shape)} and event shape {tuple(prior.event_shape)}"
        )
    _check_parameters(name, prior)
    _check_support(name, prior, shape)
    return prior.expand(torch.Size(batch)).to_event(len(batch))


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether tensors of one shape expand to another."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(a in (1, b) for a, b in pairs)


def _check_parameters(name: str, prior: Any) -> None:
    """Refuse a prior that is no distribution, as one made without validation may be."""
    for part in distributions(prior):
        for parameter, constraint in part.arg_constraints.items():
            value = vars(part).get(parameter)  # others follow from these
            if not isinstance(value, Tensor):
                continue
            free = constraints.is_dependent(constraint) or bool(constraint.check(value).all())
            if not (free and bool(value.isfinite().all())):
                raise ValueError(
                    f"the prior of {name} is no distribution: the {parameter} of {part} is "
                    f"{shown(value.tolist())}"
                )


def _check_support(name: str, prior: Any, shape: tuple[int, ...]) -> None:
    """Refuse a prior that puts mass where the site cannot be."""
    each = tuple(prior.event_shape)
    positive = ("positive numbers (as a Gamma)", -1e-6, each)
    sites = {  # what there must be, and a number and a shape that make values of another kind
        "concentration": positive,
        "weights": ("probability vectors (as a Dirichlet)", 0.4, shape[-1:] or (1,)),
        "scales": ("positive numbers (as a LogNormal)", -1e-6, each),
        "correlations": ("Cholesky factors of correlation matrices (as an LKJCholesky)", 0.4, each),
    }
    target, number, size = sites.get(name, ("real numbers (as a Normal)", 0.0, ()))
    support = getattr(prior, "support", constraints.real)
    wrong = support.is_discrete or (
        name in sites and bool(support.check(torch.full(size, number)).any())
    )
    if name == "correlations" and not wrong:
        factor = torch.ones(each).tril()
        wrong = not support.check(factor / factor.norm(dim=-1, keepdim=True)).all()
    if wrong:
        raise ValueError(f"the prior of {name} must be a distribution over {target}, got {prior}")
