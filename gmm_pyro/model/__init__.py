"""A mixture as a model: its priors, its Pyro program, and its log density over one flat vector."""

from .conjugate import ConjugatePriors
from .priors import Priors
from .program import LogDensity, MixtureModel

__all__ = ["ConjugatePriors", "LogDensity", "MixtureModel", "Priors"]
