"""How good fits are: the rows of a comparison's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .. import metrics
from ..datasets import OUTLIER
from ..inference.fit import Fit
from ..mixture.value import GaussianMixture
from ..running.threads import one_thread_a_product
from .columns import COLUMNS, COUNTS, WORDS
from .sample import Sample


def table_of(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A table from rows by name; what a row does not have is empty."""
    table = pd.DataFrame(list(rows.values()), index=list(rows), columns=list(COLUMNS))
    types = {name: "Int64" if name in COUNTS else "float64" for name in COLUMNS[len(WORDS) :]}
    return table.astype(types)


@one_thread_a_product()
def scores_of(result: Fit, sample: Sample, held_out: Sample | None) -> dict[str, Any]:
    """The numbers of one row; those that cannot be had are left out."""
    mixture, data = result.mixture, sample.dataset
    weight = data.sample_weight
    criteria = mixture.criteria(sample.points.unlabelled, weight)
    scores = {
        "steps": result.steps,
        "seconds": result.seconds,
        "log_likelihood": criteria.mean_log_density,
        "bic": criteria.bic,
        "n_parameters": mixture.n_parameters,
    }
    if held_out is not None:
        scores["held_out_log_density"] = metrics.mean_log_density(
            mixture, held_out.points.unlabelled, held_out.dataset.sample_weight
        )
    if data.labels is not None and (data.labels != OUTLIER).any():
        found = result.labels.cpu()
        scores |= {
            "ari": metrics.adjusted_rand(data.labels, found, weight),
            "nmi": metrics.normalised_mutual_information(data.labels, found, weight),
            "accuracy": metrics.accuracy(data.labels, found, weight),
        }
    if data.truth is not None:
        scores |= _distances(data.truth, mixture)
    return scores


def _distances(truth: GaussianMixture, mixture: GaussianMixture) -> dict[str, float]:
    """Errors of the parameters, and the divergence of the density, from the truth's."""
    errors = metrics.parameter_errors(mixture, truth)
    divergence = metrics.kl_divergence(truth, mixture)
    return {
        "weight_error": errors.weights,
        "mean_error": errors.means,
        "covariance_error": errors.covariances,
        "kl_to_truth": divergence.value,
        "kl_standard_error": divergence.standard_error,
    }
