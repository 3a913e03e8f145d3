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


def shared_term(
    theta: Theta, points: Points
) -> tuple[Float[Tensor, "s 1 *event"], Float[Tensor, "s"]]:
    """Σ u z zᵀ over all points for each of s sets, and what it adds to their `log_norm`."""
    assert isinstance(points, Observations)
    second = _second_moment(theta.family, points)
    second = second.expand(len(theta.parameters.means), 1, *second.shape)
    return second, (theta.natural.quadratic * second).flatten(1).sum(1)


def _second_moment(family: CovarianceFamily, observations: Observations) -> Tensor:
    """Σ u z zᵀ over the data in compact form, which a tied family needs once a fit."""
    key = f"second moment, {family.name}"
    if key not in observations.cache:
        origin = observations.origin

        def second_moment(block: Block) -> Sums:
            z = block.x.double() - origin
            weight = z.new_ones(len(z)) if block.weight is None else block.weight.double()
            return (family.weighted_square(z, weight),)

        rows = max(1, ROWS // observations.d)
        (observations.cache[key],) = total(lambda: second_moment, observations.blocks(rows))
    return observations.cache[key]
