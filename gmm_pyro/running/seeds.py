"""Streams of random numbers: one for each purpose, all from the one seed that a user gives."""

from __future__ import annotations

from enum import IntEnum

SPACING = 1_000_003  # between the seeds of two streams


class Stream(IntEnum):
    """What random numbers are for. Numbers for one purpose do not depend on those for another."""

    SEARCH = 0  # starts, and the steps of a climb
    JUDGES = 1  # fixed draws that steps are judged by
    DRAWS = 2  # from an approximation
    LAST_JUDGES = 3  # of what has been found
    CHAINS = 4
    POSTERIOR_PREDICTIVE = 5
    PRIOR = 6
    PRIOR_PREDICTIVE = 7
    MOVES = 8  # from one solution of EM to another
    POPULATION = 9  # that chains set out from
    EVIDENCE = 10
    RESAMPLES = 11  # of the data, by a bootstrap
    SPLITS = 12  # of components, where one more is looked for
    FOLDS = 13  # that points are held out in
    PARTICLES = 14  # that weigh the evidence

    def seed(self, of_user: int) -> int:
        """The seed of this stream."""
        return of_user + SPACING * self
