"""What a selection is asked for: which numbers of components, families and models, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch

from ..covariance import FAMILIES, CovarianceFamily, family_named
from ..data.allowed import Allowed
from ..data.arrays import array_of, whole_numbers
from ..data.checks import check_count, check_mapping, shown
from ..data.points import Observations
from ..data.tables import to_numeric
from ..inference.fixing import holding_all
from ..inference.methods import METHODS, Choice
from ..mixture.noise_component import NoiseComponent
from ..mixture.noise_kinds import as_noise_component
from ..model.declaration import require_sites
from ..model.program import MixtureModel
from .criteria import CRITERIA, Criterion

OWN = {  # options of em that only its own search has
    "start": "every model has starts of its own",
    "search": "all models are searched together, by splits and mergers; fit has it",
    "acceleration": "all models take steps together; fit has it",
}
MOST = 10**6  # times that all models are fitted
BY_COMPONENT = ("weights", "means", "covariances")  # whose first axis is that of components


@dataclass(frozen=True, eq=False)
class Plan:
    """The models that are fitted, to the data or to others like them.

    Attributes:
        numbers: of components, in order.
        families: the more constrained before those that hold them.
        choice: the method and its options.
        noise_component: what points are that belong to none of the components, if any.
        fixed: what is held of the first components, if anything is.
        priors: of every model, as `MixtureModel` has them; the method's own, if None.
    """

    numbers: list[int]
    families: list[CovarianceFamily]
    choice: Choice
    noise_component: NoiseComponent | None = None
    fixed: Mapping[str, Any] | None = None
    priors: Any = None

    def __post_init__(self) -> None:
        if self.fixed is not None:
            check_mapping("fixed", self.fixed, "values by name")
        if self.priors is not None and self.choice.method.priors is None:
            having = ", ".join(name for name, row in METHODS.items() if row.priors is not None)
            raise ValueError(
                f"priors are for methods that have some, {having}; {self.choice.name} has none"
            )

    def by_ladder(self, observations: Observations) -> bool:
        """Whether all sizes of a family are found together, rather than model by model."""
        plain = self.noise_component is None and not self.fixed and observations.allowed is None
        return self.choice.name == "em" and plain

    def model(self, k: int, family: CovarianceFamily, observations: Observations) -> MixtureModel:
        """The model of so many components.

        Raises:
            ValueError: if what is fixed does not fit it.
        """
        model = MixtureModel(k, family.name, self.priors, noise_component=self.noise_component)
        if not self.fixed:
            return model
        held = {
            name: _padded(name, value, k, family, observations)
            for name, value in self.fixed.items()
        }
        return holding_all(model, {}, held, observations)

    def check(
        self, options: Mapping[str, Any], observations: Observations, criterion: Criterion
    ) -> None:
        """Refuse options that do nothing here, and what fits no model.

        Raises:
            ValueError: if there is one.
        """
        if self.by_ladder(observations):
            for name in options:
                if name in OWN:
                    raise ValueError(f"select takes no {name} for em: {OWN[name]}")
        elif not isinstance(options.get("start", ""), str):
            raise ValueError("select takes no start but a name: numbers of components differ")
        if not criterion.alone and self.numbers == [1] and self.noise_component is None:
            raise ValueError(f"{criterion.column} is of two components or more: k must have some")
        self._check_models(observations)

    def _check_models(self, observations: Observations) -> None:
        """Refuse families that the method does not take, and what is fixed if it fits no model."""
        for family in self.families:
            if not self.choice.method.by_m_steps:
                require_sites(family, f"fits by {self.choice.name}")
            for k in self.numbers:
                if k <= observations.n_weighted:
                    self.model(k, family, observations)


def numbers_of(k: Any) -> list[int]:
    """Numbers of components, in order."""
    wanted = "numbers of components, as range(1, 10)"
    if isinstance(k, Integral):
        k = [k]
    elif isinstance(k, Iterable) and not isinstance(k, str | Mapping) and not hasattr(k, "shape"):
        k = list(k)  # a set, or a generator
    if isinstance(k, list) and any(isinstance(number, bool) for number in k):
        raise ValueError(f"k must be {wanted}, got {shown(k)}")
    given = whole_numbers(k, "k", wanted)
    return sorted({check_count("k", number) for number in given.tolist()})


def families_of(given: Any, d: int, *, every: bool) -> list[CovarianceFamily]:
    """The families, the more constrained before those that hold them.

    All of one feature are two: of one variance, or of several.
    """
    names = _names_of(given)
    if names == ["all"]:
        known = ["tied", "full"] if d == 1 else list(FAMILIES)
        found = [FAMILIES[name] for name in known if every or FAMILIES[name].has_sites]
    else:
        found = list(dict.fromkeys(family_named(name) for name in names))
    return sorted(found, key=lambda family: family.n_parameters(3, max(d, 2)))


def _names_of(given: Any) -> list[Any]:
    """What is given for families, as a list.

    Raises:
        ValueError: if it is neither one nor several, or there are none.
    """
    given = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(given, str | Sequence):
        message = f"covariance must be a family or several, got {shown(given)}"
        raise ValueError(message)  # noqa: TRY004 - as for other wrong words
    if not len(given):
        raise ValueError("covariance must be 'all', or at least one family, got none")
    return [given] if isinstance(given, str) else list(given)


def noise_of(given: Any, observations: Observations) -> NoiseComponent | None:
    """The component of noise, with what it takes from the data; None if there is none."""
    noise = as_noise_component(given)
    return None if noise is None else noise.scaled_to(observations)


def as_written(**given: Any) -> dict[str, str]:
    """Arguments of `select` as a call has them, but for defaults; what is long is dots."""
    told = {name: value for name, value in given.items() if value is not None}
    if told.get("missing") == "integrate":
        del told["missing"]
    return {name: _short(value) for name, value in told.items()}


def _short(value: Any) -> str:
    if isinstance(value, torch.dtype):
        return repr(str(value).removeprefix("torch."))
    return repr(value) if isinstance(value, str | Integral) else "..."


def check_needs(criterion: str, method: str) -> None:
    """Refuse a criterion that needs what the method has not.

    Raises:
        ValueError: if it does.
    """
    needs, row = CRITERIA[criterion].needs, METHODS[method]
    lacks = (criterion == "elpd" and not row.draws) or (
        criterion == "evidence" and method not in ("laplace", "gibbs", "nuts")
    )
    if lacks:
        raise ValueError(f"criterion {criterion!r} needs {needs}; {method} has none")
    if criterion == "stability" and not row.weights:
        raise ValueError(
            f"criterion 'stability' fits points with random weights, and {method} takes no weights"
        )


def times_of(criterion: Criterion, n_points: int, **given: int | None) -> int:
    """How many times all models are fitted for a criterion, beside the fits to the data.

    Args:
        criterion: the criterion.
        n_points: number of points, of which there cannot be more parts.
        **given: the numbers that were asked for, by name.

    Raises:
        ValueError: if one is of another criterion, or is too small or too large.
    """
    owners = {kind.refits: name for name, kind in CRITERIA.items() if kind.refits}
    for name, value in given.items():
        if value is not None and name != criterion.refits:
            raise ValueError(f"{name} is of criterion={owners[name]!r}, not {criterion.column!r}")
    most = n_points if criterion.of_parts else MOST
    asked = given.get(criterion.refits)
    if asked is None:
        asked = min(criterion.times, max(most, criterion.fewest))
    found = check_count(criterion.refits, asked, criterion.fewest) if criterion.refits else 0
    if found > most:
        raise ValueError(f"{criterion.refits} must be at most {most}, got {found}")
    return found


# ---------------------------------------------------------------------- labels


def labelled(observations: Observations, labels: Any, numbers: list[int]) -> Observations:
    """Observations with labels of as many components as there are at most.

    Raises:
        ValueError: if the labels do not fit every number of components.
    """
    if labels is None:
        if observations.allowed is not None:
            raise ValueError("labels of x are of one number of components: give them by labels=")
        return observations
    if array_of(labels, "labels").ndim == 2 and len(numbers) > 1:
        raise ValueError(
            "labels of shape (n, k) are of one number of components, and k has several: give "
            "numbers of components, shape (n,)"
        )
    most = min(numbers[-1], observations.n)  # more are too many for the points
    found = observations.labelled(labels, most)
    if found.allowed is not None:
        table = found.allowed.table
        named = table[~table[:, : numbers[0]].any(1)]  # of no component of the fewest
        if len(named):
            last = int(named.long().argmax(1).max())
            raise ValueError(
                f"labels name component {last}, so that k must be {last + 1} or more, got "
                f"{numbers[0]}"
            )
    return found


def of_number(observations: Observations, k: int) -> Observations:
    """Observations with the labels of so many components."""
    allowed = observations.allowed
    if allowed is None or allowed.n_components == k:
        return observations
    table = allowed.table[:, :k]
    return replace(observations, allowed=None if table.all() else Allowed(allowed.kind, table))


# ---------------------------------------------------------------------- what is held


def _padded(
    name: str, value: Any, k: int, family: CovarianceFamily, observations: Observations
) -> Any:
    """What is held of the first components, with the others free."""
    shared = name == "covariances" and family.shares("covariances")
    if value is None or name not in BY_COMPONENT or shared:
        return value
    array = _array(name, value, observations)
    if array.ndim == 0 or len(array) == k or array.dtype.kind not in "fiub":
        return array
    if len(array) > k:
        raise ValueError(
            f"fixed {name} are of {len(array)} components, so that k must be at least as many, "
            f"got {k}"
        )
    free = np.full((k - len(array), *array.shape[1:]), np.nan)
    return np.concatenate([array.astype(float), free])


def _array(name: str, value: Any, observations: Observations) -> np.ndarray:
    """What is held as an array; a frame's columns go by the features' names."""
    if name == "means" and hasattr(value, "columns"):
        value = to_numeric(value, "fixed means", observations.feature_names)[0]
    if isinstance(value, np.ma.MaskedArray):
        return np.ma.filled(value.astype(float), np.nan)
    return array_of(value, f"fixed {name}")
