"""How sure the parameters of a fit are, and how many components there are: the bootstrap."""

from .bootstrap import bootstrap
from .result import Bootstrap, Interval

__all__ = ["Bootstrap", "Interval", "bootstrap"]
