"""What commands are told: a frozen dataclass a command, whose fields are typer's parameters."""

from __future__ import annotations

import functools
import inspect
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from .names import (
    CODES,
    DATASETS,
    FAMILIES,
    METHOD_NAMES,
    NOISES,
    SEARCHES,
    TABLE_FORMATS,
    completing,
    listed,
)
from .output import say

FILES = (
    "CSV, TSV or other text, also compressed, xlsx, Parquet, Feather, npy, npz or NetCDF "
    "(FILE:NAME is one sheet or array of several)"
)
OF_READING = "Reading files"
OF_METHODS = "Options of methods"
OF_CLUSTERS = "Data in partitions"

Source = Annotated[
    str,
    typer.Argument(
        help=f"A file: {FILES}; - for standard input; or a data set: {listed(DATASETS)}. NAME:SEED "
        "is another draw.",
        show_default=False,
        autocompletion=completing(*DATASETS),
    ),
]
Components = Annotated[
    str | None,  # so that several numbers can be told what they are for
    typer.Option(
        "--components", "-k",
        help="Number of components.", show_default="that of the truth or labels",
        metavar="<int>",
    ),
]  # fmt: skip
ComponentsOrUnknown = Annotated[
    str | None,
    typer.Option(
        "--components", "-k",
        help="Number of components, or 'unknown', of which gibbs draws it.",
        show_default="that of the truth or labels",
        metavar="<int>|unknown",
    ),
]  # fmt: skip
ComponentsPrior = Annotated[
    str | None,
    typer.Option(
        help="Prior of an unknown number of components: uniform, 'poisson(rate)', 'geometric(p)' "
        "or 'bnb(alpha, a, b)', of that number less one.",
        show_default="bnb(1, 4, 3)",
    ),
]
MostComponents = Annotated[
    int | None,
    typer.Option(help="Largest number of components of an unknown one.", show_default="20"),
]
Columns = Annotated[
    list[str],
    typer.Option(
        help="Columns of a file that are features, with commas between them.",
        default_factory=list,
        show_default="all that are numeric, have a name and do not only identify rows",
    ),
]
Exclude = Annotated[
    list[str],
    typer.Option(
        help="Columns of a file that are no features, with commas between them.",
        default_factory=list,
        show_default="none",
    ),
]
Keep = Annotated[
    list[str],
    typer.Option(
        help="Columns of a file to copy into the tables of predictions, with commas between them.",
        default_factory=list,
        show_default="none",
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of a file with the true classes, which is no feature.",
        show_default="label, if there is one",
    ),
]
WeightsColumn = Annotated[
    str | None,
    typer.Option(help="Column of a file with sample weights, which is no feature."),
]
Missing = Annotated[
    str | None,
    typer.Option(
        help="What to do where values are missing: integrate over all that they may be, or refuse.",
        show_default="integrate, with a warning",
        autocompletion=completing("integrate", "refuse"),
    ),
]
Na = Annotated[
    list[str],
    typer.Option(
        help="Words or numbers that stand for missing values, with commas between them.",
        rich_help_panel=OF_READING,
        default_factory=list,
        show_default="empty fields, NA, NaN, null and the like",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="Encoding of a text, as latin-1 or cp1252.",
        rich_help_panel=OF_READING,
        show_default="utf-8",
    ),
]
Decimal = Annotated[
    str | None,
    typer.Option(
        help="Character before decimals: '.' or ','.",
        rich_help_panel=OF_READING,
        show_default="as the file looks",
    ),
]
Thousands = Annotated[
    str | None,
    typer.Option(
        help="Character between thousands: '.', ',', ' ', or an apostrophe. With '.', decimals "
        "have a comma.",
        rich_help_panel=OF_READING,
        show_default="none",
    ),
]
Currency = Annotated[
    bool,
    typer.Option(
        "--currency",
        help="Take numbers with the sign or code of a currency, as € 5 or 5 EUR, for numbers.",
        rich_help_panel=OF_READING,
    ),
]
Comment = Annotated[
    str | None,
    typer.Option(
        help="What lines begin with that are no rows.",
        rich_help_panel=OF_READING,
        show_default="'#', before the table only",
    ),
]
Priors = Annotated[
    Path | None,
    typer.Option(
        help="A TOML file with priors, of methods that have some.", show_default="the method's own"
    ),
]
Covariance = Annotated[
    str,
    typer.Option(
        help=f"Covariance family: {listed(FAMILIES)}, or mclust's code for it.",
        autocompletion=completing(*FAMILIES, *CODES),
    ),
]
Noise = Annotated[
    str | None,
    typer.Option(
        help="A component of noise, for points that belong to no other: uniform, over the box of "
        "the data.",
        show_default="none",
        autocompletion=completing(*NOISES),
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, and nothing else, for programs.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what an earlier run has written.")]
TableFormat = Annotated[
    str,
    typer.Option(
        help=f"Format of the tables: {listed(TABLE_FORMATS)}.",
        autocompletion=completing(*TABLE_FORMATS),
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Read files of Parquet, a folder or a pattern of names in partitions, in so many "
        "processes of this machine.",
        rich_help_panel=OF_CLUSTERS,
        show_default="none: threads",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="The same on the workers of a Dask scheduler, by its address: tcp://HOST:PORT.",
        rich_help_panel=OF_CLUSTERS,
        show_default="none",
    ),
]
OutFile = Annotated[
    str,
    typer.Option(
        help="A file: .csv, .tsv, .xlsx, .parquet, .feather, .npz or .nc; - is standard output."
    ),
]


@dataclass(frozen=True, kw_only=True)
class ReadingArguments:
    """What commands that read a file are told of how it is written."""

    na: Na
    encoding: Encoding = None
    decimal: Decimal = None
    thousands: Thousands = None
    currency: Currency = False
    comment: Comment = None


@dataclass(frozen=True, kw_only=True)
class DataArguments(ReadingArguments):
    """What commands that read a data set are told of it."""

    columns: Columns
    exclude: Exclude
    label_column: LabelColumn = None
    weights_column: WeightsColumn = None
    missing: Missing = None


def _own(meaning: str, **more: Any) -> Any:
    """An option that has another default in each method."""
    default, panel = "the method's own", OF_METHODS
    return typer.Option(help=meaning, show_default=default, rich_help_panel=panel, **more)


@dataclass(frozen=True, kw_only=True)
class MethodArguments:
    """What commands that run one method are told of it."""

    method: Annotated[
        str,
        typer.Option(
            "--method", "-m",
            help=f"Method: {listed(METHOD_NAMES)}.",
            autocompletion=completing(*METHOD_NAMES),
        ),
    ] = "em"  # fmt: skip
    seed: Annotated[
        int, typer.Option(help="Seed of every random choice.", rich_help_panel=OF_METHODS)
    ] = 0
    starts: Annotated[int | None, _own("Restarts.")] = None
    search: Annotated[
        str | None,
        _own(
            f"How to look for the likeliest mixture: {listed(SEARCHES)}. 'starts' is the quickest, "
            "'thorough' the longest.",
            autocompletion=completing(*SEARCHES),
        ),
    ] = None
    max_steps: Annotated[int | None, _own("Most steps.")] = None
    tolerance: Annotated[
        float | None, _own("Gain that may be left, in nats a point, when a fit stops.")
    ] = None
    draws: Annotated[
        int | None, _own("Draws that a posterior keeps; of samplers, in each chain.")
    ] = None
    chains: Annotated[int | None, _own("Chains of a sampler.")] = None
    warmup: Annotated[int | None, _own("Steps of a sampler that are forgotten.")] = None
    option: Annotated[
        list[str],
        typer.Option(
            help="NAME=VALUE: any other option, as 'gmm-pyro methods METHOD' lists them; can be "
            "given several times.",
            rich_help_panel=OF_METHODS,
            default_factory=list,
            show_default=False,
        ),
    ]

    def options(self) -> dict[str, Any]:
        """What the method is told.

        Raises:
            ValueError: if it has no such option, or a value is of another type.
        """
        from .options import FLAGS, parsed

        given = {f"--{name.replace('_', '-')}": value for name, value in vars(self).items()}
        flags = {name: given[flag] for name, flag in FLAGS.items()}
        return parsed(self.method, self.option, flags)


def command_of(command: Callable[[Any], None]) -> Callable[..., None]:
    """A function with typer's parameters, from one whose argument is a dataclass of them."""
    (name,) = inspect.signature(command).parameters
    told: Any = get_type_hints(command)[name]
    hints = get_type_hints(told, include_extras=True)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        try:
            command(told(**values))
        except KeyboardInterrupt:
            say("gmm-pyro: interrupted; nothing is written")
            raise

    fields = inspect.signature(told).parameters.values()
    parameters = [field.replace(annotation=hints[field.name]) for field in fields]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = hints
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    run.__doc__ = "\n\n".join(" ".join(text.split()) for text in paragraphs)
    return run


def command_line() -> str:
    """What was typed, as a shell would take it again."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
