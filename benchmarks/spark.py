"""A step of EM on a cluster of this machine against Spark's GaussianMixture, and what underflows.

    python benchmarks/spark.py [steps|far] [--quick] [--python PATH]

Spark has a Python of its own, which answers by lines: `python -m venv spark`, `spark/bin/pip
install pyspark numpy`, and `--python spark/bin/python`. It needs Java; where there is none, nothing
is measured. Both sides have two cores, float64, and one file of Parquet, kept in memory once read.
Spark takes no start, so a step is the difference between a long run and a short one.

`far` has clusters in fifty features. Spark works with densities, to each of which it adds 2.2e-16,
and not with their logarithms: fits from its own start, and responsibilities under the true mixture,
stand beside closed forms and SciPy's logarithms.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import common
import dask
import numpy as np
import pandas as pd
import torch
from dask import array
from distributed import Client, LocalCluster
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

import gmm_pyro as gp
from gmm_pyro.data.observations import observe
from gmm_pyro.reduction.decision import SETTING

N, D, K = 1_000_000, 8, 8
SHORT, LONG = 2, 12  # steps of two runs, whose difference is measured
GROUPS = 16  # of rows in the file
FAR_N, FAR_D, FAR_K = 4_000, 50, 4
APART = 100  # standard deviations between the centres of clusters
AWAY = 30  # standard deviations from the nearest centre, of outlying points
SCRIPT = r"""
import json, sys
import numpy as np
import pyspark
from pyspark.ml.clustering import GaussianMixture, GaussianMixtureModel
from pyspark.ml.common import _py2java
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.sql import SparkSession

settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1", "spark.driver.memory": "4g",
            "spark.ui.showConsoleProgress": "false"}
builder = SparkSession.builder.master("local[2]")
for name, value in settings.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
jvm = spark.sparkContext._jvm

def say(found):
    print("\n>" + json.dumps(found), flush=True)

def read(file):
    frame = spark.read.parquet(file)
    return VectorAssembler(inputCols=frame.columns, outputCol="features").transform(frame)

def shares(model, file):
    return np.array([row[0].toArray() for row in
                     model.transform(read(file)).select("probability").collect()]).tolist()

def fit(file, k, steps, seed, labelled):
    model = GaussianMixture(k=k, maxIter=steps, tol=0.0, seed=seed).fit(read(file))
    found = {"log_likelihood": model.summary.logLikelihood, "steps": model.summary.numIter,
             "weights": list(model.weights)}
    return {**found, "shares": shares(model, file)} if labelled else found

def given(file, weights, means, covariances):
    java = lambda value: _py2java(spark.sparkContext, value)
    ml = jvm.org.apache.spark.ml
    one = ml.stat.distribution.MultivariateGaussian
    gateway, k, d = spark.sparkContext._gateway, len(weights), len(means[0])
    gaussians, shared = gateway.new_array(one, k), gateway.new_array(jvm.double, k)
    for i in range(k):
        matrix = DenseMatrix(d, d, np.ravel(covariances[i]).tolist())
        gaussians[i] = one(java(DenseVector(means[i])), java(matrix))
        shared[i] = weights[i]
    model = GaussianMixtureModel(ml.clustering.GaussianMixtureModel("given", shared, gaussians))
    model.setProbabilityCol("probability").setFeaturesCol("features")
    return {"shares": shares(model, file)}

java = jvm.java.lang.System.getProperty("java.version")
say(f"Spark {pyspark.__version__}, Java {java}")
for line in sys.stdin:
    asked = json.loads(line)
    say({"fit": fit, "given": given}[asked.pop("what")](**asked))
"""


class Spark:
    """Spark on two cores as one process for a whole benchmark, which answers until it is left."""

    def __init__(self, python: str) -> None:
        self._python = python

    def __enter__(self) -> Self:
        quiet = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"}
        self._process = subprocess.Popen(
            [self._python, "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=quiet,
        )
        self.version = self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # which closes what it reads, and it ends

    def asked(self, **question: Any) -> Any:
        """What it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(">"):
                return json.loads(line[1:])
        raise RuntimeError("Spark has ended")


def missing(python: str) -> str | None:
    """What is not there that Spark needs."""
    if shutil.which("java") is None:
        return "Java is not there"
    asked = subprocess.run(
        [python, "-c", "import pyspark, numpy"], capture_output=True, text=True, check=False
    )
    return None if asked.returncode == 0 else f"{python} has no pyspark: {asked.stderr[-200:]}"


# ---------------------------------------------------------------------- a step


@contextmanager
def processes() -> Iterator[None]:
    """Two worker processes that Dask computes with."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        yield


def stored(x: np.ndarray, file: Path, groups: int) -> str:
    """The name of a file of Parquet that has the points."""
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
    frame.to_parquet(file, row_group_size=-(-len(x) // groups))
    return str(file)


def ours(file: str, start: gp.GaussianMixture) -> Callable[[int], Any]:
    """A function that takes so many steps on data that are kept where Dask computes now."""
    points = observe(file)
    model = gp.MixtureModel(start.n_components)
    exact: dict[str, Any] = {"tolerance": 0.0, "covariance_floor": 0.0}
    return lambda steps: gp.fit(model, points, "em", start=start, max_steps=steps, **exact)


def steps(spark: Spark, folder: Path, *, quick: bool) -> None:
    """A step of each side, in milliseconds, with rounds in which all take turns."""
    n, rounds = (50_000, 1) if quick else (N, 5)
    data = gp.datasets.make_mixture(n, D, K, separation=2.0, seed=1)
    file = stored(data.x.numpy(), folder / "points.parquet", GROUPS)

    def sparks(steps: int) -> None:
        spark.asked(what="fit", file=file, k=K, steps=steps, seed=1, labelled=False)

    os.environ[SETTING] = "always"  # as a run of usual length chooses, of both lengths
    by_threads = ours(file, data.truth)

    def in_threads(steps: int) -> None:
        with dask.config.set(scheduler="threads"):
            by_threads(steps)

    in_threads(LONG)  # it is compiled before processes load it
    with processes():
        sides = {"Spark": sparks, "processes": ours(file, data.truth), "threads": in_threads}
        seconds = timed(sides, rounds)
    row: dict[str, Any] = {"n": n, "d": D, "k": K}
    row |= {f"{name}, ms": common.milliseconds(each) for name, each in seconds.items()}
    for name in ("processes", "threads"):
        row[f"Spark / {name}"] = common.ratio(seconds, "Spark", name)
    title = (
        f"A step of EM in Dask's two processes and in its two threads, and in Spark's local[2] "
        f"({spark.version}): minimum / median milliseconds of {rounds} rounds, median of ratios"
    )
    common.report("spark", title, [row])


def timed(runs: dict[str, Callable[[int], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of a step by difference, in each round; all sides take turns."""
    sides = {
        (name, length): partial(run, length)
        for name, run in runs.items()
        for length in (SHORT, LONG)
    }
    times = common.interleaved(sides, rounds=rounds)
    pairs = {name: zip(times[name, SHORT], times[name, LONG], strict=True) for name in runs}
    return {
        name: [(long - short) / (LONG - SHORT) for short, long in both]
        for name, both in pairs.items()
    }


# ---------------------------------------------------------------------- where densities underflow


def clusters(deviation: float, n: int) -> tuple[gp.GaussianMixture, np.ndarray, np.ndarray]:
    """A mixture of clusters far from each other, points of it, and which cluster each is of."""
    random = np.random.default_rng(1)
    means = np.zeros((FAR_K, FAR_D))
    means[:, :FAR_K] = np.eye(FAR_K) * APART / math.sqrt(2)
    turns = [np.linalg.qr(random.normal(size=(FAR_D, FAR_D)))[0] for _ in range(FAR_K)]
    spread = np.linspace(0.5, 1.5, FAR_D)
    covariances = np.stack([turn @ np.diag(spread) @ turn.T for turn in turns])
    weights = np.arange(1, FAR_K + 1) / (FAR_K * (FAR_K + 1) / 2)
    labels = np.repeat(np.arange(FAR_K), (weights * n).astype(int))
    random.shuffle(labels)
    factors = np.linalg.cholesky(covariances)[labels]
    noise = random.normal(size=(len(labels), FAR_D))
    x = means[labels] + np.einsum("nij,nj->ni", factors, noise)
    mixture = gp.GaussianMixture(
        torch.from_numpy(weights),
        torch.from_numpy(deviation * means),
        torch.from_numpy(deviation**2 * covariances),
    )
    return mixture, deviation * x, labels


def outlying(mixture: gp.GaussianMixture, deviation: float, count: int) -> np.ndarray:
    """Points that are so many standard deviations from one centre, and farther from all others."""
    random = np.random.default_rng(2)
    directions = random.normal(size=(count, FAR_D))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return mixture.means.numpy()[np.arange(count) % FAR_K] + AWAY * deviation * directions


def log_joint(mixture: gp.GaussianMixture, x: np.ndarray) -> np.ndarray:
    """log w + log N(x | μ, Σ) by SciPy, shape (n, k)."""
    parts = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    columns = [
        math.log(weight) + multivariate_normal(mean.numpy(), covariance.numpy()).logpdf(x)
        for weight, mean, covariance in parts
    ]
    return np.stack(columns, 1)


def likeliest(x: np.ndarray, labels: np.ndarray) -> float:
    """The largest log-likelihood a point, of clusters that share none, in closed form."""
    total = 0.0
    for label in range(FAR_K):
        own = x[labels == label]
        log_det = np.linalg.slogdet(np.cov(own.T, bias=True))[1]
        share = math.log(len(own) / len(x))
        total += len(own) * (share - 0.5 * (FAR_D * math.log(2 * math.pi) + log_det + FAR_D))
    return total / len(x)


def fitted(spark: Spark, folder: Path, deviation: float) -> dict[str, Any]:
    """Both fits of the clusters from starts of their own, beside the closed form."""
    _, x, labels = clusters(deviation, FAR_N)
    file = stored(x, folder / "far.parquet", 4)
    theirs = spark.asked(what="fit", file=file, k=FAR_K, steps=100, seed=1, labelled=True)
    fit = gp.fit(gp.MixtureModel(FAR_K), array.from_array(x, chunks=(FAR_N // 4, FAR_D)))
    found = {
        "ours": (fit.objective / len(x), np.asarray(fit.labels)),
        "Spark": (theirs["log_likelihood"] / len(x), np.argmax(theirs["shares"], 1)),
    }
    row: dict[str, Any] = {"standard deviation": deviation}
    row["largest log-likelihood a point"] = f"{(exact := likeliest(x, labels)):.4f}"
    for name, (value, found_labels) in found.items():
        row[f"{name}, log-likelihood"] = f"{value:.4f}"
        row[f"{name}, less the largest"] = value - exact
        row[f"{name}, adjusted Rand index"] = adjusted_rand_score(labels, found_labels)
    row["Spark, steps"] = theirs["steps"]
    return row


def judged(spark: Spark, folder: Path, deviation: float, what: str) -> dict[str, Any]:
    """Responsibilities under the true mixture, beside SciPy's."""
    mixture, x, _ = clusters(deviation, FAR_N)
    x = x[:500] if what == "of the clusters" else outlying(mixture, deviation, 500)
    joint = log_joint(mixture, x)
    exact = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    parameters = {
        name: getattr(mixture, name).tolist() for name in ("weights", "means", "covariances")
    }
    file = stored(x, folder / "judged.parquet", 1)
    theirs = np.array(spark.asked(what="given", file=file, **parameters)["shares"])
    points = array.from_array(x, chunks=(100, FAR_D))
    errors = abs(np.asarray(mixture.log_prob(points)) / logsumexp(joint, axis=1) - 1)
    row: dict[str, Any] = {"standard deviation": deviation, "points": what}
    row["log density, least"] = f"{logsumexp(joint, axis=1).min():.1f}"
    row["ours, relative error of it"] = float(errors.max())
    row["ours, error of responsibilities"] = float(
        abs(np.asarray(mixture.responsibilities(points)) - exact).max()
    )
    row["Spark, error of responsibilities"] = float(abs(theirs - exact).max())
    row["Spark, points with 1/k for all"] = float((abs(theirs - 1 / FAR_K) < 1e-6).all(1).mean())
    return row


def far(spark: Spark, folder: Path) -> None:
    """Fits, and responsibilities under the true mixture, in two units."""
    units = (1.0, 0.1)
    size = f"{FAR_K} clusters in {FAR_D} features, centres {APART} standard deviations apart"
    rows = [fitted(spark, folder, deviation) for deviation in units]
    common.report("spark_far_fits", f"{size}: fits, and the closed form ({spark.version})", rows)
    pairs = [(unit, what) for unit in units for what in ("of the clusters", f"{AWAY} sd away")]
    rows = [judged(spark, folder, *pair) for pair in pairs]
    title = f"{size}: under the true mixture, beside SciPy ({spark.version})"
    common.report("spark_far", title, rows)


def main() -> None:
    """Measure, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=["steps", "far"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--python", default=sys.executable, help="one that has pyspark")
    arguments = parser.parse_args()
    if (lack := missing(arguments.python)) is not None:
        print(f"Spark is not measured: {lack}")
        return
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, Spark(arguments.python) as spark:
        if arguments.part in ("steps", None):
            steps(spark, Path(folder), quick=arguments.quick)
        if arguments.part in ("far", None):
            far(spark, Path(folder))


if __name__ == "__main__":
    main()
