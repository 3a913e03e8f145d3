"""How sure the parameters of a fit are, and how many components there are: the bootstrap."""

from .bootstrap import bootstrap
from .likelihood_ratio import bootstrap_lrt
from .result import Bootstrap, Interval
from .tests_of_k import LikelihoodRatioTest, LikelihoodRatioTests

__all__ = [
    "Bootstrap",
    "Interval",
    "LikelihoodRatioTest",
    "LikelihoodRatioTests",
    "bootstrap",
    "bootstrap_lrt",
]
