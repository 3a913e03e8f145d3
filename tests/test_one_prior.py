"""Evidences of known numbers of components beside the posterior of an unknown one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from matplotlib.figure import Figure
from scipy.special import softmax

import gmm_pyro as gp
from gmm_pyro import plots
from gmm_pyro.calibration import exact_posterior
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.weighing.deciding import WAITING
from gmm_pyro.model.one_prior import difference
from gmm_pyro.plots.evidences import are_the_same, by_evidence, implied
from gmm_pyro.plots.sizes import BY_EVIDENCE, WORDS
from runs import quietly
from telescopes import X2, X

NUMBERS: dict[str, Any] = {"concentration": 0.7, "mean_strength": 0.3, "scale": 0.5}
PRIORS = gp.ConjugatePriors(**NUMBERS)
UNKNOWN = gp.Unknown("poisson(1)", most=6)
SHORT = {"n_draws": 100, "n_warmup": 20, "max_doublings": 0}
BRIEF = {"n_draws": 2, "n_warmup": 2, "max_doublings": 0}


@cache
def fitted() -> gp.Fit:
    with quietly():
        model = gp.MixtureModel(UNKNOWN, priors=PRIORS)
        return gp.fit(model, X, "gibbs", n_chains=150, **{**SHORT, "n_draws": 40})


@cache
def selected() -> gp.selection.Selection:
    with quietly():
        return gp.select(X, range(1, 4), "full", "evidence", "gibbs", priors=PRIORS, **SHORT)


class TestNumbers:
    def test_exact_evidences_have_the_exact_posterior(self) -> None:
        exact = exact_posterior(gp.MixtureModel(UNKNOWN, priors=PRIORS), X).components.numpy()
        known = [exact_posterior(gp.MixtureModel(k, priors=PRIORS), X) for k in range(1, 7)]
        log_evidence = np.array([one.log_evidence for one in known])
        found = implied(np.arange(1, 7), log_evidence, np.zeros(6), UNKNOWN.log_prior.numpy())
        np.testing.assert_allclose(found.probability, exact, rtol=1e-9)
        np.testing.assert_array_equal(found.se, 0.0)

    def test_fits_whose_evidence_waits_are_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of two numbers; four standard errors."""
        monkeypatch.setattr("gmm_pyro.inference.weighing.sequential.PASSES", 1)
        fits = [selected().cell(k, "full").fitted for k in (1, 2)]
        told = {name: v for name, v in fits[1].diagnostics.items() if name != "log_evidence"}
        fits[1] = replace(fits[1], diagnostics={**told, "evidence_by": WAITING})
        found = by_evidence(fitted(), fits)
        known = [exact_posterior(gp.MixtureModel(k, priors=PRIORS), X) for k in (1, 2)]
        log_p = np.array([one.log_evidence for one in known]) + UNKNOWN.log_prior.numpy()[:2]
        assert (found.se > 0).all()
        assert (abs(found.probability - softmax(log_p)) < 4 * found.se).all()
        assert fits[1].evidence.evidence_by == "sequential Monte Carlo"

    def test_errors_are_those_of_noisy_evidences(self) -> None:
        se, rng = np.array([0.01, 0.02, 0.005]), np.random.default_rng(0)
        log_evidence, flat = np.array([0.3, 0.0, 1.0]), np.zeros(3)
        found = implied(np.arange(3), log_evidence, se, flat)
        noisy = (log_evidence + se * rng.standard_normal((20_000, 3))).T
        spread = (np.exp(noisy) / np.exp(noisy).sum(0)).std(1)
        np.testing.assert_allclose(found.se, spread, rtol=0.03)


class TestPicture:
    def test_both_are_near_the_exact_posterior(self) -> None:
        """Bars of draws, and of evidences, each within 4 of its standard errors."""
        exact = exact_posterior(gp.MixtureModel(UNKNOWN, priors=PRIORS), X).components.numpy()
        ax = plots.number_of_components(fitted(), Figure().subplots(), evidence=selected())
        bars = {one.get_label(): one for one in ax.containers if one.get_label() in WORDS.values()}
        assert list(bars) == ["components in all", WORDS[BY_EVIDENCE]]
        by_draws, by_evidences = (
            np.array([bar.get_height() for bar in one]) for one in bars.values()
        )
        table = fitted().number_of_components
        errors = table["n_components_se"].to_numpy()[:3]
        assert (np.abs(by_draws[:3] - exact[:3]) < 4 * errors).all()
        found = by_evidence(fitted(), [selected().cell(k, "full").fitted for k in range(1, 4)])
        share = table["n_components"].loc[1:3].sum()
        np.testing.assert_allclose(by_evidences[:3], share * found.probability)
        assert (np.abs(found.probability - exact[:3] / exact[:3].sum()) < 4 * found.se).all()
        assert np.isnan(by_evidences[3:]).all()  # which were not selected from

    def test_fits_are_as_good_as_a_selection(self) -> None:
        fits = [selected().cell(k, "full").fitted for k in (1, 2, 3)]
        one, two = (
            plots.number_of_components(fitted(), Figure().subplots(), evidence=given)
            for given in (fits, selected())
        )
        heights = [[bar.get_height() for bar in ax.patches] for ax in (one, two)]
        np.testing.assert_array_equal(*heights)


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "differs"),
        [
            ({"concentration": 0.8}, "concentration"),
            ({"mean_strength": 0.2}, "mean_strength"),
            ({"scale": 0.6}, "scale"),
            ({"scale": None}, "scale"),  # the default depends on the number
            ({"dof": 7.0}, "dof"),
            ({"mean": 0.0}, "mean"),
            ({"mean_scale": 2.0}, "mean_scale"),
            ({"scale": gp.RandomScale()}, "scale"),
            ({"concentration": dist.Gamma(1.0, 1.0)}, "concentration"),
            ({"concentration": [0.7, 0.6]}, "priors"),
        ],
    )
    def test_what_differs_is_named(self, given: dict[str, Any], differs: str) -> None:
        ours = gp.MixtureModel(UNKNOWN, priors=PRIORS).specialise(X)
        same = gp.MixtureModel(2, priors=PRIORS).specialise(X)
        other = gp.MixtureModel(2, priors=gp.ConjugatePriors(**{**NUMBERS, **given})).specialise(X)
        assert difference(ours, same) is None
        assert difference(ours, other) == differs

    def test_dynamic_concentrations_are_shared_out(self) -> None:
        ours, equal = ({**NUMBERS, "concentration": c} for c in (gp.Dynamic(1.5), 0.5))
        unknown = gp.MixtureModel(UNKNOWN, priors=gp.ConjugatePriors(**ours)).specialise(X)
        alike = [gp.MixtureModel(k, priors=gp.ConjugatePriors(**equal)) for k in (2, 3)]
        found = [difference(unknown, model.specialise(X)) for model in alike]
        assert found == ["concentration", None]

    def test_priors_of_unknown_concentrations_may_be_one(self) -> None:
        unknown, same, other = (
            gp.MixtureModel(
                k, priors=gp.ConjugatePriors(**{**NUMBERS, "concentration": dist.Gamma(a, 1.0)})
            ).specialise(X)
            for k, a in ((UNKNOWN, 2.0), (3, 2.0), (3, 3.0))
        )
        assert difference(unknown, same) is None
        assert difference(unknown, other) == "concentration"

    def test_families_and_noise(self) -> None:
        ours = gp.MixtureModel(UNKNOWN, priors=PRIORS).specialise(X2)
        tied = gp.MixtureModel(2, "tied", PRIORS).specialise(X2)
        noisy = gp.MixtureModel(2, priors=PRIORS, noise_component="uniform").specialise(X2)
        assert [difference(ours, other) for other in (tied, noisy)] == [
            "covariance",
            "noise_component",
        ]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"x": X + 1}, "must be of the data of the fit; that of 2 components is not"),
            ({"priors": None}, "with 2 components its scale is another one"),
            ({"k": 7}, "known numbers of components from 1 to 6"),
            ({"k": UNKNOWN}, "known numbers of components from 1 to 6"),
        ],
    )
    def test_evidence_of_something_else(self, change: dict[str, Any], message: str) -> None:
        given = {"x": X, "k": 2, "priors": PRIORS, **change}
        x = X.repeat(2, 1) if given["k"] == 7 else given["x"]
        with quietly():
            model = gp.MixtureModel(given["k"], priors=given["priors"])
            other = gp.fit(model, x, "gibbs", **BRIEF)
        with pytest.raises(ValueError, match=message):
            plots.number_of_components(fitted(), evidence=[other])

    @pytest.mark.parametrize(("shift", "unit"), [(1e9, 1.0), (0.0, 1e-12), (0.0, 1e12)])
    def test_other_data_are_so_in_all_units(self, shift: float, unit: float) -> None:
        ours, other = (observe(shift + unit * x) for x in (X, X.square()))
        assert are_the_same(ours, ours)
        assert not are_the_same(ours, other)
        assert not are_the_same(ours, observe((shift + unit * X)[1:]))

    def test_a_number_that_is_not_possible(self) -> None:
        with quietly():
            model = gp.MixtureModel(gp.Unknown([0, 0, 1], most=3), priors=PRIORS)
            fit = gp.fit(model, X, "gibbs", **BRIEF)
        with pytest.raises(ValueError, match="possible under the prior of the fit, got 1, 2"):
            by_evidence(fit, [selected().cell(k, "full").fitted for k in (1, 2)])

    def test_a_selection_of_another_family(self) -> None:
        with quietly():
            tied = gp.select(X, [1, 2], "tied", "evidence", "gibbs", priors=PRIORS, n_draws=2)
        with pytest.raises(ValueError, match="two numbers of components or more, got none"):
            plots.number_of_components(fitted(), evidence=tied)

    def test_too_few(self) -> None:
        with pytest.raises(ValueError, match="two numbers of components or more, got none"):
            plots.number_of_components(fitted(), evidence=[])
        with pytest.raises(TypeError, match="evidence must be a selection, or fits, got 3"):
            plots.number_of_components(fitted(), evidence=3)

    def test_a_known_number_has_nothing_to_compare(self) -> None:
        with quietly():
            known = gp.fit(gp.MixtureModel(2, priors=PRIORS), X, "gibbs", **BRIEF)
        with pytest.raises(ValueError, match="evidence is of fits whose number of components is"):
            plots.number_of_components(known, evidence=selected())


class TestSelections:
    def test_all_models_have_the_priors(self) -> None:
        for cell in selected().cells:
            prior: Any = cell.fitted.model.priors
            assert float(torch.as_tensor(prior.scale)) == 0.5
        assert selected().told["priors"] == "..."

    def test_one_component_has_the_exact_evidence(self) -> None:
        exact = exact_posterior(gp.MixtureModel(1, priors=PRIORS), X).log_evidence
        found = selected().cell(1, "full").found["log_evidence"]
        assert found == pytest.approx(exact, rel=1e-9)

    def test_methods_without_priors_refuse_them(self) -> None:
        with pytest.raises(ValueError, match=r"priors are for methods .*gibbs.*; em has none"):
            gp.select(X, [1, 2], priors=PRIORS)
