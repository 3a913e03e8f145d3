"""Data sets drawn from mixtures."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily, Parameters

NUMBERS_AT_ONCE = 1 << 20  # of the data sets that are drawn in one go


@torch.no_grad()
def data_sets(
    family: CovarianceFamily, parameters: Parameters, n: int, generator: torch.Generator
) -> Float[Tensor, "s n d"]:
    """A data set of n independent points for each of s mixtures."""
    d = parameters.means.shape[-1]
    rows = torch.arange(len(parameters.means)).split(max(1, NUMBERS_AT_ONCE // (n * d)))
    return torch.cat([_draw(family, parameters[part], n, generator) for part in rows])


def _draw(
    family: CovarianceFamily, parameters: Parameters, n: int, generator: torch.Generator
) -> Float[Tensor, "s n d"]:
    means = parameters.means
    s, k, d = means.shape
    edges = parameters.log_weights.exp().cumsum(-1)
    kind: Any = {"generator": generator, "dtype": means.dtype, "device": means.device}
    uniform = torch.rand(s, n, **kind)
    component = torch.searchsorted(edges, uniform, right=True).clamp_(max=k - 1)
    noise = torch.randn(s, n, d, **kind)
    x = means.gather(1, component[..., None].expand(-1, -1, d))
    for j, root in enumerate(family.scale_tril(parameters.factor, d).unbind(1)):
        drawn = family.of_component(component) == j
        x += torch.where(drawn[..., None], noise @ root.mT, 0.0)
    return x
