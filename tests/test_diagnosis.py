"""What a fit says of degenerate solutions, and how small a covariance may be."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, GaussianMixture, MixtureModel, Priors
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.diagnosis import diagnose
from oracles import normal_array as numbers
from runs import told

NO_FLOOR = torch.zeros(2, dtype=torch.float64)


def two_clusters(d: int = 2, seed: int = 0) -> np.ndarray:
    x = numbers(120, d, seed=seed)
    x[:60, 0] += 9
    return x


def problems_of(x: np.ndarray, means: Any, scales: Any, **options: Any) -> str:
    """Of a mixture of spherical components, given their means and standard deviations."""
    variances = np.square(np.asarray(scales, dtype=float))
    mixture = GaussianMixture([1 / len(means)] * len(means), means, variances, "spherical")
    observations = options.pop("observations", None) or observe(x)
    floor = options.pop("floor", NO_FLOOR)
    return "; ".join(
        diagnose(observations, mixture.family, mixture.parameters, floor, **options).problems
    )


# ---------------------------------------------------------------------- what is degenerate


def test_components_without_points_are_one_sentence() -> None:
    means = [[0.0, 0.0], [9.0, 0.0], [90.0, 0.0], [0.0, 90.0]]
    assert problems_of(two_clusters(), means, [1.0] * 4) == "components 2 and 3 hold no point"
    assert problems_of(two_clusters(), means[:3], [1.0] * 3) == "component 2 holds no point"
    there = [[4.0, 0.0], [900.0, 0.0]]
    assert problems_of(two_clusters(), there, [5.0] * 2) == "all points are in one component"


@pytest.mark.parametrize(
    ("surplus", "problems"),
    [({2, 3}, ""), ({0, 1, 2, 3}, ""), ({3}, "component 2 holds no point")],
)
def test_components_that_may_be_empty_are_none(surplus: set[int], problems: str) -> None:
    means = [[0.0, 0.0], [9.0, 0.0], [90.0, 0.0], [0.0, 90.0]]
    assert problems_of(two_clusters(), means, [1.0] * 4, surplus=surplus) == problems


@pytest.mark.parametrize("copies", [1, 2, 30])
def test_a_component_on_one_point_or_its_copies(copies: int) -> None:
    """However wide it is: the width is not the data's."""
    x = np.concatenate([two_clusters(), [[5.0, 30.0]] * copies])
    found = problems_of(x, [[0.0, 0.0], [9.0, 0.0], [5.0, 30.0]], [1.0, 1.0, 2.0])
    on = "a single point" if copies == 1 else "copies of a single point"
    assert found == f"component 2 rests on {on}"


def test_points_of_no_weight_are_no_points() -> None:
    x = np.concatenate([two_clusters(), [[5.0, 30.0]] * 9, [[6.0, 30.0]]])
    weight = np.ones(len(x))
    weight[-1] = 0
    means, scales = [[0.0, 0.0], [9.0, 0.0], [5.0, 30.0]], [1.0, 1.0, 2.0]
    assert problems_of(x, means, scales) == ""
    weighted = observe(x, sample_weight=weight)
    found = problems_of(x, means, scales, observations=weighted)
    assert found == "component 2 rests on copies of a single point"


def test_many_singular_components_are_one_sentence() -> None:
    """Twenty-five of them used to be twenty-five."""
    x = np.round(numbers(3000, 1) * 8)
    found, said = told(MixtureModel(25), x, "em", max_steps=100)
    assert re.search("covariances of components .* and .* are singular", said)
    assert len(str(found.diagnostics)) < 500


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("width", [0.9, 1.0, 1.1])
def test_a_family_is_judged_by_the_floor_that_it_is_fitted_with(family: str, width: float) -> None:
    """Whatever the units: a covariance at, below and above the least that an M-step leaves."""
    x = two_clusters() * [1e-3, 50.0]
    floor = 1e-4 * torch.tensor(x.var(0))
    least = FAMILIES[family].fit(FAMILIES[family].compress(torch.zeros(2, 2).double()), floor)
    shape = FAMILIES[family].n_covariances(2), *least.shape
    mixture = GaussianMixture.from_parameters(
        FAMILIES[family],
        gp.covariance.Parameters(
            torch.tensor([[0.5, 0.5]]).double().log(),
            torch.tensor(x[[0, 60]])[None],
            (width * least).expand(1, *shape),
        ),
    )
    problems = "; ".join(diagnose(observe(x), mixture.family, mixture.parameters, floor).problems)
    said = {0.9: "below covariance_floor=1.0e-04", 1.0: "held up by covariance_floor=1.0e-04"}
    assert said.get(width, "") in problems
    assert ("singular" in problems) == (width < 1.05)


# ---------------------------------------------------------------------- surplus components


SPARSE = {
    "svi": {"max_steps": 30, "n_draws": 20},
    "gibbs": {"n_chains": 2, "n_draws": 100, "n_warmup": 200},
}


@pytest.mark.parametrize("method", SPARSE)
def test_what_a_sparse_prior_empties_is_a_result(method: str) -> None:
    x, priors = two_clusters(), ConjugatePriors(concentration=0.01)
    found, said = told(MixtureModel(6, priors=priors), x, method, **SPARSE[method])
    assert "no point" not in said
    assert not any("point" in problem for problem in found.diagnostics["problems"])
    assert found.diagnostics["filled_components"] < 6


def test_only_concentrations_below_one_ask_for_it() -> None:
    model = MixtureModel(3, priors=ConjugatePriors(concentration=[0.5, 1.0, 2.0]))
    assert model.specialise(two_clusters()).surplus == {0}
    weights = dist.Dirichlet(torch.tensor([3.0, 0.9, 0.2]))
    assert MixtureModel(3, priors=Priors(weights=weights)).specialise([0.0, 1.0]).surplus == {1, 2}
    assert MixtureModel(3).specialise([0.0, 1.0]).surplus == set()


def test_em_has_no_prior_that_could_ask_for_it() -> None:
    model = MixtureModel(3, priors=ConjugatePriors(concentration=0.01))
    start = GaussianMixture([0.5, 0.5, 1e-9], [[9.0], [0.0], [400.0]], [[[1.0]], [[1.0]], [[1e-4]]])
    found, said = told(model, two_clusters(1), "em", start=start)
    assert found.diagnostics["problems"] == ("component 2 holds no point",)
    assert "degenerate" in said


# ---------------------------------------------------------------------- no outlier sets the floor


def outlier(at: float, d: int = 2) -> np.ndarray:
    return np.concatenate([two_clusters(d), np.full((1, d), at)])


CLUSTERS_AND_OUTLIER = np.repeat([0, 1, 2], [60, 60, 1])


def gap_over_width(fit: gp.Fit) -> float:
    """Of the two components that are nearest to the origin."""
    order = fit.mixture.means[:, 0].abs().argsort()[:2]
    means, variances = fit.mixture.means[order, 0], fit.mixture.covariance_matrices()[order, 0, 0]
    return float((means[0] - means[1]).abs() / variances.max().sqrt())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("at", [1e5, -1e8])
def test_a_far_outlier_does_not_merge_clusters(family: str, at: float) -> None:
    found, said = told(MixtureModel(3, family), outlier(at), "em", start=CLUSTERS_AND_OUTLIER)
    assert found.converged
    assert gap_over_width(found) > 7
    assert found.labels.bincount().sort().values.tolist() == [1, 60, 60]
    of_one_volume = FAMILIES[family].mclust.startswith("E")
    assert of_one_volume or "is singular" in said  # the outlier's


def test_gradient_takes_its_steps_by_the_bulk_of_the_data() -> None:
    assert gap_over_width(told(MixtureModel(3), outlier(1e5), "gradient")[0]) > 7


class TestBulk:
    def test_it_is_the_standard_deviation_of_sound_data(self) -> None:
        rng = np.random.default_rng(1)
        columns = [
            rng.normal(size=500),
            rng.standard_t(3, size=500),
            rng.exponential(size=500) ** 2,
            rng.integers(0, 2, 500),
            rng.random(500) < 0.02,
            np.where(rng.random(500) < 0.9, 0, rng.normal(size=500)),
            np.round(rng.normal(25, 12, 500) / 5) * 5,
            np.where(rng.random(500) < 0.2, rng.normal(size=500), 15 + rng.normal(size=500)),
        ]
        observations = observe(np.column_stack(columns))
        assert observations.bulk.equal(observations.scale)

    @pytest.mark.parametrize("n", [12, 300, 30_000])
    def test_it_is_ten_quartile_ranges_where_an_outlier_sets_the_deviation(self, n: int) -> None:
        x = np.append(numbers(n, 1), 1e7)
        low, high = np.quantile(x, [0.25, 0.75], method="inverted_cdf")
        assert float(observe(x).bulk) == pytest.approx(10 * (high - low), rel=0.15)

    def test_it_moves_with_units_and_signs(self) -> None:
        x = np.append(numbers(300, 1), 1e7)
        assert float(observe(-8 * x).bulk) == 8 * float(observe(x).bulk)

    def test_weights_are_repeated_rows(self) -> None:
        x, weight = np.append(numbers(300, 1), 1e7), np.arange(301) % 4
        weight[-1] = 1
        weighted = observe(x, sample_weight=weight)
        assert float(weighted.bulk) == float(observe(x.repeat(weight)).bulk)

    @pytest.mark.parametrize("ties", [0.6, 0.85, 0.93])
    def test_ties_leave_a_range_that_is_wider(self, ties: float) -> None:
        """Quartiles are equal; an outlier beside 60 to 93 % of zeros still does not set it."""
        x = np.append(np.where(np.arange(1000) < 1000 * ties, 0, numbers(1000)), 1e9)
        assert 1 < float(observe(x).bulk) < 50

    def test_a_large_file_is_read_in_part(self, tmp_path: Any) -> None:
        file = np.memmap(tmp_path / "x", dtype=np.float64, mode="w+", shape=(200_000, 2))
        file[:] = numbers(200_000, 2)
        file[7] = 1e9
        bulk = observe(file).bulk
        torch.testing.assert_close(bulk, torch.full_like(bulk, 13.49), rtol=0.05, atol=0)


# ---------------------------------------------------------------------- a mode that is none


def refused(x: Tensor, priors: Any, k: int = 3, **options: Any) -> str:
    with pytest.raises(
        ValueError, match="map needs a prior of the weights that has a mode"
    ) as told:
        gp.fit(MixtureModel(k, priors=priors), x, "map", **options)
    return str(told.value)


class TestMapNeedsAMode:
    x = two_clusters()

    @pytest.mark.parametrize("engine", ["collapsed", "enumerated"])
    @pytest.mark.parametrize(
        "priors",
        [
            ConjugatePriors(concentration=0.1),
            Priors(weights=dist.Dirichlet(torch.full((3,), 0.1))),
            Priors(weights=dist.Dirichlet(torch.full((3,), 0.99))),
        ],
    )
    def test_concentrations_below_one_are_refused(self, engine: str, priors: Any) -> None:
        said = refused(self.x, priors, engine=engine)
        assert "any weight goes to zero" in said
        assert "at least 1" in said
        assert "laplace, svi or nuts, or gibbs" in said

    def test_a_single_one_is_named(self) -> None:
        said = refused(self.x, ConjugatePriors(concentration=[1.0, 2.0, 0.5]))
        assert "the weight of component 2 goes to zero" in said

    def test_a_logistic_normal_falls_in_the_end(self) -> None:
        """Its density rises towards the edge for 25 units of the logit, and falls from there."""
        wide = dist.Normal(torch.zeros(2), 5.0).to_event(1)
        prior = dist.TransformedDistribution(wide, [dist.transforms.StickBreakingTransform()])
        model = MixtureModel(3, "tied", priors=Priors(weights=prior))
        assert told(model, self.x, "map", max_steps=3)[0].objective < 0

    @pytest.mark.parametrize("concentration", [1.0, [1.0, 1.0, 4.0]])
    def test_a_flat_prior_has_one(self, concentration: Any) -> None:
        model = MixtureModel(3, "tied", priors=ConjugatePriors(concentration=concentration))
        assert told(model, self.x, "map", max_steps=3)[0].objective < 0

    def test_of_one_component_there_is_nothing_to_weigh(self) -> None:
        model = MixtureModel(1, priors=ConjugatePriors(concentration=0.1))
        assert told(model, self.x, "map")[0].converged
