"""Families whose components have their axes in common, and lengths along them of their own.

Source: Browne & McNicholas (2014), "Estimating common principal components in high dimensions".
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from .coupled import CoupledMatrix, assembled, one_volume
from .graded import eigen
from .orientation import Axes, common_axes
from .records import times

WARM = 1  # sweeps of common axes within EM, from those before


class CommonAxes(CoupledMatrix):
    """One orientation, which no closed form gives."""

    equal_volumes: ClassVar[bool]

    @abstractmethod
    def in_common_axes(
        self, diagonals: Float[Tensor, "s k d"], counts: Float[Tensor, "s k"]
    ) -> Float[Tensor, "s k d"]:
        """The likeliest diagonals of Dᵀ Σ_k D, given those of Dᵀ W_k D."""

    def constrained(
        self, scatter: Tensor, counts: Float[Tensor, "s k"], current: Tensor | None
    ) -> Float[Tensor, "s k d d"]:
        """D times those of scatters in common axes D; see `orientation.py`."""
        equal = self.equal_volumes
        if current is None:
            vectors = common_axes(scatter, counts, equal=equal)
            axes = Axes.of(scatter, vectors, counts, equal=equal)
        else:
            axes = Axes.of(scatter, _axes_of(current), counts, equal=equal).swept(WARM, near=True)
        diagonals = self.in_common_axes(axes.diagonals, counts)
        return assembled(diagonals, axes.vectors[:, None].expand_as(scatter))


class EVE(CommonAxes):
    """One volume and orientation, and a shape for each component (mclust's EVE)."""

    name = mclust = "EVE"
    equal_volumes = True

    def n_coupled_parameters(self, k: int, d: int) -> int:
        """See the base class."""
        return 1 + k * (d - 1) + d * (d - 1) // 2

    def in_common_axes(
        self, diagonals: Float[Tensor, "s k d"], counts: Float[Tensor, "s k"]
    ) -> Float[Tensor, "s k d"]:
        """As EVI."""
        return one_volume(diagonals, diagonals.log().sum(-1), counts)


class VVE(CommonAxes):
    """One orientation, and a volume and shape for each component (mclust's VVE)."""

    name = mclust = "VVE"
    equal_volumes = False

    def n_coupled_parameters(self, k: int, d: int) -> int:
        """See the base class."""
        return k * d + d * (d - 1) // 2

    def in_common_axes(
        self, diagonals: Float[Tensor, "s k d"], counts: Float[Tensor, "s k"]
    ) -> Float[Tensor, "s k d"]:
        """As VVI."""
        return diagonals / counts[..., None]


def _axes_of(factor: Float[Tensor, "s k d d"]) -> Float[Tensor, "s d d"]:
    """The eigenvectors that covariances have in common: those of a sum that hides no difference."""
    log_size = factor.diagonal(dim1=-2, dim2=-1).log().mean(-1)
    unlike = 1 + torch.arange(factor.shape[1]).to(factor).sqrt() / factor.shape[1]
    weight = unlike * (-2 * log_size).exp()
    together = times(weight, factor @ factor.mT).sum(1)
    finite = together.isfinite().flatten(1).all(1)
    any_axes = torch.eye(factor.shape[-1]).to(factor)
    return eigen(torch.where(finite[:, None, None], together, any_axes))[1]
