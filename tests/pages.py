"""What a page of HTML says without a browser: tags that close, names that resolve, headings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"img", "link", "meta", "br", "hr"}
REFERENCES = ("aria-labelledby", "aria-describedby")


@dataclass
class Element:
    """A tag, its attributes, and the text inside."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""

    def __getitem__(self, name: str) -> str:
        return self.attributes[name] or ""


@dataclass
class Outline(HTMLParser):
    """All elements of a page, in their order; refuses tags that do not close."""

    content: str
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[Element] = []
        self.feed(self.content)
        self.close()
        assert not self.open, f"never closed: {[element.tag for element in self.open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        self.elements.append(Element(tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop().tag == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        """The elements with one of these tags."""
        return [element for element in self.elements if element.tag in tags]

    @property
    def ids(self) -> list[str]:
        """All ids, in their order."""
        return [element["id"] for element in self.elements if "id" in element.attributes]

    def named(self, name: str) -> Element:
        """The element with this id."""
        return next(e for e in self.elements if e.attributes.get("id") == name)

    def references(self) -> Iterator[str]:
        """Ids that links and descriptions point to."""
        for element in self.elements:
            for name in REFERENCES:
                yield from (element.attributes.get(name) or "").split()
            if (element.attributes.get("href") or "").startswith("#"):
                yield element["href"][1:]

    def addresses(self) -> list[str]:
        """What the page would load or lead to, outside of itself."""
        found = [e.attributes.get(name) for e in self.elements for name in ("src", "href")]
        return [a for a in found if a and not a.startswith(("#", "data:"))]
