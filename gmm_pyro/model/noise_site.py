"""The site of a noise component's weight, beside those of any prior."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily
from ..covariance.sharing import NOISE_WEIGHT
from .sites import Sites

AFTER = 1  # the seed of the others, in draws


class SitesBesideNoise(Sites):
    """All sites of a prior, and after them the weight of the noise: a Beta distribution.

    Beside weights that are Dirichlet among themselves, that is a Dirichlet distribution of them
    all, if its second number is the sum of theirs.

    Args:
        base: the sites of the prior.
        concentration: a and b.
        like: a tensor of the numbers' type, where they are to be.
    """

    def __init__(self, base: Sites, concentration: tuple[float, float], like: Tensor) -> None:
        import pyro.distributions as dist

        a, b = like.new_tensor(concentration)
        weight = dist.Beta(a, b, validate_args=False)
        super().__init__({**base, NOISE_WEIGHT: weight})
        self.base, self.weight = base, weight

    def log_prob(self, name: str, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """See `Sites`."""
        if name == NOISE_WEIGHT:
            return self.weight.log_prob(values[name])
        return self.base.log_prob(name, values)

    def log_probs(self, values: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "s"]]:
        """See `Sites`."""
        own = self.log_prob(NOISE_WEIGHT, values)
        return {**self.base.log_probs(values), NOISE_WEIGHT: own}

    def evaluated(self, values: dict[str, Tensor]) -> tuple[dict[str, Tensor], Float[Tensor, "s"]]:
        """See `Sites`."""
        found, total = self.base.evaluated(values)
        return self._with_own(found, values), total + self.log_prob(NOISE_WEIGHT, values)

    def completed(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `Sites`."""
        return self._with_own(self.base.completed(values), values)

    def values_of(self, mixture: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Sites`."""
        others = {name: value for name, value in mixture.items() if name != NOISE_WEIGHT}
        return self._with_own(self.base.values_of(others), mixture)

    def _with_own(
        self, found: dict[str, Tensor], values: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        return {**found, NOISE_WEIGHT: values[NOISE_WEIGHT]}

    def component_axis(self, name: str, family: CovarianceFamily) -> int | None:
        """See `Sites`."""
        return None if name == NOISE_WEIGHT else self.base.component_axis(name, family)

    @property
    def renumbers(self) -> bool:
        """See `Sites`."""
        return self.base.renumbers

    @property
    def are_a_mixtures(self) -> bool:
        """See `Sites`."""
        return self.base.are_a_mixtures

    @property
    def vectorises(self) -> bool:
        """See `Sites`."""
        return self.base.vectorises

    @property
    def nesting(self) -> int:
        """See `Sites`."""
        return self.base.nesting

    @property
    def lengths(self) -> Float[Tensor, "m"] | float:
        """See `Sites`."""
        lengths = self.base.lengths
        return torch.cat([lengths, lengths.new_ones(1)]) if isinstance(lengths, Tensor) else lengths

    @property
    def others(self) -> dict[str, int | None]:
        """See `Sites`."""
        return self.base.others

    def draw(self, n_draws: int, seed: int) -> dict[str, Tensor]:
        """See `Sites`."""
        own = Sites({NOISE_WEIGHT: self.weight}).draw(n_draws, seed + AFTER)
        return {**self.base.draw(n_draws, seed), **own}

    def sampled(
        self, prefix: str = "", held: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """See `Sites`."""
        own = Sites({NOISE_WEIGHT: self.weight}).sampled(prefix)
        return {**self.base.sampled(prefix, held), **own}
