"""Draws from a posterior, by site: what they say of components, clusterings and new points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..mixture.value import GaussianMixture
from . import clustering, predictive, readable, relabelling, sizes
from .alignment import Key
from .clustering import Partition
from .convergence import Convergence
from .predictive import Assignments, PredictiveDensity
from .record import Draws


@dataclass(frozen=True, eq=False, repr=False)
class Posterior(Draws):
    """Draws of every site of a model, in the data's units, and what they say.

    The attributes are those of `Draws`.

    Example:
        >>> import gmm_pyro as gp
        >>> data = gp.datasets.make_mixture(n=60, k=3, separation=6.0)
        >>> fit = gp.fit(gp.MixtureModel(3), data.x, method="svi", n_draws=50)
        >>> posterior = fit.posterior.relabel(like=fit.mixture)
        >>> posterior.ambiguous, posterior.partition().n_clusters
        (0.0, 3)
    """

    def mixture(self) -> GaussianMixture:
        """The mixture of the posterior means of weights, means and covariances.

        It means something where the components of the draws are aligned: see `relabel`.
        """
        return predictive.mean_mixture(self)

    def convergence(self) -> Convergence:
        """The worst R-hat and effective sample sizes of the numbers that draws are read by.

        These are all weights, means, standard deviations and correlations, and the log-likelihood
        and the log prior density where a sampler has left them, which is the group `posterior` of
        `to_arviz`; what never varies is left out.
        Where a component comes and goes, chains are judged by what no numbering of the components
        can change: the weights in falling order, and means and standard deviations of the whole.
        The definitions are ArviZ's (Vehtari et al. 2021).
        """
        return readable.convergence(self)

    # ------------------------------------------------------------------ numbers of components

    def of_filled(self, k: int | None = None) -> Posterior:
        """All draws with k components that have points: those of these, aligned by `relabel`.

        They are the posterior given that number, as one chain in the order of the chains. Weights
        are those of these components among themselves.

        Args:
            k: number of components with points; the one that most draws have, if None.

        Raises:
            ValueError: if the model knows its number of components, or no draw has so many.

        Example:
            >>> import gmm_pyro as gp
            >>> data = gp.datasets.make_mixture(n=60, k=2, separation=8.0)
            >>> model = gp.MixtureModel(gp.Unknown())
            >>> fit = gp.fit(model, data.x, "gibbs", n_draws=100, n_chains=8)  # doctest: +SKIP
            >>> fit.posterior.of_filled().n_components  # doctest: +SKIP
            2
        """
        return sizes.of_filled(self, k)

    # ------------------------------------------------------------------ labels

    def relabel(
        self, method: str = "stephens", *, by: Key = None, like: Any = None, within: Any = None
    ) -> Posterior:
        """The posterior with the components of all draws aligned: one for all label switching.

        Draws are compared at no more than 1000 points, the same at every call; sample weights
        count. Relabelling what is relabelled changes nothing.

        Args:
            method: how components of different draws are matched.
                "stephens": by the responsibilities, in Kullback-Leibler divergence from their mean
                over all draws (Stephens 2000).
                "ecr": by the allocations, where they were kept for all draws, else by the most
                probable components, as those of the likeliest draw (Papastamoulis & Iliopoulos
                2010).
                "pivot": by the distance of the parameters from those of the likeliest draw (Marin,
                Mengersen & Robert 2005).
                "ordered": not at all; components are numbered in rising order of `by`.
            by: for "ordered", what rises: a site; a site and an index into it, as ("means", 1); or
                a function of `draws` that gives a tensor of shape (chain, draw, k). Of a site
                alone it is the first entry; None is the mean of the first feature.
            like: what the components are numbered as, for the other methods: a mixture of k
                components, or n integer labels from 0 to k - 1, as those of a point estimate. None
                keeps the numbering of the likeliest draw.
            within: k class labels: only components of one class are exchanged, as samplers do where
                a prior tells components apart. None is one class of all.

        Returns:
            A posterior of the same draws, with `permutation` and `ambiguous`.

        Raises:
            ValueError: if there is no such method, `by` or `like` does not go with it, or has
                another shape; or if the number of components is unknown: see `of_filled`.
        """
        return relabelling.relabelled(self, method, by, like, within)

    def raw(self) -> Posterior:
        """The sampler's own draws, with its own numbers of the components."""
        return relabelling.raw(self)

    # ------------------------------------------------------------------ clusterings

    def co_clustering(self, rows: Any = None, *, max_draws: int = 1000) -> Float[Tensor, "m m"]:
        """Probabilities that two points share a component, whatever its label.

        They are averages over draws: of the allocations, if any were kept, else of the
        probabilities Σ_k r_ik r_jk that the responsibilities of a draw give. A noise component is
        one of them.

        Args:
            rows: which of the data, as m different integers or n booleans; None takes them all.
            max_draws: how many draws are averaged over at most, evenly spaced.

        Returns:
            A symmetric matrix with ones on its diagonal, float64, shape (m, m).

        Raises:
            ValueError: if there are more than 5000 points, or no such rows.
        """
        return clustering.co_clustering(self, rows, max_draws)

    def partition(self, loss: str = "vi", *, rows: Any = None, max_draws: int = 1000) -> Partition:
        """The clustering of the data that is expected to be closest to that of a draw.

        Args:
            loss: "vi", a lower bound on the expected variation of information, in nats; or
                "binder", the expected share of the pairs of points that are together in one
                clustering and apart in the other. See `clustering.best_partition`.
            rows: as in `co_clustering`.
            max_draws: as in `co_clustering`.

        Raises:
            ValueError: if there is no such loss, or as in `co_clustering`.

        Source: Wade & Ghahramani (2018).
        """
        return clustering.partition(self, loss, rows, max_draws)

    def assignments(self, x: Any = None, *, seed: int = 0) -> Assignments:
        """Components of points: drawn once for every draw, and their posterior probabilities.

        That of noise is -1, and its probability is what those of the others leave. Where the
        number of components is unknown, a number means nothing from draw to draw: ask
        `of_filled()` for probabilities.

        Args:
            x: points, array-like of shape (n, d); None takes the data.
            seed: of the random numbers.

        Raises:
            ValueError: if x is not finite or not of this shape.
        """
        return predictive.assignments(self, x, seed)

    # ------------------------------------------------------------------ new points

    def predictive_density(self, x: Any, prob: float = 0.94) -> PredictiveDensity:
        """Posterior predictive density at points, with an interval of the draws' densities.

        Args:
            x: points, array-like of shape (n, d).
            prob: what the interval holds of the draws, at each point, with equal tails.

        Raises:
            ValueError: if x is not finite or not of this shape, or prob is not between 0 and 1.
        """
        return predictive.predictive_density(self, x, prob)

    def density_band(
        self, grid: Any, prob: float = 0.94, *, feature: int | str | None = None
    ) -> PredictiveDensity:
        """Posterior predictive density of one feature, with an interval of the draws' densities.

        Args:
            grid: values of the feature, array-like of shape (n,).
            prob: as in `predictive_density`.
            feature: its name or number; only univariate data need none.

        Raises:
            ValueError: if there is no such feature, or as in `predictive_density`.
        """
        return predictive.density_band(self, grid, prob, feature)

    def sample_predictive(self, n: int, *, seed: int = 0) -> Float[Tensor, "n d"]:
        """n new points, each from the mixture of a draw that is picked at random for it.

        Raises:
            ValueError: if n is not a positive integer.
        """
        return predictive.sample_predictive(self, n, seed)
