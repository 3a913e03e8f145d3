"""The methods: one file each, behind `fit` and the table `METHODS`."""

from .fit import Fit, fit
from .methods import METHODS, Method, OptionError
from .task import FitWarning, Options, Status

__all__ = ["METHODS", "Fit", "FitWarning", "Method", "OptionError", "Options", "Status", "fit"]
