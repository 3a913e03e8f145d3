"""How a selection climbs: who stays in the pool, leaps, solutions in reserve, and repairs."""

from __future__ import annotations

import math

import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES, Parameters
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.em import EMOptions
from gmm_pyro.inference.task import Task
from gmm_pyro.reduction.theta import theta_of
from gmm_pyro.reduction.together import Same
from gmm_pyro.selection.climbing import Ends, Rule, climbed, stepped
from gmm_pyro.selection.ladder import Ladder, Rung
from gmm_pyro.selection.neighbours import brought
from gmm_pyro.selection.sizes import Sizes, side_by_side
from gmm_pyro.selection.standing import CHASE, OLD, Standing, settled, standings, staying
from oracles import close

POINTS = observe(gp.datasets.old_faithful().x)
FLOOR = 1e-6 * POINTS.bulk.square()


def mixtures(family: str, k: int, seeds: range) -> Parameters:
    """Mixtures of a family over the eruptions, each from labels at random."""
    found = []
    for seed in seeds:
        labels = torch.randperm(POINTS.n, generator=torch.Generator().manual_seed(seed)) % k
        options = {"start": labels, "max_steps": 1, "least_points": 1}
        with pytest.warns(gp.FitWarning):
            fit = gp.fit(gp.MixtureModel(k, family), POINTS.x, **options)
        found.append(fit.mixture.parameters)
    return Parameters.joined(found)


def ladder_of(family: str, numbers: list[int], within: list[Ladder] | None = None) -> Ladder:
    task = Task("em", gp.MixtureModel(1, family), POINTS, EMOptions(tolerance=1e-6, max_steps=1000))
    return Ladder(task, POINTS, numbers, within or [])


# ---------------------------------------------------------------------- sets side by side


@pytest.mark.parametrize("tight", [0, 2])
def test_a_tight_set_and_the_others_go_their_own_ways(tight: int) -> None:
    """It needs the centred kernel, and they do not."""
    rule = Rule(FAMILIES["full"], FLOOR, tolerance=None, max_steps=1000, leaps=False)
    p = mixtures("full", 2, range(3))
    p.means[tight, 0] = POINTS.x[0]
    p.factor[tight, 0] *= 1e-4
    assert theta_of(rule.family, p, POINTS).centred
    together = stepped(Same(POINTS), Ends.begun(p), rule, 6)
    for i in range(3):
        alone = stepped(Same(POINTS), Ends.begun(p[[i]]), rule, 6)
        assert together.steps[i] == 6
        for ours, theirs in zip(
            together.parameters[[i]].values, alone.parameters.values, strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-10)
        torch.testing.assert_close(together.history[[i]], alone.history, rtol=1e-9, atol=0)


# ---------------------------------------------------------------------- leaps


@pytest.mark.parametrize("family", ["full", "tied", "diag", "VEI", "VEV", "VVE"])
def test_leaps_never_lead_down(family: str) -> None:
    ends = Ends.begun(mixtures(family, 3, range(3)))
    rule = Rule(FAMILIES[family], FLOOR, tolerance=0.0, max_steps=1000, leaps=True)
    before = torch.full((3,), -torch.inf).double()
    for _ in range(12):
        ends = stepped(Same(POINTS), ends, rule, 10)
        rounding = 1e-10 * ends.log_likelihood.abs()
        assert (ends.log_likelihood >= before - rounding).all()
        before = ends.log_likelihood


def test_leaps_come_to_what_steps_come_to_sooner() -> None:
    """A single Gaussian's worth of points in three components: EM takes hundreds of steps."""
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    points = observe(x)
    labels = (x[:, 0] > 0).long()
    with pytest.warns(gp.FitWarning):
        start = gp.fit(gp.MixtureModel(2, "full"), x, start=labels, max_steps=1)
    owner, taken, reached = torch.zeros(1, dtype=torch.int64), [], []
    for leaps in (False, True):
        rule = Rule(FAMILIES["full"], FLOOR, tolerance=1e-8, max_steps=5000, leaps=leaps)
        ends = climbed(Same(points), Ends.begun(start.mixture.parameters), rule, owner)
        assert bool(ends.converged[0])
        taken.append(int(ends.steps[0]))
        reached.append(float(ends.log_likelihood[0]))
    assert taken[1] < 0.7 * taken[0]
    assert reached[1] >= reached[0] - 1e-4


# ---------------------------------------------------------------------- who stays


def standing(
    steps: int, heading: float, *, sound: bool = True, ahead: float = 0.0, k: int = 2
) -> Standing:
    return Standing(k, steps, sound, heading - ahead, heading, heading + ahead)


def test_what_can_hardly_come_to_be_the_best_leaves() -> None:
    young, old = 5, OLD + 5
    all_of_them = [
        standing(old, -10.0),
        standing(old, -11.0),  # behind, and nothing ahead of it
        standing(old, -11.5, ahead=3.0),  # behind, and may pass
        standing(young, -50.0),  # has just begun
        standing(old, -10.0 + 1e-9),  # the same as the first
        standing(old, 5.0, sound=False),  # an accident
        standing(old, -30.0, k=3),  # another number
        standing(young, -math.inf),  # nowhere
    ]
    kept = staying(all_of_them, {}, gap=1e-6)
    assert {2, 3, 6} <= set(kept)
    assert len({0, 4} & set(kept)) == 1
    assert not {1, 5, 7} & set(kept)


def test_a_known_solution_is_to_be_passed() -> None:
    all_of_them = [standing(OLD, -10.0), standing(OLD, -9.0), standing(OLD, -12.0, sound=False)]
    assert staying(all_of_them, {2: -9.5}, gap=1e-6) == [1]
    assert staying(all_of_them[:1], {2: -9.5}, gap=1e-6) == []


def test_unsound_sets_stay_where_there_is_nothing_else() -> None:
    assert staying([standing(OLD + 5, -1.0, sound=False)], {}, gap=1e-6) == [0]


def test_settled_are_those_without_a_rival_of_their_age() -> None:
    all_of_them = [
        standing(OLD, -1.0),
        standing(5, -2.0),
        standing(OLD, -3.0, k=3),
        standing(OLD, -2.0, k=3),
    ]
    assert settled(all_of_them, [0, 1, 2, 3]) == [0]
    late = [standing(CHASE, -1.0), standing(CHASE, -2.0)]
    assert settled(late, [0, 1]) == [0, 1]


def test_standings_before_the_second_step_promise_everything() -> None:
    ends = Ends.begun(mixtures("full", 2, range(1)))
    [first] = standings(stepped(Same(POINTS), ends, rule_of("full"), 0), [2], [True])
    assert first.ceiling == math.inf


def rule_of(family: str) -> Rule:
    return Rule(FAMILIES[family], FLOOR, tolerance=0.0, max_steps=100)


# ---------------------------------------------------------------------- families within


@pytest.mark.parametrize(
    ("family", "within"),
    [("full", "tied"), ("full", "VEE"), ("diag", "VEI"), ("VEI", "spherical"), ("VVE", "diag")],
)
def test_brought_is_the_same_mixture(family: str, within: str) -> None:
    p = mixtures(within, 3, range(1))
    found = brought(FAMILIES[family], FAMILIES[within], p)
    dense = FAMILIES[within].dense(p.factor, 2).expand(1, 3, 2, 2)
    close(FAMILIES[family].dense(found.factor, 2), dense, 1e-12)
    assert found.factor.shape[1] == 3


# ---------------------------------------------------------------------- reserves and repairs


def test_where_the_best_comes_to_be_unsound_the_next_one_is_taken() -> None:
    ladder = ladder_of("full", [2])
    x = POINTS.x
    on_two = torch.zeros(len(x), dtype=torch.int64)
    on_two[:2] = 1
    options = {"start": on_two, "max_steps": 1, "least_points": 1}
    with pytest.warns(gp.FitWarning):
        accident = gp.fit(gp.MixtureModel(2, "full"), x, **options).mixture.parameters
    ladder.found[2] = [
        Rung(accident, 0.0, sound=True),  # as it was said to be before the last steps
        Rung(mixtures("full", 2, range(1)), -1.0, sound=True),
    ]
    ladder.converge()
    best = ladder.rungs[2]
    assert best.sound
    assert best.converged
    assert best.log_likelihood == pytest.approx(-1130.264, abs=0.01)  # mclust's VVV,2


def test_what_a_smaller_one_outdoes_is_begun_anew() -> None:
    """Three components that are worse than the best two: from the two, and a third."""
    ladder = ladder_of("full", [2, 3])
    ladder.climb(side_by_side(FAMILIES["full"], [mixtures("full", 2, range(2))]))
    poor = mixtures("full", 3, range(1))
    ladder.found[3] = [Rung(poor, -1300.0, sound=True, ended=True)]
    ladder.converge()
    ladder.finish()
    assert ladder.outdone(3)
    assert not ladder.outdone(2)
    ladder.climb(side_by_side(FAMILIES["full"], ladder.repair()))
    ladder.converge()
    ladder.finish()
    assert not ladder.outdone(3)
    assert ladder.repair() == []


def test_what_a_family_within_outdoes_is_begun_there() -> None:
    within = ladder_of("tied", [3])
    within.climb(side_by_side(FAMILIES["tied"], [mixtures("tied", 3, range(4))]))
    within.converge()
    within.finish()
    ladder = ladder_of("full", [3], [within])
    ladder.found[3] = [Rung(mixtures("full", 3, range(1)), -1300.0, sound=True, ended=True)]
    ladder.finish()
    assert ladder.outdone(3)
    ladder.climb(side_by_side(FAMILIES["full"], ladder.repair()))
    ladder.converge()
    assert ladder.rungs[3].log_likelihood >= within.rungs[3].log_likelihood - 1e-3
    ladder.finish()
    assert not ladder.outdone(3)


def test_sizes_are_joined_whatever_their_widths() -> None:
    family = FAMILIES["diag"]
    small = side_by_side(family, [mixtures("diag", 2, range(1))])
    large = side_by_side(family, [mixtures("diag", 4, range(1))])
    both = Sizes.joined([small, large])
    assert both.numbers == (2, 4)
    assert both.absent.tolist() == [[False, False, True, True], [False] * 4]
    close(both.parameters(0).means, small.parameters(0).means)


def test_a_set_that_is_lost_leaves() -> None:
    p = mixtures("full", 2, range(2))
    p.means[1, 0] = torch.nan
    ends = stepped(Same(POINTS), Ends.begun(p), rule_of("full"), 2)
    both = standings(ends, [2, 2], [True, False])
    assert both[1].reached == -math.inf
    assert staying(both, {}, gap=1e-6) == [0]
