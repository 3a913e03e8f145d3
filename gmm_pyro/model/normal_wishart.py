"""The conjugate distributions of components, which points of known components only update.

Axes s and k have length 1 where all sets or all components are alike, as under a prior.

Source: Murphy (2007), "Conjugate Bayesian analysis of the Gaussian distribution", §9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance import ConjugateFamily, Parameters, Statistics
from ..covariance.records import LOG_2PI, TINY, Sets, times
from .draws import draw_noise, log_kernel, standard_normal
from .mixing import Mixing
from .sites import Conditional, over

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution


@dataclass(frozen=True, eq=False)
class Components:
    """Means and covariances of s sets of components, without their weights.

    Attributes:
        means: shape (s, k, d).
        factor: of the covariances in the family's compact form, shape (s, k|1, *event).
    """

    means: Float[Tensor, "s k d"]
    factor: Float[Tensor, "s k1 *event"]


@dataclass(frozen=True, eq=False)
class Expected:
    """Means of functions of the precisions P, as variational Bayes needs them.

    Attributes:
        log_determinant: E log |P|, shape (s, k|1).
        precision: E P in the family's compact form, shape (s, k|1, *event).
    """

    log_determinant: Float[Tensor, "s k1"]
    precision: Float[Tensor, "s k1 *event"]


@dataclass(frozen=True, eq=False)
class NormalWishart:
    """Means and precisions of components, with the means in units of the covariances.

        precisions P  ~ Wishart(dof, scale⁻¹), or gamma distributions of diagonal ones
        means | P     ~ Normal(mean, P⁻¹ / mean_strength)

    Attributes:
        family: covariance family.
        mean: m, shape (s, k, d).
        mean_strength: κ, observations that each mean is worth, shape (s, k).
        dof: ν, shape (s, k|1).
        scale: Ψ in the family's compact form, shape (s, k|1, *event).
    """

    family: ConjugateFamily
    mean: Float[Tensor, "s k d"]
    mean_strength: Float[Tensor, "s k"]
    dof: Float[Tensor, "s k1"]
    scale: Float[Tensor, "s k1 *event"]

    def __getitem__(self, sets: Sets) -> NormalWishart:
        """The chosen sets."""
        numbers = self.mean[sets], self.mean_strength[sets], self.dof[sets], self.scale[sets]
        return NormalWishart(self.family, *numbers)

    def alike(self, k: int) -> NormalWishart:
        """The same of k components that have an entry each."""
        k1 = self.family.n_covariances(k)
        return NormalWishart(
            self.family,
            self.mean.expand(-1, k, -1),
            self.mean_strength.expand(-1, k),
            self.dof.expand(-1, k1),
            self.scale.expand(-1, k1, *self.scale.shape[2:]),
        )

    def given(self, statistics: Statistics) -> NormalWishart:
        """The distribution given points of known components.

        About the reference, the scale is Ψ + Σ z zᵀ + κ m mᵀ - (κ + n) mₙ mₙᵀ.
        """
        family, n, kappa = self.family, statistics.counts, self.mean_strength
        before, strength = self.mean - statistics.reference, n + kappa
        mean = (statistics.first + kappa[..., None] * before) / strength[..., None]
        gain = times(kappa, family.square(before)) - times(strength, family.square(mean))
        return NormalWishart(
            family,
            mean=statistics.reference + mean,
            mean_strength=strength,
            dof=_dof_given(self, n),
            scale=self.scale + statistics.second + family.pooled(gain),
        )

    def draw(self, generator: torch.Generator | None) -> Components:
        """One draw of each set."""
        factor = self.family.draw_factor(self.dof, self.scale, generator)
        noise = standard_normal(self.mean, generator) * self.mean_strength.rsqrt()[..., None]
        tril = self.family.scale_tril(factor, self.mean.shape[-1])
        return Components(self.mean + (tril @ noise[..., None])[..., 0], factor)

    def draw_given(
        self, statistics: Statistics, current: Parameters, generator: torch.Generator | None
    ) -> Components:
        """A draw given points of known components, whatever the current parameters."""
        return self.given(statistics).draw(generator)

    def log_evidence(self, statistics: Statistics) -> Float[Tensor, "s"]:
        """log p(points | their components) in nats, with means and covariances integrated out."""
        n, d = statistics.counts, self.mean.shape[-1]
        gain = self.given(statistics).log_normaliser - self.alike(n.shape[1]).log_normaliser
        return gain - 0.5 * d * LOG_2PI * n.sum(-1)

    def log_density(self, drawn: Components) -> Float[Tensor, "s k"]:
        """Log density in nats of each component; where they share precisions, of its mean alone.

        It is over means and precisions P with the measure |P|^(-c / 2) dP of `ConjugateFamily`.
        """
        family, d = self.family, self.mean.shape[-1]
        away = (drawn.means - self.mean)[..., None, :]
        distance = family.whiten(drawn.factor, away).square().sum((-2, -1))
        half = family.log_determinant(drawn.factor, d) - 0.5 * d * (
            self.mean_strength.log() - LOG_2PI
        )
        of_means = -0.5 * self.mean_strength * distance - half
        if family.tied:
            return of_means
        return of_means + log_kernel(family, self.dof, self.scale, drawn.factor, d)

    @property
    def log_normaliser(self) -> Float[Tensor, "s"]:
        """Logarithm of the integral of the unnormalised density, but for (2π)^(d / 2) a mean."""
        of_precisions = self.family.log_normaliser(self.dof, self.scale).sum(-1)
        return of_precisions - 0.5 * self.mean.shape[-1] * self.mean_strength.log().sum(-1)

    def sites(self, k: int) -> dict[str, TorchDistribution | Conditional]:
        """The sites of k components that are alike a priori: precisions, then means given these."""
        shape = k, self.mean.shape[-1]
        means = Conditional(shape, partial(self._means_given, k), self._log_means_given)
        return {"precisions": _precisions(self, k), "means": means}

    def _means_given(self, k: int, values: Mapping[str, Tensor]) -> TorchDistribution:
        """As the Pyro program has it."""
        precisions = values["precisions"] * self.mean_strength[0, 0]
        factor = self.family.factor({"precisions": precisions})
        mean = self.mean[0].expand(k, -1)
        return self.family.emission(mean, factor, validate_args=False).to_event(1)  # type: ignore[attr-defined]

    def _log_means_given(self, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """The log density; torch's distribution would import sympy, which takes half a second."""
        family, shift = self.family, values["means"] - self.mean[0]
        d, strength = shift.shape[-1], self.mean_strength[0, 0]
        factor = family.factor({"precisions": values["precisions"]})
        distance = family.whiten(factor, shift[..., None, :]).square().sum((-2, -1))
        half = family.log_determinant(factor, d) - 0.5 * d * (strength.log() - LOG_2PI)
        return -(0.5 * strength * distance + half).sum(-1)

    @property
    def expected(self) -> Expected:
        """Means of the precisions and of the logarithms of their determinants.

        They are what derivatives of the logarithm of the normaliser say, as in every exponential
        family (Brown 1986, theorem 2.2).
        """
        with torch.enable_grad():
            dof, scale = (value.detach().requires_grad_() for value in (self.dof, self.scale))
            total = self.family.log_normaliser(dof, scale).sum()
            by_dof, by_scale = torch.autograd.grad(total, (dof, scale))
        squares = self.family.squares_a_point(self.mean.shape[-1])
        return Expected(2 * squares * by_dof, -2 * by_scale)

    @property
    def mode(self) -> Components:
        """Where the joint density of means and precisions is highest.

        The factor is NaN where there is no such place, as the density rises towards P = 0.
        """
        family, d = self.family, self.mean.shape[-1]
        squares = family.squares_a_point(d)
        power = self.dof - family.proper_dof(d) - 2  # twice that of the precision
        power = power + squares * family.pooled(torch.ones_like(self.mean_strength))
        covariance = times((squares / power).where(power > 0, torch.nan), self.scale)
        return Components(self.mean, family.fit(covariance, self.mean.new_zeros(d)))


@dataclass(frozen=True, eq=False)
class IndependentMeans:
    """Means that do not depend on the precisions: conjugate a block at a time.

        precisions P  ~ Wishart(dof, scale⁻¹), or gamma distributions of diagonal ones
        means         ~ Normal(mean, mean_scale)

    Attributes:
        family: covariance family.
        mean: shape (s, k, d).
        mean_scale: standard deviations, shape (d,).
        dof: ν, shape (s, k|1).
        scale: Ψ in the family's compact form, shape (s, k|1, *event).
    """

    family: ConjugateFamily
    mean: Float[Tensor, "s k d"]
    mean_scale: Float[Tensor, "d"]
    dof: Float[Tensor, "s k1"]
    scale: Float[Tensor, "s k1 *event"]

    def draw_given(
        self, statistics: Statistics, current: Parameters, generator: torch.Generator | None
    ) -> Components:
        """Means given the current covariances, then covariances given these means."""
        means = self._draw_means(statistics, current.factor, generator)
        return Components(means, self.draw_factor(statistics, means, generator))

    def draw_factor(
        self,
        statistics: Statistics,
        means: Float[Tensor, "s k d"],
        generator: torch.Generator | None,
    ) -> Float[Tensor, "s k1 *event"]:
        """Factors of covariances, given points of known components and all means."""
        return self.family.draw_factor(*self._precisions_given(statistics, means), generator)

    def _precisions_given(
        self, statistics: Statistics, means: Float[Tensor, "s k d"]
    ) -> tuple[Float[Tensor, "s k1"], Float[Tensor, "s k1 *event"]]:
        """ν and Ψ of the precisions, given points of known components and all means."""
        n = statistics.counts
        mean = statistics.first / n.clamp_min(TINY)[..., None]
        square = self.family.square
        away = square(mean - (means - statistics.reference)) - square(mean)
        scale = self.scale + statistics.second + self.family.pooled(times(n, away))
        return _dof_given(self, n), scale

    def sites(self, k: int) -> dict[str, TorchDistribution | Conditional]:
        """The sites of k components that are alike a priori, precisions and means."""
        import pyro.distributions as dist

        normal, shape = dist.Normal(self.mean[0, 0], self.mean_scale), (k, self.mean.shape[-1])
        return {"precisions": _precisions(self, k), "means": over("means", normal, shape)}

    def log_density(self, drawn: Components) -> Float[Tensor, "s k"]:
        """See `NormalWishart`."""
        deviation = (drawn.means - self.mean) / self.mean_scale
        of_means = -0.5 * (deviation.square() + LOG_2PI).sum(-1) - self.mean_scale.log().sum()
        if self.family.tied:
            return of_means
        return of_means + log_kernel(
            self.family, self.dof, self.scale, drawn.factor, len(self.mean_scale)
        )

    def log_density_given(
        self, statistics: Statistics, current: Tensor, drawn: Components
    ) -> Float[Tensor, "s k"]:
        """Log density in nats of what `draw_given` gave, of components with own precisions."""
        centre, root = self._means_given(statistics, current)
        away = statistics.reference + centre - drawn.means
        pulled = (root.mT @ away[..., None])[..., 0]
        half = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        of_means = half - 0.5 * (pulled.square() + LOG_2PI).sum(-1)
        dof, scale = self._precisions_given(statistics, drawn.means)
        return of_means + log_kernel(self.family, dof, scale, drawn.factor, len(self.mean_scale))

    def _draw_means(
        self, statistics: Statistics, factor: Tensor, generator: torch.Generator | None
    ) -> Float[Tensor, "s k d"]:
        centre, root = self._means_given(statistics, factor)
        noise = standard_normal(statistics.first, generator)[..., None]
        drawn = torch.linalg.solve_triangular(root.mT, noise, upper=True)[..., 0]
        return statistics.reference + centre + drawn

    def _means_given(
        self, statistics: Statistics, factor: Tensor
    ) -> tuple[Float[Tensor, "s k d"], Float[Tensor, "s k d d"]]:
        """Centres of the means about the reference, and Cholesky factors of their precisions."""
        tril = self.family.scale_tril(factor, self.mean.shape[-1])
        precision = torch.cholesky_inverse(tril).expand(*statistics.first.shape, -1)
        prior = self.mean_scale.square().reciprocal()
        total = statistics.counts[..., None, None] * precision + prior.diag()
        offset = self.mean - statistics.reference
        pulled = (precision @ statistics.first[..., None])[..., 0] + prior * offset
        root = torch.linalg.cholesky_ex(total)[0]
        return torch.cholesky_solve(pulled[..., None], root)[..., 0], root


@dataclass(frozen=True, eq=False)
class Conjugate:
    """A conjugate prior for k components in d dimensions, as distributions.

    Attributes:
        mixing: of the weights.
        components: of the means and covariances.
        noise: a and b of the weight of a noise component, Beta(a, b); None without one.
    """

    mixing: Mixing
    components: NormalWishart | IndependentMeans
    noise: tuple[float, float] | None = None

    def draw(
        self, statistics: Statistics, current: Parameters, generator: torch.Generator | None
    ) -> Parameters:
        """Parameters drawn from their posterior, given s sets of hard assignments.

        Args:
            statistics: of the assignments.
            current: parameters that the independent means' conditional distributions start from.
            generator: source of randomness.
        """
        log_weights = self.mixing.draw(statistics.counts, generator)
        drawn = self.components.draw_given(statistics, current, generator)
        log_odds = draw_noise(self.noise, statistics, generator)
        return Parameters(log_weights, drawn.means, drawn.factor, log_odds)

    def log_probability(self, statistics: Statistics) -> Float[Tensor, "s"]:
        """Log probability in nats that points part as they do, noise among them."""
        found = self.mixing.log_probability(statistics.counts)
        if self.noise is None or statistics.noise is None:
            return found
        counts = torch.stack([statistics.noise, statistics.counts.sum(-1)], -1)
        return found + Mixing(counts.new_tensor(self.noise)).log_probability(counts)


def _precisions(prior: NormalWishart | IndependentMeans, k: int) -> TorchDistribution:
    """The prior of the site `precisions`."""
    family, scale = prior.family, prior.scale[0]
    any_factor = scale.expand(family.n_covariances(k), *scale.shape[1:])
    shape = tuple(family.precision_sites(any_factor)["precisions"].shape)
    one = shape if family.shares("precisions") else shape[1:]
    wishart = family.precision_prior(prior.dof[0, 0], scale.reshape(one))
    return over("precisions", wishart, shape)


def _dof_given(prior: NormalWishart | IndependentMeans, counts: Tensor) -> Float[Tensor, "s k1"]:
    family = prior.family
    return prior.dof + family.pooled(counts) * family.squares_a_point(prior.mean.shape[-1])
