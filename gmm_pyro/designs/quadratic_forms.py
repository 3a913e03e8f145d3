"""Probabilities of quadratic forms in normal variables, by inversion along lines of descent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Inexact

FLAT = 1e-12  # standard deviation of a form that is a number
DESCENT = 3.0  # in the integrand's logarithm, from one vertex of the path to the next
ENDS_AT = 25.0  # descent that leaves a tail of 1e-11 of the integral
MOST_PIECES = 200
MOST_STEPS = 100  # of Newton's method, or halves of an interval
LOWEST_CLIMB = 0.35  # of the path along the imaginary axis, per unit of its length
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(10)


@dataclass(frozen=True)
class QuadraticForms:
    """p forms Q = c + Σ_l (b_l z_l² + 2 a_l z_l) in independent standard normal z.

    Attributes:
        constant: c, shape (p,).
        squares: b, shape (p, d).
        lines: a², shape (p, d): the sign of a does not matter.
    """

    constant: Float[np.ndarray, "p"]
    squares: Float[np.ndarray, "p d"]
    lines: Float[np.ndarray, "p d"]

    def above_zero(self) -> Float[np.ndarray, "p"]:
        """P(Q > 0) of each form, shape (p,), with about ten digits; ½ where Q is the number 0.

        The logarithm of E exp(sQ) is s c + Σ_l [2 s² a_l² / q_l - ½ log q_l], q_l = 1 - 2 s b_l,
        and P(Q > 0) is the integral of E exp(sQ) / s along a line from s_0 - i∞ to s_0 + i∞,
        divided by 2πi, for any s_0 > 0 where the mean exists (the inversion of the characteristic
        function; Imhof 1961, Davies 1980, AS 155). Any path will do that passes the singularities,
        which are real, on the same side. Here it starts at the saddle on the real axis and follows
        steepest descent piece by piece, always upwards, so that the integrand neither oscillates
        nor cancels (Rice 1980, SIAM J. Sci. Stat. Comput. 1, 438-448). A form without squares, a
        normal variable, is no special case, nor is one with few of them.
        """
        spread = np.sqrt(2 * (self.squares**2).sum(-1) + 4 * self.lines.sum(-1))
        flat = spread <= FLAT * np.maximum(1.0, abs(self.constant))
        known = flat | self._is_bounded_by_zero()
        sign = np.where(abs(self.constant) <= FLAT, 0.0, np.sign(self.constant))
        found = np.where(flat, (1 + sign) / 2, 0.0)
        if not known.all():
            rest = QuadraticForms(self.constant[~known], self.squares[~known], self.lines[~known])
            found[~known] = rest._integral()
        return found

    def _is_bounded_by_zero(self) -> np.ndarray:
        """Whether Q cannot be positive: squares below zero, and a maximum that is no more."""
        below = self.squares < 0
        ratios = np.divide(self.lines, self.squares, out=np.zeros_like(self.lines), where=below)
        concave = (below | ((self.squares == 0) & (self.lines == 0))).all(-1)
        return concave & (self.constant - ratios.sum(-1) <= 0)

    def _integral(self) -> Float[np.ndarray, "p"]:
        """P(Q > 0) as an integral over a path of straight pieces."""
        path = self._path(self._saddle())
        start, piece = path[:, :-1, None], np.diff(path, axis=1)[:, :, None]
        s = (start + piece * (1 + NODES) / 2).reshape(len(path), -1)
        values = np.exp(self._log_integrand(s)).reshape(*piece.shape[:2], -1) * piece
        return np.clip((values @ NODE_WEIGHTS).imag.sum(-1) / (2 * np.pi), 0.0, 1.0)

    def _log_integrand(self, s: Inexact[np.ndarray, "p m"]) -> Inexact[np.ndarray, "p m"]:
        """log(E exp(sQ) / s)."""
        b, lines = self.squares[:, None, :], self.lines[:, None, :]
        q = 1 - 2 * s[..., None] * b
        terms = 2 * (s * s)[..., None] * lines / q - np.log(q) / 2
        return s * self.constant[:, None] + terms.sum(-1) - np.log(s)

    def _slopes(
        self, s: Inexact[np.ndarray, "p"]
    ) -> tuple[Inexact[np.ndarray, "p"], Inexact[np.ndarray, "p"]]:
        """First and second derivative of `_log_integrand`."""
        b, at = self.squares, s[:, None]
        q = 1 - 2 * at * b
        first = b / q + 4 * self.lines * at * (1 - at * b) / q**2
        second = 2 * (b / q) ** 2 + 4 * self.lines / q**3
        return self.constant + first.sum(-1) - 1 / s, second.sum(-1) + 1 / (s * s)

    def _saddle(self) -> Float[np.ndarray, "p"]:
        """About where the integrand is least for s > 0, where its logarithm is convex."""
        steepest = self.squares.max(-1)
        bounded = steepest > 0
        end = np.divide(0.5, steepest, out=np.full_like(steepest, np.inf), where=bounded)
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
        vertices = [s]
        on_the_way = np.full(len(s), fill_value=True)
        for _ in range(MOST_PIECES):
            s = s + np.where(on_the_way, self._stride(s, first, second), 0.0) * ahead
            vertices.append(s)
            height = self._log_integrand(s[:, None])[:, 0].real + np.log(abs(s))
            on_the_way &= height > top - ENDS_AT
            if not on_the_way.any():
                break
            first, second = self._slopes(s)
            ahead = _descent(first)
        return np.stack(vertices, axis=1)

    def _stride(
        self, s: Complex[np.ndarray, "p"], first: np.ndarray, second: np.ndarray
    ) -> Float[np.ndarray, "p"]:
        """Length of a piece on which the integrand is smooth: by its slopes, and singularities."""
        twice = 2 * self.squares
        distance = np.divide(
            abs(1 - s[:, None] * twice),
            abs(twice),
            out=np.full(twice.shape, np.inf),
            where=twice != 0,
        )
        by_slope = np.divide(DESCENT, abs(first), out=np.full(len(s), np.inf), where=first != 0)
        by_curve = np.sqrt(2 * DESCENT / abs(second))
        return np.minimum.reduce([by_slope, by_curve, abs(s), distance.min(-1)])


def _descent(slope: Complex[np.ndarray, "p"]) -> Complex[np.ndarray, "p"]:
    """Direction of steepest descent, but at least so much upwards."""
    ahead = -np.conj(slope) / abs(slope)
    side = np.where(ahead.real < 0, -1.0, 1.0) * np.sqrt(1 - LOWEST_CLIMB**2)
    return np.where(ahead.imag < LOWEST_CLIMB, side + 1j * LOWEST_CLIMB, ahead)
