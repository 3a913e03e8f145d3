"""What a comparison consists of: what was asked for, fits, and a table of how good they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..datasets import Dataset
from ..inference.fit import Fit
from ..model.program import MixtureModel
from . import agreement
from .posteriors import why_no_reference


@dataclass(frozen=True, eq=False)
class Request:
    """What `compare` was asked for.

    Attributes:
        model: the model, its priors as they were given.
        methods: names of the methods.
        seed: seed of every fit and of the held-out data.
        test_size: how many points were to be held out.
        options: options of single methods, by name.
        told: what else was said of the data and the mixture: names of arguments.
    """

    model: MixtureModel
    methods: tuple[str, ...]
    seed: int = 0
    test_size: float | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    told: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Record:
    """Fits of several methods to the same data, and how good they are; see `Comparison`.

    A fit goes by the name that it was asked for with.

    Attributes:
        table: a pandas frame with one row a method, by name, and the columns `COLUMNS`; what cannot
            be had without a truth, labels or held-out data is empty. `seconds` is wall-clock time
            without what a method imports when it is first used; `log_likelihood` is the mean log
            density of the data that were fitted, `held_out_log_density` that of other data, both in
            nats a point; `bic` is lower for better fits; `ari`, `nmi` and `accuracy` hold the most
            probable components against the labels; the errors are those of
            `metrics.parameter_errors`; `kl_to_truth` is the Kullback-Leibler divergence from the
            truth in nats, by Monte Carlo.

            Methods with draws also have, over all weights, means and standard deviations of the
            components: `posterior_mean_error`, the root mean square of (mean - mean of the
            reference) / (standard deviation of the reference); `posterior_sd_ratio`, the geometric
            mean of standard deviation / that of the reference; `coverage`, the share of the true
            numbers that lie in their central 90 % intervals; `r_hat`, `ess_bulk` and `ess_tail`,
            the worst ones of `Posterior.convergence`;
            `elpd_loo` of all points by leave-one-out, in nats, which is not reliable where
            `elpd_worst_k`, the largest Pareto k-hat of a point, is above 0.7; and `k_hat`, the
            Pareto k-hat of approximations, which are not to be trusted above 0.7.
        fits: the fits that were made, by name.
        dataset: the data that were fitted.
        held_out: other data of the same kind, or None.
        notes: what the methods warned of, by name; those without warnings are left out.
        reference: name of the fit whose posterior the others are held against, an exact sampler's
            whose chains have mixed, or None.
        interrupted: whether an interrupt (Ctrl-C) ended the comparison early.
        request: what was asked for, or None where it is not known.
    """

    table: pd.DataFrame
    fits: Mapping[str, Fit]
    dataset: Dataset
    held_out: Dataset | None
    notes: Mapping[str, tuple[str, ...]]
    reference: str | None = None
    interrupted: bool = False
    request: Request | None = None

    def __repr__(self) -> str:
        return f"<comparison of {', '.join(self.fits)} on {self.dataset.name}>"

    @property
    def measured_against(self) -> str:
        """What errors of posteriors are measured by, or why they are not, in words; "" if none."""
        if self.reference is not None:
            return f"errors in standard deviations of {self.reference}"
        return why_no_reference(self.fits)

    def label_agreement(self) -> pd.DataFrame:
        """Adjusted Rand indices of the fits' labels, pair by pair: 1 for the same partition."""
        return agreement.label_agreement(self.fits)

    def density_distances(self, n: int = 10_000, seed: int = 0) -> pd.DataFrame:
        """Jensen-Shannon distances between the fits' mixtures: from 0, the same, to 1.

        Args:
            n: points drawn from each mixture, at which all densities are compared.
            seed: of the draws.

        Raises:
            ValueError: if n is not positive.
        """
        mixtures = {name: result.mixture for name, result in self.fits.items()}
        return agreement.density_distances(mixtures, n, seed)
