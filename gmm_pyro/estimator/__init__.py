"""scikit-learn estimators: a drop-in for its `GaussianMixture`, a classifier and a regressor.

`recipe.py` takes the steps that scikit-learn's EM takes, on this package's reduction;
`starts.py` makes its starting values; `arguments.py` says what a method makes of the arguments;
`auto.py` lets BIC choose what they leave to the data.
"""

from .bayesian import PyroBayesianGaussianMixture
from .classifier import GaussianMixtureClassifier
from .mixture import PyroGaussianMixture
from .regressor import GMMRegressor

__all__ = [
    "GMMRegressor",
    "GaussianMixtureClassifier",
    "PyroBayesianGaussianMixture",
    "PyroGaussianMixture",
]
