"""Claims about the printed tables: what is shown, and that it fits."""

from __future__ import annotations

import io

import pandas as pd
import pytest
import torch

from gmm_pyro.cli.terminal import components_that_fit
from gmm_pyro.comparison import compare
from gmm_pyro.comparison.columns import OF_FITS, OF_POSTERIORS, WORDS
from gmm_pyro.comparison.printed import blocks_that_fit, plain_console, ruled, width_of
from gmm_pyro.datasets import make_mixture
from gmm_pyro.mixture.value import GaussianMixture
from gmm_pyro.model.program import MixtureModel

TABLE = pd.DataFrame(
    {
        "status": ["converged", "converged; degenerate: all points are in one component"],
        "steps": pd.array([12, None], dtype="Int64"),
        "seconds": [0.1234, 10.0],
        "log_likelihood": [-3.85538, -1234.5],
        "held_out_log_density": [-3.9, float("nan")],
        "bic": [2410.2, 1e6],
        "n_parameters": pd.array([17, 17], dtype="Int64"),
        "ari": [1.0, 0.5],
        "nmi": [1.0, 0.5],
        "accuracy": [1.0, 0.5],
        "weight_error": [0.001, 0.5],
        "mean_error": [0.03, 0.5],
        "covariance_error": [0.14, 0.5],
        "kl_to_truth": [0.0194, 2.0],
        "kl_standard_error": [0.0007, 0.1],
    },
    index=["em", "svi:enumerated"],
)


NUMBERS = [column.narrow for column in OF_FITS]


@pytest.mark.parametrize("width", [30, 50, 60, 80, 100, 120, 200])
def test_all_columns_are_shown_and_no_line_is_wider_than_the_terminal(width: int) -> None:
    blocks = blocks_that_fit(TABLE, width, OF_FITS)
    assert all(width_of(cells) <= width for cells in blocks)
    assert all(cells["method"] == list(TABLE.index) for cells in blocks)
    assert list(blocks[0])[:2] == ["method", "status"]
    shown = [header for cells in blocks for header in cells if header not in WORDS]
    assert shown == NUMBERS


def test_a_wide_terminal_has_one_table_and_a_narrow_one_breaks_it_between_groups() -> None:
    (whole,) = blocks_that_fit(TABLE, 200, OF_FITS)
    assert list(whole) == ["method", "status", *NUMBERS]
    first, second = blocks_that_fit(TABLE, 120, OF_FITS)
    assert list(first) == ["method", "status", *NUMBERS[:9]]
    assert list(second) == ["method", "weights", "means", "covs.", "KL", "± se"]
    assert width_of(first | {"weights": second["weights"]}) <= 120  # there is room for some of them


def test_cells_are_rounded_and_empty_where_there_is_no_number() -> None:
    (columns,) = blocks_that_fit(TABLE, 200, OF_FITS)
    assert columns["status"] == ["converged", "degenerate"]
    assert columns["steps"] == ["12", ""]
    assert columns["log lik."] == ["-3.8554", "-1234.5000"]
    assert columns["held out"] == ["-3.9000", ""]


def test_columns_without_numbers_are_left_out() -> None:
    (columns,) = blocks_that_fit(TABLE.assign(kl_to_truth=float("nan")), 200, OF_FITS)
    assert "KL" not in columns


@pytest.mark.parametrize(("columns", "tables"), [("80", 2), ("160", 1)])
def test_print_shows_a_comparison_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str, tables: int
) -> None:
    comparison = compare(MixtureModel(2), make_mixture(n=50, k=2, d=2), ["kmeans", "em"])
    monkeypatch.setenv("COLUMNS", columns)
    lines = str(comparison).splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert [line.partition(" ")[0] for line in lines].count("em") == tables
    headers = " ".join(line for line in lines if line.startswith("method"))
    assert all(header in headers for header in NUMBERS)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert str(comparison).isascii()


def test_names_of_columns_are_their_own() -> None:
    for columns in (OF_FITS, OF_POSTERIORS):
        names = [column.narrow for column in columns]
        assert all(names)
        assert len(set(names)) == len(names)


MIXTURE = GaussianMixture(
    [0.25, 0.75], [[1.0, 2e-7], [123456.0, 3.0]], torch.ones(2, 2), "diag", ["height", "w"]
)


def test_components_are_shown_with_their_means() -> None:
    assert components_that_fit(MIXTURE, [10, 30], 80) == [
        {
            "component": ["0", "1"],
            "weight": ["0.250", "0.750"],
            "points": ["10", "30"],
            "mean height": ["1", "1.235e+05"],
            "mean w": ["2e-07", "3"],
        }
    ]


def test_without_room_the_table_is_turned_and_has_all_features() -> None:
    (whole,) = components_that_fit(MIXTURE, [10, 30], 46)
    assert width_of(whole) == 46
    (turned,) = components_that_fit(MIXTURE, [10, 30], 45)
    assert turned == {
        "component": ["weight", "points", "mean height", "mean w"],
        "0": ["0.250", "10", "1", "2e-07"],
        "1": ["0.750", "30", "1.235e+05", "3"],
    }


@pytest.mark.parametrize("width", [25, 40, 80, 160])
def test_more_components_than_fit_take_more_tables(width: int) -> None:
    k = 12
    names = [f"feature {j}" for j in range(9)]
    means = torch.arange(9.0 * k).reshape(k, 9)
    mixture = GaussianMixture([1 / k] * k, means, torch.ones(k, 9), "diag", names)
    parts = components_that_fit(mixture, range(k), width)
    assert all(width_of(part) <= width for part in parts)
    assert all(part["component"][2:] == [f"mean {name}" for name in names] for part in parts)
    assert [header for part in parts for header in list(part)[1:]] == [str(i) for i in range(k)]


def test_names_are_printed_as_they_are_even_if_they_look_like_markup(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = ["length [cm]", "w [/s] :key:"]
    mixture = GaussianMixture([1.0], [[1.0, 2.0]], torch.ones(1, 2), "diag", names)
    console = plain_console()
    console.print("run[/a] :key:")
    (cells,) = components_that_fit(mixture, [3], 80)
    console.print(ruled(cells))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "run[/a] :key:"
    assert lines[1].endswith("mean length [cm]  mean w [/s] :key:")
