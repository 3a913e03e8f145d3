"""The kernel of points that were measured in part, or with noise.

Rows of one kind see a mixture of their own (`seen.py`). So their logits and moments are two
products, as those of whole points are, and the moments become expected ones of the points: the
derivative of log p(x) by the natural parameters, as ever. Where components are drawn, what is not
known of the points is drawn too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..covariance import Statistics
from ..data.measured import Run
from ..data.points import Points
from ..running.threads import Sums
from .assignments import Assignment, Drawn
from .kernels import Kernel, Piece, chunk_rows
from .seen import FULL, Seen, marginal_theta
from .theta import Theta

MATRICES = 1 << 21  # numbers in those of all kinds and components in a piece, at most
SEEDS_APART = 0x9E3779B97F4A7C15  # of the draws of blocks that begin at consecutive rows


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
            z = (x - self._reference(run)).double().nan_to_num_(0.0).expand(-1, s, k, -1, -1)
            ones, noise = torch.ones_like(z[..., :1]), draws.expand(*z.shape[:-1], -1)
            both = torch.cat([ones, z, noise], -1)
            sums[run.kinds] = (share[..., None] * both).mT @ draws
        return sums

    def _reference(self, run: Run) -> Float[Tensor, "g s1 k1 1 m"]:
        """What moments of measurements of each kind are about."""
        return self.seen.reference[run.kinds].to(self.x)[..., None, :]


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
        z = features[1 : 1 + m]
        for run in self.runs:
            reference = self._reference(run)[:, 0, 0].expand(
                -1, len(self.x[run.rows]) // run.n_kinds, m
            )
            torch.sub(self.x[run.rows].T, reference.flatten(0, 1).T, out=z[:, run.rows])
        z.nan_to_num_(0.0)  # which is nothing, times a precision of zero
        FULL.quadratic_features(z, features[1 + m :])()
        return features

    @staticmethod
    def _by_set(values: Float[Tensor, "g s k f"]) -> Float[Tensor, "g sk f"]:
        return values.flatten(1, 2)


class Whitened(Work):
    """Logits log peak - ‖U (x - R μ)‖² / 2 and moments about a reference, as those of `Centred`."""

    def logits(self) -> Float[Tensor, "s k n"]:
        """Log weight plus log density of every component at every row, in nats."""
        log_peak, inverse = self.seen.log_peak.to(self.x), self.seen.inverse.to(self.x)
        means = (self.seen.reference + self.seen.shift).to(self.x)[..., None, :]
        logits = self.x.new_empty(*log_peak.shape[1:], len(self.x))
        for run in self.runs:
            z = (self._rows(run) - means[run.kinds]).nan_to_num_(0.0)
            squares = (z @ inverse[run.kinds].mT).square_().sum(-1)
            there = log_peak[run.kinds, ..., None] - 0.5 * squares
            logits[..., run.rows] = there.permute(1, 2, 0, 3).flatten(2)
        return logits

    def moments(self, responsibilities: Float[Tensor, "s k n"]) -> tuple[Tensor, Tensor, Tensor]:
        """Counts, and first and second moments of the measurements of every kind."""
        shape = self.seen.shift.shape
        counts = self.seen.log_peak.new_empty(shape[:-1])
        first, second = counts.new_empty(shape), counts.new_empty(*shape, shape[-1])
        for run in self.runs:
            share = _by_kind(responsibilities, run)[..., None]
            z = (self._rows(run) - self._reference(run)).nan_to_num_(0.0)
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
        self.shape, (m, d) = theta.parameters.log_weights.shape, (points.measured.m, points.d)
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

    def all_pieces(self, block: list[Run]) -> Iterator[Piece]:
        """See `Kernel`."""
        rows = slice(block[0].rows.start, block[-1].rows.stop)
        kinds = slice(block[0].kinds.start, block[-1].kinds.stop)
        runs = [Run(_since(run.rows, rows.start), _since(run.kinds, kinds.start)) for run in block]
        seen = Seen.by(self.theta, self.measured, self.measured.kinds[kinds])
        x = self.measured.in_order[rows].to(self.like)
        self.work = (Whitened if self.theta.centred else Products)(self.theta, seen, x, runs)
        index = self.measured.order[rows]
        yield Piece(index, x, self.work.logits(), self.points.weight_of(index))

    @property
    def about_reference(self) -> Float[Tensor, "d n"] | None:
        """See `Kernel`."""
        if not isinstance(self.work, Products) or self.measured.projection is not None:
            return None
        return self.work.features[1 : 1 + self.m]

    def mixtures_at(
        self, piece: Piece, rows: Bool[Tensor, "n"]
    ) -> Iterator[tuple[Int[Tensor, "m"], Theta, Float[Tensor, "m d"]]]:
        """See `Kernel`."""
        of_kind = torch.where(rows, self.measured.kind[piece.rows], -1)
        for kind in of_kind[rows].unique():
            some = (of_kind == kind).nonzero()[:, 0]
            there = self.measured.observed[kind].nonzero()[:, 0]
            if len(there):
                seen = marginal_theta(self.theta, self.measured, kind, there)
                yield some, seen, piece.x[some][:, there]

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

    def statistics(self, log_norm: Float[Tensor, "s"], sums: Sums) -> Statistics:
        """See `Kernel`."""
        counts, first, second = sums
        return Statistics(log_norm, counts, first, second, self.theta.reference)


def _since(some: slice, start: int) -> slice:
    """The slice, counted from there."""
    return slice(some.start - start, some.stop - start)
