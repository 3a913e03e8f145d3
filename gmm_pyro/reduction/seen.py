"""The mixtures that rows of different kinds see, and what these say of points.

Rows of one kind, x = R v + e with e ~ N(0, E), see a mixture of Gaussians of their own: component k
is N(R μ, T) there, with T = R Σ Rᵀ + E. What a measurement says of the point v itself is affine in
a component:

    v | x, k  ~  N(A x + c, B),    A = Σ Rᵀ T⁻¹,    c = μ - A R μ,    B = Σ - A R Σ

so that sums over rows become sums over points by a few products a kind.

Source: Bovy, Hogg & Roweis (2011), equations 7 to 12; Ghahramani & Jordan (1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..covariance.records import LOG_2PI, Parameters, times
from ..covariance.triangular import Full
from ..data.measured import Measured
from .theta import Theta

FULL = Full()  # the family of what kinds of rows see


@dataclass(frozen=True, eq=False)
class View:
    """R of g kinds of rows: which features they show, or how these are projected.

    Attributes:
        observed: which of m entries there are, shape (g, 1, 1, m).
        projection: R, shape (g, 1, 1, m, d); None where it is the identity but for what is missing.
    """

    observed: Bool[Tensor, "g 1 1 m"]
    projection: Float[Tensor, "g 1 1 m d"] | None

    @classmethod
    def of(cls, measured: Measured, kinds: Tensor) -> View:
        """That of some kinds."""
        own = measured.projection
        projection = None if own is None else own[kinds][:, None, None]
        return cls(measured.observed[kinds][:, None, None], projection)

    def project(self, matrix: Float[Tensor, "*b d c"]) -> Float[Tensor, "g s k m c"]:
        """R M."""
        if self.projection is None:
            return matrix * self.observed[..., None]
        return self.projection.to(matrix) @ matrix

    def across(self, matrix: Float[Tensor, "*b d d"]) -> Float[Tensor, "g s k d m"]:
        """M Rᵀ."""
        if self.projection is None:
            return matrix * self.observed[..., None, :]
        return matrix @ self.projection.to(matrix).mT

    def behind(self, gain: Float[Tensor, "g s k d m"]) -> Float[Tensor, "g s k d d"]:
        """A R."""
        if self.projection is None:
            return gain * self.observed[..., None, :]
        return gain @ self.projection.to(gain)


@dataclass(frozen=True, eq=False)
class Seen:
    """The mixtures that g kinds of rows see, and what these say of points.

    Attributes:
        log_peak: log weight plus log density at the mean, shape (g, s, k).
        reference: R times that of the moments, shape (g, s|1, k|1, m).
        shift: R (μ - reference), shape (g, s, k, m).
        inverse: U = L⁻¹ of the Cholesky factors L of T, zero where nothing is measured, shape
            (g, s, k|1, m, m); T⁻¹ = Uᵀ U.
        gain: A, shape (g, s, k|1, d, m).
        offset: c, where points and measurements are about the reference, shape (g, s, k, d).
        rest: B, shape (g, s, k|1, d, d).
        known: entries of points that their measurements leave no doubt of, shape (g, d).
    """

    log_peak: Float[Tensor, "g s k"]
    reference: Float[Tensor, "g s1 k1 m"]
    shift: Float[Tensor, "g s k m"]
    inverse: Float[Tensor, "g s k1 m m"]
    gain: Float[Tensor, "g s k1 d m"]
    offset: Float[Tensor, "g s k d"]
    rest: Float[Tensor, "g s k1 d d"]
    known: Bool[Tensor, "g d"]

    @classmethod
    def by(cls, theta: Theta, measured: Measured, kinds: Tensor) -> Seen:
        """What rows of these kinds see."""
        p, d = theta.parameters, theta.parameters.means.shape[-1]
        covariance, view = theta.family.dense(p.factor, d), View.of(measured, kinds)
        observed = view.observed.to(covariance)
        across = view.across(covariance)
        total = view.project(across) + (1 - observed).diag_embed()
        noise = None if measured.noise is None else measured.noise[kinds][:, None, None]
        if noise is not None:
            total = total + noise
        root, failed = torch.linalg.cholesky_ex(total)
        root = root.masked_fill((failed != 0)[..., None, None], torch.nan)
        inverse = torch.linalg.solve_triangular(root, observed.diag_embed(), upper=False)
        gain = across @ inverse.mT @ inverse
        away = p.means - theta.reference
        shift = view.project(away[..., None])[..., 0]
        log_determinant = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        reference = theta.reference.expand(away.shape if theta.centred else (1, 1, d))
        return cls(
            log_peak=p.log_shares - log_determinant - 0.5 * LOG_2PI * observed.sum(-1),
            reference=view.project(reference[..., None])[..., 0],
            shift=shift,
            inverse=inverse,
            gain=gain,
            offset=away - (gain @ shift[..., None])[..., 0],
            rest=_rest(covariance, gain, across, view, noise),
            known=measured.known[kinds],
        )

    def coefficients(self) -> Float[Tensor, "g s k f"]:
        """Natural parameters by feature, as those of `Theta`."""
        m = self.shift.shape[-1]
        precision = self.inverse.mT @ self.inverse
        linear = (precision @ self.shift[..., None])[..., 0]
        constant = self.log_peak - 0.5 * (self.shift * linear).sum(-1)
        quadratic = FULL.pack(-0.5 * precision, m).expand(*constant.shape, -1)
        return torch.cat([constant[..., None], linear, quadratic], -1)

    def of_points(
        self,
        counts: Float[Tensor, "g s k"],
        first: Float[Tensor, "g s k m"],
        second: Float[Tensor, "g s k m m"],
    ) -> tuple[Float[Tensor, "s k"], Float[Tensor, "s k d"], Float[Tensor, "s k d d"]]:
        """Expected sums over the points of all kinds, from those over their measurements."""
        sums, squares = self._means(counts, first, second)
        squares = squares + times(counts, self.rest)
        return counts.sum(0), sums.sum(0), squares.sum(0)

    def of_drawn_points(
        self,
        counts: Float[Tensor, "g s k"],
        first: Float[Tensor, "g s k m"],
        second: Float[Tensor, "g s k m m"],
        noise: Float[Tensor, "g s k a d"],
    ) -> tuple[Float[Tensor, "s k"], Float[Tensor, "s k d"], Float[Tensor, "s k d d"]]:
        """Sums over points that are drawn given their measurements.

        Args:
            counts: of the measurements.
            first: of the measurements.
            second: of the measurements.
            noise: sums of a εᵀ with standard normal ε, over a = 1, the measurement, and ε.
        """
        m = first.shape[-1]
        sums, squares = self._means(counts, first, second)
        root = self.root_of_rest
        once, along, twice = noise[..., 0, :], noise[..., 1 : 1 + m, :], noise[..., 1 + m :, :]
        cross = (self.gain @ along + self.offset[..., None] * once[..., None, :]) @ root.mT
        squares = squares + cross + cross.mT + root @ twice @ root.mT
        return counts.sum(0), (sums + (root @ once[..., None])[..., 0]).sum(0), squares.sum(0)

    def _means(
        self,
        counts: Float[Tensor, "g s k"],
        first: Float[Tensor, "g s k m"],
        second: Float[Tensor, "g s k m m"],
    ) -> tuple[Float[Tensor, "g s k d"], Float[Tensor, "g s k d d"]]:
        """Sums over A x + c, and over its squares."""
        along = (self.gain @ first[..., None])[..., 0]
        offset = times(counts, self.offset)
        cross = (along + 0.5 * offset)[..., None] * self.offset[..., None, :]
        return along + offset, self.gain @ second @ self.gain.mT + cross + cross.mT

    @property
    def root_of_rest(self) -> Float[Tensor, "g s k1 d d"]:
        """A root of B, zero for what is known."""
        known = self.known[:, None, None].to(self.rest)
        doubtful = self.rest * (1 - known)[..., None] * (1 - known)[..., None, :]
        root, failed = torch.linalg.cholesky_ex(doubtful + known.diag_embed())
        if not failed.any():
            return root - known.diag_embed()
        values, vectors = torch.linalg.eigh(doubtful.nan_to_num())  # some direction is known, too
        return vectors * values.clamp_min(0.0).sqrt()[..., None, :]


def _rest(
    covariance: Float[Tensor, "s k1 d d"],
    gain: Float[Tensor, "g s k1 d m"],
    across: Float[Tensor, "g s k1 d m"],
    view: View,
    noise: Float[Tensor, "g 1 1 m m"] | None,
) -> Float[Tensor, "g s k1 d d"]:
    """Σ - A R Σ; with noise as the sum of two squares, in which little of it does not cancel."""
    if noise is None:
        return covariance - gain @ across.mT
    left = torch.eye(covariance.shape[-1]).to(covariance) - view.behind(gain)
    return left @ covariance @ left.mT + gain @ noise @ gain.mT


def marginal_theta(
    theta: Theta, measured: Measured, kind: Int[Tensor, ""], entries: Int[Tensor, "o"]
) -> Theta:
    """The mixture of some entries of the measurements of a kind."""
    p, d = theta.parameters, theta.parameters.means.shape[-1]
    view = View.of(measured, kind[None])
    total = view.project(view.across(theta.family.dense(p.factor, d)))[0]
    if measured.noise is not None:
        total = total + measured.noise[kind]
    root = torch.linalg.cholesky(total[..., entries, :][..., entries])
    root = root.expand(*p.means.shape[:2], -1, -1)
    means = view.project(p.means[..., None])[0, ..., 0]
    return Theta.about_means(FULL, Parameters(p.log_weights, means[..., entries], root, p.log_odds))
