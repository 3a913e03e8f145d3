"""How good a clustering, a mixture or its parameters are: pure functions of labels and mixtures.

Scores of labels are invariant under renaming of the clusters. Densities are in nats.
"""

from .label_scores import accuracy, adjusted_rand, normalised_mutual_information
from .scores import (
    Estimate,
    ParameterErrors,
    aic,
    bic,
    icl,
    kl_divergence,
    match_components,
    mean_log_density,
    mixture_wasserstein,
    parameter_errors,
)

__all__ = [
    "Estimate",
    "ParameterErrors",
    "accuracy",
    "adjusted_rand",
    "aic",
    "bic",
    "icl",
    "kl_divergence",
    "match_components",
    "mean_log_density",
    "mixture_wasserstein",
    "normalised_mutual_information",
    "parameter_errors",
]
