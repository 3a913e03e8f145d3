"""A model as a log density over one flat vector of unconstrained numbers.

The reduction stands in the place of the program's sum over assignments, without effect handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters
from ..covariance.sharing import NOISE_WEIGHT
from ..data.checks import shown
from ..data.points import Observations
from ..reduction.sums import log_likelihood
from .declaration import Declaration
from .fixed_sites import free_maps
from .layout import Site, laid_out, log_jacobian
from .sites import Sites
from .unknown_sites import UnknownSites


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
        maps = free_maps(self.model, self.prior)
        return laid_out(self.prior.in_vector, self.observations.origin, maps)

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return int(self.sites[-1].entries.stop)

    def constrain(self, vector: Float[Tensor, "s m"]) -> dict[str, Tensor]:
        """Values of the sites, each of shape (s, *event).

        Beside those of a prior program are the mixture's, which follow from them.

        Raises:
            ValueError: if the vector does not have the shape (s, m).
        """
        return self.prior.completed(self._own(vector))

    def _own(self, vector: Float[Tensor, "s m"]) -> dict[str, Tensor]:
        """Values of the sites that are in the vector, which is checked."""
        m = self.dimension
        if not isinstance(vector, Tensor) or vector.ndim != 2 or vector.shape[1] != m:
            got = tuple(vector.shape) if isinstance(vector, Tensor) else shown(vector)
            raise ValueError(f"vector must be a tensor of shape (s, {m}), got {got}")
        return {site.name: site.constrain(vector) for site in self.sites}

    def unconstrain(self, values: Mapping[str, Tensor]) -> Float[Tensor, "s m"]:
        """The vector of given site values: the inverse of `constrain`."""
        return torch.cat([site.unconstrain(values[site.name]) for site in self.sites], 1)

    def parameters(self, values: Mapping[str, Tensor]) -> Parameters:
        """Mixture parameters of s sets of site values."""
        return self.model.family.parameters(values)

    def values(self, parameters: Parameters) -> dict[str, Tensor]:
        """Site values of mixture parameters: the inverse of `parameters`.

        Many values of a prior program's sites may make one mixture: these are likely ones, and make
        about the same.
        """
        covariance = self.model.prior.covariance_sites(self.model.family, parameters.factor)
        values = {"weights": parameters.log_weights.softmax(-1), "means": parameters.means}
        if parameters.log_odds is not None:
            values[NOISE_WEIGHT] = parameters.log_odds.sigmoid()
        return self.prior.values_of({**values, **covariance})

    def component_axis(self, name: str) -> int | None:
        """Which axis of a site's value, from 0, counts components; None if they share the value."""
        return self.prior.component_axis(name, self.model.family)

    @property
    def renumbers(self) -> bool:
        """Whether site values are known that number the components otherwise, as `permuted` does.

        A prior program may have sites of which that cannot be said: nothing is renumbered then.
        """
        return self.prior.renumbers

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
        own = self._own(vector)
        if isinstance(self.prior, UnknownSites):
            values, total = own, self._over_sizes(self.prior, own, rows)
        else:
            values, log_prior = self.prior.evaluated(own)
            total = log_prior + self.log_likelihood(values, rows)
        if jacobian:
            total = total + self.log_jacobian(vector, values)
        return total

    def _over_sizes(
        self, prior: UnknownSites, own: Mapping[str, Tensor], rows: Observations | None
    ) -> Float[Tensor, "s"]:
        """Summed over the numbers of components, where these are unknown."""
        values, log_prior = prior.over_sizes(own)
        found = self.log_likelihood(values, rows).view_as(log_prior)
        return (log_prior + found).logsumexp(1)

    def log_jacobian(
        self, vector: Float[Tensor, "s m"], values: Mapping[str, Tensor]
    ) -> Float[Tensor, "s"]:
        """log |det ∂sites/∂vector| of s vectors."""
        return log_jacobian(self.sites, vector, values)
