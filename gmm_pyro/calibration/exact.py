"""The exact posterior of a mixture of very few points under the conjugate prior.

With weights, means and covariances integrated out, what is left are the partitions of the points
into at most k blocks. A partition with blocks of sizes n_b, of which there are b, has the prior
probability

    k! / (k - b)!  ·  Γ(k α) / Γ(k α + n)  ·  Π_b Γ(α + n_b) / Γ(α)

under the symmetric Dirichlet distribution of concentration α, and the data have a closed form given
the partition. Eight points have 4,140 partitions: all of them are summed. Where the number of
components is unknown it is summed over too, a concentration with a prior of its own is integrated
out numerically, and blocks go to all places of a stick.

Source: Richardson & Green (1997); Nobile & Fearnside (2007) for the integrals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.observations import as_points, observe
from ..data.points import Observations
from ..inference.warned import held_fixed
from ..model.concentration import Static
from ..model.conjugate import ConjugatePriors
from ..model.declaration import require_conjugate
from ..model.hierarchy import Hierarchy
from ..model.normal_wishart import NormalWishart
from ..model.program import MixtureModel, check_model
from ..reduction.sums import reduce_given

MOST_POINTS = 8  # which have 4,140 partitions; a ninth makes it 21,147
GRID = (-14.0, 14.0, 801)  # of logarithms of concentrations
NUMBERS = 2**21  # in the largest temporary, over which predictions are made in turn


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """The posterior of a conjugate mixture of n <= 8 points, without error but for rounding.

    Attributes:
        model: the model, its prior made concrete.
        observations: the data.
        partitions: the block of every point in each of p partitions, shape (p, n); blocks are
            numbered in the order of their first points.
        probabilities: posterior probabilities of the partitions, shape (p,).
        log_evidence: log p(x) in nats.
    """

    model: MixtureModel
    observations: Observations
    partitions: Int[Tensor, "p n"]
    probabilities: Float[Tensor, "p"]
    log_evidence: float

    @cached_property
    def co_clustering(self) -> Float[Tensor, "n n"]:
        """Posterior probability that two points belong to the same component."""
        together = self.partitions[:, :, None] == self.partitions[:, None, :]
        return torch.einsum("p,pij->ij", self.probabilities, together.double())

    @cached_property
    def filled_components(self) -> Float[Tensor, "k"]:
        """Posterior probabilities of 1, 2, …, k components with points."""
        filled = self.partitions.amax(1)
        result = self.probabilities.new_zeros(self.model.n_components)
        return result.index_add(0, filled, self.probabilities)

    @cached_property
    def components(self) -> Float[Tensor, "k"]:
        """Posterior probabilities of 1, 2, …, k components, with points or without."""
        hierarchy = _hierarchy(self.model)
        if hierarchy.is_known:
            return hierarchy.log_sizes.exp()
        log_prior = log_partition_priors(self.partitions, hierarchy)
        return self.probabilities @ log_prior.softmax(1)

    def log_predictive(self, points: Any) -> Float[Tensor, "m"]:
        """log p(new point | x) in nats: the evidence with one more point, over that without it.

        Args:
            points: m new points, array-like of shape (m, d), each predicted by itself.

        Raises:
            ValueError: if they do not have this shape.
        """
        d, n, k = self.observations.d, self.observations.n, self.model.n_components
        names = self.observations.feature_names
        new = as_points(points, feature_names=names, what="points").x.double()
        prior = _hierarchy(self.model)
        partitions = set_partitions(n + 1, k)
        blocks = int(partitions.max()) + 1
        rows = max(1, NUMBERS // (len(partitions) * blocks * (n + 1) * d))
        old = self.observations.x.double()
        joint = [
            _log_joint(
                prior,
                torch.cat([old.expand(len(some), n, d), some[:, None]], 1),
                partitions,
            ).logsumexp(1)
            for some in new.split(rows)
        ]
        return torch.cat(joint) - self.log_evidence


def exact_posterior(model: MixtureModel, x: Any) -> ExactPosterior:
    """The exact posterior over partitions of the data.

    Args:
        model: a model with the conjugate prior, equal concentrations, and means in units of the
            covariances; without a prior, it takes the default `ConjugatePriors()`.
        x: two to eight points, array-like of shape (n, d).

    Raises:
        ValueError: if there are more points, or the prior is another one.

    Example:
        >>> posterior = exact_posterior(MixtureModel(2), [0.0, 0.2, 5.0, 5.1])
        >>> len(posterior.partitions), bool(posterior.co_clustering[0, 1] > 0.9)
        (8, True)
    """
    names = check_model(model).feature_names
    observations = observe(x, feature_names=names, missing="refuse")
    if observations.measured is not None:
        raise ValueError("an exact posterior is of points that are known as they are, got noise")
    if observations.n > MOST_POINTS:
        raise ValueError(
            f"x must have at most {MOST_POINTS} points, whose partitions can be listed, "
            f"got {observations.n}"
        )
    if model.noise is not None:
        raise ValueError("an exact posterior is of clusters alone, got a noise_component")
    model = held_fixed(model)
    model = replace(model, priors=model.priors or ConjugatePriors()).specialise(observations)
    prior = _hierarchy(model)
    partitions = set_partitions(observations.n, model.n_components)
    joint = _log_joint(prior, observations.x.double()[None], partitions)[0]
    return ExactPosterior(
        model, observations, partitions, joint.softmax(0), float(joint.logsumexp(0))
    )


def set_partitions(n: int, k: int) -> Int[Tensor, "p n"]:
    """All partitions of n points into at most k blocks, as the block of every point.

    Example:
        >>> set_partitions(3, 2).tolist()
        [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]
    """
    blocks = torch.zeros(1, 1, dtype=torch.int64)
    for _ in range(n - 1):
        used = blocks.amax(1) + 1
        partition, block = (torch.arange(min(k, n)) <= used[:, None]).nonzero(as_tuple=True)
        blocks = torch.cat([blocks[partition], block[:, None]], 1)
    return blocks


def _hierarchy(model: MixtureModel) -> Hierarchy:
    """The prior, with the number of components and the concentration, be they known or not.

    Raises:
        ValueError: if it is not conjugate, or tells components apart.
    """
    found = model.hierarchy()
    if found is None:
        prior = require_conjugate(model, "an exact posterior")
        if not prior.mixing.is_symmetric:
            alpha = prior.mixing.concentration.tolist()
            raise ValueError(f"concentration must be equal for all components, got {alpha}")
        log_sizes = torch.full((model.n_components,), -math.inf, dtype=torch.float64)
        log_sizes[-1] = 0.0
        concentration = Static(float(prior.mixing.concentration[0]))
        found = Hierarchy(prior.components, concentration, log_sizes)
    if not isinstance(found.components, NormalWishart):
        raise ValueError(  # noqa: TRY004 - a conjugate prior of the other kind
            "an exact posterior needs means in units of the covariances: ConjugatePriors without "
            "mean_scale"
        )
    if found.scale is not None:
        raise ValueError("an exact posterior needs a scale that is known, got a RandomScale")
    return found


def log_partition_priors(
    partitions: Int[Tensor, "p n"], hierarchy: Hierarchy
) -> Float[Tensor, "p k"]:
    """Log prior probabilities of partitions and numbers of components: of all their labellings."""
    counts = _one_hot(partitions).sum(2)
    if not hierarchy.concentration.is_random:
        value = counts.new_full((len(counts),), float(hierarchy.concentration.value))
        return _log_priors_given(hierarchy, counts, value)
    grid = torch.linspace(*GRID, dtype=torch.float64).exp()
    log_prior = (hierarchy.concentration.log_prior(grid) + grid.log()).log_softmax(0)
    parts = [
        log_p + _log_priors_given(hierarchy, counts, value.expand(len(counts)))
        for value, log_p in zip(grid, log_prior, strict=True)
    ]
    return torch.stack(parts).logsumexp(0)


def _log_priors_given(
    hierarchy: Hierarchy, counts: Float[Tensor, "p b"], concentration: Float[Tensor, "p"]
) -> Float[Tensor, "p k"]:
    if not hierarchy.sticks:
        return hierarchy.log_partitions(counts, concentration)
    p, blocks, k = len(counts), counts.shape[1], hierarchy.most
    found = counts.new_full((p, k), -math.inf)
    for some in range(1, blocks + 1):  # blocks that are there come first
        rows = (counts > 0).sum(1) == some
        orders = torch.tensor(list(permutations(range(k), some)))
        placed = counts.new_zeros(int(rows.sum()), len(orders), k)
        own = counts[rows, None, :some].expand(-1, len(orders), -1)
        placed.scatter_(2, orders.expand(len(placed), -1, -1), own)
        alpha = concentration[rows].repeat_interleave(len(orders))
        log_p = hierarchy.log_labels(placed.flatten(0, 1), alpha).view(len(placed), -1)
        found[rows, -1] = log_p.logsumexp(1)
    return found


def _one_hot(partitions: Int[Tensor, "p n"]) -> Float[Tensor, "p b n"]:
    return torch.nn.functional.one_hot(partitions).mT.double()


def _log_joint(
    prior: Hierarchy, x: Float[Tensor, "m n d"], partitions: Int[Tensor, "p n"]
) -> Float[Tensor, "m p"]:
    """log p(x, partition) of m data sets, whose components are integrated out."""
    assert isinstance(prior.components, NormalWishart)
    evidence = log_evidences(prior.components, x, partitions)
    return log_partition_priors(partitions, prior).logsumexp(1) + evidence


def log_evidences(
    components: NormalWishart, x: Float[Tensor, "m n d"], partitions: Int[Tensor, "p n"]
) -> Float[Tensor, "m p"]:
    """log p(x | partition) of m data sets in nats, with means and covariances integrated out."""
    m, p = len(x), len(partitions)
    x = x.repeat_interleave(p, 0)
    reference = x.mean(1, keepdim=True)  # moments about it do not cancel
    assigned = _one_hot(partitions.repeat(m, 1))
    statistics = reduce_given(components.family, x - reference, assigned, reference)
    return components.log_evidence(statistics).view(m, p)
