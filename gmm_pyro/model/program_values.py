"""Values of a prior program's sites that make a given mixture, to begin a fit with.

Sites that are returned as they are take the mixture's values. The others, as hyperparameters and
standardised offsets, are those of highest prior density at which the program returns about the
mixture: the fit that begins there goes on by the density itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import biject_to

from ..covariance.records import TINY
from .layout import laid_out, log_jacobian
from .program_runs import Call, Structure, evaluated

OFF = 0.05  # how far a mixture may be from the one that is wanted, in logarithms and spreads
STEPS = 100
FALL = 1e10  # nats below nothing, of sets at which the density is none
EDGE = 30.0  # largest number of the unconstrained vector


def likely_values(
    call: Call, structure: Structure, mixture: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Values of a program's sites at which it returns about these s mixtures."""
    goal = _Goal(call, structure, mixture)
    vectors = goal.climbed() if goal.free.any() else goal.start
    return goal.values(vectors)


class _Goal:
    """What values are to be: likely, and such that they make the mixtures."""

    def __init__(self, call: Call, structure: Structure, mixture: Mapping[str, Tensor]) -> None:
        self.call, self.structure, like = call, structure, call.like
        self.layout = laid_out(structure.sites, like)
        count = len(mixture["weights"])
        self.start = structure.middle.to(like).expand(count, -1).clone()
        held: Bool[Tensor, "s m"] = torch.zeros_like(self.start, dtype=torch.bool)
        sources = {site: name for name, site in structure.sources.items()}
        for site in self.layout:
            if site.name in sources:
                vector = site.unconstrain(mixture[sources[site.name]].to(like))
                finite = vector.isfinite().all(1, keepdim=True)  # an order may be another
                vector = vector.clamp(-EDGE, EDGE) if not site.unbounded else vector
                before = self.start[:, site.entries]
                self.start[:, site.entries] = torch.where(finite, vector, before)
                held[:, site.entries] = finite
        self.free = ~held
        self.wanted = {name: self._coordinates(name, value) for name, value in mixture.items()}

    def values(self, vectors: Float[Tensor, "s m"]) -> dict[str, Tensor]:
        """Of the program's sites."""
        return {site.name: site.constrain(vectors) for site in self.layout}

    def _coordinates(self, name: str, value: Tensor) -> Tensor:
        """A mixture's values as numbers without bounds, of about the same size."""
        value = value.to(self.call.like)
        if name == "means":
            return value / self.call.unit
        if name == "correlations":
            return biject_to(torch.distributions.constraints.corr_cholesky).inv(value)
        return value.clamp_min(TINY).log()

    def height(self, vectors: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        """Log prior density of vectors, less what their mixtures are off."""
        values = self.values(vectors)
        returned, log_probs = evaluated(self.call, values, at_once=self.structure.at_once)
        total = log_jacobian(self.layout, vectors, values)
        for log_prob in log_probs.values():
            total = total + log_prob
        for name, wanted in self.wanted.items():
            if name not in self.structure.sources:
                away = (self._coordinates(name, returned[name]) - wanted) / OFF
                total = total - 0.5 * away.square().reshape(len(vectors), -1).sum(1)
        return total

    def climbed(self) -> Float[Tensor, "s m"]:
        """The vectors that are highest, of all sets at once: none depends on another."""
        from scipy.optimize import minimize

        spread = self.structure.spread.to(self.start).expand_as(self.start)[self.free]

        def at(u: np.ndarray) -> Tensor:
            vectors = self.start.clone()
            vectors[self.free] += spread * torch.as_tensor(u).to(spread)
            return vectors

        def minus(u: np.ndarray) -> tuple[float, np.ndarray]:
            vectors = at(u).requires_grad_()
            with torch.enable_grad():
                height = self.height(vectors)
                sound = height.isfinite()
                total = torch.where(sound, height, -FALL).sum()
                (slope,) = torch.autograd.grad(total, vectors)
            slope = slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)[self.free] * spread
            return -float(total.detach()), -slope.double().cpu().numpy()

        found = minimize(
            minus, np.zeros(len(spread)), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}
        )
        return at(found.x)
