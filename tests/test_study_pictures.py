"""Claims about pictures and pages of studies: what is drawn is what the statistics say."""

from __future__ import annotations

import os
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy import stats

import gmm_pyro as gp
from gmm_pyro import plots
from gmm_pyro.plots.journal import Look
from gmm_pyro.plots.scales import scale_of
from gmm_pyro.study.cell import FAILED
from studied import made_up

pytestmark = pytest.mark.usefixtures("no_figures_left")
NAN, NONE, LATER = np.nan, np.inf, -np.inf  # a failure, no number, not run
OVERLAP = {"overlap": (0.01, 0.05, 0.2)}
BOTH = {"n": (100, 1000), **OVERLAP}


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def three(settings: int = 6, replicates: int = 8) -> dict[str, np.ndarray]:
    """Values of three methods, the middle one the best."""
    names = {"a": 0.0, "b": 1.0, "c": 0.2}
    return {name: up + drawn(i, settings, replicates) for i, (name, up) in enumerate(names.items())}


def bars(ax: Axes) -> list[np.ndarray]:
    """Ends of the error bars of each method, shape (bars, 2), in the order of drawing."""
    found = [c for c in ax.collections if isinstance(c, LineCollection)]
    return [np.array([segment[:, 1] for segment in c.get_segments()]) for c in found]


def lines_of(ax: Axes, number: int) -> list[np.ndarray]:
    """Coordinates of the lines in the colour of a method, those that join points."""
    look = Look.of(number)
    found = [line for line in ax.lines if line.get_color() == look.colour]
    joining = [line for line in found if line.get_linestyle() == look.dashes]
    return [line.get_xydata() for line in joining]


def words(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


# ---------------------------------------------------------------------- lines


@pytest.mark.parametrize("level", [None, 0.95])
def test_lines_are_means_and_bars_their_errors(level: float | None) -> None:
    values = three(3)
    figure = made_up(values, OVERLAP).plot("ari", "overlap", level=level)
    (ax,) = figure.axes
    assert ax.get_xscale() == "log"
    for number, table in enumerate(values.values()):
        (line,) = lines_of(ax, number)
        np.testing.assert_allclose(line[:, 1], table.mean(1))
        error = stats.sem(table, axis=1)
        times = 1.0 if level is None else stats.t.isf(0.025, table.shape[1] - 1)
        ends = np.stack([table.mean(1) - times * error, table.mean(1) + times * error], 1)
        np.testing.assert_allclose(bars(ax)[number], ends)


def test_bars_of_methods_stand_beside_each_other_in_the_order_of_the_study() -> None:
    (ax,) = made_up(three(3), OVERLAP).plot("ari", "overlap").axes
    places = np.stack([lines_of(ax, number)[0][:, 0] for number in range(3)])
    assert (np.diff(np.log(places), axis=0) > 0.02).all()
    assert (places.max(0)[:-1] < places.min(0)[1:]).all()
    np.testing.assert_allclose(places[1], OVERLAP["overlap"])  # the middle one is at the level


def test_panels_are_levels_of_another_factor_and_average_over_nothing() -> None:
    values = three()
    figure = made_up(values, BOTH).plot("ari", "overlap", "n", width="page")
    assert figure.get_figwidth() == 7
    assert [ax.get_title() for ax in figure.axes] == ["n = 100", "n = 1000"]
    for ax, part in zip(figure.axes, (slice(0, 3), slice(3, 6)), strict=True):
        np.testing.assert_allclose(lines_of(ax, 1)[0][:, 1], values["b"][part].mean(1))
    column = made_up(values, BOTH).plot("ari", "overlap", "n")
    assert column.get_figwidth() == 3.5
    tops = [ax.get_subplotspec().rowspan.start for ax in column.axes]
    assert tops == [0, 1]


def test_a_chosen_method_looks_as_it_does_among_all() -> None:
    results = made_up(three(3), OVERLAP)
    (ax,) = results.plot("ari", "overlap", methods=["c"]).axes
    assert len(lines_of(ax, 2)) == 1
    assert lines_of(ax, 0) == []


def test_medians_have_the_errors_of_the_table() -> None:
    results = made_up(three(3), OVERLAP)
    table = results.table(["overlap", "method"], "ari", of="median").frame
    rows = table[table["method"] == "a"]
    (ax,) = results.plot("ari", "overlap", of="median", level=0.9).axes
    np.testing.assert_allclose(lines_of(ax, 0)[0][:, 1], rows["median"])
    width = 2 * stats.norm.isf(0.05) * rows["standard_error"]
    np.testing.assert_allclose(np.diff(bars(ax)[0])[:, 0], width)


def test_a_marker_is_open_where_a_cell_failed_and_the_legend_says_so() -> None:
    values = {"a": [[1.0, 2.0], [1.0, NAN], [2.0, 3.0]], "b": [[NAN, NAN]] * 3}
    figure = made_up(values, OVERLAP).plot("ari", "overlap")
    (ax,) = figure.axes
    openly = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert [len(line.get_xdata()) for line in openly] == [1, 0]
    assert {"b (no number)", "open markers: a part of the cells has no number"} <= set(
        words(figure)
    )


@pytest.mark.parametrize(
    ("levels", "kind"),
    [
        ((0.01, 0.05, 0.2), "log"),
        ((2, 3, 4), "linear"),
        ((0, 1, 1000), "even"),
        (("full", "diag"), "words"),
        ((None, 2, 3), "words"),
        ((True, False), "words"),
        ((5,), "words"),
    ],
)
def test_an_axis_suits_its_levels(levels: tuple[Any, ...], kind: str) -> None:
    scale = scale_of(levels)
    assert scale.kind == kind
    assert len(scale.places) == len(levels)
    assert scale.joins == (kind != "words")


def test_levels_come_in_order_and_words_are_not_joined() -> None:
    (ax,) = made_up(three(3), {"k": (4, 2, 3)}).plot("ari", "k").axes
    assert (np.diff(lines_of(ax, 0)[0][:, 0]) > 0).all()
    (ax,) = made_up(three(2), {"shape": ("full", "$a$")}).plot("ari", "shape").axes
    assert lines_of(ax, 0) == []
    assert [label.get_text() for label in ax.get_xticklabels()] == ["full", "$a$"]


def test_methods_differ_in_grey() -> None:
    looks = list(map(Look.of, range(84)))
    assert len({look.marker for look in looks[:12]}) == 12
    assert len({(look.colour, look.dashes) for look in looks[:28]}) == 28
    assert len(set(looks)) == 84


def test_what_cannot_be_drawn_is_refused() -> None:
    results = made_up(three(3), OVERLAP)
    with pytest.raises(ValueError, match="x must be one of"):
        results.plot("ari", "n")
    with pytest.raises(ValueError, match="by must be one of"):
        results.plot("ari", "overlap", "overlap")
    with pytest.raises(ValueError, match="methods must be one of"):
        results.plot("ari", "overlap", methods=["z"])
    with pytest.raises(ValueError, match="has no number"):
        made_up({"a": [[NAN]] * 3}, OVERLAP).plot("ari", "overlap")
    with pytest.raises(ValueError, match="have been run"):
        made_up({"a": [[LATER]] * 3}, OVERLAP).plot("ari", "overlap")
    table = made_up(three(), BOTH).table(["design", "n", "overlap", "method"])
    with pytest.raises(ValueError, match="at most one other factor"):
        plots.study_lines(table, "n", measure="ari")
    with pytest.raises(ValueError, match="measure must be one of ari, seconds"):
        plots.study_lines(made_up(three(3), OVERLAP).table(["overlap", "method"]), "overlap")
    with pytest.raises(TypeError, match="by method"):
        plots.study_lines(results.table("overlap"), "overlap")


@pytest.mark.parametrize("values", [{"a": [[1.0]]}, {"a": [[1.0]], "b": [[NONE]]}])
def test_one_method_one_level_one_data_set_is_drawn(values: dict[str, Any]) -> None:
    (ax,) = made_up(values, {"k": (2,)}).plot("ari", "k").axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2"]


# ---------------------------------------------------------------------- ranks


def test_the_diagram_has_the_ranks_the_bars_and_the_critical_difference() -> None:
    values = {**three(), "d": 0.1 + drawn(9, 6, 8)}
    ranks = made_up(values, BOTH).ranks("ari")
    ax = plots.critical_differences(ranks)
    found = dict(text.get_text().removesuffix(")").split(" (") for text in ax.texts[:4])
    assert found == {
        name: f"{rank:.2f}"
        for name, rank in zip(ranks.frame["method"], ranks.frame["mean_rank"], strict=True)
    }
    thick = [line for line in ax.lines if line.get_linewidth() == 3]
    by_name = ranks.frame.set_index("method")["mean_rank"]
    assert len(thick) == len(ranks.groups) > 0
    for line, group in zip(thick, ranks.groups, strict=True):
        low, high = line.get_xdata()
        covered = by_name[(by_name >= low) & (by_name <= high)]
        assert set(group) <= set(covered.index)
        assert (low + high) / 2 == pytest.approx((by_name[group[0]] + by_name[group[-1]]) / 2)
    (gap,) = [line for line in ax.lines if line.get_label() == "critical difference"]
    assert np.ptp(gap.get_xdata()) == pytest.approx(ranks.critical_difference)


def test_a_critical_difference_beyond_the_line_says_so() -> None:
    ax = plots.critical_differences(made_up(three(1, 1), {"k": (2,)}).ranks("ari"))
    assert any("more than the line" in text.get_text() for text in ax.texts)


# ---------------------------------------------------------------------- profiles


@pytest.mark.parametrize("measure", ["ari", "seconds"])
def test_a_profile_is_the_share_at_every_distance(measure: str) -> None:
    results = made_up({"a": [[0.1, 0.5, NAN]], "b": [[0.2, 0.2, 0.3]]}, {"k": (2,)})
    rows = {
        key: replace(row, seconds=float(i + 1) ** 2)
        for i, (key, row) in enumerate(results.rows.items())
    }
    profile = replace(results, rows=rows).profile(measure)
    ax = plots.performance_profile(profile)
    for line, name in zip(ax.lines, ("a", "b"), strict=True):
        assert line.get_label() == name
        for tau, share in zip(*line.get_data(), strict=True):
            assert share == profile.share(name, float(tau))
    assert ax.get_xlim()[0] == (0.0 if measure == "ari" else 1.0)


def test_an_order_gives_colours_and_has_all() -> None:
    profile = made_up(three(1), {"k": (2,)}).profile("ari")
    ax = plots.performance_profile(profile, order=["z", "c", "b", "a"])
    assert [line.get_color() for line in ax.lines] == [Look.of(i).colour for i in (3, 2, 1)]
    with pytest.raises(ValueError, match="order must be one of"):
        plots.performance_profile(profile, order=["a"])


# ---------------------------------------------------------------------- differences


def test_rows_are_differences_with_their_intervals() -> None:
    found = made_up(three(), BOTH).differences("ari", "a", by="overlap")
    ax = plots.differences(found)
    intervals = [line for line in ax.lines if len(line.get_xdata()) == 2][:6]
    marks = [line for line in ax.lines if len(line.get_xdata()) == 1]
    frame = found.frame
    np.testing.assert_allclose([m.get_xdata()[0] for m in marks], frame["difference"])
    np.testing.assert_allclose([i.get_xdata() for i in intervals], frame[["low", "high"]])
    filled = [mark.get_markerfacecolor() != "white" for mark in marks]
    assert filled == (frame["p_holm"] < 0.05).tolist()
    ticks = zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    texts = {tick: label.get_text() for tick, label in ticks}
    assert [texts[m.get_ydata()[0]] for m in marks] == ["b", "c"] * 3
    heads = [(text.xy[1], text.get_text()) for text in ax.texts]
    assert heads == [(3 * i, f"overlap = {level}") for i, level in enumerate(OVERLAP["overlap"])]
    low, high = ax.get_xlim()
    assert low < frame["low"].min() < frame["high"].max() < high


def test_pairs_are_named_by_both_and_lost_ones_are_said() -> None:
    values = {"a": [[1.0, 2.0]], "b": [[2.0, 4.0]], "c": [[NAN, NAN]]}
    ax = plots.differences(made_up(values, {"k": (2,)}).differences("ari"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b − a", "c − a", "c − b"]
    assert [text.get_text() for text in ax.texts] == [" no pairs"] * 2


def test_no_pairs_at_all_and_too_many_are_refused() -> None:
    none = made_up({"a": [[NAN]], "b": [[1.0]]}, {"k": (2,)}).differences("ari")
    with pytest.raises(ValueError, match="got 1 comparisons of 0 pairs"):
        plots.differences(none)
    many = made_up({str(i): drawn(i, 1, 2) for i in range(20)}, {"k": (2,)}).differences("ari")
    with pytest.raises(ValueError, match="from 1 to 150 comparisons"):
        plots.differences(many)


@pytest.mark.parametrize("draw", [plots.critical_differences, plots.performance_profile])
def test_a_picture_of_something_else_is_refused(draw: Any) -> None:
    with pytest.raises(TypeError, match="what StudyResults"):
        draw(made_up(three(1), {"k": (2,)}).differences("ari"))


def test_pictures_draw_where_they_are_told() -> None:
    figure = Figure()
    assert made_up(three(3), OVERLAP).plot("ari", "overlap", figure=figure) is figure
    ax = Figure().subplots()
    assert plots.critical_differences(made_up(three(3), OVERLAP).ranks("ari"), ax) is ax
    assert plt.get_fignums() == []


# ---------------------------------------------------------------------- long names

LONG = [f"svi:{name} guide={guide}" for name in ("enumerated", "collapsed") for guide in "abcdef"]
LONG = [name.replace("guide=f", "guide=multivariate") for name in LONG]
DRAWN = {
    "lines": lambda found, width: found.plot("ari", "overlap", width=width),
    "panels": lambda found, width: found.plot("ari", "overlap", "n", width=width),
    "ranks": lambda found, width: plots.critical_differences(found.ranks("ari"), width=width),
    "profile": lambda found, width: plots.performance_profile(found.profile("ari"), width=width),
    "differences": lambda found, width: plots.differences(
        found.differences("ari", found.plan.methods[-1].name, by="n"), width=width
    ),
    "all pairs": lambda found, width: plots.differences(found.differences("ari"), width=width),
}


def shown_in(figure: Figure) -> list[plt.Text]:
    """Words that are drawn: not those of ticks beyond their axis."""
    beyond = set()
    for ax in figure.axes:
        for axis, place in ((ax.xaxis, 0), (ax.yaxis, 1)):
            low, high = sorted(axis.get_view_interval())
            for label in axis.get_ticklabels():
                if (
                    not ax.axison
                    or not axis.get_visible()
                    or not low <= label.get_position()[place] <= high
                ):
                    beyond.add(label)
    texts = figure.findobj(plt.Text)
    return [t for t in texts if t.get_visible() and t.get_text().strip() and t not in beyond]


@pytest.mark.parametrize(
    ("width", "longer"),
    [("column", ""), ("page", ""), ("column", " of a method with a good many words")],
)
@pytest.mark.parametrize("picture", DRAWN)
def test_twelve_long_names_can_be_read(picture: str, longer: str, width: str) -> None:
    """All words are within the figure, and none on others; all names are there in full."""
    values = {name + longer: drawn(i, 6, 4) for i, name in enumerate(LONG)}
    figure = DRAWN[picture](made_up(values, BOTH), width)
    figure = figure.figure if isinstance(figure, Axes) else figure
    figure.draw_without_rendering()
    shown = shown_in(figure)
    boxes = [text.get_window_extent() for text in shown]
    whole = figure.bbox.padded(1)
    for number, (text, box) in enumerate(zip(shown, boxes, strict=True)):
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1, text.get_text()
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1, text.get_text()
        over = [
            t.get_text() for t, b in zip(shown[:number], boxes, strict=False) if b.overlaps(box)
        ]
        assert over == [], text.get_text()
    told = " ".join(" ".join(words(figure)).split())
    assert all(name in told for name in values)


# ---------------------------------------------------------------------- the page


class Read(HTMLParser):
    """The text of a page, its ids, its pictures' descriptions, and what it asks for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.ids: list[str] = []
        self.told: list[str] = []
        self.targets: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [str(found["id"])] if "id" in found else []
        self.told += [str(found["alt"])] if tag == "img" else []
        for name in ("aria-describedby", "aria-labelledby"):
            self.targets |= {str(found[name])} if name in found else set()
        if str(found.get("href", "")).startswith("#"):
            self.targets.add(str(found["href"])[1:])

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(results: gp.StudyResults, folder: Path, **given: Any) -> tuple[str, Read]:
    """The words of a page, on one line, and what else is in it."""
    path = results.report(folder / "study.html", **given)
    read = Read(path.read_text(encoding="utf-8"))
    assert len(read.ids) == len(set(read.ids))
    assert read.targets <= set(read.ids)
    return " ".join(" ".join(read.text).split()), read


def troubled() -> gp.StudyResults:
    """Results with failures of two kinds, cells that are left, and two versions."""
    values = three()
    values["b"][0, 0], values["b"][1, 1], values["c"][5] = NAN, NAN, LATER
    results = made_up(values, BOTH)
    reasons = iter(["ValueError: <b>singular</b>", "MemoryError"])
    rows = {
        key: replace(row, reason=next(reasons), versions="torch 1")
        if row.status == FAILED
        else replace(row, versions="torch 2")
        for key, row in results.rows.items()
    }
    return replace(results, rows=rows, toml="seed = 0 # as it was written\n")


def test_the_page_says_what_was_asked_and_what_is_left(tmp_path: Path) -> None:
    results = troubled()
    text, read = page_of(results, tmp_path)
    for part in (
        "3 methods on 48 data sets: 136 of 144 cells run.",
        "2 cells failed.",
        "8 of 144 cells have not been run.",
        "b · 1 failed: ValueError: <b>singular</b> First at made up, n = 100, overlap = 0.01",
        "failed: MemoryError First at made up, n = 100, overlap = 0.05, replicate 1.",
        "2 of 48 cells have no answer (2 failed): its means are of other data sets",
        "8 data sets at each of 6 settings; n = 100, 1000; overlap = 0.01, 0.05, 0.2",
        "seed = 0 # as it was written",
        'gp.Study.from_toml(Path("study.toml").read_text())',
        "The same on the command line: gmm-pyro study study.toml --out nowhere",
        "2 cells torch 1",
        "134 cells torch 2",
        "Cells were run by several versions",
        "Seed 0",
    ):
        assert part.replace(" · ", " ") in text, part
    ranks = results.ranks("ari").frame
    assert f"{ranks['method'].iloc[0]} is first" in text
    assert len(read.told) == 5 + 5  # lines by two factors, ranks, profile, differences


def test_numbers_of_the_page_are_those_of_the_tables(tmp_path: Path) -> None:
    results = troubled()
    text, read = page_of(results, tmp_path, measures=["ari"], baseline="c")
    for table in (
        results.table("method"),
        results.table(["overlap", "method"]),
        results.ranks("ari"),
        results.profile("ari"),
        results.differences("ari", "c"),
    ):
        for cells in list(table.cells.values())[table.n_keys :]:
            assert all(cell.replace("-", "−") in text.replace("-", "−") for cell in cells)
    told = results.differences("ari", "c").frame
    assert any(
        f"a less c {told['difference'][0]:.3g}".replace("-", "−") in alt for alt in read.told
    )


def test_a_command_and_a_study_without_toml(tmp_path: Path) -> None:
    results = made_up(three(3), OVERLAP)
    text, _ = page_of(results, tmp_path)
    assert "gp.Study(data, methods, metrics=['ari'], seed=0, level=0.9)" in text
    assert "Some data or methods cannot be written down in TOML" in text
    assert "Every cell has been run and has an answer." in text
    text, _ = page_of(results, tmp_path, command="gmm-pyro study & more")
    assert "The command that makes this study: gmm-pyro study & more" in text


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"a": [[LATER] * 2] * 3}, "0 of 6 cells run."),
        ({"a": [[NAN] * 2] * 3, "b": [[NAN] * 2] * 3}, "6 of 6 cells have no answer (6 failed)."),
        ({"a": [[1.0]] * 3}, "ranks by measure ari need two methods"),
        ({"a": [[1.0, 2.0]] * 3, "b": [[NONE, NONE]] * 3}, "Without any ari, and left out: b."),
        ({"a": [[1.0, 2.0]] * 3, "b": [[LATER, LATER]] * 3}, "Not begun: b."),
    ],
)
def test_a_page_of_little(values: dict[str, Any], told: str, tmp_path: Path) -> None:
    text, _ = page_of(made_up(values, OVERLAP), tmp_path)
    assert told in text


def test_a_page_of_two_designs_averages_over_neither(tmp_path: Path) -> None:
    results = made_up(three(2), {"n": (30, 40), "d": (2,)}, designs=("one", "two"))
    first, second = results.plan.designs
    without = tuple({"n": setting["n"]} for setting in second.settings)
    plan = replace(results.plan, designs=(first, replace(second, settings=without)))
    keys = dict(zip([cell.key for cell in plan.cells()], results.rows.values(), strict=True))
    found = replace(results, plan=plan, rows={k: replace(row, key=k) for k, row in keys.items()})
    text, read = page_of(found, tmp_path, measures="ari")
    assert text.startswith("one and two: a study")
    assert [alt.partition(",")[0] for alt in read.told[:2]] == [
        "ARI against design",
        "ARI against n",
    ]
    assert not any("against d," in alt for alt in read.told)


def test_the_page_refuses_what_the_study_does_not_have(tmp_path: Path) -> None:
    results = made_up(three(3), OVERLAP)
    for given, fault in (
        ({"measures": ["bic"]}, "measures must be one of"),
        ({"measures": 3}, "measures must"),
        ({"baseline": "z"}, "baseline must be one of"),
    ):
        with pytest.raises(ValueError, match=fault):
            results.report(tmp_path / "study.html", **given)
    assert list(tmp_path.iterdir()) == []
