"""Maximum likelihood by gradients alone, and the mixture as a torch module.

The gradient of the unconstrained parameters (`coordinates.py`) is the reduction's statistics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import transform_to

from ..covariance import Parameters
from ..data.arrays import dense_tensor
from ..data.checks import shown
from ..mixture.checks import check_mixture
from ..mixture.value import GaussianMixture
from ..model.declaration import require_sites
from ..reduction.sums import maximise, reduce
from ..reduction.theta import theta_of
from .climb.adam import BLOCK, Ascent, ascend, batch, batch_size
from .climb.climb import STEEP
from .climb.coordinates import Coordinates
from .climb.spikes import THIN, THIN_AT_A_HALT, on_spike
from .search.likeliest import likeliest_start
from .task import Options, Outcome, Run, Status, Task, progress_bar

UNLIKELY = 2.0  # times the average cost of minibatches, of which a step of EM gains a quarter


@dataclass(frozen=True, kw_only=True)
class GradientOptions(Options):
    """Options of maximum likelihood by gradients.

    Attributes:
        rate: first step size, in units of each feature's standard deviation.
        batch_size: points in a minibatch, or None for all. The answer is then the mean of 25
            iterates, which on average costs the log-likelihood a point about 1 / 50 of a nat for
            each parameter and point of the batch: p / (50 batch_size).
    """

    max_steps: int = 5000
    tolerance: float = 1e-7
    rate: float = 0.05
    batch_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._measure("rate", positive=True)
        if self.batch_size is not None:
            self._count(batch_size=1)


def fit_gradient(task: Task[GradientOptions]) -> Outcome:
    """Maximum-likelihood parameters by Adam, on the whole data or on minibatches."""
    start = likeliest_start(task)
    shape = tuple(start.means.shape[1:])
    coordinates = Coordinates(task.model.family, task.observations, shape, task.model.fixed)
    generator, size = task.generator(), task.options.batch_size

    def leads_nowhere(vector: Tensor, thinner_than: float = THIN) -> bool:
        parameters = coordinates.parameters(vector.detach())
        model, data = task.model, task.observations
        return on_spike(data, model.family, parameters, thinner_than, model.fixed)

    with progress_bar(task) as bar:
        run = ascend(
            lambda vector: coordinates.gradient(vector, batch(task.observations, size, generator)),
            lambda vector: float(coordinates.log_likelihood(vector.detach(), task.observations)),
            coordinates.vector(start),
            rate=task.options.rate,
            tolerance=task.options.tolerance * task.observations.total_weight,
            max_steps=task.options.max_steps,
            bar=bar,
            leads_nowhere=leads_nowhere,
            generator=generator,
        )
    parameters, status = coordinates.parameters(run.state.vector), run.status
    if status is Status.CONVERGED and leads_nowhere(run.state.vector, THIN_AT_A_HALT):
        status = Status.COLLAPSED
    elif status is Status.CONVERGED and _left_to_em(task, parameters) > _allowed(task, run):
        status = Status.STUCK
    return replace(run, status=status).outcome(parameters)


@torch.no_grad()
def _left_to_em(task: Task[GradientOptions], parameters: Parameters) -> float:
    """Nats that a step of EM gains from here: none at a maximum, however steep it is around."""
    family, observations = task.model.family, task.observations
    here = theta_of(family, parameters, observations)
    statistics = reduce(observations, here)
    floor, fixed = torch.zeros_like(observations.scale), task.model.fixed
    there = maximise(observations, here, statistics, floor, fixed=fixed)
    return float(reduce(observations, there).log_norm - statistics.log_norm)


def _allowed(task: Task[GradientOptions], run: Run[Ascent]) -> float:
    """Nats that may be left: of minibatches, what they cost on average, some times over."""
    size = batch_size(task.observations, task.options.batch_size)
    if size is None or run.history[-1] <= run.history[0]:  # or it has not moved at all
        return STEEP
    model, d = task.model, task.observations.d
    cost = model.family.n_parameters(model.n_components, d) / (2 * BLOCK * size)
    return STEEP + UNLIKELY * cost * task.observations.total_weight


class MixtureModule(nn.Module):
    """A mixture as a layer: `forward(x)` is the log density, differentiable in x and parameters.

    Attributes:
        logits: weights before the softmax, shape (k,).
        means: shape (k, d).
        factor: covariance factors with logarithms on the diagonal, shape (k|1, *event).

    Example:
        >>> mixture = GaussianMixture([0.5, 0.5], [[-2.0], [2.0]], [[[0.25]], [[0.25]]])
        >>> module = MixtureModule(mixture)
        >>> loss = -module(torch.tensor([[-1.9], [2.2]], dtype=torch.float64)).mean()
        >>> loss.backward()
        >>> tuple(module.means.grad.shape)
        (2, 1)
    """

    def __init__(self, mixture: GaussianMixture) -> None:
        """Start from a mixture, in its dtype and on its device.

        Args:
            mixture: the first values of the parameters.

        Raises:
            ValueError: if a weight is zero, since its logit is minus infinity, or there is a
                component of noise.
        """
        check_mixture("mixture", mixture)
        if mixture.noise_component is not None:
            raise ValueError("MixtureModule has Gaussians alone, got a noise_component")
        require_sites(mixture.family, "layers")
        if not (mixture.weights > 0).all():
            raise ValueError(f"weights must be positive, got {mixture.weights.tolist()}")
        super().__init__()
        self.family = mixture.family
        raw = transform_to(self.family.factor_support).inv(mixture.parameters.factor[0])
        self.logits = nn.Parameter(mixture.weights.log().clone())
        self.means = nn.Parameter(mixture.means.clone())
        self.factor = nn.Parameter(raw.to(mixture.means).clone())

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Log density of each point in nats, shape (n,).

        Raises:
            ValueError: if x does not have shape (n, d).
        """
        d = self.means.shape[1]
        if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[1] != d:
            got = tuple(x.shape) if isinstance(x, Tensor) else shown(x)
            raise ValueError(f"x must be a tensor of shape (n, {d}), got {got}")
        dense_tensor(x, "x")
        parameters = self._at_present()
        natural = self.family.natural(parameters, self.means[None])
        z = self.family.whiten(parameters.factor[0], x - self.means[:, None])
        distance = z.square().sum(-1)
        return (natural.constant[0][:, None] - 0.5 * distance).logsumexp(0)

    def mixture(self) -> GaussianMixture:
        """The mixture at the present values."""
        parameters = self._at_present()
        in_double = replace(parameters, factor=parameters.factor.double())
        return GaussianMixture.from_parameters(self.family, in_double, dtype=self.means.dtype)

    def _at_present(self) -> Parameters:
        factor = transform_to(self.family.factor_support)(self.factor)
        return Parameters(self.logits.log_softmax(-1)[None], self.means[None], factor[None])
