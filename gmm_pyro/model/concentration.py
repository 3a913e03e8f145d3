"""Kinds of concentrations, which say how even weights are and how many components are filled.

Weights are Dirichlet, or broken off a stick. The concentration is a number, or has a prior of its
own. With a known number of components a small one empties those that are not needed (a sparse
finite mixture); with an unknown number all of them make mixtures of finite mixtures.

Source: Malsiner-Walli, Frühwirth-Schnatter & Grün (2016); Richardson & Green (1997) and Miller &
Harrison (2018) for static ones; McCullagh & Yang (2008) and Frühwirth-Schnatter, Malsiner-Walli &
Grün (2021) for dynamic ones; Sethuraman (1994) and Ishwaran & James (2001) for sticks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution, FisherSnedecor, Gamma

from ..data.checks import check_number, shown


@dataclass(frozen=True, eq=False)
class Concentration:
    """A positive number that weights are concentrated by, known or with a prior of its own.

    Attributes:
        value: the number, or a distribution over positive ones.

    Raises:
        ValueError: if it is neither.
    """

    value: Any

    def __post_init__(self) -> None:
        if not isinstance(self.value, Distribution):
            number = check_number("value of a concentration", self.value, positive=True)
            object.__setattr__(self, "value", number)
            return
        given: Any = self.value
        support = given.support
        positive = not (support.is_discrete or bool(support.check(torch.tensor(-1.0))))
        if given.batch_shape or given.event_shape or not positive:
            raise ValueError(
                "the prior of a concentration must be a distribution of one positive number (as a "
                f"Gamma), got {shown(given)}"
            )

    @property
    def is_random(self) -> bool:
        """Whether it has a prior."""
        return isinstance(self.value, Distribution)

    @property
    def typical(self) -> float:
        """The number, or the median of some draws from its prior."""
        if not self.is_random:
            return float(self.value)
        return float(self.draw(101, torch.Generator().manual_seed(0)).median())

    def log_prior(self, value: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """Log prior density of values in nats; 0 where it is known."""
        if not self.is_random:
            return torch.zeros_like(value)
        return self.value.log_prob(value).to(value)

    def draw(self, count: int, generator: torch.Generator) -> Float[Tensor, "s"]:
        """Draws from the prior in float64, which are all the same where it is known."""
        if not self.is_random:
            return torch.full((count,), self.value, dtype=torch.float64, device=generator.device)
        with torch.random.fork_rng(devices=[]):  # distributions take torch's own generator
            seed = torch.randint(2**31, (), generator=generator, device=generator.device)
            torch.default_generator.manual_seed(int(seed))
            drawn: Tensor = self.value.sample((count,))
        return drawn.double().to(generator.device)

    def of_each(
        self, value: Float[Tensor, "*s"], k: Int[Tensor, "*s"] | int
    ) -> Float[Tensor, "*s"]:
        """The concentration of each of k components: here the same for every k."""
        return value + 0 * torch.as_tensor(k, device=value.device)


@dataclass(frozen=True, eq=False)
class Static(Concentration):
    """Weights ~ Dirichlet(e, …, e), whatever the number of components.

    Attributes:
        value: e, or a distribution over it. Below a half of the numbers that a component takes
            (d + 1 of its mean and scale, say) surplus components are emptied.

    Example:
        >>> Static(0.5).of_each(torch.tensor(0.5), 4).item()
        0.5
    """


@dataclass(frozen=True, eq=False)
class Dynamic(Concentration):
    """Weights ~ Dirichlet(α/k, …, α/k): the more components, the emptier each.

    With ever more of them it comes to a Dirichlet process of concentration α.

    Attributes:
        value: α, or a distribution over it; F(6, 3) if it is not given.

    Example:
        >>> Dynamic(2.0).of_each(torch.tensor(2.0), 4).item()
        0.5
    """

    value: Any = FisherSnedecor(6.0, 3.0, validate_args=False)  # noqa: RUF009 - never changes

    def of_each(
        self, value: Float[Tensor, "*s"], k: Int[Tensor, "*s"] | int
    ) -> Float[Tensor, "*s"]:
        """See `Concentration`."""
        return value / torch.as_tensor(k, device=value.device)


@dataclass(frozen=True, eq=False)
class DirichletProcess(Concentration):
    """Weights that are broken off a stick: each takes a share Beta(1, α) of what is left.

    The number of components of the model is where the stick ends: the last one takes the rest.

    Attributes:
        value: α, or a distribution over it; Gamma(2, 4) (Escobar & West 1995) if it is not given.

    Example:
        >>> DirichletProcess(1.0).is_random
        False
    """

    value: Any = Gamma(2.0, 4.0, validate_args=False)  # noqa: RUF009 - never changes


def as_concentration(value: Any) -> Any:
    """What was given for a concentration: a distribution is that of a static one.

    Numbers, one or one a component, stay as they are.
    """
    return Static(value) if isinstance(value, Distribution) else value
