"""Chains of telescoping on very few points, beside the exact posterior of their partitions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.special import logsumexp
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.calibration.exact import log_partition_priors, set_partitions
from gmm_pyro.data.observations import observe
from gmm_pyro.inference.methods import METHODS
from gmm_pyro.inference.task import Task
from gmm_pyro.inference.telescoping.kept_moves import moves_of
from gmm_pyro.inference.telescoping.reversible import Reversible
from gmm_pyro.inference.telescoping.sampling import begun
from gmm_pyro.inference.telescoping.sweep import Telescope
from gmm_pyro.inference.telescoping.visited import Seen, learnt
from gmm_pyro.model.hierarchy import Hierarchy
from gmm_pyro.running.threads import one_thread_a_product

X = torch.tensor([[-1.2], [-0.9], [0.1], [0.3], [2.0], [2.9]]).double()
X2 = torch.cat([X, 0.5 * X.flip(0) + 0.1 * X.square()], 1)


@dataclass(frozen=True)
class Walked:
    """What chains have visited, one row a chain.

    Attributes:
        filled: number of components with points.
        size: number of components.
        together: which pairs of points share one.
        log_scale: logarithm of the first number of the scale; NaN where the scale is known.
    """

    filled: Tensor
    size: Tensor
    together: Tensor
    log_scale: Tensor


@one_thread_a_product()
def walked(
    model: gp.MixtureModel,
    x: Tensor,
    *,
    moves: int = 0,
    splits: int = 0,
    jumps: int = 0,
    steps: int,
    chains: int,
    seed: int,
) -> Walked:
    """Independent chains, each from a start of its own, without a fifth of their steps."""
    model, data = model.specialise(x), observe(x)
    options = METHODS["gibbs"].options(n_chains=chains, seed=seed)
    task = Task("gibbs", model, data, options)
    hierarchy = model.hierarchy(data.origin)
    assert hierarchy is not None
    telescope, mover = Telescope.of(hierarchy, data), moves_of(hierarchy, data)
    reversible = Reversible(hierarchy, telescope.log_likelihood)
    generator, state = task.generator(), begun(task, hierarchy)
    filled, size, together, scale, visited, leap = [], [], [], [], [], None
    for step in range(steps):
        state = reversible.moved(state, generator, splits) if splits else state
        if jumps and step == steps // 5:
            leap = learnt(model.log_density(data), hierarchy, visited, generator)
            assert leap is not None
        for _ in range(jumps if leap is not None else 0):
            state = leap.jumped(state, generator)
        found = telescope.assigned(state, generator, labelled=True)
        if step < steps // 5:
            visited.append(Seen.of(hierarchy, found))
        if step >= steps // 5:
            labels = found.labels
            assert labels is not None
            filled.append(found.filled.sum(1))
            size.append(found.state.size)
            own = found.state.scale
            scale.append(size[-1] * torch.nan if own is None else own.flatten(1)[:, 0].log())
            together.append(labels[:, :, None] == labels[:, None])
        for _ in range(moves):
            assert mover is not None
            found = mover.moved(found, generator)
        state = telescope.drawn(found, generator)
    return Walked(*(torch.stack(part, 1).double() for part in (filled, size, together, scale)))


def scores(seen: Walked, filled: Tensor, size: Tensor, together: Tensor) -> Tensor:
    """How many standard errors shares are off, from the spread of the chains' own."""
    n = together.shape[0]
    first, second = torch.triu_indices(n, n, 1)
    pairs = [(seen.together[:, :, first, second], together[first, second])]
    for visited, exact in ((seen.filled, filled), (seen.size, size)):
        numbers = torch.arange(1, len(exact) + 1)
        likely = (exact > 1e-3) & (exact < 1 - 1e-9)
        pairs.append((1.0 * (visited[..., None] == numbers[likely]), exact[likely]))
    means = torch.cat([values.mean(1) for values, _ in pairs], 1)
    expected = torch.cat([exact for _, exact in pairs])
    return (means.mean(0) - expected) / (means.std(0) / math.sqrt(len(means)))


def exact_with_independent_means(hierarchy: Hierarchy, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities of filled components, of components and of pairs, of univariate data.

    Of a block with variance σ² the mean integrates out, and σ² by quadrature.
    """
    partitions = set_partitions(len(x), hierarchy.most)
    blocks = {
        tuple(np.flatnonzero(row == b))
        for row in partitions.numpy()
        for b in range(int(row.max()) + 1)
    }
    evidence = {block: _log_evidence(hierarchy, x[list(block), 0].numpy()) for block in blocks}
    of_data = torch.tensor(
        [
            sum(evidence[tuple(np.flatnonzero(row == b))] for b in range(int(row.max()) + 1))
            for row in partitions.numpy()
        ]
    )
    joint = log_partition_priors(partitions, hierarchy) + of_data[:, None]
    p = (joint - joint.flatten().logsumexp(0)).exp()
    filled = torch.zeros(hierarchy.most).double()
    filled = filled.index_add(0, partitions.amax(1), p.sum(1))
    together = (partitions[:, :, None] == partitions[:, None]).double()
    return filled, p.sum(0), torch.einsum("p,pij->ij", p.sum(1), together)


def _log_evidence(hierarchy: Hierarchy, x: np.ndarray) -> float:
    prior: Any = hierarchy.components
    dof, scale = float(prior.dof), float(prior.scale)
    m, t = float(prior.mean), float(prior.mean_scale[0])
    log_precision = np.linspace(-12, 12, 2001)
    precision = np.exp(log_precision)
    n, mean = len(x), x.mean()
    squares = ((x - mean) ** 2).sum()
    log_p = stats.gamma.logpdf(precision, dof / 2, scale=2 / scale) + log_precision
    log_p += 0.5 * (n - 1) * np.log(precision / (2 * np.pi)) - 0.5 * precision * squares
    log_p -= 0.5 * np.log(n)
    log_p += stats.norm.logpdf(mean, m, np.sqrt(t**2 + 1 / (n * precision)))
    return float(logsumexp(log_p) + np.log(log_precision[1] - log_precision[0]))
