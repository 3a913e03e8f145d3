"""Which points are near to each other, and which are lonely: where a split may begin.

It depends on the points alone, and not on where a chain is: so what is picked by it is picked alike
before and after a move.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEAREST = 24  # neighbours that a lonely point is told apart from
AMONG = 3  # neighbours whose distance says how lonely a point is
FEW = (0, 1, 2, 4, 8)  # neighbours that a small component begins with beside it


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Of n points.

    Attributes:
        x: the points in units of their spread, shape (n, d).
        neighbours: the nearest others of each, in rising distance, shape (n, m).
        loneliness: the distance to one of the first of them, shape (n,).
    """

    x: Float[Tensor, "n d"]
    neighbours: Int[Tensor, "n m"]
    loneliness: Float[Tensor, "n"]

    @classmethod
    def of(cls, x: Float[Tensor, "n d"]) -> Surroundings:
        """Of at least three points."""
        from scipy.spatial import cKDTree  # takes a while to import

        m = min(NEAREST, len(x) - 1)
        points = x.cpu().numpy()
        distances, found = cKDTree(points).query(points, m + 1)
        neighbours = torch.from_numpy(found).to(x.device)
        own = torch.arange(len(x), device=x.device)[:, None]
        others = (neighbours != own).to(torch.uint8)  # of equal points any may come first
        order = others.argsort(dim=1, descending=True, stable=True)[:, :m]
        lonely = torch.from_numpy(distances[:, min(AMONG, m)]).to(x.device)
        return cls(x, neighbours.gather(1, order), lonely + lonely.mean() + 1e-12)

    def drawn(
        self, s: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "s 2"], Bool[Tensor, "s n"]]:
        """Two points for every chain, and which points the second component begins with.

        Of half of the chains the two are any; of the others the second one is rather lonely, and
        the first one of its neighbours.
        """
        (n, m), device = self.neighbours.shape, self.x.device
        lonely = torch.rand(s, generator=generator, device=device) < 0.5
        second = torch.randint(n, (s,), generator=generator, device=device)
        first = torch.randint(n - 1, (s,), generator=generator, device=device)
        first = first + (first >= second)
        second_lonely = torch.multinomial(self.loneliness, s, replacement=True, generator=generator)
        near = self.neighbours[second_lonely]
        place = torch.randint(m, (s, 1), generator=generator, device=device)
        second = torch.where(lonely, second_lonely, second)
        first = torch.where(lonely, near.gather(1, place)[:, 0], first)
        points = torch.stack([first, second], 1)
        away = (self.x - self.x[points][:, :, None]).square().sum(-1)
        count = torch.tensor(FEW, device=device)[
            torch.randint(len(FEW), (s,), generator=generator, device=device)
        ]
        some = torch.zeros(s, n, dtype=torch.bool, device=device)
        some.scatter_(1, near, torch.arange(m, device=device) < count[:, None])
        return points, torch.where(lonely[:, None], some, away[:, 1] < away[:, 0])
