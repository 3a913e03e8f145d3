"""What an estimator leaves to the data: n_components or covariance_type "auto", chosen by BIC."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.utils import check_random_state

from ..inference.methods import METHODS, choice
from ..selection import Selection, select
from .arguments import AUTO, INIT_PARAMS, left_open, told
from .attributes import left_out, without_data
from .fitting import observed
from .starts import Array

MOST = 9  # components that are tried, as in mclust
MAXIMISERS = [
    name
    for name, row in METHODS.items()
    if row.likeliest or (row.priors and not row.draws and not row.through_pyro)
]


def selected(estimator: Any, x: Array, sample_weight: Any) -> Selection:
    """All models that an estimator leaves open, fitted by its method.

    Args:
        estimator: a `PyroGaussianMixture`, whose attributes are the constructor's arguments.
        x: the points, shape (n, d).
        sample_weight: n weights, or None.

    Raises:
        ValueError: if another argument supposes a certain model, or the method has no BIC.
    """
    refuse_what_supposes_a_model(estimator)
    k, random = estimator.n_components, check_random_state(estimator.random_state)
    options = told(estimator)
    if estimator.n_init == 1:  # one start would seldom do for all sizes: the method's own number
        options.pop("n_starts", None)
    options |= dict(estimator.method_options or {})
    choice(estimator.method, options)  # names an option that the method does not have
    if estimator.method == "em":
        options.pop("search", None)  # a selection has one of its own
    return select(
        observed(estimator, x, sample_weight),
        k=range(1, min(MOST, len(x)) + 1) if k == AUTO else k,
        covariance="all" if estimator.covariance_type == AUTO else estimator.covariance_type,
        method=estimator.method,
        **{"progress": bool(estimator.verbose), "seed": int(random.randint(2**31 - 1)), **options},
    )


def refuse_what_supposes_a_model(estimator: Any) -> None:
    """Refuse arguments that a selection cannot follow.

    Raises:
        ValueError: if there is one.
    """
    who = " and ".join(f"{name}='auto'" for name in left_open(estimator))
    given = [
        name
        for name in ("weights_init", "means_init", "precisions_init", "priors", "noise_component")
        if getattr(estimator, name) is not None
    ]
    if estimator.warm_start:
        given.append("warm_start")
    if estimator.init_params != INIT_PARAMS:
        given.append("init_params")
    if given:
        raise ValueError(
            f"{', '.join(given)} cannot be given with {who}: every model that is tried has starts "
            "of its own, default priors and no noise; fit once by 'auto', then fit the model of "
            "n_components_ and covariance_type_"
        )
    if estimator.method not in MAXIMISERS:
        raise ValueError(
            f"{who} selects by BIC, which is for the methods {', '.join(MAXIMISERS)}; got method="
            f"{estimator.method!r}: choose by method='em', then fit the model of n_components_ and "
            "covariance_type_, or compare posteriors by gmm_pyro.select(…, criterion='evidence')"
        )


def selection_without_data(selection: Selection) -> Selection:
    """The selection with nothing that grows with the number of points: its table and picture."""
    cells = tuple(
        cell if cell.fitted is None else replace(cell, fitted=without_data(cell.fitted))
        for cell in selection.cells
    )
    return replace(selection, observations=left_out(selection.observations), cells=cells)
