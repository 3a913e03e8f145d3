"""Whatever a function is given, it gives a result, or says which argument is wrong and why.

Values are drawn from tables of every kind, seeded. With the environment's GMM_PYRO_CASES, as many
fits are drawn, and every value is tried in every argument; a run of the suite takes some of them.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import matplotlib.pyplot as plt
import pytest

import gmm_pyro as gp
from arguments import DATA, ODD, drawn_fit, fault_of, names_of_fits, odd_values
from calls import GROUPS

CASES = int(os.environ.get("GMM_PYRO_CASES", "0"))
FITS = CASES or 40
VALUES = len(ODD) + len(DATA) if CASES else 2  # of each argument
SLOW = (
    "Comparison.report",
    "Selection.report",
    "StudyResults.report",
    "plots.comparison_figures",
)  # have one of them, and no right call
SKLEARN = ("sklearn/utils/", "sklearn/base.py")  # whose own words the estimators keep
POINTS = ("x", "X", "data", "points", "observations", "grid")  # arguments that are data
FUNCTIONS = ("class", "function", "model")  # of another kind than those that an argument may be
Arguments = Mapping[str, Any]

# ---------------------------------------------------------------------- what is public

RESULTS = {  # that the package makes, and nobody else
    *("Agglomeration", "Band", "Calibration", "Combination", "Comparison", "ExactPosterior"),
    *("Fit", "GewekeTest", "LogDensity", "Selection"),
    *("Posterior", "Method", "Options", "Status", "FitWarning", "OptionError", "Quantities"),
    *("Estimate", "ParameterErrors"),
    *("Bootstrap", "LikelihoodRatioTests"),
    *("NotGaussian", "StudyResults"),
}
INNER = {  # which fits call over and over, with what other methods returned
    *(f"LogDensity.{name}" for name in ("log_jacobian", "log_likelihood", "log_prior")),
    *(f"LogDensity.{name}" for name in ("parameters", "unconstrain", "values")),
    *(f"{kind}.component_axis" for kind in ("LogDensity", "Posterior")),
    *("MixtureModel.of_size", "ConjugatePriors.of_known"),
    *("MixtureModel.conjugate", "MixtureModel.beside_noise", "GaussianMixture.from_parameters"),
    *(
        f"{kind}.{name}"
        for kind in ("UniformBox", "WideGaussian")
        for name in ("scaled_to", "log_density", "draw", "marginal", "given", "in_order_of", "ends")
    ),
    *(
        f"{kind}.{name}"
        for kind in ("Priors", "ConjugatePriors", "PriorProgram")
        for name in ("covariance_sites", "sites", "conjugate", "standardised", "features_known")
    ),
    *("ConjugatePriors.hierarchy", "MixtureModel.hierarchy", "MixtureModel.known_labels"),
    *(
        f"{kind}.{name}"
        for kind in ("Static", "Dynamic", "DirichletProcess")
        for name in ("draw", "log_prior", "of_each")
    ),
}
SELECT = {"method", "seed", "sample_weight", "feature_names", "missing", "progress"}
SELECT |= {"dtype", "device", "priors"}
ELSEWHERE = {  # arguments that other rows are about, or inner loops
    "MixtureModel": {"fixed", "unknown"},  # which `fit`, and n_components, make
    "MixtureModel.__call__": {"n", "n_features", "collapsed"},
    "MixtureModel.__call__ without data": {
        *("x", "n_features", "subsample_size", "sample_weight", "collapsed"),
    },
    "MixtureModel.__call__ collapsed": {"n", "n_features", "subsample_size"},
    "LogDensity.__call__": {"jacobian", "rows"},
    "Posterior.relabel": {"by"},
    "select of held-out points": SELECT | {"n_resamples"},
    "select of resamples": SELECT | {"n_folds", "noise_component", "labels", "fixed"},
}


def public() -> Iterator[str]:
    """Names of all public functions, and of public methods of public classes, with arguments."""
    modules = {name: getattr(gp, name) for name in gp.__all__}
    modules = {name: value for name, value in modules.items() if isinstance(value, ModuleType)}
    for prefix, module in [("", gp), *((f"{name}.", value) for name, value in modules.items())]:
        if prefix == "inference.":
            continue  # `fit` and what it returns, which the package itself has too
        for name in getattr(module, "__all__", dir(module)):
            value = getattr(module, name)
            if not callable(value) or not value.__module__.startswith(f"gmm_pyro.{prefix[:-1]}"):
                continue
            if prefix and name in gp.__all__:
                continue  # once is enough
            if inspect.isclass(value):
                yield from (f"{prefix}{method}" for method in _methods_of(value))
            if not name.startswith("_") and _takes_arguments(value) and name not in RESULTS:
                yield f"{prefix}{name}"


def _methods_of(cls: type) -> Iterator[str]:
    for name, value in inspect.getmembers(cls, callable):
        if name.startswith("_") and name != "__call__":
            continue
        if getattr(value, "__module__", "").startswith("gmm_pyro") and _takes_arguments(value):
            yield f"{cls.__name__}.{name}"


def _takes_arguments(function: Any) -> bool:
    try:
        return bool(set(named(function)) - {"self", "cls"})
    except (ValueError, TypeError):  # of an exception
        return False


def named(function: Callable[..., Any]) -> list[str]:
    """The function's own arguments: not those that it hands on."""
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]


def test_every_public_function_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    called = {name: call for group in GROUPS.values() for name, call in group().items()}
    assert set(public()) <= {name.partition(" ")[0] for name in called} | INNER
    for name, (call, given) in called.items():
        assert set(named(call)) <= {*given} | ELSEWHERE.get(name, set()), name


# ---------------------------------------------------------------------- what comes of it


def values_for(argument: str, name: str) -> dict[str, Any]:
    """Some values for an argument of a call, the same in every run."""
    pool = odd_values(argument) | (DATA if argument in POINTS else {})
    pool = {word: value for word, value in pool.items() if word not in FUNCTIONS}
    count = 1 if name in SLOW and not CASES else VALUES
    words = Random(f"{name} {argument}").sample(list(pool), min(count, len(pool)))
    return {word: pool[word] for word in words}


def words_for(arguments: Arguments) -> tuple[str, ...]:
    """What a refusal may name: an argument, or what it holds."""
    return (*arguments, "feature", "column", "fit ", "data ", "mixtures", "prior of", "x ")


def faults_of(name: str, call: Callable[..., Any], arguments: Arguments) -> Iterator[str]:
    """What is wrong with how a function takes right arguments, and wrong ones."""
    own = SKLEARN if name.startswith("estimator.") else ()
    wrong = [] if name in SLOW and not CASES else [({}, "all right")]
    for argument in arguments:
        wrong += [
            ({argument: value}, f"{argument} is {word}")
            for word, value in values_for(argument, name).items()
        ]
    for replaced, case in wrong:
        ask = partial(call, **{**arguments, **replaced})
        fault = fault_of(ask, *words_for(arguments), others=own)
        plt.close("all")
        if fault is not None:
            yield f"{name}, {case}: {fault}"


@pytest.mark.parametrize("group", GROUPS)
def test_a_function_gives_a_result_or_names_the_argument(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    called = GROUPS[group]()
    faults = [fault for name, call in called.items() for fault in faults_of(name, *call)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("first", range(0, FITS, 10))
def test_fits_give_a_result_or_name_the_argument(first: int) -> None:
    faults = {}
    for seed in range(first, first + 10):
        case, call = drawn_fit(seed)
        faults[f"{seed}: {case}"] = fault_of(call, *names_of_fits())
    faults = {case: fault for case, fault in faults.items() if fault is not None}
    assert not faults, "\n".join(f"{case}: {fault}" for case, fault in faults.items())
