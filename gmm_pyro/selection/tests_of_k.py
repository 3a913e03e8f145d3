"""The record of sequential tests of the number of components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from ..inference.fit import Fit

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class LikelihoodRatioTest:
    """One number of components against one more.

    Attributes:
        k0: components of the null hypothesis.
        k1: components of the alternative.
        log_likelihoods: of the fits to the data by both, in nats.
        alike: twice the gain of the data's log-likelihood, by a search as that of the replicates.
        p_value: (r + 1) / (n + 1), where r of n replicates are as large as `alike` or larger.
        replicates: the same of n data sets from the mixture of k0 components.
        unsound: share of the replicates where no sound solution of k1 components has been found;
            they count as 0.
        unconverged: share of the replicates of which a climb reached its step limit; it counts by
            where it was heading.
    """

    k0: int
    k1: int
    log_likelihoods: tuple[float, float]
    alike: float
    p_value: float
    replicates: Float[Tensor, "n"]
    unsound: float
    unconverged: float

    def __repr__(self) -> str:
        found = f"LRTS {self.statistic:.4f}, p = {self.p_value:.3g}"
        return f"<{self.k0} against {self.k1} components: {found}>"

    @property
    def statistic(self) -> float:
        """Twice the gain of log-likelihood, LRTS, by the full search of both fits."""
        null, full = self.log_likelihoods
        return 2 * (full - null)


@dataclass(frozen=True, eq=False, repr=False)
class LikelihoodRatioTests:
    """Sequential tests of the number of components.

    Attributes:
        tests: in their order; all but the last are significant.
        fits: the fits to the data by number of components.
        n_components: the number that the first test which is not significant leaves; the last one,
            if all are.
        level: of each test.
        seed: of every random choice.
        seconds: wall-clock time.
    """

    tests: tuple[LikelihoodRatioTest, ...]
    fits: Mapping[int, Fit]
    n_components: int
    level: float
    seed: int
    seconds: float

    def __repr__(self) -> str:
        return f"<likelihood-ratio tests: {', '.join(map(repr, self.tests))}>"

    @property
    def table(self) -> pd.DataFrame:
        """A row for each test: k0, k1, both log-likelihoods, statistic, alike, p_value, shares."""
        import pandas as pd

        rows = []
        for test in self.tests:
            null, full = test.log_likelihoods
            numbers: dict[str, int | float] = {"k0": test.k0, "k1": test.k1}
            numbers |= {"log_likelihood_0": null, "log_likelihood_1": full}
            names = ("statistic", "alike", "p_value", "unsound", "unconverged")
            rows.append(numbers | {name: getattr(test, name) for name in names})
        return pd.DataFrame(rows)
