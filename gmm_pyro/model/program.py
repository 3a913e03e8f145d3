"""A mixture model declared once and read twice: as a Pyro program, and as a log density.

Both readings use the same distributions. The program samples every site, with the discrete
assignment enumerated in parallel; the log density puts the reduction in place of that sum, over one
flat vector of unconstrained numbers, without effect handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..covariance import CovarianceFamily
from ..covariance.sharing import NOISE_WEIGHT
from ..data.checks import MOST_HELD, check_count, check_flag
from ..data.devices import PRECISIONS
from ..data.known import Known
from ..data.observations import as_points, observe, observed
from ..data.points import Observations, Points
from ..data.weighting import as_weights
from ..mixture.noise_component import beside_noise
from ..reduction.sums import log_likelihood
from .declaration import Declaration
from .fixed_sites import held_values
from .log_density import LogDensity


@dataclass(frozen=True, eq=False)
class MixtureModel(Declaration):
    """A Gaussian mixture with priors, before any data.

    Calling it runs it as a Pyro program, so it can be given to any of Pyro's guides, to
    `TraceEnum_ELBO`, `infer_discrete`, `Predictive` and `MCMC`.

    Attributes:
        n_components: number of components k.
        covariance: covariance family, by scikit-learn's word or mclust's code.
        priors: priors by site, the conjugate prior, or a Pyro program that samples what it likes
            and returns values of the sites, of which it makes a `PriorProgram`; None takes the
            defaults for the data at hand.
        prefix: of the names of all sites and of the plate in the program, so that several mixtures
            can be in one. Fits and draws go by the names without it.
        noise_component: what points are that belong to none of the components: "uniform", over the
            data's box, a `UniformBox` or a `WideGaussian`; None for nothing. Its weight is one
            more parameter, at the site "noise_weight", and the weights are then those of the
            components among themselves.

    Raises:
        ValueError: if the number of components is not a positive integer, or there is no such
            covariance family, or no such prior.

    Example:
        >>> MixtureModel(3, covariance="VVI").family.name
        'diag'
    """

    def __call__(
        self,
        x: Any = None,
        *,
        n: int | None = None,
        n_features: int | None = None,
        subsample_size: int | None = None,
        sample_weight: Float[Tensor, "n"] | None = None,
        collapsed: bool = False,
        **known: Unpack[Known],
    ) -> Tensor:
        """Run the model as a Pyro program.

        Its sites are those of the priors, "assignment" for the component of every point, which is
        enumerated, and "x" for the points, both in the plate "points". Noise is component k.

        Args:
            x: data of shape (n, d), observed at site "x"; None samples them. Values that are NaN
                are missing, and integrated out.
            n: number of points where x is None.
            n_features: number of features d where x is None and the priors do not say it; one, if
                they do not either. Default priors then take the units of standardised data: a
                centre of 0 and a spread of 1.
            subsample_size: rows that the data plate takes at a time, as in `pyro.plate`.
            sample_weight: weights of the points. Pyro takes one scale for all points that it
                enumerates, so a weighted program has no site "assignment": "x" is then drawn from
                the mixture, with the assignment summed out.
            collapsed: whether the assignments are summed out by the package's own reduction, as in
                `log_density`: there is no site "assignment", and "x" is a factor, the
                log-likelihood of all data. It takes many times less time than enumeration.
            **known: `noise`, `projection` and `labels` of the data, as `gmm_pyro.fit` has them: "x"
                is what was measured, and an "assignment" that is impossible has a log density of
                -inf: enumeration and `infer_discrete` know, a plain run draws it from the prior.

        Returns:
            The value of site "x".

        Raises:
            ValueError: if there are neither data nor a number of points, or the data do not have
                as many features as the priors.
        """
        if check_flag("collapsed", collapsed) and x is not None:
            return self._collapsed(x, subsample_size, sample_weight, known)
        points, size = self._points(x, n, known)
        if subsample_size is not None:
            subsample_size = check_count("subsample_size", subsample_size, 1, size)
        weight = None if sample_weight is None else as_weights(sample_weight, size)
        model = self.standardised(n_features) if points is None else self.specialise(points)
        if points is not None:
            points = beside_noise(points, model.noise)
        summed_out = collapsed or weight is not None
        return model._at_points(points, size, subsample_size, weight, summed_out=summed_out)

    def _at_points(
        self,
        points: Points | None,
        size: int,
        subsample_size: int | None,
        weight: Float[Tensor, "n"] | None,
        *,
        summed_out: bool,
    ) -> Tensor:
        """Run it with a site for the points, in a plate: their components summed out, or a site."""
        import pyro

        like, name = None if points is None else points.measurements, f"{self.prefix}x"
        values = self.sites(like=like).sampled(self.prefix, held_values(self, like))
        with pyro.plate(f"{self.prefix}points", size, subsample_size=subsample_size) as rows:
            observed = None if like is None else like[rows]
            seen = None if points is None or rows is None else Sight.of(points, rows)
            if not summed_out:
                return pyro.sample(name, self._emission(values, seen), obs=observed)
            with pyro.poutine.scale(scale=1.0 if weight is None else weight[rows]):
                return pyro.sample(name, self._marginal(values, seen), obs=observed)

    def _collapsed(
        self, x: Any, subsample_size: Any, sample_weight: Any, known: Mapping[str, Any]
    ) -> Tensor:
        """Run it with the log-likelihood of all data as a factor."""
        import pyro

        if subsample_size is not None:
            raise ValueError("collapsed takes all points at once, and no subsample_size")
        data = x
        told = {"sample_weight": sample_weight, **known}
        if not isinstance(x, Observations) or any(value is not None for value in told.values()):
            k, names = self.fewest_points, self.feature_names
            data = observe(x, n_components=k, feature_names=names, **told)
        model, data = self.specialise(data).beside_noise(data)
        held = held_values(model, data.origin)
        values = model.sites(like=data.origin).sampled(self.prefix, held)
        outer = values["weights"].shape[:-1]  # of particles, or of plates around the program
        sets = {
            name: value.reshape(-1, *value.shape[len(outer) :]) for name, value in values.items()
        }
        found = log_likelihood(data, self.family, self.family.parameters(sets))
        with pyro.poutine.scale(scale=1.0):  # without a handler Pyro warns that nobody observes
            pyro.factor(f"{self.prefix}x", found.view(outer))
        return data.x

    def _points(self, x: Any, n: int | None, known: Mapping[str, Any]) -> tuple[Points | None, int]:
        """The data, if there are any, and how many points there are or are to be."""
        if x is None:
            if n is None:
                raise ValueError("n must be given where x is None: model(n=100)")
            for name, value in known.items():
                if value is not None:
                    raise ValueError(f"{name} is of data: give x, or have the points alone drawn")
            return None, check_count("n", n, 1, MOST_HELD)
        dtype = x.dtype if isinstance(x, Tensor) and x.dtype in PRECISIONS.values() else None
        points = as_points(
            x,
            feature_names=self.feature_names,
            dtype=dtype,
            missing="integrate",
            noise=known.get("noise"),
            projection=known.get("projection"),
        )
        if known.get("labels") is not None:
            points = points.labelled(known["labels"], self.n_components)
        return points, points.n

    def _emission(self, values: dict[str, Tensor], seen: Sight | None) -> Any:
        """Distribution of the points given their components, which are a site of their own."""
        import pyro
        import pyro.distributions as dist
        from pyro.ops.indexing import Vindex

        means, factor = values["means"], self.family.factor(values)
        component = pyro.sample(
            f"{self.prefix}assignment",
            dist.Categorical(self._shares(values)),
            infer={"enumerate": "parallel"},
        )
        gaussian = component.clamp(max=self.n_components - 1)
        event = (slice(None),) * (factor.ndim - means.ndim + 1)
        chosen = Vindex(factor)[(..., self.family.of_component(gaussian), *event)]
        seen = None if seen is None else seen.of_component(component)
        return self._of_component(Vindex(means)[..., gaussian, :], chosen, seen, component)

    def _shares(self, values: dict[str, Tensor]) -> Float[Tensor, "*k"]:
        """Weights of all components, and of the noise if there is any."""
        weights = values["weights"]
        if self.noise is None:
            return weights
        own = values[NOISE_WEIGHT][..., None]
        return torch.cat([(1 - own) * weights, own], -1)

    def _marginal(self, values: dict[str, Tensor], seen: Sight | None) -> Any:
        """Distribution of the points with their components summed out."""
        import pyro.distributions as dist

        factor, weights = self.family.factor(values), self._shares(values)
        each = None if seen is None else seen.of_each_component
        component = torch.arange(weights.shape[-1], device=weights.device)
        gaussian = component.clamp(max=self.n_components - 1)
        means = values["means"].index_select(-2, gaussian)
        if not self.family.tied and self.noise is not None:
            factor = factor.index_select(-1 - len(self.family.event_shape(1)), gaussian)
        emission = self._of_component(means, factor, each, component)
        weights = weights.expand(emission.batch_shape)
        validate = None if seen is None else False  # NaN is no value of a point
        return dist.MixtureSameFamily(dist.Categorical(weights), emission, validate_args=validate)

    def _of_component(
        self, means: Tensor, factor: Tensor, seen: Sight | None, component: Int[Tensor, "*n"]
    ) -> Any:
        """Distribution of points of these means and covariance factors, seen wholly or in part.

        Whatever the means and factors are, it is that of noise where this is the component.
        """
        from .partly_labelled import PartlyLabelled
        from .partly_noise import PartlyNoise
        from .partly_seen import PartlySeen

        if seen is None or seen.observed is None:
            emission: Any = self.family.emission(means, factor)
        else:
            emission = PartlySeen(*seen.projected(self.family, means, factor), seen.observed)
        if self.noise is not None:
            known = None if seen is None else seen.log_noise
            log_noise = means.new_zeros(()) if known is None else known
            is_noise = component == self.n_components
            emission = PartlyNoise(emission, is_noise, log_noise, self.noise)
        if seen is None or seen.log_allowed is None:
            return emission
        return PartlyLabelled(emission, seen.log_allowed.to(means))

    def log_density(self, x: Any) -> LogDensity:
        """The model as a log density over one flat vector, given data or observations."""
        model, observations = self.beside_noise(observed(x, self.feature_names))
        return LogDensity(model.specialise(observations), observations)


@dataclass(frozen=True, eq=False)
class Sight:
    """What is known of some points.

    Attributes:
        observed: which entries are measured, shape (*n, d); None of points known as they are.
        noise: covariances of the noise, shape (*n, m, m), or None.
        projection: of the features, shape (*n, m, d), or None.
        log_allowed: 0 where a component is possible, else -inf, shape (n, k), or (*n,) of a given
            component; None where nothing is known of that.
        log_noise: log density of the noise, shape (*n,), or None without noise.
    """

    observed: Bool[Tensor, "*n d"] | None
    noise: Float[Tensor, "*n m m"] | None
    projection: Float[Tensor, "*n m d"] | None
    log_allowed: Float[Tensor, "*n"] | None
    log_noise: Float[Tensor, "*n"] | None

    @classmethod
    def of(cls, points: Points, rows: Int[Tensor, "m"]) -> Sight | None:
        """Of some rows; None where all of their values are as they are, and any component is."""
        measured, allowed, log_noise = points.measured, points.allowed, points.log_noise
        if measured is None and allowed is None and log_noise is None:
            return None
        observed = noise = projection = log_allowed = None
        if measured is not None:
            some = measured.subset(rows)
            observed, noise = some.observed[some.kind], some.noise_of_rows
            projection = some.projection_of_rows
        if allowed is not None:
            log_allowed = allowed.log_allowed(points.origin).T[allowed.kind[rows]]
            if log_noise is not None:  # which is not among what is known to be of some components
                known = allowed.known[rows, None]
                none = torch.zeros_like(log_allowed[:, :1]).masked_fill(known, -torch.inf)
                log_allowed = torch.cat([log_allowed, none], 1)
        log_noise = None if log_noise is None else log_noise[rows]
        return cls(observed, noise, projection, log_allowed, log_noise)

    def projected(
        self, family: CovarianceFamily, means: Tensor, factor: Tensor
    ) -> tuple[Float[Tensor, "*n m"], Float[Tensor, "*n m m"]]:
        """Means of measurements, and Cholesky factors of their covariances."""
        tril = family.scale_tril(factor, means.shape[-1])
        if self.noise is None and self.projection is None:
            return means, tril
        if self.projection is not None:
            across = self.projection.to(tril)
            means, tril = (across @ means[..., None])[..., 0], across @ tril
        total = tril @ tril.mT
        total = total if self.noise is None else total + self.noise.to(total)
        return means, torch.linalg.cholesky(total)

    def of_component(self, component: Int[Tensor, "*n"]) -> Sight:
        """The same of points of these components."""
        if self.log_allowed is None:
            return self
        rows = torch.arange(len(self.log_allowed), device=component.device)
        return replace(self, log_allowed=self.log_allowed[rows, component])

    @property
    def of_each_component(self) -> Sight:
        """The same for every component, which have an axis after that of the points."""
        observed = None if self.observed is None else self.observed[:, None]
        noise = None if self.noise is None else self.noise[:, None]
        projection = None if self.projection is None else self.projection[:, None]
        log_noise = None if self.log_noise is None else self.log_noise[:, None]
        return Sight(observed, noise, projection, self.log_allowed, log_noise)


def check_model(model: Any) -> MixtureModel:
    """The model.

    Raises:
        TypeError: if it is none.
    """
    if isinstance(model, MixtureModel):
        return model
    raise TypeError(f"model must be a gmm_pyro.MixtureModel, got {type(model).__name__}")
