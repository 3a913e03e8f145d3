"""A fit without its data, for the pickle of an estimator: predictions need only the mixture."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..data.points import LeftOut
from ..inference.fit import Fit


def without_data(fit: Fit) -> Fit:
    """The fit with nothing that grows with the number of points; draws are kept.

    What needs the data raises ValueError.
    """
    whole, posterior = fit.observations, fit.posterior
    observations = LeftOut(
        (whole.n, whole.d),
        torch.empty(0, dtype=whole.dtype, device=whole.device),
        whole.feature_names,
        whole.origin,
        whole.scale,
        whole.total_weight,
    )
    if posterior is not None:
        posterior = replace(posterior, observations=observations, allocations=None, kept=None)
    return replace(fit, posterior=posterior, observations=observations, own_labels=None)
