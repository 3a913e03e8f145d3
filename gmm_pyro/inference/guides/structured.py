"""A guide with the shape of a mixture's posterior: Dirichlet weights, a Gaussian a component.

The weights are Dirichlet, the unconstrained numbers of each component (or of the covariance that
components share) are multivariate normal, and these blocks are independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Dirichlet, MultivariateNormal, StickBreakingTransform

from ...covariance.records import TINY
from ...model.log_density import LogDensity
from ..climb.curvature import inverse
from .gaussian import Guide, lower_triangular

EDGE = 1e-12  # probabilities closer to 0 and 1 than this are held there

STICKS = StickBreakingTransform()  # the bijection of the weights, with |∂w/∂v| = Π w


@dataclass(frozen=True, eq=False)
class Block:
    """b multivariate normals over p entries of the vector each.

    Attributes:
        entries: which entries, shape (b, p).
        scale_tril: Cholesky factors of the covariances at the start, shape (b, p, p).
    """

    entries: Int[Tensor, "b p"]
    scale_tril: Float[Tensor, "b p p"]

    @property
    def n_parameters(self) -> int:
        """Shifts, logarithms on the diagonals, and the entries below them."""
        b, p = self.entries.shape
        return b * (p + p * (p + 1) // 2)

    def location_and_tril(
        self, loc: Float[Tensor, "m"], vector: Float[Tensor, "q"]
    ) -> tuple[Float[Tensor, "b p"], Float[Tensor, "b p p"]]:
        """Means and Cholesky factors of the covariances."""
        b, p = self.entries.shape
        rows = vector.view(b, -1)
        shift = (self.scale_tril @ rows[:, :p, None])[..., 0]
        return loc[self.entries] + shift, self.scale_tril @ lower_triangular(rows[:, p:], p)


@dataclass(frozen=True, eq=False)
class StructuredGuide(Guide):
    """Dirichlet weights and a multivariate normal for each component.

    Attributes:
        concentration: of the Dirichlet at the start, shape (k,).
        blocks: the components, and the shared covariance if there is one.
    """

    concentration: Float[Tensor, "k"]
    blocks: tuple[Block, ...]

    @property
    def n_parameters(self) -> int:
        """Logarithms of the factors on the concentrations, and the blocks' parameters."""
        return len(self.concentration) + sum(block.n_parameters for block in self.blocks)

    @property
    def n_noise(self) -> int:
        """One for each concentration, and for each entry that is not a weight."""
        return len(self.loc) + 1

    def location(self, vector: Float[Tensor, "p"]) -> Float[Tensor, "m"]:
        """The vector of the mean weights, and of the means of the normals."""
        concentration, parts = self._parts(vector)
        weights = concentration / concentration.sum()
        return self._assembled(weights, [loc for loc, _ in parts])

    def draws(
        self, vector: Float[Tensor, "p"], noise: Float[Tensor, "s e"]
    ) -> Float[Tensor, "s m"]:
        """See the base class; the weights are quantiles of gamma distributions, normalised."""
        concentration, parts = self._parts(vector)
        k = len(concentration)
        probability = torch.special.ndtr(noise[:, :k]).clamp(EDGE, 1 - EDGE)
        gammas: Tensor = _GammaQuantile.apply(  # type: ignore[no-untyped-call]
            concentration.expand_as(probability), probability
        )
        weights = gammas / gammas.sum(-1, keepdim=True)
        rest = noise[:, k:].split([block.entries.numel() for block in self.blocks], 1)
        normals = [
            loc + (tril @ standard.view(-1, *loc.shape, 1))[..., 0]
            for (loc, tril), standard in zip(parts, rest, strict=True)
        ]
        return self._assembled(weights, normals)

    def distribution(self, vector: Float[Tensor, "p"]) -> StructuredDistribution:
        """See the base class."""
        concentration, parts = self._parts(vector)
        normals = [
            MultivariateNormal(loc, scale_tril=tril, validate_args=False) for loc, tril in parts
        ]
        weights = Dirichlet(concentration, validate_args=False)
        return StructuredDistribution(weights, normals, [block.entries for block in self.blocks])

    def _parts(self, vector: Float[Tensor, "p"]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Concentrations, and the means and Cholesky factors of every block."""
        k = len(self.concentration)
        sizes = [k, *(block.n_parameters for block in self.blocks)]
        first, *rest = vector.split(sizes)
        parts = zip(self.blocks, rest, strict=True)
        return self.concentration * first.exp(), [
            block.location_and_tril(self.loc, own) for block, own in parts
        ]

    def _assembled(self, weights: Tensor, normals: list[Tensor]) -> Float[Tensor, "*s m"]:
        """Vectors from weights and from the values of the blocks, in the order of the vector."""
        sticks = STICKS.inv(weights.clamp_min(TINY))
        values = torch.cat([sticks, *(part.flatten(-2) for part in normals)], -1)
        held = torch.arange(sticks.shape[-1], device=values.device)
        order = torch.cat([held, *(block.entries.flatten() for block in self.blocks)])
        return values[..., order.argsort()]


@dataclass(frozen=True, eq=False)
class StructuredDistribution:
    """The guide over vectors whose first k - 1 entries are the sticks of the weights."""

    weights: Dirichlet
    normals: list[MultivariateNormal]
    entries: list[Int[Tensor, "b p"]]

    def log_prob(self, vector: Float[Tensor, "s m"]) -> Float[Tensor, "s"]:
        """Log density of vectors in nats."""
        k = self.weights.concentration.shape[-1]
        weights = STICKS(vector[..., : k - 1]).clamp_min(TINY)
        total = self.weights.log_prob(weights) + weights.log().sum(-1)
        for normal, entries in zip(self.normals, self.entries, strict=True):
            total = total + normal.log_prob(vector[..., entries]).sum(-1)
        return total

    def entropy(self) -> Float[Tensor, ""]:
        """Entropy of the vector in nats."""
        alpha = self.weights.concentration
        log_jacobian = (alpha.digamma() - alpha.sum().digamma()).sum()
        of_normals = [normal.entropy().sum() for normal in self.normals]
        return self.weights.entropy() - log_jacobian + torch.stack(of_normals).sum()


class _GammaQuantile(torch.autograd.Function):
    """Quantiles of gamma distributions, differentiable in their concentrations.

    Draws at fixed probabilities are then smooth in the concentrations (Figurnov et al. 2018).
    """

    @staticmethod
    def forward(
        ctx: Any, concentration: Float[Tensor, "s k"], probability: Float[Tensor, "s k"]
    ) -> Float[Tensor, "s k"]:
        from scipy.special import gammaincinv

        alpha, p = (t.detach().cpu().double().numpy() for t in (concentration, probability))
        value = torch.as_tensor(gammaincinv(alpha, p)).to(concentration).clamp_min(TINY)
        ctx.save_for_backward(concentration, value)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Float[Tensor, "s k"]) -> tuple[Tensor, None]:
        concentration, value = ctx.saved_tensors
        return upstream * torch._standard_gamma_grad(concentration, value), None


def structured_at_mode(
    density: LogDensity, mode: Float[Tensor, "m"], curvature: Float[Tensor, "m m"]
) -> StructuredGuide:
    """The structured guide, started from a quadratic approximation at the mode."""
    if not density.prior.are_a_mixtures:
        raise ValueError(
            "guide='structured' has weights and components and nothing else: a prior program has "
            "other sites; take guide='multivariate'"
        )
    weights = density.constrain(mode[None])["weights"][0]
    concentration = 1 + weights * density.observations.total_weight
    covariance = inverse(curvature)
    blocks = tuple(
        Block(rows, torch.linalg.cholesky(covariance[rows[:, :, None], rows[:, None, :]]))
        for rows in _blocks(density)
    )
    return StructuredGuide(mode, concentration, blocks)


def _blocks(density: LogDensity) -> list[Int[Tensor, "b p"]]:
    """The entries of the vector by component, and those that components share."""
    k, family = density.model.n_components, density.model.family
    sites = [site for site in density.sites if site.name != "weights"]
    every = torch.arange(density.dimension, device=density.observations.device)
    shared = [every[site.entries] for site in sites if family.shares(site.name)]
    own = [every[site.entries].view(k, -1) for site in sites if not family.shares(site.name)]
    return [torch.cat(own, 1), *([torch.cat(shared)[None]] if shared else [])]
