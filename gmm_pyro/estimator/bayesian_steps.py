"""Variational Bayes as scikit-learn takes its steps, on this package's reduction.

A step is q(z) given the other factors, and these given q(z), with `reg_covar` added to every
component's variances; its bound is that of the two. So a fit from the same start gives the numbers
that `sklearn.mixture.BayesianGaussianMixture` gives.

Whatever the covariance type, that is coordinate ascent for a mixture of full covariances, whose
precisions are Wishart(ν₀, Ψ₀⁻¹) a priori. Only q(P_j) = Wishart(ν_j, Ψ_j⁻¹) is as narrow as the
type says: Ψ_j is diagonal, or a number times the identity, or ν and Ψ are the same for all j. As
these are exponential families again, with S_j the scatter of component j about its mean and
the prior's,

    full       Ψ_j = Ψ₀ + S_j                          ν_j = ν₀ + N_j
    diag       Ψ_j = Ψ₀ + diag S_j                     ν_j = ν₀ + N_j
    spherical  Ψ_j = Ψ₀ + tr S_j / d · I               ν_j = ν₀ + N_j
    tied       Ψ   = Ψ₀ + Σ_j S_j / k                  ν   = ν₀ + N / k

are the best there are, and the bound is one on the evidence of that mixture. (`gmm_pyro.fit` has
priors and factors of the covariances' own type.)

Source: Bishop (2006), §10.2; Blei & Jordan (2006); scikit-learn's `_bayesian_mixture.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from ..covariance import ConjugateFamily, Parameters, Statistics
from ..covariance.records import LOG_2PI, times
from ..data.points import Observations
from ..inference.methods import Method
from ..inference.task import Outcome, Task
from ..inference.variational.approximation import Factors
from ..inference.variational.drawing import draws_of
from ..inference.variational.record import Variational
from ..inference.variational.weights import Weights, WeightsFactor
from ..model.conjugate import ConjugatePriors
from ..model.normal_wishart import NormalWishart
from ..posterior import Posterior
from ..reduction.assignments import Assignment, softmax
from ..reduction.sums import reduce
from ..reduction.theta import Theta, anywhere, theta_of
from ..running.seeds import Stream
from .open_stick import open_prior
from .trials import TrialOptions, refuse_ill_defined, run_trials


@dataclass(frozen=True, eq=False)
class BayesianState:
    """q of one set, but for q(z), and what the reduction is to go by next.

    Attributes:
        weights: of the weights.
        components: of means and precisions: Ψ and ν as above, in the form of the family.
        counts: expected numbers of points, shape (1, k).
        theta: for the reduction; weights are not normalised.
    """

    weights: WeightsFactor
    components: NormalWishart
    counts: Tensor
    theta: Theta


@dataclass(frozen=True, eq=False)
class BayesianSteps:
    """What steps are made with.

    Attributes:
        weights: the prior of the weights.
        components: the prior of means and precisions, of any component.
        proper: the same, with a scale that has a density, where scikit-learn's is singular.
        k: number of components.
        ridge: a variance that is added to all variances.
    """

    weights: Weights
    components: NormalWishart
    proper: NormalWishart
    k: int
    ridge: float

    @property
    def family(self) -> ConjugateFamily:
        """The covariance family."""
        return self.components.family

    @property
    def d(self) -> int:
        """Number of features."""
        return self.components.mean.shape[-1]

    @property
    def shared_by(self) -> int:
        """How many components each covariance is of."""
        return self.k // self.family.n_covariances(self.k)

    # ------------------------------------------------------------------ steps

    def begun(self, observations: Observations, assign: Assignment) -> BayesianState:
        """Where an assignment leads that does not depend on parameters."""
        theta = anywhere(observations, self.family, (1, self.k))
        return self._updated(observations, theta, assign)[0]

    def step(self, observations: Observations, state: BayesianState) -> tuple[BayesianState, float]:
        """q(z), all other factors given it, and the bound of the two in nats."""
        return self._updated(observations, state.theta, softmax)

    def _updated(
        self, observations: Observations, theta: Theta, assign: Assignment
    ) -> tuple[BayesianState, float]:
        """Where a component is so tight that moments have cancelled, they are taken once more."""
        statistics = reduce(observations, theta, assign)
        state = self.given(statistics, observations)
        if state.theta.centred and not theta.centred:
            means = state.components.mean
            theta = Theta.about_means(self.family, theta.parameters, means)
            statistics = reduce(observations, theta, assign)
            state = self.given(statistics, observations)
        refuse_ill_defined(state.theta.parameters)
        leaves = zip(theta.natural.leaves, statistics.sums, strict=True)
        expected = sum(float((leaf * total).sum()) for leaf, total in leaves)
        entropy = float(statistics.log_norm[0]) - expected  # of q(z)
        return state, entropy + self._gained(state, observations.total_weight)

    def given(self, statistics: Statistics, observations: Observations) -> BayesianState:
        """All factors but q(z), given expected statistics."""
        weights = self.weights.given(statistics.counts)
        components = self._components(statistics)
        return self.at(weights, components, statistics.counts, observations)

    def at(
        self,
        weights: WeightsFactor,
        components: NormalWishart,
        counts: Tensor,
        observations: Observations,
    ) -> BayesianState:
        """The state of these factors."""
        theta = theta_of(self.family, self.parameters(weights, components), observations)
        return BayesianState(weights, components, counts, theta)

    def _components(self, statistics: Statistics) -> NormalWishart:
        """Of the family's own conjugate prior, whose counts of squares and points differ."""
        shared = self.shared_by
        squares = shared * self.family.squares_a_point(self.d)
        dof, scale = squares * self.components.dof, shared * self.components.scale
        found = replace(self.components, dof=dof, scale=scale).given(statistics)
        one = self.family.compress(torch.eye(self.d).to(scale))[None, None]
        added = times(self.ridge * self.family.pooled(statistics.counts), one)
        return replace(found, dof=found.dof / squares, scale=(found.scale + added) / shared)

    # ------------------------------------------------------------------ what follows from q

    def parameters(self, weights: WeightsFactor, components: NormalWishart) -> Parameters:
        """What the reduction takes: E log w + E log N is the logit of a Gaussian, up to a constant.

        E log |P| - log |E P| = Σ_i ψ((ν + 1 - i) / 2) + d log (2 / ν) of a Wishart distribution.
        """
        dof, d = components.dof, self.d
        ahead = torch.arange(d).to(dof)
        terms = ((dof[..., None] - ahead) / 2).digamma() - (dof[..., None] / 2).log()
        heights = 0.5 * (terms.sum(-1) - d / components.mean_strength)
        logs = self.weights.expected_logs(weights)
        return Parameters(logs + heights, components.mean, self.factor(components))

    def factor(self, components: NormalWishart) -> Tensor:
        """Of (E P)⁻¹ = Ψ / ν."""
        mean = times(components.dof.reciprocal(), components.scale)
        return self.family.fit(mean, mean.new_zeros(self.d))

    def _gained(self, state: BayesianState, total_weight: float) -> float:
        """The bound without the entropy of q(z), in nats, where the factors are the best there are.

        With `reg_covar` it is lower than the bound by reg_covar / 2 · Σ_j N_j tr E P_j.
        """
        q, prior, counts = state.components, self.components, state.counts
        logs = self.weights.expected_logs(state.weights)
        of_weights = (counts * logs).sum() - self.weights.divergence(state.weights).sum()
        of_precisions = self._log_normaliser(q) - self._of_prior
        of_means = 0.5 * self.d * (prior.mean_strength / q.mean_strength).log().sum()
        found = of_weights + self.shared_by * of_precisions.sum() + of_means
        return float(found) - 0.5 * self.d * total_weight * LOG_2PI

    @cached_property
    def _of_prior(self) -> Tensor:
        """The prior's own normaliser."""
        return self._log_normaliser(self.proper)

    def _log_normaliser(self, q: NormalWishart) -> Tensor:
        """That of Wishart distributions over matrices, whatever the family of their scales."""
        half = self.family.log_determinant(
            self.family.fit(q.scale, q.scale.new_zeros(self.d)), self.d
        )
        gammas = torch.mvlgamma(0.5 * q.dof, self.d)
        return 0.5 * self.d * math.log(2) * q.dof + gammas - q.dof * half


# ---------------------------------------------------------------------- the method


@dataclass(frozen=True, kw_only=True)
class BayesianOptions(TrialOptions):
    """Options of scikit-learn's variational Bayes; bounds are in nats.

    Attributes:
        steps: what steps are made with.
        trials: where to begin.
        n_draws: draws from q that the posterior keeps.
    """

    steps: BayesianSteps
    trials: tuple[BayesianState, ...]
    n_draws: int = 1000


def fit_bayesian(task: Task[BayesianOptions]) -> Outcome:
    """The best trial; of full covariances, whose q is one of the model's, with draws."""
    options, steps = task.options, task.options.steps
    ended = run_trials(options.trials, partial(steps.step, task.observations), options)
    state = ended.best.state
    q, log_weights = state.components, steps.weights.means(state.weights).log()
    parameters = Parameters(log_weights, q.mean, steps.factor(q))
    own = steps.family.is_matrix and steps.shared_by == 1
    return replace(
        ended.outcome(parameters, float),
        variational=_record(steps, state),
        posterior=_drawn(task, state) if own else None,
    )


def _drawn(task: Task[BayesianOptions], state: BayesianState) -> Posterior:
    """Draws from q."""
    prior, q = (
        open_prior(task.model, task.observations.origin),
        Factors(state.weights, state.components),
    )
    density, generator = task.model.log_density(task.observations), task.generator(Stream.DRAWS)
    return draws_of(density, prior, q, task.options.n_draws, generator)


BAYESIAN = Method(fit_bayesian, BayesianOptions, ConjugatePriors, draws=True)


def _record(steps: BayesianSteps, state: BayesianState) -> Variational:
    """The factors in scikit-learn's counts: a point is one degree of freedom in every type."""
    q, w, family = state.components, state.weights, steps.family
    sticks = w.second.shape == w.first.shape
    return Variational(
        family=family,
        counts=state.counts[0],
        weight_concentration=torch.cat([w.first, w.second]) if sticks else w.first[0],
        mean=q.mean[0],
        mean_strength=q.mean_strength[0],
        mean_covariance=None,
        degrees_of_freedom=q.dof[0, 0] if family.tied else q.dof[0],
        scale=family.outward(q.scale[0]),
        covariance=family.covariances(steps.factor(q)[0]),
        concentration=float(steps.weights.nodes.values),
    )
