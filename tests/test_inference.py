"""What every method promises, whatever the family and the dimension: one contract for all."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyro
import pytest
import torch
from torch import Tensor
from tqdm import tqdm

import gmm_pyro as gp
from gmm_pyro import FitWarning, GaussianMixture, MixtureModel, Status
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.data.observations import observe
from gmm_pyro.inference import METHODS, Options
from gmm_pyro.metrics import adjusted_rand
from oracles import clusters

# Every method, by every engine, with a tolerance at which its answer is settled for these tests.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "kmeans": ("kmeans", {}),
    "em": ("em", {}),
    "gradient": ("gradient", {}),
    "map": ("map", {}),
    "map, enumerated": ("map:enumerated", {"tolerance": 1e-4}),
    "laplace": ("laplace", {"n_draws": 20}),
    "svi": ("svi", {"tolerance": 1e-3, "n_draws": 20}),
    "svi, enumerated": ("svi:enumerated", {"tolerance": 1e-2, "n_draws": 20}),
    "nuts": ("nuts", {"n_chains": 2, "n_draws": 10, "n_warmup": 5, "max_tree_depth": 3}),
    "nuts, enumerated": (
        "nuts:enumerated",
        {"n_chains": 1, "n_draws": 6, "n_warmup": 6, "max_tree_depth": 2},
    ),
    "gibbs": ("gibbs", {"n_chains": 2, "n_draws": 40, "n_warmup": 200}),
}
COLLAPSED = [run for run in RUNS if "enumerated" not in run]
ENUMERATED = [run for run in RUNS if "enumerated" in run]
SAMPLERS = ["nuts", "nuts, enumerated", "gibbs"]
CLIMBS = [run for run in RUNS if run not in SAMPLERS and run != "svi, enumerated"]  # all but walks
WITH_DRAWS = ["laplace", "svi", "svi, enumerated", *SAMPLERS]
SLOW = ["svi", "nuts", *ENUMERATED]  # a second a fit: a few families stand for the others
BY_STEPS = [run for run in COLLAPSED if run != "kmeans"]  # scikit-learn has k-means' loop
every_run = pytest.mark.parametrize("run", RUNS)
collapsed = pytest.mark.parametrize("run", COLLAPSED)
# Every family in the plane, the most and the least free in other dimensions too.
SIZES = [
    *((family, 2) for family in FAMILIES),
    *((family, d) for family in ("full", "tied_spherical") for d in (1, 3)),
]
CASES = [
    (run, family, d)
    for run in RUNS
    for family, d in SIZES
    if run not in SLOW
    or (family, d) == ("full", 2)
    or (run in COLLAPSED and (family, d) == ("tied_spherical", 1))
]
STEP_LIMIT = pytest.mark.filterwarnings("ignore:.* stopped at the step limit:gmm_pyro.FitWarning")
# chains of 20 draws need not agree; that they say so is a claim of its own
pytestmark = pytest.mark.filterwarnings("ignore:.* drew chains that disagree:gmm_pyro.FitWarning")


def fit(run: str, x: Any, family: str = "full", k: int = 2, **options: Any) -> gp.Fit:
    method, settings = RUNS[run]
    return gp.fit(MixtureModel(k, family), x, method=method, **{**settings, **options})


def brief(run: str, x: Any, **options: Any) -> gp.Fit:
    """A fit of few steps and draws, for claims that do not need a good answer."""
    few = {"n_draws": 4, "n_warmup": 3} if run in SAMPLERS else {}
    return fit(run, x, **{"max_steps": 25 if run == "gradient" else 10, **few, **options})


@cache
def fitted(run: str, family: str, d: int) -> gp.Fit:
    """One fit for all claims about it."""
    return fit(run, clusters(d).x, family, seed=3)


def same(one: gp.Fit, other: gp.Fit) -> bool:
    """To the last bit."""
    names = ("weights", "means", "covariances")
    mixtures = all(getattr(one.mixture, name).equal(getattr(other.mixture, name)) for name in names)
    draws = (one.posterior is None) == (other.posterior is None)
    if draws and one.posterior is not None:
        pairs = zip(one.posterior.draws.values(), other.posterior.draws.values(), strict=True)
        draws = all(a.equal(b) for a, b in pairs)
    return mixtures and draws and one.history.equal(other.history)


def test_the_contract_covers_every_method() -> None:
    assert {method for method, _ in RUNS.values()} == set(METHODS)


# ---------------------------------------------------------------------- the result


@pytest.mark.parametrize(("run", "family", "d"), CASES)
class TestFit:
    def test_fields(self, run: str, family: str, d: int) -> None:
        found = fitted(run, family, d)
        method, settings = RUNS[run]
        assert found.method == method
        assert found.seed == 3
        assert isinstance(found.options, METHODS[method].options)
        assert all(getattr(found.options, name) == value for name, value in settings.items())
        assert (found.observations.n, found.observations.d) == (60, d)
        assert found.model.n_components == 2
        assert found.model.family is FAMILIES[family]
        assert (found.model.priors is not None) == (METHODS[method].priors is not None)
        assert found.seconds > 0

    def test_it_converged(self, run: str, family: str, d: int) -> None:
        found = fitted(run, family, d)
        told, unmixed = found.diagnostics, False
        if run in SAMPLERS:
            unmixed = not (told["r_hat"] <= 1.01 and min(told["ess_bulk"], told["ess_tail"]) >= 400)
        assert found.status is (Status.UNMIXED if unmixed else Status.CONVERGED)
        assert found.converged != unmixed
        assert found.diagnostics["filled_components"] == 2
        assert found.diagnostics["problems"] == ()

    def test_history(self, run: str, family: str, d: int) -> None:
        found = fitted(run, family, d)
        assert found.history.ndim == 1
        assert found.history.dtype == torch.float64
        assert found.history.isfinite().all()
        if run in SAMPLERS:  # whose history is of draws, and the objective their mean
            assert float(found.history.mean()) == pytest.approx(found.objective, rel=1e-12)
            assert found.steps == len(found.history) == found.options.n_draws
        elif run == "svi":  # whose history is of one set of draws, and the objective of another
            assert found.history[-1] == pytest.approx(found.objective, abs=0.5)
        elif run != "svi, enumerated":  # whose history is of single draws
            assert found.history[-1] == found.objective
        assert 0 < found.steps <= found.options.max_steps
        assert len(found.history) <= found.steps + 1

    def test_mixture(self, run: str, family: str, d: int) -> None:
        mixture = fitted(run, family, d).mixture
        assert mixture.means.shape == (2, d)
        assert mixture.means.dtype == torch.float64
        assert mixture.covariances.shape == FAMILIES[family].shape(2, d)
        assert float(mixture.weights.sum()) == pytest.approx(1)
        assert not mixture.means.requires_grad
        labels = mixture.predict(clusters(d).x)
        assert adjusted_rand(clusters(d).labels, labels) > 0.85

    def test_posterior(self, run: str, family: str, d: int) -> None:
        found = fitted(run, family, d)
        assert (found.posterior is not None) == (run in WITH_DRAWS)
        if found.posterior is not None:
            chains = getattr(found.options, "n_chains", 1)
            shape = (chains, found.options.n_draws, 2, d)
            assert found.posterior.draws["means"].shape == shape
            assert found.posterior.independent == (run not in SAMPLERS)
            assert all(value.isfinite().all() for value in found.posterior.draws.values())

    def test_diagnostics_are_short(self, run: str, family: str, d: int) -> None:
        found = fitted(run, family, d)
        assert isinstance(found.diagnostics, Mapping)
        for value in found.diagnostics.values():
            assert isinstance(value, float | int | str | tuple)
        assert len(str(found.diagnostics)) < 300
        draws = {} if found.posterior is None else found.posterior.statistics
        assert all(v.shape == found.posterior.draws["means"].shape[:2] for v in draws.values())

    def test_k_hat(self, run: str, family: str, d: int) -> None:
        """Of those that draw from an approximation of a known density, and of no other."""
        approximates = run in WITH_DRAWS and run not in SAMPLERS
        assert isinstance(fitted(run, family, d).k_hat, float if approximates else type(None))


@every_run
def test_a_result_cannot_be_changed(run: str) -> None:
    found = fitted(run, "full", 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.objective = 0.0  # type: ignore[misc]


@pytest.mark.parametrize("run", ["em", "map"])
def test_the_model_is_not_changed(run: str) -> None:
    model = MixtureModel(2, "diag")
    gp.fit(model, clusters().x, method=run)
    assert model.priors is None


# ---------------------------------------------------------------------- randomness


@every_run
@STEP_LIMIT
def test_the_same_seed_gives_the_same_fit_to_the_last_bit(run: str) -> None:
    one, other = (brief(run, clusters().x, seed=5, max_steps=25) for _ in range(2))
    assert same(one, other)


@collapsed
@STEP_LIMIT
def test_several_threads_at_once_give_what_one_gives(run: str) -> None:
    x, before = clusters().x, torch.get_num_threads()
    seeds = range(2 if run in SLOW else 4)
    alone = [brief(run, x, seed=seed) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: brief(run, x, seed=seed), seeds))
    assert torch.get_num_threads() == before
    for one, other in zip(alone, together, strict=True):
        assert same(one, other)


# ---------------------------------------------------------------------- equivariance


def start_for(family: str, x: Tensor) -> GaussianMixture:
    """A start that leaves nothing to chance: two halves along the first feature."""
    halves = (x[:, 0] > x[:, 0].median()).long()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return gp.fit(MixtureModel(2, family), x, start=halves, max_steps=1).mixture


def moved(mixture: GaussianMixture, unit: float | Tensor, shift: float | Tensor) -> GaussianMixture:
    """The mixture of unit · x + shift."""
    scale = torch.ones(mixture.n_features, dtype=torch.float64) * unit
    covariances = {
        "full": lambda c: c * scale * scale[:, None],
        "diag": lambda c: c * scale**2,
        "spherical": lambda c: c * scale[0] ** 2,
    }[mixture.family.name](mixture.covariances)
    means = mixture.means * scale + shift
    return GaussianMixture(mixture.weights, means, covariances, mixture.family.name)


def agree(one: GaussianMixture, other: GaussianMixture, tolerance: float) -> None:
    """Equal in units of each feature's standard deviation."""
    spread = other.covariance().diagonal().sqrt()
    torch.testing.assert_close(one.weights, other.weights, rtol=0, atol=tolerance)
    torch.testing.assert_close(one.means / spread, other.means / spread, rtol=0, atol=tolerance)
    shape = spread[:, None] * spread
    torch.testing.assert_close(
        one.covariance_matrices() / shape,
        other.covariance_matrices() / shape,
        rtol=0,
        atol=tolerance,
    )


# The path of an optimiser depends on rounding, its end on its tolerance.
# NUTS starts from such an end, and soon draws other numbers: what is left is Monte Carlo error.
PRECISION = {
    "kmeans": 1e-9,
    "em": 1e-9,
    "gradient": 1e-4,
    "map": 1e-4,
    "laplace": 1e-4,
    "svi": 1e-2,
    "nuts": 0.3,
    "gibbs": 1e-6,
}
# Random numbers belong to rows and columns, so that draws in another order are other draws: 80 of
# them have a Monte Carlo error of about .01 in these units, and components in another order.
REORDERED = {**PRECISION, "gibbs": 0.1}


@cache
def unmoved(run: str, family: str) -> gp.Fit:
    """What the moved ones are compared with."""
    x = clusters().x
    return fit(run, x, family, start=start_for(family, x))


every_moved = pytest.mark.parametrize(
    ("run", "family"),
    [(run, "full") for run in COLLAPSED]
    + [(run, family) for run in ("kmeans", "em", "map") for family in ("diag", "spherical")],
)
UNITS = [pytest.param(1e-6, 0.0, id="small"), pytest.param(1e5, -3e9, id="large and shifted")]


@every_moved
@pytest.mark.parametrize(("unit", "shift"), UNITS)
def test_units_of_the_data_are_the_units_of_the_answer(
    run: str, family: str, unit: float, shift: float
) -> None:
    x = unit * clusters().x + shift
    there = fit(run, x, family, start=start_for(family, x)).mixture
    agree(there, moved(unmoved(run, family).mixture, unit, shift), PRECISION[run])


@pytest.mark.parametrize("run", [run for run in COLLAPSED if run != "kmeans"])
@pytest.mark.parametrize("family", ["full", "diag"])
def test_every_feature_may_have_a_unit_of_its_own(run: str, family: str) -> None:
    unit, shift = torch.tensor([[1e-4, 1e3], [0.5, -40.0]], dtype=torch.float64)
    x = unit * clusters().x + shift
    here, there = unmoved(run, family), fit(run, x, family, start=start_for(family, x))
    agree(there.mixture, moved(here.mixture, unit, shift), PRECISION[run])
    if run != "svi":
        return
    # densities of the draws change by the units, the guide's entropy by the means' share of them
    jacobian = 60 * float(unit.log().sum())
    assert there.objective == pytest.approx(here.objective - jacobian, abs=1e-3 * 60)


@cache
def in_type(run: str, dtype: torch.dtype) -> gp.Fit:
    x = clusters().x
    return fit(run, x, start=start_for("full", x), dtype=dtype)


ENDS = [
    (run, dtype, sign * power)
    for run in COLLAPSED
    for dtype, power in ((torch.float32, 48), (torch.float64, 230))
    for sign in (-1, 1)
    if run != "nuts" or sign * power == 230  # a few seconds a fit
]


@pytest.mark.parametrize(("run", "dtype", "power"), ENDS)
def test_units_at_the_ends_of_what_is_allowed(run: str, dtype: torch.dtype, power: int) -> None:
    """Powers of two, so that the data themselves are not rounded."""
    unit, x = 2.0**power, 2.0**power * clusters().x
    here, there = in_type(run, dtype), fit(run, x, start=start_for("full", x), dtype=dtype)
    assert there.status is here.status
    wanted = moved(in_float64(here.mixture), unit, 0.0)
    found = GaussianMixture.from_parameters(there.mixture.family, there.mixture.parameters)
    agree(found, wanted, max(1e-2 if dtype is torch.float32 else 1e-4, PRECISION[run]))


@every_moved
def test_the_order_of_the_rows_does_not_matter(run: str, family: str) -> None:
    x = clusters().x
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    there = fit(run, x[order], family, start=start_for(family, x))
    here, there = unmoved(run, family).mixture, there.mixture
    components = torch.cdist(here.means, there.means).argmin(1).tolist()
    agree(there.permute(components), here, REORDERED[run])


@every_moved
def test_the_order_of_the_columns_is_the_order_of_the_answer(run: str, family: str) -> None:
    """To the same precision, but for priors and guides over the correlations' Cholesky factors.

    Those are other numbers for another order of the features, so that the mode of their density
    moves a little, and a guide of independent numbers too, whose noise also differs.
    """
    x, order = clusters(3).x, [2, 0, 1]
    here = fit(run, x, family, start="k-means", n_starts=1)
    there = fit(run, x[:, order], family, start="k-means", n_starts=1)
    back = [order.index(i) for i in range(3)]
    components = torch.cdist(here.mixture.means, there.mixture.means[:, back]).argmin(1).tolist()
    returned = there.mixture.permute(components).marginal(back)
    loose = run == "svi" or (run in ("map", "laplace") and family == "full")
    agree(returned, here.mixture, 0.3 if run in SAMPLERS else 0.05 if loose else REORDERED[run])


@STEP_LIMIT
@pytest.mark.parametrize("run", ENUMERATED)
def test_enumerated_engines_do_not_depend_on_units(run: str) -> None:
    x = clusters(1).x
    here, there = (
        fit(run, data, "diag", start=start_for("diag", data), max_steps=50) for data in (x, 1e4 * x)
    )
    agree(there.mixture, moved(here.mixture, 1e4, 0.0), 0.05)


# ---------------------------------------------------------------------- data


@STEP_LIMIT
@pytest.mark.parametrize(
    ("run", "frame"), [*((run, pd.DataFrame) for run in RUNS), ("em", pl.DataFrame)]
)
def test_column_names_are_carried(run: str, frame: Callable) -> None:
    table = frame({"height": clusters().x[:, 0].numpy(), "width": clusters().x[:, 1].numpy()})
    found = brief(run, table)
    assert found.mixture.feature_names == ("height", "width")
    assert found.observations.feature_names == ("height", "width")


@every_run
@STEP_LIMIT
def test_a_one_dimensional_array_is_univariate_data(run: str) -> None:
    x = clusters(1).x
    assert same(brief(run, x[:, 0].numpy()), brief(run, x))


@every_run
def test_sample_weights_count(run: str) -> None:
    """Points of weight zero are as good as absent; what is drawn for whole points refuses them."""
    data = clusters(n=80)
    noise = torch.cat([data.x, 50 + data.x[:20]])
    weight = torch.cat([torch.ones(80), torch.zeros(20)])
    if run == "gibbs":
        with pytest.raises(ValueError, match="gibbs takes no sample_weight"):
            fit(run, noise, sample_weight=weight)
        return
    found = fit(run, noise, sample_weight=weight)
    assert found.observations.total_weight == 80
    assert (found.mixture.means.abs() < 25).all()
    assert adjusted_rand(data.labels, found.mixture.predict(data.x)) > 0.85


@every_run
def test_float32(run: str) -> None:
    """The type of what is returned, the same clusters, and the densities of float64.

    A walk in single precision is soon another walk, so that its draws are held to the posterior
    and not to those of float64; whatever climbs to a place comes to the same one.
    """
    x = clusters().x
    found = fit(run, x, dtype=torch.float32)
    assert found.observations.x.dtype == torch.float32
    assert found.mixture.means.dtype == torch.float32
    assert found.history.dtype == torch.float64
    assert adjusted_rand(clusters().labels, found.mixture.predict(x)) > 0.85
    if run in CLIMBS:
        one, double = found.mixture, fitted(run, "full", 2).mixture
        order = torch.cdist(double.means, one.means.double()).argmin(1).tolist()
        agree(in_float64(one).permute(order), double, 0.05)
    elif found.posterior is not None and run in SAMPLERS:
        draws = {name: draw.flatten(0, 1) for name, draw in found.posterior.draws.items()}
        density = found.model.log_density(observe(found.observations.x.double()))
        lp = density.log_prior(draws) + density.log_likelihood(draws)
        rounding = 1e-5 * len(x)  # of sums of ten numbers as large as 10, at every point
        said = found.posterior.statistics["lp"].flatten()
        torch.testing.assert_close(said, lp, rtol=0, atol=rounding)


def in_float64(mixture: GaussianMixture) -> GaussianMixture:
    weights, means, covariances = (
        part.double() for part in (mixture.weights, mixture.means, mixture.covariances)
    )
    return GaussianMixture(weights / weights.sum(), means, covariances, mixture.family.name)


@every_run
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.tensor([[0.0, 1.0], [math.nan, 2.0], [3.0, 4.0]]),
            "1 NaN value, the first at row 1",
        ),
        (torch.tensor([[1.0, 2.0]]), "fewer than the 2 components"),
        (torch.tensor([[1.0, 2.0], [1.0, 3.0], [1.0, 5.0]]), "constant over its 3 rows: 'x0'"),
        (np.array([["a", "b"], ["c", "d"]]), "must hold real numbers, got strings"),
    ],
    ids=["NaN", "too few points", "constant column", "strings"],
)
def test_bad_data_are_refused(run: str, x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(run, x)


# ---------------------------------------------------------------------- options


@every_run
def test_every_method_has_the_common_options(run: str) -> None:
    names = {field.name for field in dataclasses.fields(METHODS[RUNS[run][0]].options)}
    assert {field.name for field in dataclasses.fields(Options)} <= names


@every_run
@pytest.mark.parametrize(("name", "meant"), [("n_start", "n_starts"), ("tolerence", "tolerance")])
def test_an_option_that_does_not_exist_is_named_with_the_nearest(
    run: str, name: str, meant: str
) -> None:
    with pytest.raises(gp.OptionError, match=f"no option '{name}'; did you mean '{meant}'"):
        fit(run, clusters().x, **{name: 1})


@pytest.mark.parametrize(
    ("method", "option"),
    [("em", "engine"), ("kmeans", "batch_size"), ("map", "n_draws"), ("gradient", "guide")],
)
def test_an_option_of_another_method_is_refused(method: str, option: str) -> None:
    with pytest.raises(TypeError, match=f"method '{method}' has no option '{option}'.*it has seed"):
        gp.fit(MixtureModel(2), clusters().x, method=method, **{option: 1})


@every_run
@pytest.mark.parametrize(
    "option",
    [
        {"seed": -1},
        {"seed": 0.5},
        {"seed": True},
        {"n_starts": 0},
        {"max_steps": 0},
        {"max_steps": 2.5},
        {"tolerance": -1e-3},
        {"tolerance": math.nan},
        {"tolerance": "small"},
        {"covariance_floor": -1.0},
        {"covariance_floor": math.inf},
        {"dtype": torch.int64},
        {"dtype": "double precision"},
        {"dtype": torch.bfloat16},
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_refused(run: str, option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ValueError, match=f"^{name} must be"):
        fit(run, clusters().x, **option)


def test_numpy_s_integers_are_integers() -> None:
    assert fit("em", clusters().x, seed=np.int64(3), max_steps=np.int32(90)).seed == 3


@pytest.mark.parametrize(
    ("name", "meant"),
    [("emm", "em"), ("kmean", "kmeans"), ("SVI", None), ("gradients", "gradient")],
)
def test_an_unknown_method_is_named_with_the_nearest(name: str, meant: str | None) -> None:
    hint = f"; did you mean '{meant}'" if meant else ""
    with pytest.raises(ValueError, match=f"method must be one of kmeans, em, .*'{name}'{hint}"):
        gp.fit(MixtureModel(2), clusters().x, method=name)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a gmm_pyro.MixtureModel, got int"):
        gp.fit(2, clusters().x)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- progress


@every_run
@STEP_LIMIT
def test_progress_is_shown_on_standard_error_when_asked_for(
    run: str, capfd: pytest.CaptureFixture[str]
) -> None:
    brief(run, clusters().x, progress=True)
    shown = capfd.readouterr()
    assert RUNS[run][0] in shown.err
    assert "step" in shown.err
    assert shown.out == ""


@every_run
@STEP_LIMIT
def test_nothing_is_shown_otherwise(run: str, capfd: pytest.CaptureFixture[str]) -> None:
    brief(run, clusters().x)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------------- endings


def overlapping(d: int = 2) -> Tensor:
    """Data that no method is done with in a few steps."""
    return gp.datasets.make_mixture(n=100, d=d, k=2, separation=1.5, seed=1).x


@pytest.mark.parametrize("run", [run for run in RUNS if run not in SAMPLERS])
def test_the_step_limit_is_kept_and_told(run: str) -> None:
    limit = 1 if run in ("kmeans", "em", "map", "laplace", "svi") else 50
    with pytest.warns(FitWarning, match=f"{RUNS[run][0]} stopped at the step limit.*raise max_st"):
        found = fit(run, overlapping(), max_steps=limit, tolerance=0, start="random points")
    assert found.status is Status.STEP_LIMIT
    assert not found.converged
    assert found.steps == limit


@pytest.mark.parametrize("run", SAMPLERS)
def test_the_step_limit_of_a_sampler_is_that_of_its_start(run: str) -> None:
    """How many steps it takes itself is told by its own options."""
    found = brief(run, overlapping(), max_steps=1, start="random points")
    assert found.status in (Status.CONVERGED, Status.UNMIXED)
    assert found.steps == found.options.n_draws


@pytest.mark.parametrize("run", ["gradient", "map, enumerated", "svi, enumerated"])
def test_no_step_is_taken_beyond_the_limit(run: str) -> None:
    """These methods take steps in blocks, which a limit below a block does not allow."""
    with pytest.warns(FitWarning, match="step limit"):
        found = fit(run, overlapping(), max_steps=10, tolerance=0)
    assert found.steps <= 10


def interrupt_at(monkeypatch: pytest.MonkeyPatch, update: int) -> Callable[[], int]:
    """Press Ctrl-C at the n-th update of the progress bar; returns how many came after it."""
    count = 0

    def counted(self: tqdm, n: float = 1) -> None:
        nonlocal count
        count += 1
        if count == update:
            raise KeyboardInterrupt

    monkeypatch.setattr(tqdm, "update", counted)
    return lambda: max(0, count - update)


def interrupted(run: str, x: Tensor, family: str = "full", **options: Any) -> gp.Fit:
    """A fit during which Ctrl-C is pressed, which must not pass it on, and has a result."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = fit(run, x, family, **options)
        except KeyboardInterrupt:
            pytest.fail("the interrupt reached the caller, and with it nothing")
    assert found.status is Status.INTERRUPTED
    assert any("interrupted; the best state so far is kept" in str(w.message) for w in caught)
    assert found.mixture.log_prob(x).isfinite().all()
    assert found.history.isfinite().all()
    assert np.isfinite(found.objective)
    return found


@pytest.mark.parametrize("run", BY_STEPS)
@pytest.mark.parametrize("update", [1, 2, 6])
def test_an_interrupt_returns_the_best_so_far(
    run: str, update: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, update)
    interrupted(run, overlapping(), tolerance=0, start="random points", n_starts=1)


@pytest.mark.parametrize("run", BY_STEPS)
def test_one_interrupt_is_enough(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No later phase of the fit goes on as if nothing had happened."""
    updates_after = interrupt_at(monkeypatch, 2)
    interrupted(run, overlapping(), tolerance=0)
    assert updates_after() <= 1


@pytest.mark.parametrize(
    ("run", "step"),
    [(run, step) for run in ENUMERATED for step in ((1, 10) if run in SAMPLERS else (1, 40))],
)
def test_an_interrupt_of_pyro_s_steps(run: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    owner, name = (pyro.infer.NUTS, "sample") if run in SAMPLERS else (pyro.infer.SVI, "step")
    original = getattr(owner, name)

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == step:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    interrupted(run, clusters(1).x, "diag")


@pytest.mark.filterwarnings("ignore:em found a degenerate solution")
def test_em_that_diverges_keeps_the_last_finite_state() -> None:
    """Without a floor, a component shrinks onto copies of one point until it has no width."""
    x = torch.cat([clusters().x, torch.tensor([[0.0, 4.0]]).expand(3, 2)])
    start = GaussianMixture(
        [0.5, 0.45, 0.05],
        [[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]],
        [[[1.0, 0.0], [0.0, 1.0]]] * 2 + [[[0.01, 0.0], [0.0, 0.01]]],
    )
    with pytest.warns(FitWarning, match="diverged: the objective is no longer finite"):
        found = fit("em", x, k=3, start=start, covariance_floor=0)
    assert found.status is Status.DIVERGED
    assert found.history.isfinite().all()
    assert np.isfinite(found.objective)
    assert found.mixture.log_prob(x).isfinite().all()


@pytest.mark.parametrize("run", ["gradient", "svi", "map, enumerated", "svi, enumerated"])
def test_steps_too_large_to_climb_do_no_harm(run: str) -> None:
    """Whatever the status, the state that is returned is finite, and not good by accident."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        found = fit(run, clusters().x, rate=1e4, max_steps=100)
    assert np.isfinite(found.objective)
    assert found.mixture.log_prob(clusters().x).isfinite().all()
    assert found.history.isfinite().all()


@pytest.mark.parametrize("run", [run for run in COLLAPSED if run != "nuts"])  # laplace's climb
def test_points_in_fewer_places_than_components_are_told(run: str) -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64).repeat(20, 1)
    limit = 10 if run in ("map", "laplace", "svi") else 100  # they only climb further and slower
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fit(run, x, k=3, max_steps=limit)
    assert found.diagnostics["problems"]
    assert any("degenerate" in str(w.message) for w in caught)
    assert {w.category for w in caught} == {FitWarning}


def test_a_name_of_a_dtype_is_that_dtype() -> None:
    named = fit("em", clusters().x, dtype="float32").mixture.means
    assert named.equal(fit("em", clusters().x, dtype=torch.float32).mixture.means)


@pytest.mark.filterwarnings("ignore:em found a degenerate solution:gmm_pyro.FitWarning")
@pytest.mark.parametrize("k", [1, 2, 3])
def test_points_in_two_places_without_a_floor_diverge_from_a_finite_state(k: int) -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64).repeat(20, 1)
    with pytest.warns(FitWarning, match="diverged"):
        mixture = gp.fit(MixtureModel(k), x, covariance_floor=0).mixture
    assert mixture.covariance_matrices().isfinite().all()


def test_a_warning_points_at_the_caller() -> None:
    with pytest.warns(FitWarning) as caught:
        gp.fit(MixtureModel(2), overlapping(), max_steps=1, tolerance=0, n_starts=1)
    assert caught[0].filename == __file__
