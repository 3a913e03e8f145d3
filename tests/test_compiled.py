"""The compiled loops against torch's features: the same sums, whatever there is to be reduced."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from compiled_problems import ASSIGNMENTS, SHAPES, Problem, Shape, Sizes, excess, identical
from gmm_pyro.covariance import FAMILIES, Parameters, Statistics
from gmm_pyro.reduction import compiled
from gmm_pyro.reduction.assignments import Drawn, GivenLabels, Weighted, argmax, softmax
from gmm_pyro.reduction.choice import reducer_for
from gmm_pyro.reduction.compiled import Compiled, Plan, Recipe
from gmm_pyro.reduction.kernels import Centred
from gmm_pyro.reduction.sums import log_likelihood, reduce
from gmm_pyro.reduction.theta import Theta
from oracles import close

DTYPES = [torch.float64, torch.float32]
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float64", "float32"])
every_form = pytest.mark.parametrize("name", FAMILIES)


@every_form
@every_dtype
@settings(max_examples=20)
@given(shape=SHAPES, kind=st.sampled_from(list(ASSIGNMENTS)))
def test_all_that_the_loops_know_gives_the_sums_of_the_features(
    name: str, dtype: torch.dtype, shape: Shape, kind: str
) -> None:
    family = FAMILIES[name]
    noise = shape.noise and not family.tied  # else the centred kernel takes over
    shape = replace(shape, noise=noise, empty=shape.empty and not shape.known)
    problem, assign = Problem.of(family, shape, dtype), ASSIGNMENTS[kind](shape)
    assert isinstance(reducer_for(problem.theta, problem.observations, assign), Compiled)
    found = excess(problem, assign)
    assert max(found.values()) <= 1, found


@every_dtype
@pytest.mark.parametrize("name", ["full", "diag", "spherical", "tied"])
@pytest.mark.parametrize("kind", ["softmax", "shares"])
def test_any_number_of_points_and_of_components_fits_into_panels(
    name: str, dtype: torch.dtype, kind: str
) -> None:
    """Around the numbers where one more panel, group of them, or lanes of components begin."""
    plan = Plan.of(6, 1, 3, torch.finfo(dtype).bits // 8)
    whole = plan.points * plan.group
    sizes = {(n + more, 3) for n in (0, plan.points, whole, 2 * whole) for more in (-1, 0, 1)}
    sizes |= {(40, k) for k in range(1, 36)}
    for n, k in sizes:
        if n > 0:
            shape = Shape(n=n, d=2, k=k, s=1, weight="positive")
            assign = ASSIGNMENTS[kind](shape)
            found = excess(Problem.of(FAMILIES[name], shape, dtype), assign)
            assert max(found.values()) <= 1, (n, k, found)


# ---------------------------------------------------------------------- draws


@given(shape=SHAPES)
def test_draws_are_those_of_the_features(shape: Shape) -> None:
    problem = Problem.of(FAMILIES["full"], replace(shape, empty=False), torch.float64)
    labels = [torch.full((shape.s, shape.n), -5) for _ in range(2)]
    for points, found in zip((problem.observations, problem.exact), labels, strict=True):
        reduce(points, problem.theta, Drawn(shape.seed, found))
    assert torch.equal(*labels)


@every_dtype
@given(shape=SHAPES)
def test_what_is_written_is_what_is_counted(dtype: torch.dtype, shape: Shape) -> None:
    problem = Problem.of(FAMILIES["diag"], shape, dtype)
    labels = torch.full((shape.s, shape.n), -5)
    drawn = reduce(problem.observations, problem.theta, Drawn(shape.seed, labels))
    given = reduce(problem.observations, problem.theta, GivenLabels(labels))
    assert int(labels.min()) >= 0
    assert identical(replace(drawn, log_norm=given.log_norm), given)


@every_dtype
def test_draws_have_the_frequencies_of_the_responsibilities(dtype: torch.dtype) -> None:
    """Many chains: each count is binomial."""
    shape = Shape(n=40, d=2, k=3, s=1)
    problem, s = Problem.of(FAMILIES["full"], shape, dtype), 4000
    p = Parameters(*(part.expand(s, *part.shape[1:]) for part in problem.theta.parameters.values))
    family, reference = problem.theta.family, problem.theta.reference
    theta = Theta(family, p, family.natural(p, reference), reference, centred=False)
    labels = torch.empty(s, shape.n, dtype=torch.int64)
    reduce(problem.observations, theta, Drawn(1, labels))
    r = Sizes(problem, softmax).logits[0].softmax(0)
    share = torch.nn.functional.one_hot(labels, 3).double().mean(0).T
    error = (r * (1 - r) / s).sqrt()
    assert ((share - r).abs() <= 5 * error + 1 / s).all()  # fails for 1 seed in 10,000


# ---------------------------------------------------------------------- what is at the edge


@every_dtype
@pytest.mark.parametrize("assign", [softmax, argmax, Drawn(1)], ids=["softmax", "argmax", "drawn"])
def test_a_point_that_no_component_reaches_is_left_out(dtype: torch.dtype, assign: Any) -> None:
    """A tenth of them are known to be of a component without weight."""
    problem = Problem.of(FAMILIES["full"], Shape(n=100, d=2, k=3, s=2, empty=True), dtype)
    known = torch.where(torch.arange(100) % 10 == 3, 0, -1)
    found, exact = (
        reduce(points.labelled(known, 3), problem.theta, assign)
        for points in (problem.observations, problem.exact)
    )
    assert found.log_norm.tolist() == exact.log_norm.tolist() == [-math.inf] * 2
    for name in ("counts", "first", "second"):
        close(getattr(found, name), getattr(exact, name), 1e3 * torch.finfo(dtype).eps)
    if assign is softmax:
        close(found.counts.sum(1), [90.0, 90.0], 1e3 * torch.finfo(dtype).eps)


@every_dtype
def test_a_point_without_weight_may_be_out_of_reach(dtype: torch.dtype) -> None:
    problem = Problem.of(FAMILIES["full"], Shape(n=100, d=2, k=3, s=1, empty=True), dtype)
    lost = torch.arange(100) % 10 == 3
    points = replace(problem.observations, sample_weight=(~lost).to(dtype))
    with_it = reduce(points.labelled(torch.where(lost, 0, -1), 3), problem.theta)
    assert identical(with_it, reduce(points, problem.theta))


@every_dtype
def test_far_points_have_responsibilities_and_no_nan(dtype: torch.dtype) -> None:
    """So far that all densities underflow in float64: logits are compared, and not densities."""
    problem = Problem.of(FAMILIES["diag"], Shape(n=60, d=3, k=4, s=1), dtype)
    far = problem.observations.x.clone()
    far[::7] += 300
    points = replace(problem.observations, x=far)
    found = excess(Problem(problem.theta, points, replace(problem.exact, x=far.double())), softmax)
    assert max(found.values()) <= 1, found


def test_what_was_worked_on_before_leaves_no_trace() -> None:
    """Numbers out of range in the place of work, from parameters that are none."""
    problem = Problem.of(FAMILIES["full"], Shape(n=333, d=3, k=5, s=1), torch.float64)
    theta, points = problem.theta, problem.observations
    before = reduce(points, theta)
    for number in (-math.inf, math.inf, math.nan):
        linear = torch.full_like(theta.natural.linear, number)
        broken = replace(theta, natural=replace(theta.natural, linear=linear))
        assert not reduce(points, broken).log_norm.isfinite().any()
        assert identical(reduce(points, theta), before)


def test_gradients_go_through_the_loops() -> None:
    problem = Problem.of(FAMILIES["full"], Shape(n=200, d=3, k=4, s=2), torch.float64)
    gradients = []
    for points in (problem.observations, problem.exact):
        p = problem.theta.parameters
        leaves = [part.clone().requires_grad_() for part in (p.log_weights, p.means, p.factor)]
        value = log_likelihood(points, problem.theta.family, Parameters(*leaves)).sum()
        gradients.append(torch.autograd.grad(value, leaves))
    for one, other in zip(*gradients, strict=True):
        close(one, other, 1e-12)


# ---------------------------------------------------------------------- what the loops do not know


def shift(logits: Tensor, rows: Any) -> Tensor:
    return softmax(logits.sub_(1.0), rows)


@pytest.mark.parametrize(
    "assign",
    [
        shift,
        Weighted(shift, torch.ones(1, 50)),
        Weighted(Weighted(softmax, torch.full((1, 50), 2.0)), torch.full((1, 50), 3.0)),
    ],
    ids=["a function", "a weighted one", "weighted twice"],
)
def test_what_the_loops_do_not_know_goes_to_torch(assign: Any) -> None:
    problem = Problem.of(FAMILIES["full"], Shape(n=50, d=2, k=3, s=1), torch.float64)
    assert Recipe.of(assign) is None
    found, exact = (
        reduce(points, problem.theta, assign) for points in (problem.observations, problem.exact)
    )
    assert identical(found, exact)


def test_what_is_centred_goes_to_torch() -> None:
    problem = Problem.of(FAMILIES["full"], Shape(n=50, d=2, k=3, s=1), torch.float64)
    about = Theta.about_means(problem.theta.family, problem.theta.parameters)
    assert isinstance(reducer_for(about, problem.observations, softmax), Centred)


# ---------------------------------------------------------------------- threads

MANY = 120_000  # points


@dataclass(frozen=True)
class Blocks:
    """A reduction that many blocks and calls make up, and the same in one."""

    problem: Problem
    whole: dict[str, Statistics]
    labels: Tensor


KINDS = ["softmax", "argmax", "weighted softmax"]


@pytest.fixture
def blocks(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> Iterator[Blocks]:
    shape = Shape(n=MANY, d=2, k=3, s=2, weight="some zero")
    problem = Problem.of(FAMILIES["full"], shape, dtype)
    monkeypatch.setattr(compiled, "BLOCK_WORK", 1e9)
    labels = torch.empty(2, MANY, dtype=torch.int64)
    Plan.of.cache_clear()
    whole = {kind: results(problem, ASSIGNMENTS[kind](shape)) for kind in KINDS}
    reduce(problem.observations, problem.theta, Drawn(3, labels))
    monkeypatch.setattr(compiled, "BLOCK_WORK", 5e5)
    monkeypatch.setattr(compiled, "CALL_WORK", 2e5)
    Plan.of.cache_clear()
    yield Blocks(problem, whole, labels)
    Plan.of.cache_clear()


def results(problem: Problem, assign: Any) -> Statistics:
    return reduce(problem.observations, problem.theta, assign)


@every_dtype
def test_blocks_and_calls_add_up(blocks: Blocks, dtype: torch.dtype) -> None:
    problem, shape = blocks.problem, Shape(n=MANY, d=2, k=3, s=2)
    reducer = reducer_for(problem.theta, problem.observations, softmax)
    assert len(reducer.blocks()) > 20
    assert max(len(block.x) for block in reducer.blocks()) > 2 * reducer.plan.call
    for kind, whole in blocks.whole.items():
        cut = results(problem, ASSIGNMENTS[kind](shape))
        for name in ("log_norm", "counts", "first", "second"):
            # Groups begin elsewhere, and each is summed in the type of the points.
            close(getattr(cut, name), getattr(whole, name), 64 * torch.finfo(dtype).eps)
    labels = torch.full_like(blocks.labels, -5)
    reduce(problem.observations, problem.theta, Drawn(3, labels))
    assert torch.equal(labels, blocks.labels)


@every_dtype
@pytest.mark.parametrize("kind", [*KINDS, "drawn", "labels"])
def test_any_number_of_threads_gives_the_same_bits(
    blocks: Blocks, dtype: torch.dtype, kind: str
) -> None:
    found = []
    for threads in (1, 2, 4, 1):
        torch.set_num_threads(threads)
        assign = ASSIGNMENTS[kind](Shape(n=MANY, d=2, k=3, s=2))
        found.append(results(blocks.problem, assign))
    assert all(identical(found[0], other) for other in found[1:])


def test_several_callers_at_once_get_what_each_gets_alone() -> None:
    problems = [
        Problem.of(FAMILIES[name], Shape(n=9000, d=d, k=3, s=1, weight="positive"), dtype)
        for name in ("full", "diag", "tied")
        for d in (2, 3)
        for dtype in DTYPES
    ]
    alone = [results(problem, softmax) for problem in problems]
    torch.set_num_threads(2)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda problem: results(problem, softmax), problems * 3))
    assert all(identical(*pair) for pair in zip(alone * 3, together, strict=True))
