"""What is known of the modes of a posterior: is the one that is described alone?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MODES = ("one", "all")  # that an approximation may be told to describe
REACH = 10.0  # nats of mass below the best: what has less hardly counts
CLEAR = 0.95  # share of the evidence that a description is to have


@dataclass(frozen=True)
class FoundMode:
    """A mode, with all numberings of its components that the prior takes for the same.

    Attributes:
        log_density: of the unconstrained vector there, in nats.
        log_evidence: what is around it of the log evidence, in nats.
        described: whether there are draws from around it.
        log_evidence_se: standard error of that, or NaN if it is an approximation.
    """

    log_density: float
    log_evidence: float
    described: bool
    log_evidence_se: float = math.nan


@dataclass(frozen=True)
class FoundModes:
    """The modes that have been found.

    Attributes:
        modes: those within 10 nats of the most massive one, which is the first, and what is
            described.
    """

    modes: tuple[FoundMode, ...]

    @classmethod
    def of(cls, modes: list[FoundMode]) -> FoundModes:
        """Those that are described or near the most massive one, in the order of their evidence."""
        least = max(mode.log_evidence for mode in modes) - REACH
        kept = (mode for mode in modes if mode.described or mode.log_evidence >= least)
        return cls(tuple(sorted(kept, key=lambda mode: mode.log_evidence, reverse=True)))

    @property
    def shares(self) -> list[float]:
        """Of each mode in the evidence of all of them."""
        top = self.modes[0].log_evidence
        masses = [math.exp(mode.log_evidence - top) for mode in self.modes]
        return [mass / sum(masses) for mass in masses]

    @property
    def described(self) -> float:
        """Share of what is described."""
        pairs = zip(self.shares, self.modes, strict=True)
        return min(1.0, sum(share for share, mode in pairs if mode.described))

    @property
    def leaves_out_much(self) -> bool:
        """Whether so much is not described that it is to be warned of."""
        return self.described < CLEAR

    def figures(self) -> dict[str, float]:
        """How many modes there are, and the share of those that are described."""
        return {"n_modes": len(self.modes), "modes_share": self.described}

    def in_words(self) -> str | None:
        """What is left out, and what to do about it; None where nothing is.

        Example:
            >>> here, there = (FoundMode(-9.0, x, described=x > -8) for x in (-7.0, -9.0))
            >>> print(FoundModes.of([here, there]).in_words())
            describes one of 2 modes that were found: another has 2.0 nats less evidence; take \
modes='all' for a mixture of all, or a sampler, as gibbs or nuts
        """
        others = [mode for mode in self.modes if not mode.described]
        if not others:
            return None
        here, n = [mode for mode in self.modes if mode.described], len(self.modes)
        gap = here[0].log_evidence - others[0].log_evidence
        nearest = "the nearest of the others" if gap >= 0 else "the best of the others"
        one = "another" if len(others) == 1 else nearest
        much = f"{one} has {abs(gap):.1f} nats {'less' if gap >= 0 else 'more'} evidence"
        some = "one" if len(here) == 1 else str(len(here))
        mixture = "modes='all' for a mixture of all, or " if len(here) == 1 else ""
        return (
            f"describes {some} of {n} modes that were found: {much}; take {mixture}a sampler, as "
            "gibbs or nuts"
        )

    def frame(self) -> pd.DataFrame:
        """The modes as a table, with how far each is below the first, in nats, and its share."""
        import pandas as pd

        table = pd.DataFrame([asdict(mode) for mode in self.modes])
        table["behind"] = table["log_evidence"].iloc[0] - table["log_evidence"]
        table["share"] = self.shares
        return table[
            ["log_density", "log_evidence", "log_evidence_se", "behind", "share", "described"]
        ]
