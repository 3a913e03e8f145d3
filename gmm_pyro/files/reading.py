"""How a file is to be read, where its looks alone do not tell."""

from __future__ import annotations

import codecs
import difflib
from dataclasses import asdict, dataclass, fields
from encodings.aliases import aliases
from typing import Any, Self

DECIMALS = (".", ",")
THOUSANDS = (".", ",", " ", "'", "’", "_")
MEANT = {"point": ".", "comma": ",", "blank": " ", "space": " "}  # words for characters


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a reader is told that the file does not say itself.

    Attributes:
        na: words that stand for missing values, beside empty fields, NA, NaN, null and the like.
        encodings: of a text, in the order in which they are tried; UTF-8 if there is none.
        decimal: the character before decimals, "." or ","; None goes by the file.
        thousands: the character between thousands, or None where there is none.
        currency: whether numbers may have the sign or the code of a currency.
        comment: what lines begin with that are no rows; None skips lines with "#" before the table.
        verbatim: columns of a text that are wanted letter by letter.

    Raises:
        ValueError: if one of these is none of what it can be.

    Example:
        >>> Reading(thousands=".").decimal_mark(".")
        ','
    """

    na: tuple[str, ...] = ()
    encodings: tuple[str, ...] = ()
    decimal: str | None = None
    thousands: str | None = None
    currency: bool = False
    comment: str | None = None
    verbatim: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, known in (("decimal", DECIMALS), ("thousands", THOUSANDS)):
            value = getattr(self, name)
            value = MEANT.get(value, value)
            if value is not None and value not in known:
                choice = ", ".join(map(repr, known))
                raise ValueError(f"{name} must be one of {choice}; got {value!r}")
            object.__setattr__(self, name, value)
        if self.thousands is not None and self.thousands == self.decimal:
            raise ValueError(f"thousands and decimal must differ; both are {self.decimal!r}")
        if self.comment is not None and not self.comment.strip():
            raise ValueError("comment must be what lines begin with, as '#'; got nothing")
        for name in self.encodings:
            _check_encoding(name)

    def decimal_mark(self, seen: str) -> str:
        """The character before decimals, where the file looks as if it were `seen`."""
        if self.decimal is not None:
            return self.decimal
        if self.thousands in DECIMALS:
            return "," if self.thousands == "." else "."
        return seen

    def facts(self) -> dict[str, Any]:
        """What was told, as far as it is not the default, for a file of settings."""
        told = {name: value for name, value in asdict(self).items() if value}
        told.pop("verbatim", None)
        return {k: list(value) if isinstance(value, tuple) else value for k, value in told.items()}

    @classmethod
    def from_facts(cls, facts: Any) -> Self:
        """What `facts` gave, from a file of settings; entries of another kind are refused.

        Raises:
            ValueError: if they are not of this kind.
        """
        known = {field.name: field.default for field in fields(cls) if field.name != "verbatim"}
        if not isinstance(facts, dict) or not facts.keys() <= known.keys():
            raise ValueError(f"it must hold some of {', '.join(known)}")
        for name, value in facts.items():
            kind = {tuple: list, bool: bool}.get(type(known[name]), str)
            if not isinstance(value, kind):
                raise ValueError(f"{name} must be a {kind.__name__}, got {value!r}")  # noqa: TRY004
        values: dict[str, Any] = {
            name: tuple(map(str, value)) if isinstance(value, list) else value
            for name, value in facts.items()
        }
        return cls(**values)


def _check_encoding(name: str) -> None:
    """Refuse an encoding of text that Python does not know."""
    try:
        known = codecs.lookup(name)._is_text_encoding  # hex and zlib are codecs, too
    except (LookupError, ValueError):
        known = False
    if not known:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), aliases, 1)
        hint = f"; did you mean {near[0].replace('_', '-')!r}?" if near else ""
        raise ValueError(
            f"encoding must be one that Python knows, as utf-8, latin-1 or cp1252; got {name!r}"
            f"{hint}"
        )
