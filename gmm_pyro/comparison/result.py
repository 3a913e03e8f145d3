"""What `compare` returns: a record, with its pictures and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.checks import check_flag, check_path, shown
from .printed import in_text
from .record import Record
from .saving import save_comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Record):
    """Fits of several methods to the same data, with their pictures and files.

    The attributes are those of `Record`. `print` shows the table, as wide as the terminal: columns
    that have no room are below the others.
    """

    def __str__(self) -> str:
        return in_text(self)

    def plot(self) -> Figure:
        """A figure with the data, and beside them the clusters of each fit."""
        from .. import plots  # matplotlib takes a second to import

        data = self.dataset
        return plots.comparison_figure(
            data.x,
            self.fits,
            data.labels,
            feature_names=data.feature_names,
            sample_weight=data.sample_weight,
        )

    def save(self, folder: str | Path, *, posteriors: bool = False) -> list[Path]:
        """Write the table, the pictures and the mixtures into a folder.

        These are `comparison.csv`, `figures/*.png` and `mixtures/<name>.json`, with "-" for the ":"
        in a name, and `posteriors/<name>.nc` for ArviZ if they are asked for. They replace those of
        an earlier comparison; other files in the folder stay. Nothing appears in its place before
        everything is written.

        Returns:
            The paths of the files.

        Raises:
            OSError: if the folder cannot be written.
        """
        posteriors = check_flag("posteriors", posteriors)
        return save_comparison(self, check_path("folder", folder), posteriors=posteriors)

    def report(self, path: str | Path, *, command: str | None = None) -> Path:
        """Write the comparison as one HTML page that needs nothing else, not even a network.

        It has the table, pictures of the clusters, densities and objectives, how far the methods
        agree, summaries of posteriors, what to do about warnings, and how to make it again. It
        appears when it is whole, and replaces an earlier one.

        Args:
            path: where to write it.
            command: the command line that made the comparison; None shows the Python call.

        Returns:
            The path.

        Raises:
            OSError: if it cannot be written there.
        """
        from ..report import write_report  # templates and pictures take a second to import

        if not isinstance(command, str | None):
            raise TypeError(f"command must be a word or None, got {shown(command)}")
        return write_report(self, check_path("path", path), command)
