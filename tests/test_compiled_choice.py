"""Claims about when a fit is compiled, and that it makes no other difference."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.covariance import FAMILIES
from gmm_pyro.data.observations import observe
from gmm_pyro.data.points import Observations
from gmm_pyro.inference.task import Status, stalled
from gmm_pyro.reduction import decision
from gmm_pyro.reduction.decision import SETTING, decided
from gmm_pyro.saved_fit import load_fit, save_fit
from oracles import close, clusters, normal
from runs import quietly

FULL = FAMILIES["full"]
Settings = Callable[[str | None], None]


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Sets the environment variable, or takes it away."""

    def put(value: str | None) -> None:
        if value is None:
            monkeypatch.delenv(SETTING, raising=False)
        else:
            monkeypatch.setenv(SETTING, value)

    put(None)
    return put


# ---------------------------------------------------------------------- the decision


def large(d: int = 8, n: int = 1000) -> Observations:
    return observe(normal(n, d))


def test_sizes_decide(setting: Settings) -> None:
    few, many = observe(normal(300, 2)), observe(normal(100_000, 8))
    assert not decided(few, FULL, 3, passes=100).compiled
    assert decided(many, FULL, 8, passes=100).compiled
    assert not decided(many, FULL, 8, passes=1).compiled
    assert decided(few, FULL, 3, passes=100_000).compiled
    assert not decided(few, FULL, 3, passes=1000, sets=1).compiled
    assert decided(few, FULL, 3, passes=1000, sets=1000).compiled


def test_an_earlier_decision_does_not_count(setting: Settings) -> None:
    few = replace(observe(normal(300, 2)), compiled=True)
    assert not decided(few, FULL, 3, passes=100).compiled
    many = decided(large(), FULL, 8, passes=10**6)
    assert decided(many, FULL, 8, passes=10**6) is many


@pytest.mark.parametrize(
    ("value", "of_few", "of_many"),
    [
        (None, False, True),
        ("", False, True),
        ("auto", False, True),
        ("always", True, True),
        ("never", False, False),
    ],
    ids=str,
)
def test_the_setting_forces_and_forbids(
    setting: Settings, value: str | None, *, of_few: bool, of_many: bool
) -> None:
    setting(value)
    observations = large()
    assert decided(observations, FULL, 3, passes=1).compiled == of_few
    assert decided(observations, FULL, 3, passes=10**6).compiled == of_many


@pytest.mark.parametrize("value", ["Always", "1", "yes", " always", "nevr"])
def test_another_setting_is_refused(setting: Settings, value: str) -> None:
    setting(value)
    with pytest.raises(ValueError, match=f"{SETTING} must be one of auto, always, never") as told:
        gp.fit(gp.MixtureModel(2), normal(50, 2))
    assert value.strip() in str(told.value)


def holed() -> Tensor:
    x = normal(200, 2)
    x[::20, 0] = torch.nan
    return x


KEPT_FROM = {
    "missing values": lambda: (observe(holed(), missing="integrate"), FULL),
    "noise of measurements": lambda: (observe(normal(200, 2), noise=[0.1, 0.2]), FULL),
    "wide": lambda: (large(101), FULL),
    "another device": lambda: (replace(large(2), x=torch.empty(1000, 2, device="meta")), FULL),
}


@pytest.mark.parametrize("case", KEPT_FROM)
@pytest.mark.parametrize("value", ["auto", "always"])
def test_what_the_loops_cannot_do_is_never_compiled(
    setting: Settings, case: str, value: str
) -> None:
    setting(value)
    observations, family = KEPT_FROM[case]()
    assert not decided(observations, family, 3, passes=10**6).compiled


def test_wide_data_are_compiled_up_to_the_centred_kernels(setting: Settings) -> None:
    setting("always")
    assert decided(large(100), FULL, 3, passes=1).compiled
    assert decided(large(101), FAMILIES["diag"], 3, passes=1).compiled  # whose features are few
    assert not decided(large(101), FAMILIES["tied"], 3, passes=1).compiled


# ---------------------------------------------------------------------- what a fit says of it


@pytest.mark.parametrize(("value", "kernel"), [("always", "compiled"), ("never", "torch")])
def test_a_fit_says_which_it_was(
    setting: Settings, value: str, kernel: str, tmp_path: Path
) -> None:
    setting(value)
    fit = gp.fit(gp.MixtureModel(2), clusters().x)
    assert fit.diagnostics["kernel"] == kernel
    assert fit.observations.compiled == (kernel == "compiled")
    save_fit(fit, tmp_path / "fit")
    assert load_fit(tmp_path / "fit").facts["diagnostics"]["kernel"] == kernel


def test_a_method_of_pyros_own_is_never_compiled(setting: Settings) -> None:
    setting("always")
    with quietly():
        fit = gp.fit(gp.MixtureModel(2), clusters().x, "map:enumerated", max_steps=20)
    assert fit.diagnostics["kernel"] == "torch"


def test_values_that_are_missing_are_fitted_by_torch(setting: Settings) -> None:
    setting("always")
    x = clusters().x.clone()
    x[::20, 0] = torch.nan
    fit = gp.fit(gp.MixtureModel(2), x, missing="integrate")
    assert fit.diagnostics["kernel"] == "torch"


# ---------------------------------------------------------------------- it makes no difference


def both(setting: Settings, fit: Callable[[], gp.Fit]) -> list[gp.Fit]:
    """With torch's kernels, and twice compiled."""
    found = []
    for value in ("never", "always", "always"):
        setting(value)
        found.append(fit())
    assert [f.diagnostics["kernel"] for f in found] == ["torch", "compiled", "compiled"]
    return found


def some(d: int = 3) -> Tensor:
    return clusters(d=d, n=400, k=3, separation=3, seed=5).x


FITS: dict[str, dict[str, Any]] = {
    **{f"{name} covariances": {"covariance": name} for name in FAMILIES},
    "sample weights": {"sample_weight": torch.arange(400) % 4},
    "known labels": {"labels": torch.where(torch.arange(400) % 10 == 0, torch.arange(400) % 2, -1)},
    "noise": {"noise_component": "uniform"},
    "squarem": {"acceleration": "squarem"},
    "k-means": {"method": "kmeans"},
    "gradient": {"method": "gradient"},
    "map": {"method": "map"},
}


@pytest.mark.parametrize("case", FITS)
def test_a_fit_ends_where_it_does_without_compilation(setting: Settings, case: str) -> None:
    options = dict(FITS[case])
    told = {
        name: options.pop(name) for name in ("covariance", "noise_component") if name in options
    }
    model = gp.MixtureModel(3, **told)
    torchs, first, second = both(
        setting, lambda: gp.fit(model, some(), **{"n_starts": 3, **options})
    )
    assert first.status is torchs.status is Status.CONVERGED
    # The rule that stops is within 1e-8 nats a point of the maximum.
    assert abs(first.objective - torchs.objective) <= 1e-8 * 400
    close(first.mixture.means, torchs.mixture.means, 1e-3)
    close(first.mixture.weights, torchs.mixture.weights, 1e-3)
    assert first.objective == second.objective
    assert first.history.equal(second.history)
    assert first.mixture.means.equal(second.mixture.means)


@pytest.mark.parametrize("at_random", [False, True], ids=["up and down", "at random"])
def test_a_climb_that_only_rounding_moves_has_stopped(*, at_random: bool) -> None:
    rule, history = stalled(1e-6), [-100.0 - 0.5**i for i in range(20)]
    for _ in range(80):
        assert not rule(history)
        history.append(history[-1] + 1e-4)  # slow, and above the tolerance: it goes on
    jitter = normal(200, seed=1) if at_random else (torch.arange(200) % 2).double()
    for value in (1e-4 * jitter).tolist():
        history.append(-90.0 + value)
        if rule(history):
            break
    assert len(history) < 200


@pytest.mark.parametrize("value", ["never", "always"])
def test_a_fit_in_float32_is_that_in_float64_nearly(setting: Settings, value: str) -> None:
    setting(value)
    with quietly():  # where rounding begins depends on the processor
        single = gp.fit(gp.MixtureModel(3), some(), dtype="float32")
    double = gp.fit(gp.MixtureModel(3), some())
    assert single.objective == pytest.approx(double.objective, rel=1e-5)
    close(single.mixture.means.double(), double.mixture.means, 1e-2)


@pytest.mark.parametrize("threads", [2, 4])
def test_the_number_of_threads_changes_no_bit_of_a_fit(setting: Settings, threads: int) -> None:
    setting("always")
    x = normal(120_000, 2) + 3 * (torch.arange(120_000) % 3)[:, None]
    fits = []
    for number in (1, threads):
        torch.set_num_threads(number)
        with quietly():
            fits.append(gp.fit(gp.MixtureModel(3), x, max_steps=3, n_starts=2, search="starts"))
    assert fits[0].history.equal(fits[1].history)
    assert fits[0].mixture.means.equal(fits[1].mixture.means)


def test_chains_are_the_same_draw_by_draw(setting: Settings) -> None:
    """Of clusters that are well apart, where no draw of a component lies at a border."""
    x = clusters(n=300, k=3, separation=8, seed=3).x
    model = gp.MixtureModel(3)
    with quietly():  # so few draws may disagree
        torchs, first, second = both(
            setting, lambda: gp.fit(model, x, "gibbs", n_draws=30, n_warmup=30, n_chains=3)
        )
    for name, draws in torchs.posterior.draws.items():
        close(first.posterior.draws[name], draws, 1e-9)
        assert first.posterior.draws[name].equal(second.posterior.draws[name])


# ---------------------------------------------------------------------- with numba, and without


def printed_by(python: Path, code: str, path: Path | None = None, **env: str) -> str:
    """What a process of its own prints."""
    places = [*([str(path)] if path else []), *sys.path]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), **env}
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture
def printed(prepared: Path) -> Callable[..., str]:
    return partial(printed_by, prepared / "python")


FIT = """
import sys, torch, gmm_pyro as gp
x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
x[:150] += 5
fit = lambda x, **options: gp.fit(gp.MixtureModel(2), x, **options)
"""


def test_small_work_imports_no_compiler(printed: Callable[..., str]) -> None:
    code = FIT + "print(fit(x).diagnostics['kernel'], 'numba' in sys.modules)"
    assert printed(code, **{SETTING: ""}) == "torch False"


ASKED = """
from gmm_pyro.reduction.decision import decided
from gmm_pyro.data.observations import observe
decision = decided(observe(x), gp.MixtureModel(2).family, 2, 10**6)
print(decision.compiled, fit(x).diagnostics["kernel"])
"""


def test_without_a_compiler_all_works_unless_it_is_forced(printed: Callable[..., str]) -> None:
    """Also on data that come from where there is one, as by a pickle."""
    code = """
import os
from dataclasses import replace
from gmm_pyro.reduction.theta import theta_of
from gmm_pyro.reduction.sums import maximise, reduce
found = fit(x)
points = replace(found.observations, compiled=True)
theta = theta_of(found.model.family, found.mixture.parameters, points)
step = maximise(points, theta, reduce(points, theta), 0 * points.scale)
print(bool(step.parameters.means.isfinite().all()))
os.environ["GMM_PYRO_COMPILED"] = "always"
try:
    fit(x)
except ValueError as error:
    print(error)
"""
    without = "import sys; sys.modules['numba'] = None"
    lines = printed(without + FIT + ASKED + code, **{SETTING: "auto"}).splitlines()
    assert lines[:2] == ["False torch", "True"]
    assert SETTING in lines[2]
    assert "pip install 'gmm-pyro[fast]'" in lines[2]


def test_a_compiler_that_does_not_work_is_as_good_as_none(
    tmp_path: Path, printed: Callable[..., str]
) -> None:
    package = tmp_path / "numba"
    package.mkdir()
    told = 'raise ImportError("Numba needs NumPy 2.2 or less. Got NumPy 2.4.")'
    (package / "__init__.py").write_text(told)
    assert printed(FIT + ASKED, tmp_path, **{SETTING: "auto"}) == "False torch"


def test_whether_numba_is_there_is_asked_without_importing_it(monkeypatch) -> None:
    monkeypatch.setattr(decision.importlib.util, "find_spec", lambda name: None)
    decision.is_installed.cache_clear()
    try:
        assert not decision.is_installed()
    finally:
        decision.is_installed.cache_clear()


def test_arrays_of_any_kind_are_fitted(setting: Settings) -> None:
    """Read-only, in another order, or at an address that is no multiple of eight."""
    setting("always")
    x = np.asarray(some())
    frozen, turned = x.copy(), np.asfortranarray(x)
    frozen.setflags(write=False)
    odd = np.frombuffer(bytearray(x.nbytes + 4), np.uint8)[4:].view(x.dtype).reshape(x.shape)
    odd[:] = x
    fits = [gp.fit(gp.MixtureModel(3), part) for part in (x, frozen, turned, odd)]
    assert {fit.diagnostics["kernel"] for fit in fits} == {"compiled"}
    for fit in fits[1:]:
        assert fit.objective == pytest.approx(fits[0].objective, abs=1e-6)
