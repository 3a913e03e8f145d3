"""A prior that is a Pyro program of one's own."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from ..covariance import CovarianceFamily
from ..data.checks import shown
from .priors import Prior, Priors
from .program_runs import Call, Structure
from .program_sites import ProgramSites
from .sites import Sites

OFFERED = ("n_components", "n_features", "location", "spread")


@dataclass(frozen=True, eq=False, repr=False)
class PriorProgram(Prior):
    """A Pyro program that samples what it likes and returns values of the mixture's sites.

    `MixtureModel(k, priors=program)` makes one of a function. The program may have hyperpriors,
    scales that components share, offsets that are standardised, plates, factors: its log
    probability is the log prior density, over all sites that it samples. What it returns is a
    dictionary with `weights` (k,), `means` (k, d), `scales` and `correlations`, as the covariance
    family has them, or values that broadcast to these; what it leaves out takes the default prior.
    A site of one of these names must be what is returned under it.

    A program takes no arguments, or some of these, by name: `n_components`, `n_features`, and
    `location` and `spread` of the data, shape (d,) each, as the default priors use them. Other
    numbers in it are in the units that the user has chosen.

    Sites must be continuous, the same in every run, and have supports that do not depend on other
    sites. `pyro.param` is refused: a fit learns no parameters of a prior.

    Attributes:
        program: the function.
        location: centre of the data, shape (d,); from the data if None.
        spread: of the data, shape (d,); from the data if None.
        feature_names: as in `Priors`.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def program():
        ...     spread = pyro.sample("spread_of_means", dist.HalfNormal(5.0))
        ...     with pyro.plate("components", 2):
        ...         means = pyro.sample("means", dist.Normal(0.0, spread).expand([1]).to_event(1))
        ...     return {"means": means}
        >>> prior = PriorProgram(program).scaled_to([0.0, 1.0, 5.0])
        >>> from gmm_pyro import MixtureModel
        >>> list(MixtureModel(2, priors=prior).sites())
        ['spread_of_means', 'means', 'weights', 'scales']
    """

    CENTRE = "location"

    program: Callable[..., Mapping[str, Tensor]]
    location: Float[Tensor, "d"] | None = None
    spread: Float[Tensor, "d"] | None = None
    feature_names: tuple[str, ...] | None = None
    _found: dict[Any, Structure] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.program) or isinstance(self.program, type | Distribution):
            raise ValueError(  # noqa: TRY004 - as for the other arguments
                f"program must be a function with Pyro's sites, got {shown(self.program)}"
            )
        self._asked()
        self._check_units()

    @property
    def kind(self) -> str:
        """See `Prior`: with the program's name."""
        return repr(self)

    @property
    def name(self) -> str:
        """What the program is called."""
        return str(getattr(self.program, "__qualname__", type(self.program).__name__))

    def __repr__(self) -> str:
        return f"PriorProgram({self.name})"

    def _asked(self) -> list[str]:
        """Which of the arguments that are offered it takes.

        Raises:
            ValueError: if it needs others.
        """
        found = []
        try:
            known = inspect.signature(self.program).parameters
        except (TypeError, ValueError) as error:
            raise ValueError(f"program must say its arguments, got {self.name}") from error
        for name, parameter in known.items():
            several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if name in OFFERED and not several and parameter.kind != parameter.POSITIONAL_ONLY:
                found.append(name)
            elif parameter.default is parameter.empty and not several:
                raise ValueError(
                    f"a prior program takes no arguments but {', '.join(OFFERED)}, by name; "
                    f"{self.name} takes {name!r}"
                )
        return found

    def features_known(self, n_components: int) -> int | None:
        """See `Prior`: those of the means that it returns, unless it asks for their number."""
        from .replaying import noted

        for unit in (self.location, self.spread):
            if unit is not None:
                return len(unit)
        if set(self._asked()) - {"n_components"}:
            return None
        arguments = {name: n_components for name in self._asked()}
        returned, _ = noted(lambda: dict(self.program(**arguments)), 0, torch.zeros(()))
        means = returned.get("means")
        return None if means is None or means.ndim == 0 else means.shape[-1]

    def covariance_sites(self, family: CovarianceFamily, factor: Tensor) -> dict[str, Tensor]:
        """See `Prior`."""
        return family.sites(factor)

    def sites(
        self, family: CovarianceFamily, n_components: int, like: Float[Tensor, "*"] | None = None
    ) -> Sites:
        """See `Prior`: what the program samples, found by running it a few times.

        Raises:
            ValueError: if it does not return what it must, or has sites that it must not have.
        """
        from .program_structure import structure_of

        like = torch.empty(0, dtype=torch.float64) if like is None else like
        call = self._call(family, n_components, like[:0])
        kind = family.name, n_components, like.dtype, like.device
        if kind not in self._found:
            self._found[kind] = structure_of(call, family)
        return ProgramSites(call, self._found[kind], family)

    def _call(self, family: CovarianceFamily, k: int, like: Tensor) -> Call:
        spread = self._known_spread()
        d = len(spread)
        assert self.location is not None
        location, spread = self.location.to(like), spread.to(like)
        known = {"n_components": k, "n_features": d, "location": location, "spread": spread}
        shapes = {"weights": (k,), "means": (k, d), **family.site_shapes(k, d)}
        defaults = Priors(location=location, spread=spread).sites(family, k, like)
        arguments = {name: known[name] for name in self._asked()}
        return Call(self.program, arguments, shapes, defaults, spread, like)

    def __copy__(self) -> Self:
        return replace(self)  # which takes no pickle

    def __deepcopy__(self, memo: Any) -> Self:
        return replace(self)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: the program by its name.

        Raises:
            PicklingError: if it is found under none.
        """
        try:
            pickle.dumps(self.program)
        except Exception as error:
            raise pickle.PicklingError(
                f"the prior program {self.name} cannot be pickled: define it at the top of a "
                "module, or save the fit by gmm_pyro.saved_fit.save_fit, which leaves it out"
            ) from error
        return {**vars(self), "_found": {}}
