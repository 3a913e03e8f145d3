"""Commands in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path


def _in_the_foreground() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(
    words: list[str], home: Path, sent: signal.Signals | None, moment: float
) -> tuple[int, float, str]:
    """Exit code of a command that is sent a signal, its seconds, and what it told on the way.

    Time begins with the import of typer, from which on signals are handled.
    """
    command = [sys.executable, "-X", "importtime", "-m", "gmm_pyro", *words]
    told = home.with_suffix(".told")  # a pipe would be full while nobody reads
    with told.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=home,
            stdout=subprocess.DEVNULL,
            stderr=file,
            preexec_fn=_in_the_foreground,
        )
    while "typer" not in told.read_text():
        assert process.poll() is None
        time.sleep(0.01)
    begun = time.perf_counter()
    if sent is not None:
        time.sleep(moment)
        process.send_signal(sent)
    code = process.wait(300)
    return code, time.perf_counter() - begun, told.read_text()
