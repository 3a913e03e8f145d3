"""Gaussian guides over the unconstrained vector, as functions of one flat vector of parameters.

A guide is written relative to where it starts: at the zero vector it is the Gaussian that it was
made with, and a step of one is about one standard deviation, or a factor of e.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
)

from ...covariance.records import LOG_2PI
from ..climb.curvature import inverse, widths


class OverVectors(Protocol):
    """What is asked of a guide's distribution, in nats."""

    def log_prob(self, value: Float[Tensor, "s m"], /) -> Float[Tensor, "s"]:
        """Log density of vectors."""
        ...

    def entropy(self) -> Float[Tensor, ""]:
        """Entropy."""
        ...


@dataclass(frozen=True, eq=False)
class Guide(ABC):
    """A Gaussian over m unconstrained numbers.

    Attributes:
        loc: where it starts, shape (m,).
    """

    loc: Float[Tensor, "m"]

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Length of the guide's parameter vector."""

    @property
    def n_noise(self) -> int:
        """Standard normal numbers that one draw takes."""
        return len(self.loc)

    @abstractmethod
    def location(self, vector: Float[Tensor, "p"]) -> Float[Tensor, "m"]:
        """Mean of the guide."""

    @abstractmethod
    def draws(
        self, vector: Float[Tensor, "p"], noise: Float[Tensor, "s e"]
    ) -> Float[Tensor, "s m"]:
        """Draws as a differentiable function of the parameters."""

    @abstractmethod
    def distribution(self, vector: Float[Tensor, "p"]) -> OverVectors:
        """The guide as a distribution over vectors of shape (m,)."""


@dataclass(frozen=True, eq=False)
class NormalGuide(Guide):
    """Independent normals: Pyro's AutoNormal.

    Attributes:
        scale: standard deviations at the start, shape (m,).
    """

    scale: Float[Tensor, "m"]

    @property
    def n_parameters(self) -> int:
        """Shifts and logarithms of the factors on the standard deviations."""
        return 2 * len(self.loc)

    def location(self, vector: Float[Tensor, "p"]) -> Float[Tensor, "m"]:
        """See the base class."""
        return self.loc + self.scale * vector[: len(self.loc)]

    def draws(
        self, vector: Float[Tensor, "p"], noise: Float[Tensor, "s e"]
    ) -> Float[Tensor, "s m"]:
        """See the base class."""
        return self.location(vector) + self.scale * vector[len(self.loc) :].exp() * noise

    def distribution(self, vector: Float[Tensor, "p"]) -> OverVectors:
        """See the base class."""
        scale = self.scale * vector[len(self.loc) :].exp()
        return Independent(Normal(self.location(vector), scale, validate_args=False), 1)


@dataclass(frozen=True, eq=False)
class MultivariateGuide(Guide):
    """A multivariate normal with a free covariance matrix: Pyro's AutoMultivariateNormal.

    Attributes:
        scale_tril: Cholesky factor of the covariance at the start, shape (m, m).
    """

    scale_tril: Float[Tensor, "m m"]

    @property
    def n_parameters(self) -> int:
        """Shifts, logarithms on the diagonal, and the entries below it."""
        m = len(self.loc)
        return m + m * (m + 1) // 2

    def location(self, vector: Float[Tensor, "p"]) -> Float[Tensor, "m"]:
        """See the base class."""
        return self.loc + self.scale_tril @ vector[: len(self.loc)]

    def draws(
        self, vector: Float[Tensor, "p"], noise: Float[Tensor, "s e"]
    ) -> Float[Tensor, "s m"]:
        """See the base class."""
        return self.location(vector) + noise @ self._factor(vector).T @ self.scale_tril.T

    def distribution(self, vector: Float[Tensor, "p"]) -> Distribution:
        """See the base class."""
        tril = self.scale_tril @ self._factor(vector)
        return MultivariateNormal(self.location(vector), scale_tril=tril, validate_args=False)

    def _factor(self, vector: Float[Tensor, "p"]) -> Float[Tensor, "m m"]:
        """What the Cholesky factor at the start is multiplied by."""
        m = len(self.loc)
        return lower_triangular(vector[m:], m)


def lower_triangular(vector: Float[Tensor, "*b q"], size: int) -> Float[Tensor, "*b p p"]:
    """Matrices from the logarithms of their diagonals, and the entries below these."""
    row, column = torch.tril_indices(size, size, -1, device=vector.device)
    below = vector.new_zeros(*vector.shape[:-1], size, size)
    below[..., row, column] = vector[..., size:]
    return torch.diag_embed(vector[..., :size].exp()) + below


@dataclass(frozen=True, eq=False)
class LowRankNormal:
    """A normal with the covariance diag(s²) (I + V Vᵀ) of a `LowRankGuide`.

    Torch's divides by s², and raises where a trial step has made that nothing. This one needs no
    more than I + Vᵀ V, whose eigenvalues are 1 or above, and is no number where V is none.

    Attributes:
        loc: mean, shape (m,).
        scale: s, shape (m,).
        factor: V, shape (m, r).
    """

    loc: Float[Tensor, "m"]
    scale: Float[Tensor, "m"]
    factor: Float[Tensor, "m r"]

    def log_prob(self, value: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        """Log density of vectors, by Woodbury's identity."""
        z, root = (value - self.loc) / self.scale, self._root()
        tied = torch.linalg.solve_triangular(root, (z @ self.factor).mT, upper=False)
        distance = z.square().sum(-1) - tied.square().sum(0)
        return -0.5 * (distance + len(self.loc) * LOG_2PI) - self._log_volume(root)

    def entropy(self) -> Float[Tensor, ""]:
        """Entropy."""
        return 0.5 * len(self.loc) * (1 + LOG_2PI) + self._log_volume(self._root())

    def _root(self) -> Float[Tensor, "r r"]:
        eye = torch.eye(self.factor.shape[1], dtype=self.loc.dtype, device=self.loc.device)
        return torch.linalg.cholesky_ex(eye + self.factor.mT @ self.factor)[0]

    def _log_volume(self, root: Float[Tensor, "r r"]) -> Float[Tensor, ""]:
        return self.scale.log().sum() + root.diagonal().log().sum()


@dataclass(frozen=True, eq=False)
class LowRankGuide(NormalGuide):
    """Normals that some directions tie together: Pyro's AutoLowRankMultivariateNormal.

    Their covariance is diag(s²) (I + V Vᵀ), with the standard deviations s of a `NormalGuide`.

    Attributes:
        factor: the matrix V at the start, in units of s, shape (m, r).
    """

    factor: Float[Tensor, "m r"]

    @property
    def n_parameters(self) -> int:
        """Shifts, logarithms of the factors on s, and the entries of V."""
        return super().n_parameters + self.factor.numel()

    @property
    def n_noise(self) -> int:
        """See the base class."""
        return sum(self.factor.shape)

    def draws(
        self, vector: Float[Tensor, "p"], noise: Float[Tensor, "s e"]
    ) -> Float[Tensor, "s m"]:
        """See the base class."""
        m = len(self.loc)
        scale, factor = self._scale_and_factor(vector)
        return self.location(vector) + scale * (noise[:, :m] + noise[:, m:] @ factor.T)

    def distribution(self, vector: Float[Tensor, "p"]) -> LowRankNormal:
        """See the base class."""
        return LowRankNormal(self.location(vector), *self._scale_and_factor(vector))

    def _scale_and_factor(self, vector: Float[Tensor, "p"]) -> tuple[Tensor, Tensor]:
        m = len(self.loc)
        return self.scale * vector[m : 2 * m].exp(), self.factor + vector[2 * m :].view_as(
            self.factor
        )


def low_rank_at_mode(mode: Float[Tensor, "m"], curvature: Float[Tensor, "m m"]) -> LowRankGuide:
    """The mean-field scales, widened along the directions in which they are most too narrow."""
    rank = max(1, round(len(mode) ** 0.5))
    scale = widths(curvature)
    values, vectors = torch.linalg.eigh(inverse(curvature) / scale / scale[:, None])
    widening = (values[-rank:] - 1).clamp_min(0.01).sqrt()
    return LowRankGuide(mode, scale, vectors[:, -rank:] * widening)
