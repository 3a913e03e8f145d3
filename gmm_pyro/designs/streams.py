"""Random numbers of a data set: a generator for each of its parts, all from one seed."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Part(IntEnum):
    """What is drawn. A part does not change when others do, as with their factors' levels."""

    TRUTH = 0
    POINTS = 1
    FEATURES = 2  # that say nothing
    OUTLIERS = 3
    MISSING = 4
    ROWS = 5  # of data that are resampled
    HELD_OUT = 6

    def generator(self, seed: int) -> np.random.Generator:
        """The generator of this part."""
        return np.random.default_rng([seed, self])
