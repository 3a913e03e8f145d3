"""Components combined into clusters: a Gaussian is not always a cluster.

A mixture spends several Gaussians on one cluster that is no Gaussian: curved, ring-shaped,
heavy-tailed. Its number of components is then right for the density, and too large for the
clusters. Here components are merged in pairs, the most alike first, until one cluster is left; the
density stays as it is.

Sources: Baudry, Raftery, Celeux, Lo & Gottardo (2010), "Combining mixture components for
clustering"; Hennig (2010), "Methods for merging Gaussian mixture components".
"""

from .combination import Combination, combine
from .elbow import Elbow
from .merging import Merge

__all__ = ["Combination", "Elbow", "Merge", "combine"]
