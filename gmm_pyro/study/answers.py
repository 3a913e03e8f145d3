"""What methods give, checked: a fit, a mixture or labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ..comparison.columns import heart
from ..comparison.run import status_of
from ..data.arrays import array_of, classes
from ..data.observations import observe
from ..datasets import Dataset
from ..inference.diagnosis import diagnose
from ..inference.em import EMOptions
from ..inference.fit import Fit
from ..inference.soundness import Soundness
from ..inference.task import Task
from ..inference.warned import complaints
from ..mixture.value import GaussianMixture
from ..model.program import MixtureModel

DONE = "done"  # the status of a method that does not say how it ended
UNSOUND = "degenerate"  # a status whose likelihood no other is held against


class WrongOutput(ValueError):
    """What a method returned is no answer."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says about n points.

    Attributes:
        labels: the cluster of each point, shape (n,).
        mixture: the density, or None.
        probabilities: of the clusters of each point, shape (n, k), or None.
        fit: how the mixture was found, or None where it is not ours.
        steps: number of steps, or None.
        status: how it ended, in a word or two.
        reason: what there is to say about that.
    """

    labels: Shaped[np.ndarray, "n"]
    mixture: GaussianMixture | None = None
    probabilities: Float[Tensor, "n k"] | None = None
    fit: Fit | None = None
    steps: int | None = None
    status: str = DONE
    reason: str = ""


def answer_of(value: Any, data: Dataset) -> Answer:
    """The answer that a function's value is.

    Raises:
        WrongOutput: if it is none, with the reason.
    """
    if isinstance(value, Fit):
        return of_fit(value, data)
    if isinstance(value, GaussianMixture):
        return of_mixture(value, data)
    return Answer(labels_of(value, data))


def of_fit(fit: Fit, data: Dataset) -> Answer:
    """A fit as an answer: draws have probabilities averaged over them.

    Raises:
        WrongOutput: if it is of other data.
    """
    _check(fit.mixture, data)
    if fit.observations.n != data.n:
        raise WrongOutput(f"a fit to {fit.observations.n} points, where the data have {data.n}")
    return Answer(
        fit.labels.cpu().numpy(),
        fit.mixture,
        _probabilities(fit),
        fit,
        fit.steps,
        heart(status_of(fit)),
        "; ".join(complaints(fit)),
    )


def _probabilities(fit: Fit) -> Float[Tensor, "n k"]:
    if fit.posterior is None:
        return fit.mixture.responsibilities(fit.observations.unlabelled)
    return fit.posterior.assignments().probabilities


def of_mixture(mixture: GaussianMixture, data: Dataset) -> Answer:
    """A mixture as an answer: points are of the most probable component.

    Raises:
        WrongOutput: if it is not of the features of the data, or not finite.
    """
    _check(mixture, data)
    responsibilities = mixture.responsibilities(data.points)
    labels, spikes = mixture.predict(data.points).cpu().numpy(), spikes_of(mixture, data)
    status = UNSOUND if spikes else DONE
    return Answer(labels, mixture, responsibilities, status=status, reason="; ".join(spikes))


def spikes_of(mixture: GaussianMixture, data: Dataset) -> tuple[str, ...]:
    """What makes a likelihood higher than it deserves, by the rule that `em` has for itself.

    Components without points are none of that, and mixtures with noise are not judged.
    """
    if mixture.noise_component is not None:
        return ()
    weight = data.sample_weight
    observations = observe(data.points, sample_weight=weight, constant_columns=True)
    k, family = mixture.n_components, mixture.family
    task = Task("em", MixtureModel(k, family.name), observations, EMOptions())
    rule = Soundness.for_task(task)
    found = diagnose(observations, family, mixture.parameters, task.floor, range(k), rule)
    return tuple(f"degenerate: {problem}" for problem in found.problems)


def _check(mixture: GaussianMixture, data: Dataset) -> None:
    if mixture.n_features != data.d:
        raise WrongOutput(f"a mixture of {mixture.n_features} features, where data have {data.d}")
    parts = (mixture.weights, mixture.means, mixture.covariance_matrices())
    if not all(bool(torch.isfinite(part).all()) for part in parts):
        raise WrongOutput("a mixture with NaN or infinity among its parameters")


def labels_of(value: Any, data: Dataset) -> Shaped[np.ndarray, "n"]:
    """The cluster of each point, as whole numbers or words.

    Raises:
        WrongOutput: if there is not one for each point.
    """
    try:
        found = classes(array_of(value, "labels"), "labels", data.n)
    except (TypeError, ValueError) as error:
        raise WrongOutput(" ".join(str(error).split())) from error
    if found.dtype.kind == "f":
        if (found % 1 != 0).any():
            raise WrongOutput("labels must be whole numbers or words, got fractions or infinity")
        found = found.astype(np.int64)
    return found
