"""A mixture model declared once and read twice: as a Pyro program, and as a log density.

Both readings use the same distributions. The program samples every site, with the discrete
assignment enumerated in parallel; the log density puts the reduction in place of that sum, over one
flat vector of unconstrained numbers, without effect handlers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import Transform

from ..covariance import CovarianceFamily, Parameters, family_named
from ..covariance.family import TINY
from ..data.arrays import dense_tensor
from ..data.checks import MOST_HELD, check_count, shown
from ..data.devices import PRECISIONS
from ..data.observations import Observations, as_points, observed
from ..data.weighting import as_weights
from ..reduction.sums import log_likelihood
from .conjugate import ConjugatePriors
from .mixing import Mixing
from .nested import held, learned
from .normal_wishart import Conjugate
from .priors import Priors
from .sites import Sites


@dataclass(frozen=True, eq=False)
class MixtureModel:
    """A Gaussian mixture with priors, before any data.

    Calling it runs it as a Pyro program, so it can be given to any of Pyro's guides, to
    `TraceEnum_ELBO`, `infer_discrete`, `Predictive` and `MCMC`.

    Attributes:
        n_components: number of components k.
        covariance: covariance family, by scikit-learn's word or mclust's code.
        priors: priors by site, or the conjugate prior; None takes the defaults for the data at
            hand.

    Raises:
        ValueError: if the number of components is not a positive integer, or there is no such
            covariance family.

    Example:
        >>> MixtureModel(3, covariance="VVI").family.name
        'diag'
    """

    n_components: int
    covariance: str = "full"
    priors: Priors | ConjugatePriors | None = None
    _sites: dict[tuple[Any, ...], Sites] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        count = check_count("n_components", self.n_components)
        object.__setattr__(self, "n_components", count)
        if not isinstance(self.priors, Priors | ConjugatePriors | None):
            raise ValueError(  # noqa: TRY004 - as for the other arguments
                "priors must be gmm_pyro.Priors, gmm_pyro.ConjugatePriors or None, got "
                f"{shown(self.priors)}"
            )
        family_named(self.covariance)

    @property
    def family(self) -> CovarianceFamily:
        """The covariance family."""
        return family_named(self.covariance)

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the features of the data that the priors were made concrete for, if any."""
        return None if self.priors is None else self.priors.feature_names

    def specialise(self, x: Any) -> MixtureModel:
        """The same model with the default priors made concrete for these data.

        Raises:
            ValueError: if the priors are already concrete, for another number of features.
        """
        known = None if self.priors is None else self.priors.n_features
        if known is not None:
            d = as_points(x, feature_names=self.feature_names).d
            if known != d:
                raise ValueError(f"x must have {known} features, got {d}")
            return self
        return replace(self, priors=(self.priors or Priors()).scaled_to(x))

    def sites(self, like: Tensor | None = None) -> Sites:
        """The prior of every continuous site, as distributions in the dtype of a tensor."""
        if not isinstance(like, Tensor | None):
            raise TypeError(f"like must be a tensor or None, got {shown(like)}")
        if like is not None:
            dense_tensor(like, "like")
        priors = self.priors or Priors()
        if self.learned:  # a gradient can be taken once only through what was computed before
            return priors.sites(self.family, self.n_components, like)
        kind = (None, None) if like is None else (like.dtype, like.device)
        if kind not in self._sites:  # an enumerated fit asks at every step
            self._sites[kind] = priors.sites(self.family, self.n_components, like)
        return self._sites[kind]

    @property
    def surplus(self) -> frozenset[int]:
        """Components that the prior would rather leave empty: of a concentration below 1.

        They make `n_components` a maximum (Rousseau & Mengersen 2011).
        """
        mixing = Mixing.of(self.sites()["weights"])
        few = [] if mixing is None else (mixing.concentration < 1).nonzero()[:, 0].tolist()
        return frozenset(few)

    def conjugate(self, like: Tensor | None = None) -> Conjugate | None:
        """The distributions of a conjugate prior, which knows the data's units; None of another."""
        priors = self.priors or Priors()
        return priors.conjugate(self.family, self.n_components, like)

    @property
    def learned(self) -> tuple[str, ...]:
        """Which of the priors have parameters that require a gradient, by their names there."""
        known = {} if self.priors is None else vars(self.priors)
        return tuple(name for name, value in known.items() if learned(value))

    def held(self) -> MixtureModel:
        """The same model with priors whose parameters are as they are now, and learn nothing."""
        if self.priors is None:
            return self
        fixed = {name: held(getattr(self.priors, name)) for name in self.learned}
        return replace(self, priors=replace(self.priors, **fixed))

    def __call__(
        self,
        x: Any = None,
        *,
        n: int | None = None,
        subsample_size: int | None = None,
        sample_weight: Float[Tensor, "n"] | None = None,
    ) -> Tensor:
        """Run the model as a Pyro program.

        Args:
            x: data of shape (n, d), observed at site "x"; None samples them.
            n: number of points where x is None.
            subsample_size: rows that the data plate takes at a time, as in `pyro.plate`.
            sample_weight: weights of the points. Pyro takes one scale for all points that it
                enumerates, so a weighted program has no site "assignment": "x" is then drawn from
                the mixture, with the assignment summed out.

        Returns:
            The value of site "x".

        Raises:
            ValueError: if there are neither data nor a number of points, or the data do not have
                as many features as the priors.
        """
        import pyro

        kept = isinstance(x, Tensor) and x.dtype in PRECISIONS.values()
        names, dtype = self.feature_names, x.dtype if kept else None
        points = None if x is None else as_points(x, feature_names=names, dtype=dtype).x
        if points is None and n is None:
            raise ValueError("n must be given where x is None: model(n=100)")
        size = check_count("n", n, 1, MOST_HELD) if points is None else len(points)
        if subsample_size is not None:
            subsample_size = check_count("subsample_size", subsample_size, 1, size)
        weight = None if sample_weight is None else as_weights(sample_weight, size)
        model = self if points is None else self.specialise(points)
        values: dict[str, Tensor] = {}
        sites = model.sites(like=points)
        for name in sites:
            values[name] = pyro.sample(name, sites.given(name, values))
        with pyro.plate("points", size, subsample_size=subsample_size) as rows:
            observed = None if points is None else points[rows]
            if weight is None:
                return pyro.sample("x", self._emission(values), obs=observed)
            with pyro.poutine.scale(scale=weight[rows]):
                return pyro.sample("x", self._marginal(values), obs=observed)

    def _emission(self, values: dict[str, Tensor]) -> Any:
        """Distribution of the points given their components, which are a site of their own."""
        import pyro
        import pyro.distributions as dist
        from pyro.ops.indexing import Vindex

        means, factor = values["means"], self.family.factor(values)
        component = pyro.sample(
            "assignment", dist.Categorical(values["weights"]), infer={"enumerate": "parallel"}
        )
        event = (slice(None),) * (factor.ndim - means.ndim + 1)
        chosen = Vindex(factor)[(..., self.family.of_component(component), *event)]
        return self.family.emission(Vindex(means)[..., component, :], chosen)

    def _marginal(self, values: dict[str, Tensor]) -> Any:
        """Distribution of the points with their components summed out."""
        import pyro.distributions as dist

        factor = self.family.factor(values)
        return dist.MixtureSameFamily(
            dist.Categorical(values["weights"]), self.family.emission(values["means"], factor)
        )

    def log_density(self, x: Any) -> LogDensity:
        """The model as a log density over one flat vector, given data or observations."""
        observations = observed(x, self.feature_names)
        return LogDensity(self.specialise(observations), observations)


def check_model(model: Any) -> MixtureModel:
    """The model.

    Raises:
        TypeError: if it is none.
    """
    if isinstance(model, MixtureModel):
        return model
    raise TypeError(f"model must be a gmm_pyro.MixtureModel, got {type(model).__name__}")


def _to_support(name: str, prior: Any) -> Any:
    """The map from unconstrained numbers to the values of a site."""
    try:
        return biject_to(prior.support)
    except NotImplementedError as error:
        raise ValueError(
            f"the prior of {name} has a support that torch maps no real numbers to: {prior}"
        ) from error


@dataclass(frozen=True)
class Site:
    """One site of the model as a slice of the flat vector."""

    name: str
    support: Any
    transform: Transform
    shape: torch.Size
    entries: slice

    @property
    def unbounded(self) -> bool:
        """Whether values of the site are their own unconstrained form, in the data's units."""
        support = self.support
        while hasattr(support, "base_constraint"):
            support = support.base_constraint
        return support is constraints.real

    def constrain(self, vector: Float[Tensor, "s m"]) -> Tensor:
        """Values of the site, shape (s, *event)."""
        flat = vector[:, self.entries]
        value: Tensor = self.transform(flat.reshape(vector.shape[0], *self.shape))
        return value

    def log_jacobian(self, vector: Float[Tensor, "s m"], value: Tensor) -> Float[Tensor, "s"]:
        """log |det ∂value/∂vector|."""
        unconstrained = vector[:, self.entries].reshape(vector.shape[0], *self.shape)
        result: Tensor = self.transform.log_abs_det_jacobian(unconstrained, value)
        return result.reshape(vector.shape[0], -1).sum(1)


@dataclass(frozen=True, eq=False)
class LogDensity:
    """log p(sites, x) of a model as a function of one flat unconstrained vector.

    It is differentiable in the vector, and in what the priors' parameters were made from.

    Sites are laid out in the order in which the program samples them, through the same `biject_to`
    bijections as Pyro's guides, so that the vector is the one of `AutoMultivariateNormal`.

    Attributes:
        model: the model, its priors made concrete.
        observations: the data.
    """

    model: MixtureModel
    observations: Observations

    @property
    def prior(self) -> Sites:
        """The priors of the sites, in the data's dtype and on their device."""
        return self._new_prior() if self._is_learned else self._fixed_prior

    @cached_property
    def _fixed_prior(self) -> Sites:
        return self._new_prior()

    def _new_prior(self) -> Sites:
        return self.model.sites(like=self.observations.origin)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Supports and bijections of the sites, with their places in the vector."""
        return self._new_sites() if self._is_learned else self._fixed_sites

    @cached_property
    def _is_learned(self) -> bool:
        return bool(self.model.learned)

    @cached_property
    def _fixed_sites(self) -> tuple[Site, ...]:
        return self._new_sites()

    def _new_sites(self) -> tuple[Site, ...]:
        sites, first = [], 0
        for name, prior in self.prior.items():
            transform = _to_support(name, prior)
            # transform.inverse_shape says the same, and imports sympy, which takes half a second
            shape = transform.inv(self.observations.origin.new_ones(prior.event_shape)).shape
            last = first + math.prod(shape)
            sites.append(Site(name, prior.support, transform, shape, slice(first, last)))
            first = last
        return tuple(sites)

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return int(self.sites[-1].entries.stop)

    def constrain(self, vector: Float[Tensor, "s m"]) -> dict[str, Tensor]:
        """Values of the sites, each of shape (s, *event).

        Raises:
            ValueError: if the vector does not have the shape (s, m).
        """
        m = self.dimension
        if not isinstance(vector, Tensor) or vector.ndim != 2 or vector.shape[1] != m:
            got = tuple(vector.shape) if isinstance(vector, Tensor) else shown(vector)
            raise ValueError(f"vector must be a tensor of shape (s, {m}), got {got}")
        return {site.name: site.constrain(vector) for site in self.sites}

    def unconstrain(self, values: Mapping[str, Tensor]) -> Float[Tensor, "s m"]:
        """The vector of given site values: the inverse of `constrain`."""
        parts = [site.transform.inv(values[site.name]) for site in self.sites]
        return torch.cat([part.reshape(len(part), -1) for part in parts], 1)

    def parameters(self, values: Mapping[str, Tensor]) -> Parameters:
        """Mixture parameters of s sets of site values."""
        log_weights = values["weights"].clamp_min(TINY).log()
        return Parameters(log_weights, values["means"], self.model.family.factor(dict(values)))

    def values(self, parameters: Parameters) -> dict[str, Tensor]:
        """Site values of mixture parameters: the inverse of `parameters`."""
        priors = self.model.priors or Priors()
        covariance = priors.covariance_sites(self.model.family, parameters.factor)
        weights = parameters.log_weights.softmax(-1)
        values = {"weights": weights, "means": parameters.means, **covariance}
        return {site.name: values[site.name] for site in self.sites}

    def log_prior(self, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """Log prior density of s sets of site values in nats."""
        return self.prior.log_density(values)

    def log_likelihood(
        self, values: Mapping[str, Tensor], rows: Observations | None = None
    ) -> Float[Tensor, "s"]:
        """Log-likelihood in nats; estimated without bias if only some rows are given."""
        rows = rows or self.observations
        scale = self.observations.n / rows.n
        return scale * log_likelihood(rows, self.model.family, self.parameters(values))

    def __call__(
        self,
        vector: Float[Tensor, "s m"],
        *,
        jacobian: bool = True,
        rows: Observations | None = None,
    ) -> Float[Tensor, "s"]:
        """log p(sites, x) in nats for s vectors at once, differentiable.

        Args:
            vector: s unconstrained vectors.
            jacobian: whether the density is that of the vector (as Laplace and variational
                inference need it) or of the sites themselves (as the MAP estimate needs it).
            rows: a random subset of the observations, for a minibatch estimate.
        """
        values = self.constrain(vector)
        total = self.log_prior(values) + self.log_likelihood(values, rows)
        if jacobian:
            total = total + self.log_jacobian(vector, values)
        return total

    def log_jacobian(
        self, vector: Float[Tensor, "s m"], values: Mapping[str, Tensor]
    ) -> Float[Tensor, "s"]:
        """log |det ∂sites/∂vector| of s vectors."""
        parts = [site.log_jacobian(vector, values[site.name]) for site in self.sites]
        return torch.stack(parts).sum(0)
