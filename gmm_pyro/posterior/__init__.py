"""Draws from a posterior: components aligned, clusterings of the data, predictions."""

from .clustering import Partition
from .posterior import Posterior
from .predictive import Assignments, PredictiveDensity

__all__ = ["Assignments", "Partition", "Posterior", "PredictiveDensity"]
