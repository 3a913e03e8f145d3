"""Sweeps over many data sets at once, where the number of components or their prior is unknown.

A chain's state is then more than its parameters, and is kept here from sweep to sweep.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import Parameters
from ..inference.telescoping.reversible import Reversible
from ..inference.telescoping.state import State
from ..inference.telescoping.sweep import Telescope
from ..model.hierarchical_sites import CONCENTRATION, SCALE
from ..model.hierarchy import Hierarchy
from ..model.program import MixtureModel
from ..model.unknown_sites import LOG_TINY, SIZE
from ..reduction.sums import reduce_each
from .joint import log_noise_at

SEEDS = 2**62


@dataclass(eq=False)
class TelescopedSweeps:
    """Chains that have a data set each.

    Attributes:
        model: a model with concrete priors.
        hierarchy: its prior.
        state: where the chains are.
    """

    model: MixtureModel
    hierarchy: Hierarchy
    state: State

    @classmethod
    def from_prior(
        cls, model: MixtureModel, hierarchy: Hierarchy, count: int, generator: torch.Generator
    ) -> TelescopedSweeps:
        """So many chains, at draws from the prior."""
        seed = int(torch.randint(SEEDS, (), generator=generator))
        values = model.sites().draw(count, seed)
        parameters = model.family.parameters(values)
        absent = values["weights"] == 0
        log_weights = parameters.log_weights.masked_fill(absent, -torch.inf)
        parameters = replace(parameters, log_weights=log_weights)
        like = parameters.log_weights[:, 0]
        known = hierarchy.concentration
        size = values.get(SIZE, torch.full_like(like, hierarchy.most))
        concentration = values.get(CONCENTRATION)
        if concentration is None:
            concentration = torch.full_like(like, float(known.value))
        scale = values.get(SCALE)
        state = State(
            parameters, size.long(), concentration, None if scale is None else scale[:, None]
        )
        return cls(model, hierarchy, state)

    def __call__(
        self, parameters: Parameters, x: Float[Tensor, "s n d"], generator: torch.Generator
    ) -> Parameters:
        """New parameters given the data sets x, filled up to the most; the old ones are kept."""
        del parameters
        family = self.model.family
        each = partial(reduce_each, x, family, log_noise=log_noise_at(self.model, x))
        telescope = Telescope(self.hierarchy, each, x.shape[1])
        if not self.hierarchy.is_known:
            reversible = Reversible(self.hierarchy, telescope.log_likelihood)
            self.state = reversible.moved(self.state, generator, times=1)
        found = telescope.assigned(self.state, generator)
        self.state = telescope.drawn(found, generator)
        return self.state.parameters


# ---------------------------------------------------------------------- what is looked at


def components(p: Parameters, x: Tensor) -> Float[Tensor, "s"]:
    """How many components there are."""
    del x
    return (p.log_weights > LOG_TINY).sum(1).to(p.log_weights)


def largest_weight(p: Parameters, x: Tensor) -> Float[Tensor, "s"]:
    """The weight of the largest component."""
    del x
    return p.log_weights.amax(1).exp()


def mean(p: Parameters, x: Tensor) -> Float[Tensor, "s"]:
    """Of the first feature, of the whole mixture."""
    del x
    return (p.log_weights.exp() * p.means[..., 0]).sum(1)


def evenness(p: Parameters, x: Tensor) -> Float[Tensor, "s"]:
    """Probability that two new points share a component."""
    del x
    return p.log_weights.exp().square().sum(1)
