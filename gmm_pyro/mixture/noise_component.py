"""A component of noise: a density that is known, beside the Gaussians, for what is none of theirs.

All that is to be found of it is its weight. It takes outliers, which would widen the other
components, or draw one of them to themselves.

Sources: Banfield & Raftery (1993), "Model-based Gaussian and non-Gaussian clustering"; Fraley &
Raftery (2002), "Model-based clustering, discriminant analysis and density estimation", §3.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import Parameters
from ..data.features import places
from ..data.points import Observations, Points

SomePoints = TypeVar("SomePoints", bound=Points)


class NoiseComponent(ABC):
    """What is asked of a component of noise, whose two arrays are in float64."""

    KIND: ClassVar[str]
    ARRAYS: ClassVar[tuple[str, str]]

    concentration: tuple[float, float]
    feature_names: tuple[str, ...] | None

    @property
    def arrays(self) -> tuple[Tensor, Tensor]:
        """Its two arrays.

        Raises:
            ValueError: if one is still to be taken from data.
        """
        first, second = self._given
        missing = [name for name in self.ARRAYS if getattr(self, name) is None]
        if first is None or second is None:
            raise ValueError(
                f"{type(self).__name__} is to take {' and '.join(missing)} from data, and there "
                "are none: give it"
            )
        return first, second

    @property
    def _given(self) -> tuple[Tensor | None, Tensor | None]:
        """The arrays, as far as they are there."""
        first, second = (getattr(self, name) for name in self.ARRAYS)
        return first, second

    @property
    def n_features(self) -> int:
        """Number of features d."""
        return len(self.arrays[0])

    @property
    def n_parameters(self) -> int:
        """What criteria count for it: its weight, and the volume if that is the data's."""
        return 1

    def scaled_to(self, observations: Observations) -> Self:
        """The same with what is taken from the data, where it was not given.

        Raises:
            ValueError: if it is of other features.
        """
        found = self.in_order_of(observations.feature_names)
        for array in found._given:
            if array is not None and len(array) != observations.d:
                raise ValueError(
                    f"the noise component is of {len(array)} features, and x has {observations.d}"
                )
        return found._completed(observations)

    def in_order_of(self, names: Sequence[str]) -> Self:
        """The same with its features in the order of these names, if it knows their names.

        Raises:
            ValueError: if one is missing.
        """
        if self.feature_names is None:
            return self
        order = places(names, self.feature_names, "noise_component", "feature")
        return self.marginal(range(len(self.feature_names)) if order is None else order)

    @abstractmethod
    def _completed(self, observations: Observations) -> Self:
        """The same, with nothing left to take from data."""

    @abstractmethod
    def log_density(self, points: Points) -> Float[Tensor, "n"]:
        """Log density of what was measured of every point, in nats."""

    @abstractmethod
    def moments(self) -> tuple[Float[Tensor, "d"], Float[Tensor, "d d"]]:
        """Its mean and covariance."""

    @abstractmethod
    def ends(self, reach: float) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
        """Between which values it is; of one without ends, at so many standard deviations."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        """Independent points; by torch's own generator, if none is given."""

    @abstractmethod
    def marginal(self, columns: Sequence[int]) -> Self:
        """That of some features, in this order."""

    @abstractmethod
    def given(self, known: Sequence[int], values: Float[Tensor, "m"]) -> Self:
        """That of the other features, given that these have these values."""


def beside_noise(points: SomePoints, noise: NoiseComponent | None) -> SomePoints:
    """Points that know their log density under a component of noise, or know of none."""
    return points.beside_noise(None if noise is None else noise.log_density)


def with_noise(
    x: Float[Tensor, "s *n d"],
    parameters: Parameters,
    noise: NoiseComponent | None,
    generator: torch.Generator | None,
) -> tuple[Float[Tensor, "s *n d"], Bool[Tensor, "s *n"]]:
    """Points of s sets of components, of which some are noise as the weights say, and which are."""
    apart = torch.zeros(x.shape[:-1], dtype=torch.bool, device=x.device)
    if noise is not None and parameters.log_noise is not None:
        weight = parameters.log_noise.exp().view(-1, *(1,) * (x.ndim - 2))
        apart = x.new_empty(apart.shape).uniform_(generator=generator) < weight
        x[apart] = noise.draw(int(apart.sum()), generator).to(x)
    return x, apart


def odds_given(
    log_odds: Float[Tensor, "1"], log_noise: Float[Tensor, "1"], log_others: Float[Tensor, "1"]
) -> Float[Tensor, "1"]:
    """Log odds of the noise once something is known, of which these are the log densities.

    Finite where others explain next to nothing: they keep their weights among themselves.
    """
    found = log_odds + log_noise - log_others
    return found.nan_to_num(nan=0.0, posinf=1e300, neginf=-torch.inf)
