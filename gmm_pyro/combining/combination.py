"""`combine`: from a mixture and points to clusters of its components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.checks import check_choice, check_number
from ..data.known import Known
from ..data.points import Points
from ..data.weighting import as_weights
from ..mixture.checks import check_mixture
from ..mixture.placing import placed
from .merging import merged_all
from .record import CombinationRecord
from .rules import RULES
from .sums import Seen

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Combination(CombinationRecord):
    """What `combine` returns: the attributes of `CombinationRecord`, and their picture."""

    def plot(self, n_clusters: int | None = None) -> Figure:
        """A figure with the tree, the entropy with its elbow, and the points in their clusters.

        Args:
            n_clusters: how many clusters the points are shown in; None for the proposal.

        Raises:
            ValueError: if it is not from 1 to the number of components.
        """
        from .. import plots  # matplotlib takes a second to import

        return plots.combination(self, n_clusters)


def combine(
    mixture: Any,
    x: Any,
    by: str = "entropy",
    *,
    sample_weight: Any = None,
    threshold: float | None = None,
    **known: Unpack[Known],
) -> Combination:
    """Merge components of a mixture into clusters, pair by pair, the most alike first.

    A cluster is then a mixture of Gaussians, and the density of all stays as it is. A noise
    component is never merged, and its points keep the label -1.

    Args:
        mixture: the mixture.
        x: points that say how alike components are, array-like of shape (n, d).
        by: which pair is the next:
            "entropy": the one whose merge lowers the entropy of the assignment most. The number
            of clusters is where that stops to fall steeply, its elbow (Baudry et al. 2010).
            "overlap": the one of which a point is taken for the other's most often. They are
            merged as long as that is in one case of 40 at least (Hennig 2010).
            "bhattacharyya": the one whose Gaussians overlap most, by the means and covariances
            of clusters alone; those of one centre always do (Hennig 2010).
        sample_weight: how often each point counts, shape (n,), or None.
        threshold: the probability of a mistake, or of "bhattacharyya" its bound, below which
            clusters stay apart: 0.025 and 0.1, if None. By entropy there is none.
        **known: `noise`, `projection` and `labels` of the points, as `gmm_pyro.fit` has them.

    Returns:
        The combination: `labels()`, `clusters()`, `tree`, `n_clusters`, `elbow`, `plot()`.

    Raises:
        TypeError: if the mixture is none.
        ValueError: if the points do not fit the mixture, the rule does not exist, or the threshold
            is not above 0 and below 1.

    Sources: Baudry, Raftery, Celeux, Lo & Gottardo (2010), "Combining mixture components for
    clustering"; Hennig (2010), "Methods for merging Gaussian mixture components".

    Example:
        >>> from gmm_pyro import GaussianMixture
        >>> mixture = GaussianMixture([0.3, 0.3, 0.4], [-0.5, 0.5, 9.0], [1.0] * 3, "spherical")
        >>> found = combine(mixture, mixture.sample(500))
        >>> found.n_clusters, found.clusters()
        (2, ((0, 1), (2,)))
    """
    mixture = check_mixture("mixture", mixture)
    rule = RULES[check_choice("by", by, RULES)]
    threshold = _threshold(by, threshold)
    points, theta, kind = placed(mixture, x, **known)
    seen = Seen(points, theta, kind, _weight(points, sample_weight))
    merged = merged_all(seen, mixture, rule)
    entropies = [merged.entropy, *(merge.entropy for merge in merged.merges)]
    return Combination(
        mixture,
        by,
        threshold,
        torch.tensor(entropies, dtype=torch.float64),
        merged.merges,
        merged.n_empty,
        seen,
    )


def _threshold(by: str, given: float | None) -> float | None:
    """The threshold of a rule, or None of one that has none."""
    own = RULES[by].threshold
    if given is None:
        return own
    if own is None:
        others = " and ".join(name for name, rule in RULES.items() if rule.threshold is not None)
        raise ValueError(f"threshold is of {others}; by {by}, the elbow says where to stop")
    return check_number("threshold", given, high=1.0, positive=True)


def _weight(points: Points, sample_weight: Any) -> Float[Tensor, "n"] | None:
    """The points' weights; rows without a value say nothing, and do not count."""
    weight = None if sample_weight is None else as_weights(sample_weight, points.n)
    if points.measured is None:
        return weight
    says = (points.measured.n_observed > 0).double()
    return says if weight is None else weight.to(says) * says
