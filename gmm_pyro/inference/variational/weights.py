"""q(weights): Dirichlet distributions, and sticks that are broken, with the concentration's q.

    Dirichlet   p(w | γ) = Γ(Σ γ) / Π Γ(γ_j) · Π w_j^(γ_j - 1)         q(w) = Dirichlet(E γ + N)
    stick       p(v_j | α) = Beta(1, α),  w_j = v_j Π_{l<j} (1 - v_l)  q(v_j) = Beta(1 + N_j, E α +
                                                                              N_(j+1) + … + N_k)

A concentration with a prior has a q on nodes, in proportion to its prior times
exp(E log p(weights | concentration)).

Source: Bishop (2006), equations 10.57, 10.58 and 10.66; Blei & Jordan (2006), §3.1; Kurihara,
Welling & Teh (2007) for the order of a stick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...covariance.records import TINY, Sets
from ...model.concentration import Concentration, DirichletProcess
from .nodes import Nodes

NO_GAIN = 1e-9  # nats by which another order is no better


@dataclass(frozen=True, eq=False)
class WeightsFactor:
    """q(weights) and q(concentration) of s sets.

    Attributes:
        first: parameters of the Dirichlet distribution, shape (s, k); or the first ones of the
            shares of a stick's k - 1 pieces, shape (s, k - 1).
        second: the second ones of these, shape (s, k - 1); none of a Dirichlet, shape (s, 0).
        log_masses: of the concentration's nodes, shape (s, m).
    """

    first: Float[Tensor, "s k"]
    second: Float[Tensor, "s k"]
    log_masses: Float[Tensor, "s m"]

    def __getitem__(self, sets: Sets) -> WeightsFactor:
        """The chosen sets."""
        return WeightsFactor(*(value[sets] for value in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Weights(ABC):
    """The prior of k weights.

    Attributes:
        k: number of components.
        nodes: of the concentration; one, if it is known.
    """

    k: int
    nodes: Nodes

    @property
    def is_random(self) -> bool:
        """Whether the concentration has a prior."""
        return len(self.nodes.values) > 1

    @property
    def is_symmetric(self) -> bool:
        """Whether one concentration is that of all components."""
        return True

    def given(
        self, counts: Float[Tensor, "s k"], before: WeightsFactor | None = None
    ) -> WeightsFactor:
        """Both factors in turn, given how many points each component has.

        The concentration's is what it was before, or its prior, when that of the weights is made.
        """
        masses = self.nodes.log_masses.expand(len(counts), -1)
        found = self._weights_given(counts, masses if before is None else before.log_masses)
        if not self.is_random:
            return found
        log_masses = (self.nodes.log_masses - self.expected_log_ratio(found)).log_softmax(1)
        return replace(found, log_masses=log_masses)

    def divergence(self, q: WeightsFactor) -> Float[Tensor, "s"]:
        """KL(q || prior) in nats, of the weights and the concentration."""
        masses = q.log_masses.exp()
        change = self.expected_log_ratio(q) + q.log_masses - self.nodes.log_masses
        return torch.where(masses > 0, masses * change, 0.0).sum(1)

    @abstractmethod
    def _weights_given(
        self, counts: Float[Tensor, "s k"], log_masses: Float[Tensor, "s m"]
    ) -> WeightsFactor: ...

    @abstractmethod
    def expected_log_ratio(self, q: WeightsFactor) -> Float[Tensor, "s m"]:
        """E [log q(weights) - log p(weights | concentration)] in nats, at each node."""

    @abstractmethod
    def expected_logs(self, q: WeightsFactor) -> Float[Tensor, "s k"]:
        """E log of each weight."""

    @abstractmethod
    def means(self, q: WeightsFactor) -> Float[Tensor, "s k"]:
        """E of each weight."""

    @abstractmethod
    def best_order(
        self, counts: Float[Tensor, "s k"], before: WeightsFactor
    ) -> Int[Tensor, "s k"] | None:
        """The numbering in which these counts are the likeliest; None where all are alike."""

    @abstractmethod
    def draw(
        self, q: WeightsFactor, count: int, generator: torch.Generator
    ) -> Float[Tensor, "count k"]:
        """Logarithms of weights, drawn from the only set of q."""

    @abstractmethod
    def log_ratio(
        self,
        q: WeightsFactor,
        log_weights: Float[Tensor, "count k"],
        concentration: Float[Tensor, "count"],
    ) -> Float[Tensor, "count"]:
        """log q(weights) - log p(weights | concentration) of draws from the only set of q."""


# ---------------------------------------------------------------------- Dirichlet


@dataclass(frozen=True, eq=False)
class DirichletWeights(Weights):
    """Weights ~ Dirichlet.

    Attributes:
        concentrations: those of the components at every node, shape (m, k).
    """

    concentrations: Float[Tensor, "m k"]

    @property
    def is_symmetric(self) -> bool:
        """See the base class."""
        return bool((self.concentrations == self.concentrations[:, :1]).all())

    def _weights_given(self, counts: Tensor, log_masses: Tensor) -> WeightsFactor:
        first = counts + log_masses.exp() @ self.concentrations
        return WeightsFactor(first, first[:, :0], log_masses)

    def expected_log_ratio(self, q: WeightsFactor) -> Float[Tensor, "s m"]:
        """See the base class."""
        each, logs = self.concentrations, self.expected_logs(q)  # q - p first: logs may be huge
        by_node = ((q.first[:, None] - each) * logs[:, None]).sum(2)
        return by_node - log_beta(q.first)[:, None] + log_beta(each)

    def expected_logs(self, q: WeightsFactor) -> Float[Tensor, "s k"]:
        """See the base class."""
        return expected_logs(q.first)

    def means(self, q: WeightsFactor) -> Float[Tensor, "s k"]:
        """See the base class."""
        return q.first / q.first.sum(1, keepdim=True)

    def best_order(self, counts: Tensor, before: WeightsFactor) -> Int[Tensor, "s k"] | None:
        """The largest component is where the largest concentration is, and so on."""
        if self.is_symmetric:
            return None
        places = self.concentrations[0].argsort(dim=0, descending=True, stable=True)
        order = torch.empty_like(counts, dtype=torch.long)
        order[:, places] = counts.argsort(dim=1, descending=True, stable=True)
        return order

    def draw(self, q: WeightsFactor, count: int, generator: torch.Generator) -> Tensor:
        """See the base class."""
        drawn = torch._sample_dirichlet(q.first.expand(count, -1).contiguous(), generator)
        return drawn.clamp_min(TINY).log()

    def log_ratio(self, q: WeightsFactor, log_weights: Tensor, concentration: Tensor) -> Tensor:
        """See the base class."""
        share = self.concentrations[0] / self.nodes.values[0]
        prior = concentration[:, None] * share
        found = ((q.first - prior) * log_weights).sum(1)
        return found - log_beta(q.first) + log_beta(prior)


# ---------------------------------------------------------------------- sticks


@dataclass(frozen=True, eq=False)
class StickWeights(Weights):
    """Weights that are broken off a stick, of which the last one takes the rest."""

    def _weights_given(self, counts: Tensor, log_masses: Tensor) -> WeightsFactor:
        alpha = log_masses.exp() @ self.nodes.values
        after = counts.flip(1).cumsum(1).flip(1)[:, 1:]
        return WeightsFactor(1 + counts[:, :-1], alpha[:, None] + after, log_masses)

    def expected_log_ratio(self, q: WeightsFactor) -> Float[Tensor, "s m"]:
        """See the base class."""
        alpha, (taken, left) = self.nodes.values, self._expected(q).unbind(-1)
        shares = (q.first - 1) * taken - log_beta(torch.stack([q.first, q.second], -1))
        by_node = ((q.second[:, None] - alpha[:, None]) * left[:, None]).sum(2)
        return shares.sum(1, keepdim=True) + by_node - (self.k - 1) * alpha.log()

    def expected_logs(self, q: WeightsFactor) -> Float[Tensor, "s k"]:
        """See the base class."""
        taken, left = self._expected(q).unbind(-1)
        none = taken.new_zeros(len(taken), 1)
        return torch.cat([taken, none], 1) + torch.cat([none, left.cumsum(1)], 1)

    def means(self, q: WeightsFactor) -> Float[Tensor, "s k"]:
        """See the base class."""
        share = q.first / (q.first + q.second)
        whole = share.new_ones(len(share), 1)
        return torch.cat([share, whole], 1) * torch.cat([whole, (1 - share).cumprod(1)], 1)

    def best_order(self, counts: Tensor, before: WeightsFactor) -> Int[Tensor, "s k"]:
        """Whichever is last and takes the rest, the larger others are the sooner broken off.

        Two pieces in turn, of N and M points with R after them, are as likely as 1 / (α + M + R),
        but for what does not depend on their order. All k that may be last are tried.
        """
        alpha = before.log_masses.exp() @ self.nodes.values
        s, k = counts.shape
        falling = counts.argsort(dim=1, descending=True, stable=True)
        place = torch.arange(k, device=counts.device)
        moved = place.expand(k, k) + (place >= place[:, None])  # without one of them
        moved[:, -1] = place  # which is the last
        present = place.expand(s, 1, k)
        tried = torch.cat([present, falling[:, moved]], 1)
        values = self._log_probability(
            counts[:, None].expand(-1, k + 1, -1).gather(2, tried), alpha
        )
        gain = values - values[:, :1]
        best = torch.where(gain.amax(1) > NO_GAIN, gain.argmax(1), 0)
        return tried[torch.arange(s, device=counts.device), best]

    def _log_probability(
        self, counts: Float[Tensor, "s o k"], alpha: Float[Tensor, "s"]
    ) -> Float[Tensor, "s o"]:
        """Of assignments with these counts, but for a constant, in nats."""
        after = counts.flip(2).cumsum(2).flip(2)[..., 1:]
        pairs = torch.stack([1 + counts[..., :-1], alpha[:, None, None] + after], -1)
        return log_beta(pairs).sum(2)

    def draw(self, q: WeightsFactor, count: int, generator: torch.Generator) -> Tensor:
        """See the base class."""
        pairs = torch.stack([q.first, q.second], -1).expand(count, -1, -1).contiguous()
        taken, left = torch._sample_dirichlet(pairs, generator).clamp_min(TINY).log().unbind(-1)
        none = taken.new_zeros(count, 1)
        return torch.cat([taken, none], 1) + torch.cat([none, left.cumsum(1)], 1)

    def log_ratio(self, q: WeightsFactor, log_weights: Tensor, concentration: Tensor) -> Tensor:
        """See the base class; the change from shares to weights is the same for both."""
        rest = log_weights.flip(1).logcumsumexp(1).flip(1)  # R_j, what is left before each
        taken, left = log_weights[:, :-1] - rest[:, :-1], rest[:, 1:] - rest[:, :-1]
        pairs, alpha = torch.stack([q.first, q.second], -1), concentration[:, None]
        found = (pairs[..., 0] - 1) * taken + (pairs[..., 1] - alpha) * left
        return (found - log_beta(pairs) - alpha.log()).sum(1)

    def _expected(self, q: WeightsFactor) -> Float[Tensor, "s k 2"]:
        """E log v_j and E log (1 - v_j)."""
        return expected_logs(torch.stack([q.first, q.second], -1))


def weights_of(concentration: Concentration, k: int, like: Tensor) -> Weights:
    """The prior of k weights of a kind."""
    nodes = Nodes.of(concentration, like)
    if isinstance(concentration, DirichletProcess):
        return StickWeights(k, nodes)
    each = concentration.of_each(nodes.values, k)
    return DirichletWeights(k, nodes, each[:, None].expand(-1, k))


def log_beta(concentration: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
    """log (Π Γ(a_j) / Γ(Σ a_j))."""
    return concentration.lgamma().sum(-1) - concentration.sum(-1).lgamma()


def expected_logs(concentration: Float[Tensor, "*b k"]) -> Float[Tensor, "*b k"]:
    """E log of the parts of a Dirichlet distribution: Bishop's equation 10.66."""
    return concentration.digamma() - concentration.sum(-1, keepdim=True).digamma()
