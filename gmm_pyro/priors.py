"""Priors of a mixture: plain Pyro distributions by site name, with defaults scaled to the data."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.transforms import Transform

from .arrays import finite
from .checks import shown
from .covariance import CovarianceFamily
from .features import check_names
from .observations import Observations, observed

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution

UNCHECKED = {"_validate_args": False}  # of a distribution that is evaluated over and over
PARTED = (Distribution, Transform, torch.nn.Module)  # that hold tensors, or others of their kind
FORGOTTEN = {"_inv": None, "_cached_x_y": (None, None)}  # what a transform remembers of its past


@dataclass(frozen=True, eq=False)
class Conditional:
    """The prior of a real-valued site whose distribution depends on the values of others.

    Attributes:
        event_shape: shape of the site.
        given: the distribution, from the values of the sites that are sampled before it.
        log_density: in nats, from s values of all sites.
    """

    event_shape: tuple[int, ...]
    given: Callable[[Mapping[str, Tensor]], TorchDistribution]
    log_density: Callable[[Mapping[str, Tensor]], Float[Tensor, "s"]]
    support = constraints.real_vector


@dataclass(frozen=True, eq=False)
class Priors:
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

    weights: TorchDistribution | None = None
    means: TorchDistribution | None = None
    scales: TorchDistribution | None = None
    correlations: TorchDistribution | None = None
    location: Float[Tensor, "d"] | None = None
    spread: Float[Tensor, "d"] | None = None
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("location", "spread"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, one_a_feature(name, value))
        if self.feature_names is not None:
            object.__setattr__(self, "feature_names", check_names(self.feature_names))
        if self.spread is not None and not bool((self.spread > 0).all()):
            raise ValueError(f"spread must be positive, got {shown(self.spread)}")
        if self.location is not None and self.spread is not None:
            d = len(self.spread)
            if len(self.location) != d:
                raise ValueError(
                    f"location must have shape ({d},) as spread has, got ({len(self.location)},)"
                )

    @property
    def n_features(self) -> int | None:
        """Number of features d, or None as long as the data's units are not known."""
        if self.location is None or self.spread is None:
            return None
        return len(self.spread)

    def covariance_sites(self, family: CovarianceFamily, factor: Tensor) -> dict[str, Tensor]:
        """The sites of covariances."""
        return family.sites(factor)

    @classmethod
    def weakly_informative(cls, x: Any) -> Priors:
        """The default priors for these data: array-like of shape (n, d), or observations."""
        return cls().scaled_to(x)

    def scaled_to(self, observations: Observations | Any) -> Priors:
        """The same priors, with the units of the defaults taken from the data where missing.

        Args:
            observations: array-like of shape (n, d), or observations.
        """
        observations = observed(observations)
        location = observations.origin if self.location is None else self.location
        spread = observations.scale if self.spread is None else self.spread
        names = self.feature_names or observations.feature_names
        return replace(self, location=location, spread=spread, feature_names=names)

    def sites(
        self, family: CovarianceFamily, n_components: int, like: Float[Tensor, "*"] | None = None
    ) -> dict[str, TorchDistribution | Conditional]:
        """A distribution over the whole of each site, in the order in which they are sampled.

        Args:
            family: covariance family, which says which sites there are.
            n_components: number of components k.
            like: a tensor whose dtype and device the distributions take; float64 if None.

        Raises:
            ValueError: if a distribution does not fit its site, or if the number of features is
                not known: `scaled_to` tells it.
        """
        d = self._known_features()
        like = torch.empty(0, dtype=torch.float64) if like is None else like
        shapes = {
            "weights": (n_components,),
            "means": (n_components, d),
            **family.site_shapes(n_components, d),
        }
        self._refuse_unused(shapes, family)
        return {
            name: over(name, cast(self._site(name, shape, family, n_components), like), shape)
            for name, shape in shapes.items()
        }

    def _known_features(self) -> int:
        d = self.n_features
        if d is None:
            raise ValueError(
                "the priors do not know the data's units yet: call model.specialise(x), or "
                "Priors(...).scaled_to(observations)"
            )
        return d

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
        if name == "correlations":
            return dist.LKJCholesky(shape[-1], self.spread.new_tensor(2.0))
        log_scale = family.pool(self.spread.log()) - math.log(k) / len(self.spread)
        return dist.LogNormal(log_scale, self.spread.new_tensor(1.0))


def one_a_feature(name: str, value: Any) -> Float[Tensor, "d"]:
    """One finite number a feature, as a tensor; one with a gradient keeps it."""
    numbers = finite(value, name)
    if numbers.ndim != 1 or len(numbers) == 0:
        raise ValueError(f"{name} must have shape (d,), one number a feature, got {numbers.shape}")
    is_kept = isinstance(value, Tensor) and value.is_floating_point()
    return value if is_kept else torch.from_numpy(numbers)


def cast(value: Any, like: Tensor) -> Any:
    """A copy of a distribution whose tensors have the dtype and device of another tensor.

    It keeps their gradients: what is learned of a copy is learned of the distribution.
    """

    def change(tensor: Tensor) -> Tensor:
        return tensor.to(like) if tensor.is_floating_point() else tensor.to(like.device)

    return _changed(value, change, UNCHECKED)


def held(value: Any) -> Any:
    """A copy of a distribution or of numbers that learns nothing, whatever becomes of the first."""
    return _changed(value, lambda tensor: tensor.detach().clone(), {})


def learned(value: Any) -> bool:
    """Whether a tensor in a distribution or among numbers requires a gradient."""
    if isinstance(value, Tensor):
        return value.requires_grad
    if isinstance(value, list | tuple):
        return any(map(learned, value))
    if isinstance(value, dict):
        return any(map(learned, value.values()))
    if isinstance(value, PARTED):
        return any(learned(item) for name, item in vars(value).items() if name not in FORGOTTEN)
    return False


def _changed(value: Any, change: Callable[[Tensor], Tensor], marks: Mapping[str, Any]) -> Any:
    """A copy of a distribution with every tensor changed, and marks on all distributions in it."""

    def again(item: Any) -> Any:
        return _changed(item, change, marks)

    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(map(again, value))
    if isinstance(value, dict):
        entries = copy.copy(value)
        entries.update({name: again(item) for name, item in value.items()})
        return entries
    if isinstance(value, PARTED):
        clone = copy.copy(value)
        parts = {name: again(v) for name, v in vars(value).items() if name not in FORGOTTEN}
        clone.__dict__.update(parts)
        if isinstance(clone, Transform | Distribution):
            clone.__dict__.update(FORGOTTEN if isinstance(clone, Transform) else marks)
        return clone
    return value


def over(name: str, prior: Any, shape: tuple[int, ...]) -> TorchDistribution:
    """The prior broadcast over a whole site, as one event.

    Raises:
        ValueError: if it does not fit the site.
    """
    batch = shape[: len(shape) - len(prior.event_shape)]
    if batch + tuple(prior.event_shape) != shape or not _broadcasts(prior.batch_shape, batch):
        raise ValueError(
            f"the prior of {name} must broadcast to shape {shape}, got a distribution with batch "
            f"shape {tuple(prior.batch_shape)} and event shape {tuple(prior.event_shape)}"
        )
    _check_parameters(name, prior)
    _check_support(name, prior, shape)
    return prior.expand(torch.Size(batch)).to_event(len(batch))


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether tensors of one shape expand to another."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(a in (1, b) for a, b in pairs)


def _check_parameters(name: str, prior: Any) -> None:
    """Refuse a prior that is no distribution, as one made without validation may be."""
    for part in _distributions(prior):
        for parameter, constraint in part.arg_constraints.items():
            value = vars(part).get(parameter)  # others follow from these
            if not isinstance(value, Tensor):
                continue
            free = constraints.is_dependent(constraint) or bool(constraint.check(value).all())
            if not (free and bool(value.isfinite().all())):
                raise ValueError(
                    f"the prior of {name} is no distribution: the {parameter} of {part} is "
                    f"{shown(value.tolist())}"
                )


def _distributions(value: Any) -> Iterator[Distribution]:
    """A distribution and those that it is made of."""
    if isinstance(value, Distribution):
        yield value
    if isinstance(value, PARTED):
        for name, part in vars(value).items():
            if name not in FORGOTTEN:
                yield from _distributions(part)


def _check_support(name: str, prior: Any, shape: tuple[int, ...]) -> None:
    """Refuse a prior that puts mass where the site cannot be."""
    outside = {
        "weights": torch.full((shape[-1] if shape else 1,), 0.4),  # sums to 1 for no k
        "scales": torch.full(tuple(prior.event_shape), -1e-6),
        "correlations": torch.full(tuple(prior.event_shape), 0.4),  # not lower triangular
    }
    wanted = {
        "weights": "probability vectors (as a Dirichlet)",
        "scales": "positive numbers (as a LogNormal)",
        "correlations": "Cholesky factors of correlation matrices (as an LKJCholesky)",
    }
    support = getattr(prior, "support", constraints.real)
    wrong = support.is_discrete or (name in outside and bool(support.check(outside[name]).any()))
    if name == "correlations" and not wrong:
        factor = torch.ones(tuple(prior.event_shape)).tril()
        wrong = not support.check(factor / factor.norm(dim=-1, keepdim=True)).all()
    if wrong:
        target = wanted.get(name, "real numbers (as a Normal)")
        raise ValueError(f"the prior of {name} must be a distribution over {target}, got {prior}")
