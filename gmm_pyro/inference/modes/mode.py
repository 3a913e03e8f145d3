"""A mode of a log density over unconstrained vectors, with the Gaussian of its curvature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...covariance.records import LOG_2PI
from ...model.log_density import LogDensity
from ...model.numbering import Numberings
from ..climb.curvature import inverse
from ..climb.hessian import hessian
from ..task import Run

LARGEST = 2_000  # unconstrained numbers, above which a Hessian would not fit in memory
SAME = 2.0  # standard deviations apart, within which two modes are one: climbs end a little below


@dataclass(frozen=True, eq=False)
class Mode:
    """Where a climb has ended, and the shape of the log density there.

    Attributes:
        run: the climb.
        curvature: minus the Hessian.
        root: Cholesky factor of the covariance of the Gaussian with that curvature.
    """

    run: Run[Float[Tensor, "1 m"]]
    curvature: Float[Tensor, "m m"]
    root: Float[Tensor, "m m"]

    @classmethod
    def at(cls, density: LogDensity, run: Run[Float[Tensor, "1 m"]]) -> Mode:
        """The mode at the end of a climb."""
        curvature = -hessian(density, run.state[0])
        return cls(run, curvature, torch.linalg.cholesky(inverse(curvature)))

    @property
    def centre(self) -> Float[Tensor, "m"]:
        """The vector."""
        return self.run.state[0]

    @property
    def log_density(self) -> float:
        """Of the vector, in nats."""
        return self.run.history[-1]

    @property
    def log_evidence(self) -> float:
        """Laplace's approximation of what is around it in its own numbering, in nats."""
        return self.log_density + log_volume(self.root)

    @property
    def is_peak(self) -> bool:
        """Whether the log density bends down in all directions."""
        return int(torch.linalg.cholesky_ex(self.curvature)[1]) == 0

    def is_at(self, vector: Float[Tensor, "m"]) -> bool:
        """Whether a vector is within two standard deviations of it."""
        away = (vector - self.centre)[:, None]
        return bool(torch.linalg.solve_triangular(self.root, away, upper=False).norm() < SAME)


def log_volume(root: Float[Tensor, "m m"]) -> float:
    """Minus the log density of a normal distribution at its peak."""
    return float(root.diagonal().log().sum()) + 0.5 * len(root) * LOG_2PI


def laplace_evidence(density: LogDensity, mode: Mode) -> float:
    """Laplace's approximation of the log evidence, with what every numbering of the mode adds.

    That is log Σ_σ prior(σθ) - log prior(θ): log k! where the prior tells no components apart.
    """
    values = density.constrain(mode.run.state)
    numberings = Numberings.about(density, values)
    return mode.log_evidence + float(numberings.log_gain(density, values))
