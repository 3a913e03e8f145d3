"""Claims about calibration: the oracle is exact, right samplers pass, and broken ones do not."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy import stats
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, MixtureModel, Priors
from gmm_pyro.calibration import (
    Calibration,
    GewekeTest,
    default_quantities,
    exact_posterior,
    geweke,
    simulation_based_calibration,
)
from gmm_pyro.calibration.exact import set_partitions
from gmm_pyro.calibration.joint import draw_points, draw_prior
from gmm_pyro.covariance import Parameters, Statistics
from gmm_pyro.model.normal_wishart import Components, NormalWishart
from oracles import FAILURE_RATE, STANDARD_ERRORS, every_family, normal


def points(n: int, d: int, seed: int = 0) -> Float[Tensor, "n d"]:
    return 1.5 * normal(n, d, seed=seed)


def model_of(k: int, family: str = "full", d: int = 1, **changes: Any) -> MixtureModel:
    """A model with a concrete prior."""
    chosen = {"mean": 0.3, "mean_strength": 0.2, "scale": 1.5, "spread": torch.ones(d)}
    return MixtureModel(k, family, ConjugatePriors(**{**chosen, **changes}))


def passes(result: Calibration | GewekeTest) -> bool:
    """Whether all quantities pass at the failure rate of these tests."""
    return all(replace(result, failure_rate=FAILURE_RATE).passes.values())


def fails(result: Calibration | GewekeTest) -> bool:
    """Whether the covariances, which are drawn wrongly, are found to be."""
    return not replace(result, failure_rate=FAILURE_RATE).passes["log_volume"]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws of parameters with too many degrees of freedom."""
    draw = NormalWishart.draw

    def wrong(self: NormalWishart, *arguments: Any) -> Components:
        return draw(replace(self, dof=self.dof + 1.5), *arguments)

    monkeypatch.setattr(NormalWishart, "draw", wrong)


# ---------------------------------------------------------------------- the exact posterior


class TestExactPosterior:
    @pytest.mark.parametrize("family", ["full", "tied"])
    def test_one_component_is_a_chain_of_student_t_predictions(self, family: str) -> None:
        """Murphy (2007), equation 258: each point given those before it, by SciPy."""
        x, d, m, kappa, dof = points(6, 2).numpy(), 2, np.array([0.3, 0.3]), 0.2, 5.0
        scale, expected = np.array([[1.5, 0.4], [0.4, 1.0]]), 0.0
        model = model_of(1, family, d, dof=dof, scale=scale)
        for point in x:
            shape = scale * (kappa + 1) / (kappa * (dof - d + 1))
            expected += stats.multivariate_t(m, shape, df=dof - d + 1).logpdf(point)
            away = (point - m)[:, None]
            scale = scale + kappa / (kappa + 1) * away @ away.T
            m, kappa, dof = (kappa * m + point) / (kappa + 1), kappa + 1, dof + 1
        exact = exact_posterior(model, x)
        assert exact.log_evidence == pytest.approx(expected, rel=1e-12)
        following = stats.multivariate_t(
            m, scale * (kappa + 1) / (kappa * (dof - d + 1)), df=dof - d + 1
        )
        new = points(3, 2, seed=1)
        expected_new = torch.tensor(following.logpdf(new.numpy()))
        torch.testing.assert_close(exact.log_predictive(new), expected_new)

    @pytest.mark.parametrize("family", ["spherical", "tied_spherical"])
    def test_one_spherical_component_is_one_student_t(self, family: str) -> None:
        """All n d numbers at once, with the mean and then the variance integrated out."""
        x, dof, total = points(5, 2), 5.0, 3.0
        model = model_of(1, family, 2, dof=dof, scale=[1.0, 2.0])
        each = np.eye(5) + 1 / 0.2  # the mean is shared by the points
        shape = np.kron(each, np.eye(2)) * total / dof
        expected = stats.multivariate_t(np.full(10, 0.3), shape, df=dof).logpdf(x.flatten().numpy())
        assert exact_posterior(model, x).log_evidence == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("family", ["diag", "tied_diag"])
    def test_one_diagonal_component_is_a_student_t_for_each_feature(self, family: str) -> None:
        x, dof, scale = points(5, 2), 5.0, [1.0, 2.0]
        model = model_of(1, family, 2, dof=dof, scale=scale)
        expected = sum(
            stats.multivariate_t(np.full(5, 0.3), (np.eye(5) + 5.0) * psi / dof, df=dof).logpdf(
                x[:, j].numpy()
            )
            for j, psi in enumerate(scale)
        )
        assert exact_posterior(model, x).log_evidence == pytest.approx(expected, rel=1e-12)

    @every_family
    @pytest.mark.parametrize("k", [2, 3])
    def test_is_the_sum_over_all_labelled_allocations(self, family: str, k: int) -> None:
        x, d = points(4, 2), 2
        model = model_of(k, family, d, concentration=0.7)
        components = model.priors.conjugate(model.family, k).components  # type: ignore[union-attr]
        log_p, same = [], []
        for z in itertools.product(range(k), repeat=4):
            hot = torch.nn.functional.one_hot(torch.tensor(z), k).T[None].double()
            second = model.family.weighted_square(x, hot)
            statistics = Statistics(
                torch.zeros(1),
                hot.sum(2),
                hot @ x,
                second.sum(1, keepdim=True) if model.family.tied else second,
                torch.zeros(d).double(),
            )
            n = hot.sum(2)[0]
            weights = (0.7 + n).lgamma().sum() - k * math.lgamma(0.7)
            weights = weights + math.lgamma(0.7 * k) - math.lgamma(0.7 * k + 4)
            log_p.append(components.log_evidence(statistics)[0] + weights)
            same.append(z[0] == z[2])
        joint = torch.stack(log_p)
        exact = exact_posterior(model, x)
        assert exact.log_evidence == pytest.approx(joint.logsumexp(0).item(), rel=1e-12)
        expected = joint.softmax(0)[torch.tensor(same)].sum()
        torch.testing.assert_close(exact.co_clustering[0, 2], expected)

    def test_is_the_integral_over_weights_means_and_precisions(self) -> None:
        """Two points and two components in one dimension, on a grid of means and precisions."""
        x, dof, scale, strength, m, alpha = [0.4, -1.1], 5.0, 1.5, 0.2, 0.3, 2.0
        log_p, mean = np.linspace(-9, 4, 700), np.linspace(-40, 40, 8001)[:, None]
        p = np.exp(log_p)
        prior = stats.gamma(dof / 2, scale=2 / scale).pdf(p) * p
        prior = prior * stats.norm(m, (strength * p) ** -0.5).pdf(mean)
        cell = (log_p[1] - log_p[0]) * (mean[1, 0] - mean[0, 0])
        likelihood = [stats.norm(mean, p**-0.5).pdf(point) for point in x]
        alone = [(prior * each).sum() * cell for each in likelihood]
        both = (prior * likelihood[0] * likelihood[1]).sum() * cell
        same = (alpha + 1) / (2 * alpha + 1)  # that two points share a component
        evidence = same * both + (1 - same) * alone[0] * alone[1]
        exact = exact_posterior(model_of(2, dof=dof), x)
        assert exact.log_evidence == pytest.approx(math.log(evidence), abs=1e-4)
        assert exact.co_clustering[0, 1].item() == pytest.approx(same * both / evidence, abs=1e-4)

    @every_family
    def test_the_predictive_density_integrates_to_one(self, family: str) -> None:
        exact = exact_posterior(model_of(3, family), points(5, 1))
        grid = torch.sinh(torch.linspace(-9, 9, 3001, dtype=torch.float64))
        density = exact.log_predictive(grid).exp()
        assert torch.trapezoid(density, grid).item() == pytest.approx(1.0, abs=1e-4)

    @every_family
    def test_prediction_is_a_ratio_of_evidences(self, family: str) -> None:
        x, model = points(7, 2), model_of(2, family, 2)
        whole, part = exact_posterior(model, x), exact_posterior(model, x[:6])
        found = part.log_predictive(x[6:]).item()
        assert found == pytest.approx(whole.log_evidence - part.log_evidence, rel=1e-10)

    def test_many_points_are_predicted_one_by_one(self) -> None:
        exact = exact_posterior(model_of(3, "full", 2), points(8, 2))
        new = points(100, 2, seed=1)
        some = torch.stack([exact.log_predictive(point[None])[0] for point in new[::20]])
        torch.testing.assert_close(exact.log_predictive(new)[::20], some)

    @pytest.mark.parametrize(("n", "k", "count"), [(6, 6, 203), (8, 9, 4140), (6, 3, 122)])
    def test_there_are_as_many_partitions_as_bell_and_stirling_say(
        self, n: int, k: int, count: int
    ) -> None:
        partitions = set_partitions(n, k)
        assert len(partitions) == len(partitions.unique(dim=0)) == count

    @pytest.mark.parametrize("k", [1, 2, 5, 20])
    def test_probabilities_are_probabilities(self, k: int) -> None:
        exact = exact_posterior(model_of(k), points(5, 1))
        assert exact.probabilities.sum().item() == pytest.approx(1)
        assert exact.filled_components.shape == (k,)
        assert exact.filled_components.sum().item() == pytest.approx(1)
        torch.testing.assert_close(exact.co_clustering.diagonal(), torch.ones(5).double())
        torch.testing.assert_close(exact.co_clustering, exact.co_clustering.T)

    @pytest.mark.parametrize(
        ("model", "n", "message"),
        [
            (MixtureModel(2), 9, "x must have at most 8 points.* got 9"),
            (MixtureModel(2, priors=Priors()), 5, "needs a conjugate prior.* got Priors"),
            (model_of(2, mean_scale=2.0), 5, "ConjugatePriors without mean_scale"),
            (model_of(2, concentration=[1.0, 2.0]), 5, r"must be equal .* got \[1.0, 2.0\]"),
        ],
    )
    def test_refuses_what_has_no_short_sum(self, model: MixtureModel, n: int, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            exact_posterior(model, points(n, 1))

    def test_refuses_points_with_other_features(self) -> None:
        with pytest.raises(ValueError, match="feature"):
            exact_posterior(model_of(2), points(4, 1)).log_predictive(points(3, 2))


# ---------------------------------------------------------------------- ranks and their band


def uniform_ranks(
    count: int, n_datasets: int, n_draws: int, failure_rate: float = 0.2
) -> Calibration:
    generator = torch.Generator().manual_seed(0)
    ranks = torch.randint(0, n_draws + 1, (count, n_datasets), generator=generator)
    named = {str(number): row for number, row in enumerate(ranks)}
    return Calibration("none", named, n_draws, failure_rate=failure_rate * count)


class TestBand:
    @pytest.mark.parametrize(("n_datasets", "n_draws"), [(100, 63), (37, 7), (60, 500)])
    def test_holds_the_whole_curve_as_often_as_it_says(self, n_datasets: int, n_draws: int) -> None:
        result = uniform_ranks(300, n_datasets, n_draws)
        failed = 1 - np.mean(list(result.passes.values()))
        error = math.sqrt(0.2 * 0.8 / 300)
        steps = 0.12  # of counts, which are whole: the band may be that much too wide
        assert 0.2 - steps - STANDARD_ERRORS * error < failed < 0.2 + STANDARD_ERRORS * error

    def test_passes_what_is_inside(self) -> None:
        result = uniform_ranks(200, 50, 15)
        band = result.band
        for name, curve in result.ecdf_difference.items():
            inside = (curve >= band.lower - 1e-12) & (curve <= band.upper + 1e-12)
            assert bool(inside.all()) == result.passes[name] == (result.p_values[name] > 0.2)

    @pytest.mark.parametrize("wrong", ["narrow", "wide", "low", "high"])
    def test_finds_and_names_what_is_wrong(self, wrong: str) -> None:
        generator = torch.Generator().manual_seed(0)
        u = torch.rand(400, generator=generator, dtype=torch.float64)
        z = torch.special.ndtri(u)
        place = {
            "narrow": torch.special.ndtr(1.5 * z),
            "wide": torch.special.ndtr(z / 1.5),
            "low": u.square(),
            "high": u.sqrt(),
        }[wrong]
        result = Calibration("none", {"q": (place * 64).long()}, 63)
        row = result.table.loc["q"]
        assert not row["passes"]
        if wrong in ("narrow", "wide"):
            assert (row["rank_spread"] > 1.1, row["rank_spread"] < 0.9) == (
                wrong == "narrow",
                wrong == "wide",
            )
            assert abs(row["mean_rank"] - 0.5) < 0.05
        else:
            assert (row["mean_rank"] < 0.4, row["mean_rank"] > 0.6) == (
                wrong == "low",
                wrong == "high",
            )
            assert (row["largest_difference"] > 0) == (wrong == "low")

    def test_ties_are_broken_evenly(self) -> None:
        """A quantity that is the same for all parameters has uniform ranks."""
        same = {"constant": lambda p, x: torch.ones(len(x)), "mean": lambda p, x: p.means[:, 0, 0]}
        result = simulation_based_calibration(
            model_of(1), n_points=5, n_datasets=300, n_draws=9, quantities=same
        )
        assert set(result.ranks["constant"].tolist()) == set(range(10))
        assert passes(result)


# ---------------------------------------------------------------------- simulation


def own_posterior(
    model: MixtureModel, x: Float[Tensor, "n d"], seed: int, excess: float = 0.0
) -> dict[str, Tensor]:
    """Draws of one component's posterior in one dimension, by NumPy and the textbook."""
    rng, n, x = np.random.default_rng(seed), len(x), x[:, 0].numpy()
    scale = 1.5 + ((x - x.mean()) ** 2).sum() + 0.2 * n / (0.2 + n) * (x.mean() - 0.3) ** 2
    p = rng.gamma((4.0 + excess + n) / 2, 2 / scale, size=40)
    means = (0.2 * 0.3 + x.sum()) / (0.2 + n) + rng.normal(size=40) / np.sqrt((0.2 + n) * p)
    return {
        "weights": torch.ones(40, 1),
        "precisions": torch.tensor(p)[:, None, None, None],
        "means": torch.tensor(means)[:, None, None],
    }


class TestSimulationBasedCalibration:
    @every_family
    def test_gibbs_passes(self, family: str) -> None:
        model = model_of(2, family, 2)
        result = simulation_based_calibration(
            model, n_points=20, n_datasets=200, n_draws=15, n_warmup=100
        )
        assert passes(result), result.table

    def test_gibbs_passes_with_independent_means_and_unequal_weights(self) -> None:
        model = model_of(2, "full", mean_scale=2.0, concentration=[1.0, 3.0])
        result = simulation_based_calibration(
            model, n_points=20, n_datasets=200, n_draws=15, n_warmup=100
        )
        assert passes(result), result.table

    def test_a_broken_sampler_fails(self, broken: None) -> None:
        result = simulation_based_calibration(
            model_of(2), n_points=15, n_datasets=250, n_draws=15, n_warmup=50
        )
        assert fails(result)

    def test_a_function_of_your_own_passes_where_it_is_right(self) -> None:
        model = model_of(1, dof=4.0)
        chosen = {"n_points": 8, "n_datasets": 200, "n_draws": 31}
        right = simulation_based_calibration(model, own_posterior, **chosen)
        wrong = simulation_based_calibration(model, own_posterior, excess=6.0, **chosen)
        assert right.method == "own_posterior"
        assert passes(right), right.table
        assert fails(wrong)

    def test_other_methods_fit_one_data_set_after_the_other(self) -> None:
        model = MixtureModel(
            1, "diag", Priors(location=torch.zeros(1).double(), spread=torch.ones(1).double())
        )
        result = simulation_based_calibration(
            model, "svi", n_points=10, n_datasets=3, n_draws=20, n_starts=1
        )
        assert result.method == "svi"
        assert result.n_unconverged == 0
        for ranks in result.ranks.values():
            assert ranks.shape == (3,)
            assert 0 <= ranks.min() <= ranks.max() <= 20

    def test_the_same_seed_is_the_same_result_and_nothing_global_changes(self) -> None:
        state, threads = torch.get_rng_state(), torch.get_num_threads()
        model, few = model_of(2), {"n_points": 6, "n_datasets": 10, "n_draws": 7, "n_warmup": 5}
        first, again, other = (
            simulation_based_calibration(model, seed=seed, **few) for seed in (1, 1, 2)
        )
        for name, ranks in first.ranks.items():
            assert torch.equal(ranks, again.ranks[name])
        assert any((first.ranks[name] != other.ranks[name]).any() for name in first.ranks)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == threads

    @pytest.mark.parametrize(
        ("model", "method", "options", "message"),
        [
            (MixtureModel(2), "gibbs", {}, "priors that data can be drawn from"),
            (MixtureModel(2, priors=Priors()), "svi", {}, "priors that data can be drawn from"),
            (model_of(2, mean=None), "gibbs", {}, "priors that data can be drawn from"),
            (model_of(2), "em", {}, "method 'em' has no draws"),
            (model_of(2), "gips", {}, "did you mean 'gibbs'"),
            (model_of(2), "gibbs", {"n_chains": 3}, "takes the options n_warmup, thin, exchange"),
            (model_of(2), "gibbs", {"n_draws": 0}, "n_draws must be an integer of at least 1"),
            (model_of(3), "gibbs", {"n_points": 2}, "n_points must be an integer of at least 3"),
            (model_of(1), own_posterior, {"n_draws": 41}, r"must have shape \(41 or more, 1\)"),
            (model_of(2), own_posterior, {}, r"draws of weights must have shape \(5 or more, 2\)"),
            (
                model_of(1),
                lambda *_: {"means": torch.zeros(1)},
                {},
                "draws must have the sites weights, prec",
            ),
        ],
    )
    def test_refuses(
        self, model: MixtureModel, method: Any, options: dict[str, Any], message: str
    ) -> None:
        few = {"n_points": 5, "n_datasets": 2, "n_draws": 5}
        with pytest.raises(ValueError, match=message):
            simulation_based_calibration(model, method, **{**few, **options})

    def test_refuses_quantities_without_a_number_for_each_data_set(self) -> None:
        few = {"n_points": 5, "n_datasets": 2, "n_draws": 5}
        for value, message in (
            (torch.ones(3), r"shape \(2,\), got \(3,\)"),
            (None, "not a number"),
        ):
            given = torch.full((2,), torch.nan) if value is None else value
            with pytest.raises(ValueError, match=message):
                simulation_based_calibration(
                    model_of(1), quantities={"q": lambda p, x, given=given: given}, **few
                )

    def test_refuses_what_is_no_model(self) -> None:
        with pytest.raises(TypeError, match=r"must be a gmm_pyro.MixtureModel, got str"):
            simulation_based_calibration("model")  # type: ignore[arg-type]


class TestQuantities:
    @every_family
    def test_do_not_depend_on_the_order_of_components(self, family: str) -> None:
        model = model_of(3, family, 2)
        generator = torch.Generator().manual_seed(0)
        p = draw_prior(model, 10, generator)
        x = draw_points(model, p, 6, generator)
        order = torch.tensor([2, 0, 1])
        factor = p.factor if model.family.tied else p.factor[:, order]
        other = Parameters(p.log_weights[:, order], p.means[:, order], factor)
        for function in default_quantities(model).values():
            torch.testing.assert_close(function(p, x), function(other, x))

    def test_are_those_of_the_mixture(self) -> None:
        model = model_of(2, "full", 2)
        generator = torch.Generator().manual_seed(0)
        p = draw_prior(model, 3, generator)
        x = draw_points(model, p, 6, generator)
        found = {name: f(p, x)[1].item() for name, f in default_quantities(model).items()}
        mixture = gp.GaussianMixture.from_parameters(model.family, p[[1]])
        assert found["log_likelihood"] == pytest.approx(mixture.log_prob(x[1]).sum().item())
        assert found["mean_1"] == mixture.means[:, 0].min().item()
        assert found["weight_1"] == pytest.approx(mixture.weights.min().item())
        volume = 0.5 * torch.logdet(mixture.covariance_matrices()).sum().item()
        assert found["log_volume"] == pytest.approx(volume)
        share = mixture.responsibilities(x[1][:2])
        assert found["same_component"] == pytest.approx(share.prod(0).sum().item())


# ---------------------------------------------------------------------- joint distribution tests


class TestGeweke:
    @every_family
    def test_gibbs_passes(self, family: str) -> None:
        test = geweke(model_of(2, family, 2), n_chains=300)
        assert passes(test), test.table

    def test_gibbs_passes_with_independent_means_and_unequal_weights(self) -> None:
        model = model_of(3, "full", 2, mean_scale=2.0, concentration=[1.0, 3.0, 0.5])
        test = geweke(model, n_chains=500)
        assert passes(test), test.table

    def test_a_broken_sampler_fails(self, broken: None) -> None:
        test = geweke(model_of(2), n_chains=500)
        assert fails(test)
        assert (test.table["z_mean"].abs() > 6).any()

    def test_a_sweep_of_your_own_is_tested(self) -> None:
        """Parameters that stay where they are leave any posterior as it is; wider ones do not."""
        model = model_of(2, "diag", 2)
        stay = geweke(model, lambda p, x, generator: p, n_chains=300, n_sweeps=10)
        assert passes(stay)

        def widen(p: Parameters, x: Tensor, generator: torch.Generator) -> Parameters:
            return replace(p, factor=1.02 * p.factor)

        assert fails(geweke(model, widen, n_chains=300, n_sweeps=20))

    def test_z_scores_are_standard_normal(self) -> None:
        z = torch.stack(
            [
                value
                for seed in range(15)
                for value in geweke(
                    model_of(1), n_points=4, n_chains=100, n_sweeps=20, seed=seed
                ).z_scores.values()
            ]
        )
        independent = 15  # seeds: quantities of one run depend on each other
        assert abs(z.square().mean().item() - 1) < STANDARD_ERRORS * math.sqrt(2 / independent)

    def test_the_same_seed_is_the_same_result_and_nothing_global_changes(self) -> None:
        state = torch.get_rng_state()
        few = {"n_chains": 20, "n_sweeps": 3}
        first, again = (geweke(model_of(2), seed=3, **few) for _ in range(2))
        assert first.table.equals(again.table)
        assert torch.equal(torch.get_rng_state(), state)

    def test_refuses_models_without_prior_or_sampler(self) -> None:
        with pytest.raises(ValueError, match="priors that data can be drawn from"):
            geweke(MixtureModel(2))
        unit = {"location": torch.zeros(1).double(), "spread": torch.ones(1).double()}
        with pytest.raises(ValueError, match="gibbs needs a conjugate prior"):
            geweke(MixtureModel(2, priors=Priors(**unit)))


# ---------------------------------------------------------------------- the picture


class TestPicture:
    def test_has_a_panel_for_every_quantity_and_marks_what_fails(self) -> None:
        ranks = {f"quantity_{i}": torch.arange(64) for i in range(6)}
        ranks["stuck"] = torch.zeros(64, dtype=torch.int64)
        figure = gp.plots.calibration(Calibration("none", ranks, 63), Figure())
        titles = [ax.get_title() for ax in figure.axes]
        assert titles == [f"quantity {i}" for i in range(6)] + ["stuck ✗"]

    def test_makes_a_figure_of_pyplots(self) -> None:
        plt.switch_backend("agg")
        figure = gp.plots.calibration(uniform_ranks(3, 20, 7))
        try:
            assert figure.number in plt.get_fignums()
        finally:
            plt.close(figure)
