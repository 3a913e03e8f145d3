"""What a report says of searches for the likeliest mixture: is the optimum alone?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..comparison.columns import Column
from ..comparison.record import Record
from ..data.words import counted, listed
from ..inference.fit import Fit
from ..inference.searched import Searched
from ..plots.searches import MOST
from .pictures import Picture, solutions_picture
from .tables import Table, number, table_of

NEAR = 10.0  # nats behind the best, up to which a solution may as well be the right one
MOST_TOLD = 5  # of such solutions in a sentence

OF_SOLUTIONS = (
    Column(
        "objective",
        "Objective",
        ".2f",
        meaning="The log-likelihood of the points that the search went by, or vb's bound, in nats.",
    ),
    Column(
        "behind",
        "Behind the best",
        ".2f",
        meaning="Nats below the first; below zero where one that is not sound is likelier.",
    ),
    Column("times", "Times", "d", meaning="How often starts, or moves from them, led there."),
    Column("moves", "Moves", "d", meaning="How many moves led there from a start; often none."),
)


@dataclass(frozen=True)
class Section:
    """What the page says of one search.

    Attributes:
        name: the methods that began with it.
        told: whether the optimum is alone, and what was tried.
        table: the solutions, best first.
        left_out: how many more there are.
        picture: the same as a picture.
    """

    name: str
    told: str
    table: Table
    left_out: int
    picture: Picture


def by_search(comparison: Record) -> dict[Searched, list[str]]:
    """The searches of a comparison, each with the names of the methods that began with it."""
    found: dict[Searched, list[str]] = {}
    for name, fit in comparison.fits.items():
        if fit.search is not None:
            found.setdefault(fit.search, []).append(name)
    return found


def search_sections(comparison: Record) -> list[Section]:
    """A section for each search; methods that began with the same one share it."""
    return [
        _section(listed(names), comparison.fits[names[0]], search)
        for search, names in by_search(comparison).items()
    ]


def _section(name: str, fit: Fit, search: Searched) -> Section:
    frame = search.frame().head(MOST).rename(columns={search.of: "objective"})
    frame["status"] = ["sound" if sound else "not sound" for sound in frame["sound"]]
    frame.index = frame.index + 1
    told = _told(search, fit.observations.n)
    picture = solutions_picture(fit, name, told)
    left_out = len(search.solutions) - len(frame)
    return Section(name, told, table_of(frame, OF_SOLUTIONS), left_out, picture)


def _told(search: Searched, n: int) -> str:
    words = search.in_words()
    tried = f"{counted(search.starts, 'start')} and {counted(search.tried, 'move')}"
    part = "" if search.n == n else f" It went by {search.n} of the {n} points."
    return (
        f"{words[0].upper()}{words[1:]}. {tried} were tried, and {search.taken} of the moves led "
        f"on to something better.{part}"
    )


def close_solutions(search: Searched) -> Iterator[float]:
    """How far behind the best the other sound solutions are that are near it, in nats."""
    best, *others = search.solutions
    for other in others:
        gap = best.log_likelihood - other.log_likelihood
        if best.sound and other.sound and gap <= NEAR:
            yield gap


def told_close(search: Searched) -> str | None:
    """What a warning says of solutions that are about as likely as the best, if there are any."""
    gaps = list(close_solutions(search))
    if not gaps:
        return None
    shown = [number(gap, ".2f") for gap in gaps[:MOST_TOLD]]
    left = [f"{len(gaps) - MOST_TOLD} more"] if len(gaps) > MOST_TOLD else []
    behind = f"{listed(shown + left)} behind"
    return f"Its solution is not alone: others lie within {NEAR:g} nats: {behind}."
