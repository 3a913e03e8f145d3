"""Text in other encodings than UTF-8: which one is told, and which one it may be."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

UTF8 = "utf-8"
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # with which files begin
AROUND = 24  # bytes on either side of a letter that a hint looks for its word in


def in_utf8(stream: BinaryIO, encodings: Sequence[str]) -> Iterator[tuple[BinaryIO, str]]:
    """The text in UTF-8, by each of the encodings in turn, with its name.

    Without any, it is UTF-8, or UTF-16 where it begins with the mark of that.

    Raises:
        UnicodeDecodeError: if the text is not in an encoding; of UTF-8, its reader finds out.
    """
    begin = stream.tell()
    start = stream.read(2)
    for name in encodings or (MARKS.get(start, UTF8),):
        stream.seek(begin)
        if codecs.lookup(name).name in (UTF8, "utf-8-sig"):
            yield stream, UTF8
        else:
            yield io.BytesIO(stream.read().decode(name).encode()), name


def what_else(content: bytes) -> str:
    r"""Why a text is not UTF-8: the place, and in what encoding there would be a word.

    Example:
        >>> what_else("name\nMüller,5\n".encode("latin-1"))
        "line 2 has the byte 0xfc; with --encoding latin-1, it reads 'Müller'"
    """
    try:
        content.decode(UTF8)
    except UnicodeDecodeError as error:
        place = error.start
    else:
        return "it reads as UTF-8"
    line = content.count(b"\n", 0, place) + 1
    name = _likely(content)
    before = content[max(0, place - AROUND) : place].decode(name, errors="replace")
    after = content[place : place + AROUND].decode(name, errors="replace")
    word = re.split(r"[\s;,|\"]", before)[-1] + re.split(r"[\s;,|\"]", after)[0]
    byte = f"line {line} has the byte 0x{content[place]:02x}"
    return f"{byte}; with --encoding {name}, it reads {word!r}"


def _likely(content: bytes) -> str:
    """An encoding that the text may be in, by what its bytes would mean."""
    if content[:200].count(0) > len(content[:200]) // 3:
        return "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    if re.search(rb"[\x80-\x9f]", content):  # control characters in the ISO encodings
        return "cp1252"
    return "iso8859-15" if b"\xa4" in content else "latin-1"  # the Euro sign, and one that none has
