"""A model as a log density over one flat vector of unconstrained numbers.

The reduction stands in the place of the program's sum over assignments, without effect handlers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import Transform

from ..covariance import Parameters
from ..data.checks import shown
from ..data.points import Observations
from ..reduction.sums import log_likelihood
from .declaration import Declaration
from .fixed_sites import FreePart, free_part, values_holding
from .priors import Priors
from .sites import Sites


def _to_support(name: str, prior: Any) -> Any:
    """The map from unconstrained numbers to the values of a site."""
    try:
        return biject_to(prior.support)
    except NotImplementedError as error:
        raise ValueError(
            f"the prior of {name} has a support that torch maps no real numbers to: {prior}"
        ) from error


@dataclass(frozen=True)
class Site:
    """One site of the model as a slice of the flat vector."""

    name: str
    support: Any
    transform: Transform | FreePart
    shape: torch.Size
    entries: slice

    @property
    def unbounded(self) -> bool:
        """Whether values of the site are their own unconstrained form, in the data's units."""
        support = self.support
        while hasattr(support, "base_constraint"):
            support = support.base_constraint
        return support is constraints.real

    def each(self, value: Float[Tensor, "*k1 d"]) -> Float[Tensor, "m"]:
        """A value of each feature, for all components or each, at the entries of free means."""
        if isinstance(self.transform, FreePart):
            return value.expand(self.transform.values.shape)[self.transform.free]
        return value.expand(self.shape).flatten()

    def constrain(self, vector: Float[Tensor, "s m"]) -> Tensor:
        """Values of the site, shape (s, *event)."""
        value: Tensor = self.transform(vector[:, self.entries].reshape(len(vector), *self.shape))
        return value

    def log_jacobian(self, vector: Float[Tensor, "s m"], value: Tensor) -> Float[Tensor, "s"]:
        """log |det ∂value/∂vector|."""
        unconstrained = vector[:, self.entries].reshape(len(vector), *self.shape)
        result: Tensor = self.transform.log_abs_det_jacobian(unconstrained, value)
        return result.reshape(len(vector), -1).sum(1)


@dataclass(frozen=True, eq=False)
class LogDensity:
    """log p(sites, x) of a model as a function of one flat unconstrained vector.

    It is differentiable in the vector, and in what the priors' parameters were made from.

    Sites are laid out in the order in which the program samples them, through the same `biject_to`
    bijections as Pyro's guides, so that the vector is the one of `AutoMultivariateNormal`.

    Attributes:
        model: the model, its priors made concrete.
        observations: the data.
    """

    model: Declaration
    observations: Observations

    @property
    def unlabelled(self) -> LogDensity:
        """The same where nothing is known of the points' components."""
        data = self.observations
        return self if data.allowed is None else LogDensity(self.model, data.unlabelled)

    @property
    def prior(self) -> Sites:
        """The priors of the sites, in the data's dtype and on their device."""
        return self._new_prior() if self._is_learned else self._fixed_prior

    @cached_property
    def _fixed_prior(self) -> Sites:
        return self._new_prior()

    def _new_prior(self) -> Sites:
        return self.model.sites(like=self.observations.origin)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Supports and bijections of the sites, with their places in the vector."""
        return self._new_sites() if self._is_learned else self._fixed_sites

    @cached_property
    def _is_learned(self) -> bool:
        return bool(self.model.learned)

    @cached_property
    def _fixed_sites(self) -> tuple[Site, ...]:
        return self._new_sites()

    def _new_sites(self) -> tuple[Site, ...]:
        sites, first = [], 0
        for name, prior in self.prior.items():
            transform = self._of_free(name, _to_support(name, prior))
            # transform.inverse_shape says the same, and imports sympy, which takes half a second
            ones = self.observations.origin.new_ones(1, *prior.event_shape)
            shape = transform.inv(ones).shape[1:]
            last = first + math.prod(shape)
            sites.append(Site(name, prior.support, transform, shape, slice(first, last)))
            first = last
        return tuple(sites)

    def _of_free(self, name: str, transform: Any) -> Any:
        """The map to a site's values, of those alone that are not fixed."""
        fixed = self.model.fixed
        if fixed is None:
            return transform
        values = values_holding(self.model, name)
        return free_part(fixed, name, transform, values) or transform

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return int(self.sites[-1].entries.stop)

    def constrain(self, vector: Float[Tensor, "s m"]) -> dict[str, Tensor]:
        """Values of the sites, each of shape (s, *event).

        Raises:
            ValueError: if the vector does not have the shape (s, m).
        """
        m = self.dimension
        if not isinstance(vector, Tensor) or vector.ndim != 2 or vector.shape[1] != m:
            got = tuple(vector.shape) if isinstance(vector, Tensor) else shown(vector)
            raise ValueError(f"vector must be a tensor of shape (s, {m}), got {got}")
        return {site.name: site.constrain(vector) for site in self.sites}

    def unconstrain(self, values: Mapping[str, Tensor]) -> Float[Tensor, "s m"]:
        """The vector of given site values: the inverse of `constrain`."""
        parts = [site.transform.inv(values[site.name]) for site in self.sites]
        return torch.cat([p.flatten(1) if p.ndim > 1 else p[:, None] for p in parts], 1)

    def parameters(self, values: Mapping[str, Tensor]) -> Parameters:
        """Mixture parameters of s sets of site values."""
        return self.model.family.parameters(values)

    def values(self, parameters: Parameters) -> dict[str, Tensor]:
        """Site values of mixture parameters: the inverse of `parameters`."""
        priors = self.model.priors or Priors()
        covariance = priors.covariance_sites(self.model.family, parameters.factor)
        weights = parameters.log_weights.softmax(-1)
        values = {"weights": weights, "means": parameters.means, **covariance}
        return {name: values[name] for name in self.prior}

    def log_prior(self, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """Log prior density of s sets of site values in nats."""
        return self.prior.log_density(values)

    def log_likelihood(
        self, values: Mapping[str, Tensor], rows: Observations | None = None
    ) -> Float[Tensor, "s"]:
        """Log-likelihood in nats; estimated without bias if only some rows are given."""
        rows = rows or self.observations
        scale = self.observations.n / rows.n
        return scale * log_likelihood(rows, self.model.family, self.parameters(values))

    def __call__(
        self,
        vector: Float[Tensor, "s m"],
        *,
        jacobian: bool = True,
        rows: Observations | None = None,
    ) -> Float[Tensor, "s"]:
        """log p(sites, x) in nats for s vectors at once, differentiable.

        Args:
            vector: s unconstrained vectors.
            jacobian: whether the density is that of the vector (as Laplace and variational
                inference need it) or of the sites themselves (as the MAP estimate needs it).
            rows: a random subset of the observations, for a minibatch estimate.
        """
        values = self.constrain(vector)
        total = self.log_prior(values) + self.log_likelihood(values, rows)
        if jacobian:
            total = total + self.log_jacobian(vector, values)
        return total

    def log_jacobian(
        self, vector: Float[Tensor, "s m"], values: Mapping[str, Tensor]
    ) -> Float[Tensor, "s"]:
        """log |det ∂sites/∂vector| of s vectors."""
        parts = [site.log_jacobian(vector, values[site.name]) for site in self.sites]
        return torch.stack(parts).sum(0)
