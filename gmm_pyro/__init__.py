"""Gaussian mixture models as Pyro programs, fitted by every method that matters.

    import gmm_pyro as gp

    data = gp.datasets.three_clusters(seed=42)
    fit = gp.fit(gp.MixtureModel(n_components=3), data.x, method="em")
    fit.mixture.predict(data.x)

Names are loaded when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .running.forking import register
from .running.versions import __version__ as __version__

if TYPE_CHECKING:
    from . import calibration, datasets, designs, estimator, inference, metrics, plots
    from .agglomeration import Agglomeration, agglomerate
    from .combining import Combination, combine
    from .comparison import Comparison, compare
    from .covariance import FAMILIES
    from .data.ranks import across_ranks
    from .data.tables import ColumnWarning
    from .datasets import Dataset
    from .inference.fit import Fit, fit
    from .inference.gradient import MixtureModule
    from .inference.methods import OptionError
    from .inference.task import FitWarning, Status
    from .mixture.noise_kinds import UniformBox, WideGaussian
    from .mixture.value import GaussianMixture
    from .model.concentration import DirichletProcess, Dynamic, Static
    from .model.conjugate import ConjugatePriors
    from .model.hierarchy import RandomScale
    from .model.log_density import LogDensity
    from .model.priors import Priors
    from .model.program import MixtureModel
    from .model.program_prior import PriorProgram
    from .model.unknown import Unknown
    from .posterior import Posterior
    from .selection import (
        Bootstrap,
        LikelihoodRatioTests,
        Selection,
        bootstrap,
        bootstrap_lrt,
        select,
    )
    from .study import Study, StudyResults

register()

_HOME = {
    "Agglomeration": "agglomeration",
    "Bootstrap": "selection",
    "ColumnWarning": "data.tables",
    "Combination": "combining",
    "Comparison": "comparison",
    "Dataset": "datasets",
    "DirichletProcess": "model.concentration",
    "Dynamic": "model.concentration",
    "ConjugatePriors": "model.conjugate",
    "FAMILIES": "covariance",
    "Fit": "inference.fit",
    "FitWarning": "inference.task",
    "GaussianMixture": "mixture.value",
    "LikelihoodRatioTests": "selection",
    "LogDensity": "model.log_density",
    "MixtureModel": "model.program",
    "MixtureModule": "inference.gradient",
    "OptionError": "inference.methods",
    "Posterior": "posterior",
    "PriorProgram": "model.program_prior",
    "Priors": "model.priors",
    "RandomScale": "model.hierarchy",
    "Selection": "selection",
    "Static": "model.concentration",
    "Study": "study",
    "StudyResults": "study",
    "Status": "inference.task",
    "Unknown": "model.unknown",
    "UniformBox": "mixture.noise_kinds",
    "WideGaussian": "mixture.noise_kinds",
    "across_ranks": "data.ranks",
    "agglomerate": "agglomeration",
    "combine": "combining",
    "bootstrap": "selection",
    "bootstrap_lrt": "selection",
    "compare": "comparison",
    "fit": "inference.fit",
    "select": "selection",
}
_MODULES = ("calibration", "datasets", "designs", "estimator", "inference", "metrics", "plots")

__all__ = [
    "FAMILIES",
    "Agglomeration",
    "Bootstrap",
    "ColumnWarning",
    "Combination",
    "Comparison",
    "ConjugatePriors",
    "Dataset",
    "DirichletProcess",
    "Dynamic",
    "Fit",
    "FitWarning",
    "GaussianMixture",
    "LikelihoodRatioTests",
    "LogDensity",
    "MixtureModel",
    "MixtureModule",
    "OptionError",
    "Posterior",
    "PriorProgram",
    "Priors",
    "RandomScale",
    "Selection",
    "Static",
    "Status",
    "Study",
    "StudyResults",
    "UniformBox",
    "Unknown",
    "WideGaussian",
    "across_ranks",
    "agglomerate",
    "bootstrap",
    "bootstrap_lrt",
    "calibration",
    "combine",
    "compare",
    "datasets",
    "designs",
    "estimator",
    "fit",
    "inference",
    "metrics",
    "plots",
    "select",
]


def __getattr__(name: str) -> Any:
    """A public name, imported on first use (PEP 562)."""
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
