"""Clusters by merging: the tree of a data set from single points to one cluster."""

from .result import Agglomeration, agglomerate

__all__ = ["Agglomeration", "agglomerate"]
