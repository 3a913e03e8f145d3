"""The command line: `gmm-pyro fit`, `predict`, `select`, `compare`, `study`, `simulate`, `methods`.

One file a command. Everything heavy is imported by the commands when they run, so that `--help` and
completion are quick.
"""

from .program import app, main

__all__ = ["app", "main"]
