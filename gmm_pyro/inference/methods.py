"""The methods by name, and what each can do: a new method is one file and one row here.

Whoever needs to know whether a method has draws, takes weights, and so on asks its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ..data.checks import check_choice, meant, shown
from ..data.partitioned import Partitioned, refuse_partitioned
from ..data.points import Observations
from ..model.conjugate import ConjugatePriors
from ..model.priors import Priors
from ..model.program import MixtureModel
from ..running.on_ranks import OnRanks
from .chains.sweeping import GibbsOptions
from .chains.walk import NUTSOptions
from .em import EMOptions, fit_em
from .gibbs import fit_gibbs
from .gradient import GradientOptions, fit_gradient
from .kept import Place
from .kmeans import KMeansOptions, fit_kmeans
from .laplace import LaplaceOptions, fit_laplace
from .map import MAPOptions, fit_map
from .nuts import fit_nuts
from .svi import SVIOptions, fit_svi
from .task import Options, Outcome, Task
from .through_pyro.map import EnumeratedMAPOptions, fit_enumerated_map
from .through_pyro.nuts import EnumeratedNUTSOptions, fit_enumerated_nuts
from .through_pyro.svi import EnumeratedSVIOptions, fit_enumerated_svi
from .vb import VBOptions, fit_vb

ENGINES = ("collapsed", "enumerated")  # what `engine` may be of a method that goes through Pyro too


@dataclass(frozen=True)
class Method:
    """One row of `METHODS`.

    Attributes:
        run: how the method runs.
        options: what it can be told.
        priors: the default priors, for methods that have priors.
        draws: whether it has a posterior.
        exact: whether its draws are of the posterior itself, once its chains have mixed.
        weights: whether it takes sample weights.
        minibatches: whether it can take a part of the points at a step.
        floored: whether no covariance falls below the floor, rather than at its start only.
        own_labels: whether its labels may be others than the mixture's most probable components.
        likeliest: whether it maximises the likelihood, so that a solution may be unsound.
        through_pyro: whether it is another method by Pyro's own inference, which takes longer.
        by_m_steps: whether covariances come from M-steps alone, so that it takes every family.
        sizes: whether it draws the number of components, where that is unknown.
        by_sums: whether sums over points are all that it asks for, so that they may be elsewhere.
        steps_of: whose its steps are, where they are not ours, so that no checkpoint can keep them.
    """

    run: Callable[[Task[Any]], Outcome]
    options: type[Options]
    priors: Callable[[], Priors | ConjugatePriors] | None = None
    draws: bool = False
    exact: bool = False
    weights: bool = True
    minibatches: bool = False
    floored: bool = False
    own_labels: bool = False
    likeliest: bool = False
    through_pyro: bool = False
    by_m_steps: bool = False
    sizes: bool = False
    by_sums: bool = True
    steps_of: str = ""

    @property
    def conjugate(self) -> bool:
        """Whether it needs a conjugate prior."""
        return self.priors is ConjugatePriors

    @property
    def in_partitions(self) -> bool:
        """Whether it takes data in partitions, wherever these are."""
        return self.by_sums and not self.through_pyro


METHODS: dict[str, Method] = {
    "kmeans": Method(
        *(fit_kmeans, KMeansOptions),
        floored=True,
        own_labels=True,
        by_m_steps=True,
        steps_of="scikit-learn",
        by_sums=False,
    ),
    "em": Method(fit_em, EMOptions, floored=True, likeliest=True, by_m_steps=True),
    "gradient": Method(fit_gradient, GradientOptions, minibatches=True, likeliest=True),
    "map": Method(fit_map, MAPOptions, Priors),
    "laplace": Method(fit_laplace, LaplaceOptions, Priors, draws=True),
    "svi": Method(fit_svi, SVIOptions, Priors, draws=True, minibatches=True),
    "vb": Method(fit_vb, VBOptions, ConjugatePriors, draws=True, minibatches=True),
    "nuts": Method(fit_nuts, NUTSOptions, Priors, draws=True, exact=True),
    "gibbs": Method(
        *(fit_gibbs, GibbsOptions, ConjugatePriors),
        draws=True,
        exact=True,
        weights=False,
        sizes=True,
    ),
    "map:enumerated": Method(
        *(fit_enumerated_map, EnumeratedMAPOptions, Priors),
        through_pyro=True,
        steps_of="Pyro",
        by_sums=False,
    ),
    "svi:enumerated": Method(
        *(fit_enumerated_svi, EnumeratedSVIOptions, Priors),
        draws=True,
        minibatches=True,
        through_pyro=True,
        steps_of="Pyro",
    ),
    "nuts:enumerated": Method(
        *(fit_enumerated_nuts, EnumeratedNUTSOptions, Priors),
        draws=True,
        exact=True,
        through_pyro=True,
        steps_of="Pyro",
    ),
}


class OptionError(TypeError, ValueError):
    """An option that a method does not have."""


@dataclass(frozen=True)
class Choice:
    """A method by its name, the options that it is to run with, and where it is kept, if it is."""

    name: str
    method: Method
    options: Options
    place: Place | None = None

    def kept_in(self, place: Place | None) -> Choice:
        """The same, kept in a place.

        Raises:
            ValueError: if the method's steps are another library's.
        """
        whose = self.method.steps_of
        if place is not None and whose:
            raise ValueError(
                f"{self.name} takes no checkpoint: its steps are those of {whose}, which does not "
                "go on in the middle"
            )
        return replace(self, place=place)

    def refuse_unfit(self, model: MixtureModel) -> None:
        """Refuse a model that the method cannot fit, whatever the data are.

        Raises:
            ValueError: if parameters are held, or the number of components is unknown.
        """
        if model.fixed is not None and self.method.through_pyro:
            raise ValueError(f"{self.name} holds no parameters: {self.name.split(':')[0]} does")
        if model.unknown is not None and not self.method.sizes:
            able = " or ".join(name for name, row in METHODS.items() if row.sizes)
            raise ValueError(
                f"{self.name} needs a known number of components, as MixtureModel(3): {able} fits "
                "an unknown one"
            )

    def refuse_away(self, observations: Observations) -> None:
        """Refuse data in partitions to what needs every point here.

        Raises:
            ValueError: if the method does, or an option; or if there is a checkpoint, of ranks that
                would go on from different steps.
        """
        if not isinstance(observations, Partitioned):
            return
        if self.place is not None and isinstance(observations.places, OnRanks):
            raise ValueError(
                "checkpoint is for fits by one process, and these data are on several ranks, which "
                "would go on from different steps"
            )
        if not self.method.in_partitions:
            able = ", ".join(name for name, row in METHODS.items() if row.in_partitions)
            raise ValueError(
                f"{self.name} needs all points in memory, and these are in partitions, "
                f"which {able} take"
            )
        if getattr(self.options, "keep_allocations", 0):
            refuse_partitioned(observations, "keep_allocations")


def method_named(name: str) -> Method:
    """The row of `METHODS` of this name.

    Raises:
        ValueError: if there is none, with the nearest name.
    """
    return METHODS[check_choice("method", name, METHODS)]


def in_full(method: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of a method whose engine is among its options, and the other options.

    Example:
        >>> in_full("map", {"engine": "enumerated", "seed": 1})
        ('map:enumerated', {'seed': 1})
    """
    given = dict(options)
    if "engine" in given and f"{method}:{ENGINES[1]}" in METHODS:
        engine = check_choice("engine", given.pop("engine"), ENGINES)
        method = method if engine == ENGINES[0] else f"{method}:{engine}"
    return method, given


def choice(method: str, options: Mapping[str, Any]) -> Choice:
    """A method and its options, from those that are given.

    Raises:
        OptionError: if the method has no such option.
        ValueError: if there is no such method, or a value is not valid.
    """
    name, given = in_full(method, options)
    row = method_named(name)
    known = [field.name for field in fields(row.options)]
    for option in given:
        if option not in known:
            raise OptionError(
                f"method {name!r} has no option {shown(option)}{meant(option, known)} "
                f"(it has {', '.join(known)})"
            )
    return Choice(name, row, row.options(**given))
