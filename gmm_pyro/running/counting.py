"""Random numbers by a counter: each is a hash of a seed and of its own place, and of nothing else.

What is drawn for a row of data is then the same however rows are cut up, wherever they are, and
whichever others are asked for with it.

Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators": SplitMix64;
Black & Rogaway (2002), "Ciphers with arbitrary finite domains": networks of Feistel that walk on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Rows = slice | Tensor  # numbers of rows
BITS = {torch.float32: 24, torch.float64: 53}  # of a uniform number
GAMMA, FIRST, SECOND = (  # of SplitMix64, as signed numbers of 64 bits
    constant - 2**64 for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
TURNS = 8  # of a network of Feistel: four are enough for long numbers, and these may be short


def uniforms(seed: int, chains: range, rows: Rows, like: Tensor) -> Float[Tensor, "s n"]:
    """A number from [0, 1) for every chain and row, whichever others are asked for with it.

    Every chain has a SplitMix64 generator of its own, seeded by that of the seed, and a row the
    number of its place in it.

    Args:
        seed: of all of them.
        chains: consecutive chains, by their numbers.
        rows: of the whole data.
        like: a tensor of the type and place of the numbers.
    """
    chain = (
        torch.arange(chains.start + 1, chains.stop + 1, device=like.device).mul_(GAMMA).add_(seed)
    )
    if isinstance(rows, slice):
        rows = torch.arange(rows.start, rows.stop, device=like.device)
    place = (rows + 1).mul_(GAMMA)
    mixed, bits = split_mix(split_mix(chain)[:, None] + place), BITS[like.dtype]
    _shift(mixed, 64 - bits, out=mixed)
    return mixed.to(like.dtype).mul_(2.0**-bits)


def counted_from(first: int, rows: Rows) -> Rows:
    """Numbers of the same rows, where the first of all has another one."""
    if isinstance(rows, slice):
        return slice(rows.start - first, rows.stop - first)
    return rows - first


def shuffled(n: int, most: int, seed: int, first: int = 0) -> Int[Tensor, "m"]:
    """Some of the numbers from 0 to n - 1 in an order that n and the seed decide.

    None is there twice, and no more are worked out than are asked for.

    Args:
        n: how many numbers there are.
        most: how many are wanted, at most n - first.
        seed: of the order.
        first: the place in it of the first that is wanted.

    Example:
        >>> sorted(shuffled(5, 5, seed=1).tolist())
        [0, 1, 2, 3, 4]
        >>> shuffled(5, 5, seed=1)[2:4].equal(shuffled(5, 2, seed=1, first=2))
        True
    """
    return at_places(torch.arange(first, first + most), n, seed)


def at_places(places: Int[Tensor, "m"], n: int, seed: int) -> Int[Tensor, "m"]:
    """The numbers at some places of the order of `shuffled`."""
    return _walked(places, n, seed, _turned)


def places_of(numbers: Int[Tensor, "m"], n: int, seed: int) -> Int[Tensor, "m"]:
    """The places of some numbers in the order of `shuffled`.

    Example:
        >>> places_of(shuffled(7, 7, seed=1), 7, seed=1).tolist()
        [0, 1, 2, 3, 4, 5, 6]
    """
    return _walked(numbers, n, seed, _turned_back)


def _walked(
    numbers: Int[Tensor, "m"],
    n: int,
    seed: int,
    turned: Callable[[Tensor, int, list[int]], Tensor],
) -> Int[Tensor, "m"]:
    """A permutation of n numbers by one of more: walk on until none is outside."""
    half = max(1, ((n - 1).bit_length() + 1) // 2)  # bits of each half of a number
    keys = split_mix(torch.arange(1, TURNS + 1).mul_(GAMMA).add_(seed)).tolist()
    found = turned(numbers, half, keys)
    while (outside := found >= n).any():
        found[outside] = turned(found[outside], half, keys)
    return found


def _turned(numbers: Int[Tensor, "m"], half: int, keys: list[int]) -> Int[Tensor, "m"]:
    """A permutation of the numbers of two halves, by a network of Feistel."""
    mask = 2**half - 1
    left, right = numbers >> half, numbers & mask
    for key in keys:
        left, right = right, left ^ _mixed(right, key, mask)
    return (left << half) | right


def _turned_back(numbers: Int[Tensor, "m"], half: int, keys: list[int]) -> Int[Tensor, "m"]:
    """What `_turned` makes these numbers of."""
    mask = 2**half - 1
    left, right = numbers >> half, numbers & mask
    for key in reversed(keys):
        left, right = right ^ _mixed(left, key, mask), left
    return (left << half) | right


def _mixed(half: Int[Tensor, "m"], key: int, mask: int) -> Int[Tensor, "m"]:
    return split_mix(half.add(1).mul_(GAMMA).add_(key)) & mask


def random_seed(generator: torch.Generator) -> int:
    """A seed for what goes by numbers of rows."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


def split_mix(state: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """Turn states of SplitMix64 into its outputs in place; 64-bit integers wrap around."""
    shifted = torch.empty_like(state)
    state.bitwise_xor_(_shift(state, 30, out=shifted)).mul_(FIRST)
    state.bitwise_xor_(_shift(state, 27, out=shifted)).mul_(SECOND)
    return state.bitwise_xor_(_shift(state, 31, out=shifted))


def _shift(value: Tensor, places: int, out: Tensor) -> Tensor:
    """To the right, as numbers without a sign."""
    return torch.bitwise_right_shift(value, places, out=out).bitwise_and_(2 ** (64 - places) - 1)
