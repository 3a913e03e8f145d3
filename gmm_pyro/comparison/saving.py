"""A comparison as a folder of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..disk.placing import whole_folder, write_bytes
from ..files import write_netcdf, write_table
from ..inference.methods import METHODS
from ..running.threads import one_thread_a_product
from .record import Record

FIGURES = ("data", "clusters", "traces", "parameter_errors")
DOTS_PER_INCH = 120
REPORT = "report.html"
OURS = (
    *(f"figures/{name}.png" for name in FIGURES),
    *(f"mixtures/{name}{rest}.json" for name in METHODS for rest in ("", "-*")),
    *(f"posteriors/{name}{rest}.nc" for name in METHODS for rest in ("", "-*")),
)


def save_comparison(
    comparison: Record,
    folder: str | Path,
    *,
    posteriors: bool = False,
    report: Callable[[Path], object] | None = None,
    stale: tuple[str, ...] = OURS,
    force: bool = True,
) -> list[Path]:
    """Write the table, the pictures and the mixtures: see `Comparison.save`.

    Args:
        comparison: what to write.
        folder: where to; folders above it are made.
        posteriors: whether to write draws, too.
        report: writes a page beside the table, given its path; None for no page.
        stale: what an earlier comparison may have left and this one removes, as names or patterns.
        force: whether files may be added to a folder that is not empty.

    Returns:
        The paths of the files, the report the last.

    Raises:
        OSError: if the folder is not empty, or cannot be written.
    """
    folder = Path(folder)
    with whole_folder(folder, stale=stale, force=force) as partial:
        if report is not None:
            report(partial / REPORT)  # it takes longest
        _write(comparison, partial)
        if posteriors:
            _write_posteriors(comparison, partial / "posteriors")
        written = [path.relative_to(partial) for path in partial.rglob("*.*") if path.is_file()]
    return [folder / path for path in sorted(written, key=lambda path: (path.name == REPORT, path))]


@one_thread_a_product()
def _write(comparison: Record, folder: Path) -> None:
    from .. import plots

    (folder / "figures").mkdir()
    (folder / "mixtures").mkdir()
    for name, result in comparison.fits.items():
        result.mixture.save(folder / "mixtures" / f"{_file_name(name)}.json")
    data = comparison.dataset
    figures = plots.comparison_figures(
        data.x,
        comparison.fits,
        comparison.table,
        data.labels,
        data.feature_names,
        data.sample_weight,
    )
    for name, figure in figures.items():
        write_bytes(folder / "figures" / f"{name}.png", plots.png(figure, DOTS_PER_INCH))
    write_table(comparison.table, folder / "comparison.csv")


def _write_posteriors(comparison: Record, folder: Path) -> None:
    folder.mkdir()
    for name, result in comparison.fits.items():
        if result.posterior is not None:
            write_netcdf(result.to_arviz(), folder / f"{_file_name(name)}.nc")


def _file_name(name: str) -> str:
    return name.replace(":", "-")
