"""Claims about the documentation: blocks print what it says, and links lead somewhere.

The pages are found by glob, so that a new one is held to the same.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import re
import shutil
import subprocess
import sys
import warnings
import zlib
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass, field
from doctest import ELLIPSIS, OutputChecker
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from sphinx.cmd.build import build_main

import gmm_pyro
import gmm_pyro.estimator

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
figures = importlib.util.module_from_spec(SPEC)
sys.modules["figures"] = figures  # dataclasses look their module up
SPEC.loader.exec_module(figures)

PAGES = figures.pages()
RUN = {"python", "sh", "r"}
SHOWN = {"text", "toml"}  # these cannot run
DIRECTIVES = {"{toctree}", "{eval-rst}", "{include}", "{image}", "{figure}"}
LARGEST_PICTURE = 150_000  # bytes


def agrees(printed: str, shown: str) -> bool:
    return OutputChecker().check_output(shown, printed, ELLIPSIS)


def languages(page: str) -> set[str]:
    return {block.language for block in figures.blocks(page)}


@pytest.mark.parametrize("page", PAGES)
def test_blocks_are_in_a_language_that_runs_or_cannot(page: str) -> None:
    directives = {name.split()[0] for name in languages(page) if name.startswith("{")}
    assert directives <= DIRECTIVES
    assert {name for name in languages(page) if not name.startswith("{")} <= RUN | SHOWN


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if languages(page) & {"python", "sh"}])
def test_blocks_print_what_the_page_says_and_draw_its_pictures(
    page: str, tmp_path: Path, prepared: Path
) -> None:
    if "sh" in languages(page) and not Path(sys.executable).with_name("gmm-pyro").exists():
        pytest.skip("the page runs the command line, and this Python has no gmm-pyro installed")
    for block, printed in figures.run(page, tmp_path, prepared):
        assert agrees(printed, block.output or ""), f"line {block.line} printed:\n{printed}"
    drawn = {path.name for path in (tmp_path / "images").glob("*.png")}
    assert drawn == set(figures.PICTURE.findall(shown(page)))


def shown(page: str) -> str:
    """The page without its code."""
    return re.sub(r"`[^`]*`", "", figures.FENCE.sub("", figures.source(page)))


def mclust_is_missing() -> bool:
    if not shutil.which("Rscript"):
        return True
    return subprocess.run(["Rscript", "-e", "library(mclust)"], capture_output=True).returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if "r" in languages(page)])
def test_blocks_of_r_print_what_the_page_says(page: str, tmp_path: Path) -> None:
    if mclust_is_missing():
        pytest.skip("needs Rscript with the package mclust")
    blocks = [block for block in figures.blocks(page) if block.language == "r"]
    script = tmp_path / "page.R"
    script.write_text("\ncat('\\f')\n".join(block.code for block in blocks), encoding="utf-8")
    command = ["Rscript", "--vanilla", str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for block, printed in zip(blocks, done.stdout.split("\f"), strict=True):
        assert agrees(printed, block.output or ""), f"line {block.line} printed:\n{printed}"


def test_pictures_are_small_and_each_is_on_a_page() -> None:
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert all(picture.stat().st_size < LARGEST_PICTURE for picture in pictures)
    on_pages = [name for page in PAGES for name in figures.PICTURE.findall(shown(page))]
    assert sorted(on_pages) == sorted(picture.name for picture in pictures)


@dataclass
class Html(HTMLParser):
    """What a page of the site links to, loads and can be linked to at."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    unlabelled: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values["id"]} if "id" in values else set()
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in {"img", "script", "iframe", "source"} and "src" in values:
            self.loads.append(values["src"])
        elif tag == "link" and values.get("rel") in {"stylesheet", "icon", "preload"}:
            self.loads.append(values["href"])
        self.unlabelled += tag == "img" and not values.get("alt")


@dataclass(frozen=True)
class Site:
    """The built site: its folder, and its pages by their path within it."""

    folder: Path
    pages: dict[str, Html]

    def leads_somewhere(self, page: str, link: str) -> bool:
        """Whether there is the file, and in it the anchor, that a link of a page names."""
        target = urlsplit(urljoin(page, link))
        path, anchor = unquote(target.path), unquote(target.fragment)
        if not (self.folder / path).is_file():
            return False
        return not anchor or path not in self.pages or anchor in self.pages[path].anchors


def build(source: Path, folder: Path) -> tuple[int, str]:
    """The exit code and errors of Sphinx; in this process, which has imported torch already."""
    errors = io.StringIO()
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html", "-d", str(folder / ".doctrees")]
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("DOCS_OFFLINE", "1")
        patch.setattr(sys, "path", [*sys.path])  # conf.py adds to it
        stack.enter_context(redirect_stderr(errors))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of Python, about Sphinx's own code; -W is for Sphinx's
        code = build_main([*options, str(source), str(folder)])
    return code, errors.getvalue()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site, built once, as strictly as by `make docs`, and without the network."""
    folder = tmp_path_factory.mktemp("site")
    code, errors = build(ROOT / "docs", folder)
    assert code == 0, errors
    parsed = {}
    for path in folder.rglob("*.html"):
        parsed[str(path.relative_to(folder))] = parser = Html()
        parser.feed(path.read_text(encoding="utf-8"))
    return Site(folder, parsed)


def external(link: str) -> bool:
    return bool(urlsplit(link).scheme or urlsplit(link).netloc)


@pytest.mark.parametrize(
    ("formula", "problem"),
    [
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", ""),
        (r"\begin{cases} a & b \\ c & d \end{cases}", ""),
        (r"a &= b", "columns or lines of the formula"),
        (r"a = b \\ c = d", "columns or lines of the formula"),
        (r"\begin{gathered} a \\ b \end{gathered}", "columns or lines of the formula"),
        (r"\nosuchcommand", "a command in the formula"),
    ],
)
def test_formulas_have_their_columns_or_fail_the_build(
    tmp_path: Path, formula: str, problem: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    settings = f"""
import sys
sys.path.insert(0, {str(ROOT / "docs" / "_extensions")!r})
extensions = ["mathml"]
html_theme = "basic"
html_math_renderer = "mathml"
"""
    (source / "conf.py").write_text(settings, encoding="utf-8")
    page = f"Title\n=====\n\n.. math::\n   :nowrap:\n\n   {formula}\n"
    (source / "index.rst").write_text(page, encoding="utf-8")
    code, errors = build(source, tmp_path / "site")
    assert problem in errors
    assert (code == 0) == (problem == "")
    if not problem:
        html = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
        assert (html.count("<mtr>"), html.count("<mtd")) == (2, 4)
        assert "<mi>&" not in html


@pytest.mark.slow
def test_every_page_is_built(site: Site) -> None:
    assert {f"{page}.html" for page in PAGES} <= set(site.pages)


@pytest.mark.slow
def test_links_within_the_site_lead_somewhere(site: Site) -> None:
    broken = [
        (page, link)
        for page, parsed in site.pages.items()
        for link in parsed.links
        if not external(link) and not site.leads_somewhere(page, link)
    ]
    assert not broken


@pytest.mark.slow
def test_links_out_of_the_site_have_the_form_of_one(site: Site) -> None:
    links = {link for parsed in site.pages.values() for link in parsed.links if external(link)}
    assert not [
        link
        for link in links
        if urlsplit(link).scheme != "https" or "." not in urlsplit(link).netloc
    ]


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Site) -> None:
    loads = [(page, url) for page, parsed in site.pages.items() for url in parsed.loads]
    assert not [url for _, url in loads if external(url)]
    assert all(site.leads_somewhere(page, urlsplit(url).path) for page, url in loads)
    styles = "".join(path.read_text("utf-8") for path in site.folder.rglob("*.css"))
    assert "http://" not in styles.replace("http://www.w3.org", "")
    assert "@import" not in styles
    assert "url(http" not in styles
    assert "url(//" not in styles


@pytest.mark.slow
def test_pictures_have_a_text_for_those_who_do_not_see_them(site: Site) -> None:
    assert not [page for page, parsed in site.pages.items() if parsed.unlabelled]


@pytest.mark.slow
def test_the_reference_has_every_public_name(site: Site) -> None:
    content = (site.folder / "objects.inv").read_bytes().split(b"\n", 4)[4]
    documented = {line.split()[0] for line in zlib.decompress(content).decode().splitlines()}
    values = {name: getattr(gmm_pyro, name) for name in gmm_pyro.__all__}
    modules = [gmm_pyro.estimator, *filter(inspect.ismodule, values.values())]
    public = {f"gmm_pyro.{name}" for name in values}
    public |= {
        f"{module.__name__}.{name}"
        for module in modules
        for name in set(names_of(module)) - set(values)
    }
    assert public <= documented, sorted(public - documented)


def names_of(module: ModuleType) -> list[str]:
    """The public names of a module: those it lists, or else those of its own functions."""
    own = inspect.getmembers(module, inspect.isfunction)
    return getattr(
        module,
        "__all__",
        [name for name, f in own if f.__module__ == module.__name__ and name[0] != "_"],
    )
