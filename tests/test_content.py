"""Claims about mistakes in what a file holds: each is told with the file's name, at every entry."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gmm_pyro import GaussianMixture
from gmm_pyro.files import read_dataset, write_table

N = 12


def table(**changes: object) -> pd.DataFrame:
    """Twelve points with weights, with changes in some columns."""
    x = np.random.default_rng(0).normal(size=(N, 2))
    whole = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "w": np.ones(N)})
    return whole.assign(**changes)


def but(value: object) -> list[object]:
    """Ones, and at row 3 something else."""
    return [1.0, 2.0, 3.0, value, *range(4, N)]


READ = {  # what is in the file, how it is asked for, and what is said
    "an infinity": (table(b=but(np.inf)), {}, "x has 1 infinite value, the first at row 3"),
    "words": (table(a=["u"] * N), {"columns": ["a", "b"]}, "column 'a' must hold real numbers"),
    "no such column": (table(), {"columns": ["c"]}, "has no column 'c': it has a, b, w"),
    "a weight too few": (
        table(w=but(np.nan)),
        {"weights_column": "w"},
        "column 'w' has 1 NaN value",
    ),
    "a negative weight": (
        table(w=but(-2.0)),
        {"weights_column": "w"},
        "must be finite and not negative, got -2 at row 3",
    ),
    "no weight": (table(w=[0.0] * N), {"weights_column": "w"}, "must have a positive entry"),
    "word weights": (table(w=["u"] * N), {"weights_column": "w"}, "column 'w' must hold real"),
}
FITTED = {
    "a constant": (table(b=5.0), {}, r"x must vary in every column; .*'b' \(always 5\)"),
    "few points": (table()[:1], {}, "x has 1 points?, fewer than the 2 components"),
    "tiny units": (table(b=np.arange(N) * 1e-200), {}, "x must have columns of moderate size"),
}


@pytest.mark.parametrize("name", ["points.csv", "points.parquet", "points.nc"])
@pytest.mark.parametrize("case", READ)
def test_reading_names_the_file(case: str, name: str, tmp_path: Path) -> None:
    frame, asked, says = READ[case]
    path = write_table(frame, tmp_path / name)
    with pytest.raises(ValueError, match=says) as caught:
        read_dataset(path, **asked)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("command", ["fit points.csv", "compare --methods em --data points.csv"])
@pytest.mark.parametrize("case", READ | FITTED)
def test_so_does_the_command_line(run, case: str, command: str, tmp_path: Path) -> None:
    frame, asked, says = (READ | FITTED)[case]
    write_table(frame, tmp_path / "points.csv")
    flags = {"columns": "--columns", "weights_column": "--weights-column"}
    options = [
        word
        for name, value in asked.items()
        for word in (flags[name], value if isinstance(value, str) else ",".join(value))
    ]
    columns = [] if "columns" in asked else ["--columns", "a,b"]
    done = run(*command.split(), "-k", 2, *options, *columns)
    assert (done.code, done.out) == (2, "")
    assert re.search(rf"^gmm-pyro: points\.csv\b.*{says}", done.err.splitlines()[-1])
    assert [path.name for path in tmp_path.iterdir()] == ["points.csv"]


@pytest.mark.parametrize("case", ["an infinity", "words"])
def test_so_does_prediction(run, case: str, tmp_path: Path) -> None:
    GaussianMixture([1.0], [[0.0, 0.0]], [1.0], "VII", ["a", "b"]).save(tmp_path / "m.json")
    frame, _, says = READ[case]
    write_table(frame, tmp_path / "new.csv")
    done = run("predict", "m.json", "new.csv")
    assert (done.code, done.out) == (2, "")
    assert re.search(rf"^gmm-pyro: new\.csv: .*{says}", done.err)
