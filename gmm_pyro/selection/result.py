"""What resamples say of the parameters of a fit: errors, intervals, a table, draws for ArviZ."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariance.sharing import NOISE_WEIGHT
from ..data.checks import check_choice, check_number
from ..inference.fit import Fit
from ..posterior import Posterior

if TYPE_CHECKING:
    import pandas as pd

INTERVALS = ("percentile", "basic", "normal")
DRAWS_AT_ONCE = 1 << 16  # entries of a parameter whose quantiles are taken at once


@dataclass(frozen=True, eq=False)
class Interval:
    """Ends of an interval for every entry of a parameter.

    Attributes:
        lower: the lower ends, in the parameter's shape.
        upper: the upper ends.
    """

    lower: Tensor
    upper: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Estimates of the parameters of a fit from resamples of its data.

    Degenerate estimates are left out of `draws`, and of all that is made of them.

    Attributes:
        fit: the fit.
        kind: how its data were resampled.
        posterior: the estimates as draws of the model's sites, one chain, with components numbered
            as in the fit.
        n: how many resamples there were.
        unconverged: share of them whose fit reached the step limit.
        degenerate: share of them whose estimate is not sound, by the rule of a fit.
        ambiguous: share of the draws in which two components could as well be exchanged, as in
            `Posterior`.
        seed: of the random numbers.
        seconds: wall-clock time.
    """

    fit: Fit
    kind: str
    posterior: Posterior
    n: int
    unconverged: float
    degenerate: float
    ambiguous: float
    seed: int
    seconds: float

    def __repr__(self) -> str:
        kept = self.posterior.n_draws
        return (
            f"<{self.kind} bootstrap of {self.n} resamples: {kept} draws in {self.seconds:.2g} s>"
        )

    @cached_property
    def estimate(self) -> dict[str, Tensor]:
        """The fit's own weights, means and covariances, and the weight of the noise if any."""
        mixture = self.fit.mixture
        found = {
            "weights": mixture.weights.double(),
            "means": mixture.means.double(),
            "covariances": mixture.covariances.double(),
        }
        if mixture.noise_component is not None:
            found[NOISE_WEIGHT] = torch.tensor(mixture.noise_weight, dtype=torch.float64)
        return found

    @cached_property
    def draws(self) -> dict[str, Float[Tensor, "draw *parameter"]]:
        """The same of every resample, each of shape (draw, *parameter)."""
        posterior, family = self.posterior, self.posterior.family
        factors = posterior.parameters().factor
        found = {name: posterior.draws[name][0] for name in ("weights", "means")}
        found["covariances"] = torch.stack([family.covariances(factor) for factor in factors])
        if NOISE_WEIGHT in self.estimate:
            found[NOISE_WEIGHT] = posterior.draws[NOISE_WEIGHT][0]
        return found

    @cached_property
    def standard_errors(self) -> dict[str, Tensor]:
        """Standard errors: standard deviations of the draws, or by the jackknife's formula.

        With N points, the jackknife's variance is (N - 1) / N times the sum of squared deviations.
        """
        if self.kind == "jackknife":
            scale = (self._total - 1) / self._total
            return {
                name: (scale * self._summed((draws - self._mean(draws)).square())).sqrt()
                for name, draws in self.draws.items()
            }
        return {name: draws.std(0, correction=1) for name, draws in self.draws.items()}

    @cached_property
    def bias(self) -> dict[str, Tensor]:
        """By how much estimates are too large, as far as resamples show: mean less estimate."""
        scale = self._total - 1 if self.kind == "jackknife" else 1.0
        return {
            name: scale * (self._mean(draws) - self.estimate[name])
            for name, draws in self.draws.items()
        }

    def intervals(self, level: float = 0.9, kind: str | None = None) -> dict[str, Interval]:
        """Confidence intervals of every parameter.

        Variances are skewed and estimated too small, and their intervals cover a little less than
        those of means. Where components overlap, percentile intervals of weighted or nonparametric
        resamples still cover about as often as they say; basic ones cover less by a tenth or more,
        and those of parametric resamples or the jackknife less for the weights
        (`benchmarks/results/bootstrap_coverage.md`).

        Args:
            level: how often they are to cover the truth.
            kind: "percentile": between quantiles of the draws. "basic": these, mirrored at the
                estimate. "normal": so many standard errors about the estimate, which is all that
                the jackknife has, and its default; else it is "percentile".

        Raises:
            ValueError: if the level is not between 0 and 1, or there is no such kind.
        """
        level = check_number("level", level, high=1.0, positive=True)
        jackknife = self.kind == "jackknife"
        kind = ("normal" if jackknife else "percentile") if kind is None else kind
        chosen = check_choice("kind", kind, INTERVALS)
        if jackknife and chosen != "normal":
            raise ValueError(
                f"kind={chosen!r} takes quantiles of draws, and the jackknife has none: its kind "
                "of interval is 'normal'"
            )
        return {name: self._interval(name, level, chosen) for name in self.draws}

    def _interval(self, name: str, level: float, kind: str) -> Interval:
        estimate = self.estimate[name]
        if kind == "normal":
            reach = NormalDist().inv_cdf((1 + level) / 2) * self.standard_errors[name]
            return Interval(estimate - reach, estimate + reach)
        tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
        draws = self.draws[name]
        flat = draws.reshape(len(draws), -1)
        parts = [part.quantile(tails, dim=0) for part in flat.split(DRAWS_AT_ONCE, 1)]
        lower, upper = torch.cat(parts, 1).view(2, *estimate.shape)
        if kind == "basic":
            lower, upper = 2 * estimate - upper, 2 * estimate - lower
        return Interval(lower, upper)

    def table(self, level: float = 0.9, kind: str | None = None) -> pd.DataFrame:
        """A row for each parameter: its estimate, bias, standard error and interval.

        Args:
            level: as in `intervals`.
            kind: as in `intervals`.
        """
        import pandas as pd

        intervals = self.intervals(level, kind)
        rows, columns = [], []
        for name, estimate in self.estimate.items():
            found = intervals[name]
            values = estimate, self.bias[name], self.standard_errors[name], found.lower, found.upper
            columns.append(torch.stack([value.flatten() for value in values], 1))
            rows += self._names(name, estimate)
        names = ["estimate", "bias", "standard_error", "lower", "upper"]
        return pd.DataFrame(torch.cat(columns).cpu().numpy(), index=rows, columns=names)

    def _names(self, name: str, value: Tensor) -> list[str]:
        """What the entries of a parameter are called, in their order."""
        features = self.fit.mixture.feature_names
        lead = int(value.ndim > 0 and not self.posterior.family.shares(name))
        axes = [[str(j) for j in range(size)] for size in value.shape[:lead]]
        places = itertools.product(*axes, *([features] * (value.ndim - lead)))
        return [f"{name}[{', '.join(place)}]" if place else name for place in places]

    def to_arviz(self) -> Any:
        """The draws as ArviZ InferenceData (0.x) or DataTree (1.x), as one chain.

        `posterior` has weights, means, scales and correlations, `sample_stats` the log-likelihood
        of each resample, its number of steps and whether it has converged, `observed_data` the
        data. The draws are estimates, which vary as they would from sample to sample; there are no
        priors and no predictions.

        Raises:
            ValueError: of a jackknife, whose estimates hardly vary.
        """
        if self.kind == "jackknife":
            raise ValueError(
                "kind='jackknife' has no draws: its estimates differ by one point each, and vary "
                "less than those of other samples would"
            )
        from ..inference_data import resamples_to_arviz  # arviz takes seconds to import

        own: dict[str, str | float] = {"resamples": self.kind, "resampling_time": self.seconds}
        return resamples_to_arviz(self.fit, self.posterior, own)

    # ------------------------------------------------------------------ sums over the draws

    @property
    def _total(self) -> float:
        return self.fit.observations.total_weight

    def _summed(self, draws: Float[Tensor, "draw *parameter"]) -> Tensor:
        """The sum over resamples; of the jackknife, each as often as its point counts."""
        if self.kind != "jackknife":
            return draws.sum(0)
        weight = self.fit.observations.weights
        return torch.tensordot(weight[weight > 0].to(draws), draws, 1)

    def _mean(self, draws: Float[Tensor, "draw *parameter"]) -> Tensor:
        count = self._total if self.kind == "jackknife" else len(draws)
        return self._summed(draws) / count
