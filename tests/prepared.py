"""Processes that need not import torch and pandas: they are forked off one that has done so.

Each has arguments, a folder, an environment, streams and an exit code of its own, and has imported
nothing of gmm_pyro or numba before. That the program starts without such help, and what it does
with signals, is shown by processes as a user has them.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

LIBRARIES = ("torch", "pyro", "pandas", "scipy.stats", "sklearn.cluster", "sklearn.mixture")
COMMANDS = {"python": [], "gmm-pyro": ["-m", "gmm_pyro"]}
CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({place!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([{words} + sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    code = server.recv(1)
sys.exit(code[0] if code else "the process was killed")
"""


@contextmanager
def commands(folder: Path) -> Iterator[Path]:
    """A folder with `python`, which takes -c or -m, and with `gmm-pyro`, until it is left."""
    place = str(folder / "server")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)  # so that whoever asks early waits
        listening.listen()
        command = [sys.executable, "-W", "ignore", __file__, str(listening.fileno())]
        server = subprocess.Popen(command, pass_fds=[listening.fileno()], stdin=subprocess.DEVNULL)
    for name, words in COMMANDS.items():
        script = folder / name
        script.write_text(CLIENT.format(python=sys.executable, place=place, words=words))
        script.chmod(0o755)
    yield folder
    server.kill()
    server.wait()


# ---------------------------------------------------------------------- in the server


def serve(listening: socket.socket) -> None:
    """Import what all need, and fork a process for whoever asks."""
    for library in LIBRARIES:
        importlib.import_module(library)
    while True:
        asking, _ = listening.accept()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # those that have ended
                pass
        if os.fork() == 0:
            listening.close()
            os._exit(_answered(asking))
        asking.close()


def _answered(asking: socket.socket) -> int:
    """Run what is asked for, and tell its exit code."""
    _, streams, *_ = socket.recv_fds(asking, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with asking.makefile("rb") as told:
        words, home, environment = json.loads(told.read())
    os.chdir(home)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    code = _ended(words)
    asking.send(bytes([code]))
    return code


def _ended(words: list[str]) -> int:
    """The exit code of `python` with these words."""
    try:
        while words[0] == "-W":
            warnings.simplefilter(words[1])
            words = words[2:]
        sys.argv = [words[0], *words[2:]]
        if words[0] == "-m":
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = ModuleType("__main__")
            exec(words[1], vars(sys.modules["__main__"]))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    del sys.path[0]  # where the tests are
    sys.path.insert(0, "")
    serve(socket.socket(fileno=int(sys.argv[1])))
