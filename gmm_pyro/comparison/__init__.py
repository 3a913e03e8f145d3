"""Several methods on one data set, side by side: `compare`, and the `Comparison` it returns."""

from .result import Comparison
from .run import compare
from .scores import COLUMNS

__all__ = ["COLUMNS", "Comparison", "compare"]
