"""scikit-learn estimators: drop-ins for its two mixtures, a classifier and a regressor.

`recipe.py` takes the steps that scikit-learn's EM takes, on this package's reduction, and
`bayesian_steps.py` those of its variational Bayes; `trials.py` runs both; `starts.py` makes their
starting values; `arguments.py` says what a method makes of the arguments; `auto.py` lets BIC choose
what they leave to the data.
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
