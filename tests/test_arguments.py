"""Whatever a function is given, it gives a result, or says which argument is wrong and why.

Values are drawn from tables of every kind, seeded. With the environment's GMM_PYRO_CASES, as many
fits are drawn, and every value is tried in every argument; a run of the suite takes some of them.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.exceptions import ConvergenceWarning

import gmm_pyro as gp
from arguments import DATA, ODD, X, drawn_fit, fault_of, names_of_fits
from gmm_pyro import plots
from gmm_pyro.estimator import GaussianMixtureClassifier, PyroGaussianMixture

CASES = int(os.environ.get("GMM_PYRO_CASES", "0"))
FITS = CASES or 50
VALUES = len(ODD) + len(DATA) if CASES else 2  # of each argument
SLOW = ("Comparison.report", "plots.comparison_figures")  # have one of them
SKLEARN = ("sklearn/utils/", "sklearn/base.py")  # whose own words the estimators keep
POINTS = ("x", "X", "data", "points", "observations", "grid")  # arguments that are data
GROUPS = (
    *("GaussianMixture", "MixtureModel", "Priors", "ConjugatePriors", "LogDensity"),
    *("MixtureModule", "Dataset", "fit", "compare", "Comparison", "Posterior"),
    *("calibration", "datasets", "metrics", "plots", "estimator"),
)
FUNCTIONS = ("class", "function", "model")  # of another kind than those that an argument may be
Arguments = Mapping[str, Any]

# ---------------------------------------------------------------------- what is called


@cache
def made() -> dict[str, Any]:
    """What methods are called on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", gp.FitWarning)
        em = gp.fit(gp.MixtureModel(2), X, n_starts=1)
        gibbs = gp.fit(
            gp.MixtureModel(2), X, "gibbs", n_draws=9, n_chains=2, n_warmup=5, keep_allocations=3
        )
        comparison = gp.compare(gp.MixtureModel(1), X, ["kmeans", "em"])
    prior = gp.ConjugatePriors(mean=0.0, spread=torch.ones(1))
    return {
        "em": em,
        "mixture": em.mixture,
        "gibbs": gibbs,
        "posterior": gibbs.posterior,
        "comparison": comparison,
        "concrete": gp.MixtureModel(1, priors=prior),
        "estimator": PyroGaussianMixture(2, random_state=0).fit(X),
        "classifier": GaussianMixtureClassifier(random_state=0).fit(X, X[:, 0] > 2),
        "exact": gp.calibration.exact_posterior(gp.MixtureModel(2), X[:4, 0]),
        "density": gp.MixtureModel(2).log_density(X),
    }


def calls() -> dict[str, tuple[Callable[..., Any], Arguments]]:
    """Every public function and method that takes arguments, with arguments of the right kind."""
    m = made()
    mixture, posterior, em, gibbs = m["mixture"], m["posterior"], m["em"], m["gibbs"]
    estimator, classifier, exact = m["estimator"], m["classifier"], m["exact"]
    comparison, concrete, density = m["comparison"], m["concrete"], m["density"]
    module, model = gp.MixtureModule(mixture), gp.MixtureModel(2)
    dataset, known = gp.datasets.bimodal(), X[:, 0] > 2
    vector = density.unconstrain(density.values(mixture.parameters))
    at_points = {"x": X}
    weights = {"sample_weight": np.ones(len(X))}
    weighted = {"x": X, **weights}
    scores = {"mixture": mixture, **weighted}
    labelled = {"labels": known, "predicted": known.astype(int), **weights}
    drawn = {"n": 5, "seed": 0}
    return {
        "GaussianMixture": (gp.GaussianMixture, _parameters(mixture)),
        "GaussianMixture.log_prob": (mixture.log_prob, at_points),
        "GaussianMixture.responsibilities": (mixture.responsibilities, at_points),
        "GaussianMixture.predict": (mixture.predict, at_points),
        "GaussianMixture.bic": (mixture.bic, weighted),
        "GaussianMixture.aic": (mixture.aic, weighted),
        "GaussianMixture.icl": (mixture.icl, weighted),
        "GaussianMixture.sample": (mixture.sample, drawn),
        "GaussianMixture.sample_labelled": (mixture.sample_labelled, drawn),
        "GaussianMixture.marginal": (mixture.marginal, {"features": ["x1"]}),
        "GaussianMixture.conditional": (
            mixture.conditional,
            {"features": ["x1"], "values": [0.5]},
        ),
        "GaussianMixture.permute": (mixture.permute, {"order": [1, 0]}),
        "GaussianMixture.in_order_of": (mixture.in_order_of, {"names": ["x1", "x0"]}),
        "GaussianMixture.save": (mixture.save, {"path": "mixture.json"}),
        "GaussianMixture.load": (gp.GaussianMixture.load, {"path": mixture.save("other.json")}),
        "MixtureModel": (
            gp.MixtureModel,
            {"n_components": 2, "covariance": "full", "priors": None},
        ),
        "MixtureModel.specialise": (model.specialise, at_points),
        "MixtureModel.log_density": (model.log_density, at_points),
        "MixtureModel.sites": (concrete.sites, {"like": None}),
        "MixtureModel.__call__": (
            model,
            {"x": X, "subsample_size": 5, "sample_weight": np.ones(len(X))},
        ),
        "MixtureModel.__call__ without data": (concrete, {"n": 5}),
        "Priors": (gp.Priors, dict.fromkeys(gp.Priors.__dataclass_fields__)),
        "Priors.weakly_informative": (gp.Priors.weakly_informative, at_points),
        "Priors.scaled_to": (gp.Priors().scaled_to, {"observations": X}),
        "Priors of sites": (_sites_under, dict.fromkeys(gp.Priors.__dataclass_fields__)),
        "ConjugatePriors": (
            gp.ConjugatePriors,
            {
                "concentration": 1.0,
                "mean": 0.0,
                "mean_strength": 1.0,
                "dof": 5,
                "scale": 1.0,
                "mean_scale": 1.0,
                "spread": [1.0, 2.0],
                "feature_names": ["a", "b"],
            },
        ),
        "ConjugatePriors.weakly_informative": (gp.ConjugatePriors.weakly_informative, at_points),
        "ConjugatePriors.scaled_to": (gp.ConjugatePriors().scaled_to, {"observations": X}),
        "LogDensity.__call__": (density, {"vector": vector}),
        "LogDensity.constrain": (density.constrain, {"vector": vector}),
        "MixtureModule": (gp.MixtureModule, {"mixture": mixture}),
        "MixtureModule.forward": (module.forward, {"x": torch.tensor(X)}),
        "Dataset": (
            gp.Dataset,
            {
                "x": dataset.x,
                "labels": dataset.labels,
                "truth": dataset.truth,
                "name": "mine",
                "feature_names": ("a",),
                "sample_weight": None,
            },
        ),
        "Dataset.subset": (dataset.subset, {"rows": [0, 2]}),
        "Dataset.held_out": (dataset.held_out, drawn),
        "fit": (
            lambda model, x, method: gp.fit(model, x, method, n_starts=1, max_steps=2),
            {"model": model, "x": X, "method": "em"},
        ),
        "compare": (
            gp.compare,
            {
                "model": gp.MixtureModel(1),
                "data": X,
                "methods": ["em"],
                "seed": 0,
                "test_size": 0.5,
                "progress": False,
                "options": {"em": {"n_starts": 1}},
                **weights,
            },
        ),
        "Comparison.density_distances": (comparison.density_distances, drawn),
        "Comparison.save": (comparison.save, {"folder": "results", "posteriors": False}),
        "Comparison.report": (comparison.report, {"path": "report.html", "command": "make"}),
        "Posterior.assignments": (posterior.assignments, {"x": X, "seed": 0}),
        "Posterior.co_clustering": (posterior.co_clustering, {"rows": [0, 2], "max_draws": 5}),
        "Posterior.density_band": (
            posterior.density_band,
            {"grid": [0.0, 1.0], "prob": 0.5, "feature": "x1"},
        ),
        "Posterior.partition": (
            posterior.partition,
            {"loss": "vi", "rows": [0, 2], "max_draws": 5},
        ),
        "Posterior.predictive_density": (posterior.predictive_density, {"x": X, "prob": 0.5}),
        "Posterior.relabel": (posterior.relabel, {"method": "ecr", "like": mixture}),
        "Posterior.relabel in order": (
            lambda by: posterior.relabel("ordered", by=by),
            {"by": "means"},
        ),
        "Posterior.sample_predictive": (posterior.sample_predictive, drawn),
        "calibration.simulation_based_calibration": (
            gp.calibration.simulation_based_calibration,
            {
                "model": concrete,
                "method": "gibbs",
                "n_points": 3,
                "n_datasets": 2,
                "n_draws": 2,
                "seed": 0,
                "quantities": None,
                "n_warmup": 1,
                "thin": 1,
                "exchange": True,
            },
        ),
        "calibration.geweke": (
            gp.calibration.geweke,
            {
                "model": concrete,
                "sweep": None,
                "n_points": 3,
                "n_chains": 3,
                "n_sweeps": 2,
                "seed": 0,
                "quantities": None,
            },
        ),
        "calibration.exact_posterior": (
            gp.calibration.exact_posterior,
            {"model": model, "x": X[:4]},
        ),
        "calibration.default_quantities": (
            gp.calibration.default_quantities,
            {"model": concrete, "seed": 0},
        ),
        "calibration.ExactPosterior.log_predictive": (exact.log_predictive, {"points": [0.0, 1.0]}),
        "datasets.three_clusters": (gp.datasets.three_clusters, {"seed": 1}),
        "datasets.bimodal": (gp.datasets.bimodal, {"seed": 1}),
        "datasets.tight_and_diffuse": (gp.datasets.tight_and_diffuse, {"seed": 1}),
        "datasets.anisotropic": (gp.datasets.anisotropic, {"seed": 1}),
        "datasets.dataset_named": (gp.datasets.dataset_named, {"name": "bimodal", "seed": 1}),
        "datasets.make_mixture": (
            gp.datasets.make_mixture,
            {
                "n": 9,
                "d": 2,
                "k": 2,
                "separation": 1.0,
                "covariance": "full",
                "imbalance": 0.1,
                "outliers": 0.1,
                "seed": 0,
            },
        ),
        "metrics.adjusted_rand": (gp.metrics.adjusted_rand, labelled),
        "metrics.normalised_mutual_information": (
            gp.metrics.normalised_mutual_information,
            labelled,
        ),
        "metrics.accuracy": (gp.metrics.accuracy, labelled),
        "metrics.match_components": (
            gp.metrics.match_components,
            {"mixture": mixture, "truth": mixture},
        ),
        "metrics.parameter_errors": (
            gp.metrics.parameter_errors,
            {"mixture": mixture, "truth": mixture},
        ),
        "metrics.mean_log_density": (gp.metrics.mean_log_density, scores),
        "metrics.kl_divergence": (
            gp.metrics.kl_divergence,
            {"truth": mixture, "mixture": mixture, **drawn},
        ),
        "metrics.mixture_wasserstein": (
            gp.metrics.mixture_wasserstein,
            {"a": mixture, "b": mixture},
        ),
        "metrics.bic": (gp.metrics.bic, scores),
        "metrics.aic": (gp.metrics.aic, scores),
        "metrics.icl": (gp.metrics.icl, scores),
        "plots.scatter": (
            plots.scatter,
            {
                "x": X,
                "labels": known,
                "ax": None,
                "feature_names": ["$", "b"],
                "features": [0],
                **weights,
            },
        ),
        "plots.clusters": (
            plots.clusters,
            {"fit": gibbs, "x": X, "ax": None, "labels": known, "features": 0, **weights},
        ),
        "plots.responsibilities": (
            plots.responsibilities,
            {"fit": em, "x": X, "ax": None, "labels": known, "features": 0},
        ),
        "plots.density": (
            plots.density,
            {"fit": em, "ax": None, "x": X, "features": None, **weights},
        ),
        "plots.density_band": (
            plots.density_band,
            {"posterior": posterior, "ax": None, "feature": 0, "prob": 0.5},
        ),
        "plots.posterior_ellipses": (
            plots.posterior_ellipses,
            {"posterior": posterior, "ax": None, "features": 0, "n_draws": 2},
        ),
        "plots.label_traces": (
            plots.label_traces,
            {"posterior": posterior, "axes": None, "by": "means"},
        ),
        "plots.co_clustering": (
            plots.co_clustering,
            {"posterior": posterior, "ax": None, "loss": "vi", "max_points": 5},
        ),
        "plots.comparison_figure": (
            plots.comparison_figure,
            {
                "x": X,
                "fits": {"em": em},
                "labels": known,
                **weights,
                "feature_names": None,
                "figure": None,
                **weights,
            },
        ),
        "plots.comparison_figures": (
            plots.comparison_figures,
            {
                "x": X,
                "fits": {"em": em},
                "table": comparison.table,
                "labels": known,
                **weights,
                "feature_names": None,
            },
        ),
        "plots.fit_figures": (plots.fit_figures, {"fit": em, "name": "em", "labels": known}),
        "plots.png": (plots.png, {"figure": Figure(), "dots_per_inch": 20}),
        "plots.traces": (plots.traces, {"fits": {"em": em}, "ax": None}),
        "plots.parameter_errors": (plots.parameter_errors, {"table": _errors(), "ax": None}),
        "plots.calibration": (plots.calibration, {"calibration": _calibration(), "figure": None}),
        "estimator.PyroGaussianMixture": (
            lambda **given: PyroGaussianMixture(**given).fit(X),
            {name: getattr(PyroGaussianMixture(), name) for name in _constructor(estimator)},
        ),
        "estimator.PyroGaussianMixture by MAP": (
            lambda **given: PyroGaussianMixture(method="map", **given).fit(X),
            {"priors": None, "method_options": {"max_steps": 2}, "weights_init": None},
        ),
        "estimator.PyroGaussianMixture.fit": (
            PyroGaussianMixture().fit,
            {"X": X, "y": None, "sample_weight": np.ones(len(X))},
        ),
        "estimator.PyroGaussianMixture.predict": (estimator.predict, {"X": X}),
        "estimator.PyroGaussianMixture.predict_proba": (estimator.predict_proba, {"X": X}),
        "estimator.PyroGaussianMixture.fit_predict": (
            PyroGaussianMixture().fit_predict,
            {"X": X, "y": None, **weights},
        ),
        "estimator.PyroGaussianMixture.score_samples": (estimator.score_samples, {"X": X}),
        "estimator.PyroGaussianMixture.score": (estimator.score, {"X": X, "y": None, **weights}),
        "estimator.PyroGaussianMixture.bic": (estimator.bic, {"X": X, **weights}),
        "estimator.PyroGaussianMixture.aic": (estimator.aic, {"X": X, **weights}),
        "estimator.PyroGaussianMixture.sample": (estimator.sample, {"n_samples": 3}),
        "estimator.GaussianMixtureClassifier": (
            lambda **given: GaussianMixtureClassifier(**given).fit(X, known),
            {name: getattr(GaussianMixtureClassifier(), name) for name in _constructor(classifier)},
        ),
        "estimator.GaussianMixtureClassifier.fit": (
            GaussianMixtureClassifier().fit,
            {"X": X, "y": known, "sample_weight": np.ones(len(X))},
        ),
        "estimator.GaussianMixtureClassifier.predict": (classifier.predict, {"X": X}),
        "estimator.GaussianMixtureClassifier.predict_proba": (classifier.predict_proba, {"X": X}),
        "estimator.GaussianMixtureClassifier.predict_log_proba": (
            classifier.predict_log_proba,
            {"X": X},
        ),
        "estimator.GaussianMixtureClassifier.predict_joint_log_proba": (
            classifier.predict_joint_log_proba,
            {"X": X},
        ),
        "estimator.GaussianMixtureClassifier.score_samples": (classifier.score_samples, {"X": X}),
        "estimator.GaussianMixtureClassifier.bic": (
            classifier.bic,
            {"X": X, "y": known, **weights},
        ),
        "estimator.GaussianMixtureClassifier.aic": (
            classifier.aic,
            {"X": X, "y": known, **weights},
        ),
        "estimator.GaussianMixtureClassifier.sample": (classifier.sample, {"n_samples": 3}),
    }


def _parameters(mixture: gp.GaussianMixture) -> Arguments:
    names = ("weights", "means", "covariances")
    arrays = {name: getattr(mixture, name) for name in names}
    return {**arrays, "covariance": "full", "feature_names": ["a", "b"]}


def _constructor(estimator: Any) -> list[str]:
    return list(estimator.get_params())


def _sites_under(**given: Any) -> Any:
    """The sites of a model with priors: what is wrong with them is seen when it meets a model."""
    given = {name: value for name, value in given.items() if value is not None}
    return gp.MixtureModel(2, priors=gp.Priors(**given)).specialise(X).sites()


def _errors() -> pd.DataFrame:
    names = ("weight_error", "mean_error", "covariance_error")
    return pd.DataFrame({name: [0.1] for name in names}, index=["em"])


def _calibration() -> Any:
    ranks = {"mean": torch.arange(8)}
    return gp.calibration.Calibration("gibbs", ranks, 7)


# ---------------------------------------------------------------------- what is public

RESULTS = {  # that the package makes, and nobody else
    *("Band", "Calibration", "Comparison", "ExactPosterior", "Fit", "GewekeTest", "LogDensity"),
    *("Posterior", "Method", "Options", "Status", "FitWarning", "OptionError", "Quantities"),
    *("Estimate", "ParameterErrors"),
}
INNER = {  # which fits call over and over, with what other methods returned
    *(f"LogDensity.{name}" for name in ("log_jacobian", "log_likelihood", "log_prior")),
    *(f"LogDensity.{name}" for name in ("parameters", "unconstrain", "values")),
    *("Priors.covariance_sites", "Priors.sites", "GaussianMixture.from_parameters"),
    *(f"ConjugatePriors.{name}" for name in ("covariance_sites", "sites", "hyperparameters")),
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
        names = inspect.signature(function).parameters
    except (ValueError, TypeError):  # of an exception
        return False
    return any(name not in ("self", "cls") for name in names)


def _named(function: Callable[..., Any]) -> list[str]:
    """Arguments that have names, but for those that other rows of the table are about."""
    left_out = {"jacobian", "rows"} if isinstance(function, gp.LogDensity) else set()
    left_out |= {*inspect.signature(gp.MixtureModel.__call__).parameters, "by"}
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and name not in left_out
    ]


def group_of(name: str) -> str:
    return name.partition(".")[0].partition(" ")[0]


def test_every_public_function_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {name.partition(" ")[0] for name in calls()}
    assert set(public()) <= names | INNER
    assert not [name for name, (call, given) in calls().items() if set(_named(call)) - {*given}]
    assert {group_of(name) for name in names} == set(GROUPS)


# ---------------------------------------------------------------------- what comes of it


def values_for(argument: str, name: str) -> dict[str, Any]:
    """Some values for an argument of a call, the same in every run."""
    pool = ODD | (DATA if argument in POINTS else {})
    pool = {word: value for word, value in pool.items() if word not in FUNCTIONS}
    if argument == "n_init":  # as many starts are made, however many
        pool = {word: value for word, value in pool.items() if not word.startswith("10**")}
    count = 1 if name in SLOW and not CASES else VALUES
    words = Random(f"{name} {argument}").sample(list(pool), min(count, len(pool)))
    return {word: pool[word] for word in words}


def words_for(arguments: Arguments) -> tuple[str, ...]:
    """What a refusal may name: an argument, or what it holds."""
    return (*arguments, "feature", "column", "fit ", "data ", "mixtures", "prior of", "x ")


def faults_of(name: str, call: Callable[..., Any], arguments: Arguments) -> Iterator[str]:
    """What is wrong with how a function takes right arguments, and wrong ones."""
    own = SKLEARN if name.startswith("estimator.") else ()
    wrong = [({}, "all right")]
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
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.chdir(tmp_path)
    called = {name: call for name, call in calls().items() if group_of(name) == group}
    faults = [fault for name, call in called.items() for fault in faults_of(name, *call)]
    assert called
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("first", range(0, FITS, 10))
def test_fits_give_a_result_or_name_the_argument(first: int, one_thread: None) -> None:
    faults = {}
    for seed in range(first, first + 10):
        case, call = drawn_fit(seed)
        faults[f"{seed}: {case}"] = fault_of(call, *names_of_fits())
    faults = {case: fault for case, fault in faults.items() if fault is not None}
    assert not faults, "\n".join(f"{case}: {fault}" for case, fault in faults.items())
