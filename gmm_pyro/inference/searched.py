"""What a search for the likeliest mixture leaves behind: is the optimum alone, or one of many."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Solution:
    """An end that a search came to.

    Attributes:
        log_likelihood: of the points that the search went by, in nats, as it will be at the end of
            the climb; or what else the search is for the highest of.
        sound: whether it is, by the rule of `soundness.py`.
        times: how many starts have led there, or moves from one.
        moves: how many moves led there from a start; 0 if none was needed.
    """

    log_likelihood: float
    sound: bool
    times: int
    moves: int


@dataclass(frozen=True)
class Searched:
    """The figures of a search.

    Attributes:
        n: how many points it went by: all, or a random part of very many.
        starts: how many it began with.
        tried: how many moves it tried.
        taken: how many of them led on to something better.
        solutions: the different ends: sound ones first, and of these the likeliest first.
        of: what it is for the highest of: "log_likelihood", or the "bound" of variational Bayes.
    """

    n: int
    starts: int
    tried: int
    taken: int
    solutions: tuple[Solution, ...]
    of: str = "log_likelihood"

    def in_words(self) -> str:
        """Whether the optimum is alone, as a title or a sentence says it.

        Example:
            >>> Searched(90, 10, 6, 0, (Solution(-5.0, True, 16, 0),)).in_words()
            'one solution, found 16 times'
        """
        best, n = self.solutions[0], len(self.solutions)
        often = {1: "once", 2: "twice"}.get(best.times, f"{best.times} times")
        n_sound = sum(solution.sound for solution in self.solutions)
        if n == 1:
            return f"one solution, {'' if n_sound else 'not sound, '}found {often}"
        sound = "" if n_sound == n else f", {n_sound or 'none'} of them sound"
        return f"{n} solutions{sound}, the best found {often}"

    def frame(self) -> pd.DataFrame:
        """The solutions as a table, with how far each is below the first, in nats."""
        import pandas as pd

        table = pd.DataFrame([asdict(solution) for solution in self.solutions])
        table.insert(1, "behind", table["log_likelihood"].iloc[0] - table["log_likelihood"])
        return table.rename(columns={"log_likelihood": self.of})
