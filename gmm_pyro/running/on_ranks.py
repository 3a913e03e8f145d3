"""Partitions that the ranks of `torch.distributed` hold, a run of consecutive ones each.

All ranks make the same calls. Each works on its own partitions and joins what comes of neighbours
as far as the tree of all does; what is left goes to all ranks, which join it to the same result.
"""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any, NoReturn

from torch import Tensor
from torch import distributed as ranks

from .places import Here, Join, Result, Work
from .threads import alone, in_pairs_at

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
    def own(self) -> range:
        """The numbers of this rank's partitions among all."""
        first = sum(self.counts[: ranks.get_rank()])
        return range(first, first + len(self.here.held))

    def fold(self, work: Work[Result], join: Join[Result]) -> Result:
        """See `Places`."""

        def joined() -> dict[int, Result]:
            return within(self.own, dict(zip(self.own, self.here.results(work), strict=True)), join)

        return in_pairs_at(_merged(gathered(joined, work)), join)

    def fold_some(
        self, work: Callable[[Any, Any], Result], told: Mapping[int, Any], join: Join[Result]
    ) -> Result:
        """See `Places`."""

        def joined() -> dict[int, Result]:
            works = {number: partial(_alone, work, own) for number, own in told.items()}
            return within(self.own, self._own(works), join)

        return in_pairs_at(_merged(gathered(joined, (work, told))), join)

    def each(self, works: Mapping[int, Work[Result]]) -> dict[int, Result]:
        """See `Places`; all ranks have all results."""
        return _merged(gathered(partial(self._own, works), works))

    def partitions(self, count: int) -> NoReturn:
        """Refused: values of all points would go to all ranks."""
        raise ValueError(
            "these data are on several ranks, and values of all points on none: ask for those of a "
            "rank's own points, as mixture.predict(x) does"
        )

    def asked(self, question: Callable[[], Any]) -> dict[str, Any]:
        """See `Places`."""
        return {f"rank {rank}": answer for rank, answer in enumerate(gathered(question))}

    def _own(self, works: Mapping[int, Work[Result]]) -> dict[int, Result]:
        """What comes of work on some partitions, as far as they are this rank's."""
        first = self.own.start
        found = self.here.each({i - first: works[i] for i in works if i in self.own})
        return {first + i: result for i, result in found.items()}


def within(own: range, found: dict[int, Result], join: Join[Result]) -> dict[int, Result]:
    """What comes of consecutive partitions, joined as far as the tree of all does it among them.

    Args:
        own: numbers of the partitions.
        found: what comes of them, or of some; it changes.
        join: makes one of the results of neighbours.

    Returns:
        What is left, each at the place of its first partition.
    """
    width = 1
    while 2 * width <= len(own):
        for left in range(
            own.start + -own.start % (2 * width), own.stop - 2 * width + 1, 2 * width
        ):
            pair = [found.pop(place) for place in (left, left + width) if place in found]
            if pair:
                found[left] = functools.reduce(join, pair)
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


def _merged(found: Sequence[Mapping[int, Result]]) -> dict[int, Result]:
    return {number: result for own in found for number, result in own.items()}


def _alone(work: Callable[[Any, Any], Result], told: Any, partition: Any) -> Result:
    with alone():
        return work(partition, told)


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
