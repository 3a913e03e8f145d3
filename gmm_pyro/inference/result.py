"""What a fit consists of, whatever the method: the point estimate, draws, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..data.points import Observations
from ..data.words import counted
from ..mixture.value import GaussianMixture
from ..model.program import MixtureModel
from ..posterior import Posterior
from .modes.found import FoundModes
from .searched import Searched
from .task import Options, Status
from .variational.record import Variational


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
        ended = f"{self.status.name}, {counted(self.steps, 'step')} in {self.seconds:.2g} s"
        of = f"{components}, {self.model.family.name} covariances"
        return f"<fit by {self.method} of {of}: {ended}, objective {self.objective:.6g} nats>"

    @property
    def converged(self) -> bool:
        """Whether the method says that it has converged."""
        return self.status is Status.CONVERGED

    @property
    def labels(self) -> torch.Tensor:
        """The component of every point: k-means' own clusters, else the most probable component."""
        own = self.own_labels
        return self.mixture.predict(self.observations) if own is None else own
