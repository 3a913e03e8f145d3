"""Pyro's checks of values, which cost time, and ask for values where only shapes are known."""

from __future__ import annotations

VALIDATION = tuple(  # pyro.validation_enabled would not put torch's own back
    f"validate_{what}" for what in ("distributions_pyro", "distributions_torch", "poutine", "infer")
)
