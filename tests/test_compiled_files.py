"""Claims about what is kept of compiled loops: a fit works whatever has become of the files.

What compiles does so in processes of their own, with a folder of their own for what is kept. Those
that need not compile a whole pass are content with the smallest of the functions.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gmm_pyro.reduction.decision import SETTING
from gmm_pyro.reduction.loops import build

ROOT = Path(build.__file__).parents[3]
Begun = Callable[..., "subprocess.Popen[str]"]
pytestmark = pytest.mark.slow  # a process takes seconds to begin, and to compile a pass
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")

SMALL = """
import numpy as np, torch
from gmm_pyro.reduction.loops import entry

def work():
    "Whether the smallest function is right, and how often it was read, and not."
    run = entry.by_features(torch.float64)
    found = np.zeros(6)
    numbers = np.arange(6.0)
    parts = numbers[:1][None], numbers[1:3][None, None], numbers[3:5][None, None], numbers[:0]
    run(*parts, 1, found)
    read, made = (sum(count.values()) for count in run.stats[1:])
    return found.tolist() == [0, 1, 2, 3, 4, 0], read, made, len(run.overloads)
"""
FIT = """
import warnings
import gmm_pyro as gp
warnings.simplefilter("ignore")
x = gp.datasets.make_mixture(n=300, d=2, k=2, separation=6, seed=3).x

def fit():
    found = gp.fit(gp.MixtureModel(2), x, max_steps=5)
    return found.diagnostics["kernel"], round(found.objective, 6)
"""


def begun_by(
    python: Path | str, code: str, kept: Path | None, home: Path = ROOT
) -> subprocess.Popen[str]:
    """A process of its own, with a folder for what is kept, or the one that all have."""
    places = os.pathsep.join([str(home), *filter(None, sys.path)])
    env = {**os.environ, "PYTHONPATH": places, SETTING: "always"}
    env |= {} if kept is None else {"NUMBA_CACHE_DIR": str(kept)}
    return subprocess.Popen(
        [python, "-W", "ignore", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=home,
    )


@pytest.fixture(scope="module")
def begun(prepared: Path) -> Begun:
    """The same, which need not import torch."""
    return partial(begun_by, prepared / "python")


def printed(process: subprocess.Popen[str]) -> list[str]:
    """Its lines."""
    out, told = process.communicate(timeout=200)
    assert process.returncode == 0, told[-2000:]
    return out.splitlines()


def files(kept: Path, kind: str) -> list[Path]:
    return sorted(kept.rglob(f"*.{kind}"))


# ---------------------------------------------------------------------- one function


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, begun: Begun) -> Path:
    """A folder where one process has kept the function."""
    kept = tmp_path_factory.mktemp("kept")
    assert printed(begun(SMALL + "print(*work())", kept)) == ["True 0 1 1"]
    return kept


DAMAGES = {
    "index cut off": ("nbi", lambda content: content[: len(content) // 2]),
    "index empty": ("nbi", lambda content: b""),
    "index of anything": ("nbi", lambda content: bytes(range(256)) * 8),
    "code cut off": ("nbc", lambda content: content[: len(content) // 2]),
    "code empty": ("nbc", lambda content: b""),
    "code of anything": ("nbc", lambda content: bytes(range(256)) * 8),
    "code of zeros": ("nbc", lambda content: bytes(len(content))),
    "code of another kind": ("nbc", lambda content: b"\x80\x04K\x01."),  # the number 1
    "no index": ("nbi", lambda content: None),
    "no code": ("nbc", lambda content: None),  # of a process that was killed before it wrote it
}


def test_files_that_cannot_be_read_are_made_anew(sound: Path, tmp_path: Path, begun: Begun) -> None:
    """One after the other in one process, and then they are sound."""
    shutil.copytree(sound, tmp_path / "kept")
    places = {kind: files(tmp_path / "kept", kind)[0] for kind in ("nbi", "nbc")}
    contents = {kind: place.read_bytes() for kind, place in places.items()}
    cases = [(str(places[kind]), damage(contents[kind])) for kind, damage in DAMAGES.values()]
    (tmp_path / "cases").write_bytes(pickle.dumps(cases))
    program = f"""
import pickle
from pathlib import Path
for place, content in pickle.loads(Path({str(tmp_path / "cases")!r}).read_bytes()):
    Path(place).unlink() if content is None else Path(place).write_bytes(content)
    for _ in range(2):
        entry.by_features.cache_clear()
        print(*work())
"""
    lines = printed(begun(SMALL + program, tmp_path / "kept"))
    assert lines == ["True 0 1 1", "True 1 0 1"] * len(DAMAGES)


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(
    tmp_path: Path, begun: Begun
) -> None:
    """Neither written nor read, on a full disk, and with no place at all."""
    program = """
import errno
from unittest.mock import patch
from numba.core import caching

file = caching.IndexDataCacheFile
full = OSError(errno.ENOSPC, "No space left on device")
for obstacle in (
    patch.object(file, "save", side_effect=PermissionError("read-only")),
    patch.object(file, "_load_index", side_effect=PermissionError("not for you")),
    patch.object(file, "_save_data", side_effect=full),
    patch.object(caching.CacheImpl, "_locator_classes", []),
):
    entry.by_features.cache_clear()
    with obstacle:
        right, read, _, made = work()
    print(right, read, made)
"""
    assert printed(begun(SMALL + program, tmp_path)) == ["True 0 1"] * 4
    assert files(tmp_path, "nbc") == []


def test_a_file_in_the_place_of_the_folder_is_no_obstacle(tmp_path: Path, begun: Begun) -> None:
    """numba then goes on to the places that it has beside."""
    (tmp_path / "kept").write_text("")
    (line,) = printed(begun(SMALL + "print(work()[0])", tmp_path / "kept"))
    assert line == "True"


def test_two_that_compile_at_once_do_not_disturb_each_other(tmp_path: Path, begun: Begun) -> None:
    two = [begun(SMALL + "print(work()[0])", tmp_path) for _ in range(2)]
    assert [printed(process) for process in two] == [["True"], ["True"]]
    assert printed(begun(SMALL + "print(*work())", tmp_path)) == ["True 1 0 1"]


@needs_fork
def test_an_edit_of_any_of_the_files_is_seen(tmp_path: Path, begun: Begun) -> None:
    """numba itself looks at the file of the function alone, and not at those that it calls."""
    home = tmp_path / "home"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "gmm_pyro", home / "gmm_pyro", ignore=ignored)
    loops = home / "gmm_pyro" / "reduction" / "loops"
    program = f"""
import os, sys, numba, torch, gmm_pyro.reduction.compiled
from pathlib import Path
numba.njit("int64(int64)")(lambda i: i)

def child():
    "Runs the function as a process does that starts now."
    sys.stdout.flush()
    if os.fork() == 0:
        exec({SMALL!r}, globals())
        print(*work())
        sys.stdout.flush()
        os._exit(0)
    os.wait()

for name in [None, "chunk.py", "lanes.py", "algebra.py", "elementary.py", None]:
    if name is not None:
        file = Path({str(loops)!r}) / name
        file.write_text(file.read_text() + "\\n")
    child()
"""
    lines = printed(begun(program, tmp_path / "kept", home))
    assert lines == [*["True 0 1 1"] * 5, "True 1 0 1"]


# ---------------------------------------------------------------------- a whole fit


@needs_fork
def test_a_child_fits_what_its_parent_has_fitted(begun: Begun) -> None:
    program = """
import multiprocessing, os, signal
from concurrent.futures import ThreadPoolExecutor

before = fit()
with ThreadPoolExecutor(1) as beside:  # the child has none of its parent's threads
    assert beside.submit(fit).result() == before
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(fit() != before)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.apply_async(fit).get(60) == before, before[0])
"""
    assert printed(begun(FIT + program, None)) == ["0", "True compiled"]


def test_an_interrupt_at_any_moment_leaves_nothing_half_done(tmp_path: Path, begun: Begun) -> None:
    """While numba is imported, or compiles: the next fit in the same process is as ever."""
    program = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
print("begins", flush=True)
for attempt in range(5):
    try:
        print(*fit())
        break
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""
    process = begun_by(sys.executable, FIT + program, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    for moment in (0.3, 3.0):
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
    lines = printed(process)
    assert lines[-1].startswith("compiled ")
    assert printed(begun(FIT + "print(*fit())", tmp_path)) == lines[-1:]
