"""The parameters of a mixture as one unconstrained vector in units of the data's spread.

They are the logits of the weights, the means, covariance factors with their diagonals in
logarithms, and the log odds of the noise if there is any.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import transform_to

from ...covariance import CovarianceFamily, Parameters
from ...covariance.fixed import Fixed
from ...data.points import Observations
from ...reduction.sums import log_likelihood
from .climb import value_and_gradient


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The unconstrained parameters of a mixture as one vector, in units of the data's spread.

    Attributes:
        family: the covariance family.
        observations: the data, which give the units.
        shape: (k, d).
        fixed: what is held of the parameters, whose entries do nothing.
    """

    family: CovarianceFamily
    observations: Observations
    shape: tuple[int, ...]
    fixed: Fixed | None = None

    def vector(self, parameters: Parameters) -> Float[Tensor, "m"]:
        """The vector of a batch of one parameter set."""
        spread = self.observations.bulk
        means = (parameters.means - self.observations.origin) / spread
        factor = self.family.rescaled(parameters.factor, 1 / spread)
        raw = transform_to(self.family.factor_support).inv(factor)
        numbers = [parameters.log_weights, means, raw]
        if parameters.log_odds is not None:
            numbers.append(parameters.log_odds)
        return torch.cat([part.flatten() for part in numbers])

    def parameters(self, vector: Float[Tensor, "m"]) -> Parameters:
        """A batch of one parameter set; differentiable."""
        k, d = self.shape
        event = self.family.factor_shape(k, d)
        noise = int(self.observations.log_noise is not None)
        sizes = [k, k * d, len(vector) - k - k * d - noise, noise]
        logits, means, raw, log_odds = vector.split(sizes)
        spread = self.observations.bulk
        factor = transform_to(self.family.factor_support)(raw.view(1, *event))
        found = Parameters(
            logits.log_softmax(-1)[None],
            self.observations.origin + spread * means.view(1, k, d),
            self.family.rescaled(factor, spread),
            log_odds if noise else None,
        )
        return found if self.fixed is None else self.fixed.imposed(found)

    def log_likelihood(self, vector: Float[Tensor, "m"], rows: Observations) -> Float[Tensor, ""]:
        """Log-likelihood of the rows in nats, scaled up to the whole data."""
        value = log_likelihood(rows, self.family, self.parameters(vector))[0]
        return value * (self.observations.n / rows.n)

    def gradient(self, vector: Float[Tensor, "m"], rows: Observations) -> Float[Tensor, "m"]:
        """Gradient of the log-likelihood."""
        return value_and_gradient(lambda at: self.log_likelihood(at, rows), vector)[1]
