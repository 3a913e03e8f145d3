"""Probabilities that a log ratio of two Gaussians is positive, by inversion on lines of descent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Inexact

FLAT = 1e-12  # standard deviation of a log ratio that is a number
DESCENT = 7.0  # in the integrand's logarithm, from one vertex of the path to the next
ENDS_AT = 25.0  # descent that leaves a tail of 1e-11 of the integral
FARTHEST = 1e16  # from the axis: beyond, s Q is a rounding error of Q
MOST_PIECES = 200
MOST_STEPS = 100  # of Newton's method, or halves of an interval
LOWEST_CLIMB = 0.35  # of the path along the imaginary axis, per unit of its length
AT_ONCE = 2**13  # coordinates of log ratios
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(14)


@dataclass(frozen=True)
class LogRatios:
    """p log ratios Q = 2 log(π_j φ_j(x) / π_i φ_i(x)) at points x of Gaussian i.

    With Σ_i = L_i L_iᵀ and z = L_i⁻¹ (x - μ_i) along the eigenvectors of L_iᵀ Σ_j⁻¹ L_i,
    Q = c + Σ_l [z_l² - a_l (z_l - δ_l)²] is a quadratic form in independent standard normal z.

    Attributes:
        constant: c = 2 log(π_j / π_i) + Σ_l log a_l, shape (p,).
        ratios: the eigenvalues a, shape (p, d).
        shifts: a_l δ_l², shape (p, d), with δ the mean of j where that of i is 0.
    """

    constant: Float[np.ndarray, "p"]
    ratios: Float[np.ndarray, "p d"]
    shifts: Float[np.ndarray, "p d"]

    def above_zero(self) -> Float[np.ndarray, "p"]:
        """P(Q > 0) of each, shape (p,), with about ten digits; ½ where Q is the number 0.

        P(Q > 0) is the integral of E exp(sQ) / s along a line from s_0 - i∞ to s_0 + i∞, divided by
        2πi, for any s_0 > 0 where the mean exists: the inversion of the characteristic function
        (Imhof 1961; Davies 1980, AS 155). With q_l = 1 - 2 s (1 - a_l),

            log E exp(sQ) = s c - Σ_l [s (1 - 2s) a_l δ_l² / q_l + ½ log q_l].

        Any path will do that passes the singularities, which are real, on the same side. Here it
        starts at the saddle on the real axis and follows steepest descent piece by piece, always
        upwards, so that the integrand neither oscillates nor cancels (Rice 1980, SIAM J. Sci. Stat.
        Comput. 1, 438-448). Equal covariances, where Q is normal, are no special case. Where c is
        infinite, as a component of no weight has it, the answer is its sign.
        """
        flat = self._spread() <= FLAT * np.maximum(1.0, abs(self.constant))
        known = flat | self._never()
        sign = np.where(abs(self.constant) <= FLAT, 0.0, np.sign(self.constant))
        found = np.where(flat, (1 + sign) / 2, 0.0)
        open_ones = np.flatnonzero(~known)
        for rows in np.split(open_ones, np.arange(self._together, len(open_ones), self._together)):
            if len(rows):
                some = LogRatios(self.constant[rows], self.ratios[rows], self.shifts[rows])
                found[rows] = some._integral()
        return found

    @property
    def _together(self) -> int:
        """Log ratios that are integrated at once, in some tens of megabytes."""
        return max(1, AT_ONCE // self.ratios.shape[1])

    def _spread(self) -> Float[np.ndarray, "p"]:
        """Standard deviation of each."""
        variance = 2 * (1 - self.ratios) ** 2 + 4 * self.ratios * self.shifts
        return np.sqrt(variance.sum(-1))

    def _never(self) -> np.ndarray:
        """Whether Q has a maximum, which is not above 0."""
        narrower = self.ratios > 1  # in j than in i, along an axis
        gain = np.zeros_like(self.shifts)
        np.divide(self.shifts, self.ratios - 1, out=gain, where=narrower)
        bounded = (narrower | ((self.ratios == 1) & (self.shifts == 0))).all(-1)
        return bounded & (self.constant + gain.sum(-1) <= 0)

    def _integral(self) -> Float[np.ndarray, "p"]:
        """P(Q > 0) as an integral over a path of straight pieces."""
        path = self._path(self._saddle())
        start, piece = path[:, :-1, None], np.diff(path, axis=1)[:, :, None]
        s = (start + piece * (1 + NODES) / 2).reshape(len(path), -1)
        values = np.exp(self._log_integrand(s)).reshape(*piece.shape[:2], -1) * piece
        return np.clip((values @ NODE_WEIGHTS).imag.sum(-1) / (2 * np.pi), 0.0, 1.0)

    def _log_integrand(self, s: Inexact[np.ndarray, "p m"]) -> Inexact[np.ndarray, "p m"]:
        """log(E exp(sQ) / s)."""
        q = 1 - 2 * s[..., None] * (1 - self.ratios)[:, None, :]
        by_shift = (self.shifts[:, None, :] / q).sum(-1)
        by_size = np.log(q).sum(-1) / 2
        return s * (self.constant[:, None] - (1 - 2 * s) * by_shift) - by_size - np.log(s)

    def _slopes(
        self, s: Inexact[np.ndarray, "p"]
    ) -> tuple[Inexact[np.ndarray, "p"], Inexact[np.ndarray, "p"]]:
        """First and second derivative of `_log_integrand`."""
        b, at = 1 - self.ratios, s[:, None]
        q = 1 - 2 * at * b
        first = (b + self.shifts * (4 * at * (1 - at * b) - 1) / q) / q
        second = (2 * b**2 + 4 * self.ratios * self.shifts / q) / q**2
        return self.constant + first.sum(-1) - 1 / s, second.sum(-1) + 1 / (s * s)

    def _saddle(self) -> Float[np.ndarray, "p"]:
        """About where the integrand is least for s > 0, where its logarithm is convex."""
        steepest = 1 - self.ratios.min(-1)
        end = np.full_like(steepest, np.inf)
        np.divide(0.5, steepest, out=end, where=steepest > 0)
        low, high = np.zeros_like(end), end
        s = np.minimum(0.25, end / 2)
        for _ in range(MOST_STEPS):
            first, second = self._slopes(s)
            if (first**2 < second / 100).all():  # a tenth of the saddle's width away
                break
            low, high = np.where(first < 0, s, low), np.where(first > 0, s, high)
            newton = s - first / second
            middle = np.where(np.isfinite(high), (low + high) / 2, 2 * low)
            s = np.where((newton > low) & (newton < high), newton, middle)
        return s

    def _path(self, s: Float[np.ndarray, "p"]) -> Complex[np.ndarray, "p m"]:
        """Vertices from the saddle to where the integrand is nothing."""
        first, second = self._slopes(s)
        top = self._log_integrand(s[:, None])[:, 0] - np.log(second) / 2
        s, ahead = s.astype(complex), np.full(len(s), 1j)
        vertices, end = [s], FARTHEST / np.maximum(self._spread(), abs(self.constant))
        on_the_way = np.full(len(s), fill_value=True)
        for _ in range(MOST_PIECES):
            s = s + np.where(on_the_way, self._stride(s, first, second), 0.0) * ahead
            vertices.append(s)
            height = self._log_integrand(s[:, None])[:, 0].real + np.log(abs(s))
            on_the_way &= (height > top - ENDS_AT) & (abs(s) < end)
            if not on_the_way.any():
                break
            first, second = self._slopes(s)
            ahead = _descent(first)
        return np.stack(vertices, axis=1)

    def _stride(
        self, s: Complex[np.ndarray, "p"], first: np.ndarray, second: np.ndarray
    ) -> Float[np.ndarray, "p"]:
        """Length of a piece on which the integrand is smooth: by its slopes, and singularities."""
        twice = 2 * (1 - self.ratios)
        distance = np.full(twice.shape, np.inf)
        np.divide(abs(1 - s[:, None] * twice), abs(twice), out=distance, where=twice != 0)
        by_slope = np.full(len(s), np.inf)
        np.divide(DESCENT, abs(first), out=by_slope, where=first != 0)
        by_curve = np.sqrt(2 * DESCENT / abs(second))
        return np.minimum.reduce([by_slope, by_curve, abs(s), distance.min(-1)])


def _descent(slope: Complex[np.ndarray, "p"]) -> Complex[np.ndarray, "p"]:
    """Direction of steepest descent, but at least so much upwards."""
    ahead = -np.conj(slope) / abs(slope)
    side = np.where(ahead.real < 0, -1.0, 1.0) * np.sqrt(1 - LOWEST_CLIMB**2)
    return np.where(ahead.imag < LOWEST_CLIMB, side + 1j * LOWEST_CLIMB, ahead)
