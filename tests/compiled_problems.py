"""Problems for the compiled loops, and what errors of their sums are measured in.

Where an exact sum is Σ u r φ, with a responsibility r and a feature φ, rounding changes a logit by
about √f ε Σ |θ φ| with f features, r by as large a part of it, and a sum of n terms by √n ε of what
they are without their signs. All errors are measured in that: `Sizes`. Where a point is as good as
on the border between two components, all of it may be either's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from gmm_pyro.covariance import CovarianceFamily, Parameters, Statistics
from gmm_pyro.data.observations import observe
from gmm_pyro.data.points import Observations
from gmm_pyro.reduction.assignments import (
    Drawn,
    Given,
    GivenLabels,
    Weighted,
    argmax,
    softmax,
    uniforms,
)
from gmm_pyro.reduction.shared import shared_term
from gmm_pyro.reduction.sums import reduce
from gmm_pyro.reduction.theta import Theta
from oracles import EPSILON, normal

DEVIATIONS = 4.0  # of a walk of rounding errors, of two kernels
A_GROUP = 4096  # points whose moments are added up in the type of the points, at most
LARGEST = 3000  # points
SPARE = 500  # points that those which are reduced are some of

# ---------------------------------------------------------------------- what is reduced


@dataclass(frozen=True)
class Shape:
    """Sizes of a problem, and what is known of its points."""

    n: int
    d: int
    k: int
    s: int
    layout: str = "rows"
    weight: str = "none"
    known: bool = False
    noise: bool = False
    empty: bool = False
    seed: int = 0


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": lambda x: x,
    "columns": lambda x: x.T.contiguous().T,
    "every other column": lambda x: torch.stack([x, -x], 2).flatten(1)[:, ::2],
    "every other row": lambda x: x.repeat_interleave(2, 0)[::2],
}
WEIGHTS: dict[str, Callable[[int], Tensor | None]] = {
    "none": lambda n: None,
    "positive": lambda n: normal(n, seed=1).exp(),
    "some zero": lambda n: (torch.arange(n) % 3).double(),
}


@dataclass(frozen=True)
class Problem:
    """Parameters about points, which exact sums are of the same in float64."""

    theta: Theta
    observations: Observations
    exact: Observations

    @classmethod
    def of(cls, family: CovarianceFamily, shape: Shape, dtype: torch.dtype) -> Problem:
        p = parameters(family, shape)
        own = torch.arange(shape.n + SPARE) % shape.k
        x = (3 + p.means[0, own] + normal(shape.n + SPARE, shape.d, seed=shape.seed)).to(dtype)
        weight = WEIGHTS[shape.weight](len(x))
        labels = torch.where(torch.arange(len(x)) % 4 == 0, own, -1) if shape.known else None
        found = observe(
            x,
            n_components=shape.k,
            sample_weight=weight,
            labels=labels,
            dtype=dtype,
            constant_columns=True,
        )
        if shape.noise:
            found = replace(found, log_noise=(normal(len(x), seed=2) - shape.d).to(dtype))
        p = replace(p, means=p.means + 3)
        theta = Theta(family, p, family.natural(p, found.origin), found.origin, centred=False)
        found = found.subset(slice(0, shape.n))
        known = {"sample_weight": found.sample_weight, "log_noise": found.log_noise}
        double = {name: None if part is None else part.double() for name, part in known.items()}
        exact = replace(found, x=found.x.double(), cache={}, **double)
        return cls(theta, replace(found, x=LAYOUTS[shape.layout](found.x), compiled=True), exact)


def parameters(family: CovarianceFamily, shape: Shape) -> Parameters:
    """Well-conditioned ones; with `empty`, the first component of several has no weight."""
    s, k, d = shape.s, shape.k, shape.d
    root = normal(s, family.n_covariances(k), d, d + 2, seed=shape.seed)
    covariances = root @ root.mT / (d + 2) + 0.3 * torch.eye(d).double()
    factor = family.fit(family.compress(covariances), covariances.new_zeros(d))
    weights = normal(s, k, seed=shape.seed + 1)
    if shape.empty and k > 1:
        weights[:, 0] = -math.inf
    log_odds = normal(s, seed=shape.seed + 3) - 2 if shape.noise else None
    means = 2 * normal(s, k, d, seed=shape.seed + 2)
    return Parameters(weights.log_softmax(-1), means, factor, log_odds)


# ---------------------------------------------------------------------- what errors are measured in


@dataclass(frozen=True)
class Sizes:
    """Of sums over all points: what errors may be in units of a type's rounding."""

    problem: Problem
    assign: Any

    @cached_property
    def features(self) -> Tensor:
        theta, x = self.problem.theta, self.problem.exact.x
        z = (x - theta.reference).T
        found = x.new_ones(self.coefficients.shape[-1], len(x))
        found[1 : 1 + len(z)] = z
        if len(found) > 1 + len(z):
            theta.family.quadratic_features(z, found[1 + len(z) :])()
        return found

    @cached_property
    def coefficients(self) -> Tensor:
        return self.problem.theta.coefficients()

    @cached_property
    def logits(self) -> Tensor:
        """Of all components and the noise, shape (s, k, n)."""
        theta, exact = self.problem.theta, self.problem.exact
        found = self.coefficients @ self.features
        if exact.allowed is not None:
            found = found + exact.allowed.log_allowed(found)[:, exact.allowed.kind]
        if exact.log_noise is None:
            return found
        noise = exact.log_noise
        if exact.allowed is not None:
            noise = noise.masked_fill(exact.allowed.known, -math.inf)
        return torch.cat([found, theta.natural.noise[:, None, None] + noise.expand(1, 1, -1)], 1)

    @cached_property
    def reach(self) -> Tensor:
        """Error of a point's logits in ε, shape (s, n)."""
        sizes = self.coefficients.nan_to_num(neginf=0.0).abs() @ self.features.abs()
        noise = self.logits.nan_to_num(neginf=0.0).abs().amax(1)
        return math.sqrt(len(self.features)) * torch.maximum(sizes.amax(1), noise)

    @cached_property
    def weight(self) -> Tensor:
        """How often each point counts in each set."""
        each = self.assign.weight if isinstance(self.assign, Weighted) else 1.0
        return (self.problem.exact.weights * each).expand(self.reach.shape)

    @cached_property
    def inner(self) -> Any:
        """The assignment without weights, which writes no labels."""
        inner = self.assign.assign if isinstance(self.assign, Weighted) else self.assign
        return replace(inner, labels=None) if isinstance(inner, Drawn) else inner

    def shares(self, epsilon: float) -> Tensor:
        """How much a component's part of each point may be off, shape (s, k, n)."""
        r, n = self.logits.clone(), self.logits.shape[-1]
        self.inner(r, slice(0, n))
        size = math.sqrt(min(A_GROUP, n)) + self.reach
        either = self.at_a_border(DEVIATIONS * epsilon * (self.reach + 4)[:, None])
        return DEVIATIONS * epsilon * r * size[:, None] + either

    def at_a_border(self, error: Tensor) -> Tensor:
        """Whether components may have a point or not, by an error in its logits."""
        logits = self.logits
        if self.inner is argmax:
            near = logits >= logits.amax(1, keepdim=True) - error
            return near & (near.sum(1, keepdim=True) > 1)
        if not isinstance(self.inner, Drawn):
            return torch.zeros_like(logits)
        rows = slice(0, logits.shape[-1])
        uniform = uniforms(self.inner.seed, range(len(logits)), rows, self.problem.observations.x)
        border = logits.softmax(1).cumsum(1)[:, :-1] - uniform[:, None]
        near = border.abs() < error
        return pad(near, (0, 0, 0, 1)) | pad(near, (0, 0, 1, 0))

    def bounds(self, epsilon: float) -> Statistics:
        """Of the errors of all sums."""
        theta, d, k = self.problem.theta, self.problem.exact.d, self.theirs
        share = self.shares(epsilon) * self.weight[:, None]
        sums = share[:, :k] @ self.features.abs().T
        log_p = torch.where(self.logits.amax(1).isfinite(), self.logits.logsumexp(1).abs(), 0.0)
        log_norm = DEVIATIONS * epsilon * (self.weight * (self.reach + log_p + 1)).sum(1)
        second, noise = sums[..., 1 + d :], share[:, k:].sum((1, 2))
        if second.shape[-1]:
            second = theta.family.unpack(second, d)
        else:  # all of the data, in float64
            moment, shared = shared_term(theta, self.problem.exact)
            second = (64 * EPSILON * moment.abs().amax()).expand(moment.shape)
            log_norm = log_norm + 64 * EPSILON * shared.abs()
        first = sums[..., 1 : 1 + d]
        return Statistics(log_norm, sums[..., 0], first, second, theta.reference, noise)

    @property
    def theirs(self) -> int:
        """The number of components, without the noise."""
        return self.problem.theta.parameters.means.shape[1]


def excess(problem: Problem, assign: Any) -> dict[str, float]:
    """The largest error of each statistic, as a part of what it may be."""
    found = reduce(problem.observations, problem.theta, assign)
    exact = reduce(problem.exact, problem.theta, assign)
    bounds = Sizes(problem, assign).bounds(torch.finfo(problem.observations.dtype).eps)
    ratios = {}
    for name in ("log_norm", "counts", "first", "second", "noise"):
        one, other, bound = (getattr(part, name) for part in (found, exact, bounds))
        assert (one is None) == (other is None)
        if one is not None:
            assert (one.dtype, one.shape) == (torch.float64, other.shape)
            error = torch.where(one == other, 0.0, (one - other).abs())  # equal infinities
            ratios[name] = float((error / (bound + 1e-30)).max())
    return ratios


ASSIGNMENTS: dict[str, Callable[[Shape], Any]] = {
    "softmax": lambda shape: softmax,
    "argmax": lambda shape: argmax,
    "drawn": lambda shape: Drawn(shape.seed + 5),
    "labels": lambda shape: GivenLabels(some_labels(shape)),
    "shares": lambda shape: Given(some_shares(shape)),
    "weighted softmax": lambda shape: Weighted(softmax, some_counts(shape)),
    "weighted argmax": lambda shape: Weighted(argmax, some_counts(shape)),
    "weighted draws": lambda shape: Weighted(Drawn(shape.seed), some_counts(shape)),
    "weighted labels": lambda shape: Weighted(GivenLabels(some_labels(shape)), some_counts(shape)),
    "weighted shares": lambda shape: Weighted(Given(some_shares(shape)), some_counts(shape)),
}


def some_labels(shape: Shape) -> Tensor:
    n = torch.arange(shape.s * shape.n).view(shape.s, shape.n)
    return n * 7 % (shape.k + shape.noise)


def some_shares(shape: Shape) -> Tensor:
    return normal(shape.s, shape.k + shape.noise, shape.n, seed=shape.seed).softmax(1)


def some_counts(shape: Shape) -> Tensor:
    return (torch.arange(shape.s * shape.n).view(shape.s, shape.n) % 4).double()


def identical(one: Statistics, other: Statistics) -> bool:
    pairs = ((getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
    return all(torch.equal(*pair) for pair in pairs if pair != (None, None))


SHAPES = st.builds(
    Shape,
    n=st.integers(1, 80) | st.integers(1, LARGEST),
    d=st.integers(1, 12),
    k=st.integers(1, 20),
    s=st.sampled_from([1, 3, 17]),
    layout=st.sampled_from(list(LAYOUTS)),
    weight=st.sampled_from(list(WEIGHTS)),
    known=st.booleans(),
    noise=st.booleans(),
    empty=st.booleans(),
    seed=st.integers(0, 1000),
)
