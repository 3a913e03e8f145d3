"""Claims about the command line as a whole: help, completion, one clear line for bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from gmm_pyro import GaussianMixture, __version__, cli
from gmm_pyro.cli import names, options, program
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.datasets import DATASETS, bimodal, three_clusters
from gmm_pyro.files import read_dataset
from gmm_pyro.inference import METHODS
from gmm_pyro.inference.task import SEARCHES
from gmm_pyro.saved_fit import TABLE_FORMATS
from gmm_pyro.selection.criteria import CRITERIA
from gmm_pyro.study.statistics.summary import OF

HEAVY = ["torch", "pandas", "sklearn", "scipy", "matplotlib", "pyro", "arviz", "numpy"]
COMMANDS = ["fit", "predict", "select", "compare", "study", "simulate", "methods"]


def program_in_new_process(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gmm_pyro", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **settings)


class TestHelp:
    def test_help_and_completion_import_nothing_heavy(self) -> None:
        code = (
            "import os, sys\n"
            "from typer.testing import CliRunner\n"
            "from gmm_pyro.cli import app\n"
            f"for command in [[], *([name] for name in {COMMANDS})]:\n"
            "    assert CliRunner().invoke(app, [*command, '--help']).exit_code == 0\n"
            "from gmm_pyro.cli.names import complete_methods\n"
            "complete_methods('em,')\n"
            f"print([m for m in {HEAVY} if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("[]\n", "")

    def test_help_shows_the_defaults(self) -> None:
        shown = CliRunner().invoke(cli.app, ["compare", "--help"], env={"COLUMNS": "200"}).output
        for default in ("three-clusters", names.COMPARED, "full", "results", "0"):
            assert f"[default: {default}]" in shown
        assert "[default: (that of the truth or labels)]" in shown

    def test_names_are_those_of_the_registries(self) -> None:
        assert list(names.DATASETS) == list(DATASETS)
        assert list(names.METHOD_NAMES) == list(METHODS)
        assert list(names.FAMILIES) == list(FAMILIES)
        codes = [family.mclust for family in FAMILIES.values()]
        assert [*names.CODES, *names.FAMILIES[len(names.CODES) :]] == codes
        assert names.TABLE_FORMATS == TABLE_FORMATS
        assert names.SEARCHES == SEARCHES
        assert list(names.CRITERIA) == list(CRITERIA)
        assert list(names.AVERAGES) == list(OF)
        compared = names.COMPARED.split(", ")
        ours = {name for name, method in METHODS.items() if not method.through_pyro}
        assert {*compared} == ours - {"nuts"}  # which takes longer than all others

    def test_the_version_is_that_of_the_package(self, run) -> None:
        assert run("--version").out == f"gmm-pyro {__version__}\n"


COMPLETIONS = {
    "fit --method g": ["gradient", "gibbs"],
    "fit --covariance V": ["VEI", "VEE", "VEV", "VVE", "VVV", "VVI", "VII"],
    "fit --covariance tied_": ["tied_diag", "tied_spherical"],
    "fit o": ["old-faithful"],
    "select --covariance a": ["all"],
    "select --covariance VVV,VE": ["VVV,VEI", "VVV,VEE", "VVV,VEV"],
    "select --criterion i": ["icl"],
    "fit --table-format p": ["parquet"],
    "fit --search t": ["thorough"],
    "compare --data b": ["bimodal"],
    "compare --methods em,gi": ["em,gibbs"],
    "simulate a": ["anisotropic"],
    "study --of m": ["mean", "median"],
    "methods l": ["laplace"],
    "pre": ["predict"],
}


@pytest.mark.parametrize("line", COMPLETIONS)
def test_a_shell_is_told_how_a_word_can_go_on(line: str) -> None:
    words = f"gmm-pyro {line}"
    env = {
        "_GMM_PYRO_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = CliRunner().invoke(cli.app, [], prog_name=program.PROGRAM, env=env)
    assert done.output.split() == COMPLETIONS[line]


def test_the_program_that_is_installed_is_the_command_line() -> None:
    installed = Path(sys.executable).with_name("gmm-pyro")
    if not installed.exists():
        pytest.skip("this Python has no gmm-pyro installed")
    done = subprocess.run([installed, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"gmm-pyro {__version__}\n")


def test_bash_completes_with_the_script_that_the_program_shows(tmp_path) -> None:
    script = program_in_new_process(env={**os.environ, "_GMM_PYRO_COMPLETE": "source_bash"}).stdout
    assert "complete -o default -F _gmm_pyro_completion gmm-pyro" in script
    (tmp_path / "gmm-pyro").write_text(f"#!/bin/sh\nexec {sys.executable} -m gmm_pyro $@\n")
    (tmp_path / "gmm-pyro").chmod(0o755)
    ask = (
        f"PATH={tmp_path}:$PATH; COMP_WORDS=(gmm-pyro fit --method gi); COMP_CWORD=3;"
        '_gmm_pyro_completion gmm-pyro; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True)
    assert done.stdout == "gibbs\n"


class TestSimulate:
    @pytest.mark.parametrize(
        "name",
        ["points.csv", "points.tsv.gz", "points.parquet", "new/points.PQ", "points.npz", "p.nc"],
    )
    def test_the_file_holds_the_points_to_the_last_bit(self, run, name, tmp_path) -> None:
        done = run("simulate", "three-clusters", "--out", name)
        assert (done.code, done.err) == (0, "")
        assert done.out == f"wrote 300 points of 2 features to {name}\n"
        content = read_dataset(tmp_path / name)
        assert torch.equal(content.dataset.x, three_clusters().x)
        assert torch.equal(content.dataset.labels, three_clusters().labels)
        assert content.left_out == {}

    def test_without_a_file_they_are_printed_as_csv(self, run) -> None:
        done = run("simulate", "bimodal", "--seed", 7)
        table = pd.read_csv(StringIO(done.out))
        assert torch.equal(torch.tensor(table["x0"]), bimodal(seed=7).x[:, 0])
        assert list(table.columns) == ["x0", "label"]

    def test_json_is_one_document(self, run) -> None:
        found = json.loads(run("simulate", "bimodal", "--json").out)
        assert found["x0"] == bimodal().x[:, 0].tolist()
        done = json.loads(run("simulate", "bimodal", "--out", "a.npy", "--json").out)
        assert done == {"out": "a.npy", "n": 1000, "features": ["x0"]}

    def test_a_mixture_draws_as_many_points_as_are_wanted(self, run, tmp_path) -> None:
        mixture = GaussianMixture([0.2, 0.8], [[0.0], [9.0]], [[[1.0]], [[1.0]]], "full", ["tall"])
        mixture.save(tmp_path / "mixture.json")
        done = run("simulate", "mixture.json", "--n", 40, "--seed", 3)
        table = pd.read_csv(StringIO(done.out))
        assert torch.equal(torch.tensor(table["tall"]), mixture.sample(40, seed=3)[:, 0])

    def test_a_file_is_replaced_by_force_only(self, run, tmp_path) -> None:
        (tmp_path / "points.csv").write_text("mine")
        done = run("simulate", "bimodal", "--out", "points.csv")
        assert done.code == 2
        assert (
            done.err == "gmm-pyro: the file exists, and is replaced with --force only: points.csv\n"
        )
        assert (tmp_path / "points.csv").read_text() == "mine"
        assert run("simulate", "bimodal", "--out", "points.csv", "--force").code == 0
        assert list(tmp_path.iterdir()) == [tmp_path / "points.csv"]


class TestMethods:
    def test_every_method_and_family_is_listed(self, run) -> None:
        done = run("methods")
        first_words = {line.split()[0] for line in done.out.splitlines() if line[:1].strip()}
        assert METHODS.keys() | FAMILIES.keys() <= first_words

    def test_json_has_all_that_the_registry_has(self, run) -> None:
        found = json.loads(run("methods", "--json").out)
        assert found["methods"].keys() == METHODS.keys()
        assert found["families"]["diag"]["mclust"] == "VVI"
        gibbs = found["methods"]["gibbs"]
        assert (gibbs["priors"], gibbs["draws"]) == ("ConjugatePriors", True)

    @pytest.mark.parametrize("name", METHODS)
    def test_every_option_has_its_default_and_a_meaning(self, name: str) -> None:
        for option in options.method_facts(name).options:
            assert getattr(METHODS[name].options(), option.name) == option.default
            assert option.meaning, option.name

    def test_a_method_shows_how_its_options_are_given(self, run) -> None:
        lines = run("methods", "nuts").out.splitlines()
        assert (
            lines[0]
            == "nuts: Draws from the posterior, numbered alike, and the mixture at their mean."
        )
        assert "Default priors: Priors." in lines
        assert any(line.split()[:2] == ["--chains", "16"] for line in lines)
        assert any(line.startswith("--option target_accept=") for line in lines)


class TestOptions:
    def test_words_become_values_of_the_options_own_types(self) -> None:
        words = ["exchange=no", "keep_allocations=3", "covariance-floor=1e-3", "dtype=float32"]
        assert options.parsed("gibbs", words, {"n_draws": 5, "n_chains": None}) == {
            "n_draws": 5,
            "exchange": False,
            "keep_allocations": 3,
            "covariance_floor": 1e-3,
            "dtype": "float32",
        }
        words = ["batch_size=none", "rate=0.1", "guide=low_rank", "n_particles=4"]
        assert options.parsed("svi", words, {}) == {
            "batch_size": None,
            "rate": 0.1,
            "guide": "low_rank",
            "n_particles": 4,
        }


BAD_FILES = {
    "words.csv": "a;b\nc;d\n",
    "ragged.csv": "a,b\n1,2\n3,4,5\n6,7,8,9\n",
    "empty.csv": "",
    "plain.csv": "a,b\n1,2\n2,3\n4,5\n",
    "constant.csv": "a,b\n1,2\n2,2\n4,2\n",
    "fake.parquet": "no parquet",
    "fake.npz": "no arrays",
    "fake.nc": "no arrays",
    "fake.csv.gz": "no gzip",
    "other.json": "{}",
    "table.xls": "a,b",
}
BAD_INPUT = {
    "": "Missing command",
    "compere": "No such command 'compere'",
    "compare --seed one": "Invalid value for '--seed'",
    "compare --dat iris": "No such option: --dat",
    "compare --data irs": "got 'irs'; did you mean 'iris'? (or a file: .csv, .tsv, ",
    "compare --data bimodal:x": "the seed in NAME:SEED must be a whole number, got 'bimodal:x'",
    "compare --data iris --label-column kind": "--label-column is for files",
    "compare --data iris --columns a": "--columns is for files; iris has its own",
    "compare --data none.csv": "No such file or directory: none.csv",
    "compare --data words.csv": "words.csv has no numeric column to fit: it has a (not numeric), ",
    "compare --data ragged.csv": "ragged.csv cannot be read: ",
    "compare --data empty.csv": "empty.csv cannot be read: No columns to parse from file",
    "compare --data constant.csv --components 2": "x must vary in every column",
    "compare --data fake.parquet": "fake.parquet cannot be read: ",
    "compare --data fake.npz": "fake.npz cannot be read: ",
    "compare --data fake.nc": "fake.nc cannot be read: ",
    "compare --data fake.csv.gz": "fake.csv.gz cannot be read: Not a gzipped file",
    "compare --data plain.csv": "--components is needed: plain has neither a truth nor labels",
    "compare --data plain.csv --label-column c": "plain.csv has no column 'c': it has a, b",
    "compare --data plain.csv --columns a,a": "column 'a' is named more than once",
    "compare --data plain.csv --components 4": "x has 3 points, fewer than the 4 components",
    "compare --components 0": "n_components must be an integer of at least 1, got 0",
    "compare --methods em,svj": "got 'svj'; did you mean 'svi'?",
    "compare --methods ,": "methods must hold one or more different names",
    "compare --methods svi:enum": "got 'svi:enum'; did you mean 'svi:enumerated'?",
    "compare --covariance fulll": "got 'fulll'; did you mean 'full'?",
    "compare --test-size 1.5": "test_size must be a share between 0 and 1",
    "compare --methods em --out plain.csv": "the file exists, and is replaced with --force only: ",
    "compare --methods em --out plain.csv --force": "Not a directory: plain.csv",
    "fit": "Missing argument 'data'",
    "fit bimodal --method gibs": "got 'gibs'; did you mean 'gibbs'?",
    "fit bimodal --method em:enumerated": "method must be one of kmeans, em, ",
    "fit bimodal --method map:enum": "got 'map:enum'; did you mean 'map:enumerated'?",
    "fit bimodal --chains 3": "method 'em' has no option --chains: it has --seed, ",
    "fit bimodal --option n_start=3": "no option 'n_start'; did you mean 'n_starts'?",
    "fit bimodal --option n_starts": "--option must be NAME=VALUE, got 'n_starts'",
    "fit bimodal --option n_starts=few": "option 'n_starts' must be int; got 'few'",
    "fit bimodal --option seed=1": "option 'seed' is given twice",
    "fit bimodal --starts 0": "n_starts must be an integer of at least 1, got 0",
    "fit bimodal --search best": "search must be one of starts, moves, thorough; got 'best'",
    "fit bimodal --search moves --option search=starts": "option 'search' is given twice",
    "fit bimodal -k two": "--components must be an integer, got 'two'",
    "fit plain.csv -k 1-6": "to try several: gmm-pyro select plain.csv --components 1-6",
    "fit bimodal --components 2,3": "to try several: gmm-pyro select bimodal --components 2,3",
    "fit bimodal --covariance all": "to try several: gmm-pyro select bimodal --covariance all",
    "compare --data bimodal -k 1-6": "to try several: gmm-pyro select bimodal --components 1-6",
    "select": "Missing argument 'data'",
    "select none.csv -k nine": "No such file or directory: none.csv",
    "select bimodal -k nine": "--components must be numbers, as 1-9, 1,2,5 or 2-4,7; got 'nine'",
    "select bimodal -k 9-1": "--components 9-1: the range 9-1 ends before it begins",
    "select bimodal -k 0-3": "--components must be numbers of at least 1, got '0-3'",
    "select bimodal -k 1-1001": "--components 1-1001: no more than 1000 numbers can be tried",
    "select bimodal -k 1,,2": "--components must be numbers, as 1-9, 1,2,5 or 2-4,7; got '1,,2'",
    "select plain.csv -k 4,5": "plain.csv: x has 3 points, fewer than the 4 components",
    "select bimodal --covariance VVV,VVW": "did you mean 'VVV'?",
    "select bimodal --covariance ,": "--covariance must be all, or families; got ','",
    "select bimodal --criterion bics": "got 'bics'; did you mean 'bic'?",
    "select bimodal --criterion elpd": "criterion 'elpd' needs draws",
    "select bimodal --method gibs": "got 'gibs'; did you mean 'gibbs'?",
    "select bimodal --chains 3": "method 'em' has no option --chains: it has --seed, ",
    "select bimodal --search moves": "--search is for methods that are run model by model",
    "select bimodal --option start=random": "select takes no start",
    "select plain.csv -k 1 --weights-column w": "plain.csv has no column 'w': it has a, b",
    "select bimodal --out .": "the folder is not empty, and is replaced with --force only: .",
    "fit bimodal --table-format xls": "table_format must be one of csv, tsv, parquet; got 'xls'",
    "fit plain.csv -k 2 --weights-column w": "plain.csv has no column 'w': it has a, b",
    "fit . --components 2": "fake.parquet cannot be read as Parquet",
    "fit bimodal --out .": "the folder is not empty, and is replaced with --force only: .",
    "predict none plain.csv": "No such file or directory: none",
    "predict . plain.csv": "not the folder of a fit, which has: mixture.json",
    "predict other.json plain.csv": "other.json does not hold a mixture saved by gmm_pyro",
    "simulate bimodal --n 5": "--n is for fits; bimodal has its own number of points",
    "simulate bimodl --out points.csv": "got 'bimodl'; did you mean 'bimodal'?",
    "simulate bimodal --out points.xls": "must end in .csv, .tsv, .txt, .dat, .parquet, .pq, ",
    "compare --data table.xls": "the name of a file of data must end in .csv, .tsv, .txt, .dat, ",
    "simulate bimodal --out plain.csv/points.csv": ": plain.csv",
    "methods gibs": "got 'gibs'; did you mean 'gibbs'?",
}


@pytest.mark.parametrize("arguments", BAD_INPUT)
def test_bad_input_is_one_line_on_standard_error_and_exit_code_2(run, arguments, tmp_path) -> None:
    for name, text in BAD_FILES.items():
        (tmp_path / name).write_text(text)
    done = run(*arguments.split())
    assert done.code == 2
    assert done.out == ""
    assert done.err.splitlines()[-1].startswith("gmm-pyro: ")
    assert BAD_INPUT[arguments] in done.err.splitlines()[-1]
    assert done.err.count("\n") == 1 + done.err.count("words.csv: fields") + done.err.count("left")
    assert {path.name for path in tmp_path.iterdir()} == BAD_FILES.keys()


def test_a_folder_without_files_of_parquet_is_no_data(run, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("fit", "empty", "--components", "2")
    assert (done.code, done.out) == (2, "")
    assert "data must be one of " in done.err.splitlines()[-1]


def test_a_mistake_of_the_program_keeps_its_traceback(monkeypatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(program, "app", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main()


class TestProcesses:
    def test_the_package_runs_as_a_module_and_ends_as_the_script_does(self, tmp_path) -> None:
        done = program_in_new_process("compare", "--seed", "one", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("gmm-pyro: Invalid value for '--seed'")
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_signals_leave_nothing_half_written(self, tmp_path: Path, sent: int, code: int) -> None:
        script = (
            "import os, sys\n"
            "from gmm_pyro.cli import app, main\n"
            "from gmm_pyro.disk.placing import whole_file, whole_folder\n"
            "@app.command()\n"
            "def write():\n"
            "    with whole_folder('new') as new, whole_file(new / 'a.csv') as partial:\n"
            "        partial.write_text('half')\n"
            f"        os.kill(os.getpid(), {int(sent)})\n"
            "sys.argv = ['gmm-pyro', 'write']\n"
            "main()"
        )
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (code, "")
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []
