"""The reduction against dense float64 `torch.distributions`, and what it promises on top."""

from __future__ import annotations

import math
import pickle
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import oracles
from gmm_pyro.covariance import FAMILIES, CovarianceFamily, Parameters, Statistics
from gmm_pyro.covariance.records import present
from gmm_pyro.data.observations import observe
from gmm_pyro.data.points import Observations
from gmm_pyro.reduction import pointwise
from gmm_pyro.reduction.assignments import Assignment, Given, GivenLabels, argmax, softmax
from gmm_pyro.reduction.choice import reducer_for
from gmm_pyro.reduction.compiled import Compiled
from gmm_pyro.reduction.sums import log_likelihood, maximise, reduce
from gmm_pyro.reduction.theta import Theta, theta_of
from oracles import EPSILON, every_class, normal

MIB = 1 << 20


# ---------------------------------------------------------------------- the dense truth


def dense_mixture(family: CovarianceFamily, p: Parameters) -> MixtureSameFamily:
    """s mixtures whose every covariance is a (d, d) matrix."""
    k, d = p.means.shape[1:]
    scale_tril = family.scale_tril(p.factor, d).expand(-1, k, -1, -1)
    return MixtureSameFamily(
        Categorical(logits=p.log_weights), MultivariateNormal(p.means, scale_tril=scale_tril)
    )


def dense_log_density(family: CovarianceFamily, p: Parameters, x: Tensor) -> Tensor:
    return dense_mixture(family, p).log_prob(x[:, None]).T  # (s, n)


def dense_logits(family: CovarianceFamily, p: Parameters, x: Tensor) -> Tensor:
    emission = dense_mixture(family, p).component_distribution
    return p.log_weights[..., None] + emission.log_prob(x[:, None, None]).permute(1, 2, 0)


def dense_statistics(
    family: CovarianceFamily, r: Tensor, log_norm: Tensor, x: Tensor, reference: Tensor
) -> Statistics:
    """Sums over points of responsibilities (s, k, n), one set and component at a time."""
    s, k, _ = r.shape
    reference = reference.expand(s, k, x.shape[1])
    z = x - reference[:, :, None]
    second = torch.einsum("skn,skni,sknj->skij", r, z, z)
    second = second.sum(1, keepdim=True) if family.tied else second
    first = torch.einsum("skn,skni->ski", r, z)
    return Statistics(log_norm, r.sum(-1), first, family.compress(second), reference)


close = partial(oracles.close, rounding=1e-10)


def close_statistics(actual: Statistics, expected: Statistics, relative: float = 1e-10) -> None:
    for name in ("log_norm", "counts", "first", "second"):
        close(getattr(actual, name), getattr(expected, name), rounding=relative)


def identical(one: Statistics, other: Statistics) -> bool:
    return all(
        torch.equal(*pair)
        for part in fields(one)
        if (pair := (getattr(one, part.name), getattr(other, part.name))) != (None, None)
    )


def with_gradient(p: Parameters) -> tuple[Parameters, list[Tensor]]:
    """Parameters as functions of free leaves, whatever normalises the weights."""
    leaves = [t.detach().clone().requires_grad_() for t in (p.log_weights, p.means, p.factor)]
    return Parameters(leaves[0].log_softmax(-1), *leaves[1:]), leaves


def both_gradients(
    family: CovarianceFamily, p: Parameters, observations: Observations
) -> Iterator[tuple[Tensor, Tensor]]:
    """Value and gradients: ours, and those of the dense mixture; sets count 1, 2, 3, …"""
    weight = observations.sample_weight
    weight = torch.ones(observations.n, dtype=torch.float64) if weight is None else weight
    importance = torch.arange(1.0, len(p.means) + 1, dtype=torch.float64)

    ours, our_leaves = with_gradient(p)
    our_value = log_likelihood(observations, family, ours)
    theirs, their_leaves = with_gradient(p)
    their_value = dense_log_density(family, theirs, observations.x) @ weight
    yield our_value.detach(), their_value.detach()
    yield from zip(
        torch.autograd.grad(our_value @ importance, our_leaves),
        torch.autograd.grad(their_value @ importance, their_leaves),
        strict=True,
    )


# ---------------------------------------------------------------------- the kernels


@dataclass(frozen=True)
class Kernel:
    """A way to the statistics: which kernel, about which points, and whether it is compiled."""

    centred: bool
    about_means: bool = False
    compiled: bool = False

    def theta(self, family: CovarianceFamily, p: Parameters, observations: Observations) -> Theta:
        if self.about_means:
            return Theta.about_means(family, p)
        natural = family.natural(p, observations.origin)
        return Theta(family, p, natural, observations.origin, self.centred)

    def reduce(
        self, observations: Observations, theta: Theta, assign: Assignment = softmax
    ) -> Statistics:
        observations = replace(observations, compiled=self.compiled)
        assert isinstance(reducer_for(theta, observations, assign), Compiled) == self.compiled
        return reduce(observations, theta, assign)


KERNELS = {
    "features": Kernel(centred=False),
    "compiled": Kernel(centred=False, compiled=True),
    "centred": Kernel(centred=True),
    "centred about the means": Kernel(centred=True, about_means=True),
}
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


# ---------------------------------------------------------------------- log-likelihood, gradient


@every_class
@pytest.mark.parametrize(("n", "d"), [(200, 1), (200, 2), (200, 5), (60, 200)], ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_log_likelihood_and_gradient_are_those_of_the_dense_mixture(
    family: CovarianceFamily, n: int, d: int, *, weighted: bool, random_parameters: Callable
) -> None:
    weight = normal(n, seed=1).exp() if weighted else None
    observations = observe(3 + 2 * normal(n, d), sample_weight=weight)
    p = random_parameters(family, s=3, k=4, d=d)
    for ours, dense in both_gradients(family, p, observations):
        close(ours, dense)


@dataclass(frozen=True)
class Tight:
    """Components 1e-6 wide at a distance of 1e3: moments about one centre lose all digits."""

    p: Parameters
    observations: Observations


@pytest.fixture
def tight(family: CovarianceFamily) -> Tight:
    sizes = torch.tensor([50, 20, 30])
    means = 1e3 * torch.tensor([[[1.0, 0.3], [-1.0, 0.1], [0.2, -1.0]]], dtype=torch.float64)
    root = normal(1, family.n_covariances(3), 2, 5)
    covariances = 1e-12 * root @ root.mT
    factor = family.fit(family.compress(covariances), torch.zeros(2, dtype=torch.float64))
    x = means[0].repeat_interleave(sizes, 0) + 1e-6 * normal(100, 2, seed=1)
    return Tight(Parameters((sizes / 100).double().log()[None], means, factor), observe(x))


@every_class
def test_far_and_tight_components(family: CovarianceFamily, tight: Tight) -> None:
    assert theta_of(family, tight.p, tight.observations).centred
    p = replace(tight.p, log_weights=torch.tensor([[0.2, 0.3, 0.5]]).double().log())
    for ours, dense in both_gradients(family, p, tight.observations):
        close(ours, dense)


@every_class
def test_features_would_not_do_for_far_and_tight_components(
    family: CovarianceFamily, tight: Tight
) -> None:
    theta = KERNELS["features"].theta(family, tight.p, tight.observations)
    dense = dense_log_density(family, tight.p, tight.observations.x).sum(-1)
    assert (reduce(tight.observations, theta).log_norm / dense - 1).abs() > 1e-6


@every_class
def test_a_set_without_numbers_does_not_hide_a_tight_one(
    family: CovarianceFamily, tight: Tight
) -> None:
    both = Parameters(
        tight.p.log_weights.expand(2, -1),
        tight.p.means.expand(2, -1, -1),
        torch.cat([tight.p.factor, torch.nan * tight.p.factor]),
    )
    assert theta_of(family, both, tight.observations).centred


@every_class
def test_the_m_step_towards_far_and_tight_components(
    family: CovarianceFamily, tight: Tight
) -> None:
    """From a wide start, whose own moments are about the centre of the data."""
    wide = replace(tight.p, factor=1e8 * tight.p.factor)
    start = theta_of(family, wide, tight.observations)
    assert not start.centred
    floor = torch.zeros(2, dtype=torch.float64)
    statistics = reduce(tight.observations, start, argmax)
    found = maximise(tight.observations, start, statistics, floor, argmax)
    assert found.centred
    z = tight.observations.x - tight.p.means[0].repeat_interleave(torch.tensor([50, 20, 30]), 0)
    r = torch.nn.functional.one_hot(torch.arange(3).repeat_interleave(torch.tensor([50, 20, 30])))
    r = r.double().T
    shift = r @ z / r.sum(1, keepdim=True)
    z = z - r.T @ shift
    scatter = torch.einsum("kn,ni,nj->kij", r, z, z)
    counts = r.sum(1)[:, None, None]
    if family.tied:
        scatter, counts = scatter.sum(0, keepdim=True), counts.sum(0, keepdim=True)
    close(found.parameters.means[0], tight.p.means[0] + shift, rounding=4 * EPSILON)
    close(
        found.parameters.factor[0],
        family.fit(family.compress(scatter / counts), floor),
        rounding=1e-6,
    )


@every_class
@pytest.mark.parametrize("distance", [1.0, 1e2, 1e4, 1e6], ids="{:g} sd".format)
def test_the_kernel_is_chosen_before_digits_are_lost(
    family: CovarianceFamily, distance: float, random_parameters: Callable
) -> None:
    p = random_parameters(family, s=1, k=2, d=3)
    p = replace(p, means=p.means + distance * torch.tensor([[[1.0], [-1.0]]]).double())
    x = p.means[0].repeat_interleave(100, 0) + normal(200, 3, seed=1)
    observations = observe(x)
    ours = pointwise.log_density(observations, theta_of(family, p, observations))
    torch.testing.assert_close(ours, dense_log_density(family, p, x), rtol=0, atol=1e-9)  # nats


@pytest.mark.parametrize("name", ["full", "tied"])
@pytest.mark.parametrize("gap", [1e-2, 1e-5, 1e-8, 1e-11], ids="1 - {:g}".format)
def test_the_kernel_is_chosen_before_a_correlation_loses_digits(name: str, gap: float) -> None:
    """A component at the data's centre, whose features are nearly the same."""
    family = FAMILIES[name]
    factor = torch.tensor([[[[1.0, 0.0], [1 - gap, math.sqrt(2 * gap)]]]], dtype=torch.float64)
    p = Parameters(factor.new_zeros(1, 1), factor.new_zeros(1, 1, 2), factor)
    x = normal(200, 2) @ factor[0, 0].T
    observations = observe(torch.cat([x, -x]))
    ours = pointwise.log_density(observations, theta_of(family, p, observations))
    dense = dense_log_density(family, p, observations.x)
    torch.testing.assert_close(ours, dense, rtol=0, atol=1e-9)  # nats


@every_class
@pytest.mark.parametrize("d", [1, 2])
def test_gradcheck(family: CovarianceFamily, d: int, random_parameters: Callable) -> None:
    observations = observe(normal(6, d), sample_weight=torch.arange(6.0))
    p, leaves = with_gradient(random_parameters(family, s=2, k=3, d=d))

    def value(log_weights: Tensor, means: Tensor, factor: Tensor) -> Tensor:
        parameters = Parameters(log_weights.log_softmax(-1), means, factor)
        return log_likelihood(observations, family, parameters)

    assert torch.autograd.gradcheck(value, leaves)


@every_class
def test_integer_weights_are_repeated_rows(
    family: CovarianceFamily, random_parameters: Callable
) -> None:
    x, weight = normal(50, 2), torch.arange(50) % 4
    p = random_parameters(family, s=2, k=3, d=2)
    weighted, repeated = observe(x, sample_weight=weight), observe(x.repeat_interleave(weight, 0))
    theta = theta_of(family, p, weighted)
    close_statistics(reduce(weighted, theta), reduce(repeated, theta), 1e3 * EPSILON)


# ---------------------------------------------------------------------- statistics


@every_class
@every_kernel
@pytest.mark.parametrize("d", [1, 4])
class TestEveryKernel:
    @pytest.fixture
    def observations(self, d: int) -> Observations:
        return observe(10 + normal(400, d), sample_weight=normal(400, seed=1).exp())

    @pytest.fixture
    def p(self, family: CovarianceFamily, d: int, random_parameters: Callable) -> Parameters:
        p = random_parameters(family, s=2, k=3, d=d)
        return replace(p, means=p.means + 10)

    def test_softmax(
        self, family: CovarianceFamily, kernel: Kernel, observations: Observations, p: Parameters
    ) -> None:
        logits = dense_logits(family, p, observations.x)
        u = observations.sample_weight
        theta = kernel.theta(family, p, observations)
        expected = dense_statistics(
            family, logits.softmax(1) * u, logits.logsumexp(1) @ u, observations.x, theta.reference
        )
        close_statistics(kernel.reduce(observations, theta), expected)

    def test_argmax(
        self, family: CovarianceFamily, kernel: Kernel, observations: Observations, p: Parameters
    ) -> None:
        logits = dense_logits(family, p, observations.x)
        u = observations.sample_weight
        theta = kernel.theta(family, p, observations)
        hard = torch.nn.functional.one_hot(logits.argmax(1), 3).mT
        expected = dense_statistics(
            family, hard * u, logits.amax(1) @ u, observations.x, theta.reference
        )
        close_statistics(kernel.reduce(observations, theta, argmax), expected)

    def test_labels_known_beforehand(
        self, family: CovarianceFamily, kernel: Kernel, observations: Observations, p: Parameters
    ) -> None:
        labels = torch.arange(800).view(2, 400) % 3
        theta = kernel.theta(family, p, observations)
        r = torch.nn.functional.one_hot(labels, 3).mT.double()
        by_label = kernel.reduce(observations, theta, GivenLabels(labels))
        by_responsibility = kernel.reduce(observations, theta, Given(r))
        assert identical(by_label, by_responsibility)

    def test_responsibilities_known_beforehand(
        self, family: CovarianceFamily, kernel: Kernel, observations: Observations, p: Parameters
    ) -> None:
        r = normal(2, 3, 400, seed=2).softmax(1)
        theta = kernel.theta(family, p, observations)
        actual = kernel.reduce(observations, theta, Given(r))
        r = r * observations.sample_weight
        expected = dense_statistics(family, r, actual.log_norm, observations.x, theta.reference)
        close_statistics(actual, expected)

    def test_values_at_points(
        self, family: CovarianceFamily, kernel: Kernel, observations: Observations, p: Parameters
    ) -> None:
        """These are of the points themselves: sample weights play no part."""
        logits = dense_logits(family, p, observations.x)
        theta = kernel.theta(family, p, observations)
        close(pointwise.log_density(observations, theta), logits.logsumexp(1))
        close(pointwise.responsibilities(observations, theta), logits.softmax(1))
        assert torch.equal(pointwise.labels(observations, theta), logits.argmax(1))


@every_class
@every_kernel
def test_responsibilities_below_the_cutoff_are_zero(
    family: CovarianceFamily, kernel: Kernel
) -> None:
    """Two balls of variance one at ±h: at x the log odds are 2 h x."""
    h = 5.0
    means = torch.tensor([[[-h], [h]]], dtype=torch.float64)
    scales = torch.ones(1, family.n_covariances(2), *family.event_shape(1), dtype=torch.float64)
    p = Parameters(torch.tensor([[0.5, 0.5]], dtype=torch.float64).log(), means, scales)
    x = torch.tensor([[7.9], [8.1], [12.0]], dtype=torch.float64)
    observations = observe(x)
    r = pointwise.responsibilities(observations, kernel.theta(family, p, observations))[0, 0]
    assert r[0].log() == pytest.approx(-79, rel=1e-9)
    assert r[1:].tolist() == [0.0, 0.0]


@every_class
@every_kernel
@pytest.mark.parametrize("assign", [softmax, argmax])
def test_a_component_without_weight_changes_nothing(
    family: CovarianceFamily, kernel: Kernel, assign: Callable, random_parameters: Callable
) -> None:
    observations = observe(normal(100, 2))
    three = random_parameters(family, s=1, k=3, d=2)
    two = Parameters(
        three.log_weights[:, :2], three.means[:, :2], three.factor[:, : family.n_covariances(2)]
    )
    three = replace(three, log_weights=three.log_weights.index_fill(1, torch.tensor(2), -math.inf))
    with_it, without = (
        kernel.reduce(observations, kernel.theta(family, p, observations), assign)
        for p in (three, two)
    )
    assert with_it.counts[0, 2] == 0
    assert with_it.first[0, 2].tolist() == [0.0, 0.0]
    close(with_it.log_norm, without.log_norm, rounding=1e2 * EPSILON)
    close(with_it.counts[:, :2], without.counts, rounding=1e2 * EPSILON)
    close(with_it.second[:, : family.n_covariances(2)], without.second, rounding=1e2 * EPSILON)


@every_class
def test_the_gradient_at_a_component_without_weight_is_finite(
    family: CovarianceFamily, random_parameters: Callable
) -> None:
    observations = observe(normal(50, 2))
    p = random_parameters(family, s=1, k=3, d=2)
    leaves = [t.clone().requires_grad_() for t in (p.means, p.factor)]
    log_weights = p.log_weights.index_fill(1, torch.tensor(2), -math.inf)
    value = log_likelihood(observations, family, Parameters(log_weights, *leaves))
    for gradient in torch.autograd.grad(value.sum(), leaves):
        assert gradient.isfinite().all()


# ---------------------------------------------------------------------- float32

FLOAT32 = 1e-5  # relative; 1e2 times float32's spacing of 1.2e-7


@every_class
@every_kernel
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_float32_points_give_the_float64_statistics_nearly(
    family: CovarianceFamily, kernel: Kernel, offset: float, random_parameters: Callable
) -> None:
    x = (offset + 2 * normal(2000, 3)).float()
    p = random_parameters(family, s=2, k=3, d=3)
    p = replace(p, means=(p.means + offset).float().double())
    half, whole = observe(x, dtype=torch.float32), observe(x)
    whole = replace(whole, origin=half.origin)  # moments about the same point
    single = kernel.reduce(half, kernel.theta(family, p, half))
    double = kernel.reduce(whole, kernel.theta(family, p, whole))
    assert all(part.dtype == torch.float64 for part in astuple_of(single))
    close_statistics(single, double, FLOAT32)


def astuple_of(statistics: Statistics) -> tuple[Tensor, ...]:
    return present(getattr(statistics, part.name) for part in fields(statistics))


@every_class
def test_float32_points_give_the_float64_m_step_nearly(
    family: CovarianceFamily, random_parameters: Callable
) -> None:
    x = (100 + 2 * normal(2000, 3)).float()
    p = random_parameters(family, s=1, k=3, d=3)
    p = replace(p, means=p.means + 100)
    single, double = (
        family.m_step(reduce(o, theta_of(family, p, o)), torch.zeros(3, dtype=torch.float64))
        for o in (observe(x, dtype=torch.float32), observe(x))
    )
    close(single.log_weights.exp(), double.log_weights.exp(), rounding=FLOAT32)
    close(single.means, double.means, rounding=FLOAT32)
    close(single.factor, double.factor, rounding=FLOAT32)


# ---------------------------------------------------------------------- threads

MANY = 120_000  # points: several chunks, and several blocks of them


@every_class
@every_kernel
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_several_threads_give_the_same_bits_as_one(
    family: CovarianceFamily,
    kernel: Kernel,
    *,
    weighted: bool,
    random_parameters: Callable,
) -> None:
    weight = torch.arange(MANY) % 3 if weighted else None
    observations = observe(normal(MANY, 2), sample_weight=weight)
    theta = kernel.theta(family, random_parameters(family, s=1, k=3, d=2), observations)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(kernel.reduce(observations, theta))
        assert torch.get_num_threads() == threads
    assert identical(*results)


def test_chunks_add_up(random_parameters: Callable) -> None:
    family = FAMILIES["full"]
    observations = observe(normal(MANY, 2))
    theta = theta_of(family, random_parameters(family, s=2, k=3, d=2), observations)
    whole = reduce(observations, theta)
    parts = [
        reduce(observations.subset(index), theta) for index in torch.arange(MANY).split(50_000)
    ]
    for name in ("log_norm", "counts", "first", "second"):
        total = sum(getattr(part, name) for part in parts)
        close(getattr(whole, name), total, rounding=1e3 * EPSILON)


def test_the_number_of_threads_survives_an_error(random_parameters: Callable) -> None:
    family = FAMILIES["full"]
    observations = observe(normal(MANY, 2))
    theta = theta_of(family, random_parameters(family, s=1, k=3, d=2), observations)

    def fail(logits: Tensor, rows: slice) -> Tensor:
        raise ArithmeticError(f"at row {rows.start}")

    torch.set_num_threads(2)
    with pytest.raises(ArithmeticError, match="at row"):
        reduce(observations, theta, fail)
    assert torch.get_num_threads() == 2


def test_several_callers_at_once_get_what_each_gets_alone(random_parameters: Callable) -> None:
    torch.set_num_threads(2)
    observations = observe(normal(MANY, 2))
    thetas = [
        theta_of(family, random_parameters(family, s=1, k=3, d=2, seed=seed), observations)
        for seed in range(2)
        for family in FAMILIES.values()
    ]
    alone = [reduce(observations, theta) for theta in thetas]
    observations.cache.clear()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda theta: reduce(observations, theta), thetas))
    assert all(identical(*pair) for pair in zip(alone, together, strict=True))
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as pool:  # a new thread starts with the process's number
        assert pool.submit(torch.get_num_threads).result() == 2


# ---------------------------------------------------------------------- memory


class Allocations(TorchDispatchMode):
    """What torch allocates on this thread: the shapes, and the most bytes alive at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.peak = 0
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {id(t.untyped_storage()) for t in tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in tensors(result):
            self.shapes.add(tuple(tensor.shape))
            storage = tensor.untyped_storage()
            if id(storage) not in before | self.alive.keys():  # a view allocates nothing
                self.alive[id(storage)] = storage.nbytes()
                weakref.finalize(storage, self.alive.pop, id(storage))
        self.peak = max(self.peak, sum(self.alive.values()))
        return result


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def test_allocations_are_seen() -> None:
    """The instrument itself: a sum of products needs two such tensors, chunks of it two chunks."""
    x = torch.ones(MIB // 8, 4, dtype=torch.float64)
    with Allocations() as whole:
        (x * x + x).sum()
    assert 8 * MIB <= whole.peak < 8 * MIB + 100
    with Allocations() as chunked:
        kept = [(part * part + part).sum() for part in x.split(MIB // 64)]
    assert len(kept) == 8
    assert 1 * MIB <= chunked.peak < 1 * MIB + 100


@every_class
@pytest.mark.parametrize("kernel", ["features", "centred about the means"])
def test_memory_beyond_the_data_does_not_grow_with_them(
    family: CovarianceFamily, kernel: str, random_parameters: Callable
) -> None:
    """All responsibilities would be 12 MiB; a few temporaries of a chunk are alive at a time.

    The instrument sees one thread; each of several has a chunk of its own.
    """
    observations = observe(normal(40_000, 2))
    p = random_parameters(family, s=1, k=40, d=2)
    theta = KERNELS[kernel].theta(family, p, observations)
    reduce(observations, theta)  # second moments of the data are summed once
    with Allocations() as allocations:
        reduce(observations, theta)
    assert allocations.peak <= 8 * MIB


@every_class
def test_memory_of_the_gradient_does_not_grow_with_the_data(
    family: CovarianceFamily, random_parameters: Callable
) -> None:
    observations = observe(normal(200_000, 2))
    p, leaves = with_gradient(random_parameters(family, s=1, k=20, d=2))
    with Allocations() as allocations:
        torch.autograd.grad(log_likelihood(observations, family, p).sum(), leaves)
    # The tied families' second moment of the data takes a pass with two temporaries of ROWS rows.
    assert allocations.peak <= 8 * MIB


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.tied])
def test_tied_families_make_no_second_moments_of_components(
    name: str, random_parameters: Callable
) -> None:
    family, n, k, d = FAMILIES[name], 1000, 7, 12
    observations = observe(normal(n, d))
    theta = KERNELS["features"].theta(
        family, random_parameters(family, s=1, k=k, d=d), observations
    )
    first = reduce(observations, theta)
    with Allocations() as allocations:
        again = reduce(observations, theta)
    assert identical(first, again)
    assert again.second.shape == (1, 1, *family.event_shape(d))
    sizes = {shape: math.prod(shape) for shape in allocations.shapes}
    small = [size for shape, size in sizes.items() if n not in shape and (1 + d + k) * n != size]
    assert max(small) <= d * d  # and not k d²
    # A chunk has the features 1 and z and the logits, and no squares.
    assert max(size for shape, size in sizes.items() if n in shape) <= (1 + d + k) * n


# ---------------------------------------------------------------------- sets, kernels, M-step


@every_kernel
@pytest.mark.parametrize("sets", [[0], [3, 1], slice(1, 3)], ids=str)
def test_chosen_sets_get_the_same_numbers_as_in_the_whole_batch(
    kernel: Kernel, sets: Any, random_parameters: Callable
) -> None:
    family = FAMILIES["full"]
    observations = observe(normal(500, 3))
    p = random_parameters(family, s=5, k=3, d=3)
    whole = kernel.theta(family, p, observations)
    batch = kernel.reduce(observations, whole)
    for theta in (whole[sets], kernel.theta(family, p[sets], observations)):
        chosen = kernel.reduce(observations, theta)
        for name in ("log_norm", "counts", "first", "second"):
            close(getattr(batch, name)[sets], getattr(chosen, name), rounding=1e2 * EPSILON)


@every_class
def test_wide_data_take_the_centred_kernel_where_squares_are_many(
    family: CovarianceFamily, random_parameters: Callable
) -> None:
    observations = observe(normal(50, 150))
    theta = theta_of(family, random_parameters(family, s=1, k=2, d=150), observations)
    assert theta.centred == (family.n_features(150) >= 150 * 151 // 2)


def test_statistics_are_detached(random_parameters: Callable) -> None:
    family = FAMILIES["full"]
    p, _ = with_gradient(random_parameters(family, s=1, k=2, d=2))
    observations = observe(np.asarray(normal(20, 2)))
    statistics = reduce(observations, theta_of(family, p, observations))
    assert not any(part.requires_grad for part in astuple_of(statistics))


def test_parameters_out_of_range_are_no_error() -> None:
    family = FAMILIES["full"]
    x = normal(20, 2)
    huge = Parameters(
        torch.zeros(1, 1, dtype=torch.float64),
        torch.full((1, 1, 2), 1e200, dtype=torch.float64),
        1e200 * torch.eye(2, dtype=torch.float64)[None, None],
    )
    observations = observe(x)
    assert not reduce(observations, theta_of(family, huge, observations)).log_norm.isnan().any()


@pytest.mark.parametrize("kernel", ["torch", "compiled"])
def test_sums_are_pickled_alone(kernel: str) -> None:
    """As they travel from a worker: views would take along all that they are views of."""
    family = FAMILIES["full"]
    whole = replace(observe(normal(200, 30)), compiled=kernel == "compiled")
    p = Parameters(
        torch.zeros(1, 4).double() - math.log(4),
        normal(1, 4, 30),
        torch.eye(30).double().expand(1, 4, 30, 30),
    )
    statistics = reduce(whole, theta_of(family, p, whole))
    numbers = sum(part.numel() for part in astuple_of(statistics))
    assert len(pickle.dumps(statistics)) < 8 * numbers + 500 * len(astuple_of(statistics))
    again = pickle.loads(pickle.dumps(statistics))
    assert all(map(torch.equal, astuple_of(again), astuple_of(statistics)))
