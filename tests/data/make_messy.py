"""Write messy.csv: three groups of customers, as a shop's software might export them.

It is Latin-1, with a comment, semicolons, decimal commas, points between thousands, a currency,
blanks and "-" where values are missing, numbers and dates that identify rows, and two rows twice:

    .venv/bin/python tests/data/make_messy.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

CITIES = ("São Paulo", "Düsseldorf", "Málaga", "Zürich")
GROUPS = ((180, 24, 1.74, 2100.0), (130, 41, 1.70, 9800.0), (98, 63, 1.66, 5400.0))
MISSING = {"age": ("-", "-", "", " "), "height": ("", "  ", ""), "income": ("-", "-", "-", "")}


def number(value: float, digits: int) -> str:
    """As it is written where decimals have a comma, and thousands a point."""
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def rows() -> list[dict[str, str]]:
    """The customers in the order in which they came, the last two of them once more."""
    chance = np.random.default_rng(7)
    found = []
    for size, age, height, income in GROUPS:
        for _ in range(size):
            found.append(
                {
                    "customer id": "",
                    "joined": f"{chance.integers(1, 29):02}.{chance.integers(1, 13):02}.2024",
                    "city": CITIES[chance.integers(len(CITIES))],
                    "age": number(chance.normal(age, 4), 0),
                    "height": number(chance.normal(height, 0.07), 2),
                    "income": f"R$ {number(chance.normal(income, income / 9), 2)}",
                }
            )
    chance.shuffle(found)
    for place, row in enumerate(found):
        row["customer id"] = str(70411 + 3 * place)
    for name, marks in MISSING.items():
        for place, mark in zip(chance.choice(len(found), len(marks)), marks, strict=True):
            found[place][name] = mark
    return [*found, *found[-2:]]


def main() -> None:
    """Write the file beside this one."""
    table = rows()
    lines = [
        "# customers, as of 31.12.2024",
        ";".join(table[0]),
        *(";".join(r.values()) for r in table),
    ]
    path = Path(__file__).with_name("messy.csv")
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("latin-1"))


if __name__ == "__main__":
    main()
