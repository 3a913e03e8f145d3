"""`python -m gmm_pyro` is `gmm-pyro`."""

import sys

from .running.interrupts import remembered


def program() -> None:
    """Run the command line as a process of its own, from the import of what it needs."""
    with remembered(to_the_end=True) as interrupts:
        try:
            from .cli import main

            main()
        except KeyboardInterrupt:  # in what comes before the command
            print("gmm-pyro: interrupted; nothing is written", file=sys.stderr)
            sys.exit(interrupts.exit_code)


if __name__ == "__main__":
    program()
