"""What a mixture model declares: a number of components, a covariance family, and priors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from ..covariance import FAMILIES, CovarianceFamily, family_named
from ..covariance.fixed import Fixed
from ..data.arrays import dense_tensor
from ..data.checks import MOST_HELD, check_count, shown
from ..data.observations import as_points, observed
from ..data.points import Observations
from ..mixture.noise_component import NoiseComponent, beside_noise
from ..mixture.noise_kinds import as_noise_component
from .conjugate import ConjugatePriors
from .hierarchy import Hierarchy
from .mixing import Mixing
from .nested import held, learned
from .noise_site import SitesBesideNoise
from .normal_wishart import Conjugate
from .priors import Prior, Priors
from .program_prior import PriorProgram
from .sites import Sites
from .unknown import Unknown
from .unknown_sites import UnknownSites


@dataclass(frozen=True, eq=False)
class Declaration:
    """A Gaussian mixture with priors, before any data; `MixtureModel` runs it.

    The attributes are those of `MixtureModel`.
    """

    n_components: Any
    covariance: str = "full"
    priors: Prior | Callable[..., Any] | None = None
    prefix: str = ""
    noise_component: NoiseComponent | str | None = field(default=None, kw_only=True)
    fixed: Fixed | None = field(default=None, kw_only=True, repr=False)
    unknown: Unknown | None = field(default=None, kw_only=True, repr=False)
    _sites: dict[tuple[Any, ...], Sites] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.n_components, Unknown):
            object.__setattr__(self, "unknown", self.n_components)
            object.__setattr__(self, "n_components", self.n_components.most)
        elif self.unknown is not None and self.n_components != self.unknown.most:
            object.__setattr__(self, "unknown", None)  # a copy with a number of its own
        object.__setattr__(self, "n_components", check_count("n_components", self.n_components))
        if not isinstance(self.priors, Prior | None):
            if not callable(self.priors) or isinstance(
                self.priors, type | Distribution | Declaration
            ):
                raise ValueError(  # noqa: TRY004 - as for the other arguments
                    "priors must be gmm_pyro.Priors, gmm_pyro.ConjugatePriors, a Pyro program or "
                    f"None, got {shown(self.priors)}"
                )
            object.__setattr__(self, "priors", PriorProgram(self.priors))
        if not isinstance(self.prefix, str):
            raise ValueError(  # noqa: TRY004 - as for the other arguments
                f"prefix must be a string, got {shown(self.prefix)}"
            )
        family_named(self.covariance)
        object.__setattr__(self, "noise_component", as_noise_component(self.noise_component))

    @property
    def noise(self) -> NoiseComponent | None:
        """The component of noise, if there is one."""
        return cast("NoiseComponent | None", self.noise_component)

    @property
    def family(self) -> CovarianceFamily:
        """The covariance family."""
        return family_named(self.covariance)

    @property
    def fewest_points(self) -> int:
        """Points that there must be: one a component, where their number is known."""
        return self.n_components if self.unknown is None else 1

    def known_labels(self, labels: Any) -> Any:
        """What is known of points' components.

        Raises:
            ValueError: if anything is, and the number of components is unknown.
        """
        if labels is not None and self.unknown is not None:
            raise ValueError("labels are numbers of components, whose number is unknown here")
        return labels

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the features of the data that the priors were made concrete for, if any."""
        names: tuple[str, ...] | None = vars(self.prior)["feature_names"]
        return names

    @property
    def prior(self) -> Prior:
        """The prior; the default one, where none was given."""
        if self.priors is None:
            return Priors() if self.unknown is None else ConjugatePriors()
        return cast(Prior, self.priors)

    @property
    def n_features(self) -> int | None:
        """Number of features d of a model whose priors know the data's units, None of others."""
        return self.prior.n_features

    def specialise(self, x: Any) -> Self:
        """The same model with the default priors made concrete for these data.

        Raises:
            ValueError: if the priors are already concrete, for another number of features.
        """
        if self.noise is not None:
            observations = observed(x, self.feature_names)
            if self.noise is not (noise := self.noise.scaled_to(observations)):
                return replace(self, noise_component=noise).specialise(observations)
        known = self.n_features
        if known is not None:
            d = as_points(x, feature_names=self.feature_names, missing="integrate").d
            if known != d:
                raise ValueError(f"x must have {known} features, got {d}")
            return self
        return replace(self, priors=self.prior.scaled_to(x))

    def beside_noise(self, observations: Observations) -> tuple[Self, Observations]:
        """The model with a noise component that fits the data, and data that know its density."""
        if self.noise is None:
            return self, beside_noise(observations, None)
        noise = self.noise.scaled_to(observations)
        return replace(self, noise_component=noise), beside_noise(observations, noise)

    def standardised(self, n_features: int | None) -> Self:
        """The same model with the units of standardised data, where the priors know none.

        They are a centre of 0 and a spread of 1 for each of so many features: as many as the priors
        say something about, if None, or one.

        Raises:
            ValueError: if the priors are for another number of features.
        """
        if n_features is not None:
            n_features = check_count("n_features", n_features, 1, MOST_HELD)
        d = self.n_features
        if d is None:
            return replace(self, priors=self.prior.standardised(n_features, self.n_components))
        if n_features not in (None, d):
            raise ValueError(f"n_features must be {d}, which the priors are for, got {n_features}")
        return self

    def sites(self, like: Tensor | None = None) -> Sites:
        """The prior of every continuous site, as distributions in the dtype of a tensor."""
        if not isinstance(like, Tensor | None):
            raise TypeError(f"like must be a tensor or None, got {shown(like)}")
        if like is not None:
            dense_tensor(like, "like")
        if self.learned:  # a gradient can be taken once only through what was computed before
            return self._new_sites(like)
        kind = (None, None) if like is None else (like.dtype, like.device)
        if kind not in self._sites:  # an enumerated fit asks at every step
            self._sites[kind] = self._new_sites(like)
        return self._sites[kind]

    def _new_sites(self, like: Tensor | None) -> Sites:
        require_sites(self.family, "priors, and what is made of them,")
        if self.unknown is not None:
            found: Sites = UnknownSites(self._unknown_hierarchy(like))
        else:
            found = self.prior.sites(self.family, self.n_components, like)
        if self.noise is None:
            return found
        like = torch.empty(0, dtype=torch.float64) if like is None else like
        return SitesBesideNoise(found, self.noise.concentration, like)

    @property
    def surplus(self) -> frozenset[int]:
        """Components that the prior would rather leave empty: of a concentration below 1.

        They make `n_components` a maximum (Rousseau & Mengersen 2011). All of them may be, where
        their number or their concentration is unknown.
        """
        if self.counts_filled:
            return frozenset(range(self.n_components))
        mixing = Mixing.of(self.sites().get("weights"))
        few = [] if mixing is None else (mixing.concentration < 1).nonzero()[:, 0].tolist()
        return frozenset(few)

    @property
    def hierarchical(self) -> bool:
        """Whether the number of components, their concentration or scale is unknown."""
        prior = self.priors
        own = isinstance(prior, ConjugatePriors) and prior.is_hierarchical
        return self.unknown is not None or own

    @property
    def counts_filled(self) -> bool:
        """Whether components may be surplus, so that those with points are what is counted."""
        return self.unknown is not None or not self.prior.has_dirichlet_weights

    def of_size(self, k: int, concentration: float, scale: Float[Tensor, "*event"]) -> Self:
        """The model of k components, given the concentration and the scale of their precisions.

        Its prior is conjugate: these are in place of what is unknown. The scale is in compact form.
        """
        assert isinstance(self.prior, ConjugatePriors)
        priors = self.prior.of_known(self.family, concentration, scale)
        return replace(self, n_components=k, unknown=None, priors=priors)

    def hierarchy(self, like: Tensor | None = None) -> Hierarchy | None:
        """The distributions of a prior of which something is unknown; None of another."""
        if self.unknown is not None:
            found = self._unknown_hierarchy(like)
        elif isinstance(self.priors, ConjugatePriors) and self.priors.is_hierarchical:
            found = self.priors.hierarchy(self.family, self.n_components, like)
        else:
            return None
        return found if self.noise is None else replace(found, noise=self.noise.concentration)

    def _unknown_hierarchy(self, like: Tensor | None) -> Hierarchy:
        """The distributions of an unknown number of components.

        Raises:
            ValueError: if the prior is not the conjugate one.
        """
        prior = self.prior
        if not isinstance(prior, ConjugatePriors):
            raise ValueError(  # noqa: TRY004 - as for the other arguments
                "an unknown number of components needs a conjugate prior: MixtureModel(Unknown(), "
                f"priors=ConjugatePriors()), got {prior.kind}"
            )
        return prior.hierarchy(self.family, self.n_components, like, self.unknown)

    def conjugate(self, like: Tensor | None = None) -> Conjugate | None:
        """The distributions of a conjugate prior, which knows the data's units; None of another."""
        if self.unknown is not None:
            return None
        found = self.prior.conjugate(self.family, self.n_components, like)
        if found is None or self.noise is None:
            return found
        return replace(found, noise=self.noise.concentration)

    @property
    def learned(self) -> tuple[str, ...]:
        """Which of the priors have parameters that require a gradient, by their names there."""
        known = vars(self.prior)
        return tuple(name for name, value in known.items() if learned(value))

    def held(self) -> Self:
        """The same model with priors whose parameters are as they are now, and learn nothing."""
        if self.priors is None:
            return self
        fixed = {name: held(getattr(self.priors, name)) for name in self.learned}
        return replace(self, priors=replace(self.prior, **fixed))


def require_sites(family: CovarianceFamily, who: str) -> None:
    """Refuse a family that no prior can be put on.

    Raises:
        ValueError: if it is one, with what takes it.
    """
    if not family.has_sites:
        raise ValueError(
            f"{who} know no {family.name} covariances, whose parts are in common to components: "
            "em and kmeans fit them; or take one of "
            f"{', '.join(name for name, other in FAMILIES.items() if other.has_sites)}"
        )


def require_conjugate(model: Declaration, purpose: str, like: Tensor | None = None) -> Conjugate:
    """The distributions of a model's conjugate prior.

    Args:
        model: a model whose priors are concrete.
        purpose: what needs it.
        like: a tensor whose dtype and device its numbers take; float64 if None.

    Raises:
        ValueError: if it has another prior.
    """
    prior = model.conjugate(like)
    if prior is None:
        raise ValueError(
            f"{purpose} needs a conjugate prior: MixtureModel(..., priors=ConjugatePriors()), got "
            f"{type(model.priors).__name__}"
        )
    return prior
