"""A selection as a folder: the table, the picture, the best fit, and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk.placing import whole_folder, write_bytes
from ..files import write_table
from ..inference.fit import Fit
from ..running.threads import one_thread_a_product
from ..saved_fit import TABLE_FORMATS, save_fit
from ..saved_fit.save import OURS as OF_FIT
from .record import Selected

if TYPE_CHECKING:
    import pandas as pd

BEST, TABLE, PICTURE, REPORT = "best", "selection", "figures/criterion.png", "report.html"
DOTS_PER_INCH = 120
SIZE = (8.0, 5.0)  # of the picture, in inches
OURS = (
    *(f"{TABLE}.{suffix}" for suffix in TABLE_FORMATS),
    *(PICTURE, REPORT),
    *(f"{BEST}/{name}" for name in OF_FIT),
)


def save_selection(
    selection: Selected,
    best: Fit | None,
    folder: Path,
    *,
    report: Callable[[Path], object] | None = None,
    table_format: str = "csv",
    labels: Any = None,
    facts: Mapping[str, Any] | None = None,
    beside: pd.DataFrame | None = None,
    force: bool = False,
) -> list[Path]:
    """Write a selection into a folder that appears as a whole.

    It has `selection.csv`, a row a model; `figures/criterion.png`; `best/`, the best fit as
    `save_fit` writes it, if any model counts; and `report.html`, if it is wanted.

    Args:
        selection: the selection.
        best: the fit of its best model, or None where no model counts.
        folder: where to; folders above it are made.
        report: writes the page, given its path; None for no page.
        table_format: "csv", "tsv" or "parquet".
        labels: as `save_fit` has it.
        facts: as `save_fit` has it.
        beside: as `save_fit` has it.
        force: whether the files may replace those in a folder that is not empty.

    Returns:
        The paths of the files.

    Raises:
        OSError: if the folder is not empty, or cannot be written.
    """
    with whole_folder(folder, stale=OURS, force=force) as partial:
        if report is not None:
            report(partial / REPORT)
        write_table(selection.table, partial / f"{TABLE}.{table_format}")
        _draw(selection, partial / PICTURE)
        if best is not None:
            save_fit(
                *(best, partial / BEST),
                table_format=table_format,
                labels=labels,
                facts=facts,
                beside=beside,
            )
        names = sorted(file.relative_to(partial) for file in partial.rglob("*.*"))
    return [folder / name for name in names]


@one_thread_a_product()
def _draw(selection: Selected, path: Path) -> None:
    from .. import plots
    from ..plots.report_figures import drawn_by

    path.parent.mkdir()
    write_bytes(path, plots.png(drawn_by(selection.plot, SIZE), DOTS_PER_INCH))
