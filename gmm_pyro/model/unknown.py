"""A number of components that is not known: its prior, up to the most that there may be.

Source: Frühwirth-Schnatter, Malsiner-Walli & Grün (2021) for the default and for the kinds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from ..data.arrays import finite
from ..data.checks import check_choice, check_count, shown

MOST = 10**4
WORD = re.compile(r"\s*([a-z]+)\s*(?:\(([^()]*)\))?\s*")

Masses = Callable[..., Float[Tensor, "m"]]


@dataclass(frozen=True, eq=False)
class Unknown:
    """A number of components k that is drawn, or summed over, beside all other parameters.

    The prior is renormalised on 1 to `most`; the default leaves .001 beyond 20.

    Attributes:
        prior: of k, in one of these ways:

            - "uniform": all of 1 to `most` alike;
            - "poisson(λ)", "geometric(p)": of k - 1;
            - "bnb(α, a, b)": the beta-negative-binomial of k - 1, a Poisson whose rate is
              Gamma(α, p / (1 - p)) with p ~ Beta(a, b); its mean is α b / (a - 1);
            - a sequence of `most` probabilities, or of numbers in proportion to them;
            - a Pyro distribution over 0, 1, … of k - 1.
        most: the largest k.

    Raises:
        ValueError: if there is no such prior, or it has no mass on 1 to `most`.

    Example:
        >>> [round(p, 3) for p in Unknown("poisson(1)", most=3).probabilities.tolist()]
        [0.4, 0.4, 0.2]
    """

    prior: Any = "bnb(1, 4, 3)"
    most: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "most", check_count("most", self.most, 1, MOST))
        _ = self.log_prior

    @property
    def log_prior(self) -> Float[Tensor, "most"]:
        """Log probabilities of 1, 2, … `most` components, in nats, float64.

        Raises:
            ValueError: if they are none.
        """
        found = self._log_masses(torch.arange(self.most, dtype=torch.float64))
        total = found.logsumexp(0)
        if found.isnan().any() or not math.isfinite(float(total)):
            raise ValueError(
                f"the prior of the number of components must have mass on 1 to {self.most}, got "
                f"{shown(self.prior)}"
            )
        return found - total

    @property
    def probabilities(self) -> Float[Tensor, "most"]:
        """Prior probabilities of 1, 2, … `most` components."""
        return self.log_prior.exp()

    @property
    def typical(self) -> int:
        """The prior mean, rounded."""
        return max(1, round(float(self.probabilities @ torch.arange(1, self.most + 1).double())))

    def _log_masses(self, beyond: Float[Tensor, "most"]) -> Float[Tensor, "most"]:
        """Log probabilities of k - 1, but for a constant."""
        if isinstance(self.prior, str):
            return _named(self.prior)(beyond)
        if isinstance(self.prior, Distribution):
            if self.prior.batch_shape or self.prior.event_shape:
                raise ValueError(f"the prior of k - 1 must be of one number, got {self.prior}")
            return self.prior.log_prob(beyond).double()
        if not isinstance(self.prior, Sequence | Tensor) and not hasattr(self.prior, "__array__"):
            raise ValueError(
                "the prior of the number of components must be a word, probabilities or a "
                f"distribution, got {shown(self.prior)}"
            )
        masses = torch.from_numpy(finite(self.prior, "prior"))
        if masses.shape != beyond.shape or (masses < 0).any():
            raise ValueError(
                f"the prior must have {self.most} probabilities, one for each number of "
                f"components, got {shown(self.prior)}"
            )
        return masses.double().log()


def uniform(beyond: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
    """Log probabilities that are all the same."""
    return torch.zeros_like(beyond)


def poisson(beyond: Float[Tensor, "m"], rate: float) -> Float[Tensor, "m"]:
    """Those of a Poisson distribution."""
    return beyond * math.log(rate) - rate - (beyond + 1).lgamma()


def geometric(beyond: Float[Tensor, "m"], p: float) -> Float[Tensor, "m"]:
    """Those of failures before a success of probability p."""
    return math.log(p) + beyond * math.log1p(-p)


def bnb(beyond: Float[Tensor, "m"], alpha: float, a: float, b: float) -> Float[Tensor, "m"]:
    """Those of the beta-negative-binomial: Γ(α + m) / (Γ(α) m!) · B(α + a, m + b) / B(a, b)."""
    found = (alpha + beyond).lgamma() - math.lgamma(alpha) - (beyond + 1).lgamma()
    found = (
        found + math.lgamma(alpha + a) + (beyond + b).lgamma() - (alpha + a + beyond + b).lgamma()
    )
    return found - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)


WORDS: dict[str, tuple[Masses, tuple[str, ...]]] = {
    "uniform": (uniform, ()),
    "poisson": (poisson, ("λ",)),
    "geometric": (geometric, ("p",)),
    "bnb": (bnb, ("α", "a", "b")),
}


def _named(word: str) -> Callable[[Float[Tensor, "m"]], Float[Tensor, "m"]]:
    """The log probabilities that a word like "poisson(3)" means."""
    found = WORD.fullmatch(word.lower())
    if found is None:
        raise ValueError(f"the prior must be as 'uniform' or 'poisson(1)', got {shown(word)}")
    masses, names = WORDS[check_choice("prior", found[1], WORDS)]
    numbers = _numbers(found[2] or "")
    highest = 1.0 if masses is geometric else math.inf
    if len(numbers) != len(names) or not all(0 < number < highest for number in numbers):
        wanted = f"{found[1]}({', '.join(names)})" if names else found[1]
        limits = "above 0 and below 1" if masses is geometric else "above 0"
        raise ValueError(f"the prior must be {wanted}, numbers {limits}, got {shown(word)}")
    return lambda beyond: masses(beyond, *numbers)


def _numbers(words: str) -> list[float]:
    """The numbers between commas; none where something else is there."""
    try:
        return [float(part) for part in words.split(",") if part.strip()]
    except ValueError:
        return []
