"""Claims about the bootstrap of parameters: against fits one by one, and formulas of one normal."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import FitWarning, MixtureModel
from gmm_pyro.covariance import FAMILIES, Parameters
from gmm_pyro.inference.task import Task, stalled
from gmm_pyro.mixture.noise_kinds import UniformBox
from gmm_pyro.reduction.assignments import Weighted, softmax
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import Theta, theta_of
from gmm_pyro.reduction.together import DataSets, Samples, Weightings
from gmm_pyro.selection import Bootstrap, climbing
from gmm_pyro.selection.climbing import Ends, Rule, climbed
from gmm_pyro.selection.resamples import KINDS, resamples
from oracles import FAILURE_RATE, close, every_family, normal
from runs import quietly

CLOSE = 1e-9
TIGHT: dict[str, Any] = {"tolerance": 1e-13}
EQUAL: dict[str, Any] = {"tolerance": 0.0, "max_steps": 4}  # steps: one by one the same
every_kind = pytest.mark.parametrize("kind", KINDS)


def clusters(n: int = 60, d: int = 2) -> Tensor:
    return normal(n, d) + 5.0 * (torch.arange(n) % 2)[:, None]


@cache
def fitted(family: str = "full", k: int = 2, d: int = 2) -> gp.Fit:
    return gp.fit(MixtureModel(k, family), clusters(d=d), **TIGHT)


def rule_of(fit: gp.Fit) -> Rule:
    floor = Task("em", fit.model, fit.observations, fit.options).floor
    total = fit.observations.total_weight
    return Rule(fit.model.family, floor, fit.options.tolerance * total, 5000, fit.model.fixed)


def ends_of(fit: gp.Fit, samples: Samples, **changes: Any) -> Ends:
    s = len(samples)
    start = Parameters(
        *(value.expand(s, *value.shape[1:]) for value in fit.mixture.parameters.values)
    )
    rule, ends = replace(rule_of(fit), **changes), Ends.begun(start)
    if changes:  # in two goes
        ends = climbed(samples, ends, rule, torch.arange(s), 3)
    return climbed(samples, ends, rule, torch.arange(s))


# ---------------------------------------------------------------------- against fits one by one


@every_family
@pytest.mark.parametrize("kind", ["weighted", "nonparametric", "jackknife"])
def test_weightings_are_fitted_as_by_sample_weights(family: str, kind: str) -> None:
    fit = fitted(family)
    (samples,) = resamples(fit, kind, 3, seed=1)
    assert isinstance(samples, Weightings)
    ends = ends_of(fit, samples, **EQUAL)
    for i in (0, 2):
        with quietly():
            alone = gp.fit(
                *(fit.model, clusters()),
                sample_weight=samples.weight[i],
                start=fit.mixture,
                **EQUAL,
            )
        for mine, his in zip(ends.parameters.values, alone.mixture.parameters.values, strict=True):
            close(mine[i], his[0], CLOSE)
        assert float(ends.log_likelihood[i]) == pytest.approx(alone.objective, rel=CLOSE)


@every_family
@pytest.mark.parametrize("d", [1, 2])
def test_data_sets_are_fitted_as_alone(family: str, d: int) -> None:
    fit = fitted(family, d=d)
    (samples,) = resamples(fit, "parametric", 3, seed=1)
    assert isinstance(samples, DataSets)
    ends = ends_of(fit, samples, **EQUAL)
    with quietly():
        alone = gp.fit(fit.model, samples.x[1], start=fit.mixture, **EQUAL)
    for mine, his in zip(ends.parameters.values, alone.mixture.parameters.values, strict=True):
        close(mine[1], his[0], CLOSE)


@every_family
def test_large_data_sets_are_the_same_one_by_one(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fitted(family)
    (samples,) = resamples(fit, "parametric", 3, seed=1)
    together = ends_of(fit, samples)
    monkeypatch.setattr("gmm_pyro.reduction.together.LARGE", 1)
    monkeypatch.setattr(climbing, "NUMBERS", 1)
    (samples,) = resamples(fit, "parametric", 3, seed=1)
    alone = ends_of(fit, samples)
    for one, other in zip(together.parameters.values, alone.parameters.values, strict=True):
        close(one, other, CLOSE)


@every_family
def test_kernels_agree(family: str) -> None:
    fit = fitted(family)
    (samples,) = resamples(fit, "parametric", 2, seed=1)
    values = fit.mixture.parameters.values
    both = Parameters(*(value.expand(2, *value.shape[1:]) for value in values))
    theta = theta_of(FAMILIES[family], both, samples.points)
    assert not theta.centred
    features = samples.reduce(theta)
    centred = samples.reduce(Theta.about_means(FAMILIES[family], both))
    close(features.log_norm, centred.log_norm, CLOSE)
    close(features.counts, centred.counts, CLOSE)


def test_weights_beside_an_assignment_are_sample_weights() -> None:
    fit = fitted()
    weight = torch.rand(1, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theta = theta_of(fit.model.family, fit.mixture.parameters, fit.observations)
    theirs = reduce(replace(fit.observations, sample_weight=weight[0]), theta).counts
    close(reduce(fit.observations, theta, Weighted(softmax, weight)).counts, theirs)


def test_the_rule_that_stops_is_that_of_a_fit() -> None:
    generator = torch.Generator().manual_seed(0)
    gains = torch.rand(200, 2, generator=generator, dtype=torch.float64) ** 8
    history = torch.cat([torch.full((200, 1), -50.0), gains], 1).double().cumsum(1)
    found = climbing.stalled(history, 1e-3).tolist()
    assert found == [stalled(1e-3)(row) for row in history.tolist()]
    assert 0 < sum(found) < 200


def test_those_that_diverge_leave_the_others_alone() -> None:
    fit = fitted()
    x = torch.stack([clusters(), torch.full((60, 2), torch.nan, dtype=torch.float64)])
    ends = ends_of(fit, DataSets(fit.observations, x))
    assert ends.converged.tolist() == [True, False]
    close(ends.parameters.means[0], fit.mixture.means, 1e-6)


# ---------------------------------------------------------------------- one normal: closed forms


@pytest.mark.parametrize("kind", ["weighted", "nonparametric", "parametric"])
def test_the_error_of_a_mean_is_that_of_the_formula(kind: str) -> None:
    """Σ w x of Dirichlet weights has variance s² / (n + 1), other means s² / n: s² by n."""
    x, n = normal(50, 1), 2000
    found = gp.bootstrap(gp.fit(MixtureModel(1), x), n, kind=kind)
    points = 51 if kind == "weighted" else 50
    expected = float(x.var(correction=0)) / points
    ratio = (n - 1) * float(found.standard_errors["means"]) ** 2 / expected
    tail = min(stats.chi2.cdf(ratio, n - 1), stats.chi2.sf(ratio, n - 1))
    assert tail > FAILURE_RATE / 2


def test_the_jackknife_of_a_mean_is_exact() -> None:
    x = normal(40, 2)
    found = gp.bootstrap(gp.fit(MixtureModel(1), x), kind="jackknife")
    close(found.standard_errors["means"][0], x.std(0) / math.sqrt(40), CLOSE)
    assert found.n == 40
    assert float(found.bias["means"].abs().max()) < CLOSE
    # of the variance by maximum likelihood, whose bias is -s² / n
    close(found.bias["covariances"][0].diagonal(), -x.var(0) / 40, CLOSE)


def test_the_jackknife_leaves_one_point_out() -> None:
    x, fit = clusters(24), gp.fit(MixtureModel(2, "diag"), clusters(24), **TIGHT)
    found = gp.bootstrap(fit, kind="jackknife")
    rows = torch.arange(24)
    floor = {"covariance_floor": 0.0}
    left = [
        gp.fit(fit.model, x[rows != i], start=fit.mixture, **TIGHT, **floor).mixture.means
        for i in range(24)
    ]
    close(found.draws["means"], torch.stack(left), 1e-7)
    spread = torch.stack(left).var(0, correction=0) * 23
    close(found.standard_errors["means"], spread.sqrt(), 1e-6)


def test_a_weight_is_as_many_points() -> None:
    x, weight = clusters(30), torch.tensor([1.0, 2.0, 3.0]).repeat(10)
    rows = torch.arange(30).repeat_interleave(weight.long())
    model = MixtureModel(1)
    weighted = gp.bootstrap(gp.fit(model, x, sample_weight=weight), kind="jackknife")
    repeated = gp.bootstrap(gp.fit(model, x[rows]), kind="jackknife")
    for name, error in repeated.standard_errors.items():
        close(weighted.standard_errors[name], error, 1e-7)
        close(weighted.bias[name] + 1, repeated.bias[name] + 1, 1e-7)


@pytest.mark.parametrize("kind", ["weighted", "nonparametric"])
def test_a_resample_weighs_what_the_data_weigh(kind: str) -> None:
    weight = torch.tensor([0.5, 2.0, 3.0]).repeat(20)
    fit = gp.fit(MixtureModel(2), clusters(), sample_weight=weight)
    (samples,) = resamples(fit, kind, 500, seed=0)
    assert isinstance(samples, Weightings)
    close(samples.weight.sum(1), torch.full((500,), float(weight.sum())))
    errors = samples.weight.std(0) / math.sqrt(500)
    limit = stats.norm.isf(FAILURE_RATE / 120)
    assert float(((samples.weight.mean(0) - weight).abs() / errors).max()) < limit


# ---------------------------------------------------------------------- what it says


@cache
def resampled(kind: str = "weighted", n: int = 60) -> Bootstrap:
    return gp.bootstrap(fitted(), n, kind=kind)


@every_kind
def test_a_table_has_all_parameters(kind: str) -> None:
    table = resampled(kind).table()
    names = ["weights[0]", "means[1, x0]", "covariances[1, x0, x1]"]
    assert set(names) <= set(table.index)
    assert len(table) == 2 + 4 + 8
    assert (table["lower"] < table["upper"]).all()
    assert (table["standard_error"] > 0).all()


def test_intervals_are_those_of_their_kind() -> None:
    found = resampled()
    draws, estimate = found.draws["means"], found.estimate["means"]
    tails = torch.tensor([0.1, 0.9], dtype=torch.float64)
    low, high = draws.quantile(tails, dim=0)
    percentile, basic = (found.intervals(0.8, kind)["means"] for kind in ("percentile", "basic"))
    normal_one = found.intervals(0.8, "normal")["means"]
    close(percentile.lower, low)
    close(basic.lower, 2 * estimate - high)
    close(basic.upper, 2 * estimate - low)
    close(normal_one.upper - estimate, stats.norm.isf(0.1) * draws.std(0))
    close(found.bias["means"], draws.mean(0) - estimate)


@every_family
def test_draws_have_the_shapes_of_a_mixture(family: str) -> None:
    found = gp.bootstrap(fitted(family), 5)
    for name in ("weights", "means", "covariances"):
        assert found.draws[name].shape == (5, *getattr(found.fit.mixture, name).shape)
    assert len(found.table()) == sum(value.numel() for value in found.estimate.values())


def test_components_are_numbered_as_in_the_fit() -> None:
    fit = fitted()
    other = gp.fit(fit.model, clusters(), start=fit.mixture.permute([1, 0]), **TIGHT)
    one, two = (gp.bootstrap(it, 20, seed=3) for it in (fit, other))
    close(one.draws["means"], two.draws["means"].flip(1), 1e-7)
    assert one.ambiguous == two.ambiguous == 0.0


def test_exchanged_draws_are_put_back() -> None:
    from gmm_pyro.posterior.relabelling import numbered_as, permuted

    found = resampled()
    order = (torch.arange(60) % 2)[None, :, None] ^ torch.tensor([0, 1])
    back = numbered_as(permuted(found.posterior, order), found.fit.mixture)
    close(back.draws["means"], found.posterior.draws["means"])


def test_overlapping_components_are_ambiguous() -> None:
    with quietly():
        fit = gp.fit(MixtureModel(2), normal(60, 1), least_points=1)
        found = gp.bootstrap(fit, 100, kind="nonparametric", max_steps=200)
    assert found.ambiguous + found.degenerate + found.unconverged > 0


def test_what_has_not_converged_warns() -> None:
    with pytest.warns(FitWarning, match="100% of 20 resamples did not converge"):
        gp.bootstrap(fitted(), 20, max_steps=1, tolerance=0.0)


def test_the_same_seed_gives_the_same_draws_in_any_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, same = gp.bootstrap(fitted(), 20, seed=5), gp.bootstrap(fitted(), 20, seed=5)
    assert one.draws["means"].equal(same.draws["means"])
    assert not one.draws["means"].equal(gp.bootstrap(fitted(), 20, seed=6).draws["means"])
    monkeypatch.setattr(climbing, "NUMBERS", 3000)  # parts of a few sets
    close(gp.bootstrap(fitted(), 20, seed=5).draws["means"], one.draws["means"], CLOSE)


# ---------------------------------------------------------------------- data of other kinds


@pytest.mark.parametrize("kind", ["weighted", "nonparametric", "jackknife"])
def test_holes_labels_and_what_is_fixed_stay(kind: str) -> None:
    x, labels = clusters(), torch.full((60,), -1)
    x[3, 0], labels[0], labels[1] = torch.nan, 0, 1
    fixed = {"weights": [0.5, 0.5]}
    fit = gp.fit(MixtureModel(2), x, missing="integrate", labels=labels, fixed=fixed)
    found = gp.bootstrap(fit, 5, kind=kind)
    close(found.draws["weights"], torch.full(found.draws["weights"].shape, 0.5))
    assert found.draws["means"].isfinite().all()


@every_kind
@every_family
def test_noise_has_a_weight_of_its_own(kind: str, family: str) -> None:
    x = torch.cat([clusters(), 10 * normal(6, 2, seed=2)])
    fit = gp.fit(MixtureModel(2, family, noise_component=UniformBox()), x)
    with quietly():
        found = gp.bootstrap(fit, 20, kind=kind)
    assert found.draws["noise_weight"].shape == (found.posterior.n_draws,)
    assert "noise_weight" in found.table().index


def test_float32_is_resampled_too() -> None:
    fit = gp.fit(MixtureModel(2), clusters(), dtype="float32", tolerance=1e-6)
    for kind in KINDS:
        close(gp.bootstrap(fit, 30, kind=kind).draws["means"].mean(0), fit.mixture.means, 0.2)


# ---------------------------------------------------------------------- ArviZ


def test_arviz_has_the_draws(tmp_path: Path) -> None:
    import arviz as az

    found = resampled("nonparametric")
    data = found.to_arviz()
    posterior = data["posterior"]
    assert posterior["means"].dims == ("chain", "draw", "component", "feature")
    assert posterior["means"].shape == (1, 60, 2, 2)
    close(torch.from_numpy(posterior["means"].values.copy()), found.posterior.draws["means"])
    assert posterior.attrs["resamples"] == "nonparametric"
    summary = az.summary(data, var_names=["weights", "means"])
    assert len(summary) == 6
    path = tmp_path / "draws.nc"
    data.to_netcdf(path)
    back = az.from_netcdf(path)
    close(back["posterior"]["scales"].values, posterior["scales"].values)


# ---------------------------------------------------------------------- refusals


def test_refusals_name_what_is_wrong() -> None:
    fit = fitted()
    with pytest.raises(TypeError, match=r"fit must be a gmm_pyro\.Fit"):
        gp.bootstrap(fit.mixture)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kind must be one of"):
        gp.bootstrap(fit, kind="parametrc")
    with pytest.raises(ValueError, match="must be by em"):
        gp.bootstrap(gp.fit(MixtureModel(2), clusters(), "kmeans"))
    with pytest.raises(ValueError, match="n must be"):
        gp.bootstrap(fit, 1)
    with pytest.raises(ValueError, match="jackknife has none"):
        resampled("jackknife").intervals(kind="percentile")
    with pytest.raises(ValueError, match="has no draws"):
        resampled("jackknife").to_arviz()
    with pytest.raises(ValueError, match="level must be"):
        resampled().intervals(1.0)


def test_data_that_cannot_be_resampled_so_are_refused() -> None:
    light = torch.full((60,), 0.01)
    fit = gp.fit(MixtureModel(2), clusters(), sample_weight=light, least_points=1)
    for kind in ("parametric", "nonparametric"):
        with pytest.raises(ValueError, match="fewer than its 2 components"):
            gp.bootstrap(fit, kind=kind)
    with pytest.raises(ValueError, match="sample weights below 1"):
        gp.bootstrap(fit, kind="jackknife")
    x = clusters()
    x[0, 0] = torch.nan
    holes = gp.fit(MixtureModel(2), x, missing="integrate")
    with pytest.raises(ValueError, match="kind='weighted' reweights them"):
        gp.bootstrap(holes, kind="parametric")
