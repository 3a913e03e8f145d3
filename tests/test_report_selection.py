"""Claims about the page of a selection: what is in it, by all criteria, and where none is sound."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import matplotlib.pyplot as plt
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

import gmm_pyro as gp
from gmm_pyro.selection import page_tables as tables
from gmm_pyro.selection.caution import advice_on
from gmm_pyro.selection.criteria import CRITERIA
from gmm_pyro.selection.page import html_of
from gmm_pyro.selection.record import best_of
from gmm_pyro.selection.saving import save_selection
from pages import Outline

HOSTILE = "<script>document.title = 'taken'</script>"
NAMES = [HOSTILE, "cost in $ \\frac and $, 数"]
FAMILIES = ["VEE", "full", "VII"]


def page_of(selection: gp.Selection, **told: str) -> Outline:
    return Outline(html_of(selection, best_of(selection), **told))


@pytest.fixture(scope="module")
def faithful() -> gp.Selection:
    """Old Faithful, of which models with two components are near each other by ICL."""
    x = gp.datasets.old_faithful().x
    return gp.select(x, [1, 2, 3], FAMILIES, "icl", feature_names=NAMES, n_starts=2)


@pytest.fixture(scope="module")
def page(faithful: gp.Selection) -> Outline:
    return page_of(faithful, name=HOSTILE)


@pytest.fixture(scope="module")
def hopeless() -> gp.Selection:
    """No mixture of so many components rests on enough of so few points."""
    return gp.select(gp.datasets.iris().x[:12], [3, 13], "VVV")


# ---------------------------------------------------------------------- the page as such


def test_it_stands_alone_and_names_resolve(page: Outline) -> None:
    assert page.addresses() == []
    assert all(img["src"].startswith("data:image/png;base64,") for img in page.all("img"))
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references()) <= set(page.ids)


def test_headings_tables_and_pictures_are_told(page: Outline) -> None:
    levels = [int(h.tag[1]) for h in page.all("h1", "h2", "h3")]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(th["scope"] in ("col", "row") for th in page.all("th"))
    assert all(len(img["alt"]) > 40 for img in page.all("img"))


def test_names_are_text(page: Outline) -> None:
    assert len(page.all("script")) == 1
    assert page.all("title")[0].text.startswith(HOSTILE)


def test_no_picture_is_left_with_pyplot(faithful: gp.Selection, tmp_path: Path) -> None:
    before = plt.get_fignums()
    faithful.report(tmp_path / "selection.html")
    assert plt.get_fignums() == before


def test_it_is_written_as_a_whole_and_is_the_same_again(faithful, tmp_path: Path) -> None:
    path = tmp_path / "selection.html"
    path.write_text("old")
    assert faithful.report(path, name="mine") == path
    assert os.listdir(tmp_path) == ["selection.html"]
    assert path.read_text("utf-8") == html_of(faithful, faithful.best, "mine")
    with pytest.raises(FileNotFoundError):
        faithful.report(tmp_path / "none" / "selection.html")
    with pytest.raises(TypeError, match="name must be a word, got 3"):
        faithful.report(path, name=3)  # type: ignore[arg-type]


def test_its_folder_has_the_picture_of_the_criterion(faithful, tmp_path: Path) -> None:
    files = save_selection(faithful, None, tmp_path / "new")
    assert [file.name for file in files] == ["criterion.png", "selection.csv"]
    assert files[0].read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------------- the answer


def test_the_answer_and_what_is_near_it(faithful: gp.Selection, page: Outline) -> None:
    text = page.all("ul")[1].text
    assert f"The best model: {faithful.in_words()}." in text
    assert "9 models compared by ICL (lower is better)." in text
    first, *others = faithful.ties
    assert others  # or this says nothing
    found = tables.near(faithful, faithful.best)
    for row, cell in zip(found.rows, others, strict=True):
        value, behind, rand = (float(c.value) for c in row.cells)
        assert value == cell.criteria.icl
        assert behind == pytest.approx(cell.criteria.icl - first.criteria.icl)
        labels = cell.mixture.predict(faithful.observations)
        assert rand == pytest.approx(adjusted_rand_score(faithful.best.labels, labels))
    assert len(others) == page.named("table-near").text.count("converged")


def test_the_grid_has_every_model_and_one_star(faithful: gp.Selection, page: Outline) -> None:
    rows = {row.name: row.cells for row in tables.grid(faithful)}
    assert set(rows) == {"VEE", "full", "spherical"}
    stars = [(name, j) for name, cells in rows.items() for j, c in enumerate(cells) if c.best]
    best = faithful.best_cell
    assert stars == [(best.covariance, best.n_components - 1)]
    values = [float(c.value) for cells in rows.values() for c in cells]
    shades = [c.shade for cells in rows.values() for c in cells]
    ranked = [shade for _, shade in sorted(zip(values, shades, strict=True))]
    assert ranked == sorted(ranked, reverse=True)
    assert ranked[0] == 10
    assert len(set(ranked)) > 2
    assert page.named("table-grid").text.count("★") == 1


def test_all_models_are_listed_best_first(faithful: gp.Selection) -> None:
    found = tables.models(faithful)
    assert len(found.rows) == 9
    order = [column.name for column in found.columns].index("icl")
    values = [float(row.cells[order].value) for row in found.rows]
    assert values == sorted(values)
    assert [row.cells[order].best for row in found.rows] == [True] + [False] * 8
    assert [row.name for row in found.rows[:2]] == ["2, full (VVV)", "2, VEE"]


def test_parameters_are_those_of_the_fit(faithful: gp.Selection, page: Outline) -> None:
    fit = faithful.best
    found = tables.parameters(fit)
    numbers = torch.tensor([[float(c.value) for c in row.cells] for row in found.rows])
    weight, points, *features = numbers.double().T
    assert torch.allclose(weight, fit.mixture.weights, atol=1e-6)
    assert points.tolist() == fit.labels.bincount().tolist()
    means, deviations = torch.stack(features[::2], 1), torch.stack(features[1::2], 1)
    assert torch.allclose(means, fit.mixture.means, rtol=1e-5)
    dense = fit.mixture.covariance_matrices()
    assert torch.allclose(deviations.square(), dense.diagonal(dim1=1, dim2=2), rtol=1e-5)
    square = tables.covariances(fit)[0]
    shown = [[float(cell.value) for cell in row.cells] for row in square.rows]
    assert torch.allclose(torch.tensor(shown).double(), dense[0], rtol=1e-5)
    assert "Mean of cost in $" in page.named("table-parameters").text


@pytest.mark.parametrize("family", ["EII", "VII", "EEI", "EVE"])
def test_every_shape_of_covariances_has_its_matrices(family: str) -> None:
    fit = gp.select(gp.datasets.old_faithful().x, 2, family).best
    shared = family[0] + family[2] in ("EI",) and family != "EVI"
    assert len(tables.covariances(fit)) == (1 if shared else 2)
    assert len(tables.parameters(fit).rows) == 2


def test_weights_and_holes_are_counted() -> None:
    x = gp.datasets.old_faithful().x.clone()
    x[:5, 0] = torch.nan
    weight = torch.linspace(0.5, 1.5, len(x)).double()
    found = gp.select(x, 2, "tied", sample_weight=weight)
    page = page_of(found)
    facts = page.all("dl")[0].text
    assert "Missing values" in facts
    assert "Their weights sum to" in facts
    total = sum(float(row.cells[1].value) for row in tables.parameters(found.best).rows)
    assert total == pytest.approx(float(weight.sum()))
    assert "sample_weight=..." in page.all("pre")[0].text


# ---------------------------------------------------------------------- all criteria


def with_numbers(selection: gp.Selection, name: str) -> gp.Selection:
    """The selection by another criterion, of which every model has some number."""
    column = CRITERIA[name].column
    cells = [
        replace(cell, found={column: -10.0 + 3 * i, f"{column}_se": 0.5})
        for i, cell in enumerate(selection.cells)
    ]
    return replace(selection, criterion=name, cells=tuple(cells))


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_has_its_page(faithful: gp.Selection, name: str, monkeypatch) -> None:
    monkeypatch.setattr("gmm_pyro.selection.page.pictures_of_fit", lambda *_: [])
    has = CRITERIA[name].column in faithful.table
    found = replace(faithful, criterion=name) if has else with_numbers(faithful, name)
    page = page_of(found)
    assert CRITERIA[name].label in page.named("caption-grid").text
    listed = tables.models(found)
    column = [c.name for c in listed.columns].index(CRITERIA[name].column)
    values = [float(row.cells[column].value) for row in listed.rows]
    assert values == sorted(values, reverse=CRITERIA[name].higher_is_better)
    first = max if CRITERIA[name].higher_is_better else min
    best = [float(c.value) for row in tables.grid(found) for c in row.cells if c.best]
    assert best == [first(values)]
    assert f'criterion="{name}"' in page.all("pre")[0].text


# ---------------------------------------------------------------------- no sound model


def test_no_sound_model_is_said(hopeless: gp.Selection) -> None:
    page = page_of(hopeless)
    text = page.all("main")[0].text
    assert "There is no best model: no model is sound." in text
    assert "Of these, marked: 1 not sound, 1 too few points." in text
    assert "Try fewer components" in text
    assert not page.all("img")
    assert "★" not in text
    assert [c.text for row in tables.grid(hopeless) for c in row.cells] == [
        "not sound",
        "too few points",
    ]
    assert set(page.references()) <= set(page.ids)


# ---------------------------------------------------------------------- doubts


def facts(selection: gp.Selection) -> str:
    return " ".join(f"{a.fact} {a.remedy}" for a in advice_on(selection, best_of(selection)))


def with_best(selection: gp.Selection, number: int, *tried: int) -> gp.Selection:
    """Cells of these numbers of components, of which one is far better than the others."""
    cell = selection.best_cell
    cells = [
        replace(
            cell,
            n_components=k,
            criteria=replace(cell.criteria, log_likelihood=0.0 if k == number else -1e4 * k),
        )
        for k in tried
    ]
    return replace(selection, cells=tuple(cells), criterion="bic")


def test_near_models_are_a_doubt(faithful: gp.Selection) -> None:
    words = f"{len(faithful.ties)} models, the best among them, hardly differ by ICL: all have 2"
    assert words in facts(faithful)


@pytest.mark.parametrize(
    ("number", "words"),
    [(2, "2, is the smallest that was tried. Try fewer"), (3, None), (4, "Try more")],
)
def test_an_end_of_the_numbers_is_a_doubt(faithful, number: int, words: str | None) -> None:
    found = with_best(faithful, number, 2, 3, 4)
    said = " ".join(f"{a.fact} {a.remedy}" for a in advice_on(found, faithful.best))
    assert (words or "") in said
    assert ("that was tried" in said) == (words is not None)


def test_the_fit_itself_is_a_doubt(faithful: gp.Selection) -> None:
    stopped = replace(faithful.best, status=gp.inference.Status.STEP_LIMIT)
    found = with_best(faithful, 3, 2, 3, 4)
    assert "It stopped at the step limit" in advice_on(found, stopped)[-1].fact


def test_the_call_to_make_it_again_has_all_arguments(tmp_path: Path) -> None:
    x = gp.datasets.old_faithful().x
    told = {"noise_component": "uniform", "fixed": {"weights": [0.3]}, "dtype": "float32"}
    found = gp.select(x, [2, 3], "EII", "cross_validation", n_folds=2, n_starts=1, **told)
    page = Outline(found.report(tmp_path / "selection.html").read_text(encoding="utf-8"))
    [call] = [pre.text for pre in page.all("pre") if "gp.select(" in pre.text]
    for words in ("noise_component='uniform'", "fixed=...", "dtype='float32'", "n_folds=2"):
        assert words in call
