"""Variational Bayes for conjugate priors: Bishop (2006), §10.2; Attias (2000).

The posterior is approximated by q(z) q(weights) q(means, precisions), the closest one in
KL(q || posterior), so that the bound on the log evidence is as high as can be:

    r_nk   ∝ exp(E log w_k + E log N(x_n | μ_k, P_k⁻¹))                 in the reduction
    q(weights)           = Dirichlet(γ + Σ_n r_n)
    q(means, precisions) = Normal-Wishart, given the counts and moments of r

A step is one reduction and one update, as one of EM is, and restarts are a batch. Weights may be
broken off a stick instead, and the concentration and the scale may have priors of their own, each
with a factor of q. Nothing is dropped from the bound: with one component, it is the log evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..running.seeds import Stream
from .task import Options, Outcome, Task, progress_bar
from .variational.approximation import VariationalPrior
from .variational.drawing import draws_of
from .variational.highest import highest


@dataclass(frozen=True, kw_only=True)
class VBOptions(Options):
    """Options of variational Bayes.

    Attributes:
        n_draws: draws from q that the posterior keeps.
        batch_size: points in a minibatch, or None for all. Statistics of every batch are kept, so
            that the bound is exact after each pass, which counts as a step.
    """

    n_draws: int = 1000
    batch_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count(n_draws=1)
        if self.batch_size is not None:
            self._count(batch_size=1)


def fit_vb(task: Task[VBOptions]) -> Outcome:
    """Independent factors closest to the posterior, by the highest bound found, and their draws.

    Raises:
        ValueError: if the prior is not conjugate, or parameters are fixed.
    """
    prior = VariationalPrior.of(task.model, task.observations.origin)
    with progress_bar(task) as bar:
        run = highest(task, prior, bar, task.options.batch_size)
    factors, generator = run.state.factors, task.generator(Stream.DRAWS)
    density = task.model.log_density(task.observations)
    posterior = draws_of(density, prior, factors, task.options.n_draws, generator)
    q = prior.record(factors, run.state.counts)
    return run.outcome(prior.means(factors), posterior=posterior, variational=q)
