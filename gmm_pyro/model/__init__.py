"""A mixture as a model: its priors, its Pyro program, and its log density over one flat vector."""

from .conjugate import ConjugatePriors
from .log_density import LogDensity
from .priors import Priors
from .program import MixtureModel
from .program_prior import PriorProgram

__all__ = ["ConjugatePriors", "LogDensity", "MixtureModel", "PriorProgram", "Priors"]
