"""Claims about the files that commands read: what they say, and what predictions keep of them."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import data.make_messy as make_messy
from gmm_pyro import GaussianMixture
from gmm_pyro.files import write_table

pytestmark = pytest.mark.usefixtures("no_pictures")
EM = ["--tolerance", "1e-4", "--starts", "2"]
FILE = Path(__file__).parent / "data" / "messy.csv"
OPTIONS = ["--encoding", "latin-1", "--na", "-", "--thousands", ".", "--currency"]


@pytest.fixture
def messy(tmp_path) -> Path:
    """The file of tests/data, in the folder that commands run in."""
    return Path(shutil.copy(FILE, tmp_path / "messy.csv"))


class TestTheMessyFile:
    def test_it_is_as_its_script_writes_it(self, monkeypatch, tmp_path) -> None:
        monkeypatch.setattr(make_messy, "__file__", str(tmp_path / "make_messy.py"))
        make_messy.main()
        assert (tmp_path / "messy.csv").read_bytes() == FILE.read_bytes()

    def test_one_error_after_the_other_says_how_to_read_it(self, run, messy, tmp_path) -> None:
        done = run("fit", "messy.csv", "-k", 3)
        assert (done.code, done.out) == (2, "")
        assert done.err == (
            "gmm-pyro: messy.csv cannot be read: it is no UTF-8 text: line 3 has the byte 0xfc; "
            "with --encoding latin-1, it reads 'Düsseldorf'\n"
        )
        done = run("fit", "messy.csv", "-k", 3, *OPTIONS[:2])
        assert (done.code, done.out) == (2, "")
        assert done.err.splitlines()[-1] == (
            "gmm-pyro: messy.csv: 2 of 410 values of age are no numbers: '-'; 409 of 410 values "
            "of income are no numbers: '-', 'R$ 10.400,69', 'R$ 2.217,49', …; --na '-' "
            "--currency --thousands '.' reads them, --exclude 'age,income' leaves the columns out"
        )
        assert [path.name for path in tmp_path.iterdir()] == ["messy.csv"]

    def test_then_all_that_was_done_is_said_line_by_line(self, run, messy) -> None:
        done = run("fit", "messy.csv", "-k", 3, *OPTIONS, *EM)
        assert done.code == 0
        assert done.err.splitlines() == [
            "messy.csv: the text is read as latin-1",
            "messy.csv: 1 line that begins with '#' is skipped",
            "messy.csv: fields are separated by semicolons",
            "messy.csv: numbers have decimal commas",
            "left out: customer id (only identifies rows), joined (dates), city (not numeric); "
            "--columns chooses others",
            "messy.csv: '-' is taken for missing: 2 in age, 3 in income",
            "messy.csv: numbers have currencies: R$ in income",
            "messy.csv: 2 of 410 rows repeat earlier ones, the first is row 408",
            "warning: x has 11 missing values in 11 of its 410 rows, which are integrated out: "
            "right if it does not depend on a value whether it is missing; --missing integrate "
            "says so, and --missing refuse refuses them",
        ]
        assert "messy: 410 points, 3 features; 3 components, full covariances" in done.out

    def test_the_groups_that_were_put_in_are_found(self, run, messy, tmp_path) -> None:
        run("fit", "messy.csv", "-k", 3, *OPTIONS, *EM)
        mixture = GaussianMixture.load(tmp_path / "fit" / "mixture.json")
        assert mixture.feature_names == ("age", "height", "income")
        found = sorted(mixture.means.tolist())
        for _, age, height, income in make_messy.GROUPS:
            np.testing.assert_allclose(found.pop(0), [age, height, income], rtol=0.03)

    def test_compare_reads_it_alike(self, run, messy) -> None:
        done = run("compare", "--data", "messy.csv", "-k", 3, *OPTIONS, "--methods", "kmeans,em",
                   "--exclude", "height", "--missing", "integrate")  # fmt: skip
        assert done.out.startswith("messy: 410 points, 2 features; 3 components")
        assert "messy.csv: numbers have currencies: R$ in income\n" in done.err


class TestPredictions:
    @pytest.fixture
    def fitted(self, run, messy) -> None:
        done = run("fit", "messy.csv", "-k", 3, *OPTIONS, *EM, "--keep", "customer id,income,city")
        assert done.code == 0

    @pytest.mark.usefixtures("fitted")
    def test_files_are_read_as_that_of_the_fit_was(self, run, tmp_path) -> None:
        done = run("predict", "fit", "messy.csv", "--keep", "customer id")
        assert done.err.startswith(
            "messy.csv: --currency, --na, --thousands as for the data of the fit\n"
            "messy.csv: the text is read as latin-1\n"
        )
        found = pd.read_csv(StringIO(done.out))
        labels = pd.read_csv(tmp_path / "fit" / "labels.csv")
        assert found["label"].equals(labels["label"])
        assert found["customer id"].equals(labels["customer id"])

    @pytest.mark.usefixtures("fitted")
    def test_options_are_stronger(self, run, tmp_path) -> None:
        new = "age,height,income\n31,1.70,\"$2,100.50\"\n'?',1.70,$900\n"
        (tmp_path / "new.csv").write_text(new.replace("'?'", "?"))
        done = run("predict", "fit", "new.csv", "--thousands", ",", "--na", "?")
        assert done.code == 0
        assert done.err.startswith("new.csv: --currency as for the data of the fit\n")
        assert "read as" not in done.err  # it is UTF-8, whatever the other file was
        done = run("predict", "fit", "new.csv")
        assert done.code == 2
        assert "1 of 2 values of age are no numbers: '?'; " in done.err

    @pytest.mark.usefixtures("fitted")
    def test_what_is_kept_stands_behind_the_row_as_it_is_in_the_file(self, run, tmp_path) -> None:
        for name in ("labels", "responsibilities"):
            table = pd.read_csv(tmp_path / "fit" / f"{name}.csv", dtype=str)
            assert list(table)[:4] == ["row", "customer id", "income", "city"]
            first = "70411", "R$ 5.172,15", "Düsseldorf"
            assert tuple(table.iloc[0, 1:4]) == first
            assert len(table) == 410
        facts = json.loads((tmp_path / "fit" / "fit.json").read_text())
        assert facts["data"]["reading"] == {
            "na": ["-"], "encodings": ["latin-1"], "thousands": ".", "currency": True
        }  # fmt: skip

    def test_settings_of_another_kind_are_refused(self, run, tmp_path) -> None:
        run("fit", "bimodal", *EM)
        path = tmp_path / "fit" / "fit.json"
        facts = json.loads(path.read_text())
        path.write_text(json.dumps({**facts, "data": {"reading": {"na": 3}}}))
        run("simulate", "bimodal", "--out", "p.csv")
        done = run("predict", "fit", "p.csv")
        assert done.code == 2
        assert done.err.startswith("gmm-pyro: fit does not say how its data were read: ")

    @pytest.mark.parametrize("out", ["new.xlsx", "new.feather", "new.csv.xz"])
    def test_tables_are_written_in_other_formats_too(self, run, tmp_path, out) -> None:
        run("fit", "bimodal", *EM)
        run("simulate", "bimodal", "--out", "points.xlsx")
        assert run("predict", "fit", "points.xlsx", "--out", out).code == 0
        read = {".xlsx": pd.read_excel, ".feather": pd.read_feather, ".xz": pd.read_csv}
        table = read[Path(out).suffix](tmp_path / out)
        assert list(table)[:3] == ["row", "label", "log_density"]
        assert len(table) == 1000


PLAIN = pd.DataFrame({"a": [1.5, 2, 4], "b": [2, 3, 5.5], "label": [0, 1, 1], "row": [7, 8, 7]})
REFUSED = {
    "fit p.csv --decimal x": "decimal must be one of '.', ','; got 'x'",
    "fit p.csv --thousands x": "thousands must be one of '.', ',', ",
    "fit p.csv --encoding latinn": "encoding must be one that Python knows",
    "fit p.csv --exclude c": "p.csv has no column 'c': it has a, b, label, row",
    "fit p.csv --exclude a,b,row": "no numeric column to fit: it has a (excluded), b (excl",
    "fit p.csv --columns a --exclude a": "column 'a' is named more than once",
    "fit p.csv --keep c": "p.csv has no column 'c'",
    "fit p.csv --keep label": "column 'label' cannot stand beside predictions, which have one",
    "predict fit.json p.csv --keep row": "column 'row' cannot stand beside predictions",
    "predict fit.json p.csv --keep c": "p.csv has no column 'c'",
    "predict fit.json p.csv --encoding utf-99": "got 'utf-99'",
    "compare --data p.csv --comment ": "comment must be what lines begin with",
    "fit bimodal --na -": "--na is for files; bimodal has its own columns and labels",
    "fit bimodal --currency": "--currency is for files",
    "fit bimodal --keep x0": "--keep is for files",
    "fit bimodal --exclude x0": "--exclude is for files",
    # a file that is not there is told first
    "fit none.csv --method gibs --out . --table-format xls": "No such file or directory: none.csv",
    "fit none.npz:x --thousands x": "No such file or directory: none.npz",
    "fit nothing --method gibs": "data must be one of three-clusters, ",
    "compare --data none.csv --methods gibs --out .": "No such file or directory: none.csv",
    "predict fit.json none.csv --out p.csv": "No such file or directory: none.csv",
    "predict none p.csv --out p.csv": "No such file or directory: none",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(run, arguments, tmp_path) -> None:
    write_table(PLAIN, tmp_path / "p.csv")
    GaussianMixture([1.0], [[0.0, 0.0]], [1.0], "spherical", ["a", "b"]).save(tmp_path / "fit.json")
    done = run(*arguments.split(" "))
    assert (done.code, done.out) == (2, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("gmm-pyro: ")
    assert REFUSED[arguments] in last
    assert {path.name for path in tmp_path.iterdir()} == {"p.csv", "fit.json"}


def test_a_marker_that_looks_like_an_option_is_a_marker(run, tmp_path) -> None:
    table = PLAIN.assign(a=[1.5, -999, 3]).drop(columns="row")
    write_table(table, tmp_path / "p.csv")
    done = run("fit", "p.csv", "-k", 1, "--na", "-999", *EM)
    assert "p.csv: '-999' is taken for missing: 1 in a\n" in done.err


def test_excluded_columns_are_not_said_to_be_left_out(run, tmp_path) -> None:
    run("simulate", "three-clusters", "--out", "p.csv")
    done = run("fit", "p.csv", "--exclude", "x0", *EM)
    assert done.err == "column 'label' is taken for the true classes\n"
    facts = json.loads((tmp_path / "fit" / "fit.json").read_text())
    assert facts["data"]["left_out"] == {"x0": "excluded"}
