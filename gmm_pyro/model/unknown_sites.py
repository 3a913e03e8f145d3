"""The sites of a mixture with an unknown number of components, filled up to the most.

A value of `weights` has `most` entries, of which those that are not components are 0; means and
precisions there have no meaning, and count nothing in the density. The density is that of the
number of components k and of k numbered components.

    n_components    k
    concentration   of the weights, where it is random
    prior_scale     Ψ of the precisions, where it is random
    weights         Dirichlet, of k components
    precisions, means

The Pyro program, and the log density of vectors, have no site whose support depends on k. They have
all `most` components, and in place of the weights

    extra_components    k - 1, which is enumerated or summed over
    fractions           Dirichlet, of `most` components with the concentration of k

of which the first k, over their sum, are the weights: those have the distribution that is meant.

Source: Frühwirth-Schnatter, Malsiner-Walli & Grün (2021), §2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily
from ..covariance.records import TINY
from .hierarchical_sites import CONCENTRATION, SCALE, HierarchicalSites, hierarchical_sites
from .hierarchy import Hierarchy

SIZE, FILLED = "n_components", "n_filled"
BEYOND, FRACTIONS = "extra_components", "fractions"


class UnknownSites(HierarchicalSites):
    """The sites of an unknown number of components.

    Args:
        hierarchy: the prior.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        import pyro.distributions as dist

        base = hierarchical_sites(hierarchy)
        size = dist.Categorical(logits=hierarchy.log_sizes, validate_args=False)
        super().__init__(hierarchy, {SIZE: size, **base})
        self.base = base

    def log_probs(self, values: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "s"]]:
        """See `Sites`: of values filled up to any number of components."""
        return {name: self.log_prob(name, values) for name in self}

    def log_prob(self, name: str, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """See `Sites`."""
        if name == SIZE:
            return self.hierarchy.log_sizes[values[SIZE].long() - 1]
        if name == "weights":
            return self._log_weights(values)
        if name in ("means", "precisions"):
            return self._log_components(name, values)
        return super().log_prob(name, values)

    def _log_weights(self, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """Dirichlet, over those that there are."""
        weights, concentration = values["weights"], self._concentration(values)
        log_w = weights.clamp_min(TINY).log().where(weights > 0, -math.inf)
        return self.hierarchy.log_prior_of_weights(log_w, values[SIZE], concentration)

    def _concentration(self, values: Mapping[str, Tensor]) -> Tensor:
        known = self.hierarchy.concentration.value
        like = values["weights"][..., 0]
        return values[CONCENTRATION] if CONCENTRATION in values else torch.full_like(like, known)

    def _log_components(self, name: str, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """Of each component that there is, as if all sets had one only."""
        family = self.hierarchy.components.family
        if name == "precisions" and family.tied:
            return super().log_prob(name, values)
        s, k = values["weights"].shape
        one = Hierarchy(
            self.hierarchy.components,
            self.hierarchy.concentration,
            self.hierarchy.log_sizes[-1:],
            self.hierarchy.scale,
        )
        each = {"means": values["means"].flatten(0, 1)[:, None]}
        precisions = values["precisions"]
        if family.tied:
            each["precisions"] = precisions.repeat_interleave(k, 0)
        else:
            each["precisions"] = precisions.flatten(0, 1)[:, None]
        if SCALE in values:
            each[SCALE] = values[SCALE].repeat_interleave(k, 0)
        found = hierarchical_sites(one).log_prob(name, each).view(s, k)
        return found.where(values["weights"] > 0, 0.0).sum(1)

    @property
    def others(self) -> dict[str, int | None]:
        """See `Sites`."""
        return {SIZE: None, **super().others}

    def draw(self, n_draws: int, seed: int) -> dict[str, Tensor]:
        """See `Sites`."""
        found = self.base.draw(n_draws, seed)
        generator = torch.Generator().manual_seed(seed)
        shares = self.hierarchy.log_sizes.exp().cpu()
        size = 1 + torch.multinomial(shares, n_draws, replacement=True, generator=generator)
        weights = self._drawn_weights(found, size, generator).to(found["means"])
        return {SIZE: size, **found, "weights": weights}

    def _drawn_weights(
        self, values: Mapping[str, Tensor], size: Tensor, generator: torch.Generator
    ) -> Float[Tensor, "s most"]:
        concentration = values.get(CONCENTRATION)
        if concentration is None:
            concentration = self.hierarchy.concentration.draw(len(size), generator)
        exists = torch.arange(self.hierarchy.most) < size[:, None]
        gamma = self.hierarchy.concentration.of_each(concentration.cpu().double(), size)
        return log_dirichlet(gamma[:, None].expand(exists.shape), exists, generator).exp()

    def component_axis(self, name: str, family: CovarianceFamily) -> int | None:
        """See `Sites`."""
        return None if name in (SIZE, FILLED) else super().component_axis(name, family)

    # ------------------------------------------------------------------ the program, and vectors

    @property
    def in_vector(self) -> Mapping[str, Any]:
        """See `Sites`: the fractions in place of the weights, and no number of components."""
        named = {"weights": FRACTIONS}
        return {named.get(name, name): prior for name, prior in self.base.items()}

    def sampled(
        self, prefix: str = "", held: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """See `Sites`: the weights follow from what is sampled."""
        import pyro
        import pyro.distributions as dist

        del held
        values: dict[str, Tensor] = {}
        size = 1 + pyro.sample(
            f"{prefix}{BEYOND}",
            dist.Categorical(logits=self.hierarchy.log_sizes),
            infer={"enumerate": "parallel"},
        )
        for name in self.base:
            if name == "weights":
                fractions = pyro.sample(f"{prefix}{FRACTIONS}", self._fractions(values, size))
                values[name] = self._first(fractions, size)
            else:
                values[name] = pyro.sample(f"{prefix}{name}", self.base.given(name, values))
        return values

    def over_sizes(
        self, values: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], Float[Tensor, "s most"]]:
        """Values of `in_vector` with each number of components, and their log densities in nats.

        Args:
            values: s sets.

        Returns:
            s · most sets, with the weights among them, and their log priors.
        """
        sizes, most = self.hierarchy.sizes, self.hierarchy.most
        others = {name: value for name, value in values.items() if name != FRACTIONS}
        fractions = values[FRACTIONS][:, None]
        by_set = {name: value[:, None] for name, value in others.items() if name == CONCENTRATION}
        log_prior = self._fractions(by_set, sizes).log_prob(fractions) + self.hierarchy.log_sizes
        own = [self.base.log_prob(name, others)[:, None] for name in others]
        found = {name: value.repeat_interleave(most, 0) for name, value in others.items()}
        found["weights"] = self._first(fractions, sizes).flatten(0, 1)
        return found, log_prior + sum(own)

    def _fractions(self, values: Mapping[str, Tensor], size: Tensor) -> Any:
        """Distribution of the fractions, given the concentration and the number of components."""
        import pyro.distributions as dist

        known = self.hierarchy.components.dof.new_tensor
        value = values.get(CONCENTRATION)
        value = known(self.hierarchy.concentration.value) if value is None else value
        each = self.hierarchy.concentration.of_each(value, size)[..., None]
        shape = *each.shape[:-1], self.hierarchy.most
        return dist.Dirichlet(each.expand(shape), validate_args=False)

    def _first(self, fractions: Float[Tensor, "*s most"], size: Tensor) -> Float[Tensor, "*s most"]:
        """The weights: the first of the fractions, over their sum."""
        exists = self.hierarchy.sizes <= size[..., None]
        kept = fractions * exists
        return kept / kept.sum(-1, keepdim=True)


LOG_TINY = math.log(TINY)


def log_dirichlet(
    concentration: Float[Tensor, "s k"], exists: Tensor, generator: torch.Generator
) -> Float[Tensor, "s k"]:
    """Logarithms of Dirichlet weights of the components that there are; -inf of others.

    A gamma variable of shape a is one of shape a + 1 times U^(1/a), whose logarithm does not
    underflow where a is small.
    """
    like: dict[str, Any] = {"dtype": concentration.dtype, "device": concentration.device}
    uniform = torch.rand(concentration.shape, generator=generator, **like).clamp_min(TINY)
    gammas = torch._standard_gamma(concentration + 1, generator).log()
    drawn = (gammas + uniform.log() / concentration).masked_fill(~exists, -math.inf)
    return drawn.log_softmax(1).clamp_min(LOG_TINY).masked_fill(~exists, -math.inf)
