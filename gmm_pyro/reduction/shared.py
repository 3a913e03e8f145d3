"""What components of a tied family have in common: it drops out of responsibilities.

Their quadratic term is the same for all, so that a pass need not know it: it is added at the end,
from the data's own second moment.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily
from ..data.points import Block, Observations, Points
from ..data.spread import ROWS
from ..running.threads import Sums, total
from .theta import Theta


def is_shared(theta: Theta, points: Points) -> bool:
    """Whether components share a term that a pass leaves out."""
    return not theta.centred and not theta.family.n_own_features(points.d)


def shared_term(
    theta: Theta, points: Points
) -> tuple[Float[Tensor, "s 1 *event"], Float[Tensor, "s"]]:
    """Σ u z zᵀ over all points for each of s sets, and what it adds to their `log_norm`."""
    assert isinstance(points, Observations)
    second = second_moment(theta.family, points)
    second = second.expand(len(theta.parameters.means), 1, *second.shape)
    return second, (theta.natural.quadratic * second).flatten(1).sum(1)


def second_moment(family: CovarianceFamily, observations: Observations) -> Tensor:
    """Σ u z zᵀ over the data in compact form, which a tied family needs once a fit."""
    key = _key(family)
    if key not in observations.cache:
        origin = observations.origin

        def moment(block: Block) -> Sums:
            z = block.x.double() - origin
            weight = z.new_ones(len(z)) if block.weight is None else block.weight.double()
            return (family.weighted_square(z, weight),)

        rows = max(1, ROWS // observations.d)
        (observations.cache[key],) = total(lambda: moment, observations.blocks(rows))
    return observations.cache[key]


def knows_second_moment(family: CovarianceFamily, observations: Observations) -> bool:
    """Whether it has been made before."""
    return _key(family) in observations.cache


def know_second_moment(family: CovarianceFamily, observations: Observations, value: Tensor) -> None:
    """Keep what has been made elsewhere, as of points in partitions."""
    observations.cache[_key(family)] = value


def _key(family: CovarianceFamily) -> str:
    return f"second moment, {family.name}"
