"""Known labels: held to dense sums, to exact sums over all assignments, and to closed forms."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.covariance import CovarianceFamily, Parameters
from gmm_pyro.data.allowed import Allowed
from gmm_pyro.data.observations import observe
from gmm_pyro.estimator import GaussianMixtureClassifier
from gmm_pyro.inference.starts.starting import SEVERAL, STARTS, starting_parameters
from gmm_pyro.model.declaration import require_conjugate
from gmm_pyro.posterior.convergence import ess_mean
from gmm_pyro.reduction.assignments import Drawn, argmax
from gmm_pyro.reduction.naming import fitting_numbers, log_probability_of_labels
from gmm_pyro.reduction.sums import log_likelihood, reduce
from gmm_pyro.reduction.theta import theta_of
from oracles import (
    FAILURE_RATE,
    ROUNDING,
    STANDARD_ERRORS,
    close,
    every_class,
    normal,
    numbers,
)
from runs import brief, every_method, quietly
from sums import statistics_of

UNKNOWN = -1
RARE = 0.03  # probability, up to which the error of a chain cannot be told from its draws
CPU = torch.device("cpu")
THREE = gp.GaussianMixture(
    [0.5, 0.3, 0.2],
    [[-3.0, 0.0], [0.0, 3.0], [3.0, -1.0]],
    [[[1.0, 0.3], [0.3, 0.8]], [[0.6, -0.2], [-0.2, 1.0]], [[0.9, 0.0], [0.0, 0.5]]],
)


def some_known(labels: Tensor, count: int, seed: int = 0) -> np.ndarray:
    """Labels of so many points of each class, and -1 of all others."""
    random, known = np.random.default_rng(seed), np.full(len(labels), UNKNOWN)
    for label in labels.unique().tolist():
        rows = random.choice((labels == label).nonzero()[:, 0].numpy(), count, replace=False)
        known[rows] = label
    return known


def possible(n: int, k: int, seed: int = 0) -> np.ndarray:
    """Of some points all components, of others one, or some."""
    matrix = np.random.default_rng(seed).random((n, k)) < 0.5
    matrix[: n // 3] = True
    matrix[~matrix.any(1), 0] = True
    return matrix


def mixture_of(family: CovarianceFamily, k: int = 3, d: int = 2) -> gp.GaussianMixture:
    root = 0.4 * normal(k, d, d, seed=4) + torch.eye(d, dtype=torch.float64)
    compact = family.pooled(family.compress(root @ root.mT)[None])
    factor = family.fit(compact, torch.zeros(d, dtype=torch.float64))
    means = 1.5 * normal(1, k, d, seed=3)
    return gp.GaussianMixture.from_parameters(
        family, Parameters(normal(1, k, seed=5).log_softmax(1), means, factor)
    )


def joint(mixture: gp.GaussianMixture, x: Tensor) -> Tensor:
    """log w + log N(x) of every component, densely, where all values are there."""
    components = torch.distributions.MultivariateNormal(
        mixture.means, mixture.covariance_matrices()
    )
    return mixture.weights.log() + components.log_prob(x[:, None])


class TestReduction:
    @every_class
    def test_densities_are_sums_over_what_is_possible(self, family: CovarianceFamily) -> None:
        mixture, x, matrix = mixture_of(family), 2 * normal(60, 2), possible(60, 3)
        terms = joint(mixture, x).masked_fill(~torch.as_tensor(matrix), -math.inf)
        close(mixture.log_prob(x, labels=matrix), terms.logsumexp(1))
        close(mixture.responsibilities(x, labels=matrix), terms.softmax(1))
        assert mixture.predict(x, labels=matrix).equal(terms.argmax(1))
        data = observe(x, n_components=3, labels=matrix)
        value = log_likelihood(data, mixture.family, mixture.parameters)
        close(value[0], terms.logsumexp(1).sum())

    @every_class
    def test_statistics_are_those_of_the_responsibilities(self, family: CovarianceFamily) -> None:
        mixture, x, matrix = mixture_of(family), 2 * normal(60, 2), possible(60, 3)
        data = observe(x, n_components=3, labels=matrix)
        theta = theta_of(mixture.family, mixture.parameters, data)
        share = mixture.responsibilities(x, labels=matrix)
        found = reduce(data, theta)
        close(found.counts[0], share.sum(0))
        close(found.first[0], share.T @ (x - data.origin))

    def test_holes_and_labels_go_together(self) -> None:
        mixture, x, matrix = mixture_of(gp.MixtureModel(3).family), normal(40, 2), possible(40, 3)
        x[::3, 0] = math.nan
        one = [mixture.marginal([1]), mixture]
        for row, point in enumerate(x):
            whole = not bool(point.isnan().any())
            seen = point[None] if whole else point[None, 1:]
            terms = joint(one[whole], seen)[0][matrix[row]]
            close(mixture.log_prob(x, labels=matrix)[row], terms.logsumexp(0))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_what_is_impossible_is_never_drawn(self, dtype: str) -> None:
        mixture, matrix = mixture_of(gp.MixtureModel(3).family), possible(50, 3)
        data = observe(50 * normal(50, 2), n_components=3, labels=matrix, dtype=dtype)
        theta = theta_of(mixture.family, mixture.parameters, data)
        allowed = torch.as_tensor(matrix)
        for seed in range(200):
            drawn = torch.zeros(1, data.n, dtype=torch.int64)
            reduce(data, theta, Drawn(seed, drawn))
            assert allowed[torch.arange(50), drawn[0]].all()
        assert float(reduce(data, theta, argmax).counts.sum()) == 50

    def test_far_points_keep_their_components(self) -> None:
        mixture = mixture_of(gp.MixtureModel(3).family)
        labels = [0, 1, 2, UNKNOWN]
        found = mixture.responsibilities(numbers([[1e9, -1e9]] * 4), labels=labels)
        assert found[:3].equal(torch.eye(3, dtype=torch.float64))

    def test_labels_of_another_number_of_components_are_refused(self) -> None:
        found = gp.fit(gp.MixtureModel(2), normal(30, 2), labels=[0, 1] + [UNKNOWN] * 28)
        with pytest.raises(ValueError, match="labels of 2 components, and the mixture has 3"):
            mixture_of(gp.MixtureModel(3).family).predict(found.observations)


class TestNumberings:
    """The likelihood with labels in another order: the same as of a renumbered mixture."""

    @pytest.mark.parametrize("seed", range(3))
    def test_only_the_probability_of_labels_changes(self, seed: int) -> None:
        mixture, x = mixture_of(gp.MixtureModel(3).family), 0.5 * normal(40, 2, seed=seed)
        weight = np.random.default_rng(seed).random(40)
        data = observe(x, n_components=3, labels=possible(40, 3, seed), sample_weight=weight)
        orders = torch.tensor(list(itertools.permutations(range(3))))
        theta = theta_of(mixture.family, mixture.parameters, data)
        known = log_probability_of_labels(data, theta, orders)[0]
        alone = log_likelihood(data.unlabelled, mixture.family, mixture.parameters)[0]
        for order, value in zip(orders, known, strict=True):
            renumbered = mixture.permute(order)
            expected = log_likelihood(data, mixture.family, renumbered.parameters)[0]
            close(alone + value, expected)

    def test_numbers_fit_the_labels(self) -> None:
        sample = THREE.sample_labelled(60, seed=1)
        data = observe(sample.x, n_components=3, labels=some_known(sample.labels, 3))
        shuffled = THREE.permute([2, 0, 1])
        theta = theta_of(shuffled.family, shuffled.parameters, data)
        assert fitting_numbers(data, theta).tolist() == [[1, 2, 0]]

    def test_classes_are_what_labels_do_not_tell_apart(self) -> None:
        matrix = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1]])
        known = Allowed.of(matrix, 4, 4, CPU)
        assert known is not None
        first, second, third, fourth = known.classes
        assert first == second
        assert len({first, third, fourth}) == 3

    def test_what_is_all_but_impossible_counts_in_full(self) -> None:
        """A point of the other cluster under a label: 400 nats that no cut-off takes away."""
        mixture = gp.GaussianMixture([0.5, 0.5], [[0.0], [30.0]], [[[1.0]], [[1.0]]])
        data = observe(numbers([[0.0], [30.0], [0.5]]), n_components=2, labels=[0, 0, UNKNOWN])
        theta = theta_of(mixture.family, mixture.parameters, data)
        found = log_probability_of_labels(data, theta, torch.tensor([[0, 1], [1, 0]]))
        close(found, numbers([[-450.0, -450.0]]), 1e-9)

    def test_chains_stay_where_labels_say(self) -> None:
        """One of two distant clusters has three labels right and one wrong."""
        x = torch.cat([normal(40, 1), 60 + normal(40, 1, seed=1)])
        labels = np.full(80, UNKNOWN)
        labels[[0, 1, 2, 40]] = 0
        with quietly():
            found = gp.fit(
                *(gp.MixtureModel(2, priors=gp.ConjugatePriors()), x, "gibbs"),
                labels=labels,
                n_draws=100,
            )
        assert found.posterior is not None
        means = found.posterior.draws["means"][..., 0]
        assert (means[..., 0] < means[..., 1]).all()


class TestStarts:
    @pytest.mark.parametrize("start", [*STARTS, SEVERAL])
    def test_all_kinds_agree_with_the_labels(self, start: str) -> None:
        sample = THREE.sample_labelled(300, seed=1)
        turned = (sample.labels + 1) % 3
        data = observe(sample.x, n_components=3, labels=some_known(turned, 5))
        found = starting_parameters(
            start,
            data,
            gp.MixtureModel(3).family,
            3,
            n_starts=3,
            floor=1e-6 * data.scale.square(),
            generator=torch.Generator().manual_seed(0),
        )
        theta = theta_of(gp.MixtureModel(3).family, found, data)
        order = fitting_numbers(data, theta)
        assert order.equal(torch.arange(3).expand(3, 3))

    def test_a_part_of_many_points_keeps_those_with_labels(self) -> None:
        x, labels = normal(5000, 2), np.full(5000, UNKNOWN)
        labels[:20] = 0
        labels[20:40] = 1
        data = observe(x, n_components=2, labels=labels)
        part = data.part(500, torch.Generator().manual_seed(0))
        assert part.n == 500
        assert part.allowed is not None
        assert int(part.allowed.known.sum()) == 40
        known = part.weights[part.allowed.known]
        close(part.total_weight, 500.0)
        close(known.sum(), 500 * 40 / 5000)


class TestMethods:
    @every_method
    def test_labels_number_the_components_and_are_kept(self, method: str) -> None:
        sample = THREE.sample_labelled(90, seed=1)
        turned = (sample.labels + 1) % 3
        labels = some_known(turned, 5)
        with quietly():
            found = brief(method, sample.x, gp.MixtureModel(3), labels=labels)
        known = torch.as_tensor(labels)
        assert found.labels[known >= 0].equal(known[known >= 0])
        assert (found.mixture.predict(sample.x) == turned).double().mean() > 0.9
        if found.posterior is not None:
            where = found.posterior.draws["means"].flatten(0, 1).mean(0)
            assert (where - THREE.permute([2, 0, 1]).means).norm(dim=1).max() < 2.0

    @every_class
    def test_with_all_labels_maximum_likelihood_is_closed_form(
        self, family: CovarianceFamily
    ) -> None:
        sample = THREE.sample_labelled(200, seed=3)
        found = gp.fit(gp.MixtureModel(3, family.name), sample.x, labels=sample.labels)
        shares = torch.nn.functional.one_hot(sample.labels).double()
        close(found.mixture.weights, shares.mean(0), 1e-12)
        means = shares.T @ sample.x / shares.sum(0)[:, None]
        close(found.mixture.means, means, 1e-12)
        z = sample.x - means[sample.labels]
        scatter = torch.einsum("nk,ni,nj->kij", shares, z, z) / shares.sum(0)[:, None, None]
        if family.name == "full":
            close(found.mixture.covariances, scatter, 1e-12)
        if family.name == "tied":
            close(found.mixture.covariances, z.T @ z / len(z), 1e-12)
        if family.name == "diag":
            close(found.mixture.covariances, scatter.diagonal(dim1=1, dim2=2), 1e-12)

    @pytest.mark.parametrize("family", ["full", "tied", "spherical"])
    def test_em_never_falls(self, family: str) -> None:
        x, matrix = normal(120, 2), possible(120, 3)
        with quietly():
            found = gp.fit(gp.MixtureModel(3, family), x, labels=matrix, search="starts")
        gains = found.history.diff()
        assert (gains > -1e-9 * found.history.abs().max()).all()

    def test_unknown_labels_are_none(self) -> None:
        x = THREE.sample(80, seed=1)
        model = gp.MixtureModel(3)
        one, other = gp.fit(model, x), gp.fit(model, x, labels=np.full(80, UNKNOWN))
        assert other.observations.allowed is None
        assert one.mixture.means.equal(other.mixture.means)

    def test_few_labels_decide_which_optimum(self) -> None:
        """Two rows of two clusters each: halves are left and right, or top and bottom."""
        corner = 3.0 * numbers([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        x = torch.cat([normal(40, 2, seed=i) + centre for i, centre in enumerate(corner)])
        labels = np.full(160, UNKNOWN)
        for rows, label in (((0, 40), 0), ((80, 120), 1)):
            labels[list(rows)] = label
        sides = gp.fit(gp.MixtureModel(2, "tied_spherical"), x, labels=labels)
        labels[:] = UNKNOWN
        labels[[0, 80]], labels[[40, 120]] = 0, 1
        levels = gp.fit(gp.MixtureModel(2, "tied_spherical"), x, labels=labels)
        centres = torch.cat([sides.mixture.means[None], levels.mixture.means[None]])
        assert (centres[0, :, 0].abs() > 1).all() or (centres[0, :, 1].abs() > 1).all()
        assert centres[1, 0, 1] < -2
        assert centres[1, 1, 1] > 2

    def test_k_means_is_the_best_of_what_is_possible(self) -> None:
        """Of eight points, all partitions that agree with the labels can be tried."""
        x = normal(8, 2, seed=4)
        labels = [0, 1, 0, *[UNKNOWN] * 5]
        with quietly():
            found = gp.fit(gp.MixtureModel(2), x, "kmeans", labels=labels, n_starts=50)
        least = math.inf
        for rest in itertools.product([0, 1], repeat=5):
            z = torch.tensor([*labels[:3], *rest])
            parts = [x[z == j] for j in range(2)]
            squares = sum(float((part - part.mean(0)).square().sum()) for part in parts)
            least = min(least, squares)
        close(found.diagnostics["inertia"], least)


# ---------------------------------------------------------------------- exact posteriors


class Exact:
    """The posterior of six points, as a sum over the assignments that the labels allow."""

    def __init__(self, x: Tensor, labels: Any, model: gp.MixtureModel) -> None:
        self.model = model.specialise(x)
        prior = require_conjugate(self.model, "a sum")
        matrix = Allowed.of(labels, len(x), model.n_components, CPU)
        assert matrix is not None
        rows = matrix.table[matrix.kind]
        places = [row.nonzero()[:, 0].tolist() for row in rows]
        self.assignments = torch.tensor(list(itertools.product(*places)))
        statistics = statistics_of(self.model, x, self.assignments)
        log_p = prior.mixing.log_probability(statistics.counts)
        log_p = log_p + prior.components.log_evidence(statistics)
        self.log_evidence = float(logsumexp(log_p))
        self.probabilities = log_p.softmax(0)

    def share_of(self, component: int) -> Tensor:
        """Probability of every point to be of this component."""
        return self.probabilities @ (self.assignments == component).double()


SIX = numbers([[-1.0], [-0.7], [0.1], [0.4], [1.1], [1.6]])
FEW = {
    "one": [0, *[UNKNOWN] * 5],
    "two": [0, UNKNOWN, UNKNOWN, UNKNOWN, 1, UNKNOWN],
    "sets": [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1]],
}


@pytest.mark.parametrize("known", FEW)
@pytest.mark.parametrize("concentration", [1.0, [0.5, 2.0, 1.0]], ids=["equal", "told apart"])
class TestExactPosterior:
    """One label of two overlapping components: both numberings have some of the posterior."""

    def model(self, known: str, concentration: Any) -> tuple[gp.MixtureModel, Exact]:
        k = 3 if known == "sets" else 2
        alpha = concentration if isinstance(concentration, float) else concentration[:k]
        model = gp.MixtureModel(k, priors=gp.ConjugatePriors(concentration=alpha))
        return model, Exact(SIX, FEW[known], model)

    def test_gibbs_samples_it(self, known: str, concentration: Any) -> None:
        model, exact = self.model(known, concentration)
        with quietly():
            found = gp.fit(
                *(model, SIX, "gibbs"),
                labels=FEW[known],
                n_chains=16,  # in one batch, as fast as a single one
                n_draws=250,
                keep_allocations=250,
                max_doublings=0,
                exchange=known != "two",  # which are enough for sweeps alone
            )
        assert found.posterior is not None
        assert found.posterior.allocations is not None
        own = (found.posterior.allocations == 0).double()
        error = own.std((0, 1)) / torch.as_tensor(ess_mean(own.numpy())).sqrt()
        limit = -float(torch.special.ndtri(numbers(FAILURE_RATE / 2 / 6)))
        share = exact.share_of(0)
        off, likely = (own.mean((0, 1)) - share).abs(), (share - 0.5).abs() < 0.5 - RARE
        assert (off <= limit * error.nan_to_num() + ROUNDING)[likely].all()
        assert (off < RARE)[~likely].all()

    def test_laplace_weighs_the_evidence(self, known: str, concentration: Any) -> None:
        model, exact = self.model(known, concentration)
        with quietly():
            found = gp.fit(model, SIX, "laplace", labels=FEW[known], modes="all", n_draws=4000)
        error = found.diagnostics["log_evidence_se"]
        assert abs(found.log_evidence - exact.log_evidence) < STANDARD_ERRORS * error
        assert error < 0.2


@pytest.mark.parametrize("family", ["full", "tied", "diag"])
@pytest.mark.parametrize("weighted", [False, True], ids=["whole", "weighted"])
@pytest.mark.parametrize("holes", [False, True], ids=["seen", "partly seen"])
def test_the_program_and_the_log_density_agree(family: str, weighted: bool, holes: bool) -> None:  # noqa: FBT001
    import pyro
    from pyro.infer import Trace_ELBO, TraceEnum_ELBO

    x, matrix = normal(30, 2), possible(30, 3)
    if holes:
        x[::4, 1] = math.nan
    weight = torch.rand(30, generator=torch.Generator().manual_seed(1)).double()
    told = {"labels": matrix, **({"sample_weight": weight} if weighted else {})}
    model = gp.MixtureModel(3, family).specialise(x)
    density = model.log_density(observe(x, n_components=3, **told))
    vector = 0.5 * normal(1, density.dimension)
    values = {name: value[0] for name, value in density.constrain(vector).items()}
    conditioned = pyro.condition(model, values)
    elbo = Trace_ELBO() if weighted else TraceEnum_ELBO(max_plate_nesting=1)
    loss = elbo.loss(conditioned, lambda *_, **__: None, x, **told)
    close(-loss, density(vector, jacobian=False)[0])


# ---------------------------------------------------------------------- what users give


class TestInput:
    @pytest.mark.parametrize(
        "labels",
        [
            [0, None, 1, None],
            np.array([0, math.nan, 1, math.nan]),
            pd.Series([0, pd.NA, 1, pd.NA], dtype="Int64"),
            torch.tensor([0, -1, 1, -1]),
            np.array([[True, False], [True, True], [False, True], [True, True]]),
        ],
    )
    def test_unknown_is_minus_one_or_missing(self, labels: Any) -> None:
        known = Allowed.of(labels, 4, 2, CPU)
        assert known is not None
        expected = [[True, False], [True, True], [False, True], [True, True]]
        assert known.table[known.kind].tolist() == expected
        assert known.known.tolist() == [True, False, True, False]

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([0, 1, 2, UNKNOWN], "from 0 to 1, or -1 where it is not known, got 2.0 at row 2"),
            ([0, 0.5, 1, 1], "got 0.5 at row 1"),
            ([0, 1], r"must have shape \(4,\), or \(4, 2\) for what is possible, got \(2,\)"),
            (["a", "b", "a", "b"], "GaussianMixtureClassifier takes classes of any name"),
            (np.ones((4, 3)), r"got \(4, 3\)"),
            ([[1, 0], [0, 0], [1, 1], [1, 1]], "leave no component to row 1"),
            ([[1, 0], [0, 2], [1, 1], [1, 1]], "by True and False; got 2 at row 1, component 1"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, labels: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            gp.fit(gp.MixtureModel(2), normal(4, 1), labels=labels)

    def test_observations_keep_theirs(self) -> None:
        data = observe(normal(20, 2), n_components=2, labels=[0, 1] + [UNKNOWN] * 18)
        single = observe(data, n_components=2, dtype="float32")
        assert single.allowed is not None
        assert int(single.allowed.known.sum()) == 2
        assert gp.fit(gp.MixtureModel(2), data).labels[:2].tolist() == [0, 1]

    def test_compare_tells_all_methods(self) -> None:
        sample = THREE.sample_labelled(120, seed=1)
        labels = some_known((sample.labels + 1) % 3, 5)
        found = gp.compare(
            gp.MixtureModel(3), sample.x, ["kmeans", "em"], labels=labels, test_size=0.25
        )
        for fit in found.fits.values():
            assert fit.observations.allowed is not None
            assert (fit.mixture.means - THREE.permute([2, 0, 1]).means).norm(dim=1).max() < 1.5

    def test_arviz_has_what_is_possible(self) -> None:
        sample = THREE.sample_labelled(60, seed=1)
        labels = some_known(sample.labels, 2)
        with quietly():
            found = brief("gibbs", sample.x, gp.MixtureModel(3), labels=labels)
        data = found.to_arviz(n_prior_draws=5)
        table = data["constant_data"]["possible"]
        assert table.dims == ("obs_id", "component")
        assert (table.values.sum(1) == np.where(labels < 0, 3, 1)).all()
        total = found.posterior.statistics["log_likelihood"].numpy()
        close(data["log_likelihood"]["x"].values.sum(2), total)


class TestClassifier:
    """Points without a class."""

    @staticmethod
    def hard(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Two overlapping classes, of which one has three clusters: few labels are misleading."""
        random = np.random.default_rng(seed)
        y, other = random.integers(0, 2, 1500), random.integers(0, 3, 1500)
        centres = np.array([[0.0, 0.0], [3.0, 0.0], [-1.5, 2.6], [-1.5, -2.6]])
        x = random.normal(size=(1500, 2)) * 0.9 + centres[np.where(y == 0, 0, 1 + other)]
        known = np.full(500, UNKNOWN)
        for label in (0, 1):
            known[random.choice((y[:500] == label).nonzero()[0], 10, replace=False)] = label
        return x[:500], known, y[:500], x[500:], y[500:]

    def test_beats_labels_alone_and_no_labels(self) -> None:
        """Ten labels a class: more accurate than from them alone, and than clusters alone."""
        scores = []
        for seed in range(8):
            x, known, _, new, truth = self.hard(seed)
            count = {0: 1, 1: 3}
            with quietly():
                some = GaussianMixtureClassifier(count, random_state=0).fit(x, known)
            alone = GaussianMixtureClassifier(count, random_state=0)
            alone.fit(x[known >= 0], known[known >= 0])
            clusters = gp.fit(gp.MixtureModel(2), x).mixture.predict(new).numpy()
            share = (clusters == truth).mean()
            scores.append([some.score(new, truth), alone.score(new, truth), max(share, 1 - share)])
        semi, supervised, unsupervised = np.mean(scores, 0)
        assert semi > supervised + 0.05
        assert semi > unsupervised + 0.05

    def test_its_joint_fit_is_that_of_labels(self) -> None:
        sample = THREE.sample_labelled(150, seed=1)
        known = some_known(sample.labels, 10)
        found = GaussianMixtureClassifier(random_state=0).fit(sample.x.numpy(), known)
        alone = gp.fit(gp.MixtureModel(3), sample.x, labels=known)
        close(found.fit_.objective, alone.objective, 1e-9)
        close(found.class_prior_, alone.mixture.weights, 1e-4)
        close(np.concatenate([m.means_ for m in found.mixtures_]), alone.mixture.means, 1e-3)

    @pytest.mark.parametrize("family", ["tied", "tied_diag", "tied_spherical"])
    def test_one_component_a_class_is_tied_within_it(self, family: str) -> None:
        sample = THREE.sample_labelled(150, seed=1)
        known = some_known(sample.labels, 10)
        found = GaussianMixtureClassifier(covariance_type=family, random_state=0)
        found.fit(sample.x.numpy(), known)
        assert found.score(sample.x.numpy(), sample.labels.numpy()) > 0.9
        with pytest.raises(ValueError, match="takes one component a class"):
            found.set_params(n_components=2).fit(sample.x.numpy(), known)

    def test_minus_one_beside_one_is_a_class(self) -> None:
        x, y = normal(40, 2).numpy(), np.repeat([-1, 1], 20)
        assert GaussianMixtureClassifier().fit(x, y).classes_.tolist() == [-1, 1]

    def test_it_can_be_called_otherwise(self) -> None:
        sample = THREE.sample_labelled(90, seed=1)
        names = np.array(["a", "b", "c", "?"])[some_known(sample.labels, 10)]
        found = GaussianMixtureClassifier(unlabelled="?", random_state=0)
        assert found.fit(sample.x.numpy(), names).classes_.tolist() == ["a", "b", "c"]
        every = GaussianMixtureClassifier(unlabelled=None, random_state=0)
        assert len(every.fit(sample.x.numpy(), names).classes_) == 4

    @pytest.mark.parametrize("mark", [math.nan, np.float32("nan")])
    def test_nan_is_no_mark(self, mark: float) -> None:
        found = GaussianMixtureClassifier(unlabelled=mark)
        with pytest.raises(ValueError, match="unlabelled must be a value .* such as -1"):
            found.fit(normal(4, 2).numpy(), [0.0, 1.0, math.nan, 1.0])

    def test_classes_of_any_kind_may_have_the_mark(self) -> None:
        sample = THREE.sample_labelled(90, seed=1)
        known = some_known(sample.labels, 10)
        for y in (
            np.array(["a", "b", "c", -1], dtype=object)[known],
            np.array(["a", "b", "c", "-1"])[known],
        ):
            found = GaussianMixtureClassifier(random_state=0).fit(sample.x.numpy(), y)
            assert found.classes_.tolist() == ["a", "b", "c"]
            assert np.isfinite(found.mixtures_[0].lower_bound_)
            with pytest.raises(ValueError, match="classifier's fit_"):
                found.mixtures_[0].to_arviz()

    def test_its_posterior_is_of_all_classes(self) -> None:
        sample = THREE.sample_labelled(90, seed=1)
        known = some_known(sample.labels, 10)
        found = GaussianMixtureClassifier(
            method="gibbs", random_state=0, method_options={"n_draws": 20, "n_warmup": 20}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", gp.FitWarning)
            found.fit(sample.x.numpy(), known)
        with pytest.raises(ValueError, match=r"fit_\.to_arviz"):
            found.to_arviz()
        assert found.fit_.to_arviz(n_prior_draws=0)["posterior"].sizes["component"] == 3
