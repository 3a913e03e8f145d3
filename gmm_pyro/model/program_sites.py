"""The sites of a prior program, from which a mixture's follow: their density, and their draws."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from ..covariance import CovarianceFamily
from .program_runs import Call, Evaluated, Structure, evaluated
from .program_values import likely_values
from .sites import Sites


class ProgramSites(Sites):
    """The sites of a prior program, from which the mixture's follow.

    Values of them have the mixture's among them, where these are not sites themselves.
    """

    def __init__(self, call: Call, structure: Structure, family: CovarianceFamily) -> None:
        super().__init__(structure.sites)  # type: ignore[arg-type]
        self.call, self.structure, self.family = call, structure, family

    def _at(self, values: Mapping[str, Tensor]) -> Evaluated:
        own = {name: values[name] for name in self}
        return evaluated(self.call, own, at_once=self.structure.at_once)

    def log_prob(self, name: str, values: Mapping[str, Tensor]) -> Float[Tensor, "s"]:
        """See `Sites`."""
        return self._at(values)[1][name]

    def log_probs(self, values: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "s"]]:
        """See `Sites`; with a term for whatever the program observes."""
        return self._at(values)[1]

    def evaluated(self, values: dict[str, Tensor]) -> tuple[dict[str, Tensor], Float[Tensor, "s"]]:
        """See `Sites`."""
        returned, log_probs = self._at(values)
        total: Tensor = sum(log_probs.values())  # type: ignore[assignment]
        return self._joined(returned, values), total

    def completed(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `Sites`."""
        return self._joined(self._at(values)[0], values)

    def _joined(
        self, returned: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The mixture's sites first."""
        return {**returned, **{name: values[name] for name in self}}

    def values_of(self, mixture: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Sites`; of many values that make about the same mixture, likely ones."""
        return self.completed(likely_values(self.call, self.structure, mixture))

    def component_axis(self, name: str, family: CovarianceFamily) -> int | None:
        """See `Sites`."""
        if name in self.call.shapes:
            return super().component_axis(name, family)
        return None if self.structure.axes is None else self.structure.axes[name]

    @property
    def renumbers(self) -> bool:
        """See `Sites`."""
        return self.structure.renumbers

    @property
    def are_a_mixtures(self) -> bool:
        """See `Sites`."""
        return self.keys() == self.call.shapes.keys() and self.renumbers

    @property
    def vectorises(self) -> bool:
        """See `Sites`."""
        return False

    @property
    def nesting(self) -> int:
        """See `Sites`."""
        return self.structure.nesting

    @property
    def lengths(self) -> Float[Tensor, "m"]:
        """See `Sites`."""
        return self.structure.spread

    @property
    def others(self) -> dict[str, int | None]:
        """See `Sites`."""
        names = [name for name in self if name not in self.call.shapes]
        return {name: self.component_axis(name, self.family) for name in names}

    def draw(self, n_draws: int, seed: int) -> dict[str, Tensor]:
        """See `Sites`.

        Raises:
            NotImplementedError: if the program observes something, or a site cannot be drawn from.
        """
        from .replaying import drawn

        if self.structure.is_given:
            raise NotImplementedError("a prior program that observes something has other draws")
        values = drawn(self.call, n_draws, seed)
        return self.completed({name: values[name].to(self.call.like) for name in self})

    def sampled(
        self, prefix: str = "", held: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """See `Sites`: what is no site of the program itself is a deterministic one."""
        import pyro

        from .replaying import Prefixed

        with Prefixed(prefix):
            values = self.call()
            for name, value in values.items():
                if self.structure.sources.get(name) != name:
                    values[name] = pyro.deterministic(name, value, event_dim=value.ndim)
        return values
