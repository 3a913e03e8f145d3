"""What a mixture model declares: a number of components, a covariance family, and priors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from torch import Tensor

from ..covariance import CovarianceFamily, family_named
from ..covariance.fixed import Fixed
from ..data.arrays import dense_tensor
from ..data.checks import check_count, shown
from ..data.observations import as_points
from .conjugate import ConjugatePriors
from .mixing import Mixing
from .nested import held, learned
from .normal_wishart import Conjugate
from .priors import Priors
from .sites import Sites


@dataclass(frozen=True, eq=False)
class Declaration:
    """A Gaussian mixture with priors, before any data; `MixtureModel` runs it.

    The attributes are those of `MixtureModel`.
    """

    n_components: int
    covariance: str = "full"
    priors: Priors | ConjugatePriors | None = None
    fixed: Fixed | None = field(default=None, kw_only=True, repr=False)
    _sites: dict[tuple[Any, ...], Sites] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_components", check_count("n_components", self.n_components))
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

    def specialise(self, x: Any) -> Self:
        """The same model with the default priors made concrete for these data.

        Raises:
            ValueError: if the priors are already concrete, for another number of features.
        """
        known = None if self.priors is None else self.priors.n_features
        if known is not None:
            d = as_points(x, feature_names=self.feature_names, missing="integrate").d
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

    def held(self) -> Self:
        """The same model with priors whose parameters are as they are now, and learn nothing."""
        if self.priors is None:
            return self
        fixed = {name: held(getattr(self.priors, name)) for name in self.learned}
        return replace(self, priors=replace(self.priors, **fixed))


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
