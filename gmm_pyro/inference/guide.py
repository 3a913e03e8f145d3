"""Gaussian guides over the unconstrained vector, as functions of one flat vector of parameters.

A guide is written relative to where it starts: at the zero vector it is the Gaussian that it was
made with, and a step of one is about one standard deviation, or a factor of e.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


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
    def entropy(self, vector: Float[Tensor, "p"]) -> Float[Tensor, ""]:
        """Entropy in nats."""


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

    def entropy(self, vector: Float[Tensor, "p"]) -> Float[Tensor, ""]:
        """See the base class."""
        return (self.scale.log() + vector[len(self.loc) :]).sum() + _unit_entropy(self.loc)


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
        m = len(self.loc)
        row, column = torch.tril_indices(m, m, -1, device=vector.device)
        factor = torch.diag(vector[m : 2 * m].exp())
        factor = factor.index_put((row, column), vector[2 * m :])
        return self.location(vector) + noise @ factor.T @ self.scale_tril.T

    def entropy(self, vector: Float[Tensor, "p"]) -> Float[Tensor, ""]:
        """See the base class."""
        m = len(self.loc)
        log_diagonal = self.scale_tril.diagonal().log() + vector[m : 2 * m]
        return log_diagonal.sum() + _unit_entropy(self.loc)


@dataclass(frozen=True, eq=False)
class LowRankGuide(Guide):
    """A multivariate normal with covariance diag(s²) (I + V Vᵀ): AutoLowRankMultivariateNormal.

    Attributes:
        scale: standard deviations s at the start, shape (m,).
        factor: the matrix V at the start, in units of s, shape (m, r).
    """

    scale: Float[Tensor, "m"]
    factor: Float[Tensor, "m r"]

    @property
    def n_parameters(self) -> int:
        """Shifts, logarithms of the factors on s, and the entries of V."""
        return 2 * len(self.loc) + self.factor.numel()

    @property
    def n_noise(self) -> int:
        """See the base class."""
        return sum(self.factor.shape)

    def location(self, vector: Float[Tensor, "p"]) -> Float[Tensor, "m"]:
        """See the base class."""
        return self.loc + self.scale * vector[: len(self.loc)]

    def draws(
        self, vector: Float[Tensor, "p"], noise: Float[Tensor, "s e"]
    ) -> Float[Tensor, "s m"]:
        """See the base class."""
        m = len(self.loc)
        scale, factor = self._scale_and_factor(vector)
        return self.location(vector) + scale * (noise[:, :m] + noise[:, m:] @ factor.T)

    def entropy(self, vector: Float[Tensor, "p"]) -> Float[Tensor, ""]:
        """By the matrix determinant lemma."""
        scale, factor = self._scale_and_factor(vector)
        inner = factor.T @ factor + torch.eye(factor.shape[1]).to(factor)
        return scale.log().sum() + 0.5 * torch.logdet(inner) + _unit_entropy(self.loc)

    def _scale_and_factor(self, vector: Float[Tensor, "p"]) -> tuple[Tensor, Tensor]:
        m = len(self.loc)
        return self.scale * vector[m : 2 * m].exp(), self.factor + vector[2 * m :].view_as(
            self.factor
        )


def _unit_entropy(loc: Float[Tensor, "m"]) -> float:
    """Entropy of a standard normal in as many dimensions."""
    half: float = 0.5 * (1 + torch.tensor(2 * torch.pi).log().item())
    return len(loc) * half


def guide_at_mode(
    name: str, mode: Float[Tensor, "m"], curvature: Float[Tensor, "m m"] | Float[Tensor, "m"]
) -> Guide:
    """The guide of this name, started from a quadratic approximation at the mode.

    Args:
        name: "normal", "multivariate" or "low_rank".
        mode: where the log density is highest.
        curvature: minus its Hessian there, or the diagonal of that alone.
    """
    if curvature.ndim == 1:
        curvature = torch.diag(curvature)
    if name == "normal":
        return NormalGuide(mode, curvature.diagonal().clamp_min(1e-8).rsqrt())
    covariance = _inverse(curvature)
    if name == "multivariate":
        return MultivariateGuide(mode, torch.linalg.cholesky(covariance))
    return _low_rank(mode, covariance)


def _inverse(curvature: Float[Tensor, "m m"]) -> Float[Tensor, "m m"]:
    """The inverse, with the few directions of no curvature held to a finite width."""
    values, vectors = torch.linalg.eigh(0.5 * (curvature + curvature.T))
    values = values.clamp_min(1e-3 * values.median().abs().clamp_min(1e-8))
    inverse: Tensor = (vectors / values) @ vectors.T
    return inverse


def _low_rank(mode: Float[Tensor, "m"], covariance: Float[Tensor, "m m"]) -> LowRankGuide:
    """The leading correlations, and what they leave of the variances."""
    rank = max(1, round(len(mode) ** 0.5))
    variance = covariance.diagonal()
    correlation = covariance * variance.rsqrt() * variance.rsqrt()[:, None]
    values, vectors = torch.linalg.eigh(correlation)
    leading = vectors[:, -rank:] * (values[-rank:] - 1).clamp_min(0.01).sqrt()
    left = (1 - leading.square().sum(1)).clamp_min(0.1)
    return LowRankGuide(mode, (variance * left).sqrt(), leading / left.sqrt()[:, None])
