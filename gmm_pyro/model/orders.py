"""Orders of components of some classes: those that differ, and those that exchange two.

An order of k components says which of them takes place j. Components of one class are alike, so
that orders differ in what classes are where.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import torch
from jaxtyping import Int
from torch import Tensor


def exchanges(k: int, pairs: Sequence[tuple[int, int]]) -> Int[Tensor, "o k"]:
    """The orders that exchange two components each."""
    orders = torch.arange(k).repeat(len(pairs), 1)
    for order, (i, j) in zip(orders, pairs, strict=True):
        order[i], order[j] = j, i
    return orders


def different_exchanges(classes: Sequence[int]) -> Int[Tensor, "o k"]:
    """The orders that exchange two components of different classes."""
    pairs = combinations(range(len(classes)), 2)
    return exchanges(len(classes), [(i, j) for i, j in pairs if classes[i] != classes[j]])


def n_numberings(classes: Sequence[int]) -> int:
    """Number of numberings that a prior tells apart: k! over the product of c! of the classes."""
    sizes = [classes.count(number) for number in set(classes)]
    return math.factorial(len(classes)) // math.prod(map(math.factorial, sizes))


def arrangements(classes: Sequence[int]) -> Iterator[list[int]]:
    """All orders that differ: the places of a class take components in rising order."""
    places = [[j for j, c in enumerate(classes) if c == n] for n in range(max(classes) + 1)]

    def arranged(number: int, left: tuple[int, ...]) -> Iterator[list[int]]:
        if number == len(places):
            yield [0] * len(classes)
            return
        for chosen in combinations(left, len(places[number])):
            for order in arranged(number + 1, tuple(i for i in left if i not in chosen)):
                for place, i in zip(places[number], chosen, strict=True):
                    order[place] = i
                yield order

    return arranged(0, tuple(range(len(classes))))


def rising(order: Int[Tensor, "k"], classes: Sequence[int]) -> Int[Tensor, "k"]:
    """The order with the components in the places of one class in rising order."""
    of_place = torch.tensor(classes)
    for number in range(max(classes) + 1):
        order[of_place == number] = order[of_place == number].sort().values
    return order
