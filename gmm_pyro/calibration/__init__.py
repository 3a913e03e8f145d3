"""Whether a posterior is right: an exact oracle, and tests that any method can be put to.

- `exact_posterior` sums over all partitions of a few points under the conjugate prior.
- `simulation_based_calibration` ranks true parameters among the draws that a method gives for data
  made from them.
- `geweke` compares a sampler's own joint distribution of parameters and data with the model's.
"""

from .exact import ExactPosterior, exact_posterior
from .geweke import GewekeTest, geweke
from .quantities import Quantities, default_quantities
from .ranks import Band, Calibration
from .simulation import simulation_based_calibration

__all__ = [
    "Band",
    "Calibration",
    "ExactPosterior",
    "GewekeTest",
    "Quantities",
    "default_quantities",
    "exact_posterior",
    "geweke",
    "simulation_based_calibration",
]
