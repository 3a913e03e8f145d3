"""Partitions that the ranks of `torch.distributed` hold, a run of consecutive ones each.

All ranks make the same calls. Each works on its own partitions and joins what comes of neighbours
as far as the tree of all does; what is left goes to all ranks, which join it to the same result.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from types import FunctionType
from typing import Any, NoReturn

from torch import Tensor
from torch import distributed as ranks

from .places import Here, Join, Result, Work
from .threads import in_pairs

LOST = (
    "a rank of torch.distributed is gone, or was not there in time, and its points with it: start "
    "all ranks again"
)
APART = (
    "ranks of torch.distributed do not work on the same: all must make the same calls, with the "
    "same model and options, on processors of one kind; after an interrupt, start all ranks again"
)


@dataclass(frozen=True, eq=False)
class OnRanks:
    """Partitions of this rank, which others follow and precede.

    Attributes:
        here: those of this rank.
        counts: how many each rank has, one or more.
    """

    here: Here
    counts: tuple[int, ...]

    @property
    def first(self) -> int:
        """The number of this rank's first one among all."""
        return sum(self.counts[: ranks.get_rank()])

    def fold(self, work: Work[Result], join: Join[Result]) -> Result:
        """See `Places`."""
        told: list[list[Any]] = gathered(partial(self._joined, work, join), work)
        result: Result = in_pairs([*chain(*told)], partial(_of_two, join=join))
        return result

    def each(self, works: Mapping[int, Work[Result]]) -> dict[int, Result]:
        """See `Places`; all ranks have all results."""
        first, held = self.first, self.here.held
        own = {i: work for i, work in works.items() if 0 <= i - first < len(held)}
        found = gathered(lambda: {i: work(held[i - first]) for i, work in own.items()}, works)
        return {i: result for some in found for i, result in some.items()}

    def partitions(self, count: int) -> NoReturn:
        """Refused: values of all points would go to all ranks."""
        raise ValueError(
            "these data are on several ranks, and values of all points on none: ask for those of a "
            "rank's own points, as mixture.predict(x) does"
        )

    def _joined(self, work: Work[Result], join: Join[Result]) -> list[Result | None]:
        """What comes of this rank's partitions; of neighbours that are joined here, at the first.

        The places of the others have None, so that all the rest is joined as if they were there.
        """
        found: list[Result | None] = [*self.here.results(work)]
        width = 1
        while 2 * width <= len(found):
            for i in range(-self.first % (2 * width), len(found) - 2 * width + 1, 2 * width):
                found[i] = _of_two(found[i], found[i + width], join)
                found[i + width] = None
            width *= 2
        return found


def gathered(compute: Callable[[], Result], told: Any = None) -> list[Result]:
    """What a call comes to on each rank, in their order, on all of them.

    Args:
        compute: the call; if it raises an error on a rank, all raise it.
        told: what it goes by, which must be the same on all ranks.

    Raises:
        ConnectionError: if a rank is not there any more.
        RuntimeError: if ranks do not go by the same.
    """
    own: Result | Exception
    try:
        own = compute()
    except Exception as error:  # noqa: BLE001 - whatever it is, the others wait to be told
        own = error
    found: list[Any] = [None] * ranks.get_world_size()
    try:
        ranks.all_gather_object(found, (own, _fingerprint(told)))
    except RuntimeError as error:
        raise ConnectionError(LOST) from error
    for result, _ in found:
        if isinstance(result, Exception):
            raise result
    if len({fingerprint for _, fingerprint in found}) > 1:
        raise RuntimeError(APART)
    return [result for result, _ in found]


def _of_two(one: Any, other: Any, join: Join[Any]) -> Any:
    return one if other is None else join(one, other)


class _Fingerprint(pickle.Pickler):
    """Goes through a value for its tensors and the names of its functions."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.hashed = hashlib.blake2b(digest_size=8)

    def reducer_override(self, value: Any) -> Any:
        """See `pickle`."""
        if isinstance(value, Tensor):
            self.hashed.update(value.detach().cpu().contiguous().numpy().tobytes())
        elif isinstance(value, FunctionType):
            self.hashed.update(value.__qualname__.encode())
        else:
            return NotImplemented
        return str, ()


def _fingerprint(value: Any) -> str:
    """A few letters that tell what ranks go by from anything else, to the last bit."""
    found = _Fingerprint()
    found.dump(value)
    return found.hashed.hexdigest()
