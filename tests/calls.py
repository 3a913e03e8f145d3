"""Every public function and method that takes arguments, with arguments of the right kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import distributed

import gmm_pyro as gp
from arguments import X
from gmm_pyro import plots
from gmm_pyro.estimator import (
    GaussianMixtureClassifier,
    GMMRegressor,
    PyroBayesianGaussianMixture,
    PyroGaussianMixture,
)
from runs import quietly
from studied import HerePool, made_up
from unknown_fits import unknown

Asked = tuple[Callable[..., Any], Mapping[str, Any]]

KNOWN = X[:, 0] > 2  # classes
EYE = np.eye(X.shape[1])
WEIGHTS = {"sample_weight": np.ones(len(X))}
PLACE = {"dtype": "float64", "device": "cpu"}
DRAWN = {"n": 5, "seed": 0}


def asked(function: Callable[..., Any], **arguments: Any) -> Asked:
    """A function, and arguments of the right kind."""
    return function, arguments


# ---------------------------------------------------------------------- what methods are called on


@cache
def fitted(method: str) -> gp.Fit:
    options = {"em": {"n_starts": 1}, "gibbs": {"n_draws": 9, "n_chains": 2, "n_warmup": 5}}
    with quietly():
        return gp.fit(gp.MixtureModel(2), X, method, **options[method])


@cache
def combined() -> gp.Combination:
    return fitted("em").combine()


@cache
def compared() -> gp.Comparison:
    return gp.compare(gp.MixtureModel(1), X, ["kmeans", "em"])


def no_sites() -> dict[str, torch.Tensor]:
    """A prior program that leaves all sites to their defaults."""
    return {}


def concrete_model() -> gp.MixtureModel:
    prior = gp.ConjugatePriors(mean=0.0, spread=torch.ones(1))
    return gp.MixtureModel(1, priors=prior)


def of_mixtures() -> dict[str, Asked]:
    """Mixtures: made, asked at points, taken apart, drawn from, saved."""
    em = fitted("em")
    mixture = em.mixture
    weighted = {"x": X, **WEIGHTS}
    module = gp.MixtureModule(mixture)
    return {
        "GaussianMixture": asked(
            gp.GaussianMixture,
            **parameters_of(mixture),
            noise_component=gp.UniformBox([-9.0, -9.0], [9.0, 9.0]),
            noise_weight=0.1,
        ),
        "GaussianMixture.noise_probability": asked(
            mixture.noise_probability, x=X, noise=0.5, projection=EYE, labels=KNOWN
        ),
        "UniformBox": asked(
            gp.UniformBox,
            **{"low": [-9.0], "high": [9.0], "concentration": (1.0, 2.0), "of_data": False},
            feature_names=["x0"],
        ),
        "WideGaussian": asked(
            gp.WideGaussian,
            **{"covariance": [9.0], "mean": [0.0], "concentration": (1.0, 2.0)},
            feature_names=["x0"],
        ),
        "GaussianMixture.log_prob": asked(
            mixture.log_prob, x=X, noise=0.5, projection=EYE, labels=KNOWN
        ),
        "GaussianMixture.responsibilities": asked(
            mixture.responsibilities, x=X, noise=0.5, projection=EYE, labels=KNOWN
        ),
        "GaussianMixture.predict": asked(
            mixture.predict, x=X, noise=0.5, projection=EYE, labels=KNOWN
        ),
        "GaussianMixture.impute": asked(
            mixture.impute, x=X, noise=0.5, projection=EYE, n_draws=2, seed=0
        ),
        "GaussianMixture.conditionals": asked(mixture.conditionals, x=X, features=["x1"]),
        "GaussianMixture.criteria": asked(
            mixture.criteria, noise=0.5, projection=EYE, labels=KNOWN, **weighted
        ),
        "GaussianMixture.bic": asked(
            mixture.bic, noise=0.5, projection=EYE, labels=KNOWN, **weighted
        ),
        "GaussianMixture.aic": asked(
            mixture.aic, noise=0.5, projection=EYE, labels=KNOWN, **weighted
        ),
        "GaussianMixture.icl": asked(
            mixture.icl, noise=0.5, projection=EYE, labels=KNOWN, **weighted
        ),
        "GaussianMixture.sample": asked(mixture.sample, **DRAWN),
        "GaussianMixture.sample_labelled": asked(mixture.sample_labelled, **DRAWN),
        "GaussianMixture.marginal": asked(mixture.marginal, features=["x1"]),
        "GaussianMixture.conditional": asked(mixture.conditional, features=["x1"], values=[0.5]),
        "GaussianMixture.permute": asked(mixture.permute, order=[1, 0]),
        "GaussianMixture.in_order_of": asked(mixture.in_order_of, names=["x1", "x0"]),
        "GaussianMixture.save": asked(mixture.save, path="mixture.json"),
        "GaussianMixture.load": asked(gp.GaussianMixture.load, path=mixture.save("other.json")),
        "MixtureModule": asked(gp.MixtureModule, mixture=mixture),
        "MixtureModule.forward": asked(module.forward, x=torch.tensor(X)),
    }


def of_models() -> dict[str, Asked]:
    """Models and priors."""
    model, concrete = gp.MixtureModel(2), concrete_model()
    density = model.log_density(X)
    vector = torch.zeros(2, density.dimension, dtype=torch.float64)
    return {
        "MixtureModel": asked(
            gp.MixtureModel,
            **{"n_components": 2, "covariance": "full", "priors": None, "prefix": "left_"},
            noise_component=None,
        ),
        "MixtureModel.standardised": asked(model.standardised, n_features=2),
        "MixtureModel.specialise": asked(model.specialise, x=X),
        "MixtureModel.log_density": asked(model.log_density, x=X),
        "MixtureModel.sites": asked(concrete.sites, like=None),
        "MixtureModel.__call__": asked(
            model,
            x=X,
            subsample_size=5,
            sample_weight=np.ones(len(X)),
            noise=0.5,
            projection=EYE,
            labels=KNOWN,
        ),
        "MixtureModel.__call__ without data": asked(concrete, n=5),
        "MixtureModel.__call__ collapsed": asked(
            model, x=X, sample_weight=np.ones(len(X)), noise=0.5, collapsed=True
        ),
        "Priors": asked(gp.Priors, **dict.fromkeys(f.name for f in fields(gp.Priors))),
        "Priors.weakly_informative": asked(gp.Priors.weakly_informative, x=X),
        "Priors.scaled_to": asked(gp.Priors().scaled_to, observations=X),
        "Priors of sites": asked(sites_under, **dict.fromkeys(f.name for f in fields(gp.Priors))),
        "PriorProgram": asked(
            gp.PriorProgram, program=no_sites, location=None, spread=None, feature_names=["a", "b"]
        ),
        "PriorProgram.scaled_to": asked(gp.PriorProgram(no_sites).scaled_to, observations=X),
        "ConjugatePriors": asked(
            gp.ConjugatePriors,
            concentration=1.0,
            mean=0.0,
            mean_strength=1.0,
            dof=5,
            scale=1.0,
            mean_scale=1.0,
            spread=[1.0, 2.0],
            feature_names=["a", "b"],
        ),
        "Unknown": asked(gp.Unknown, prior="poisson(1)", most=4),
        "Static": asked(gp.Static, value=0.5),
        "Dynamic": asked(gp.Dynamic, value=0.5),
        "DirichletProcess": asked(gp.DirichletProcess, value=0.5),
        "RandomScale": asked(gp.RandomScale, dof=3.0, mean=1.0),
        "ConjugatePriors.weakly_informative": asked(gp.ConjugatePriors.weakly_informative, x=X),
        "ConjugatePriors.scaled_to": asked(gp.ConjugatePriors().scaled_to, observations=X),
        "LogDensity.__call__": asked(density, vector=vector),
        "LogDensity.constrain": asked(density.constrain, vector=vector),
    }


def of_data_sets() -> dict[str, Asked]:
    """Data sets."""
    dataset = gp.datasets.bimodal()
    return {
        "Dataset": asked(
            gp.Dataset,
            x=dataset.x,
            labels=dataset.labels,
            truth=dataset.truth,
            name="mine",
            feature_names=("a",),
            sample_weight=None,
        ),
        "Dataset.subset": asked(dataset.subset, rows=[0, 2]),
        "Dataset.held_out": asked(dataset.held_out, **DRAWN),
        "datasets.three_clusters": asked(gp.datasets.three_clusters, seed=1),
        "datasets.bimodal": asked(gp.datasets.bimodal, seed=1),
        "datasets.tight_and_diffuse": asked(gp.datasets.tight_and_diffuse, seed=1),
        "datasets.anisotropic": asked(gp.datasets.anisotropic, seed=1),
        "datasets.dataset_named": asked(gp.datasets.dataset_named, name="bimodal", seed=1),
        "datasets.make_mixture": asked(
            gp.datasets.make_mixture,
            n=9,
            d=2,
            k=2,
            separation=1.0,
            covariance="full",
            imbalance=0.1,
            outliers=0.1,
            seed=0,
        ),
    }


def of_designs() -> dict[str, Asked]:
    """Designs, and the overlap of mixtures."""
    sizes, designs = {"n": [5, 9], "d": 2, "k": 2, "replicates": 2, "name": "mine"}, gp.designs
    design = designs.separated(**{**sizes, "separation": [1.0, 2.0]})
    skewed = designs.separated(n=5, d=2, k=2, separation=1.0, skew=1.0)
    skewed = skewed.draw(skewed.settings()[0], 0)
    mixture = gp.datasets.bimodal().truth
    return {
        "designs.Design": asked(
            designs.Design, kind="resampled", factors={"data": ["iris"]}, replicates=1, name="mine"
        ),
        "designs.Design.draw": asked(design.draw, setting=design.settings()[0], seed=0),
        "designs.Design.from_dict": asked(designs.Design.from_dict, written=design.to_dict()),
        "designs.overlapping": asked(
            designs.overlapping, **sizes, overlap=0.1, largest_overlap=[0.2]
        ),
        "designs.separated": asked(designs.separated, **sizes, separation=1.0),
        "designs.resampled": asked(
            designs.resampled, data="iris", n=5, replace=False, replicates=2, name="mine"
        ),
        "designs.NotGaussian.held_out": asked(skewed.held_out, **DRAWN),
        "designs.NotGaussian.subset": asked(skewed.subset, rows=[0, 2]),
        "designs.overlap": asked(designs.overlap, mixture=mixture),
        "designs.mean_overlap": asked(designs.mean_overlap, mixture=mixture),
        "designs.largest_overlap": asked(designs.largest_overlap, mixture=mixture),
    }


def of_fits() -> dict[str, Asked]:
    """Fits and comparisons."""
    model, comparison, drawn = gp.MixtureModel(2), compared(), fitted("gibbs")
    return {
        "Fit.to_arviz": asked(
            drawn.to_arviz,
            n_prior_draws=3,
            constants=False,
            by_feature=False,
            n_filled=None,
            components=True,
        ),
        "fit": asked(
            lambda model, x, method, **of_data: gp.fit(
                model, x, method, n_starts=1, max_steps=2, **of_data
            ),
            model=model,
            x=X,
            method="em",
            missing="integrate",
            noise=0.5,
            projection=EYE,
            labels=KNOWN,
            fixed={"weights": [0.5, 0.5]},
            checkpoint=None,
            checkpoint_seconds=60.0,
            **WEIGHTS,
            **PLACE,
        ),
        "compare": asked(
            gp.compare,
            model=gp.MixtureModel(1),
            data=X,
            methods=["em"],
            missing="integrate",
            noise=0.5,
            projection=EYE,
            labels=[-1] * len(X),
            fixed={"means": [[0.0] * X.shape[1]]},
            seed=0,
            test_size=0.5,
            progress=False,
            options={"em": {"n_starts": 1}},
            **WEIGHTS,
            **PLACE,
        ),
        "Comparison.density_distances": asked(comparison.density_distances, **DRAWN),
        "Comparison.save": asked(comparison.save, folder="results", posteriors=False),
        "Comparison.report": asked(comparison.report, path="report.html", command="make"),
    }


def of_combinations() -> dict[str, Asked]:
    """Components merged into clusters."""
    em, found = fitted("em"), combined()
    return {
        "combine": asked(
            gp.combine,
            mixture=em.mixture,
            x=X,
            by="overlap",
            threshold=0.1,
            noise=0.5,
            projection=EYE,
            labels=KNOWN,
            **WEIGHTS,
        ),
        "Fit.combine": asked(em.combine, by="overlap", threshold=0.1),
        "Combination.clusters": asked(found.clusters, n_clusters=2),
        "Combination.labels": asked(found.labels, n_clusters=2),
        "Combination.responsibilities": asked(found.responsibilities, n_clusters=2),
        "Combination.predict": asked(
            found.predict, x=X, n_clusters=2, noise=0.5, projection=EYE, labels=KNOWN
        ),
        "Combination.mixtures": asked(found.mixtures, n_clusters=2),
        "Combination.plot": asked(found.plot, n_clusters=2),
    }


def of_selections() -> dict[str, Asked]:
    """Selections."""
    found = gp.select(X, k=[1, 2], covariance="full")
    return {
        "select": asked(
            gp.select,
            x=X,
            k=[1, 2],
            covariance=["VVV", "EEE"],
            criterion="icl",
            method="em",
            priors=None,
            noise_component=None,
            n_folds=None,
            n_resamples=None,
            seed=0,
            feature_names=["a", "b"],
            missing="refuse",
            labels=None,
            fixed=None,
            progress=False,
            **PLACE,
            **WEIGHTS,
        ),
        "select of held-out points": asked(
            gp.select,
            k=[2],
            x=X,
            covariance="EII",
            criterion="cross_validation",
            noise_component="uniform",
            n_folds=2,
            labels=KNOWN,
            fixed={"weights": [0.4]},
            n_starts=1,
        ),
        "select of resamples": asked(
            gp.select, k=[2], x=X, covariance="EII", criterion="stability", n_resamples=3
        ),
        "Selection.grid": asked(found.grid, criterion="aic", sign="own"),
        "Selection.cell": asked(found.cell, k=2, covariance="VVV"),
        "Selection.fit": asked(found.fit, k=2, covariance="VVV"),
        "Selection.plot": asked(found.plot, criterion="bic", sign="mclust", ax=None),
        "Selection.report": asked(found.report, path="page.html", name="mine", command="make"),
    }


def of_one_rank(x: Any, dtype: Any) -> Any:
    """The points of a process group of one rank, which is there as long as this takes."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        return gp.across_ranks(x, dtype=dtype)
    finally:
        distributed.destroy_process_group()


def of_trees() -> dict[str, Asked]:
    """Trees of merges, and points on ranks."""
    tree = gp.agglomerate(X)
    return {
        "across_ranks": asked(of_one_rank, x=X, dtype="float64"),
        "agglomerate": asked(
            gp.agglomerate,
            x=X,
            criterion="VII",
            coordinates="whitened",
            feature_names=["a", "b"],
            seed=0,
            **WEIGHTS,
        ),
        "Agglomeration.labels": asked(tree.labels, k=2),
        "Agglomeration.plot": asked(tree.plot, k=2, ax=None),
        "plots.dendrogram": asked(plots.dendrogram, tree=tree, k=2, ax=None),
    }


def of_posteriors() -> dict[str, Asked]:
    """Draws."""
    posterior, mixture = fitted("gibbs").posterior, fitted("em").mixture
    return {
        "Posterior.assignments": asked(posterior.assignments, x=X, seed=0),
        "Posterior.co_clustering": asked(posterior.co_clustering, rows=[0, 2], max_draws=5),
        "Posterior.density_band": asked(
            posterior.density_band, grid=[0.0, 1.0], prob=0.5, feature="x1"
        ),
        "Posterior.of_filled": asked(unknown().posterior.of_filled, k=2),  # type: ignore[union-attr]
        "Posterior.partition": asked(posterior.partition, loss="vi", rows=[0, 2], max_draws=5),
        "Posterior.predictive_density": asked(posterior.predictive_density, x=X, prob=0.5),
        "Posterior.relabel": asked(posterior.relabel, method="ecr", like=mixture, within=[0, 1]),
        "Posterior.relabel in order": asked(
            lambda by: posterior.relabel("ordered", by=by), by="means"
        ),
        "Posterior.sample_predictive": asked(posterior.sample_predictive, **DRAWN),
        "Posterior.thinned": asked(posterior.thinned, every=2),
    }


def of_resamples() -> dict[str, Asked]:
    """The bootstrap of parameters, and of the number of components."""
    one = gp.fit(gp.MixtureModel(1), X, n_starts=1)
    with quietly():
        resampled = gp.bootstrap(one, 9)
    return {
        "bootstrap": asked(
            lambda n, **given: gp.bootstrap(n=few(n), **given),
            fit=one,
            n=9,
            kind="weighted",
            seed=0,
            tolerance=1e-3,
            max_steps=5,
        ),
        "bootstrap_lrt": asked(
            lambda n, **given: gp.bootstrap_lrt(n=few(n), n_starts=1, max_steps=2, **given),
            x=X,
            k=[1, 2],
            covariance="full",
            n=19,
            level=0.05,
            seed=0,
        ),
        "Bootstrap.intervals": asked(resampled.intervals, level=0.9, kind="basic"),
        "Bootstrap.table": asked(resampled.table, level=0.9, kind="basic"),
    }


def few(n: Any) -> Any:
    """What is given, unless it would take minutes."""
    return n if not isinstance(n, int | np.integer) or n < 10**3 or n > 10**6 else 10**3


def of_calibration() -> dict[str, Asked]:
    """Tests of posteriors."""
    model, concrete = gp.MixtureModel(2), concrete_model()
    exact = gp.calibration.exact_posterior(model, X[:4, 0])
    return {
        "calibration.simulation_based_calibration": asked(
            gp.calibration.simulation_based_calibration,
            model=concrete,
            method="gibbs",
            n_points=3,
            n_datasets=2,
            n_draws=2,
            seed=0,
            quantities=None,
            n_warmup=1,
            thin=1,
            exchange=True,
        ),
        "calibration.geweke": asked(
            gp.calibration.geweke,
            model=concrete,
            sweep=None,
            n_points=3,
            n_chains=3,
            n_sweeps=2,
            seed=0,
            quantities=None,
        ),
        "calibration.exact_posterior": asked(gp.calibration.exact_posterior, model=model, x=X[:4]),
        "calibration.default_quantities": asked(
            gp.calibration.default_quantities, model=concrete, seed=0
        ),
        "calibration.ExactPosterior.log_predictive": asked(exact.log_predictive, points=[0.0, 1.0]),
    }


def of_scores() -> dict[str, Asked]:
    """Scores of labels and mixtures."""
    mixture = fitted("em").mixture
    scores = {"mixture": mixture, "x": X, **WEIGHTS}
    labelled = {"labels": KNOWN, "predicted": KNOWN.astype(int), **WEIGHTS}
    return {
        "metrics.adjusted_rand": asked(gp.metrics.adjusted_rand, **labelled),
        "metrics.normalised_mutual_information": asked(
            gp.metrics.normalised_mutual_information, **labelled
        ),
        "metrics.accuracy": asked(gp.metrics.accuracy, **labelled),
        "metrics.match_components": asked(
            gp.metrics.match_components, mixture=mixture, truth=mixture
        ),
        "metrics.parameter_errors": asked(
            gp.metrics.parameter_errors, mixture=mixture, truth=mixture
        ),
        "metrics.mean_log_density": asked(gp.metrics.mean_log_density, **scores),
        "metrics.kl_divergence": asked(
            gp.metrics.kl_divergence, truth=mixture, mixture=mixture, **DRAWN
        ),
        "metrics.mixture_wasserstein": asked(gp.metrics.mixture_wasserstein, a=mixture, b=mixture),
        "metrics.bic": asked(gp.metrics.bic, **scores),
        "metrics.aic": asked(gp.metrics.aic, **scores),
        "metrics.icl": asked(gp.metrics.icl, **scores),
    }


def of_pictures() -> dict[str, Asked]:
    """Pictures."""
    em, gibbs, comparison = fitted("em"), fitted("gibbs"), compared()
    posterior = gibbs.posterior
    return {
        "plots.scatter": asked(
            plots.scatter,
            x=X,
            labels=KNOWN,
            ax=None,
            feature_names=["$", "b"],
            features=[0],
            **WEIGHTS,
        ),
        "plots.clusters": asked(
            plots.clusters, fit=gibbs, x=X, ax=None, labels=KNOWN, features=0, **WEIGHTS
        ),
        "plots.responsibilities": asked(
            plots.responsibilities, fit=em, x=X, ax=None, labels=KNOWN, features=0
        ),
        "plots.density": asked(plots.density, fit=em, ax=None, x=X, features=None, **WEIGHTS),
        "plots.number_of_components": asked(
            plots.number_of_components, fit=unknown(), ax=None, evidence=None
        ),
        "plots.density_band": asked(
            plots.density_band, posterior=posterior, ax=None, feature=0, prob=0.5
        ),
        "plots.posterior_ellipses": asked(
            plots.posterior_ellipses, posterior=posterior, ax=None, features=0, n_draws=2
        ),
        "plots.label_traces": asked(plots.label_traces, posterior=posterior, axes=None, by="means"),
        "plots.co_clustering": asked(
            plots.co_clustering, posterior=posterior, ax=None, loss="vi", max_points=5
        ),
        "plots.combination": asked(
            plots.combination, combination=combined(), n_clusters=2, features=[0], figure=None
        ),
        "plots.merging_tree": asked(
            plots.merging_tree, combination=combined(), n_clusters=2, ax=None
        ),
        "plots.merging_elbow": asked(plots.merging_elbow, combination=combined(), ax=None),
        "plots.combined_clusters": asked(
            plots.combined_clusters, combination=combined(), n_clusters=2, ax=None, features=0
        ),
        "plots.comparison_figure": asked(
            plots.comparison_figure,
            x=X,
            fits={"em": em},
            labels=KNOWN,
            feature_names=None,
            figure=None,
            **WEIGHTS,
        ),
        "plots.comparison_figures": asked(
            plots.comparison_figures,
            x=X,
            fits={"em": em},
            table=comparison.table,
            labels=KNOWN,
            **WEIGHTS,
            feature_names=None,
        ),
        "plots.fit_figures": asked(plots.fit_figures, fit=em, name="em", labels=KNOWN),
        "plots.png": asked(plots.png, figure=Figure(), dots_per_inch=20),
        "plots.traces": asked(plots.traces, fits={"em": em}, ax=None),
        "plots.plot_solutions": asked(plots.plot_solutions, fit=em, ax=None),
        "plots.parameter_errors": asked(plots.parameter_errors, table=errors(), ax=None),
        "plots.calibration": asked(plots.calibration, calibration=ranked(), figure=None),
    }


def of_estimators() -> dict[str, Asked]:
    """scikit-learn's interface."""
    estimator = PyroGaussianMixture(2, random_state=0).fit(X)
    bayesian = PyroBayesianGaussianMixture(n_components=2, tol=1.0, random_state=0).fit(X)
    classifier = GaussianMixtureClassifier(random_state=0).fit(X, KNOWN)
    regressor = GMMRegressor(random_state=0).fit(X, KNOWN)
    return {
        "estimator.PyroGaussianMixture": asked(
            lambda **given: PyroGaussianMixture(**given).fit(X), **constructor_of(estimator)
        ),
        "estimator.PyroGaussianMixture by MAP": asked(
            lambda **given: PyroGaussianMixture(method="map", **given).fit(X),
            priors=None,
            method_options={"max_steps": 2},
            weights_init=None,
        ),
        "estimator.PyroGaussianMixture by a search": asked(
            lambda **given: PyroGaussianMixture(2, **given).fit(X),
            search="starts",
            method_options={"max_steps": 2},
            n_init=2,
            means_init=None,
        ),
        "estimator.PyroGaussianMixture chosen by BIC": asked(
            lambda **given: PyroGaussianMixture("auto", **given).fit(X[:, :1]),
            **{"covariance_type": "tied", "max_iter": 5, "n_init": 2, "warm_start": False},
            method_options={"tolerance": 1e-3},
        ),
        "estimator.PyroGaussianMixture.fit": asked(
            PyroGaussianMixture().fit, X=X, y=None, sample_weight=np.ones(len(X))
        ),
        "estimator.PyroGaussianMixture.predict": asked(estimator.predict, X=X),
        "estimator.PyroGaussianMixture.predict_proba": asked(estimator.predict_proba, X=X),
        "estimator.PyroGaussianMixture.fit_predict": asked(
            PyroGaussianMixture().fit_predict, X=X, y=None, **WEIGHTS
        ),
        "estimator.PyroGaussianMixture.score_samples": asked(estimator.score_samples, X=X),
        "estimator.PyroGaussianMixture.score": asked(estimator.score, X=X, y=None, **WEIGHTS),
        "estimator.PyroGaussianMixture.bic": asked(estimator.bic, X=X, **WEIGHTS),
        "estimator.PyroGaussianMixture.aic": asked(estimator.aic, X=X, **WEIGHTS),
        "estimator.PyroGaussianMixture.sample": asked(estimator.sample, n_samples=3),
        "estimator.PyroBayesianGaussianMixture": asked(
            lambda **given: PyroBayesianGaussianMixture(**given).fit(X), **constructor_of(bayesian)
        ),
        "estimator.PyroBayesianGaussianMixture by a search": asked(
            lambda **given: PyroBayesianGaussianMixture(n_components=2, **given).fit(X),
            **{"search": "starts", "n_init": 2, "tol": 1e-3, "weight_concentration_prior": None},
            **{"mean_precision_prior": None, "degrees_of_freedom_prior": None},
            method_options={"max_steps": 2, "n_draws": 2},
        ),
        "estimator.PyroBayesianGaussianMixture.fit": asked(
            PyroBayesianGaussianMixture().fit, X=X, y=None, **WEIGHTS
        ),
        "estimator.PyroBayesianGaussianMixture.fit_predict": asked(
            PyroBayesianGaussianMixture().fit_predict, X=X, y=None, **WEIGHTS
        ),
        "estimator.PyroBayesianGaussianMixture.predict": asked(bayesian.predict, X=X),
        "estimator.PyroBayesianGaussianMixture.predict_proba": asked(bayesian.predict_proba, X=X),
        "estimator.PyroBayesianGaussianMixture.score_samples": asked(bayesian.score_samples, X=X),
        "estimator.PyroBayesianGaussianMixture.score": asked(
            bayesian.score, X=X, y=None, **WEIGHTS
        ),
        "estimator.PyroBayesianGaussianMixture.sample": asked(bayesian.sample, n_samples=3),
        "estimator.GaussianMixtureClassifier": asked(
            lambda **given: GaussianMixtureClassifier(**given).fit(X, KNOWN),
            **constructor_of(classifier),
        ),
        "estimator.GaussianMixtureClassifier.fit": asked(
            GaussianMixtureClassifier().fit, X=X, y=KNOWN, sample_weight=np.ones(len(X))
        ),
        "estimator.GaussianMixtureClassifier.predict": asked(classifier.predict, X=X),
        "estimator.GaussianMixtureClassifier.predict_proba": asked(classifier.predict_proba, X=X),
        "estimator.GaussianMixtureClassifier.predict_log_proba": asked(
            classifier.predict_log_proba, X=X
        ),
        "estimator.GaussianMixtureClassifier.predict_joint_log_proba": asked(
            classifier.predict_joint_log_proba, X=X
        ),
        "estimator.GaussianMixtureClassifier.score_samples": asked(classifier.score_samples, X=X),
        "estimator.GaussianMixtureClassifier.bic": asked(classifier.bic, X=X, y=KNOWN, **WEIGHTS),
        "estimator.GaussianMixtureClassifier.aic": asked(classifier.aic, X=X, y=KNOWN, **WEIGHTS),
        "estimator.GaussianMixtureClassifier.sample": asked(classifier.sample, n_samples=3),
        "estimator.GMMRegressor": asked(
            lambda **given: GMMRegressor(**given).fit(X, KNOWN), **constructor_of(regressor)
        ),
        "estimator.GMMRegressor.fit": asked(
            GMMRegressor().fit, X=X, y=KNOWN, sample_weight=np.ones(len(X))
        ),
        "estimator.GMMRegressor.conditionals": asked(regressor.conditionals, X=X),
        "estimator.GMMRegressor.predict": asked(regressor.predict, X=X, return_std=True),
        "estimator.GMMRegressor.predict_quantile": asked(
            regressor.predict_quantile, X=X, quantiles=[0.5]
        ),
        "estimator.GMMRegressor.predict_log_density": asked(
            regressor.predict_log_density, X=X, y=KNOWN
        ),
        "estimator.GMMRegressor.sample_y": asked(regressor.sample_y, X=X, n_samples=3),
    }


def of_studies() -> dict[str, Asked]:
    """Studies, one of which has been run, so that running it again starts no worker."""
    study = gp.Study(gp.datasets.bimodal(), ["kmeans"], metrics=["ari"])
    with patch("gmm_pyro.study.study.Pool", HerePool):
        done = study.run("study")
    text = gp.Study(gp.datasets.iris(), ["em"]).to_toml()
    numbers = np.random.default_rng(0).normal(size=(2, 2, 3))
    found = made_up({"a": numbers[0], "b": numbers[1]}, {"k": (2, 3)})
    return {
        "Study": asked(
            gp.Study,
            data=gp.datasets.bimodal(),
            methods=["em"],
            metrics="all",
            seed=0,
            timeout=None,
            covariance="full",
            priors=None,
            shared_start=False,
            level=0.9,
        ),
        "Study.run": asked(
            study.run, folder=done.folder, n_jobs=1, client=None, shuffle=False, progress=False
        ),
        "Study.from_toml": asked(gp.Study.from_toml, text=text, base=done.folder),
        "StudyResults.load": asked(gp.StudyResults.load, folder=done.folder),
        "StudyResults.table": asked(found.table, by=["k"], measures=["ari"], of="mean"),
        "StudyResults.differences": asked(
            found.differences, measure="ari", baseline="a", methods=["b"], by="k", level=0.9
        ),
        "StudyResults.ranks": asked(found.ranks, measure="ari", failures="last", alpha=0.1),
        "StudyResults.profile": asked(
            found.profile, measure="ari", within="difference", taus=[0.1]
        ),
        "StudyResults.effects": asked(
            found.effects, measure="ari", factors="k", baseline="a", level=0.9, log=False
        ),
        "StudyResults.plot": asked(
            found.plot,
            **{"measure": "ari", "x": "k", "by": None, "methods": ["a"], "of": "mean"},
            level=0.9,
            width="page",
            figure=None,
        ),
        "StudyResults.report": asked(
            found.report, path="study.html", measures=["ari"], baseline="a", command=None
        ),
        "plots.study_lines": asked(
            plots.study_lines,
            **{"summary": found.table(["k", "method"]), "x": "k", "figure": None},
            **{"measure": "ari", "methods": ["a"], "level": 0.9, "width": "page"},
        ),
        "plots.critical_differences": asked(
            plots.critical_differences, ranks=found.ranks("ari"), ax=None, width="page"
        ),
        "plots.performance_profile": asked(
            plots.performance_profile,
            **{"profile": found.profile("ari"), "ax": None, "order": ["a", "b"], "width": "page"},
        ),
        "plots.differences": asked(
            plots.differences, differences=found.differences("ari"), ax=None, width="page"
        ),
    }


# ---------------------------------------------------------------------- arguments


def parameters_of(mixture: gp.GaussianMixture) -> dict[str, Any]:
    names = ("weights", "means", "covariances")
    arrays = {name: getattr(mixture, name) for name in names}
    return {**arrays, "covariance": "full", "feature_names": ["a", "b"]}


def constructor_of(estimator: Any) -> dict[str, Any]:
    return type(estimator)().get_params()


def sites_under(**given: Any) -> Any:
    """The sites of a model with priors: what is wrong with them is seen when it meets a model."""
    given = {name: value for name, value in given.items() if value is not None}
    return gp.MixtureModel(2, priors=gp.Priors(**given)).specialise(X).sites()


def errors() -> pd.DataFrame:
    names = ("weight_error", "mean_error", "covariance_error")
    return pd.DataFrame({name: [0.1] for name in names}, index=["em"])


def ranked() -> gp.calibration.Calibration:
    return gp.calibration.Calibration("gibbs", {"mean": torch.arange(8)}, 7)


GROUPS: dict[str, Callable[[], dict[str, Asked]]] = {
    function.__name__.removeprefix("of_"): function
    for function in (
        *(of_mixtures, of_models, of_data_sets, of_designs, of_fits, of_trees, of_combinations),
        *(of_selections, of_resamples, of_posteriors),
        *(of_calibration, of_scores, of_pictures, of_estimators, of_studies),
    )
}
