"""Results as one HTML page: no network, no scripts or styles from elsewhere.

`page.py` says what is on that of a comparison, and `selection/page.py` on that of a selection.
`tables.py`, `pictures.py`, `advice.py` and `settings.py` make the parts, `sheet.py` puts them
together, and `templates/` has their looks.
"""

from .page import html_of, write_report

__all__ = ["html_of", "write_report"]
