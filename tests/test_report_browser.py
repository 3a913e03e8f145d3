"""Claims about the report in a browser: Debian's Chromium, headless, from a file on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from gmm_pyro.comparison import Comparison, compare
from gmm_pyro.datasets import bimodal
from gmm_pyro.model.priors import Priors
from gmm_pyro.model.program import MixtureModel
from studied import made_up

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PHONE, DESK = 375, 1440  # pixels
FITS = "#table-fits"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Univariate data, with a warning, a failure, and names that would be tags."""
    data = replace(bimodal(), name="<b onclick='x'>two & two</b>", feature_names=("<i>size</i>",))
    options = {"em": {"max_steps": 1}, "laplace": {"n_draws": 90}}
    model = MixtureModel(2, priors=Priors())
    return compare(model, data, ["kmeans", "em", "laplace", "gibbs"], options=options)


@pytest.fixture(scope="module")
def address(comparison, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    return comparison.report(path, command="gmm-pyro compare").as_uri()


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> str:
    """The page of a study with a failure, a cell that is left, and a name that would be a tag."""
    nan, later = float("nan"), float("-inf")
    values = {
        "<i>first</i>": [[0.1, nan, 0.3], [0.2, 0.4, later]],
        "the second of all methods": [[0.3, 0.5, 0.4], [0.6, 0.1, 0.2]],
    }
    results = made_up(values, {"overlap": (0.01, 0.1)})
    path = tmp_path_factory.mktemp("study") / "study.html"
    return replace(results, toml=f"name = '{'long' * 60}'").report(path).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser, address) -> Iterator[Callable[..., Page]]:
    """`opened(width, scheme)` is a page with the report, anew or as the last test left it.

    All pages must stay silent and ask for nothing, also when they are closed.
    """
    complaints: list[str] = []
    pages: dict[Any, Page] = {}

    def request(url: str) -> None:
        if url != address and not url.startswith("data:"):
            complaints.append(f"asked for {url}")

    def call(width: int = DESK, scheme: Any = "light", *, anew: bool = False) -> Page:
        known = pages.get((width, scheme))
        if known is not None:
            if anew:
                known.reload()
            return known
        # axe brings its own script, which the page would refuse
        options = {"bypass_csp": scheme == "dark" or width == PHONE}
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, **options)
        page = pages[width, scheme] = context.new_page()
        page.set_default_timeout(10_000)  # milliseconds
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda asked: request(asked.url))
        page.goto(address)
        return page

    yield call
    for page in pages.values():
        page.context.close()
    assert complaints == []


def column(page: Page, number: int) -> list[str]:
    """The texts of one column of the table, without what only screen readers are told."""
    cells = page.locator(f"{FITS} tbody tr > :nth-child({number})").all_inner_texts()
    return [text.removeprefix("★").partition(" (best)")[0].strip() for text in cells]


def header(page: Page, name: str) -> Any:
    return page.locator(f"{FITS} thead button", has_text=name)


class TestLooks:
    def test_no_other_script_runs(self, browser, address) -> None:
        page = browser.new_page()
        page.goto(address)
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text))
        page.evaluate(
            "document.head.append(Object.assign(document.createElement('script'), "
            "{textContent: 'window.taken = true'}))"
        )
        assert page.evaluate("window.taken === undefined")
        assert "Content Security Policy" in refused[0]
        page.close()

    @pytest.mark.parametrize("width", [PHONE, DESK])
    def test_nothing_overflows(self, opened, width: int) -> None:
        page = opened(width)
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wide = "all => all.filter(one => one.getBoundingClientRect().right > innerWidth).length"
        assert page.eval_on_selector_all("section, figure, img, p, dl, pre, .scroll", wide) == 0

    def test_pictures_load(self, opened) -> None:
        page = opened()
        widths = page.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
        assert len(widths) >= 7
        assert min(widths) > 200

    @pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
    def test_colours_follow_the_scheme(self, opened, scheme: str, dark: bool) -> None:  # noqa: FBT001
        page = opened(DESK if scheme == "dark" else PHONE, scheme)
        shade = "one => getComputedStyle(one).backgroundColor.match(/\\d+/g).map(Number)"
        assert (max(page.eval_on_selector("body", shade)) < 60) == dark
        assert (max(page.eval_on_selector("section", shade)) < 60) == dark
        assert page.eval_on_selector("img", shade) == [255, 255, 255]  # as it was drawn

    def test_names_are_text(self, opened, comparison) -> None:
        page = opened()
        assert page.title().startswith(comparison.dataset.name)
        assert page.locator("h1").inner_text().startswith(comparison.dataset.name)
        assert page.locator("main b, main i").count() == 0

    def test_paper_shows_everything_and_no_controls(self, opened) -> None:
        page = opened(anew=True)
        page.emulate_media(media="print")
        hidden = page.locator("#means-fits-ari")
        assert hidden.evaluate("one => one.getBoundingClientRect().height") > 0
        assert not page.locator("nav").is_visible()
        assert not page.locator(".arrow").first.is_visible()
        page.emulate_media(media="screen")
        shut = page.locator("details:not([open])").count()
        assert shut > 0
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("details:not([open])").count() == shut
        assert page.pdf().startswith(b"%PDF")


class TestSorting:
    def numbers(self, page: Page, name: str) -> list[float]:
        """The column of BIC as numbers, without dashes, which must come last."""
        headers = page.locator(f"{FITS} thead button").all_inner_texts()
        texts = column(page, 1 + [text.strip() for text in headers].index(name))
        assert texts[-1] == "–"
        return [float(text.replace("−", "-").replace("\u202f", "")) for text in texts[:-1]]

    @pytest.mark.parametrize("key", [None, "Enter", "Space"])
    def test_both_ways_by_pointer_and_keys(self, opened, key: str | None) -> None:
        page = opened(anew=True)
        button = header(page, "BIC")
        press = button.click if key is None else lambda: button.press(key)
        head = button.locator("xpath=ancestor::th")
        before = self.numbers(page, "BIC")
        assert head.get_attribute("aria-sort") is None
        press()
        assert head.get_attribute("aria-sort") == "ascending"
        assert self.numbers(page, "BIC") == sorted(before)
        assert page.locator("#said").inner_text() == "Fits sorted by BIC, ascending"
        press()
        assert head.get_attribute("aria-sort") == "descending"
        assert self.numbers(page, "BIC") == sorted(before, reverse=True)
        assert button.evaluate("one => one === document.activeElement")

    def test_words_and_only_one_column(self, opened) -> None:
        page = opened()
        header(page, "BIC").click()
        header(page, "Method").click()
        assert column(page, 1) == ["em", "gibbs", "kmeans", "laplace"]
        assert page.locator("[aria-sort]").count() == 1

    def test_the_best_has_more_than_a_colour(self, opened, comparison) -> None:
        page = opened()
        best = page.locator(f"{FITS} tr", has_text=comparison.table["seconds"].idxmin())
        cell = best.locator("td.best").first
        assert "★" in cell.inner_text()
        assert "(best)" in cell.text_content()


class TestMeanings:
    def test_on_hover_and_on_focus(self, opened) -> None:
        page = opened(PHONE, anew=True)
        tip, button = page.locator("#tip"), header(page, "KL")
        assert not tip.is_visible()
        button.focus()
        assert "Kullback-Leibler" in tip.inner_text()
        box = tip.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE
        page.keyboard.press("Escape")
        assert not tip.is_visible()
        header(page, "ARI").hover()
        assert "Adjusted Rand" in tip.inner_text()
        page.mouse.move(1, 1)
        assert not tip.is_visible()

    def test_a_column_without_words_has_no_tip(self, opened) -> None:
        page = opened(anew=True)  # which must stay silent
        page.evaluate("document.getElementById('means-fits-bic').remove()")
        header(page, "BIC").focus()
        assert not page.locator("#tip").is_visible()
        page.reload()

    def test_a_description_goes_with_every_column(self, opened) -> None:
        page = opened()
        described = page.locator(f"{FITS} thead button[aria-describedby]")
        assert described.count() == page.locator(f"{FITS} thead th").count() - 2


class TestAccess:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe_finds_nothing(self, opened, scheme: str) -> None:
        page = opened(PHONE if scheme == "light" else DESK, scheme)
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()

    def test_the_first_stop_skips_to_the_results(self, opened) -> None:
        page = opened(anew=True)
        page.keyboard.press("Tab")
        link = page.locator(".skip")
        expect(link).to_be_focused()
        assert link.evaluate("one => one.getBoundingClientRect().top") >= 0
        assert link.evaluate("one => getComputedStyle(one).outlineStyle") != "none"
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()  # the jump takes the browser a moment

    def test_tables_are_reached_by_keys_where_they_scroll(self, opened) -> None:
        page = opened(PHONE)
        reached = page.eval_on_selector_all(
            ".scroll", "all => all.every(one => one.tabIndex === 0 && one.role === 'region')"
        )
        assert reached


class TestStudies:
    """The page of a study has the same looks and script, so that this is about what is its own."""

    @pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESK, "dark")])
    def test_nothing_overflows_and_axe_finds_nothing(
        self, browser, study, width: int, scheme: Any
    ) -> None:
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, bypass_csp=True)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(study)
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("main i").count() == 0
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.locator("#table-by-method thead button", has_text="ARI").click()
        first = page.locator("#table-by-method tbody th").all_inner_texts()
        assert first == ["<i>first</i>", "the second of all methods"]
        assert complaints == []
        context.close()
