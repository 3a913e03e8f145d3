"""What to keep in mind of a selection before its answer is used, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from ..data.words import counted
from ..inference.fit import Fit
from ..report.advice import Advice, advice_on_fit
from .criteria import CRITERIA
from .record import Selected


def advice_on(selection: Selected, best: Fit | None) -> list[Advice]:
    """All doubts about a selection: no sound model, near ties, an end of the numbers tried.

    Args:
        selection: the selection.
        best: the fit of its best model, or None where no model counts.
    """
    if best is None:
        return [_none(selection)]
    told = [Advice(None, *each) for each in (*_ties(selection), *_ends(selection))]
    return [*told, *advice_on_fit(best)]


def _none(selection: Selected) -> Advice:
    fact = f"No model is sound: of {counted(len(selection.cells), 'model')} tried, none counts."
    remedy = "Try fewer components, or families with fewer parameters, as 'diag' or 'tied'."
    return Advice(None, fact, remedy)


def _ties(selection: Selected) -> Iterator[tuple[str, str]]:
    ties = selection.ties
    if len(ties) > 1:
        numbers = sorted({cell.n_components for cell in ties})
        shared = f"all have {counted(numbers[0], 'component')}"
        apart = f"they have {numbers[0]} to {numbers[-1]} components"
        label = CRITERIA[selection.criterion].label.partition(" (")[0]
        yield (
            f"{len(ties)} models, the best among them, hardly differ by {label}: "
            f"{shared if len(numbers) == 1 else apart}.",
            "Look whether what you conclude is the same for them: the table of models near the "
            "best says how far their clusters agree. More points may tell them apart.",
        )


def _ends(selection: Selected) -> Iterator[tuple[str, str]]:
    """Whether the best number of components is the first or last of those tried."""
    numbers = sorted({cell.n_components for cell in selection.cells})
    best = selection.best_cell.n_components
    if len(numbers) > 1 and best == numbers[-1]:
        yield (
            f"The best number of components, {best}, is the largest that was tried.",
            "Try more: the criterion may go on getting better.",
        )
    elif len(numbers) > 1 and best == numbers[0] > 1:
        yield (
            f"The best number of components, {best}, is the smallest that was tried.",
            "Try fewer: the criterion may be better there.",
        )
