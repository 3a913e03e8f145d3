"""A study as one HTML page: what was asked and found, what is left unsaid, how to make it again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from ..data.checks import check_choice, check_list, shown
from ..data.words import counted, enumerated, level_text, listed
from ..report.settings import Fact
from ..report.sheet import rendered, write_page
from ..report.tables import number
from ..running.threads import one_thread_a_product
from .frame import factors_of
from .measures.registry import COLUMNS
from .page_pictures import OfMeasure, section_of
from .page_tables import Shown, statuses_shown, summary_shown
from .page_unsaid import failures_of, left_by_method, unsaid
from .plan import Plan, Planned
from .record import Found
from .statistics.rows import FAILURES, OF_CELLS

MAIN = (  # measures with pictures, if nobody says which, in the order of their choice
    *("ari", "kl_to_truth", "held_out_log_density", "log_score", "regret", "coverage"),
    *("posterior_error", "seconds"),
)
MOST_MEASURES = 4
LONG = 400  # letters of what a method is told
WIDE = 40  # letters of a fact, from which it has a line of its own


def write_report(
    results: Found,
    path: str | Path,
    measures: Any = None,
    baseline: str | None = None,
    command: str | None = None,
) -> Path:
    """Write the page; it appears when it is whole, and replaces an earlier one.

    Args:
        results: what it is about.
        path: where to write it.
        measures: names of measures with pictures; None takes some of which some values are better.
        baseline: the method that paired differences are from, or None.
        command: the command line that makes the study; None shows Python.

    Returns:
        The path.

    Raises:
        ValueError: if there is no such measure or method.
        TypeError: if the command is no text.
        OSError: if it cannot be written there, with the path.
    """
    chosen = chosen_measures(results, measures)
    if baseline is not None:
        names = [method.name for method in results.plan.methods]
        baseline = check_choice("baseline", baseline, names)
    if command is not None and not isinstance(command, str):
        raise TypeError(f"command must be a command line as text, or None, got {shown(command)}")
    return write_page(path, lambda: html_of(results, chosen, baseline, command))


@one_thread_a_product()
def html_of(
    results: Found, measures: Sequence[str], baseline: str | None = None, command: str | None = None
) -> str:
    """The page as text: see `write_report`."""
    plan = results.plan
    names = measured(results)
    summaries = {
        factor: results.table([factor, "method"], names) for factor in varying(plan) if names
    }
    sections = [section_of(results, name, list(summaries.values()), baseline) for name in measures]
    left = left_by_method(plan, results.rows)
    return rendered(
        "study.html.j2",
        title=_title(plan),
        facts=list(_facts(results)),
        findings=list(_findings(results, sections)),
        unsaid=unsaid(results, left),
        designs=[Fact(design.name, _design(design)) for design in plan.designs],
        methods=[Fact(method.name, _cut(_told(method.text))) for method in plan.methods],
        measures=[COLUMNS[name] for name in (*plan.measures, *OF_CELLS)],
        statuses=statuses_shown(plan, results.frame, left),
        failures=failures_of(results.frame, factors_of(plan)),
        means=list(_means(results, summaries)),
        sections=sections,
        call=_call(results) if command is None else command,
        is_command=command is not None,
        toml=results.toml,
        of_terminal=of_terminal(results),
        cell_versions=_versions(results),
    )


# ---------------------------------------------------------------------- what is shown


def measured(results: Found) -> list[str]:
    """Measures that have a number."""
    frame = results.frame
    answered = frame[~frame["status"].isin(FAILURES)]
    names = (*results.plan.measures, *OF_CELLS)
    return [name for name in names if np.isfinite(answered[name].to_numpy(float)).any()]


def chosen_measures(results: Found, measures: Any) -> list[str]:
    """Measures with pictures: those asked for, or some that have numbers and a direction.

    Raises:
        ValueError: if the study has no such measure.
    """
    if measures is not None:
        one = isinstance(measures, str)
        names = [measures] if one else check_list("measures", measures, "names")
        known = (*results.plan.measures, *OF_CELLS)
        asked = dict.fromkeys(check_choice("measures", name, known) for name in names)
        return [name for name in asked if name in measured(results)]
    there = [name for name in measured(results) if COLUMNS[name].badness is not None]
    there = [name for name in there if name != "memory"] or there
    return ([name for name in MAIN if name in there] or there)[:MOST_MEASURES]


def varying(plan: Plan) -> list[str]:
    """Factors of more than one level, where they have one, and "design", if there are several."""
    settings = [setting for design in plan.designs for setting in design.settings]
    found = ["design"] if len(plan.designs) > 1 else []
    for name in factors_of(plan):
        if len({repr(setting[name]) for setting in settings if name in setting}) > 1:
            found.append(name)
    return found


def _means(results: Found, summaries: dict[str, Any]) -> Iterator[Shown]:
    """Tables of means: by method, and by each factor and method."""
    if measured(results):
        yield summary_shown("by-method", results.table("method", measured(results)))
    for i, summary in enumerate(summaries.values()):
        yield summary_shown(f"by-factor-{i}", summary)


# ---------------------------------------------------------------------- in short


def _title(plan: Plan) -> str:
    return listed(list(dict.fromkeys(design.name for design in plan.designs)))


def _facts(results: Found) -> Iterator[Fact]:
    plan = results.plan
    yield Fact("Designs", str(len(plan.designs)))
    yield Fact("Data sets", number(_n_data(plan), "d"))
    names = enumerated(tuple(method.name for method in plan.methods))
    yield Fact(f"Methods ({len(plan.methods)})", names, long=len(names) > WIDE)
    yield Fact("Cells", number(results.n_cells, "d"))
    yield Fact("Seed", str(plan.seed))
    timeout = plan.told.get("timeout")
    yield Fact("A cell may take", "any time" if timeout is None else f"{timeout:g} seconds")
    yield Fact("Same start for all", "yes" if plan.told.get("shared_start") else "no")
    yield Fact("Intervals of draws hold", f"{plan.told.get('level', 0.9):.0%}")
    seconds = results.frame["seconds"].sum() if len(results.frame) else 0.0
    yield Fact("Seconds of all cells", number(float(seconds), ".1f"))


def _n_data(plan: Plan) -> int:
    return sum(len(design.settings) * design.replicates for design in plan.designs)


def _findings(results: Found, sections: Sequence[OfMeasure]) -> Iterator[str]:
    plan = results.plan
    there = results.n_cells - results.n_left
    cells = counted(results.n_cells, "cell")
    share = f"{there} of {cells}" if results.n_left else f"{cells}, all"
    on = counted(_n_data(plan), "data set")
    yield f"{counted(len(plan.methods), 'method')} on {on}: {share} run."
    if there:
        failed = int(results.frame["status"].isin(FAILURES).sum())
        yield f"{counted(failed, 'cell') if failed else 'No cell'} failed."
    yield from (section.finding for section in sections if section.finding)


# ---------------------------------------------------------------------- what was asked


def _design(design: Planned) -> str:
    """A design in a line: how many data sets, at which levels."""
    levels: dict[str, dict[str, None]] = {}
    for setting in design.settings:
        for name, level in setting.items():
            levels.setdefault(name, {})[level_text(level)] = None
    told = "; ".join(f"{name} = {enumerated(tuple(known))}" for name, known in levels.items())
    kind = "" if design.kind == design.name else f"{_cut(design.kind)}: "
    sets = counted(design.replicates, "data set")
    return f"{kind}{sets} at each of {counted(len(design.settings), 'setting')}" + (
        f"; {told}" if told else ""
    )


def _told(text: str) -> str:
    """What a method is told, as a TOML file has it: first what it is, and nothing that is None."""
    try:
        told = json.loads(text)
    except ValueError:
        return text
    if not isinstance(told, dict):
        return text
    words = {"method": told.pop("method", None), **told}
    return ", ".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in words.items()
        if value is not None
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:LONG]}…"


# ---------------------------------------------------------------------- how to make it again


def _versions(results: Found) -> list[Fact]:
    """Of what the numbers depend on, and of how many cells."""
    found = Counter(row.versions for row in results.rows.values())
    return [Fact(counted(n, "cell"), text or "not known") for text, n in found.most_common()]


def _call(results: Found) -> str:
    """Python that makes the study anew."""
    plan = results.plan
    lines = ["from pathlib import Path", ""] if results.toml else []
    lines += ["import gmm_pyro as gp", ""]
    if results.toml:
        lines += ['study = gp.Study.from_toml(Path("study.toml").read_text())']
    else:
        told = {name: value for name, value in plan.told.items() if value is not None}
        given = [f"metrics={list(plan.measures)!r}", f"seed={plan.seed}"]
        given += [f"{name}={value!r}" for name, value in told.items()]
        lines += ["data, methods = ...  # as under “What was asked”"]
        lines += [f"study = gp.Study(data, methods, {', '.join(given)})"]
    lines += [f"results = study.run({_folder(results)!r})", 'results.report("study.html")']
    return "\n".join(lines)


def of_terminal(results: Found) -> str:
    """The command line that makes the study anew of its TOML."""
    return f"gmm-pyro study study.toml --out {quote(_folder(results))}"


def _folder(results: Found) -> str:
    """What the folder is called, wherever it is."""
    return results.folder.name or "results"
