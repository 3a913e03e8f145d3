"""A mixture as one distribution: its moments, and torch's own form of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .record import MixtureRecord


@dataclass(frozen=True, eq=False, init=False)
class MixtureMoments(MixtureRecord):
    """The moments of all components together; the attributes are those of `GaussianMixture`."""

    def mean(self) -> Float[Tensor, "d"]:
        """Mean of the whole mixture, shape (d,), noise included."""
        mean = self.weights @ self.means
        if self.noise_component is None:
            return mean
        return mean + self.noise_weight * (self.noise_component.moments()[0].to(mean) - mean)

    def covariance_matrices(self) -> Float[Tensor, "k d d"]:
        """Covariance matrix of every component, whatever the family, shape (k, d, d)."""
        dense = self.family.dense(self.parameters.factor[0], self.n_features)
        return dense.expand(self.n_components, -1, -1).to(self.means)

    def covariance(self) -> Float[Tensor, "d d"]:
        """Covariance of the whole mixture: within plus between the components, shape (d, d)."""
        weights, means, matrices = self.weights, self.means, self.covariance_matrices()
        if self.noise_component is not None:
            mean, matrix = (part.to(means)[None] for part in self.noise_component.moments())
            own = weights.new_tensor([self.noise_weight])
            weights = torch.cat([(1 - own) * weights, own])
            means, matrices = torch.cat([means, mean]), torch.cat([matrices, matrix])
        shift = means - self.mean()
        within = (weights[:, None, None] * matrices).sum(0)
        return within + (shift * weights[:, None]).T @ shift

    def distribution(self) -> torch.distributions.MixtureSameFamily:
        """The mixture as a torch distribution over points of shape (d,).

        Raises:
            ValueError: if it has a noise component, which is of another kind.
        """
        if self.noise_component is not None:
            raise ValueError(
                "a mixture with a noise component is no torch distribution of one kind of "
                "components: log_prob and sample have the noise"
            )
        tril = self.family.scale_tril(self.parameters.factor[0], self.n_features)
        tril = tril.expand(self.n_components, -1, -1).to(self.means)
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(self.weights),
            torch.distributions.MultivariateNormal(self.means, scale_tril=tril),
        )
