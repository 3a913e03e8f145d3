"""A comparison as one HTML page: no network, no scripts or styles from elsewhere.

`page.py` says what is on it; `tables.py`, `pictures.py`, `advice.py` and `settings.py` make the
parts, and `templates/` has their looks.
"""

from .page import html_of, write_report

__all__ = ["html_of", "write_report"]
