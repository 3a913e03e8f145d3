"""What every prior of a mixture answers, and priors that are Pyro distributions by site."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from ..covariance import CovarianceFamily
from ..data.arrays import finite
from ..data.checks import shown
from ..data.features import check_names
from ..data.observations import observed
from ..data.points import Observations
from .nested import cast
from .normal_wishart import Conjugate
from .sites import Sites, over

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution


@dataclass(frozen=True, eq=False)
class Prior(ABC):
    """What every prior answers, whatever it is made of.

    It has two units, a centre and a spread, which it takes from the data where they are not given.

    Attributes:
        CENTRE: name of the field with the centre.
    """

    CENTRE: ClassVar[str]

    @property
    def kind(self) -> str:
        """What it is called in tables and files."""
        return type(self).__name__

    @property
    def n_features(self) -> int | None:
        """Number of features d, or None as long as the data's units are not known."""
        centre, spread = vars(self)[self.CENTRE], vars(self)["spread"]
        return None if centre is None or spread is None else len(spread)

    def scaled_to(self, observations: Observations | Any) -> Self:
        """The same prior, with the units of the defaults taken from the data where missing.

        Args:
            observations: array-like of shape (n, d), or observations.
        """
        observations, known = observed(observations), vars(self)
        units = {self.CENTRE: observations.origin, "spread": observations.scale}
        found = {name: unit if known[name] is None else known[name] for name, unit in units.items()}
        found["feature_names"] = known["feature_names"] or observations.feature_names
        return replace(self, **found)

    def standardised(self, n_features: int | None, n_components: int) -> Self:
        """The same prior with the units of standardised data, where it knows none.

        Args:
            n_features: number of features d; as many as the prior says something about, if None.
            n_components: number of components k.
        """
        d = n_features or self.features_known(n_components) or 1
        units = {self.CENTRE: torch.zeros(d).double(), "spread": torch.ones(d).double()}
        found = {n: unit for n, unit in units.items() if vars(self)[n] is None}
        return replace(self, **found)

    @property
    def has_dirichlet_weights(self) -> bool:
        """Whether weights have no prior that is unknown itself, and are not broken off a stick."""
        return True

    @abstractmethod
    def features_known(self, n_components: int) -> int | None:
        """How many features the prior says something about by itself, if it does."""

    @abstractmethod
    def sites(
        self, family: CovarianceFamily, n_components: int, like: Float[Tensor, "*"] | None = None
    ) -> Sites:
        """A distribution over the whole of each site, in the order in which they are sampled.

        Args:
            family: covariance family, which says which sites there are.
            n_components: number of components k.
            like: a tensor whose dtype and device the distributions take; float64 if None.

        Raises:
            ValueError: if the prior does not fit the model, or does not know the data's units.
        """

    @abstractmethod
    def covariance_sites(self, family: CovarianceFamily, factor: Tensor) -> dict[str, Tensor]:
        """The values of the covariances' sites."""

    def conjugate(
        self, family: CovarianceFamily, n_components: int, like: Tensor | None = None
    ) -> Conjugate | None:
        """The distributions of the weights and the components, or None if it is not conjugate."""
        return None

    def _check_units(self) -> None:
        """Have location and spread as numbers of the features, and names as words."""
        known = vars(self)
        for name in ("location", "spread"):
            if known[name] is not None:
                object.__setattr__(self, name, one_a_feature(name, known[name]))
        if known["feature_names"] is not None:
            object.__setattr__(self, "feature_names", check_names(known["feature_names"]))

    def _known_spread(self) -> Float[Tensor, "d"]:
        if self.n_features is None:
            raise ValueError(
                "the priors do not know the data's units yet: call model.specialise(x), or "
                f"{type(self).__name__}(...).scaled_to(observations)"
            )
        return vars(self)["spread"]


@dataclass(frozen=True, eq=False)
class DefaultPrior(Prior):
    """A prior that is complete without arguments, but for the data's units."""

    @classmethod
    def weakly_informative(cls, x: Any) -> Self:
        """The default prior for these data: array-like of shape (n, d), or observations."""
        return cls().scaled_to(x)


@dataclass(frozen=True, eq=False)
class Priors(DefaultPrior):
    """A prior for every site of a mixture model; a site left out takes its default.

    Any Pyro distribution of the right support will do; batch shapes broadcast to the site's shape.
    Gradients flow into its parameters through the model's program and its log density, so that they
    can be learned, or have priors of their own in a larger program; `gmm_pyro.fit` holds them.

    The defaults are weakly informative and move with the data's units, so that a fit does too:

    - weights ~ Dirichlet(2, …, 2): the mode is inside the simplex, so no component is emptied by
      the prior, and it is worth one observation a component.
    - means ~ Normal(location, 2 · spread): all of the data lie within two standard deviations.
    - scales ~ LogNormal(log(spread / k^(1/d)), 1): the median is the size of k balls that together
      fill the volume of the data, and a factor of 7 either way is plausible. The density falls
      faster than any power at zero, so the posterior has no spike at a single point.
    - correlations ~ LKJ(2): a mild pull towards none.

    Attributes:
        weights: distribution over (k,) probability vectors.
        means: distribution over (k, d) means, or anything that broadcasts to it.
        scales: distribution over positive standard deviations.
        correlations: distribution over Cholesky factors of correlation matrices.
        location: centre of the default prior of the means, shape (d,); from the data if None.
        spread: unit of the default priors, shape (d,); from the data if None.
        feature_names: d names of the features that they are for, in their order, by which frames
            are put in order; from the data if None.

    Example:
        >>> import pyro.distributions as dist
        >>> priors = Priors(means=dist.Normal(0.0, 2.0), scales=dist.HalfNormal(2.0))
        >>> priors.location is None
        True
    """

    CENTRE = "location"

    weights: TorchDistribution | None = None
    means: TorchDistribution | None = None
    scales: TorchDistribution | None = None
    correlations: TorchDistribution | None = None
    location: Float[Tensor, "d"] | None = None
    spread: Float[Tensor, "d"] | None = None
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self._check_units()
        if self.spread is not None and not bool((self.spread > 0).all()):
            raise ValueError(f"spread must be positive, got {shown(self.spread)}")
        if self.location is not None and self.spread is not None:
            d = len(self.spread)
            if len(self.location) != d:
                raise ValueError(
                    f"location must have shape ({d},) as spread has, got ({len(self.location)},)"
                )

    def features_known(self, n_components: int) -> int | None:
        """See `Prior`: the largest last axis of what is given."""
        del n_components
        known = [len(unit) for unit in (self.location, self.spread) if unit is not None]
        for prior in (self.means, self.correlations):
            if prior is not None:
                known += [*prior.batch_shape, *prior.event_shape][-1:]
        return max(known, default=None)

    def covariance_sites(self, family: CovarianceFamily, factor: Tensor) -> dict[str, Tensor]:
        """Standard deviations, and correlations where the family has any."""
        return family.sites(factor)

    def sites(
        self, family: CovarianceFamily, n_components: int, like: Float[Tensor, "*"] | None = None
    ) -> Sites:
        """See `Prior`."""
        d = len(self._known_spread())
        like = torch.empty(0, dtype=torch.float64) if like is None else like
        shapes = {
            "weights": (n_components,),
            "means": (n_components, d),
            **family.site_shapes(n_components, d),
        }
        self._refuse_unused(shapes, family)
        return Sites(
            (name, over(name, cast(self._site(name, shape, family, n_components), like), shape))
            for name, shape in shapes.items()
        )

    def _refuse_unused(self, shapes: dict[str, tuple[int, ...]], family: CovarianceFamily) -> None:
        for field in fields(self)[:4]:
            if getattr(self, field.name) is not None and field.name not in shapes:
                raise ValueError(
                    f"a {family.name} mixture in {self.n_features} dimensions has no site "
                    f"{field.name!r}; its sites are {', '.join(shapes)}"
                )

    def _site(
        self, name: str, shape: tuple[int, ...], family: CovarianceFamily, k: int
    ) -> Distribution:
        """The prior of one site: the user's, or the default."""
        import pyro.distributions as dist  # takes a second to import, and EM has no priors

        given = getattr(self, name)
        if given is not None:
            if not isinstance(given, Distribution) or not hasattr(given, "to_event"):
                raise ValueError(
                    f"the prior of {name} must be a Pyro distribution, got {shown(given)}"
                )
            return given
        if self.location is None or self.spread is None:
            raise ValueError("the default priors need the data's location and spread")
        if name == "weights":
            return dist.Dirichlet(self.spread.new_full(shape, 2.0))
        if name == "means":
            return dist.Normal(self.location, 2 * self.spread)
        return family.default_prior(name, self.spread, k)


def one_a_feature(name: str, value: Any) -> Float[Tensor, "d"]:
    """One finite number a feature, as a tensor; one with a gradient keeps it."""
    numbers = finite(value, name)
    if numbers.ndim != 1 or len(numbers) == 0:
        raise ValueError(f"{name} must have shape (d,), one number a feature, got {numbers.shape}")
    is_kept = isinstance(value, Tensor) and value.is_floating_point()
    return value if is_kept else torch.from_numpy(numbers)
