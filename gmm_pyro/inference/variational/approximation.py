"""q of all that is not known of a mixture, how it is updated, and how far it is from the prior.

    q(z, weights, concentration, means, precisions, Ψ) = q(z) q(weights) q(concentration) …

The bound is log p(x) - KL(q || posterior) ≤ log p(x). With the best q(z), which the reduction
takes, it is

    Σ_n log Σ_k exp(E log w_k + E log N(x_n | μ_k, P_k⁻¹))  -  KL(all other factors || prior)

Source: Bishop (2006), §10.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

from ...covariance import ConjugateFamily, Parameters, Statistics
from ...covariance.records import Sets, in_order
from ...model.conjugate import ConjugatePriors
from ...model.declaration import Declaration, require_conjugate
from ...model.hierarchy import Hierarchy
from ...model.normal_wishart import NormalWishart
from .components import ComponentsPrior, Factor, SeparateFactor, Wishart, components_prior
from .nodes import Nodes
from .record import Variational
from .scale import Scale, ScaleFactor
from .weights import DirichletWeights, Weights, WeightsFactor, expected_logs, log_beta, weights_of


@dataclass(frozen=True, eq=False)
class Factors:
    """q of s sets, but for q(z).

    Attributes:
        weights: of the weights and their concentration.
        components: of the means and precisions.
        scale: of Ψ, if it is random.
        noise: parameters of the Beta distribution of the noise's weight, shape (s, 2), if there is
            a component of noise.
    """

    weights: WeightsFactor
    components: Factor
    scale: ScaleFactor | None = None
    noise: Float[Tensor, "s 2"] | None = None

    def __getitem__(self, sets: Sets) -> Factors:
        """The chosen sets."""
        scale = None if self.scale is None else self.scale[sets]
        noise = None if self.noise is None else self.noise[sets]
        return Factors(self.weights[sets], self.components[sets], scale, noise)


@dataclass(frozen=True, eq=False)
class Expected:
    """What follows from q: parameters that the reduction takes, and what the bound lacks then.

    Attributes:
        parameters: whose weights are not normalised.
        left_out: nats a point that are missing in the logits of all components, shape (s,).
        divergence: KL(q || prior) of all but q(z), in nats, shape (s,).
    """

    parameters: Parameters
    left_out: Float[Tensor, "s"]
    divergence: Float[Tensor, "s"]


@dataclass(frozen=True, eq=False)
class VariationalPrior:
    """The prior of a mixture, a factor of q at a time.

    Attributes:
        weights: of the weights and their concentration.
        components: of means and precisions; given the mean of Ψ, if that is random.
        scale: of Ψ, if it is random.
        noise: a and b of the weight of a component of noise, shape (2,), if there is one.
    """

    weights: Weights
    components: ComponentsPrior
    scale: Scale | None = None
    noise: Float[Tensor, "2"] | None = None

    @classmethod
    def of(cls, model: Declaration, like: Tensor) -> VariationalPrior:
        """That of a model whose prior is conjugate and concrete, in the type of a tensor.

        Raises:
            ValueError: if the prior is not conjugate, or parameters are fixed.
        """
        if model.fixed is not None:
            raise ValueError("vb holds no parameters fixed: em, map, svi, gibbs and others do")
        noise = None if model.noise is None else like.new_tensor(model.noise.concentration)
        k, given = model.n_components, model.prior
        if isinstance(given, ConjugatePriors) and given.is_hierarchical:
            known: Hierarchy = given.hierarchy(model.family, k, like)
            weights, components = weights_of(known.concentration, k, like), known.components
            d, dof = components.mean.shape[-1], components.dof
            scale = None if known.scale is None else Scale(known.scale, d, dof)
            return cls(weights, components_prior(components), scale, noise)
        prior = require_conjugate(model, "vb", like)
        concentration = prior.mixing.concentration
        one = Nodes(like.new_ones(1), like.new_zeros(1))
        weights = DirichletWeights(k, one, concentration[None])
        return cls(weights, components_prior(prior.components), None, noise)

    @property
    def family(self) -> ConjugateFamily:
        """The covariance family."""
        return self.components.family

    def given(self, statistics: Statistics, before: Factors | None = None) -> Factors:
        """All factors in turn, each given the expected statistics of the points and the others.

        None of these updates lowers the bound.
        """
        weights = self.weights.given(statistics.counts, None if before is None else before.weights)
        noise = None
        if self.noise is not None:
            assert statistics.noise is not None
            counts = torch.stack([statistics.noise, statistics.counts.sum(1)], 1)
            noise = self.noise + counts
        own = None if before is None else before.components
        if self.scale is None:
            return Factors(weights, self.components.given(statistics, own), None, noise)
        scale = before.scale if before is not None else self.scale.alone(len(statistics.counts))
        assert scale is not None
        components = self.components.under(self.scale.mean(scale)).given(statistics, own)
        scale = self.scale.given(self.components.expected(components).precision)
        return Factors(weights, components, scale, noise)

    def expected(self, q: Factors) -> Expected:
        """What the reduction is to go by, and how far q is from the prior."""
        wishart = self.components.expected(q.components)
        gaussians = self.components.gaussians(q.components, wishart)
        log_weights = self.weights.expected_logs(q.weights) + gaussians.log_heights
        parameters = Parameters(log_weights, gaussians.means, gaussians.factor)
        divergence = self.weights.divergence(q.weights) + self._of_components(q, wishart)
        if q.noise is None or self.noise is None:
            return Expected(parameters, log_weights.new_zeros(len(log_weights)), divergence)
        of_noise, of_others = (logs := expected_logs(q.noise)).unbind(1)
        log_odds = of_noise - of_others
        change = ((q.noise - self.noise) * logs).sum(1) - log_beta(q.noise) + log_beta(self.noise)
        left_out = of_noise - logsigmoid(log_odds)
        return Expected(replace(parameters, log_odds=log_odds), left_out, divergence + change)

    def _of_components(self, q: Factors, wishart: Wishart) -> Float[Tensor, "s"]:
        """KL(q || prior) of means, precisions and Ψ."""
        if self.scale is None or q.scale is None:
            return self.components.divergence(q.components, wishart)
        components = self.components.under(self.scale.mean(q.scale))
        of_scale = self.scale.divergence(q.scale, q.components.dof.shape[1])
        return components.divergence(q.components, wishart) + of_scale

    def in_best_order(self, statistics: Statistics, before: Factors) -> tuple[Statistics, Factors]:
        """Both with components numbered as the weights' prior holds likeliest."""
        order = self.weights.best_order(statistics.counts, before.weights)
        if order is None:
            return statistics, before
        components = before.components
        if isinstance(components, SeparateFactor):  # of which the next one depends on it
            components = components.permuted(order, tied=self.family.tied)
        statistics = renumbered(self.family, statistics, order)
        return statistics, replace(before, components=components)

    def means(self, q: Factors) -> Parameters:
        """The mixture of posterior means: of weights, means and, where there are any, covariances.

        A covariance whose mean is infinite is the inverse of the precision's mean.
        """
        wishart = self.components.expected(q.components)
        mean = q.components.mean
        factor = self.family.fit(wishart.mean_covariance, mean.new_zeros(mean.shape[-1]))
        log_weights = self.weights.means(q.weights).log()
        log_odds = None if q.noise is None else q.noise[:, 0].log() - q.noise[:, 1].log()
        return Parameters(log_weights, mean, factor, log_odds)

    def record(self, q: Factors, counts: Float[Tensor, "1 k"]) -> Variational:
        """What there is to tell of one set, in the shapes of a mixture."""
        family, factor = self.family, q.components
        wishart = self.components.expected(factor)
        first, second, alike = q.weights.first, q.weights.second, self.weights.is_symmetric
        number = float(q.weights.log_masses[0].exp() @ self.weights.nodes.values)
        prior_scale = None if q.scale is None or self.scale is None else self.scale.mean(q.scale)
        return Variational(
            family=family,
            counts=counts[0],
            weight_concentration=first[0]
            if second.shape != first.shape
            else torch.cat([first, second]),
            mean=factor.mean[0],
            mean_strength=factor.mean_strength[0] if isinstance(factor, NormalWishart) else None,
            mean_covariance=factor.covariance[0] if isinstance(factor, SeparateFactor) else None,
            degrees_of_freedom=factor.dof[0, 0] if family.tied else factor.dof[0],
            scale=family.outward(factor.scale[0]),
            covariance=family.covariances(wishart.factor[0]),
            concentration=number if alike else None,
            prior_scale=None if prior_scale is None else prior_scale[0, 0],
            noise=None if q.noise is None else q.noise[0],
        )


def renumbered(
    family: ConjugateFamily, statistics: Statistics, order: Int[Tensor, "s k"]
) -> Statistics:
    """Statistics with those of component order[j] in place j."""
    second = statistics.second if family.tied else in_order(statistics.second, order)
    reference = statistics.reference
    return replace(
        statistics,
        counts=in_order(statistics.counts, order),
        first=in_order(statistics.first, order),
        second=second,
        reference=reference if reference.ndim == 1 else in_order(reference, order),
    )
