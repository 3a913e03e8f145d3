"""The no-U-turn sampler: known densities, the rule that stops a trajectory, adaptation, options."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from pyro.ops.stats import effective_sample_size
from scipy.stats import norm
from torch import Tensor
from tqdm import tqdm

import gmm_pyro as gp
from gmm_pyro import FitWarning, MixtureModel, Status
from gmm_pyro.inference.chains import trajectory
from gmm_pyro.inference.chains.modes import Metric
from gmm_pyro.inference.chains.trajectory import (
    LogDensityAndGradient,
    NoUTurn,
    Point,
    Transition,
    Tree,
)
from gmm_pyro.inference.chains.walk import StepSize, Walk, warm_up
from oracles import FAILURE_RATE, clusters, normal

STATISTICS = {
    "energy",
    "acceptance_rate",
    "tree_depth",
    "n_steps",
    "diverging",
    "step_size",
    "lp",
    "log_likelihood",
}


def with_gradient(density: Callable[[Tensor], Tensor]) -> LogDensityAndGradient:
    """A log density of a batch, with its gradient."""

    def function(position: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        del order  # there are no components
        position = position.detach().requires_grad_()
        value = density(position)
        return value.detach(), torch.autograd.grad(value.sum(), position)[0]

    return function


def walks(sampler: NoUTurn, chains: int, m: int, draws: int, warmup: int) -> list[Transition]:
    """Transitions of chains from overdispersed starts, without the first ones."""
    point, found = sampler.at(2 * normal(chains, m, seed=99)), []
    for _ in range(draws + warmup):
        transition = sampler.transition(point)
        point = transition.point
        found.append(transition)
    return found[warmup:]


# ---------------------------------------------------------------------- a known density

MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
COVARIANCE = torch.tensor(
    [[1.0, 0.7, 0.0], [0.7, 1.5, -0.3], [0.0, -0.3, 0.5]], dtype=torch.float64
)
GAUSSIAN = torch.distributions.MultivariateNormal(MEAN, COVARIANCE)


def gaussian_sampler(step: float, depth: int = 8, seed: int = 0) -> NoUTurn:
    generator = torch.Generator().manual_seed(seed)
    return NoUTurn(with_gradient(GAUSSIAN.log_prob), step, depth, generator)


def assert_mean(values: Tensor, exact: float) -> None:
    """The mean over chains and draws, shape (chain, draw), but for Monte Carlo error."""
    error = values.std() / effective_sample_size(values).clamp_max(values.numel()).sqrt()
    bound = norm.isf(FAILURE_RATE / 20)  # of ten numbers, on both sides
    assert abs(values.mean() - exact) < bound * error, float((values.mean() - exact) / error)


@pytest.fixture(scope="module")
def found() -> list[Transition]:
    return walks(gaussian_sampler(0.5), chains=100, m=3, draws=80, warmup=20)


class TestCorrelatedGaussian:
    def test_means_and_covariances(self, found: list[Transition]) -> None:
        x = torch.stack([t.point.position for t in found], 1)
        for i in range(3):
            assert_mean(x[..., i], float(MEAN[i]))
            for j in range(i + 1):
                product = (x[..., i] - MEAN[i]) * (x[..., j] - MEAN[j])
                assert_mean(product, float(COVARIANCE[i, j]))

    def test_energies(self, found: list[Transition]) -> None:
        """Position and momentum have a gamma-distributed energy above its least: Γ(m, 1)."""
        energy = torch.stack([t.energy for t in found], 1) + float(GAUSSIAN.log_prob(MEAN))
        assert_mean(energy, 3.0)

    def test_points_know_their_own_density_and_gradient(self, found: list[Transition]) -> None:
        point = found[-1].point
        torch.testing.assert_close(point.log_density, GAUSSIAN.log_prob(point.position))
        slope = torch.linalg.solve(COVARIANCE, (MEAN - point.position).T).T
        torch.testing.assert_close(point.gradient, slope)

    def test_no_trajectory_diverges_and_few_points_are_refused(
        self, found: list[Transition]
    ) -> None:
        assert not any(t.diverging.any() for t in found)
        assert torch.stack([t.acceptance for t in found]).mean() > 0.7

    def test_steps_are_the_leaves_of_whole_trees_or_of_the_last_part_cut_short(
        self, found: list[Transition]
    ) -> None:
        for t in found:
            assert (t.steps >= 2 ** (t.depth - 1)).all()
            assert (t.steps < 2**t.depth).all()


def test_the_error_of_the_energy_is_of_second_order() -> None:
    """Half the step, a quarter of what a path of the same length gains or loses."""
    start = replace(gaussian_sampler(0.1).at(normal(50, 3)), momentum=normal(50, 3, seed=1))
    errors = []
    for step, count in ((0.1, 20), (0.05, 40)):
        sampler, point = gaussian_sampler(step), start
        for _ in range(count):
            point = sampler._leapfrog(point, torch.ones(50, dtype=torch.float64))
        errors.append((point.energy - start.energy).square().mean().sqrt())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_a_path_can_be_walked_back() -> None:
    sampler = gaussian_sampler(0.3)
    start = replace(sampler.at(normal(5, 3)), momentum=normal(5, 3, seed=1))
    sign, point = torch.ones(5, dtype=torch.float64), start
    for direction in (sign, -sign):
        for _ in range(10):
            point = sampler._leapfrog(point, direction)
    torch.testing.assert_close(point.position, start.position)
    torch.testing.assert_close(point.momentum, start.momentum)


def test_chains_do_not_see_each_other() -> None:
    """A leapfrog step of a batch is that of each chain alone."""
    sampler = gaussian_sampler(0.3)
    start = replace(sampler.at(normal(5, 3)), momentum=normal(5, 3, seed=1))
    sign = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0], dtype=torch.float64)
    together = sampler._leapfrog(start, sign)
    for chain in range(5):
        alone = sampler._leapfrog(start[torch.tensor([chain])], sign[chain : chain + 1])
        torch.testing.assert_close(together.position[chain], alone.position[0])


class TestDivergences:
    @pytest.mark.parametrize("step", [50.0, 1e4])
    def test_a_huge_step_diverges_and_stays(self, step: float) -> None:
        sampler = gaussian_sampler(step)
        start = sampler.at(normal(20, 3))
        found = sampler.transition(start)
        assert found.diverging.all()
        assert found.point.position.equal(start.position)
        assert (found.acceptance < 1e-3).all()

    def test_the_neck_of_a_funnel(self) -> None:
        """Neal's funnel: its walls are too steep for a step that its mouth is well served by."""

        def funnel(v: Tensor) -> Tensor:
            neck = v[:, 0]
            return -(neck**2) / 18 - 0.5 * v[:, 1:].square().sum(1) / neck.exp() - 2 * neck

        sampler = NoUTurn(with_gradient(funnel), 0.8, 6, torch.Generator().manual_seed(0))
        found = walks(sampler, chains=20, m=5, draws=40, warmup=0)
        diverging = torch.stack([t.diverging for t in found])
        assert 0 < diverging.double().mean() < 0.5
        assert all(t.point.position.isfinite().all() for t in found)

    def test_a_density_that_is_not_finite_is_never_entered(self) -> None:
        """Half a normal: beyond zero the density is zero."""

        def half(position: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
            inside = (position > 0).all(1)
            value = torch.where(inside, -0.5 * position.square().sum(1), -math.inf)
            return value, -position

        sampler = NoUTurn(half, 0.5, 6, torch.Generator().manual_seed(0))
        point, found = sampler.at(normal(100, 1).abs()), []
        for _ in range(60):
            transition = sampler.transition(point)
            point = transition.point
            found.append(point.position[:, 0])
        x = torch.stack(found[10:], 1)
        assert (x > 0).all()
        assert_mean(x, math.sqrt(2 / math.pi))


# ---------------------------------------------------------------------- the rule that stops a tree


@dataclass
class Leaf:
    """A point of a path, as the plain recursion sees it."""

    momentum: Tensor


def turns(leaves: list[Leaf]) -> bool:
    """Betancourt's criterion for one part: both ends still point along the sum of the momenta."""
    first, last = leaves[0].momentum, leaves[-1].momentum
    inner = torch.stack([leaf.momentum for leaf in leaves]).sum(0) - 0.5 * (first + last)
    return bool(first @ inner <= 0 or last @ inner <= 0)


def stops(leaves: list[Leaf]) -> bool:
    """Whether a balanced tree, or a part of it, turns: by recursion into both halves."""
    if len(leaves) == 1:
        return False
    half = len(leaves) // 2
    return stops(leaves[:half]) or stops(leaves[half:]) or turns(leaves)


def balanced_parts(first: int, count: int) -> set[tuple[int, int]]:
    """First and last leaf of every balanced part of at least two leaves."""
    if count == 1:
        return set()
    half = count // 2
    whole = {(first, first + count - 1)}
    return whole | balanced_parts(first, half) | balanced_parts(first + half, half)


def straight(position: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """A flat density, on which no path ever turns."""
    return position.new_zeros(len(position)), torch.zeros_like(position)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4, 5])
def test_every_balanced_part_is_compared_once(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The j-th point has momentum 1 + j, so that ends and sums name the leaves that they are of."""
    compared: list[tuple[int, int]] = []
    leaf = 0

    def leapfrog(self: NoUTurn, point: Point, sign: Tensor) -> Point:
        nonlocal leaf
        leaf += 1
        return replace(point, momentum=torch.full((1, 1), float(leaf)))

    def spy(first: Tensor, last: Tensor, total: Tensor) -> Tensor:
        i, j = int(first), int(last)
        assert float(total) == sum(range(i, j + 1))
        compared.append((i - 1, j - 1))
        return torch.zeros(1, dtype=torch.bool)

    monkeypatch.setattr(NoUTurn, "_leapfrog", leapfrog)
    monkeypatch.setattr(trajectory, "_turns", spy)
    sampler = NoUTurn(straight, 1.0, 8, torch.Generator().manual_seed(0))
    start = sampler.at(torch.zeros(1, 1))
    sampler._subtree(start, torch.ones(1), start.energy, 2**depth)
    assert len(compared) == len(set(compared))
    assert set(compared) == balanced_parts(0, 2**depth)


@pytest.mark.parametrize("step", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_a_subtree_stops_where_the_plain_recursion_stops(depth: int, step: float) -> None:
    sampler = gaussian_sampler(step)
    start = replace(sampler.at(MEAN + normal(40, 3)), momentum=normal(40, 3, seed=1))
    sign = torch.where(torch.arange(40) % 2 == 0, 1.0, -1.0).double()
    tree = sampler._subtree(start, sign, start.energy, 2**depth)
    paths: list[Point] = []
    point = start
    for _ in range(2**depth):
        point = sampler._leapfrog(point, sign)
        paths.append(point)
    expected = [stops([Leaf(p.momentum[chain]) for p in paths]) for chain in range(40)]
    assert tree.stopped.tolist() == expected
    whole = ~tree.stopped
    assert (tree.leaves[whole] == 2**depth).all()
    total = torch.stack([p.momentum for p in paths]).sum(0)
    torch.testing.assert_close(tree.momentum[whole], total[whole])
    weight = torch.stack([start.energy - p.energy for p in paths]).logsumexp(0)
    torch.testing.assert_close(tree.log_weight[whole], weight[whole])


def test_both_outcomes_are_among_the_cases() -> None:
    sampler = gaussian_sampler(0.2)
    start = replace(sampler.at(MEAN + normal(40, 3)), momentum=normal(40, 3, seed=1))
    tree = sampler._subtree(start, torch.ones(40).double(), start.energy, 2**4)
    assert 0 < tree.stopped.double().mean() < 1


def test_a_point_of_a_subtree_is_drawn_by_its_weight() -> None:
    """A path of four points, from one start, 40,000 times."""
    chains = 40_000
    sampler = gaussian_sampler(0.3)
    start = replace(
        sampler.at((MEAN + normal(1, 3)).expand(chains, 3)),
        momentum=normal(1, 3, seed=1).expand(chains, 3),
    )
    sign = torch.ones(chains, dtype=torch.float64)
    tree: Tree = sampler._subtree(start, sign, start.energy, 4)
    assert not tree.stopped.any()
    point, energy, drawn = start, [], []
    for _ in range(4):
        point = sampler._leapfrog(point, sign)
        energy.append(point.energy[0])
        drawn.append((tree.proposal.position - point.position).abs().amax(1) < 1e-9)
    expected = (-torch.stack(energy)).softmax(0)
    found = torch.stack(drawn).double().mean(1)
    error = (expected * (1 - expected) / chains).sqrt()
    assert float(found.sum()) == pytest.approx(1)
    assert ((found - expected).abs() < norm.isf(FAILURE_RATE / 8) * error).all()


def test_the_greatest_depth_is_kept() -> None:
    sampler = NoUTurn(straight, 0.1, 3, torch.Generator().manual_seed(0))
    found = sampler.transition(sampler.at(normal(6, 2)))
    assert (found.depth == 3).all()
    assert (found.steps == 7).all()
    assert (found.acceptance == 1).all()


# ---------------------------------------------------------------------- adaptation


@pytest.mark.parametrize("target", [0.6, 0.8, 0.95])
def test_the_step_size_comes_to_the_target(target: float) -> None:
    """Of a sampler whose acceptance falls with the step, as exp(-step)."""
    rate = StepSize.started(10, target)
    for _ in range(400):
        rate = rate.learned(math.exp(-rate.step))
    assert math.exp(-rate.average) == pytest.approx(target, abs=0.02)


def test_the_mean_of_the_steps_follows_the_published_recursion() -> None:
    """Hoffman & Gelman (2014), algorithm 5: log ε̄ ← t^-κ log ε + (1 - t^-κ) log ε̄."""
    accepted = [0.9, 0.2, 0.7, 1.0, 0.5]
    rate, target, mu = StepSize.started(16, 0.8), 0.8, math.log(10 * 16**-0.25 / 5)
    h, mean = 0.0, rate.first
    for t, value in enumerate(accepted, 1):
        rate = rate.learned(value)
        h = (1 - 1 / (t + 10)) * h + (target - value) / (t + 10)
        log_step = mu - math.sqrt(t) / 0.05 * h
        mean = t**-0.75 * log_step + (1 - t**-0.75) * mean
        assert rate.now == pytest.approx(log_step)
        assert rate.mean == pytest.approx(mean)


class GaussianDensity:
    """A log density of vectors, as the walk asks for it."""

    def __call__(self, vector: Tensor, order: Tensor) -> Tensor:
        return GAUSSIAN.log_prob(vector)

    def moved(self, vector: Tensor, order: Tensor, generator: torch.Generator) -> Tensor:
        return order


def gaussian_walk(target: float) -> Walk:
    metric = Metric(torch.zeros(3).double(), torch.diag(torch.tensor([0.3, 3.0, 1.0]).double()))
    density: Any = GaussianDensity()
    step = StepSize.started(3, target).step
    sampler = NoUTurn(metric.seen_by(density), step, 8, torch.Generator().manual_seed(0))
    return Walk(density, metric, sampler, sampler.at(normal(20, 3)))


@pytest.mark.parametrize("target", [0.7, 0.9])
def test_a_warm_up_reaches_the_target(target: float) -> None:
    *_, walk = warm_up(gaussian_walk(target), 200, target)
    accepted = []
    for _ in range(50):
        walk, transition = walk.advanced()
        accepted.append(transition.acceptance)
    assert float(torch.stack(accepted).mean()) == pytest.approx(target, abs=0.1)


def test_a_warm_up_learns_the_coordinates() -> None:
    """In them, the covariance is about the identity."""
    *_, walk = warm_up(gaussian_walk(0.8), 300, 0.8)
    root = torch.linalg.inv(walk.metric.basis)
    values = torch.linalg.eigvalsh(root @ COVARIANCE @ root.T)
    assert values.min() > 0.5
    assert values.max() < 2
    assert ((walk.metric.centre - MEAN).abs() < 0.3).all()


def test_other_coordinates_leave_the_chains_where_they_are() -> None:
    walk = gaussian_walk(0.8)
    other = walk.in_metric(walk.metric.learned(normal(50, 3)))
    torch.testing.assert_close(other.vector, walk.vector)
    torch.testing.assert_close(other.point.log_density, walk.point.log_density)


def test_learned_coordinates_are_those_of_many_draws() -> None:
    metric = gaussian_walk(0.8).metric
    vectors = GAUSSIAN.mean + normal(20_000, 3) @ GAUSSIAN.scale_tril.T
    learned = metric.learned(vectors)
    torch.testing.assert_close(learned.centre, vectors.mean(0))
    torch.testing.assert_close(learned.basis @ learned.basis.T, COVARIANCE, rtol=0, atol=0.05)


def test_the_number_of_transitions_of_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for steps in (0, 1, 2, 7):
        count, original = 0, NoUTurn.transition

        def counted(self: NoUTurn, start: Point, original: Any = original) -> Transition:
            nonlocal count
            count += 1
            return original(self, start)

        with monkeypatch.context() as patch:
            patch.setattr(NoUTurn, "transition", counted)
            list(warm_up(gaussian_walk(0.8), steps, 0.8))
        assert count == steps


# ---------------------------------------------------------------------- a fit


@pytest.fixture(scope="module")
def whole() -> gp.Fit:
    """One fit for all claims about it."""
    return TestFit().fit()


@pytest.mark.filterwarnings("ignore:nuts.* drew chains that disagree:gmm_pyro.FitWarning")
class TestFit:
    x = clusters(1, 40, separation=5).x
    model = MixtureModel(2, "diag")

    def fit(self, **options: Any) -> gp.Fit:
        few = {"n_chains": 2, "n_draws": 12, "n_warmup": 8, "n_starts": 2}
        return gp.fit(self.model, self.x, method="nuts", **{**few, **options})

    def test_statistics(self, whole: gp.Fit) -> None:
        statistics = whole.posterior.statistics
        assert set(statistics) == STATISTICS
        assert all(value.shape == (2, 12) for value in statistics.values())
        assert statistics["diverging"].dtype == torch.bool
        assert (statistics["step_size"] == statistics["step_size"][0, 0]).all()
        assert (statistics["acceptance_rate"] <= 1).all()
        assert (statistics["energy"] >= -statistics["lp"] - 20).all()

    def test_lp_is_the_log_density_of_the_sites(self, whole: gp.Fit) -> None:
        found = whole
        density = found.model.log_density(found.observations)
        sites = {name: value.flatten(0, 1) for name, value in found.posterior.draws.items()}
        with torch.no_grad():
            expected = density(density.unconstrain(sites), jacobian=False).view(2, 12)
        torch.testing.assert_close(found.posterior.statistics["lp"], expected)

    def test_the_same_seed_is_the_same_sample(self, whole: gp.Fit) -> None:
        same, other = (self.fit(seed=s).posterior.draws["means"] for s in (whole.seed, 4))
        assert whole.posterior.draws["means"].equal(same)
        assert not whole.posterior.draws["means"].equal(other)

    def test_thinning_keeps_every_third_draw(self) -> None:
        whole, third = self.fit(n_draws=10), self.fit(n_draws=4, thin=3)
        for name in ("energy", "n_steps", "log_likelihood"):
            assert third.posterior.statistics[name].equal(whole.posterior.statistics[name][:, ::3])

    def test_the_options_reach_the_sampler(self) -> None:
        statistics = self.fit(max_tree_depth=1).posterior.statistics
        assert (statistics["tree_depth"] == 1).all()
        small, large = (
            self.fit(target_accept=rate, n_draws=2).posterior.statistics["step_size"][0, 0]
            for rate in (0.99, 0.5)
        )
        assert small < large

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            (
                {"target_accept": 1.0},
                "target_accept must be a finite number above 0 and below 1, got 1.0",
            ),
            ({"target_accept": 0.0}, "target_accept must be a finite number above 0"),
            ({"max_tree_depth": 0}, "max_tree_depth must be an integer of at least 1"),
            ({"n_chains": 0}, "n_chains must be an integer of at least 1"),
            ({"engine": "stan"}, "engine must be one of collapsed, enumerated; got 'stan'"),
        ],
        ids=str,
    )
    def test_refuses(self, option: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            self.fit(**option)

    @pytest.mark.parametrize("transitions", [0, 5, 14])
    def test_an_interrupt_returns_what_there_is(
        self, transitions: int, whole: gp.Fit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left, transition = [transitions], NoUTurn.transition

        def stops(self: NoUTurn, start: Point) -> Transition:
            left[0] -= 1
            if left[0] == -1:
                raise KeyboardInterrupt
            return transition(self, start)

        monkeypatch.setattr(NoUTurn, "transition", stops)
        with pytest.warns(FitWarning, match="interrupted"):
            found = self.fit()
        assert found.status is Status.INTERRUPTED
        draws = max(1, transitions - 8)
        assert found.posterior.draws["means"].shape == (2, draws, 2, 1)
        assert set(found.posterior.statistics) == STATISTICS
        if transitions > 8:
            energy = whole.posterior.statistics["energy"][:, :draws]
            assert found.posterior.statistics["energy"].equal(energy)

    @pytest.mark.parametrize("engine", ["collapsed", "enumerated"])
    def test_an_interrupt_before_the_first_transition_ends_the_fit(
        self, engine: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One on the way to the mode counts as much as one of the chains."""
        count = 0

        def counted(self: tqdm, n: float = 1) -> None:
            nonlocal count
            count += 1
            if count == 1:
                raise KeyboardInterrupt

        monkeypatch.setattr(tqdm, "update", counted)
        with pytest.warns(FitWarning, match="interrupted"):
            found = self.fit(engine=engine)
        assert found.posterior.n_draws == 1
        assert count <= 2

    def test_the_enumerated_engine_has_the_statistics_that_pyro_gives(self) -> None:
        found = self.fit(engine="enumerated", n_draws=4, n_warmup=3)
        given = {"energy", "step_size", "diverging", "lp", "log_likelihood"}
        assert set(found.posterior.statistics) == given
        assert found.posterior.draws["means"].shape == (2, 4, 2, 1)
        # the energy is that of position and momentum: above that of the position alone
        assert found.posterior.statistics["energy"].isfinite().all()


@pytest.mark.slow
def test_the_enumerated_engine_draws_from_the_posterior() -> None:
    """Pyro's chains against Gibbs sampling, whose Monte Carlo error is small beside theirs."""
    x = TestFit.x
    model = MixtureModel(2, "diag", gp.ConjugatePriors())
    ours = gp.fit(model, x, "gibbs", n_chains=50, n_draws=200).posterior
    # in the coordinates that a warm-up learns, three steps cross the posterior
    few = {"n_chains": 2, "n_draws": 60, "n_warmup": 40, "max_tree_depth": 2}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "nuts.* drew chains that disagree", FitWarning)
        theirs = gp.fit(model, x, "nuts", engine="enumerated", **few).posterior

    def quantities(posterior: gp.Posterior) -> list[Tensor]:
        means, weights = posterior.draws["means"][..., 0], posterior.draws["weights"]
        order = means.argsort(-1)
        aligned = [values.gather(-1, order) for values in (means, weights)]
        log_likelihood = posterior.statistics["log_likelihood"]
        return [aligned[0][..., 0], aligned[0][..., 1], aligned[1][..., 0], log_likelihood]

    bound = norm.isf(FAILURE_RATE / 8)
    for exact, drawn in zip(quantities(ours), quantities(theirs), strict=True):
        size = float(effective_sample_size(drawn).clamp(4, drawn.numel()))
        error = float(exact.std()) / math.sqrt(size)
        assert abs(float(drawn.mean() - exact.mean())) < bound * error
        # the fourth moment of these is close to the normal one: a log sd has an error 1 / sqrt 2s,
        # where draws that alternate about the mean have fewer independent squares than values
        squares = effective_sample_size((drawn - exact.mean()).square())
        size = min(size, float(squares.clamp_min(4)))
        assert abs(math.log(float(drawn.std() / exact.std()))) < bound / math.sqrt(2 * size)
