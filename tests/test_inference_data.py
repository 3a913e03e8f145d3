"""Fits as ArviZ objects: the same names, numbers and tools on ArviZ 0.x and 1.x."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro import GaussianMixture, MixtureModel, inference_data
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.inference_data import to_arviz
from gmm_pyro.inference_data.groups import data_sets
from oracles import clusters, every_family, normal, table

NAMES = ["height", "width"]
DRAWS = 100
HERE = Path(__file__).parent
FIRST_GENERATION = az.__version__.startswith("0.")
DIMENSIONS = {  # of the covariance's sites, after chain and draw
    "full": {
        "scales": ["component", "feature"],
        "correlations": ["component", "pair"],
    },
    "tied": {"scales": ["feature"], "correlations": ["pair"]},
    "diag": {"scales": ["component", "feature"]},
    "spherical": {"scales": ["component"]},
    "tied_diag": {"scales": ["feature"]},
    "tied_spherical": {"scales": []},
}
GROUPS = {
    "posterior",
    "posterior_predictive",
    "prior",
    "prior_predictive",
    "log_likelihood",
    "log_prior",
    "sample_stats",
    "observed_data",
}
INVARIANT = {"log_likelihood", "log_prior"}
every_dimension = pytest.mark.parametrize("d", [1, 2])
pytestmark = [
    pytest.mark.filterwarnings("ignore:svi.* stopped at the step limit:gmm_pyro.FitWarning"),
    pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning"),
]


def frame(d: int) -> pd.DataFrame:
    return table(clusters(d, 50).x, NAMES)


@cache
def fit(family: str = "full", d: int = 2) -> gp.Fit:
    """A fit that is not worth much, with draws that are as good as any."""
    model = MixtureModel(2, family)
    return gp.fit(model, frame(d), method="svi", max_steps=25, n_draws=DRAWS)


@cache
def converted(family: str = "full", d: int = 2) -> Any:
    return fit(family, d).to_arviz()


def several_chains(found: gp.Fit, **statistics: torch.Tensor) -> gp.Fit:
    """The same draws, as if they were of four chains, with a sampler's statistics."""
    posterior = found.posterior
    draws = {name: value.unflatten(1, (4, -1))[0] for name, value in posterior.draws.items()}
    return replace(found, posterior=replace(posterior, draws=draws, statistics=statistics))


def groups(data: Any) -> set[str]:
    return set(data.groups()) if FIRST_GENERATION else set(data.children)


def draw_as_mixture(found: gp.Fit, i: int) -> GaussianMixture:
    """One draw as a mixture with dense covariances, by the meaning of its sites."""
    sites = {name: value[0, i] for name, value in found.posterior.draws.items()}
    k, d = sites["means"].shape
    tied = found.model.family.tied
    scales = sites["scales"]
    if found.model.family.name in ("spherical", "tied_spherical"):
        scales = scales[..., None].expand(*scales.shape, d)
    scales = scales.expand(k, d)
    identity = torch.eye(d, dtype=torch.float64)
    root = sites.get("correlations", identity)
    root = root.expand(k, d, d) if tied or root.ndim == 2 else root
    covariances = scales[:, :, None] * (root @ root.mT) * scales[:, None, :]
    return GaussianMixture(sites["weights"], sites["means"], covariances)


# ---------------------------------------------------------------------- names and numbers


@every_family
@every_dimension
class TestContent:
    def test_groups(self, family: str, d: int) -> None:
        assert groups(converted(family, d)) == GROUPS

    @pytest.mark.parametrize("group", ["posterior", "prior"])
    def test_dimensions(self, family: str, d: int, group: str) -> None:
        drawn = converted(family, d)[group]
        expected = dict.fromkeys(INVARIANT if group == "posterior" else [], []) | {
            "weights": ["component"],
            "means": ["component", "feature"],
            **DIMENSIONS[family],
        }
        if d == 1:
            expected.pop("correlations", None)
        found = {name: list(drawn[name].dims) for name in drawn.data_vars}
        assert found == {name: ["chain", "draw", *dims] for name, dims in expected.items()}

    def test_dimensions_of_the_data(self, family: str, d: int) -> None:
        data = converted(family, d)
        event = ("obs_id",) if d == 1 else ("obs_id", "feature")
        assert data["log_likelihood"]["x"].dims == ("chain", "draw", "obs_id")
        assert data["observed_data"]["x"].dims == event
        for group in ("posterior_predictive", "prior_predictive"):
            assert data[group]["x"].dims == ("chain", "draw", *event)
            assert np.isfinite(data[group]["x"].values).all()

    def test_coordinates(self, family: str, d: int) -> None:
        data = converted(family, d)
        posterior, observed = data["posterior"], data["observed_data"]
        assert posterior["means"].coords["feature"].values.tolist() == NAMES[:d]
        assert posterior["means"].coords["component"].values.tolist() == [0, 1]
        if d > 1:
            assert observed["x"].coords["feature"].values.tolist() == NAMES[:d]
        assert observed["x"].coords["obs_id"].values.tolist() == list(range(50))
        if "correlations" in posterior:
            assert posterior["correlations"].coords["pair"].values.tolist() == ["width, height"]

    def test_values_are_the_draws(self, family: str, d: int) -> None:
        draws, posterior = fit(family, d).posterior.draws, converted(family, d)["posterior"]
        for name in ("weights", "means", "scales"):
            np.testing.assert_array_equal(posterior[name].values, draws[name].numpy())
        if "correlations" in draws:
            root = draws["correlations"]
            found, matrices = posterior["correlations"].values, (root @ root.mT).numpy()
            np.testing.assert_allclose(found[..., 0], matrices[..., 1, 0], rtol=0, atol=1e-14)

    def test_observed_data_are_the_user_s(self, family: str, d: int) -> None:
        observed = converted(family, d)["observed_data"]["x"].values
        np.testing.assert_array_equal(observed.reshape(50, d), frame(d).to_numpy())

    def test_log_likelihood_is_the_mixture_s_log_density(self, family: str, d: int) -> None:
        found = converted(family, d)["log_likelihood"]["x"].values
        assert found.shape == (1, DRAWS, 50)
        for i in (0, 1, 63, 64, DRAWS - 1):
            expected = draw_as_mixture(fit(family, d), i).log_prob(frame(d))
            np.testing.assert_allclose(found[0, i], expected, rtol=1e-10)

    def test_label_invariant_quantities(self, family: str, d: int) -> None:
        data = converted(family, d)
        statistics = data["sample_stats"]
        total = data["log_likelihood"]["x"].values.sum(-1)
        for group in (data["posterior"], statistics):
            np.testing.assert_allclose(group["log_likelihood"].values, total, rtol=1e-12)
        for i in (0, DRAWS - 1):
            mixture = draw_as_mixture(fit(family, d), i)
            r = mixture.responsibilities(frame(d))
            entropy = float(torch.special.entr(r).sum())
            assert float(statistics["entropy"][0, i]) == pytest.approx(entropy, abs=1e-8)
            filled = len(mixture.predict(frame(d)).unique())
            assert int(statistics["filled_components"][0, i]) == filled

    def test_log_prior_is_the_program_s(self, family: str, d: int) -> None:
        """Pyro's own sum over the continuous sites of the program, with the draw's values."""
        found = fit(family, d)
        values = {name: value[0, 3] for name, value in found.posterior.draws.items()}
        conditioned = pyro.condition(found.model, data=values)
        trace = pyro.poutine.trace(conditioned).get_trace(found.observations.x)
        trace.compute_log_prob()
        expected = sum(float(trace.nodes[name]["log_prob"]) for name in values)
        log_prior = float(converted(family, d)["posterior"]["log_prior"][0, 3])
        assert log_prior == pytest.approx(expected, rel=1e-10)


def test_attributes_say_how_the_fit_was_made() -> None:
    attributes = converted()["posterior"].attrs
    expected = {
        "inference_library": "gmm_pyro",
        "inference_library_version": gp.__version__,
        "method": "svi",
        "status": fit().status.name,
        "objective": fit().objective,
        "steps": fit().steps,
        "seed": 0,
        "covariance": "full",
        "priors": "Priors",
        "independent_draws": 1,
        "n_components": 2,
    }
    assert "guide='normal'" in attributes["options"]
    assert converted().attrs["method"] == "svi"
    assert {name: attributes[name] for name in expected} == expected


def test_columns_without_names_are_numbered() -> None:
    model = MixtureModel(2, "diag")
    found = gp.fit(model, frame(2).to_numpy(), method="svi", max_steps=25, n_draws=4)
    posterior = found.to_arviz()["posterior"]
    assert posterior.coords["feature"].values.tolist() == ["x0", "x1"]


def test_several_chains() -> None:
    data = several_chains(fit()).to_arviz()
    assert dict(data["posterior"].sizes)["chain"] == 4
    assert data["posterior_predictive"]["x"].shape == (4, 25, 50, 2)
    likelihood = converted()["log_likelihood"]["x"].values.reshape(4, 25, 50)
    np.testing.assert_allclose(data["log_likelihood"]["x"].values, likelihood, rtol=1e-12)


def test_the_log_likelihood_is_the_same_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_data.quantities, "DRAWS_AT_ONCE", 7)
    found = inference_data.pointwise_log_likelihood(fit().posterior)
    np.testing.assert_allclose(found, converted()["log_likelihood"]["x"].values, rtol=1e-12)


def test_weighted_points_count_as_often_as_they_weigh() -> None:
    weight = torch.arange(50) % 3 * 1.0
    found = gp.fit(MixtureModel(2), frame(2), method="svi", sample_weight=weight, n_draws=8)
    data = found.to_arviz()
    total = data["log_likelihood"]["x"].values @ weight.double().numpy()
    np.testing.assert_allclose(data["posterior"]["log_likelihood"].values, total, rtol=1e-10)
    r = draw_as_mixture(found, 2).responsibilities(frame(2))
    entropy = float(torch.special.entr(r).sum(-1) @ weight.double())
    assert float(data["sample_stats"]["entropy"][0, 2]) == pytest.approx(entropy, abs=1e-8)


@every_family
@every_dimension
def test_precisions_become_scales_and_correlations(family: str, d: int) -> None:
    model = MixtureModel(2, family, priors=gp.ConjugatePriors())
    found = gp.fit(model, frame(d), method="svi", max_steps=5, n_draws=8)
    data = found.to_arviz(constants=True)
    posterior, prior = data["posterior"], data["prior"]
    draws = found.posterior.draws
    assert "precisions" in draws
    names = {"weights", "means", "scales", *(DIMENSIONS[family] if d > 1 else ())}
    assert set(posterior.data_vars) == names | INVARIANT
    assert set(prior.data_vars) == names
    scales = torch.tensor(posterior["scales"].values)
    if "correlations" in DIMENSIONS[family]:
        covariance = torch.linalg.inv(draws["precisions"])
        torch.testing.assert_close(scales.square(), covariance.diagonal(dim1=-2, dim2=-1))
        if d > 1:
            correlations = torch.tensor(posterior["correlations"].values)
            outer = scales[..., :, None] * scales[..., None, :]
            torch.testing.assert_close(correlations * outer, covariance)
    else:
        torch.testing.assert_close(scales.square(), 1 / draws["precisions"])


# ---------------------------------------------------------------------- statistics of a sampler


def test_lp_is_the_joint_log_density() -> None:
    data = converted()
    posterior = data["posterior"]
    joint = posterior["log_likelihood"].values + posterior["log_prior"].values
    np.testing.assert_array_equal(data["sample_stats"]["lp"].values, joint)


def test_what_the_sampler_says_is_kept() -> None:
    energy = torch.arange(100.0).view(4, 25)
    data = several_chains(fit(), energy=energy, diverging=energy > 50).to_arviz()
    statistics = data["sample_stats"]
    np.testing.assert_array_equal(statistics["energy"].values, energy)
    assert statistics["diverging"].values.dtype == bool
    assert int(statistics["diverging"].sum()) == 49


# ---------------------------------------------------------------------- what is predicted


@every_family
def test_predicted_data_are_of_the_mixture(family: str) -> None:
    """First and second moments of a large data set, in Monte Carlo standard errors."""
    found = fit(family)
    parameters = found.posterior.parameters()[[0]]
    generator = torch.Generator().manual_seed(1)
    x = data_sets(found.model.family, parameters, 20_000, generator)[0]
    mixture = draw_as_mixture(found, 0)
    centred = x - mixture.mean()
    products = centred[:, :, None] * centred[:, None, :]
    for sample, expected in ((x, mixture.mean()), (products, mixture.covariance())):
        z = (sample.mean(0) - expected) / (sample.std(0) / 20_000**0.5)
        assert float(z.abs().max()) < 4.5  # seven numbers and six families: 1 in 3,000


def test_each_predicted_data_set_is_of_its_own_draw() -> None:
    """Means of the data sets follow the means of the draws' mixtures."""
    x = converted()["posterior_predictive"]["x"].values[0]
    mean = torch.stack([draw_as_mixture(fit(), i).mean() for i in range(DRAWS)])
    spread = torch.tensor(x.std(1)) / 50**0.5
    z = (torch.tensor(x.mean(1)) - mean) / spread
    assert float(z.square().mean()) == pytest.approx(1, abs=4 * (2 / z.numel()) ** 0.5 + 0.05)


def test_predictions_that_are_too_many_are_of_every_other_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference_data.groups, "MOST_NUMBERS", 50 * 2 * 34)
    data = fit().to_arviz()
    predicted = data["posterior_predictive"]["x"]
    assert predicted.shape == (1, 34, 50, 2)
    assert predicted.coords["draw"].values.tolist() == list(range(0, DRAWS, 3))
    assert data["prior_predictive"]["x"].size <= 50 * 2 * 34


def test_predictions_are_repeatable_and_leave_generators_alone() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = fit().to_arviz()
    for group in ("posterior_predictive", "prior", "prior_predictive"):
        for name in again[group].data_vars:
            before = converted()[group][name].values
            np.testing.assert_array_equal(again[group][name].values, before)
    assert torch.get_rng_state().equal(torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    other = replace(fit(), seed=1).to_arviz()
    for group in ("posterior_predictive", "prior", "prior_predictive"):
        name = next(iter(again[group].data_vars))
        assert (other[group][name].values != again[group][name].values).any()


@pytest.mark.parametrize("priors", [None, gp.ConjugatePriors(), gp.ConjugatePriors(mean_scale=3.0)])
@pytest.mark.usefixtures("pyro_of_its_own")
def test_prior_draws_are_of_the_priors(priors: Any) -> None:
    """Log densities of draws, on average, are the same as of draws that Pyro's program makes."""
    model = MixtureModel(2, priors=priors).specialise(frame(2).to_numpy())
    like = torch.empty(0, dtype=torch.float64)
    density = model.log_density(frame(2).to_numpy())
    mine = density.log_prior(model.sites(like).draw(1000, 1))
    traces = [pyro.poutine.trace(model).get_trace(n=1) for _ in range(100)]
    names = model.sites().keys()
    theirs = density.log_prior(
        {name: torch.stack([trace.nodes[name]["value"] for trace in traces]) for name in names}
    )
    error = (mine.var() / 1000 + theirs.var() / 100).sqrt()
    assert float((mine.mean() - theirs.mean()).abs() / error) < 4


def test_a_prior_that_cannot_be_drawn_is_left_out() -> None:
    improper = dist.ImproperUniform(dist.constraints.real, (2, 2), ())
    model = MixtureModel(2, priors=gp.Priors(means=improper))
    found = gp.fit(model, frame(2), method="svi", max_steps=25, n_draws=8)
    assert groups(found.to_arviz()) == GROUPS - {"prior", "prior_predictive"}


def test_priors_can_be_left_out() -> None:
    data = inference_data.to_arviz(fit(), n_prior_draws=0)
    assert groups(data) == GROUPS - {"prior", "prior_predictive"}


@pytest.mark.parametrize("method", ["kmeans", "em", "gradient", "map"])
def test_a_method_without_draws_is_refused(method: str) -> None:
    found = gp.fit(MixtureModel(2), frame(2), method=method)
    with pytest.raises(
        ValueError, match=f"this fit by {method} has a point estimate only; no draws"
    ):
        found.to_arviz()


# ---------------------------------------------------------------------- ArviZ's own tools


@every_family
@every_dimension
def test_summary(family: str, d: int) -> None:
    table = az.summary(converted(family, d), round_to="none")
    draws = fit(family, d).posterior.draws
    several = 1 if FAMILIES[family].tied else 2
    numbers = sum(draws[name][0, 0].numel() for name in ("weights", "means", "scales"))
    correlated = several if "correlations" in draws else 0
    assert len(table) == numbers + correlated + len(INVARIANT)
    mean = table["mean"].astype(float)
    weights = draws["weights"].mean((0, 1)).tolist()
    assert mean[["weights[0]", "weights[1]"]].tolist() == pytest.approx(weights)
    name = NAMES[d - 1]
    expected = float(draws["means"][0, :, 1, d - 1].mean())
    assert mean[f"means[1, {name}]"] == pytest.approx(expected)


@every_dimension
@pytest.mark.parametrize("chains", [1, 4])
def test_leave_one_out(d: int, chains: int) -> None:
    """Its estimate is the log density that the draws give the data, less p_loo."""
    data = converted("full", d) if chains == 1 else several_chains(fit("full", d)).to_arviz()
    found = az.loo(data, reff=1)
    elpd, p_loo = (found.elpd_loo, found.p_loo) if FIRST_GENERATION else (found.elpd, found.p)
    pointwise = converted("full", d)["log_likelihood"]["x"].values[0]
    lppd = (np.logaddexp.reduce(pointwise, axis=0) - np.log(DRAWS)).sum()
    assert float(elpd) == pytest.approx(lppd - float(p_loo), abs=1e-6)
    assert 0 < float(p_loo) < 30
    mine = inference_data.elpd_loo(fit("full", d))
    assert mine.elpd == pytest.approx(float(elpd), rel=1e-12)
    over = 50 if FIRST_GENERATION else 49  # that ArviZ's variance of the points divides by
    assert mine.se == pytest.approx(float(found.se) * (over / 50) ** 0.5, rel=1e-12)


@pytest.mark.parametrize("chains", [1, 4])
def test_elpd_is_the_same_of_a_fit_and_of_its_arviz_object(chains: int) -> None:
    found = replace(fit(), posterior=replace(fit().posterior, independent=False))
    found = found if chains == 1 else several_chains(found)
    elpd = inference_data.elpd_loo(found)
    assert elpd == inference_data.elpd_loo(found.to_arviz())
    assert elpd.worst_k > 0.1


def test_compare_methods_and_numbers_of_components() -> None:
    """Two components are better than one, and both guides say about the same."""
    fits = {"normal": fit()}
    fits["multivariate"] = gp.fit(
        MixtureModel(2), frame(2), method="svi", guide="multivariate", n_draws=DRAWS
    )
    fits["one"] = gp.fit(MixtureModel(1), frame(2), method="svi", n_draws=DRAWS)
    table = az.compare({name: found.to_arviz() for name, found in fits.items()}, var_name="x")
    assert table.index[-1] == "one"
    column = "elpd_loo" if FIRST_GENERATION else "elpd"
    elpd = table[column].astype(float)
    assert elpd["one"] < elpd["normal"] - 5
    assert elpd["normal"] == pytest.approx(elpd["multivariate"], abs=5)


def test_diagnostics_of_several_chains() -> None:
    energy = normal(4, 25)
    data = several_chains(fit(), energy=energy).to_arviz()
    for function in (az.rhat, az.ess, az.mcse):
        found = function(data, var_names=["weights", "means", "scales", "log_likelihood"])
        assert np.isfinite(found["means"].values).all()
        assert found["means"].dims == ("component", "feature")
    assert np.size(np.asarray(bfmi(data))) == 4
    assert (np.asarray(bfmi(data)) > 0.5).all()


def bfmi(data: Any) -> Any:
    found = az.bfmi(data)
    return found if FIRST_GENERATION else found["energy"].values


# ---------------------------------------------------------------------- numbers for a table


def test_worst_convergence() -> None:
    """The worst of ArviZ's own numbers, variable by variable."""
    found = several_chains(fit())
    names = ["weights", "means", "scales", "correlations"]

    def numbers(function: Any, **options: Any) -> np.ndarray:
        values = function(found.to_arviz(), var_names=names, **options)
        return np.concatenate([values[name].values.ravel() for name in names])

    worst = found.posterior.convergence()
    assert worst.r_hat == pytest.approx(numbers(az.rhat).max())
    assert worst.ess_bulk == pytest.approx(numbers(az.ess, method="bulk").min())
    tail = numbers(az.ess, method="tail", prob=(0.05, 0.95))
    assert worst.ess_tail == pytest.approx(tail.min())


def test_a_single_chain_that_drifts_is_found_out() -> None:
    posterior = fit().posterior
    assert posterior.convergence().r_hat < 1.1
    means = posterior.draws["means"] + torch.linspace(0, 5, DRAWS)[:, None, None]
    drifting = replace(posterior, draws={**posterior.draws, "means": means})
    assert drifting.convergence().r_hat > 1.5


def test_what_never_varies_has_no_convergence() -> None:
    posterior = fit().posterior
    one = {name: value[:, :1].expand_as(value) for name, value in posterior.draws.items()}
    worst = replace(posterior, draws=one).convergence()
    assert np.isnan(worst.r_hat)
    varied = replace(posterior, draws={**one, "means": posterior.draws["means"]})
    assert varied.convergence().r_hat < 1.1


@pytest.mark.parametrize("deviation", [0.3, 0.5, 0.8])
def test_k_hat_of_a_normal_proposal(deviation: float) -> None:
    """Ratios of a standard normal to one of deviation s have a tail of shape 1 - s²."""
    x = deviation * np.random.default_rng(0).standard_normal(20_000)
    log_ratios = 0.5 * (x / deviation) ** 2 - 0.5 * x**2
    k = inference_data.psis_k_hat(torch.tensor(log_ratios) + 1000)
    assert k == pytest.approx(1 - deviation**2, abs=0.15)


def test_k_hat_of_good_proposals_is_small() -> None:
    x = 2 * np.random.default_rng(0).standard_normal(20_000)
    assert inference_data.psis_k_hat(x**2 / 8 - x**2 / 2) < 0.3  # too wide: ratios are bounded
    rounded = 1e-12 * np.random.default_rng(0).standard_normal(1000)
    assert inference_data.psis_k_hat(rounded) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_k_hat_of_ratios_that_are_no_numbers(bad: float) -> None:
    assert inference_data.psis_k_hat(np.array([0.0, bad, 1.0])) == np.inf


@pytest.mark.parametrize("n_draws", [2, 4, 5, 20])
def test_too_few_draws_have_no_tail(n_draws: int) -> None:
    assert inference_data.psis_k_hat(np.arange(n_draws) ** 2.0) == np.inf


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("family", ["full", "tied_spherical"])
@every_dimension
def test_netcdf_both_ways(family: str, d: int, tmp_path: Path) -> None:
    data, path = converted(family, d), str(tmp_path / "fit.nc")
    data.to_netcdf(path)
    again = az.from_netcdf(path)
    assert groups(again) == GROUPS
    for name in GROUPS:
        before, after = data[name], again[name]
        assert set(after.data_vars) == set(before.data_vars)
        for variable in before.data_vars:
            assert after[variable].dims == before[variable].dims
            np.testing.assert_array_equal(after[variable].values, before[variable].values)
    features = again["posterior"]["means"].coords["feature"].values.tolist()
    assert features == NAMES[:d]
    assert again["posterior"].attrs["method"] == "svi"


@pytest.mark.parametrize("generation", [0, 1])
def test_files_of_either_generation_can_be_read(generation: int) -> None:
    """`data/make_arviz_files.py` makes them, on both."""
    data = az.from_netcdf(str(HERE / "data" / f"arviz-{generation}.nc"))
    other = az.from_netcdf(str(HERE / "data" / f"arviz-{1 - generation}.nc"))
    assert groups(data) == GROUPS
    for name in GROUPS:
        assert set(data[name].data_vars) == set(other[name].data_vars)
        for variable in data[name].data_vars:
            assert data[name][variable].dims == other[name][variable].dims
            np.testing.assert_allclose(
                data[name][variable].values, other[name][variable].values, rtol=1e-6, atol=1e-6
            )
    assert data["posterior"].attrs["method"] == "svi"
    assert data["posterior"].coords["feature"].values.tolist() == NAMES
    assert len(az.summary(data, var_names=["means"])) == 4
    assert inference_data.elpd_loo(data).elpd == pytest.approx(
        inference_data.elpd_loo(other).elpd, abs=0.05
    )


@pytest.mark.parametrize("other", [None, 5, "fit", {}, gp.GaussianMixture([1.0], [0.0], [[[1.0]]])])
def test_what_is_no_fit_is_refused_by_name(other: Any) -> None:
    with pytest.raises(TypeError, match=r"fit must be a gmm_pyro\.Fit, got"):
        to_arviz(other)
