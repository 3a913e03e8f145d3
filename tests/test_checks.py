"""Checks of arguments: every kind of number is one, and what is none is refused in one form."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gmm_pyro.data.checks import (
    MOST,
    check_choice,
    check_count,
    check_flag,
    check_list,
    check_mapping,
    check_number,
    check_path,
    check_seed,
    shown,
)


@pytest.mark.parametrize(
    "three",
    [3, np.int8(3), np.uint64(3), np.array(3), torch.tensor(3), torch.tensor(3, dtype=torch.uint8)],
    ids=repr,
)
def test_any_integer_counts_and_becomes_python_s_own(three: Any) -> None:
    number = check_count("n", three)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize(
    "value",
    [0, -1, 2.0, 2.5, True, np.True_, None, "3", math.nan, [3], np.array([3]), torch.tensor([3])],
    ids=repr,
)
def test_what_is_no_count_is_refused(value: Any) -> None:
    message = f"n must be an integer of at least 1, got {shown(value)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_count("n", value)


def test_limits_of_a_count_are_said() -> None:
    with pytest.raises(ValueError, match="^n must be an integer from 1 to 5, got 6$"):
        check_count("n", 6, 1, 5)
    with pytest.raises(ValueError, match=f"^seed must be an integer from 0 to {MOST}, got 1000"):
        check_seed(10**30)
    assert check_seed(MOST) == MOST


@pytest.mark.parametrize(
    "half",
    [0.5, Fraction(1, 2), np.float32(0.5), np.array(0.5), torch.tensor(0.5, requires_grad=True)],
    ids=repr,
)
def test_any_real_number_is_one(half: Any) -> None:
    number = check_number("rate", half)
    assert number == 0.5
    assert type(number) is float


@pytest.mark.parametrize(
    "value",
    [-0.5, math.nan, math.inf, 1j, "0.5", None, True, Decimal("0.5"), 10**400, [0.5]],
    ids=repr,
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="^rate must be a finite number of at least 0, got "):
        check_number("rate", value)


@pytest.mark.parametrize(("value", "inside"), [(0.0, False), (1e-300, True), (1.0, False)])
def test_ends_of_an_interval(value: float, *, inside: bool) -> None:
    if inside:
        assert check_number("prob", value, high=1.0, positive=True) == value
        return
    with pytest.raises(ValueError, match="^prob must be a finite number above 0 and below 1, got"):
        check_number("prob", value, high=1.0, positive=True)


@pytest.mark.parametrize("value", [0, 1, "yes", None, [True], np.array([True])], ids=repr)
def test_a_flag_is_true_or_false(value: Any) -> None:
    assert check_flag("progress", np.True_) is True
    with pytest.raises(ValueError, match="^progress must be True or False, got "):
        check_flag("progress", value)


@pytest.mark.parametrize("value", [["em"], {"em": 1}, np.array(["em"]), None, 5], ids=repr)
def test_what_is_no_word_is_no_choice(value: Any) -> None:
    with pytest.raises(ValueError, match="^method must be one of em, map; got "):
        check_choice("method", value, ["em", "map"])


@pytest.mark.parametrize("value", ["ab", {"a": 1}, {1, 2}, 3, None, np.array(3)], ids=repr)
def test_a_word_is_no_list(value: Any) -> None:
    with pytest.raises(ValueError, match="^names must be a list of words, got "):
        check_list("names", value, "words")


def test_lists_come_in_any_form() -> None:
    for value in ([1, 2], (1, 2), range(1, 3), np.array([1, 2]), iter([1, 2])):
        assert check_list("order", value, "numbers") == [1, 2]


def test_other_kinds() -> None:
    with pytest.raises(ValueError, match="^options must be a dictionary of values, got 5$"):
        check_mapping("options", 5, "values")
    assert check_path("path", "a.json") == Path("a.json")
    for value in (5, b"a.json", "", None):
        with pytest.raises(TypeError, match="^path must be the name of a place, or a path, got "):
            check_path("path", value)


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError


def test_a_value_in_a_message_is_one_short_line() -> None:
    assert shown(np.arange(4).reshape(2, 2)) == "array([[0, 1], [2, 3]])"
    assert len(shown(list(range(10_000)))) < 120
    assert shown(10**5000) == "a value of type int"
    assert shown(Unshowable()) == "a value of type Unshowable"
