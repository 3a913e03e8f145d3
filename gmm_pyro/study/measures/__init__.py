"""What a study measures of an answer: one file a question, and a registry of them all."""

from .outcome import Outcome
from .registry import MEASURES, measured, measures_named

__all__ = ["MEASURES", "Outcome", "measured", "measures_named"]
