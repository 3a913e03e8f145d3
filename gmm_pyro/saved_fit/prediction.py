"""What a saved fit says of new points: by its point estimate, or averaged over its draws."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.observations import as_points
from ..data.spread import chunks
from ..mixture.checks import check_mixture
from ..mixture.value import GaussianMixture
from ..posterior import Posterior
from ..posterior.draws import DRAWS_AT_ONCE, over_draws
from ..posterior.predictive import placed
from ..posterior.sizes import of_one_number
from ..reduction.background import NOISE
from ..reduction.pointwise import log_density, shares
from ..reduction.theta import Theta
from ..running.threads import one_thread_a_product

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = 4_000_000  # responsibilities that are held at a time


@dataclass(frozen=True, eq=False)
class Prediction:
    """Components and densities of n points.

    Attributes:
        labels: the most probable component of each point, shape (n,).
        responsibilities: probability of each component, shape (n, k).
        log_density: in nats, shape (n,).
        noise: probability of a noise component, shape (n,), or None without one.
    """

    labels: Int[Tensor, "n"]
    responsibilities: Float[Tensor, "n k"]
    log_density: Float[Tensor, "n"]
    noise: Float[Tensor, "n"] | None = None

    def frame(self) -> pd.DataFrame:
        """A row a point, by its number from 0: `row`, `label`, `log_density`, `component_0`, ….

        The last column is `noise`, if there is such a component, whose label is -1.
        """
        shares = responsibilities_frame(self.responsibilities, self.noise)
        shares.insert(0, "row", range(len(shares)))
        shares.insert(1, "label", self.labels.cpu().numpy())
        shares.insert(2, "log_density", self.log_density.cpu().numpy())
        return shares


def refuse_clashes(names: Iterable[str], *, noise: bool = False) -> None:
    """Refuse columns to stand beside predictions that are called as these are.

    Args:
        names: of the columns.
        noise: whether the predictions have a column for a component of noise.

    Raises:
        ValueError: if there is one.

    Example:
        >>> refuse_clashes(["id", "label"])
        Traceback (most recent call last):
        ValueError: column 'label' cannot stand beside predictions, which have one of this name
    """
    for name in names:
        own = re.fullmatch(r"row|label|log_density|component_\d+", name)
        if own or (noise and name == "noise"):
            raise ValueError(
                f"column {name!r} cannot stand beside predictions, which have one of this name"
            )


def beside(predicted: pd.DataFrame, kept: pd.DataFrame | None) -> pd.DataFrame:
    """Predictions with other columns of the same rows behind `row`.

    Args:
        predicted: a row a point, with the column `row` first.
        kept: other columns of as many rows, or None.

    Raises:
        ValueError: if it has other rows, or columns of the same names.
    """
    if kept is None:
        return predicted
    refuse_clashes(map(str, kept), noise="noise" in predicted)
    if len(kept) != len(predicted):
        raise ValueError(f"kept columns must have {len(predicted)} rows, got {len(kept)}")
    columns = {str(name): kept[name].to_numpy() for name in kept}
    return predicted[["row"]].assign(**columns).join(predicted.drop(columns="row"))


def responsibilities_frame(
    shares: Float[Tensor, "n k"], noise: Float[Tensor, "n"] | None = None
) -> pd.DataFrame:
    """Responsibilities as a pandas frame with the columns component_0, component_1, …, noise."""
    import pandas as pd

    names = [f"component_{i}" for i in range(shares.shape[1])]
    frame = pd.DataFrame(shares.cpu().numpy(), columns=names)
    return frame if noise is None else frame.assign(noise=noise.cpu().numpy())


@one_thread_a_product()
def predict(
    source: GaussianMixture | Posterior, x: Any, *, every_draw: Posterior | None = None
) -> Prediction:
    """Components and densities of points.

    Args:
        source: a mixture; or draws with aligned components, whose responsibilities and densities
            are averaged. Where the number of components is unknown, densities are averaged over all
            draws, and responsibilities over those with as many with points as most have.
        x: points, array-like of shape (n, d); columns of a frame are taken by their names.
        every_draw: draws that densities are averaged over, if these are others: all of a saved fit,
            whose `source` are those of one number.

    Raises:
        ValueError: if x is not finite or not of this shape, or lacks a feature.
    """
    if isinstance(source, Posterior):
        alone, every = of_one_number(source), source if every_draw is None else every_draw
        found = _averaged(alone, x)
        if alone is every:
            return found
        return replace(found, log_density=_averaged(every, x).log_density)
    check_mixture("source", source)
    points = as_points(x, feature_names=source.feature_names, missing="integrate")
    noise = None if source.noise_component is None else source.noise_probability(points)
    return Prediction(
        source.predict(points), source.responsibilities(points), source.log_prob(points), noise
    )


def _averaged(posterior: Posterior, x: Any) -> Prediction:
    """Means over the draws, in a pass over the draws for each chunk of the points."""
    points = placed(posterior, x)
    parameters, k = posterior.parameters(), posterior.n_components
    n_draws = len(parameters.means)
    parts = []
    for rows in chunks(points.n, max(1, NUMBERS // (DRAWS_AT_ONCE * k))):
        some = points.subset(rows)

        def evaluate(theta: Theta, draws: slice, some: Any = some) -> Float[Tensor, "k2 n"]:
            del draws
            found = shares(some, theta).double().sum(0)
            return torch.cat([found, log_density(some, theta).double().logsumexp(0)[None]])

        batches = torch.stack(over_draws(posterior.family, parameters, some, evaluate))
        parts.append(torch.cat([batches[:, :-1].sum(0), batches[:, -1].logsumexp(0)[None]]))
    found = torch.cat(parts, 1)
    labels = found[:-1].argmax(0)
    return Prediction(
        labels.masked_fill(labels == k, NOISE),
        (found[:k] / n_draws).T.contiguous(),
        found[-1] - math.log(n_draws),
        None if posterior.noise_component is None else found[k] / n_draws,
    )
