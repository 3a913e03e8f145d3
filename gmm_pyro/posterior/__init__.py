"""Draws from a posterior: components aligned, clusterings of the data, predictions."""

from .clustering import Partition
from .convergence import Convergence
from .posterior import Posterior
from .predictive import Assignments, PredictiveDensity
from .record import Draws

__all__ = ["Assignments", "Convergence", "Draws", "Partition", "Posterior", "PredictiveDensity"]
