"""Claims about SIGINT and SIGTERM: neither is lost, and no traceback tells of them."""

from __future__ import annotations

import contextlib
import ctypes
import random
import signal
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gmm_pyro.cli import program
from gmm_pyro.running.interrupts import EXIT_CODES, remembered
from processes import ended

SIGNALS = [signal.SIGINT, signal.SIGTERM]
ENDS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}


@pytest.fixture(autouse=True)
def _not_ignored() -> Iterator[None]:
    """Signals as they are in the foreground, also where the tests run in the background."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def in_a_callback_from_c(number: int) -> None:
    callback = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: signal.raise_signal(number) or 0)
    callback()


def in_a_finaliser(number: int) -> None:
    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(number)

    Finalised()


def in_a_weak_reference(number: int) -> None:
    class Referred:
        pass

    value = Referred()
    reference = weakref.ref(value, lambda _: signal.raise_signal(number))
    del value
    assert reference() is None


LOSSES = [in_a_callback_from_c, in_a_finaliser, in_a_weak_reference]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("lose", LOSSES)
def test_what_a_callback_loses_comes_again(
    lose: Callable[[int], None], number: signal.Signals, capfd
) -> None:
    def work() -> None:
        lose(number)
        time.sleep(60)  # it wakes a sleeper

    with remembered() as interrupts, pytest.raises(ENDS[number]):
        work()
    assert interrupts.exit_code == EXIT_CODES[number]
    assert capfd.readouterr().err == ""


def test_other_exceptions_in_finalisers_are_told_as_ever(monkeypatch) -> None:
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Broken:
        def __del__(self) -> None:
            raise ZeroDivisionError

    with remembered():
        Broken()
    assert [lost.exc_type for lost in told] == [ZeroDivisionError]


def test_handlers_are_put_back() -> None:
    def handlers() -> list[object]:
        return [*map(signal.getsignal, SIGNALS), sys.unraisablehook]

    before = handlers()
    with remembered() as outer, remembered() as inner:
        assert inner is outer
    assert handlers() == before


def test_a_job_in_the_background_that_ignores_interrupts_goes_on_doing_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with remembered() as interrupts:
        signal.raise_signal(signal.SIGINT)
    assert interrupts.exit_code == 0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def swallow(**_: object) -> None:
    with contextlib.suppress(BaseException):  # as some libraries do
        signal.raise_signal(signal.SIGINT)


def replace(**_: object) -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException as error:
        raise RuntimeError("something went wrong") from error


@pytest.mark.parametrize(("app", "code"), [(swallow, 130), (replace, 143)])
def test_a_library_that_hides_an_interrupt_does_not_hide_the_exit_code(
    app: Callable, code: int, run, monkeypatch
) -> None:
    monkeypatch.setattr(program, "app", app)
    done = run("fit")
    assert (done.code, done.out, done.err) == (code, "", "")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_moment_ends_the_program_in_order(number, tmp_path: Path) -> None:
    """From the first imports on; `tests/long` has the fits themselves."""
    chance = random.Random(int(number))
    for _ in range(2):
        code, _, told = ended(["fit", "iris", "-k", "3"], tmp_path, number, chance.uniform(0, 1.5))
        assert code == EXIT_CODES[number]
        assert "Traceback" not in told
        assert list(tmp_path.iterdir()) == []
