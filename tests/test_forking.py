"""Whatever a program has done, a process that it forks can do all of it again, and does not wait.

Torch's OpenMP hangs in a child whose parent has used two threads. Each test forks in a process of
its own, on two threads whatever the machine has, and with points enough that torch uses them.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")

PRELUDE = '''
import multiprocessing, os, signal, sys, tempfile, threading, warnings
from pathlib import Path
import torch
import gmm_pyro as gp
from gmm_pyro.estimator import PyroGaussianMixture as Estimator
from gmm_pyro.saved_fit import predict

LIMIT = 30  # seconds, after which a child is taken to wait for ever
warnings.simplefilter("ignore")
data = gp.datasets.make_mixture(n=20_000, d=2, k=2, separation=6, seed=3)
x, few = data.x, data.x[:60]
mixture = data.truth
model = gp.MixtureModel(2)
home = Path(tempfile.mkdtemp())

def fit(method, **options):
    return gp.fit(model, few, method=method, max_steps=3, **options)

def program():
    from pyro import poutine
    return poutine.trace(model).get_trace(x).log_prob_sum()

CALLS = {
    "torch": lambda: (torch.rand(400, 400) @ torch.rand(400, 400)).exp(),
    "constructor": lambda: gp.GaussianMixture([.5, .5], x[:2], torch.eye(2).expand(2, 2, 2)),
    "log_prob": lambda: mixture.log_prob(x),
    "responsibilities": lambda: mixture.responsibilities(x),
    "sample": lambda: mixture.sample(20_000),
    "permute": lambda: mixture.permute([1, 0]),
    "criteria": lambda: (mixture.bic(x), mixture.icl(x), gp.metrics.mean_log_density(mixture, x)),
    "files": lambda: gp.GaussianMixture.load(mixture.save(home / f"{os.getpid()}.json")),
    "predict": lambda: predict(mixture, x),
    "program": program,
    "em": lambda: gp.fit(model, x, max_steps=2, n_starts=2),
    "kmeans": lambda: gp.fit(model, x, method="kmeans", n_starts=2),
    "map": lambda: fit("map"),
    "laplace": lambda: fit("laplace", n_draws=20),
    "svi": lambda: fit("svi", n_draws=20),
    "gibbs": lambda: gp.fit(model, few, method="gibbs", n_draws=4, n_warmup=4, n_chains=2),
    "compare": lambda: gp.compare(model, data, ["kmeans"], options={"kmeans": {"n_starts": 2}}),
    "estimator": lambda: Estimator(2, max_iter=2).fit(x.numpy()).predict_proba(x.numpy()),
}

def every():
    """All calls, each by itself; returns the number of torch's threads."""
    for name in CALLS:
        print("child calls", name, file=sys.stderr)
        CALLS[name]()
    return torch.get_num_threads()

def in_child(work):
    """The exit code of a child that does the work, or minus the signal that stopped it."""
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)
        code = 1
        try:
            code = 0 if work() is not False else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
'''


# What is forked where, each with the line that it prints if nothing waits.
CASES = {
    "a child can call all that its parent has called": (
        """
every()
print(in_child(lambda: every() == 2 and in_child(CALLS["em"]) == 0), torch.get_num_threads())
""",
        "0 2",
    ),
    "a pool of processes works": (
        """
CALLS["torch"]()
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map_async(mixture.log_prob, [x, x]).get(LIMIT)
print([torch.equal(part, mixture.log_prob(x)) for part in found])
""",
        "[True, True]",
    ),
    "a lock that another thread holds is free in the child": (
        """
from tqdm.std import TqdmDefaultWriteLock
from gmm_pyro.running import threads
from gmm_pyro.data.points import Observations

held, done = threading.Event(), threading.Event()
cached, bars = vars(Observations)["total_weight"], TqdmDefaultWriteLock.th_lock

def hold():
    with threads._lock, bars, getattr(cached, "lock", threading.Lock()):
        held.set(), done.wait()

other = threading.Thread(target=hold)
other.start(), held.wait()
print(in_child(CALLS["em"]))
done.set(), other.join()
""",
        "0",
    ),
    "a child of a thread beside a fit works, and so does one within a fit": (
        """
codes = []
with threads.one_thread_a_product():
    CALLS["log_prob"]()
    codes.append(in_child(CALLS["em"]))
    side = threading.Thread(target=lambda: codes.append(in_child(CALLS["em"])))
    side.start(), side.join()

def leave():
    with threads.one_thread_a_product():
        return os.fork() == 0

if leave():
    os._exit(torch.get_num_threads())
print([*codes, os.waitstatus_to_exitcode(os.wait()[1])])
""",
        "[0, 0, 2]",
    ),
    "where OpenMP's threads cannot be ended, the child has one": (
        """
import threadpoolctl

class Older:
    lib_controllers = [type("Library", (), {"dynlib": None})]
    def select(self, **_): return self

CALLS["torch"]()
present, threadpoolctl.ThreadpoolController = threadpoolctl.ThreadpoolController, Older
def alone():
    threadpoolctl.ThreadpoolController = present
    CALLS["torch"](), CALLS["em"]()
    return torch.get_num_threads() == 1
print(in_child(alone), torch.get_num_threads())
""",
        "0 2",
    ),
}


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """What the cases print, one after the other in a process of their own with two threads."""
    env = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "PYTHONWARNINGS": "ignore"}
    code = PRELUDE + "".join(code for code, _ in CASES.values())
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=200
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(CASES), done.stderr[-2000:]
    return dict(zip(CASES, lines, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_nothing_waits_in_a_forked_child(case: str, printed: dict[str, str]) -> None:
    assert printed[case] == CASES[case][1]
