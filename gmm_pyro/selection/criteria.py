"""By what models are compared: the direction, the scale, and what differences say nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Criterion:
    """One criterion.

    Attributes:
        label: what axes call it.
        higher_is_better: its direction.
        near: a difference from the best that hardly tells models apart.
        column: of the table.
        needs: what it needs of the method, in words; "" if nothing.
        by_error: whether a difference that is within its standard error is near, too.
        own_error: whether every model has a standard error of its own, which is of its draws.
        digits: that it is shown with, after the point.
        by_mclust: what axes call it with mclust's sign; "" where mclust does not have it.
        refits: the option that says how many times all models are fitted for it; "" if once.
        times: how many, unless it is said.
        fewest: how few they may be.
        of_parts: whether they are parts of the points.
        alone: whether a single component has it, too.
    """

    label: str
    higher_is_better: bool
    near: float
    column: str
    needs: str = ""
    by_error: bool = False
    own_error: bool = False
    digits: int = 1
    by_mclust: str = ""
    refits: str = ""
    times: int = 0
    fewest: int = 0
    of_parts: bool = False
    alone: bool = True

    @property
    def nearness(self) -> str:
        """What is near the best, in words."""
        if not (self.by_error or self.own_error):
            return f"within {self.near:g} of the best"
        either = f"{self.near:g} nats or " if self.near else ""
        return f"within {either}a standard error of the best"


CRITERIA = {
    # Raftery (1995): a difference of 2 in BIC is "not worth more than a bare mention".
    "bic": Criterion(
        "BIC (lower is better)",
        higher_is_better=False,
        near=2.0,
        column="bic",
        by_mclust="BIC, 2 log L - p log n as in mclust (higher is better)",
    ),
    "icl": Criterion(
        "ICL (lower is better)",
        higher_is_better=False,
        near=2.0,
        column="icl",
        by_mclust="ICL with mclust's sign (higher is better)",
    ),
    # Burnham & Anderson (2002), §2.6: models within 2 have substantial support.
    "aic": Criterion("AIC (lower is better)", higher_is_better=False, near=2.0, column="aic"),
    "cross_validation": Criterion(
        "held-out log density, nats a point (higher is better)",
        higher_is_better=True,
        near=0.0,
        column="cross_validation",
        by_error=True,
        digits=3,
        refits="n_folds",
        times=5,  # as scikit-learn
        fewest=2,
        of_parts=True,
    ),
    "stability": Criterion(
        "mean adjusted Rand index of resamples (higher is better)",
        higher_is_better=True,
        near=0.0,
        column="stability",
        by_error=True,
        digits=2,
        refits="n_resamples",
        times=10,
        fewest=3,  # a jackknife leaves pairs of the others
        alone=False,
    ),
    "elpd": Criterion(
        "elpd, nats (higher is better)",
        higher_is_better=True,
        near=4.0,  # Sivula, Magnusson & Vehtari (2020): less is small, whatever its error
        column="elpd",
        needs="draws: a method with a posterior",
        by_error=True,
    ),
    "evidence": Criterion(
        "log evidence, nats (higher is better)",
        higher_is_better=True,
        near=1.0,
        column="log_evidence",
        needs="log_evidence: laplace, or gibbs or nuts",
        own_error=True,
    ),
}
