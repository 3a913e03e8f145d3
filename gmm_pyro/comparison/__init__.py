"""Several methods on one data set, side by side: `compare`, and the `Comparison` it returns."""

from .agreement import density_distances, label_agreement
from .columns import COLUMNS
from .record import Request
from .result import Comparison
from .run import compare

__all__ = [
    "COLUMNS",
    "Comparison",
    "Request",
    "compare",
    "density_distances",
    "label_agreement",
]
