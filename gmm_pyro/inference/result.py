"""What a fit consists of, whatever the method: the point estimate, draws, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..data.points import Observations
from ..data.words import counted
from ..mixture.value import GaussianMixture
from ..model.filled import prior_of_filled
from ..model.program import MixtureModel
from ..posterior import Posterior
from ..posterior.numbers import frame_of, numbers_of
from ..posterior.sizes import FILLED, SIZE
from .modes.found import FoundModes
from .searched import Searched
from .task import Options, Status
from .variational.record import Variational

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What every method finds; `Fit` adds what takes more than this to say.

    Attributes:
        model: the model, its priors made concrete where the method used them.
        method: name of the method.
        mixture: the point estimate.
        posterior: draws, or None for methods that have none, and where the search for the mode has
            collapsed.
        history: the objective after every step, in nats.
        objective: what the method maximised, at the point estimate: the log-likelihood (em,
            gradient), the log posterior density up to a constant (map), the ELBO (svi, vb), minus
            the sum of squares (kmeans).
        status: how the fit ended.
        message: the same in words, and what to do about it.
        steps: number of steps.
        seconds: wall-clock time.
        seed: seed of every random choice.
        options: all options, defaults included.
        diagnostics: `filled_components`, `problems` (sentences), and what the method adds: numbers
            and short words only.
        observations: the data.
        own_labels: k-means' own clusters, None for other methods.
        surplus: components that the priors of the method may leave empty.
        uses_priors: whether the method has priors.
        search: what the search for the likeliest mixture has come to, of methods that begin with
            one; `Fit.solutions` has it as a table.
        found_modes: the modes of the posterior that are known, of approximations; `Fit.modes` has
            them as a table.
        variational: the factors that `vb` has found, as `Variational` has them; None for others.
    """

    model: MixtureModel
    method: str
    mixture: GaussianMixture
    posterior: Posterior | None
    history: torch.Tensor
    objective: float
    status: Status
    message: str
    steps: int
    seconds: float
    seed: int
    options: Options
    diagnostics: Mapping[str, Any]
    observations: Observations
    own_labels: torch.Tensor | None = None
    surplus: frozenset[int] = frozenset()
    uses_priors: bool = False
    search: Searched | None = None
    found_modes: FoundModes | None = None
    variational: Variational | None = None

    def __repr__(self) -> str:
        components = counted(self.model.n_components, "component")
        components = components if self.model.unknown is None else f"up to {components}"
        ended = f"{self.status.name}, {counted(self.steps, 'step')} in {self.seconds:.2g} s"
        of = f"{components}, {self.model.family.name} covariances"
        return f"<fit by {self.method} of {of}: {ended}, objective {self.objective:.6g} nats>"

    @property
    def converged(self) -> bool:
        """Whether the method says that it has converged."""
        return self.status is Status.CONVERGED

    @property
    def labels(self) -> torch.Tensor:
        """The component of every point: k-means' own clusters, else the most probable component.

        Of data in partitions, a lazy Dask array.
        """
        own = self.own_labels
        return self.mixture.predict(self.observations) if own is None else own

    @property
    def responsibilities(self) -> torch.Tensor:
        """Posterior probability of each component at each point, shape (n, k).

        Of data in partitions, a lazy Dask array.
        """
        return self.mixture.responsibilities(self.observations)

    @property
    def number_of_components(self) -> pd.DataFrame:
        """What is known of the number of components: without the data, and with them.

        A row for each number k up to the most that there may be, from 1, or from 0 where a noise
        component may have all points. Columns, each a probability:

        - `n_components`: there are k components, with points or without; only where that is
          unknown.
        - `n_filled`: k components have points.
        - `n_components_se`, `n_filled_se`: Monte Carlo standard errors of these, from effective
          numbers of draws.
        - `n_components_prior`, `n_filled_prior`: what the prior alone implies; of `n_filled`, for
          so many points as there are.

        Raises:
            ValueError: if the fit does not ask how many there are.

        Example:
            >>> from gmm_pyro import MixtureModel, Unknown, datasets, fit
            >>> x = datasets.make_mixture(n=40, k=2, d=1, separation=9.0).x
            >>> model = MixtureModel(Unknown("uniform", most=4), "tied")
            >>> found = fit(model, x, "gibbs", n_draws=9, n_warmup=9)  # doctest: +SKIP
            >>> int(found.number_of_components["n_filled"].idxmax())  # doctest: +SKIP
            2
        """
        posterior, hierarchy = self.posterior, self.model.hierarchy()
        if posterior is None or hierarchy is None or FILLED not in posterior.draws:
            raise ValueError(
                f"this fit by {self.method} has a known number of components, "
                f"{self.model.n_components}: gibbs draws it for MixtureModel(gmm_pyro.Unknown()), "
                "and how many have points also where the concentration of ConjugatePriors is "
                "gmm_pyro.Static, gmm_pyro.Dynamic or gmm_pyro.DirichletProcess"
            )
        sizes = torch.nn.functional.pad(hierarchy.log_sizes.exp().cpu(), (1, 0))
        filled = prior_of_filled(hierarchy, self.observations.n)
        priors = {SIZE: sizes.numpy(), FILLED: filled.numpy()}
        return frame_of(numbers_of(posterior, priors))
