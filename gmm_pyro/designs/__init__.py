"""Designs of simulation studies: factors with levels, and the data sets that they stand for.

A `Design` is a value: the kind of data, the levels of each factor and a number of replicates. What
it draws depends on the kind, one setting of the factors and a seed, and on nothing else.
"""

from .design import Design
from .named import overlapping, resampled, separated
from .overlaps import largest_overlap, mean_overlap, overlap
from .points import NotGaussian

__all__ = [
    "Design",
    "NotGaussian",
    "largest_overlap",
    "mean_overlap",
    "overlap",
    "overlapping",
    "resampled",
    "separated",
]
