"""`gmm-pyro fit`: one model, one method, and a folder with all that came of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.words import counted
from .arguments import (
    ComponentsOrUnknown,
    ComponentsPrior,
    Covariance,
    DataArguments,
    Force,
    Json,
    Keep,
    MethodArguments,
    MostComponents,
    Noise,
    Priors,
    Scheduler,
    Source,
    TableFormat,
    Workers,
    command_line,
)
from .away import (
    headline_of,
    is_away,
    observed_there,
    refuse_no_number,
    refuse_of_files,
    scheduled,
    sizes_of,
)
from .data import (
    checked,
    facts_of,
    headline,
    load,
    n_components,
    names_in,
    reading_of,
    refuse_no_source,
)
from .folders import folder_of, written
from .names import NOISES, TABLE_FORMATS
from .output import INTERRUPTED, fit_warnings_said, print_json, say
from .priors import PriorFile, read_priors, refuse_without_priors, with_priors
from .progress import progress_said
from .sizes import UNKNOWN, refuse_several, unknown_of

if TYPE_CHECKING:
    from ..files import FileContent
    from ..inference.fit import Fit

FOLDER = Path("fit")  # where none is named
LEAST_TOLD = 0.005  # probability from which a number of components is named
MOST_TOLD = 6  # numbers of components that are


@dataclass(frozen=True, kw_only=True)
class FitArguments(MethodArguments, DataArguments):
    """What `gmm-pyro fit` is told."""

    data: Source
    components: ComponentsOrUnknown = None
    components_prior: ComponentsPrior = None
    most_components: MostComponents = None
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
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="A folder that keeps a long fit as it goes: the same command goes on from there.",
            show_default="none",
        ),
    ] = None
    table_format: TableFormat = "csv"
    json: Json = False
    force: Force = False
    workers: Workers = None
    scheduler: Scheduler = None


def fit(told: FitArguments) -> None:
    """Fit a model to data by one method, and write all that came of it into a folder.

    The folder has mixture.json, posterior.nc for ArviZ (of methods with draws), tables of labels
    and responsibilities by row, pictures, and fit.json with the settings and the outcome.
    Data in partitions, of which '*.parquet' and a folder are some, have mixture.json and fit.json.
    An interrupt (Ctrl-C) saves the best so far.
    """
    from ..inference.fit import fit as run
    from ..inference.methods import choice
    from ..model.program import MixtureModel

    if is_away(told):
        return _fit_away(told)
    refuse_no_source(told.data)  # before mistakes in words, and these before those in data
    known = None if told.components == UNKNOWN else told.components
    refuse_several(told.data, known, told.covariance)
    unknown = unknown_of(told.components, told.components_prior, told.most_components)
    priors = read_priors(told.priors)
    options = told.options()
    keep = names_in(told.keep)
    _check_words(told, priors, keep)
    if unknown is not None:
        choice(told.method, options).refuse_unfit(MixtureModel(unknown))
    content = load(told.data, told, keep)
    k = n_components(content.dataset, known) if unknown is None else unknown
    model = MixtureModel(k, told.covariance, noise_component=told.noise_component)
    place = {name: options.pop(name, None) for name in ("dtype", "device")}
    observations = checked(told.data, content.dataset, model, told.missing, **place)
    model = with_priors(model, priors, observations)
    with fit_warnings_said(), progress_said():
        result = run(
            *(model, observations, told.method),
            missing=told.missing,
            progress=True,
            checkpoint=told.checkpoint,
            **options,
        )
    facts = _facts(content, told, priors)
    out, files = _save(result, content, told, facts)
    head = headline(content.dataset, result.mixture)
    _print(result, head, files, out, as_json=told.json)
    if result.status.name == "INTERRUPTED":
        raise typer.Exit(INTERRUPTED)
    return None


def _fit_away(told: FitArguments) -> None:
    """The same of data in partitions."""
    from ..inference.fit import fit as run
    from ..inference.methods import choice
    from ..model.program import MixtureModel
    from ..saved_fit import save_fit

    refuse_of_files(told, "keep")
    refuse_no_number(told.components)
    _refuse_no_room(told)
    options, priors = told.options(), read_priors(told.priors)
    refuse_without_priors([told.method], priors)
    unknown = unknown_of(told.components, told.components_prior, told.most_components)
    k = int(told.components or 0) if unknown is None else unknown
    model = MixtureModel(k, told.covariance, noise_component=told.noise_component)
    choice(told.method, options).refuse_unfit(model)
    place = {name: options.pop(name, None) for name in ("dtype", "device")}
    with scheduled(told.workers, told.scheduler), fit_warnings_said(), progress_said():
        observations = observed_there(told, **place)
        model = with_priors(model, priors, observations)
        task = model, observations, told.method
        result = run(*task, progress=True, checkpoint=told.checkpoint, **options)
        given = {} if priors is None else {"priors_given": priors.facts()}
        facts = {**given, "data": {"source": told.data}, "command": command_line()}

        def write(out: Path) -> list[Path]:
            return save_fit(result, out, force=told.force, facts=facts)

        out, files = written(write, told.out, FOLDER, force=told.force)
        _print(result, headline_of(told.data, result), files, out, as_json=told.json)
    if result.status.name == "INTERRUPTED":
        raise typer.Exit(INTERRUPTED)


def _check_words(told: FitArguments, priors: PriorFile | None, keep: list[str]) -> None:
    """Refuse what cannot be, before data are read."""
    from ..data.checks import check_choice
    from ..saved_fit import refuse_clashes

    check_choice("table_format", told.table_format, TABLE_FORMATS)
    if told.noise_component is not None:
        check_choice("noise_component", told.noise_component, NOISES)
    refuse_without_priors([told.method], priors)
    refuse_clashes(keep, noise=told.noise_component is not None)
    reading_of(told)
    _refuse_no_room(told)


def _refuse_no_room(told: FitArguments) -> None:
    """Refuse a folder that has something in it, or cannot be written."""
    from ..disk.placing import refuse_existing, refuse_unwritable

    out = folder_of(told.out, FOLDER, force=told.force)
    refuse_existing(out, force=told.force)
    refuse_unwritable(out)


def _save(
    result: Fit, content: FileContent, told: FitArguments, facts: Mapping[str, Any]
) -> tuple[Path, list[Path]]:
    """The folder and its files."""
    from ..saved_fit import save_fit

    def write(out: Path) -> list[Path]:
        with warnings.catch_warnings():
            # of ArviZ, after an interrupt that came early
            warnings.filterwarnings("ignore", "More chains", UserWarning)
            return save_fit(
                *(result, out),
                table_format=told.table_format,
                force=told.force,
                labels=content.dataset.labels,
                facts=facts,
                beside=content.kept,
            )

    return written(write, told.out, FOLDER, force=told.force)


def _facts(content: FileContent, told: FitArguments, priors: PriorFile | None) -> dict[str, Any]:
    """What the command line adds to the facts of a fit."""
    given = {} if priors is None else {"priors_given": priors.facts()}
    return {**given, **facts_of(told.data, content, told)}


def _print(result: Fit, head: str, files: list[Path], out: Path, *, as_json: bool) -> None:
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
    console.print(head, soft_wrap=True)
    console.print(_outcome(facts), soft_wrap=True)
    for line in _numbers(facts):
        console.print(line, soft_wrap=True)
    console.print()
    noise, *sizes = sizes_of(result)
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


def _numbers(facts: Mapping[str, Any]) -> Iterator[str]:
    """How probable each number of components is, in a line for each kind of them."""
    table = facts.get("number_of_components", {})
    for name, words in (("n_filled", "with points"), ("n_components", "in all")):
        if name in table:
            yield in_words(dict(zip(table["k"], table[name], strict=True)), words)


def in_words(shares: Mapping[int, float], words: str) -> str:
    """Probabilities of numbers of components in a line, the most probable first.

    Example:
        >>> in_words({2: 0.04, 3: 0.95, 4: 0.01, 5: 0.003}, "with points")
        '3 components with points (95 %), 2 (4 %), 4 (1 %)'
    """
    falling = sorted(shares.items(), key=lambda item: -item[1])
    (first, share), *others = falling
    parts = [f"{counted(first, 'component')} {words} ({100 * share:.0f} %)"]
    told = [item for item in others if item[1] >= LEAST_TOLD]
    parts += [f"{k} ({100 * share:.0f} %)" for k, share in told[: MOST_TOLD - 1]]
    left = sum(share for _, share in others) - sum(share for _, share in told[: MOST_TOLD - 1])
    return ", ".join([*parts, f"others ({100 * left:.0f} %)"] if left >= LEAST_TOLD else parts)
