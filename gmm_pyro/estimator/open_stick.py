"""Weights as scikit-learn's Dirichlet process has them, and the search for the highest bound there.

Its stick goes on beyond component k, where q puts no point: so every piece is like the others, and
the bound is one on the evidence of the process itself. `gmm_pyro.DirichletProcess` ends there, and
the last component takes what is left.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ..inference.methods import Method
from ..inference.task import Outcome, Task, progress_bar
from ..inference.variational.approximation import VariationalPrior
from ..inference.variational.drawing import draws_of
from ..inference.variational.highest import highest
from ..inference.variational.weights import StickWeights, Weights, WeightsFactor
from ..inference.vb import VBOptions
from ..model.conjugate import ConjugatePriors
from ..model.program import MixtureModel
from ..running.seeds import Stream


class OpenStick(StickWeights):
    """Weights that are the first k pieces of a stick, of which there are more."""

    def _weights_given(self, counts: Tensor, log_masses: Tensor) -> WeightsFactor:
        """The last piece is one like the others."""
        found = super()._weights_given(pad(counts, (0, 1)), log_masses)
        return replace(found, log_masses=log_masses)

    def expected_log_ratio(self, q: WeightsFactor) -> Float[Tensor, "s m"]:
        """See the base class, which has a piece less."""
        return super().expected_log_ratio(q) - self.nodes.values.log()

    def expected_logs(self, q: WeightsFactor) -> Float[Tensor, "s k"]:
        """See the base class, without what is beyond."""
        return super().expected_logs(q)[:, :-1]

    def means(self, q: WeightsFactor) -> Float[Tensor, "s k"]:
        """See the base class; of the components among themselves."""
        found = super().means(q)[:, :-1]
        return found / found.sum(1, keepdim=True)

    def draw(self, q: WeightsFactor, count: int, generator: torch.Generator) -> Tensor:
        """Of a stick that ends: the last component takes the rest."""
        return super().draw(_ended(q), count, generator)

    def log_ratio(self, q: WeightsFactor, log_weights: Tensor, concentration: Tensor) -> Tensor:
        """Of a stick that ends."""
        return super().log_ratio(_ended(q), log_weights, concentration)


def _ended(q: WeightsFactor) -> WeightsFactor:
    return replace(q, first=q.first[:, :-1], second=q.second[:, :-1])


def open_prior(model: MixtureModel, like: Tensor) -> VariationalPrior:
    """The prior of a model, of whose stick, if it has one, there is more.

    Raises:
        ValueError: if the prior is not conjugate.
    """
    prior = VariationalPrior.of(model, like)
    return replace(prior, weights=opened(prior.weights))


def opened(weights: Weights) -> Weights:
    """The same prior of the weights, of whose stick, if it is one, there is more."""
    return OpenStick(weights.k, weights.nodes) if isinstance(weights, StickWeights) else weights


def fit_open(task: Task[VBOptions]) -> Outcome:
    """As `gmm_pyro.fit` by "vb", with an open stick."""
    prior = open_prior(task.model, task.observations.origin)
    with progress_bar(task) as bar:
        run = highest(task, prior, bar, task.options.batch_size)
    q, counts = run.state.factors, run.state.counts
    generator, density = task.generator(Stream.DRAWS), task.model.log_density(task.observations)
    return run.outcome(
        prior.means(q),
        posterior=draws_of(density, prior, q, task.options.n_draws, generator),
        variational=prior.record(q, counts),
    )


SEARCHED = Method(fit_open, VBOptions, ConjugatePriors, draws=True, minibatches=True)
