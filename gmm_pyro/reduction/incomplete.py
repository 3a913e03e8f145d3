"""The kernel of points that were measured in part, or with noise.

Rows of one kind, x = R v + e with e ~ N(0, E), see a mixture of Gaussians of their own: component k
is N(R μ, T) there, with T = R Σ Rᵀ + E. So their logits and moments are two products, as those of
whole points are. What the moments of x say of those of the point v itself is affine in a component:

    v | x, k  ~  N(A x + c, B),    A = Σ Rᵀ T⁻¹,    c = μ - A R μ,    B = Σ - A R Σ

so that sums over rows become sums over points by a few products a kind. The derivative of log p(x)
by the natural parameters is the expected Σ r φ(v), as ever.

Source: Bovy, Hogg & Roweis (2011), equations 7 to 12; Ghahramani & Jordan (1994).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariance import Full, Statistics
from ..covariance.records import LOG_2PI, times
from ..data.measured import Measured, Run
from ..data.points import Points
from ..running.threads import Sums
from .assignments import Assignment, Drawn
from .kernels import Kernel, Piece, chunk_rows
from .theta import Theta

MATRICES = 1 << 21  # numbers in those of all kinds and components in a piece, at most
SEEDS_APART = 0x9E3779B97F4A7C15  # of the draws of blocks that begin at consecutive rows
FULL = Full()  # the family of what kinds of rows see


@dataclass(frozen=True, eq=False)
class Seen:
    """The mixtures that g kinds of rows see, and what these say of points.

    Attributes:
        log_peak: log weight plus log density at the mean, shape (g, s, k).
        shift: R (μ - reference), shape (g, s, k, m).
        inverse: U = L⁻¹ of the Cholesky factors L of T, zero where nothing is measured, shape
            (g, s, k|1, m, m); T⁻¹ = Uᵀ U.
        gain: A, shape (g, s, k|1, d, m).
        offset: c, where points and measurements are about the reference, shape (g, s, k, d).
        rest: B, shape (g, s, k|1, d, d).
        known: entries of points that their measurements leave no doubt of, shape (g, d).
    """

    log_peak: Float[Tensor, "g s k"]
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
        covariance = theta.family.dense(p.factor, d)
        observed = measured.observed[kinds].to(covariance)[:, None, None]
        across = covariance * observed[..., None, :]  # Σ Rᵀ
        total = across * observed[..., None] + (1 - observed).diag_embed()
        if measured.noise is not None:
            total = total + measured.noise[kinds][:, None, None]
        root, failed = torch.linalg.cholesky_ex(total)
        root = root.masked_fill((failed != 0)[..., None, None], torch.nan)
        inverse = torch.linalg.solve_triangular(root, observed.diag_embed(), upper=False)
        gain = across @ inverse.mT @ inverse
        away = p.means - theta.reference
        shift = away * observed
        log_determinant = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return cls(
            log_peak=p.log_weights - log_determinant - 0.5 * LOG_2PI * observed.sum(-1),
            shift=shift,
            inverse=inverse,
            gain=gain,
            offset=away - (gain @ shift[..., None])[..., 0],
            rest=covariance - gain @ across.mT,
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
        root = self._root_of_rest
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
    def _root_of_rest(self) -> Float[Tensor, "g s k1 d d"]:
        """A root of B, zero for what is known."""
        known = self.known[:, None, None].to(self.rest)
        doubtful = self.rest * (1 - known)[..., None] * (1 - known)[..., None, :]
        root, failed = torch.linalg.cholesky_ex(doubtful + known.diag_embed())
        return root.masked_fill((failed != 0)[..., None, None], torch.nan) - known.diag_embed()


@dataclass(frozen=True, eq=False)
class Work:
    """A piece of measurements: runs of rows, with what their kinds see.

    Attributes:
        theta: s sets of k components.
        seen: what the kinds see.
        x: the measurements, by their kinds, shape (n, m).
        runs: which rows are of which kinds.
    """

    theta: Theta
    seen: Seen
    x: Float[Tensor, "n m"]
    runs: list[Run]

    def noise(
        self, responsibilities: Float[Tensor, "s k n"], generator: torch.Generator
    ) -> Float[Tensor, "g s k a d"]:
        """Sums of a εᵀ with standard normal ε, over a = 1, the measurement, and ε itself."""
        (g, s, k, m), d = self.seen.shift.shape, self.seen.offset.shape[-1]
        reference = self.theta.reference.expand(s, k, -1).to(self.x)[:, :, None]
        sums = self.seen.offset.new_zeros(g, s, k, 1 + m + d, d)
        for run in self.runs:
            if self.seen.known[run.kinds].all():
                continue
            share = _by_kind(responsibilities, run).double()
            x = self.x[run.rows].unflatten(0, (run.n_kinds, -1))[:, None, None]
            draws = torch.randn(
                *(run.n_kinds, s, x.shape[-2], d),
                generator=generator,
                dtype=torch.float64,
                device=x.device,
            )[:, :, None]
            z = (x - reference).double()
            ones, noise = torch.ones_like(z[..., :1]), draws.expand(*z.shape[:-1], -1)
            both = torch.cat([ones, z, noise], -1)
            sums[run.kinds] = (share[..., None] * both).mT @ draws
        return sums


class Products(Work):
    """Logits θ Φ and moments r Φᵀ of every kind, with features Φ as those of `Features`."""

    def logits(self) -> Float[Tensor, "s k n"]:
        """Log weight plus log density of every component at every row, in nats."""
        coefficients = self._by_set(self.seen.coefficients()).to(self.x)
        logits = self.x.new_empty(coefficients.shape[1], len(self.x))
        for run in self.runs:
            if run.n_kinds == 1:
                torch.mm(
                    coefficients[run.kinds.start],
                    self.features[:, run.rows],
                    out=logits[:, run.rows],
                )
            else:
                there = coefficients[run.kinds] @ _split(self.features, run)
                logits[:, run.rows] = there.transpose(0, 1).flatten(1)
        return logits.view(*self.seen.log_peak.shape[1:], -1)

    def moments(self, responsibilities: Float[Tensor, "s k n"]) -> tuple[Tensor, Tensor, Tensor]:
        """Counts, and first and second moments of the measurements of every kind."""
        share, m = responsibilities.flatten(0, 1), self.x.shape[1]
        shape = len(self.seen.log_peak), len(share), len(self.features)
        sums = self.x.new_empty(shape)
        for run in self.runs:
            if run.n_kinds == 1:
                torch.mm(
                    share[:, run.rows],
                    self.features[:, run.rows].T,
                    out=sums[run.kinds.start],
                )
            else:
                sums[run.kinds] = _split(share, run) @ _split(self.features, run).mT
        parts = sums.double().unflatten(1, self.seen.log_peak.shape[1:])
        return parts[..., 0], parts[..., 1 : 1 + m], FULL.unpack(parts[..., 1 + m :], m)

    @cached_property
    def features(self) -> Float[Tensor, "f n"]:
        """Φ = [1, z, quadratic features], about the reference."""
        n, m = self.x.shape
        features = self.x.new_ones(1 + m + FULL.n_features(m), n)
        torch.sub(self.x.T, self.theta.reference.to(self.x)[:, None], out=features[1 : 1 + m])
        FULL.quadratic_features(features[1 : 1 + m], features[1 + m :])()
        return features

    @staticmethod
    def _by_set(values: Float[Tensor, "g s k f"]) -> Float[Tensor, "g sk f"]:
        return values.flatten(1, 2)


class Whitened(Work):
    """Logits log peak - ‖U (x - R μ)‖² / 2 and moments about a reference, as those of `Centred`."""

    def logits(self) -> Float[Tensor, "s k n"]:
        """Log weight plus log density of every component at every row, in nats."""
        log_peak, inverse = self.seen.log_peak.to(self.x), self.seen.inverse.to(self.x)
        means = self.theta.parameters.means.to(self.x)[:, :, None]
        logits = self.x.new_empty(*log_peak.shape[1:], len(self.x))
        for run in self.runs:
            z = self._rows(run) - means
            squares = (z @ inverse[run.kinds].mT).square_().sum(-1)
            there = log_peak[run.kinds, ..., None] - 0.5 * squares
            logits[..., run.rows] = there.permute(1, 2, 0, 3).flatten(2)
        return logits

    def moments(self, responsibilities: Float[Tensor, "s k n"]) -> tuple[Tensor, Tensor, Tensor]:
        """Counts, and first and second moments of the measurements of every kind."""
        reference, shape = self.theta.reference.to(self.x), self.seen.shift.shape
        reference = reference.expand(shape[1:])[:, :, None]
        counts = self.seen.log_peak.new_empty(shape[:-1])
        first, second = counts.new_empty(shape), counts.new_empty(*shape, shape[-1])
        for run in self.runs:
            share = _by_kind(responsibilities, run)[..., None]
            z = self._rows(run) - reference
            counts[run.kinds], first[run.kinds] = share.sum((-2, -1)), (share * z).sum(-2)
            second[run.kinds] = ((share * z).mT @ z).double()
        return counts, first, second

    def _rows(self, run: Run) -> Float[Tensor, "g 1 1 p m"]:
        """The measurements of each kind."""
        return self.x[run.rows].unflatten(0, (run.n_kinds, -1))[:, None, None]


def _by_kind(responsibilities: Float[Tensor, "s k n"], run: Run) -> Float[Tensor, "g s k p"]:
    """Responsibilities at the rows of each kind."""
    return responsibilities[..., run.rows].unflatten(2, (run.n_kinds, -1)).permute(2, 0, 1, 3)


def _split(values: Float[Tensor, "v n"], run: Run) -> Float[Tensor, "g v p"]:
    """What belongs to rows of each kind."""
    return values[:, run.rows].unflatten(1, (run.n_kinds, -1)).transpose(0, 1)


class Incomplete(Kernel[list[Run]]):
    """Logits and moments of measurements, kind by kind, and what they say of points."""

    drawn: torch.Generator | None = None  # of what is not known of points, where that is drawn

    def __init__(self, theta: Theta, points: Points, like: Tensor) -> None:
        assert points.measured is not None
        self.theta, self.points, self.measured = theta, points, points.measured
        self.shape, (m, d) = theta.parameters.log_weights.shape, (points.d, points.d)
        self.m, self.like = m, like
        wide = 3 * m * self.shape.numel() if theta.centred else 0
        width = 1 + m + FULL.n_features(m) + self.shape.numel()
        self.rows = chunk_rows(max(width, wide), points.n, like)
        self.most_kinds = max(1, MATRICES // (6 * self.shape.numel() * m * max(m, d)))

    def blocks(self) -> list[list[Run]]:
        """See `Kernel`."""
        return self.measured.pieces(self.rows, self.most_kinds)

    def restart(self) -> None:
        """See `Kernel`."""
        family, means = self.theta.family, self.theta.parameters.means
        second = means.new_zeros(self.shape[0], *family.factor_shape(self.shape[1], means.shape[2]))
        self.moments = means.new_zeros(self.shape), torch.zeros_like(means), second

    @torch.no_grad()
    def sums(self, block: list[Run], assign: Assignment) -> Sums:
        """See `Kernel`; where components are drawn, so is what is not known of the points."""
        self.drawn = None
        if isinstance(assign, Drawn):
            seed = (assign.seed + SEEDS_APART * block[0].rows.start) % 2**63
            self.drawn = torch.Generator(self.like.device).manual_seed(seed)
        return super().sums(block, assign)

    def pieces(self, block: list[Run]) -> Iterator[Piece]:
        """See `Kernel`."""
        rows = slice(block[0].rows.start, block[-1].rows.stop)
        kinds = slice(block[0].kinds.start, block[-1].kinds.stop)
        runs = [
            Run(_since(run.rows, rows.start), _since(run.kinds, kinds.start)) for run in block
        ]
        seen = Seen.by(self.theta, self.measured, self.measured.kinds[kinds])
        x = self.measured.in_order[rows].to(self.like)
        self.work = (Whitened if self.theta.centred else Products)(self.theta, seen, x, runs)
        index = self.measured.order[rows]
        yield Piece(index, x, self.work.logits(), self.points.weight_of(index))

    def add_moments(self, responsibilities: Float[Tensor, "s k n"]) -> None:
        """See `Kernel`."""
        family, seen, sums = self.theta.family, self.work.seen, self.work.moments(responsibilities)
        if self.drawn is None:
            counts, first, squares = seen.of_points(*sums)
        else:
            noise = self.work.noise(responsibilities, self.drawn)
            counts, first, squares = seen.of_drawn_points(*sums, noise)
        second = family.pooled(family.compress(squares))
        for total, part in zip(self.moments, (counts, first, second), strict=True):
            total += part

    def statistics(self, log_norm: Tensor, sums: Sums) -> Statistics:
        """See `Kernel`."""
        return Statistics(log_norm, *sums, self.theta.reference)


def _since(some: slice, start: int) -> slice:
    """The slice, counted from there."""
    return slice(some.start - start, some.stop - start)
