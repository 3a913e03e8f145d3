"""The sites of a prior whose concentration or scale is unknown: these first, then those given them.

    concentration   of the weights, where it is random
    prior_scale     Ψ of the precisions, where it is random
    weights         Dirichlet, or broken off a stick, given the concentration
    precisions      given the scale
    means

Source: Ishwaran & James (2001) for sticks that end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, constraints

from ..covariance import CovarianceFamily
from .hierarchy import Hierarchy
from .nested import cast
from .sites import Conditional, Sites, over

CONCENTRATION, SCALE = "concentration", "prior_scale"
GRID = torch.logspace(-3, 3, 121, dtype=torch.float64)  # of likely concentrations


class HierarchicalSites(Sites):
    """Sites of which some are given others.

    Args:
        hierarchy: the prior.
        sites: by name.
    """

    def __init__(self, hierarchy: Hierarchy, sites: Mapping[str, Any]) -> None:
        super().__init__(sites)
        self.hierarchy = hierarchy

    def values_of(self, mixture: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Sites`: of what makes about the same mixture, what is likely given it."""
        found, weights = dict(mixture), mixture["weights"]
        if CONCENTRATION in self:
            grid = GRID.to(weights)
            values = {"weights": weights[:, None], CONCENTRATION: grid.expand(len(weights), -1)}
            log_p = self.hierarchy.concentration.log_prior(grid)
            log_p = log_p + self.log_prob("weights", values)
            found[CONCENTRATION] = grid[log_p.nan_to_num(nan=-math.inf).argmax(1)]
        if SCALE in self:
            scale = self.hierarchy.components.scale[0, 0]
            found[SCALE] = scale.expand(len(weights), *scale.shape)
        return {name: found[name] for name in self}

    def component_axis(self, name: str, family: CovarianceFamily) -> int | None:
        """See `Sites`."""
        return None if name in (CONCENTRATION, SCALE) else super().component_axis(name, family)

    @property
    def are_a_mixtures(self) -> bool:
        """See `Sites`: a mixture leaves open what its prior was."""
        return False

    @property
    def others(self) -> dict[str, int | None]:
        """See `Sites`."""
        return {name: None for name in self if name in (CONCENTRATION, SCALE)}


def hierarchical_sites(hierarchy: Hierarchy) -> HierarchicalSites:
    """The sites of a known number of components."""
    components, k = hierarchy.components, hierarchy.most
    like, sites = components.dof, dict[str, Any]()
    concentration = hierarchy.concentration
    if concentration.is_random:
        sites[CONCENTRATION] = over(CONCENTRATION, _pyro(cast(concentration.value, like)), ())
    own = components.sites(k)
    if hierarchy.scale is not None:
        scale = hierarchy.scale
        one = scale.rate[0, 0]
        prior = scale.family.precision_prior(scale.dof[0, 0], one)
        sites[SCALE] = over(SCALE, prior, tuple(one.shape))
        shape = own["precisions"].event_shape
        own["precisions"] = Conditional(
            tuple(shape),
            partial(_precisions_given, hierarchy),
            partial(_log_precisions_given, hierarchy),
            own["precisions"].support,
        )
    if concentration.is_random:
        sites["weights"] = Conditional(
            (k,),
            partial(_weights_given, hierarchy),
            partial(_log_weights_given, hierarchy),
            constraints.simplex,
        )
    else:
        sites["weights"] = _weights_given(hierarchy, {})
    return HierarchicalSites(hierarchy, sites | own)


def _pyro(given: Distribution) -> Any:
    """A distribution of torch's as one of Pyro's, which can be broadcast."""
    import pyro.distributions as dist

    if hasattr(given, "to_event"):
        return given
    return getattr(dist, type(given).__name__)(
        **{name: getattr(given, name) for name in given.arg_constraints}, validate_args=False
    )


# ---------------------------------------------------------------------- weights


def _weights_given(hierarchy: Hierarchy, values: Mapping[str, Tensor]) -> Any:
    import pyro.distributions as dist

    from .stick_breaking import StickBreaking

    value, k = _concentration(hierarchy, values), hierarchy.most
    if hierarchy.sticks:
        return StickBreaking(value, k)
    each = hierarchy.concentration.of_each(value, k)
    return dist.Dirichlet(each[..., None].expand(*each.shape, k), validate_args=False)


def _log_weights_given(hierarchy: Hierarchy, values: Mapping[str, Tensor]) -> Float[Tensor, "*s"]:
    found: Tensor = _weights_given(hierarchy, values).log_prob(values["weights"])
    return found


def _concentration(hierarchy: Hierarchy, values: Mapping[str, Tensor]) -> Tensor:
    """Its value, which is a site's if it is random."""
    if CONCENTRATION in values:
        return values[CONCENTRATION]
    return hierarchy.components.dof.new_tensor(hierarchy.concentration.value)


# ---------------------------------------------------------------------- precisions


def _precisions_given(hierarchy: Hierarchy, values: Mapping[str, Tensor]) -> Any:
    """As the Pyro program has them."""
    components, scale = hierarchy.components, values[SCALE]
    family, rank = components.family, len(components.scale.shape) - 2
    k1 = family.n_covariances(hierarchy.most)
    each = scale.unsqueeze(-1 - rank)
    each = each.expand(*each.shape[: each.ndim - 1 - rank], k1, *each.shape[each.ndim - rank :])
    each = family.outward(each)
    prior = family.precision_prior(components.dof[0, 0], each)
    return prior.to_event(len(prior.batch_shape) - (scale.ndim - rank))


def _log_precisions_given(
    hierarchy: Hierarchy, values: Mapping[str, Tensor]
) -> Float[Tensor, "*s"]:
    found: Tensor = _precisions_given(hierarchy, values).log_prob(values["precisions"])
    return found
