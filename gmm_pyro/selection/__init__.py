"""How many components, and of what shape, and how sure of it: many fits, resamples and tests."""

from .cell import Cell
from .likelihood_ratio import bootstrap_lrt
from .resampling import bootstrap
from .result import Bootstrap, Interval
from .selecting import select
from .selection import Selection
from .tests_of_k import LikelihoodRatioTest, LikelihoodRatioTests

__all__ = [
    "Bootstrap",
    "Cell",
    "Interval",
    "LikelihoodRatioTest",
    "LikelihoodRatioTests",
    "Selection",
    "bootstrap",
    "bootstrap_lrt",
    "select",
]
