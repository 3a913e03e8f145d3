"""Where chains are whose mixtures have different numbers of components, as one batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...covariance import CovarianceFamily, Parameters, Statistics
from ...covariance.records import Sets, in_order


@dataclass(frozen=True, eq=False)
class State:
    """s mixtures, filled up to as many components as the largest has.

    Attributes:
        parameters: of all components; of those that fill up, log weights are -inf, and the rest is
            of no meaning.
        size: number of components of each mixture, shape (s,).
        concentration: e or α of each, shape (s,).
        scale: Ψ of the precisions in compact form, shape (s, 1, *event); None where it is known.
    """

    parameters: Parameters
    size: Int[Tensor, "s"]
    concentration: Float[Tensor, "s"]
    scale: Float[Tensor, "s 1 *event"] | None = None

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, sets: Sets) -> State:
        """The chosen mixtures."""
        scale = None if self.scale is None else self.scale[sets]
        return State(self.parameters[sets], self.size[sets], self.concentration[sets], scale)


@dataclass(frozen=True, eq=False)
class Assigned:
    """An assignment of all points, drawn given a state; filled components come first.

    Attributes:
        state: given which it was drawn.
        statistics: of the assignment; `log_norm` is the log-likelihood of the state.
        labels: the component of every point, if it was asked for.
    """

    state: State
    statistics: Statistics
    labels: Int[Tensor, "s n"] | None = None

    @property
    def filled(self) -> Bool[Tensor, "s k"]:
        """Which components have points."""
        return self.statistics.counts > 0

    def resized(self, family: CovarianceFamily, k: int) -> Assigned:
        """The same with k components: the first ones, or some without points beside all."""
        parameters = resized_parameters(family, self.state.parameters, k)
        state = replace(self.state, parameters=parameters)
        return replace(self, state=state, statistics=resized(family, self.statistics, k))


def filled_first(
    family: CovarianceFamily, state: State, statistics: Statistics, labels: Tensor | None
) -> Assigned:
    """The same with the components that have points before those that have none."""
    order = (statistics.counts == 0).to(torch.uint8).argsort(dim=1, stable=True)
    if labels is not None:
        labels = order.argsort(1).gather(1, labels.clamp_min(0)).where(labels >= 0, labels)
    ordered = replace(state, parameters=family.permuted(state.parameters, order))
    return Assigned(ordered, in_new_order(family, statistics, order), labels)


def in_new_order(
    family: CovarianceFamily, statistics: Statistics, order: Int[Tensor, "s k"]
) -> Statistics:
    """Statistics of every set with those of component order[j] in place j."""
    reference = statistics.reference
    return replace(
        statistics,
        counts=statistics.counts.gather(1, order),
        first=in_order(statistics.first, order),
        second=statistics.second if family.tied else in_order(statistics.second, order),
        reference=reference if reference.ndim == 1 else in_order(reference, order),
    )


def resized(family: CovarianceFamily, statistics: Statistics, k: int) -> Statistics:
    """Statistics of the first k components, or of some that have no points beside all."""
    reference = statistics.reference
    if reference.ndim > 1:
        reference = _resized(reference, k, copies=True)
    return replace(
        statistics,
        counts=_resized(statistics.counts, k),
        first=_resized(statistics.first, k),
        second=statistics.second if family.tied else _resized(statistics.second, k),
        reference=reference,
    )


def resized_parameters(family: CovarianceFamily, p: Parameters, k: int) -> Parameters:
    """Parameters of the first k components, or copies of the first beside all, of no weight."""
    beyond = p.log_weights.new_full((len(p.means), max(0, k - p.means.shape[1])), -math.inf)
    return replace(
        p,
        log_weights=torch.cat([p.log_weights[:, :k], beyond], 1),
        means=_resized(p.means, k, copies=True),
        factor=p.factor if family.tied else _resized(p.factor, k, copies=True),
    )


def _resized(values: Float[Tensor, "s k *value"], k: int, *, copies: bool = False) -> Tensor:
    """Values of the first k, filled up with zeros, or with copies of the first."""
    missing = k - values.shape[1]
    if missing <= 0:
        return values[:, :k]
    more = values[:, :1].expand(-1, missing, *values.shape[2:])
    return torch.cat([values, more if copies else torch.zeros_like(more)], 1)


def joined(family: CovarianceFamily, states: Sequence[State], k: int) -> State:
    """All mixtures of some batches, filled up to k components."""
    scales = [state.scale for state in states if state.scale is not None]
    return State(
        Parameters.joined([resized_parameters(family, s.parameters, k) for s in states]),
        torch.cat([state.size for state in states]),
        torch.cat([state.concentration for state in states]),
        torch.cat(scales) if scales else None,
    )
