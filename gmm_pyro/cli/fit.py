"""`gmm-pyro fit`: one model, one method, and a folder with all that came of it."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.words import counted
from .arguments import (
    Covariance,
    DataArguments,
    Force,
    Json,
    Keep,
    Noise,
    Priors,
    Source,
    command_line,
)
from .data import (
    checked,
    headline,
    load,
    n_components,
    names_in,
    reading_of,
    refuse_no_source,
)
from .names import METHOD_NAMES, NOISES, SEARCHES, TABLE_FORMATS, completing, listed
from .output import INTERRUPTED, fit_warnings_said, print_json, say
from .priors import PriorFile, read_priors, refuse_without_priors, with_priors
from .progress import progress_said

if TYPE_CHECKING:
    from ..files import FileContent
    from ..inference.fit import Fit

FOLDER = Path("fit")  # where none is named
OF_METHODS = "Options of methods"


def _own(meaning: str, **more: Any) -> Any:
    """An option that has another default in each method."""
    default, panel = "the method's own", OF_METHODS
    return typer.Option(help=meaning, show_default=default, rich_help_panel=panel, **more)


@dataclass(frozen=True, kw_only=True)
class FitArguments(DataArguments):
    """What `gmm-pyro fit` is told."""

    data: Source
    method: Annotated[
        str,
        typer.Option(
            "--method", "-m",
            help=f"Method: {listed(METHOD_NAMES)}.",
            autocompletion=completing(*METHOD_NAMES),
        ),
    ] = "em"  # fmt: skip
    covariance: Covariance = "full"
    noise_component: Noise = None
    priors: Priors = None
    keep: Keep
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o",
            help="Folder for the fit.", show_default="a new one: fit, fit-2, …",
        ),
    ] = None  # fmt: skip
    table_format: Annotated[
        str,
        typer.Option(
            help=f"Format of the tables: {listed(TABLE_FORMATS)}.",
            autocompletion=completing(*TABLE_FORMATS),
        ),
    ] = "csv"
    json: Json = False
    force: Force = False
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


def fit(told: FitArguments) -> None:
    """Fit a model to data by one method, and write all that came of it into a folder.

    The folder has mixture.json, posterior.nc for ArviZ (of methods with draws), tables of labels
    and responsibilities by row, pictures, and fit.json with the settings and the outcome.
    An interrupt (Ctrl-C) saves the best so far.
    """
    from ..inference.fit import fit as run
    from ..model.program import MixtureModel

    refuse_no_source(told.data)  # before mistakes in words, and these before those in data
    priors = read_priors(told.priors)
    options = _options(told)
    keep = names_in(told.keep)
    _check_words(told, priors, keep)
    content = load(told.data, told, keep)
    k = n_components(content.dataset, told)
    model = MixtureModel(k, told.covariance, noise_component=told.noise_component)
    place = {name: options.pop(name, None) for name in ("dtype", "device")}
    observations = checked(told.data, content.dataset, model, told.missing, **place)
    model = with_priors(model, priors, observations)
    with fit_warnings_said(), progress_said():
        result = run(
            model, observations, told.method, missing=told.missing, progress=True, **options
        )
    facts = _facts(content, told, priors)
    out, files = _save(result, content, told, facts)
    _print(result, content, files, out, as_json=told.json)
    if result.status.name == "INTERRUPTED":
        raise typer.Exit(INTERRUPTED)


def _check_words(told: FitArguments, priors: PriorFile | None, keep: list[str]) -> None:
    """Refuse what cannot be, before data are read."""
    from ..data.checks import check_choice
    from ..disk.placing import refuse_existing, refuse_unwritable
    from ..saved_fit import refuse_clashes

    check_choice("table_format", told.table_format, TABLE_FORMATS)
    if told.noise_component is not None:
        check_choice("noise_component", told.noise_component, NOISES)
    refuse_without_priors([told.method], priors)
    refuse_clashes(keep, noise=told.noise_component is not None)
    reading_of(told)
    out = _folder(told)
    refuse_existing(out, force=told.force)
    refuse_unwritable(out)


def _folder(told: FitArguments) -> Path:
    """The folder that was asked for, or the first one of fit, fit-2, … in which there is nothing.

    With --force and no folder, it is the first of all.
    """
    from ..disk.placing import refuse_existing

    if told.out is not None or told.force:
        return told.out or FOLDER
    for number in itertools.count(1):
        path = FOLDER if number == 1 else Path(f"{FOLDER}-{number}")
        with contextlib.suppress(FileExistsError):
            refuse_existing(path)
            return path
    raise AssertionError


def _save(
    result: Fit, content: FileContent, told: FitArguments, facts: Mapping[str, Any]
) -> tuple[Path, list[Path]]:
    """The folder and its files; another new folder, if another fit has taken this one."""
    from ..saved_fit import save_fit

    out = _folder(told)
    try:
        with warnings.catch_warnings():
            # of ArviZ, after an interrupt that came early
            warnings.filterwarnings("ignore", "More chains", UserWarning)
            files = save_fit(
                *(result, out),
                table_format=told.table_format,
                force=told.force,
                labels=content.dataset.labels,
                facts=facts,
                beside=content.kept,
            )
    except FileExistsError:
        if _folder(told) == out:
            raise
        return _save(result, content, told, facts)
    return out, files


def _options(told: FitArguments) -> dict[str, Any]:
    """What the method is told."""
    from .options import FLAGS, parsed

    given = {f"--{name.replace('_', '-')}": value for name, value in vars(told).items()}
    return parsed(told.method, told.option, {name: given[flag] for name, flag in FLAGS.items()})


def _facts(content: FileContent, told: FitArguments, priors: PriorFile | None) -> dict[str, Any]:
    """What the command line adds to the facts of a fit."""
    return {
        **({} if priors is None else {"priors_given": priors.facts()}),
        "data": {
            "source": told.data,
            "label_column": content.label_column,
            "weights_column": told.weights_column,
            "left_out": dict(content.left_out),
            "reading": reading_of(told).facts(),
        },
        "command": command_line(),
    }


def _print(
    result: Fit, content: FileContent, files: list[Path], out: Path, *, as_json: bool
) -> None:
    from ..saved_fit import load_fit

    facts = load_fit(out).facts
    if facts.get("posterior_thinning", 1) > 1:
        say(f"posterior.nc has one draw in {facts['posterior_thinning']}: all would be too many")
    if as_json:
        print_json({**facts, "out": out, "files": [file.as_posix() for file in files]})
        return
    from ..comparison.printed import plain_console, ruled
    from .terminal import components_that_fit

    console = plain_console()
    console.print(headline(content.dataset, result.mixture), soft_wrap=True)
    console.print(_outcome(facts), soft_wrap=True)
    console.print()
    weight = result.observations.sample_weight
    noise, *sizes = (result.labels + 1).bincount(weight, 1 + result.mixture.n_components).tolist()
    for cells in components_that_fit(result.mixture, sizes, console.width):
        console.print(ruled(cells))
        console.print()
    if result.mixture.noise_component is not None:
        share = result.mixture.noise_weight
        console.print(f"noise: weight {share:.3f} of all, {noise:.10g} points", soft_wrap=True)
        console.print()
    names = ", ".join(file.relative_to(out).as_posix() for file in files)
    typer.echo(f"wrote {names} to {out}")
    if result.status.name == "INTERRUPTED":
        say("interrupted; the best so far is saved")


def _outcome(facts: Mapping[str, Any]) -> str:
    """How the fit ended and how good it is, in a line."""
    status = facts["status"].replace("_", " ")
    scores = [
        f"log-likelihood {facts['log_likelihood']:.4f} nats a point",
        f"BIC {facts['bic']:.1f}",
    ]
    figures = {"r_hat": "R-hat {:.3f}", "ess_bulk": "ESS {:.0f}", "k_hat": "k-hat {:.2f}"}
    for name, form in figures.items():
        if facts["diagnostics"].get(name) is not None:
            scores.append(form.format(facts["diagnostics"][name]))
    if "adjusted_rand" in facts:
        scores.append(f"adjusted Rand {facts['adjusted_rand']:.3f}")
    taken = f"{counted(facts['steps'], 'step')}, {facts['seconds']:.2f} s"
    return f"{facts['method']}: {status}, {taken}; {', '.join(scores)}"
