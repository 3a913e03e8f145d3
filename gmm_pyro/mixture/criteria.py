"""What one pass over points says of a mixture: its likelihood, and criteria of how good it is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Criteria:
    """How good a mixture is at points, which count as often as their sample weights say.

    Attributes:
        log_likelihood: Σ_n u log p(x_n) in nats.
        log_sureness: Σ_n u log max_k r_nk in nats: of the most probable components.
        total_weight: n, the sum of the weights u.
        n_parameters: number of free parameters.
    """

    log_likelihood: float
    log_sureness: float
    total_weight: float
    n_parameters: int

    def plus(self, other: Criteria) -> Criteria:
        """Those of the points of both."""
        return Criteria(
            self.log_likelihood + other.log_likelihood,
            self.log_sureness + other.log_sureness,
            self.total_weight + other.total_weight,
            self.n_parameters,
        )

    @property
    def mean_log_density(self) -> float:
        """In nats a point; higher is better (Good 1952)."""
        return self.log_likelihood / self.total_weight

    @property
    def bic(self) -> float:
        """Bayesian information criterion, -2 log L + p log n; lower is better (Schwarz 1978)."""
        return -2 * self.log_likelihood + self.n_parameters * math.log(self.total_weight)

    @property
    def aic(self) -> float:
        """Akaike information criterion, -2 log L + 2 p; lower is better (Akaike 1974)."""
        return -2 * self.log_likelihood + 2 * self.n_parameters

    @property
    def icl(self) -> float:
        """BIC of the most probable assignment; lower is better.

        As in mclust up to its sign: BIC - 2 Σ_n log max_k r_nk (Biernacki, Celeux & Govaert 2000).
        """
        return self.bic - 2 * self.log_sureness
