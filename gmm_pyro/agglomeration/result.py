"""Agglomeration as users call it, and its tree with a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.checks import check_choice, check_seed
from ..data.features import check_names
from ..data.observations import observe
from .coordinates import COORDINATES
from .criteria import CRITERIA
from .growing import grow
from .tree import Tree

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Agglomeration(Tree):
    """The tree of a data set, with a picture. The attributes are those of `Tree`."""

    def plot(self, k: int | None = None, ax: Axes | None = None) -> Axes:
        """Draw the tree, and k clusters of it in colour: see `gmm_pyro.plots.dendrogram`."""
        from .. import plots  # matplotlib takes a second to import

        return plots.dendrogram(self, k, ax)


def agglomerate(
    x: Any,
    criterion: str = "VVV",
    *,
    coordinates: str = "svd",
    sample_weight: Any = None,
    feature_names: Sequence[str] | None = None,
    seed: int = 0,
) -> Agglomeration:
    """Merge points to clusters, and clusters to larger ones, each time by the cheapest merge.

    It is the model-based hierarchical clustering that mclust starts EM from (its `hc`). No number
    of clusters is needed, and nothing is random up to 2,000 points; of more, a random part is
    merged, and the others go with the nearest of it. Equal points are merged first, as mclust
    does it. With the coordinates "svd", the default of mclust too, and with "standardised", units
    and signs of features do not matter; with "whitened", no invertible linear map does.

    Args:
        x: data of shape (n, d), or (n,), as `gmm_pyro.fit` takes them; values that are missing are
            refused, as nothing says how near to others such a point is.
        criterion: what a merge must lose least of: "VVV", the classification likelihood of
            clusters of any Gaussian form, "VII", that of round ones of any size, or "EII", of
            round ones of one size, whose losses are sums of squares (Ward's method). The first two
            have a term which keeps clusters without volume finite (Fraley 1998).
        coordinates: what distances and volumes are measured in: standardised features, rotated
            to their principal components; these divided by the roots of their singular values,
            "svd" (Scrucca & Raftery 2015), by the values themselves, "whitened", or by nothing,
            "standardised".
        sample_weight: n non-negative weights, or None. They count in units of their mean: a point
            of weight two among others of weight one is about as two equal ones.
        feature_names: names of the features, as far as x has names, in the order that is meant.
        seed: of the random part of more than 2,000 points.

    Raises:
        ValueError: if the data are not numeric, finite or of this shape, or constant in a column;
            or if the criterion or the coordinates do not exist.

    Sources: Banfield & Raftery (1993); Fraley (1998), "Algorithms for model-based Gaussian
    hierarchical clustering"; Scrucca & Raftery (2015).

    Example:
        >>> import gmm_pyro as gp
        >>> data = gp.datasets.make_mixture(n=60, k=3, separation=6.0)
        >>> tree = gp.agglomerate(data.x)
        >>> tree
        <tree of 60 points by VVV>
        >>> gp.metrics.adjusted_rand(data.labels, tree.labels(3))
        1.0
    """
    check_choice("criterion", criterion, CRITERIA)
    check_choice("coordinates", coordinates, COORDINATES)
    seed = check_seed(seed)
    names = None if feature_names is None else check_names(feature_names)
    data = observe(x, sample_weight=sample_weight, feature_names=names, missing="refuse")
    return Agglomeration(**vars(grow(data, criterion, coordinates, seed)))
