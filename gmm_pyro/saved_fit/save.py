"""A fit as a folder: mixture, posterior, labels, responsibilities, pictures, and facts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import metrics
from ..data.checks import check_choice, check_flag, check_mapping, check_path
from ..data.partitioned import Partitioned
from ..data.points import Observations
from ..datasets import OUTLIER
from ..disk.placing import refuse_existing, whole_folder, write_bytes
from ..files import write_netcdf, write_table
from ..inference.evidences import told_with_evidence
from ..inference.fit import Fit
from ..posterior import Posterior
from ..posterior.sizes import FILLED
from ..running.threads import one_thread_a_product
from ..running.versions import versions
from .prediction import beside as with_columns
from .prediction import responsibilities_frame

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "gmm_pyro.fit"
TABLE_FORMATS = ("csv", "tsv", "parquet")
TABLES = ("labels", "responsibilities")
PICTURES = ("clusters", "density", "trace", "number_of_components")
DOTS_PER_INCH = 120
MOST_NUMBERS = 50_000_000  # log-likelihoods in a file: 400 MB
OURS = (
    *("mixture.json", "fit.json", "posterior.nc"),
    *(f"{name}.{suffix}" for name in TABLES for suffix in TABLE_FORMATS),
    *(f"figures/{name}.png" for name in PICTURES),
)


def save_fit(
    fit: Fit,
    folder: str | Path,
    *,
    table_format: str = "csv",
    force: bool = False,
    labels: Any = None,
    facts: Mapping[str, Any] | None = None,
    beside: pd.DataFrame | None = None,
) -> list[Path]:
    """Write a fit into a folder that appears as a whole, for `load_fit` and for other programs.

    - `mixture.json`: the point estimate, which `GaussianMixture.load` reads.
    - `posterior.nc`: the draws for ArviZ, of methods that have them; where draws times points are
      more than 50 million, every second, third, … draw: `fit.json` has it as `posterior_thinning`.
    - `labels` and `responsibilities`: tables by `row`, the number of the point, from 0; a component
      of the mixture goes by its number, from 0.
    - `figures/`: `clusters.png`, `density.png`, `trace.png` of methods that take steps, and
      `number_of_components.png` where that is unknown.
    - `fit.json`: what `fit_facts` says.

    Of data in partitions there are `mixture.json` and `fit.json` alone.

    Args:
        fit: the fit.
        folder: where to; folders above it are made.
        table_format: "csv", "tsv" or "parquet".
        force: whether the files may replace those in a folder that is not empty. Other files in it
            stay.
        labels: true class of each point, shape (n,), for the pictures and a score, or None.
        facts: more for `fit.json`, by name.
        beside: a frame of n rows with columns to stand in `labels` and `responsibilities`, or None.

    Returns:
        The paths of the files.

    Raises:
        ValueError: if there is no such format, there are not n labels, or what is to stand beside
            them has other rows, or columns of their names.
        OSError: if the folder is not empty, or cannot be written.
        ImportError: if tables are to be Parquet and pyarrow is not installed.
    """
    check_choice("table_format", table_format, TABLE_FORMATS)
    folder, force = check_path("folder", folder), check_flag("force", force)
    if not isinstance(fit, Fit):
        raise TypeError(f"fit must be a gmm_pyro.Fit, got {type(fit).__name__}")
    facts = {} if facts is None else check_mapping("facts", facts, "more facts by name")
    refuse_existing(folder, force=force)
    content = fit_facts(fit, labels) | dict(facts)
    with whole_folder(folder, stale=OURS, force=force) as partial:
        fit.mixture.save(partial / "mixture.json")
        if not isinstance(fit.observations, Partitioned):
            _write_arrays(fit, partial, table_format, beside)
            _write_figures(fit, partial, labels)
        names = [path.relative_to(partial) for path in sorted(partial.rglob("*.*"))]
        content["files"] = [name.as_posix() for name in names]
        text = json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False)
        write_bytes(partial / "fit.json", f"{text}\n".encode())
    return [folder / name for name in (*names, Path("fit.json"))]


@one_thread_a_product()
def _write_arrays(fit: Fit, folder: Path, table_format: str, kept: pd.DataFrame | None) -> None:
    import pandas as pd

    rows = pd.RangeIndex(fit.observations.n, name="row")
    mixture, points = fit.mixture, fit.observations
    noise = None if mixture.noise_component is None else mixture.noise_probability(points)
    shares = responsibilities_frame(mixture.responsibilities(points), noise)
    frames = {
        "labels": pd.DataFrame({"row": rows, "label": fit.labels.cpu().numpy()}),
        "responsibilities": shares.assign(row=rows)[["row", *shares]],
    }
    for name, frame in frames.items():
        write_table(with_columns(frame, kept), folder / f"{name}.{table_format}")
    if fit.posterior is not None:
        thinned = replace(fit, posterior=fit.posterior.thinned(_thinning(fit.posterior)))
        write_netcdf(thinned.to_arviz(components=True), folder / "posterior.nc")


def _thinning(posterior: Posterior) -> int:
    """Every which draw is kept, so that log-likelihoods of all points are not too many numbers."""
    numbers = posterior.n_chains * posterior.n_draws * posterior.observations.n
    return min(posterior.n_draws, math.ceil(numbers / MOST_NUMBERS))


@one_thread_a_product()
def _write_figures(fit: Fit, folder: Path, labels: Any) -> None:
    from .. import plots

    (folder / "figures").mkdir()
    for name, figure in plots.fit_figures(fit, name=fit.method, labels=labels).items():
        write_bytes(folder / "figures" / f"{name}.png", plots.png(figure, DOTS_PER_INCH))


# ---------------------------------------------------------------------- facts


@one_thread_a_product()
def fit_facts(fit: Fit, labels: Any = None) -> dict[str, Any]:
    """How a fit was made and how good it is, as numbers, words, and lists and dictionaries of them.

    Densities are in nats; `log_likelihood` is the mean of the points. Points with sample weights
    count so often in every number but `n`, which is that of the rows. The evidence is among the
    diagnostics if the fit has it already, or has been asked for it; else `evidence_by` there says
    whether it waits to be.

    Args:
        fit: the fit.
        labels: true class of each point, shape (n,), with -1 for outliers, or None.
    """
    mixture, weight = fit.mixture, fit.observations.sample_weight
    criteria, noise = mixture.criteria(fit.observations, weight), mixture.noise_component
    facts = {
        "format": FORMAT,
        "method": fit.method,
        "status": fit.status.name.lower(),
        "message": fit.message,
        "converged": fit.converged,
        "problems": fit.diagnostics["problems"],
        "n_components": mixture.n_components,
        "covariance": mixture.family.name,
        "features": mixture.feature_names,
        "n": fit.observations.n,
        "total_weight": fit.observations.total_weight,
        "sample_weight": weight is not None,
        **_known(fit.observations),
        "noise_component": None if noise is None else noise.KIND,
        "noise_weight": mixture.noise_weight,
        "fixed_parameters": mixture.n_held,
        "dtype": str(fit.observations.dtype).removeprefix("torch."),
        "device": str(fit.observations.device),
        "objective": fit.objective,
        "steps": fit.steps,
        "seconds": fit.seconds,
        "seed": fit.seed,
        "log_likelihood": criteria.mean_log_density,
        "bic": criteria.bic,
        "aic": criteria.aic,
        "diagnostics": {
            name: value
            for name, value in told_with_evidence(fit).items()
            if isinstance(value, bool | int | float | str)
        },
        "options": _options(fit),
        "priors": None if fit.model.priors is None else fit.model.prior.kind,
        "versions": versions(),
    }
    facts |= _of_draws(fit)
    if fit.k_hat is not None:
        facts["diagnostics"]["k_hat"] = fit.k_hat
    if labels is not None and (torch.as_tensor(labels) != OUTLIER).any():
        facts["adjusted_rand"] = metrics.adjusted_rand(labels, fit.labels.cpu(), weight)
    return facts


def _of_draws(fit: Fit) -> dict[str, Any]:
    """How many draws are kept, and the columns of the table of an unknown number of components."""
    if fit.posterior is None:
        return {}
    found: dict[str, Any] = {"posterior_thinning": _thinning(fit.posterior)}
    if FILLED in fit.posterior.draws:
        table = fit.number_of_components.reset_index()
        columns = {str(name): table[name].tolist() for name in table}
        found["number_of_components"] = columns
    return found


def _known(observations: Observations) -> dict[str, Any]:
    """What is known of points beside their values, and what is missing of these."""
    measured, allowed = observations.measured, observations.allowed
    return {
        "missing_values": 0 if measured is None else int(measured.values.isnan().sum()),
        "noise": measured is not None and measured.noise is not None,
        "projection": measured is not None and measured.projection is not None,
        "labelled": 0 if allowed is None else allowed.n_known,
    }


def _options(fit: Fit) -> dict[str, Any]:
    """The options, as far as they are numbers and words."""
    kept = bool | int | float | str | None
    return {
        name: value if isinstance(value, kept) else type(value).__name__
        for name, value in vars(fit.options).items()
    }


def plain(value: Any) -> Any:
    """The value as JSON has it: NaN and infinities are null, arrays lists, paths words.

    Example:
        >>> plain({"a": float("nan"), "b": (1, np.float64(2.5)), "c": torch.arange(2)})
        {'a': None, 'b': [1, 2.5], 'c': [0, 1]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | None) else str(value)
