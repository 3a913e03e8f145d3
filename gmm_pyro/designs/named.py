"""Designs by the kind of data that they draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack

from .design import Design

T = TypeVar("T")
Levels: TypeAlias = T | Sequence[T]


class Spoiling(TypedDict, total=False):
    """Factors of all kinds of data: what makes them harder."""

    noise_features: Levels[int]
    outliers: Levels[float]
    missing: Levels[float]


class OfMixtures(Spoiling, total=False):
    """Factors of data that are drawn from random mixtures."""

    spherical: Levels[bool]
    shared: Levels[bool]
    eccentricity: Levels[float]
    smallest_weight: Levels[float]
    tails: Levels[float]
    skew: Levels[float]


def overlapping(
    *,
    n: Levels[int],
    d: Levels[int],
    k: Levels[int],
    overlap: Levels[float] | None = None,
    largest_overlap: Levels[float] | None = None,
    replicates: int = 1,
    name: str = "",
    **options: Unpack[OfMixtures],
) -> Design:
    """Random mixtures with a given overlap of their components, after R's MixSim.

    Means are uniform in a cube. Covariances are of d + 1 standard normal vectors, their axes drawn
    in where they are too eccentric, and multiplied by one number, which makes the overlap what is
    asked, within 1e-8; see `gmm_pyro.designs.overlap`. Where both a mean and a largest overlap are
    asked, the components but the two that overlap most have another such number. A mixture that
    cannot have the overlap is drawn anew, up to 100 times.

    Args:
        n: number of points, outliers included.
        d: number of features, without those that say nothing.
        k: number of components, two or more.
        overlap: mean of ω_{j|i} + ω_{i|j} over the pairs, above 0 and below 1.
        largest_overlap: the largest of these.
        replicates: number of data sets at each setting.
        name: what the design is called; "overlapping", if empty.
        **options: more factors.

            - spherical: whether covariances are multiples of the identity, with variances uniform
              from 0 to 1 before they are multiplied. False.
            - shared: whether all components have one covariance. False.
            - eccentricity: the largest √(1 - λ_min / λ_max) of a covariance's eigenvalues. 0.9.
            - smallest_weight: no weight is less; what this leaves is shared out uniformly. 1, or
              1 / k and more, for equal weights.
            - tails: degrees of freedom of Student's t, above 2; infinity for Gaussians. ∞.
            - skew: skewness along the columns of the covariances' Cholesky factors, from -10 to 10:
              of a gamma distribution. 0.
            - noise_features: number of features that are one normal distribution in all
              components, after the others. 0.
            - outliers: share of the points that are scattered in the box of all, its sides doubled,
              where no component has its nearest 99.9 %; they come last, with label -1. 0.
            - missing: share of the values that are missing completely at random, and NaN. 0.

    Returns:
        The design. Its data sets have the mixture as their `truth`: with the features that say
        nothing, without the outliers. Under tails or skew the truth has the components' weights,
        means and covariances, and `held_out` draws as the data were drawn.

    Raises:
        ValueError: if a level is out of range, or no overlap is asked; from `draw`, if there is no
            such mixture.

    Source: Maitra & Melnykov (2010), JCGS 19, 354-376; Melnykov, Chen & Maitra (2012), JSS 51(12).

    Example:
        >>> design = overlapping(n=100, d=2, k=3, overlap=[0.01, 0.1], replicates=5)
        >>> data = design.draw(design.settings()[1], seed=0)
        >>> from gmm_pyro.designs import mean_overlap
        >>> data.n, round(mean_overlap(data.truth), 6)
        (100, 0.1)
    """
    asked = {"overlap": overlap, "largest_overlap": largest_overlap}
    factors: dict[str, Any] = {
        "n": n,
        "d": d,
        "k": k,
        **{a: v for a, v in asked.items() if v is not None},
    }
    return Design("overlapping", factors | dict(options), replicates, name)


def separated(
    *,
    n: Levels[int],
    d: Levels[int],
    k: Levels[int],
    separation: Levels[float],
    replicates: int = 1,
    name: str = "",
    **options: Unpack[OfMixtures],
) -> Design:
    """Random mixtures with a given separation of their closest two components.

    The mixtures are those of `overlapping`, but for the number that covariances are multiplied by.

    Args:
        n: number of points, outliers included.
        d: number of features, without those that say nothing.
        k: number of components, two or more.
        separation: c, the least ‖μ_i - μ_j‖ / √(d max(λ_i, λ_j)) of two components, exactly, where
            λ is the largest eigenvalue of a covariance: the mixture is c-separated. Two is almost
            no overlap, a half a lot of it.
        replicates: number of data sets at each setting.
        name: what the design is called; "separated", if empty.
        **options: more factors, as `overlapping` has them.

    Raises:
        ValueError: if a level is out of range.

    Source: Dasgupta (1999), Learning mixtures of Gaussians, FOCS, 634-644.

    Example:
        >>> design = separated(n=[50, 200], d=3, k=2, separation=1.5, outliers=0.1)
        >>> data = design.draw(design.settings()[0], seed=0)
        >>> data.n, int((data.labels == -1).sum())
        (50, 5)
    """
    factors: dict[str, Any] = {"n": n, "d": d, "k": k, "separation": separation}
    return Design("separated", factors | dict(options), replicates, name)


def resampled(
    data: Any,
    *,
    n: Levels[int] | None = None,
    replace: Levels[bool] = True,
    replicates: int = 1,
    name: str = "",
    **options: Unpack[Spoiling],
) -> Design:
    """Rows of real data, drawn at random: a bootstrap, or a part of them.

    Args:
        data: names of `gmm_pyro.datasets.DATASETS`, data sets or points, one or a list. Those that
            are not named cannot be written down.
        n: number of rows; all, if None.
        replace: whether a row may be drawn again (bootstrap), or not.
        replicates: number of data sets at each setting.
        name: what the design is called; "resampled", if empty.
        **options: `noise_features`, `outliers` and `missing`, as `overlapping` has them; features
            that say nothing have the mean and variance of one of the others in the rows drawn.

    Raises:
        ValueError: if there is no such data set, or a level is out of range.

    Example:
        >>> design = resampled(["iris", "wine"], n=100, replace=False, replicates=20)
        >>> data = design.draw(design.settings()[0], seed=0)
        >>> data.name, data.n, data.labels.bincount().tolist()
        ('iris', 100, [35, 33, 32])
    """
    listed: dict[str, Any] = {"data": data, "replace": replace} | ({} if n is None else {"n": n})
    return Design("resampled", listed | dict(options), replicates, name)
