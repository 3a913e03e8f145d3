"""The exact Hessian of a log density, by the chain rule through natural parameters.

With Θ(v) the natural parameters of the vector v,

    ∂² log p(x | v) / ∂v² = Jᵀ (∂² log p / ∂Θ²) J + Σ (∂ log p / ∂Θ) ∂²Θ / ∂v²,  J = ∂Θ / ∂v

Both derivatives by Θ are reductions over the data (Louis 1982 for the second); what is left is
autograd on small tensors. Where points are measured in part, what is not known of them adds to the
second: the derivative of the exact gradient is taken by differences there. So it is beside noise
that does not share what all components do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...model.log_density import LogDensity
from ...reduction.sums import information, reduce
from ...reduction.theta import Theta, theta_of
from .climb import value_and_gradient
from .curvature import by_differences


def hessian(density: LogDensity, vector: Float[Tensor, "m"]) -> Float[Tensor, "m m"]:
    """Second derivatives of the log density of an unconstrained vector, Jacobian included."""
    family, observations = density.model.family, density.observations
    vector = vector.detach()
    alone = bool(family.n_own_features(observations.d))
    if observations.measured is not None or not (density.model.noise is None or alone):
        found = -by_differences(density, vector[None], observations)
        return 0.5 * (found + found.T)
    with torch.no_grad():
        parameters = density.parameters(density.constrain(vector[None]))
        here = theta_of(family, parameters, observations)
        statistics = reduce(observations, here)
        curvature = information(observations, here)

    def natural(vectors: Float[Tensor, "s m"]) -> tuple[Theta, dict[str, Tensor]]:
        values = density.constrain(vectors)
        parameters = density.parameters(values)
        found = family.natural(parameters, here.reference)
        return replace(here, parameters=parameters, natural=found), values

    def coefficients(vectors: Float[Tensor, "s m"]) -> Float[Tensor, "s kf"]:
        theta = natural(vectors)[0]
        entries, noise = theta.coefficients().flatten(1), theta.natural.noise
        return entries if noise is None else torch.cat([entries, noise[:, None]], 1)

    def slope(vectors: Float[Tensor, "s m"]) -> Float[Tensor, "s m"]:
        """Gradient of the density with the likelihood made linear in the natural parameters."""
        theta, values = natural(vectors)
        parts = zip(theta.natural.leaves, statistics.sums, strict=True)
        likelihood = sum((part * total).view(len(part), -1).sum(1) for part, total in parts)
        total = likelihood + density.log_prior(values) + density.log_jacobian(vectors, values)
        return torch.autograd.grad(total.sum(), vectors, create_graph=True)[0]

    turn = _jacobian(coefficients, vector, len(curvature))
    bend = _jacobian(slope, vector, len(vector))
    result = bend - turn.T @ curvature @ turn
    return 0.5 * (result + result.T)


def _jacobian(
    function: Callable[[Tensor], Tensor], vector: Float[Tensor, "m"], size: int
) -> Float[Tensor, "size m"]:
    """Derivatives of a function of a batch of vectors: entry i is taken from copy i of the vector.

    One pass backwards, where torch's own takes one an entry.
    """
    copies = vector.expand(size, -1).clone()
    return value_and_gradient(lambda at: function(at).diagonal(), copies)[1]
