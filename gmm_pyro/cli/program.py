"""The program: its commands, and how it ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from ..running.interrupts import Interrupts, remembered
from ..running.versions import __version__
from .arguments import command_of
from .compare import compare
from .fit import fit
from .methods import methods
from .output import BAD_INPUT, FAILED, INTERRUPTED, say
from .predict import predict
from .select import select
from .simulate import simulate
from .study import study

PROGRAM = "gmm-pyro"
USAGE_ERROR: Any = typer.BadParameter.__mro__[2]  # click's ClickException; typer has its own click

app = typer.Typer(
    help="Gaussian mixture models as Pyro programs, fitted and compared by many methods.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (fit, predict, select, compare, study, simulate, methods):
    app.command(command.__name__)(command_of(command))


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callbacks have one argument
    if wanted:
        typer.echo(f"gmm-pyro {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[  # noqa: FBT002 - a flag of the command line
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line; bad input ends in one line on standard error and exit code 2."""
    with remembered() as interrupts:
        code = _run(interrupts)
    sys.exit(code)


def _run(interrupts: Interrupts) -> int:
    """The exit code. What follows from an interrupt is one, whatever has become of it."""
    try:
        code = app(standalone_mode=False, prog_name=PROGRAM) or 0
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # as of `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if interrupts.exit_code:
            return interrupts.exit_code
        reason = _reason(error)
        if reason is None:
            raise
        say(f"{PROGRAM}: {' '.join(reason.split())}")
        return BAD_INPUT
    return interrupts.exit_code or code


def _reason(error: Exception) -> str | None:
    """What was wrong with the input, or None for a mistake of the program's."""
    if isinstance(error, USAGE_ERROR):
        return f"{error.format_message()} ('gmm-pyro --help' says what there is)"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return str(error) if isinstance(error, ValueError | OSError | ImportError) else None
