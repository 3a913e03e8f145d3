"""The methods: one file each, behind `fit` and its table `METHODS`."""

from .fit import METHODS, Fit, Method, OptionError, fit
from .task import FitWarning, Options, Status

__all__ = ["METHODS", "Fit", "FitWarning", "Method", "OptionError", "Options", "Status", "fit"]
