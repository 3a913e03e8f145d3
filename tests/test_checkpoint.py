"""Claims about long runs: killed at any moment, they come to what they would have come to."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import AffineTransform

import gmm_pyro as gp
from gmm_pyro.disk.alone import alone_in
from gmm_pyro.inference import METHODS, kept
from gmm_pyro.inference.chains.sweep import Sampler
from gmm_pyro.inference.task import Status
from gmm_pyro.keeping import folder as folders
from gmm_pyro.keeping.fingerprint import fingerprint
from gmm_pyro.keeping.loops import Keeper
from gmm_pyro.keeping.values import Vocabulary, Written
from killed import (
    CHAINS,
    HALVES,
    NOISY,
    PRIORS,
    TWO,
    UNKNOWN,
    Killed,
    X,
    differing,
    fingerprints,
    gibbs,
    killed_after,
)

pytestmark = pytest.mark.filterwarnings("ignore::gmm_pyro.FitWarning")
FEW = {"n_starts": 2, "search": "starts", "max_steps": 60}
SOME = torch.where(torch.arange(60) < 6, HALVES, -1)
SHORT = {**CHAINS, "max_tree_depth": 3, "start": HALVES}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files need not be on the disk itself."""
    monkeypatch.setattr(folders, "_sync", lambda path: None)


def em(**more: Any) -> gp.Fit:
    """A short fit."""
    return gp.fit(**{"model": TWO, "x": X, "method": "em", **FEW, **more})


def by(method: str, model: gp.MixtureModel = TWO, **options: Any) -> Callable[..., gp.Fit]:
    """A fit of a method."""
    return lambda **more: gp.fit(model, X, method, **{**options, **more})


DIAG = gp.MixtureModel(2, "diag")
TIED = gp.MixtureModel(2, "tied")
CASES: dict[str, Callable[..., gp.Fit]] = {
    "em": em,
    "em of ten starts, and moves": by("em", gp.MixtureModel(3, "diag")),
    "em beside noise": by("em", NOISY, **FEW),
    "em, leaping": by("em", acceleration="squarem", **FEW),
    "vb": by("vb", gp.MixtureModel(3), n_draws=5, n_starts=3),
    "vb, tied": by("vb", TIED, n_draws=5, **FEW),
    "vb by parts": by("vb", batch_size=25, n_draws=5, **FEW),
    "gradient by parts": by("gradient", batch_size=25, n_starts=2, max_steps=150),
    "map": by("map", **FEW),
    "laplace": by("laplace", DIAG, n_draws=5, start=HALVES),
    "svi": by("svi", DIAG, n_draws=5, start=HALVES),
    "svi by parts": by("svi", DIAG, n_draws=5, batch_size=25, start=HALVES, max_steps=100),
    "gibbs": gibbs,
    "gibbs of solutions": by("gibbs", gp.MixtureModel(1), n_draws=20, n_warmup=12, **CHAINS),
    "gibbs, jumping": by("gibbs", DIAG, n_draws=20, n_warmup=4, jumps="always", thin=2, **CHAINS),
    "gibbs, doubled": by(
        "gibbs", n_draws=200, n_warmup=0, keep_allocations=3, **{**CHAINS, "max_doublings": 1}
    ),
    "an unknown number": by("gibbs", UNKNOWN, n_draws=12, n_warmup=10, n_chains=4),
    "nuts": by("nuts", DIAG, n_draws=6, n_warmup=8, labels=SOME, **SHORT),
    "nuts, jumping": by("nuts", DIAG, n_draws=6, n_warmup=8, jumps="always", **SHORT),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fit_that_is_killed_again_and_again_comes_to_the_same_bits(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, chance, folder = CASES[case], random.Random(case), tmp_path / "kept"
    unbroken = fit()
    for _ in range(2):
        with killed_after(chance.randint(1, 60), monkeypatch) as left:
            try:
                fit(checkpoint=folder, checkpoint_seconds=0.0)
            except Killed:
                assert left == [0]
    found = fit(checkpoint=folder)
    assert differing(found, unbroken) == []
    told = json.loads((folder / "checkpoint.json").read_text())
    assert told["status"] == unbroken.status.name.lower()


def test_data_in_partitions_are_gone_on_with_in_the_same_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = pytest.importorskip("dask.array")
    x, others = (array.from_array(X.numpy(), chunks=(rows, 2)) for rows in (25, 30))
    with killed_after(4, monkeypatch), pytest.raises(Killed):
        em(x=x, checkpoint=tmp_path, checkpoint_seconds=0.0)
    assert differing(em(x=x, checkpoint=tmp_path), em(x=x)) == []
    with pytest.raises(FileExistsError, match="partitions differs"):
        em(x=others, checkpoint=tmp_path)


# ---------------------------------------------------------------------- how a run may end

SCRIPT = """
import sys, warnings
sys.path.insert(0, {here!r})
warnings.simplefilter("ignore")
import killed
killed.gibbs(checkpoint={folder!r}, checkpoint_seconds=0.0, n_draws=300)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is none")
def test_a_process_that_is_killed_leaves_what_the_same_call_goes_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    text = SCRIPT.format(here=str(Path(__file__).parent), folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", text])
    while not (folder / "part-000010.npz").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    parts = len(list(folder.glob("part-*.npz")))
    assert 10 <= parts < 300
    found = gibbs(checkpoint=folder, n_draws=300)
    assert differing(found, gibbs(n_draws=300)) == []
    assert not list(folder.glob(".partial-*"))  # of a file that was being written


def interrupting(inner: Callable[..., Any], moment: int) -> Callable[..., Any]:
    """A function that is interrupted once: when it is called for the n-th time."""
    called = iter(range(moment))

    def call(*arguments: Any) -> Any:
        if next(called, None) == moment - 1:
            raise KeyboardInterrupt
        return inner(*arguments)

    return call


INTERRUPTED: dict[str, tuple[Callable[..., gp.Fit], str, int]] = {
    "a step of em": (by("em", start=HALVES), "look", 5),
    "a move of em": (CASES["em of ten starts, and moves"], "begun", 15),
    "a step of vb": (CASES["vb, tied"], "look", 8),
    "a value of map": (by("map", start=HALVES), "look", 30),
    "a block of svi": (CASES["svi by parts"], "look", 36),
    "a step of gibbs": (gibbs, "look", 7),
}


@pytest.mark.parametrize("moment", INTERRUPTED)
def test_an_interrupt_ends_a_fit_that_goes_on_later(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a fit goes through from then on is not what it would have gone through."""
    fit, method, number = INTERRUPTED[moment]
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, method, interrupting(getattr(Keeper, method), number))
        assert fit(checkpoint=tmp_path).status is Status.INTERRUPTED
    assert json.loads((tmp_path / "checkpoint.json").read_text())["status"] == "interrupted"
    assert differing(fit(checkpoint=tmp_path), fit()) == []


def test_what_was_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, sweep = [0], Sampler.sweep

    def counted(*arguments: Any) -> Any:
        count[0] += 1
        return sweep(*arguments)

    monkeypatch.setattr(Sampler, "sweep", counted)
    gibbs()
    whole, count[0] = count[0], 0
    with killed_after(20, monkeypatch), pytest.raises(Killed):
        gibbs(checkpoint=tmp_path, checkpoint_seconds=0.0)
    before, count[0] = count[0], 0
    gibbs(checkpoint=tmp_path)
    assert before > 5
    assert count[0] <= whole - before + 1  # the step at whose end it was killed


def test_draws_are_added_and_never_written_again(tmp_path: Path) -> None:
    """A folder as it was at any moment: its parts are the first ones of those at the end."""
    gibbs(checkpoint=tmp_path, checkpoint_seconds=0.0)
    parts = sorted(tmp_path.glob("part-*.npz"))
    assert len(parts) >= 30
    times = [part.stat().st_mtime_ns for part in parts]
    assert times == sorted(times)
    sizes = [part.stat().st_size for part in parts[5:25]]  # of a draw each
    assert max(sizes) < 1.2 * min(sizes)
    again = {part: part.read_bytes() for part in parts}
    gibbs(checkpoint=tmp_path, checkpoint_seconds=0.0)
    assert {part: part.read_bytes() for part in parts} == again


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_writing_takes_place_now_and_then(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(Keeper, "now", staticmethod(lambda: float(next(clock))))
    gibbs(checkpoint=tmp_path, checkpoint_seconds=seconds)
    parts = len(list(tmp_path.glob("part-*.npz")))
    assert parts >= 30 if seconds == 0 else 1 <= parts <= 3


# ---------------------------------------------------------------------- what is in the folder


def test_a_file_that_is_half_there_is_as_none(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, killed_after(30, patch), pytest.raises(Killed):
        gibbs(checkpoint=tmp_path, checkpoint_seconds=0.0)
    number = len(list(tmp_path.glob("part-*.npz")))
    (tmp_path / f"part-{number:06d}.npz").write_bytes(b"PK half of a part that no state knows of")
    left = tmp_path / ".partial-of-a-killed-run"
    left.mkdir()
    (left / "present.npz").write_bytes(b"PK")
    assert differing(gibbs(checkpoint=tmp_path), gibbs()) == []
    assert not left.exists()


@pytest.mark.parametrize("name", ["part-000003.npz", "present.npz", "checkpoint.json"])
def test_a_file_that_is_damaged_is_named(name: str, tmp_path: Path) -> None:
    gibbs(checkpoint=tmp_path, checkpoint_seconds=0.0)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    with pytest.raises(ValueError, match=f"{name} is no"):
        gibbs(checkpoint=tmp_path)


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    gibbs(checkpoint=tmp_path, checkpoint_seconds=0.0)
    (tmp_path / "part-000002.npz").unlink()
    with pytest.raises(FileNotFoundError, match="part-000002"):
        gibbs(checkpoint=tmp_path)


def test_objects_in_a_file_are_refused(tmp_path: Path) -> None:
    """Reading runs no code: a pickle in the place of numbers is not opened."""
    em(checkpoint=tmp_path)
    harm = np.array([Harm()], dtype=object)
    np.savez(tmp_path / "present.npz", text=harm, numbers=harm, parts=np.array(0))
    with pytest.raises(ValueError, match=r"present.npz is no part of a checkpoint"):
        em(checkpoint=tmp_path)


class Harm:
    """What must not be made."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("code of a file was run",)


# ---------------------------------------------------------------------- what is refused

OTHER = X.clone()
OTHER[7, 1] += 1e-9
FRAME = pd.DataFrame(X.numpy(), columns=["width", "height"])
ONES = torch.ones(60)
NORMAL = gp.MixtureModel(2, priors=gp.Priors(means=dist.Normal(0.0, 9.0)))
DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "fewer points": ({"x": X[:-1]}, "n is 60 there, and 59 here"),
    "fewer features": ({"x": X[:, :1]}, "d is 2 there, and 1 here"),
    "other names": ({"x": FRAME}, "feature_names"),
    "a value": ({"x": OTHER}, "location"),
    "another scale": ({"x": 2 * X}, "scale"),
    "another order": ({"x": X.flip(0)}, "some rows differs"),
    "another type": ({"x": X, "dtype": "float32"}, "dtype is torch.float64 there"),
    "weights": ({"sample_weight": ONES}, "sample_weight"),
    "labels": ({"labels": SOME}, "labels"),
    "noise": ({"noise": 0.1}, "noise"),
    "a number of components": ({"model": gp.MixtureModel(3)}, "n_components is 2 there, and 3"),
    "a family": ({"model": DIAG}, "covariance is full there, and diag here"),
    "priors": ({"model": NORMAL}, "priors"),
    "a component of noise": ({"model": NOISY}, "noise_component"),
    "what is held": ({"fixed": {"weights": [0.5, 0.5]}}, "fixed"),
    "a method": ({"method": "map"}, "method is em there, and map here"),
    "a seed": ({"seed": 1}, "option seed is 0 there, and 1 here"),
    "an option": ({"tolerance": 1e-3}, "option tolerance"),
    "a start": ({"start": HALVES}, "option start"),
}


@pytest.fixture(scope="module")
def of_em(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a fit."""
    folder = tmp_path_factory.mktemp("kept")
    em(checkpoint=folder)
    return folder


@pytest.mark.parametrize("what", DIFFERENT)
def test_another_fit_is_refused_by_what_differs(what: str, of_em: Path) -> None:
    changed, words = DIFFERENT[what]
    before = {file: file.read_bytes() for file in of_em.iterdir()}
    with pytest.raises(FileExistsError, match=f"the checkpoint is of another fit: .*{words}"):
        em(checkpoint=of_em, **changed)
    assert {file: file.read_bytes() for file in of_em.iterdir()} == before


def test_what_changes_nothing_of_a_fit_is_not_asked(of_em: Path) -> None:
    em(checkpoint=of_em, progress=True, checkpoint_seconds=1.0)


def test_a_file_of_another_name_or_size_is_refused(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.npy", "two.npy")]
    for file in files:
        np.save(file, X.numpy())
    one, two = (np.load(file, mmap_mode="r") for file in files)
    em(x=one, checkpoint=tmp_path / "kept")
    em(x=one, checkpoint=tmp_path / "kept")
    with pytest.raises(FileExistsError, match="files"):
        em(x=two, checkpoint=tmp_path / "kept")


def test_other_versions_of_libraries_are_refused(of_em: Path, monkeypatch) -> None:
    before = kept.versions()
    monkeypatch.setattr(kept, "versions", lambda: {**before, "torch": "1.0"})
    with pytest.raises(FileExistsError, match="version of torch"):
        em(checkpoint=of_em)


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.steps_of])
def test_methods_whose_steps_are_not_ours_refuse_by_name(method: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{method} takes no checkpoint"):
        gp.fit(TWO, X, method, checkpoint=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="holds 'letters.txt', and no checkpoint"):
        em(checkpoint=tmp_path)


def test_a_folder_where_another_run_is_at_work_is_refused(tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(BlockingIOError, match="another run is at work"):
        em(checkpoint=tmp_path)


@pytest.mark.parametrize(
    ("given", "error"), [({"checkpoint": 3}, TypeError), ({"checkpoint_seconds": -1}, ValueError)]
)
def test_a_checkpoint_that_is_none_is_refused(given: dict[str, Any], error: type) -> None:
    with pytest.raises(error, match=next(iter(given))):
        em(**given)


@pytest.mark.usefixtures("no_pictures")
def test_the_command_line_goes_on_from_a_checkpoint_and_refuses_another(run, tmp_path) -> None:
    words = ["fit", "iris", "--starts", "1", "--checkpoint", "kept"]
    found = [run(*words, "--components", "2").out for _ in range(2)]
    mixtures = [(tmp_path / name / "mixture.json").read_text() for name in ("fit", "fit-2")]
    assert mixtures[0] == mixtures[1]
    assert found[0].splitlines()[0] == found[1].splitlines()[0]
    other = run(*words, "--components", "3")
    assert other.code == 2
    assert other.err.count("\n") == 1
    assert "n_components is 2 there, and 3 here" in other.err


# ---------------------------------------------------------------------- values


class Strange:
    """What is in no vocabulary."""


WORDS = Vocabulary({"point": kept.Place}, {"one": Strange})
SQUARE = torch.arange(12.0, dtype=torch.float64).view(3, 4)
TENSORS = {
    "as it is": SQUARE,
    "turned": SQUARE.T,
    "seen many times": SQUARE[:, :1].expand(3, 5),
    "with gaps": SQUARE[::2, 1::2],
    "from the middle": SQUARE.flatten()[3:7],
    "no numbers": torch.tensor([math.nan, math.inf, -0.0]),
    "empty": torch.zeros(0, 3),
    "a number": torch.tensor(2.5),
    "whole numbers": torch.arange(4),
    "truths": torch.tensor([True, False]),
    "bytes": torch.Generator().manual_seed(3).get_state(),
    "of single precision": torch.tensor([0.1], dtype=torch.float32),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_back_as_it_lay_in_memory(name: str) -> None:
    tensor = TENSORS[name]
    found = Written.of(tensor, WORDS).value(WORDS)
    assert found.dtype is tensor.dtype
    assert (found.shape, found.stride()) == (tensor.shape, tensor.stride())
    assert found.data_ptr() % 64 == tensor.data_ptr() % 64 or not tensor.numel()
    assert found.contiguous().numpy().tobytes() == tensor.contiguous().numpy().tobytes()


def test_values_come_back_as_they_were() -> None:
    value = {"a": [1, 2.5, None, True], "b": (math.inf, 5e-324, 0.1), "c": Strange, "d": "é\n"}
    assert Written.of(value, WORDS).value(WORDS) == value
    other = Written.of({**value, "a": [1, 2.5, None, 1]}, WORDS)
    assert Written.of(value, WORDS).digest != other.digest


def test_what_is_in_no_vocabulary_is_refused() -> None:
    with pytest.raises(TypeError, match="Strange is not among what can be kept"):
        Written.of([Strange()], WORDS)


NUMBERS: dict[str, Callable[[float], Any]] = {
    "a distribution": lambda a: dist.Normal(0.0, a),
    "of several features": lambda a: dist.Normal(0.0, a).expand([2]).to_event(1),
    "transformed": lambda a: dist.LogNormal(0.0, a),
    "transformed back": lambda a: dist.TransformedDistribution(
        dist.Normal(0.0, 1.0), [AffineTransform(0.0, a).inv]
    ),
    "a mixture": lambda a: dist.MixtureSameFamily(
        dist.Categorical(torch.ones(2)), dist.Normal(torch.zeros(2), a)
    ),
    "what a function holds": lambda a: lambda: a,
    "a default": lambda a: partial_of(a),
    "priors": lambda a: gp.Priors(scales=dist.HalfNormal(a)),
    "a conjugate prior": lambda a: gp.ConjugatePriors(mean_strength=a),
    "a number of components": lambda a: gp.Unknown(f"poisson({a})"),
    "noise": lambda a: gp.UniformBox([0.0], [a]),
    "a mixture that is a start": lambda a: gp.GaussianMixture([1.0], [[a]], [[[1.0]]]),
}


def partial_of(a: float) -> Callable[..., float]:
    """A function with a default."""

    def function(b: float = a) -> float:
        return b

    return function


@pytest.mark.parametrize("what", NUMBERS)
def test_one_number_makes_another_fingerprint(what: str) -> None:
    made = NUMBERS[what]
    assert fingerprint(made(2.0)) == fingerprint(made(2.0)) != fingerprint(made(3.0))


def test_models_have_the_same_fingerprint_in_every_process() -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import killed"
    code += "; print(sorted(killed.fingerprints().items()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert done.stdout.strip() == str(sorted(fingerprints().items()))
    assert len(set(fingerprints().values())) == len(PRIORS)
    assert fingerprints() == fingerprints()
