"""Missing values, held to dense marginals, and to what is known of them in closed form."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

import gmm_pyro as gp
from gmm_pyro.calibration import exact_posterior
from gmm_pyro.covariance import CovarianceFamily, Parameters
from gmm_pyro.data.measured import Measured
from gmm_pyro.data.observations import as_points, observe
from gmm_pyro.data.points import Observations
from gmm_pyro.estimator import PyroGaussianMixture
from gmm_pyro.inference.climb.hessian import hessian
from gmm_pyro.inference.climb.spikes import THIN_AT_A_HALT, on_spike
from gmm_pyro.posterior.convergence import ess_mean
from gmm_pyro.reduction import pointwise
from gmm_pyro.reduction.assignments import Drawn
from gmm_pyro.reduction.sums import log_likelihood, maximise, reduce
from gmm_pyro.reduction.theta import Theta, theta_of
from oracles import (
    EPSILON,
    FAILURE_RATE,
    ROUNDING,
    STANDARD_ERRORS,
    close,
    every_class,
    normal,
    numbers,
    tensors_of,
)
from runs import OURS, quietly

NAN = math.nan
N, D, K = 120, 4, 3
MIXTURE = gp.GaussianMixture(
    [0.5, 0.5],
    [[0.0, 0.0, 0.0], [3.0, 1.0, -2.0]],
    [
        [[1.0, 0.6, 0.2], [0.6, 2.0, 0.5], [0.2, 0.5, 1.0]],
        [[0.5, -0.2, 0.0], [-0.2, 1.0, 0.3], [0.0, 0.3, 2.0]],
    ],
)


def with_holes(x: Tensor, share: float = 0.35, seed: int = 1) -> Tensor:
    """The points with so many values missing: a row of them has none, and one has all."""
    uniform = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    missing = uniform < share
    missing[0], missing[1] = True, False
    return x.masked_fill(missing, NAN)


def sets(family: CovarianceFamily, s: int = 2) -> Parameters:
    """Some sets of parameters, of components that overlap."""
    means = 1.5 * normal(s, K, D, seed=3)
    root = 0.4 * normal(s, K, D, D, seed=4) + torch.eye(D, dtype=torch.float64)
    compact = family.pooled(family.compress(root @ root.mT))
    factor = family.fit(compact, torch.zeros(D, dtype=torch.float64))
    return Parameters(normal(s, K, seed=5).log_softmax(1), means, factor)


def dense_log_density(family: CovarianceFamily, p: Parameters, x: Tensor) -> Tensor:
    """Of every set at every point, from the marginals of what is there: shape (s, n)."""
    covariance = family.dense(p.factor, D).expand(*p.means.shape[:2], D, D)
    rows = []
    for row in x:
        there = (~row.isnan()).nonzero()[:, 0]
        if len(there):
            seen = covariance[..., there, :][..., there]
            each = MultivariateNormal(p.means[..., there], seen).log_prob(row[there])
        else:
            each = torch.zeros(p.log_weights.shape, dtype=torch.float64)
        rows.append((p.log_weights + each).logsumexp(1))
    return torch.stack(rows, 1)


@pytest.fixture(scope="module")
def x() -> Tensor:
    return with_holes(normal(N, D) + 2 * (torch.arange(N) % 3)[:, None])


@pytest.fixture(scope="module")
def observations(x: Tensor) -> Observations:
    return observe(x)


def thetas(family: CovarianceFamily, p: Parameters, data: Observations) -> list[Theta]:
    """By either kernel: about the data's centre, and about the components' means."""
    return [theta_of(family, p, data), Theta.about_means(family, p)]


class TestReduction:
    @every_class
    def test_log_densities_are_those_of_the_marginals(
        self, family: CovarianceFamily, x: Tensor, observations: Observations
    ) -> None:
        p = sets(family)
        for theta in thetas(family, p, observations):
            close(pointwise.log_density(observations, theta), dense_log_density(family, p, x))

    @every_class
    def test_both_kernels_take_the_same_step(
        self, family: CovarianceFamily, observations: Observations
    ) -> None:
        steps = [
            maximise(observations, theta, reduce(observations, theta), 0 * observations.scale)
            for theta in thetas(family, sets(family), observations)
        ]
        for one, other in zip(*(tensors_of(step.parameters) for step in steps), strict=True):
            close(one, other)

    @every_class
    def test_statistics_are_the_gradient(
        self, family: CovarianceFamily, x: Tensor, observations: Observations
    ) -> None:
        p = sets(family)
        leaves = [value.clone().requires_grad_() for value in tensors_of(p)]
        here = Parameters(*leaves)
        ours = torch.autograd.grad(log_likelihood(observations, family, here).sum(), leaves)
        theirs = torch.autograd.grad(dense_log_density(family, here, x).sum(), leaves)
        for one, other in zip(ours, theirs, strict=True):
            triangular = family.is_matrix and one.ndim == 4  # the other half of L has no meaning
            close(*(part.tril() if triangular else part for part in (one, other)))

    def test_where_nothing_is_missing_it_is_the_usual_one(self) -> None:
        family = gp.MixtureModel(K).family
        whole = observe(normal(N, D))
        same = replace(
            whole,
            measured=Measured(whole.x, torch.arange(N) % 2, torch.ones(2, D, dtype=torch.bool)),
            cache={},
        )
        theta = theta_of(family, sets(family), whole)
        for one, other in zip(
            tensors_of(reduce(whole, theta)),
            tensors_of(reduce(same, theta)),
            strict=True,
        ):
            close(one, other)

    def test_weights_count_rows(self, x: Tensor) -> None:
        family, counts = gp.MixtureModel(K).family, torch.arange(N) % 3
        weighted = observe(x, sample_weight=counts)
        repeated = observe(x.repeat_interleave(counts, 0)).about(weighted.origin)
        theta = theta_of(family, sets(family), weighted)
        repeated = replace(weighted, x=repeated.x, measured=repeated.measured, sample_weight=None)
        for one, other in zip(
            tensors_of(reduce(weighted, theta)),
            tensors_of(reduce(repeated, theta)),
            strict=True,
        ):
            close(one, other)

    def test_kinds_in_many_pieces_give_the_same(
        self, observations: Observations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        family = gp.MixtureModel(K).family
        theta = theta_of(family, sets(family), observations)
        whole = reduce(observations, theta)
        monkeypatch.setattr("gmm_pyro.reduction.incomplete.MATRICES", 1)
        monkeypatch.setattr("gmm_pyro.reduction.incomplete.chunk_rows", lambda *_: 7)
        for one, other in zip(
            tensors_of(whole),
            tensors_of(reduce(observations, theta)),
            strict=True,
        ):
            close(one, other)

    def test_far_points_are_told_apart(self) -> None:
        mixture = gp.GaussianMixture([0.5, 0.5], [[0.0, 0.0], [1.0, 5.0]], [[1.0, 1.0]] * 2, "diag")
        far = [[1e12, NAN], [-1e12, NAN], [NAN, NAN]]
        assert mixture.predict(far).tolist()[:2] == [1, 0]
        close(mixture.responsibilities(far)[2], [0.5, 0.5])
        marginal = mixture.marginal([0])
        close(mixture.log_prob(far)[:2], marginal.log_prob([1e12, -1e12]))


@pytest.mark.parametrize("centred", [False, True], ids=["features", "centred"])
def test_what_is_missing_is_drawn_from_its_conditional_distribution(
    x: Tensor, observations: Observations, *, centred: bool
) -> None:
    """Means and variances of sums over drawn points, against draws of one point at a time."""
    draws, some = 4000, slice(0, 12)
    family, few = gp.MixtureModel(K).family, observations.subset(some)
    p = sets(family, 1)
    theta = thetas(family, p[[0] * draws], few)[centred]
    found = reduce(few, theta, Drawn(7))
    mixture = gp.GaussianMixture.from_parameters(family, p)
    filled = mixture.impute(x[some], n_draws=draws, seed=3)
    assigned = pointwise.at_points(
        observe(filled.flatten(0, 1)), theta_of(family, p, observations), lambda _, share: share
    )
    uniform = torch.rand(draws * 12, 1, generator=torch.Generator().manual_seed(2)).double()
    labels = (assigned[0].T.cumsum(1) < uniform).sum(1).clamp_max(K - 1)
    shares = torch.nn.functional.one_hot(labels, K).double().unflatten(0, (draws, 12)).mT
    reference = theta.reference if theta.reference.ndim == 1 else theta.reference[0]
    z = filled[:, None] - (reference if reference.ndim == 1 else reference[:, None])
    first = (shares[..., None] * z).sum(2)
    second = (shares[..., None] * z).mT @ z
    limit = -torch.special.ndtri(numbers(FAILURE_RATE / 2 / 150))  # of so many comparisons
    for ours, theirs in (
        (found.counts, shares.sum(2)),
        (found.first, first),
        (found.second, second),
    ):
        for power in (1, 2):
            one, other = (value.pow(power) for value in (ours, theirs.reshape(ours.shape)))
            error = ((one.var(0) + other.var(0)) / draws).sqrt()
            assert bool(((one.mean(0) - other.mean(0)).abs() <= limit * error + 1e-9).all())


class TestImputation:
    def test_is_the_conditional_mean(self) -> None:
        found = MIXTURE.impute([[1.0, NAN, 2.0], [0.5, 1.0, 0.0]])
        close(found[0, 1], MIXTURE.conditional([0, 2], [1.0, 2.0]).mean()[0])
        assert found[1].tolist() == [0.5, 1.0, 0.0]

    def test_of_nothing_is_the_mean(self) -> None:
        close(MIXTURE.impute([[NAN] * 3])[0], MIXTURE.mean())

    def test_draws_have_the_conditional_covariance(self) -> None:
        draws = MIXTURE.impute([[NAN, 1.0, NAN]], n_draws=20_000, seed=1)[:, 0]
        known = MIXTURE.conditional([1], [1.0])
        assert bool((draws[:, 1] == 1.0).all())
        away = draws[:, [0, 2]] - known.mean()
        squares = (away[..., None] * away[:, None]).flatten(1)
        error = squares.std(0) / math.sqrt(len(draws))
        limit = -float(torch.special.ndtri(numbers(FAILURE_RATE / 2 / 6)))
        assert bool(((squares.mean(0) - known.covariance().flatten()).abs() < limit * error).all())
        mean_error = away.std(0) / math.sqrt(len(draws))
        assert bool((away.mean(0).abs() < limit * mean_error).all())

    def test_of_whole_points_is_themselves(self) -> None:
        whole = normal(5, 3)
        found = MIXTURE.impute(whole)
        assert found.equal(whole)
        assert found.data_ptr() != whole.data_ptr()
        assert MIXTURE.impute(whole, n_draws=2).equal(whole.expand(2, -1, -1))


class TestCriteria:
    def test_rows_without_a_value_do_not_count(self) -> None:
        x = with_holes(MIXTURE.sample(30, seed=1))
        some = ~x.isnan().all(1)
        found, without = MIXTURE.criteria(x), MIXTURE.criteria(x[some])
        assert found.total_weight == without.total_weight == float(some.sum()) < 30
        close(found.bic, without.bic)

    def test_the_likelihood_is_that_of_what_is_there(self) -> None:
        x = MIXTURE.sample(20, seed=1)
        x[:, 2] = NAN
        close(MIXTURE.log_prob(x), MIXTURE.marginal([0, 1]).log_prob(x[:, :2]))


class TestData:
    def test_origin_and_scale_are_of_what_is_there(self) -> None:
        x = normal(40, 2)
        x[::3, 1] = NAN
        found, there = observe(x), x[~x[:, 1].isnan(), 1]
        close(found.origin[1], there.mean())
        close(found.scale[1], there.std(correction=0))

    def test_a_notice_says_how_many(self) -> None:
        x = with_holes(MIXTURE.sample(60, seed=1), share=0.1)
        count, rows = int(x.isnan().sum()), int(x.isnan().any(1).sum())
        with pytest.warns(gp.FitWarning, match=f"{count} missing values in {rows} of its 60 rows"):
            gp.fit(gp.MixtureModel(2), x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gp.fit(gp.MixtureModel(2), x, missing="integrate")

    def test_they_are_refused_where_that_is_asked_for(self) -> None:
        with pytest.raises(ValueError, match="x has 1 NaN value, the first at row 1, column 'x1'"):
            gp.fit(gp.MixtureModel(1), [[0.0, 1.0], [1.0, NAN], [2.0, 0.0]], missing="refuse")
        with pytest.raises(ValueError, match="missing must be"):
            gp.fit(gp.MixtureModel(1), [[0.0, 1.0], [1.0, NAN], [2.0, 0.0]], missing="drop")
        with pytest.raises(ValueError, match="NaN value"):
            as_points(observe([[0.0, 1.0], [1.0, NAN], [2.0, 0.0]]))

    def test_a_column_without_values_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"values in every column.* missing in 'x1'"):
            observe([[0.0, NAN], [1.0, NAN]])

    def test_a_column_whose_values_are_equal_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"'x1' \(always 2\)"):
            observe([[0.0, 2.0], [1.0, NAN], [3.0, 2.0]])

    def test_infinite_values_are_refused(self) -> None:
        with pytest.raises(ValueError, match="1 infinite value"):
            observe([[0.0, NAN], [math.inf, 1.0], [1.0, 2.0]])

    @pytest.mark.parametrize("d", [3, 70], ids=["few columns", "many columns"])
    def test_kinds_are_the_patterns(self, d: int) -> None:
        x = with_holes(normal(50, d), share=0.02)
        found = Measured.of(x)
        assert found is not None
        assert found.observed[found.kind].equal(~x.isnan())
        assert len(found.observed.unique(dim=0)) == len(found.observed)

    def test_a_column_that_is_seldom_there_has_a_scale(self) -> None:
        x = normal(12_000, 30)
        x[torch.arange(12_000) % 2000 != 1, -1] = NAN
        found = observe(x)
        assert bool(found.bulk.isfinite().all())
        assert float(found.bulk[-1]) > 0

    def test_in_float32_a_constant_column_is_one(self) -> None:
        with pytest.raises(ValueError, match=r"'x1' \(always 2\)"):
            observe([[0.0, 2.0], [1.0, NAN], [3.0, 2.0]], dtype="float32")


class TestFits:
    def test_a_hole_makes_no_spike(self) -> None:
        """A thin component is no spike because a point elsewhere lacks a value."""
        x = torch.cat([normal(300, 2), 5 + 3e-4 * normal(200, 2, seed=1)])
        x[0, 1] = NAN
        data = observe(x)
        start = torch.where(torch.arange(500) >= 300, 1, 0)
        fit = gp.fit(gp.MixtureModel(2), data, start=start, covariance_floor=0, missing="integrate")
        assert not on_spike(data, fit.model.family, fit.mixture.parameters, THIN_AT_A_HALT)

    @pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
    def test_em_never_falls(self, family: str) -> None:
        x = with_holes(MIXTURE.sample(150, seed=1))
        fit = gp.fit(gp.MixtureModel(2, family), x, missing="integrate", start="random", n_starts=1)
        assert fit.converged
        assert float(fit.history.diff().min()) > -1e-9

    def test_a_single_normal_with_monotone_holes_has_a_closed_form(self) -> None:
        """Anderson (1957): regress what is missing on what never is."""
        x = normal(80, 2) @ numbers([[1.0, 0.7], [0.0, 1.0]])
        x[50:, 1] = NAN
        fit = gp.fit(
            *(gp.MixtureModel(1), x),
            missing="integrate",
            tolerance=0,
            max_steps=400,
            least_points=1,
        )
        a, b = x[:50].T
        slope = ((a - a.mean()) * (b - b.mean())).mean() / (a - a.mean()).square().mean()
        mean = b.mean() + slope * (x[:, 0].mean() - a.mean())
        rest = (b - b.mean() - slope * (a - a.mean())).square().mean()
        variance = x[:, 0].var(correction=0)
        rounding = 100 * math.sqrt(EPSILON)  # within which a likelihood is level about its top
        close(fit.mixture.means[0], torch.stack([x[:, 0].mean(), mean]), rounding)
        covariance = [[variance, slope * variance], [slope * variance, rest + slope**2 * variance]]
        close(fit.mixture.covariances[0], numbers(covariance), rounding)

    @pytest.mark.parametrize("method", [name for name in OURS if name not in ("kmeans", "nuts")])
    def test_every_method_finds_the_clusters(self, method: str) -> None:
        x = with_holes(MIXTURE.sample(100 if method == "gibbs" else 200, seed=2), share=0.15)
        priors = gp.ConjugatePriors() if method == "gibbs" else None
        few = {"n_draws": 100, "n_warmup": 100, "max_doublings": 0} if method == "gibbs" else {}
        with quietly():  # chains of so few draws may say so
            fit = gp.fit(gp.MixtureModel(2, priors=priors), x, method, missing="integrate", **few)
        assert fit.converged or few
        whole = MIXTURE.predict(x)
        assert gp.metrics.adjusted_rand(whole, fit.labels) > 0.8

    def test_k_means_needs_whole_points(self) -> None:
        x = with_holes(MIXTURE.sample(50, seed=2))
        with pytest.raises(ValueError, match="kmeans measures distances .* x has missing values"):
            gp.fit(gp.MixtureModel(2), x, "kmeans", missing="integrate")


class TestPosterior:
    """Gibbs sampling of six points against all partitions, the missing value by quadrature."""

    @pytest.mark.parametrize(("family", "jumps"), [("full", "never"), ("diag", "always")])
    def test_is_the_exact_one(self, family: str, jumps: str) -> None:
        x = numbers([[0.0, 0.2], [0.3, 0.9], [-0.4, -0.5], [1.9, 2.2], [2.4, NAN], [1.5, 1.2]])
        model = gp.MixtureModel(2, family, priors=gp.ConjugatePriors()).specialise(x)
        edges = torch.linspace(-6, 6, 81, dtype=torch.float64)
        values, widths = 1.0 + edges.sinh() / 10, edges.cosh() / 10 * (edges[1] - edges[0])
        exact = []
        for value in values:
            exact.append(exact_posterior(model, torch.where(x.isnan(), value, x)))
        joint = numbers([one.log_evidence for one in exact]) + widths.log()
        together = torch.stack([one.co_clustering for one in exact])
        together = (joint.softmax(0)[:, None, None] * together).sum(0)
        options = {"n_chains": 4, "n_draws": 500, "max_doublings": 0}
        with quietly():  # their errors are taken into account
            fit = gp.fit(model, x, "gibbs", missing="integrate", jumps=jumps, **options)
        assert fit.posterior is not None
        drawn = fit.posterior.assignments().draws.unflatten(0, (4, -1))
        same = (drawn[..., None] == drawn[..., None, :]).double()
        error = same.std((0, 1)) / torch.as_tensor(ess_mean(same.flatten(2).numpy())).sqrt().view(
            6, 6
        )
        off = (same.mean((0, 1)) - together).abs().triu(1)
        limit = -float(torch.special.ndtri(numbers(FAILURE_RATE / 2 / 15)))
        assert bool((off <= limit * error.nan_to_num() + ROUNDING).all())
        away = fit.log_evidence - float(joint.logsumexp(0))
        assert abs(away) <= STANDARD_ERRORS * fit.evidence.log_evidence_se + 1e-6


class TestModel:
    @every_class
    @pytest.mark.parametrize("weighted", [False, True])
    def test_the_program_and_the_log_density_agree(
        self, family: CovarianceFamily, x: Tensor, *, weighted: bool
    ) -> None:
        import pyro
        from pyro.infer import Trace_ELBO, TraceEnum_ELBO

        weight = (1 + torch.arange(N) % 3).double() if weighted else None
        model = gp.MixtureModel(K, family.name).specialise(x)
        density = model.log_density(observe(x, sample_weight=weight))
        vector = 0.3 * normal(1, density.dimension, seed=2)
        values = {name: value[0] for name, value in density.constrain(vector).items()}
        conditioned = pyro.condition(model, values)
        kept = {} if weight is None else {"sample_weight": weight}
        elbo = Trace_ELBO() if weighted else TraceEnum_ELBO(max_plate_nesting=1)
        loss = elbo.loss(conditioned, lambda *_, **__: None, x, **kept)
        close(-loss, float(density(vector, jacobian=False)))

    def test_the_hessian_is_that_of_the_density(self, x: Tensor) -> None:
        model = gp.MixtureModel(2).specialise(x[:30])
        density = model.log_density(observe(x[:30]))
        vector = 0.3 * normal(density.dimension, seed=2)
        step = 1e-3 * torch.eye(density.dimension, dtype=torch.float64)
        value = lambda at: density(at[None])[0].detach()  # noqa: E731 - a formula
        i, j = 3, 7
        mixed = (
            value(vector + step[i] + step[j])
            - value(vector + step[i] - step[j])
            - value(vector - step[i] + step[j])
            + value(vector - step[i] - step[j])
        ) / (4e-6)
        close(hessian(density, vector)[i, j], mixed, 1e-4 * max(1.0, abs(float(mixed))))


class TestEstimator:
    @pytest.mark.parametrize("search", [None, "moves"])
    def test_takes_them_as_fit_does(self, search: str | None) -> None:
        x = with_holes(MIXTURE.sample(200, seed=1), share=0.15).numpy()
        found = PyroGaussianMixture(2, tol=1e-7, max_iter=500, search=search, random_state=0).fit(x)
        fit = gp.fit(gp.MixtureModel(2), x, missing="integrate")
        known = fit.mixture.criteria(x).mean_log_density
        assert abs(found.score(x) - known) < 1e-4
        assert abs(found.score(x, sample_weight=np.ones(len(x))) - known) < 1e-4
        assert gp.metrics.adjusted_rand(found.predict(x), fit.labels) == 1.0
        assert np.isfinite(found.predict_proba(x)).all()


def test_a_file_with_gaps_is_fitted_and_its_rows_are_labelled(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    x = with_holes(MIXTURE.sample(80, seed=1), share=0.15)
    frame = pd.DataFrame(x.numpy(), columns=["a", "b", "c"])
    frame.to_csv(tmp_path / "points.csv", index=False)
    count, asked = int(x.isnan().sum()), ("points.csv", "--components", 2)
    done = run("fit", *asked, "--out", "fit")
    assert done.code == 0
    assert f"warning: x has {count} missing values" in " ".join(done.err.split())
    assert json.loads((tmp_path / "fit/fit.json").read_text())["missing_values"] == count
    quiet = run("fit", *asked, "--missing", "integrate", "--out", "quiet")
    assert quiet.code == 0
    assert "missing" not in quiet.err
    refused = run("fit", *asked, "--missing", "refuse", "--out", "none")
    assert refused.code == 2
    assert f"x has {count} NaN values" in refused.err
    compared = run("compare", "--data", *asked, "--methods", "em, map", "--out", "both")
    assert compared.code == 0
    assert "warning: x has" in compared.err
    assert run("predict", "fit", "points.csv", "--out", "labels.csv").code == 0
    mixture = gp.GaussianMixture.load(tmp_path / "fit/mixture.json")
    found = pd.read_csv(tmp_path / "labels.csv")
    assert found["label"].tolist() == mixture.predict(x).tolist()
    close(found["log_density"].to_numpy(), mixture.log_prob(x))
