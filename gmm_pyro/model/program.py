"""A mixture model declared once and read twice: as a Pyro program, and as a log density.

Both readings use the same distributions. The program samples every site, with the discrete
assignment enumerated in parallel; the log density puts the reduction in place of that sum, over one
flat vector of unconstrained numbers, without effect handlers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..data.checks import MOST_HELD, check_count, check_flag
from ..data.devices import PRECISIONS
from ..data.observations import as_points, observe, observed
from ..data.points import Observations, Points
from ..data.weighting import as_weights
from ..reduction.sums import log_likelihood
from .declaration import Declaration
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
        noise: Any = None,
        collapsed: bool = False,
    ) -> Tensor:
        """Run the model as a Pyro program.

        Its sites are those of the priors, "assignment" for the component of every point, which is
        enumerated, and "x" for the points, both in the plate "points".

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
            noise: of the measurements, as `gmm_pyro.fit` has it: "x" is what was measured.
            collapsed: whether the assignments are summed out by the package's own reduction, as in
                `log_density`: there is no site "assignment", and "x" is a factor, the
                log-likelihood of all data. It takes many times less time than enumeration.

        Returns:
            The value of site "x".

        Raises:
            ValueError: if there are neither data nor a number of points, or the data do not have
                as many features as the priors.
        """
        if check_flag("collapsed", collapsed) and x is not None:
            return self._collapsed(x, subsample_size, sample_weight, noise)
        points, size = self._points(x, n, noise)
        if subsample_size is not None:
            subsample_size = check_count("subsample_size", subsample_size, 1, size)
        weight = None if sample_weight is None else as_weights(sample_weight, size)
        model = self.standardised(n_features) if points is None else self.specialise(points)
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

        like = None if points is None else points.x
        values, name = self.sites(like=like).sampled(self.prefix), f"{self.prefix}x"
        with pyro.plate(f"{self.prefix}points", size, subsample_size=subsample_size) as rows:
            observed = None if like is None else like[rows]
            seen = None if points is None or rows is None else Sight.of(points, rows)
            if not summed_out:
                return pyro.sample(name, self._emission(values, seen), obs=observed)
            with pyro.poutine.scale(scale=1.0 if weight is None else weight[rows]):
                return pyro.sample(name, self._marginal(values, seen), obs=observed)

    def _collapsed(self, x: Any, subsample_size: Any, sample_weight: Any, noise: Any) -> Tensor:
        """Run it with the log-likelihood of all data as a factor."""
        import pyro

        if subsample_size is not None:
            raise ValueError("collapsed takes all points at once, and no subsample_size")
        data = x
        if not isinstance(x, Observations) or not (sample_weight is None and noise is None):
            names = self.feature_names
            data = observe(x, sample_weight=sample_weight, feature_names=names, noise=noise)
        model = self.specialise(data)
        values = model.sites(like=data.origin).sampled(self.prefix)
        outer = values["weights"].shape[:-1]  # of particles, or of plates around the program
        sets = {
            name: value.reshape(-1, *value.shape[len(outer) :]) for name, value in values.items()
        }
        found = log_likelihood(data, self.family, self.family.parameters(sets))
        with pyro.poutine.scale(scale=1.0):  # without a handler Pyro warns that nobody observes
            pyro.factor(f"{self.prefix}x", found.view(outer))
        return data.x

    def _points(self, x: Any, n: int | None, noise: Any) -> tuple[Points | None, int]:
        """The data, if there are any, and how many points there are or are to be."""
        if x is None:
            if n is None:
                raise ValueError("n must be given where x is None: model(n=100)")
            if noise is not None:
                raise ValueError("noise is that of data: give x, or add it to what is drawn")
            return None, check_count("n", n, 1, MOST_HELD)
        dtype = x.dtype if isinstance(x, Tensor) and x.dtype in PRECISIONS.values() else None
        points = as_points(
            x, feature_names=self.feature_names, dtype=dtype, missing="integrate", noise=noise
        )
        return points, points.n

    def _emission(self, values: dict[str, Tensor], seen: Sight | None) -> Any:
        """Distribution of the points given their components, which are a site of their own."""
        import pyro
        import pyro.distributions as dist
        from pyro.ops.indexing import Vindex

        means, factor = values["means"], self.family.factor(values)
        component = pyro.sample(
            f"{self.prefix}assignment",
            dist.Categorical(values["weights"]),
            infer={"enumerate": "parallel"},
        )
        event = (slice(None),) * (factor.ndim - means.ndim + 1)
        chosen = Vindex(factor)[(..., self.family.of_component(component), *event)]
        return self._of_component(Vindex(means)[..., component, :], chosen, seen)

    def _marginal(self, values: dict[str, Tensor], seen: Sight | None) -> Any:
        """Distribution of the points with their components summed out."""
        import pyro.distributions as dist

        factor = self.family.factor(values)
        each = None if seen is None else seen.of_each_component
        emission = self._of_component(values["means"], factor, each)
        weights = values["weights"].expand(emission.batch_shape)
        validate = None if seen is None else False  # NaN is no value of a point
        return dist.MixtureSameFamily(dist.Categorical(weights), emission, validate_args=validate)

    def _of_component(self, means: Tensor, factor: Tensor, seen: Sight | None) -> Any:
        """Distribution of points of these means and covariance factors, seen wholly or in part."""
        if seen is None:
            return self.family.emission(means, factor)
        from .partly_seen import PartlySeen

        tril = self.family.scale_tril(factor, means.shape[-1])
        if seen.noise is not None:
            tril = torch.linalg.cholesky(tril @ tril.mT + seen.noise.to(tril))
        return PartlySeen(means, tril, seen.observed)

    def log_density(self, x: Any) -> LogDensity:
        """The model as a log density over one flat vector, given data or observations."""
        observations = observed(x, self.feature_names)
        return LogDensity(self.specialise(observations), observations)


@dataclass(frozen=True, eq=False)
class Sight:
    """What is measured of some points.

    Attributes:
        observed: which entries are, shape (*n, d).
        noise: covariances of the noise, shape (*n, d, d), or None.
    """

    observed: Bool[Tensor, "*n d"]
    noise: Float[Tensor, "*n d d"] | None

    @classmethod
    def of(cls, points: Points, rows: Int[Tensor, "m"]) -> Sight | None:
        """Of some rows; None where all of their values are as they are."""
        if points.measured is None:
            return None
        measured = points.measured.subset(rows)
        return cls(measured.observed[measured.kind], measured.noise_of_rows)

    @property
    def of_each_component(self) -> Sight:
        """The same for every component, which have an axis after that of the points."""
        noise = None if self.noise is None else self.noise[:, None]
        return Sight(self.observed[:, None], noise)


def check_model(model: Any) -> MixtureModel:
    """The model.

    Raises:
        TypeError: if it is none.
    """
    if isinstance(model, MixtureModel):
        return model
    raise TypeError(f"model must be a gmm_pyro.MixtureModel, got {type(model).__name__}")
