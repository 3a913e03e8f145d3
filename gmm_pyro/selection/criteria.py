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
    """

    label: str
    higher_is_better: bool
    near: float
    column: str
    needs: str = ""


CRITERIA = {
    # Raftery (1995): a difference of 2 in BIC is "not worth more than a bare mention".
    "bic": Criterion("BIC (lower is better)", higher_is_better=False, near=2.0, column="bic"),
    "icl": Criterion("ICL (lower is better)", higher_is_better=False, near=2.0, column="icl"),
    # Burnham & Anderson (2002), §2.6: models within 2 have substantial support.
    "aic": Criterion("AIC (lower is better)", higher_is_better=False, near=2.0, column="aic"),
    "elpd": Criterion(
        "elpd, nats (higher is better)",
        higher_is_better=True,
        near=4.0,  # Sivula, Magnusson & Vehtari (2020): less is small, whatever its error
        column="elpd",
        needs="draws: a method with a posterior",
    ),
    "evidence": Criterion(
        "log evidence, nats (higher is better)",
        higher_is_better=True,
        near=1.0,
        column="log_evidence",
        needs="log_evidence: laplace, or gibbs or nuts",
    ),
}
