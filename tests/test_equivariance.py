"""Units, shifts and the order of rows and columns change an answer as they change the data."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro import GaussianMixture, MixtureModel
from oracles import clusters
from runs import (
    BY_STEPS,
    OURS,
    SAMPLERS,
    STEP_LIMIT,
    THROUGH_PYRO,
    UNMIXED,
    agree,
    fit,
    in_float64,
    quietly,
)

pytestmark = [
    UNMIXED,
    pytest.mark.filterwarnings("ignore:(laplace|svi) describes one of"),
]


def start_for(family: str, x: Tensor) -> GaussianMixture:
    """A start that leaves nothing to chance: two halves along the first feature."""
    halves = (x[:, 0] > x[:, 0].median()).long()
    with quietly():
        return gp.fit(MixtureModel(2, family), x, start=halves, max_steps=1).mixture


def moved(mixture: GaussianMixture, unit: float | Tensor, shift: float | Tensor) -> GaussianMixture:
    """The mixture of unit · x + shift."""
    scale = torch.ones(mixture.n_features, dtype=torch.float64) * unit
    covariances = {
        "full": lambda c: c * scale * scale[:, None],
        "diag": lambda c: c * scale**2,
        "spherical": lambda c: c * scale[0] ** 2,
    }[mixture.family.name](mixture.covariances)
    means = mixture.means * scale + shift
    return GaussianMixture(mixture.weights, means, covariances, mixture.family.name)


# The path of an optimiser depends on rounding, its end on its tolerance.
# NUTS starts from such an end, and soon draws other numbers: what is left is Monte Carlo error.
PRECISION = {
    "kmeans": 1e-9,
    "em": 1e-9,
    "gradient": 1e-4,
    "map": 1e-4,
    "laplace": 1e-4,
    "svi": 1e-2,
    "vb": 1e-7,
    "nuts": 0.3,
    "gibbs": 1e-6,
}
# Random numbers belong to rows and columns, so that draws in another order are other draws: 80 of
# them have a Monte Carlo error of about .01 in these units, and components in another order.
REORDERED = {**PRECISION, "gibbs": 0.1}
# In float32 a logit is rounded otherwise in other units, and one point of thousands goes elsewhere.
ROUNDED = {**PRECISION, "gibbs": 0.3}


@cache
def unmoved(method: str, family: str) -> gp.Fit:
    """What the moved ones are compared with."""
    x = clusters().x
    return fit(method, x, family, start=start_for(family, x))


every_moved = pytest.mark.parametrize(
    ("method", "family"),
    [(method, "full") for method in OURS]
    + [(method, family) for method in ("kmeans", "em", "map") for family in ("diag", "spherical")],
)
UNITS = [pytest.param(1e-6, 0.0, id="small"), pytest.param(1e5, -3e9, id="large and shifted")]


@every_moved
@pytest.mark.parametrize(("unit", "shift"), UNITS)
def test_units_of_the_data_are_the_units_of_the_answer(
    method: str, family: str, unit: float, shift: float
) -> None:
    x = unit * clusters().x + shift
    there = fit(method, x, family, start=start_for(family, x)).mixture
    agree(there, moved(unmoved(method, family).mixture, unit, shift), PRECISION[method])


@pytest.mark.parametrize("method", BY_STEPS)
@pytest.mark.parametrize("family", ["full", "diag"])
def test_every_feature_may_have_a_unit_of_its_own(method: str, family: str) -> None:
    unit, shift = torch.tensor([[1e-4, 1e3], [0.5, -40.0]], dtype=torch.float64)
    x = unit * clusters().x + shift
    here, there = unmoved(method, family), fit(method, x, family, start=start_for(family, x))
    agree(there.mixture, moved(here.mixture, unit, shift), PRECISION[method])
    if method != "svi":
        return
    # densities of the draws change by the units, the guide's entropy by the means' share of them
    jacobian = 60 * float(unit.log().sum())
    assert there.objective == pytest.approx(here.objective - jacobian, abs=1e-3 * 60)


@cache
def in_type(method: str, dtype: torch.dtype) -> gp.Fit:
    x = clusters().x
    return fit(method, x, start=start_for("full", x), dtype=dtype)


ENDS = [
    (method, dtype, sign * power)
    for method in OURS
    for dtype, power in ((torch.float32, 48), (torch.float64, 230))
    for sign in (-1, 1)
    if method != "nuts" or sign * power == 230  # a few seconds a fit
]


@pytest.mark.parametrize(("method", "dtype", "power"), ENDS)
def test_units_at_the_ends_of_what_is_allowed(method: str, dtype: torch.dtype, power: int) -> None:
    """Powers of two, so that the data themselves are not rounded."""
    unit, x = 2.0**power, 2.0**power * clusters().x
    here, there = in_type(method, dtype), fit(method, x, start=start_for("full", x), dtype=dtype)
    assert there.status is here.status
    wanted = moved(in_float64(here.mixture), unit, 0.0)
    found = GaussianMixture.from_parameters(there.mixture.family, there.mixture.parameters)
    least = 1e-2 if dtype is torch.float32 else 1e-4
    precision = ROUNDED if dtype is torch.float32 else PRECISION
    agree(found, wanted, max(least, precision[method]))


@every_moved
def test_the_order_of_the_rows_does_not_matter(method: str, family: str) -> None:
    x = clusters().x
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    there = fit(method, x[order], family, start=start_for(family, x))
    here, there = unmoved(method, family).mixture, there.mixture
    components = torch.cdist(here.means, there.means).argmin(1).tolist()
    agree(there.permute(components), here, REORDERED[method])


@every_moved
def test_the_order_of_the_columns_is_the_order_of_the_answer(method: str, family: str) -> None:
    """To the same precision, but for priors and guides over the correlations' Cholesky factors.

    Those are other numbers for another order of the features, so that the mode of their density
    moves a little, and a guide of independent numbers too, whose noise also differs.
    """
    x, order = clusters(3).x, [2, 0, 1]
    here = fit(method, x, family, start="k-means", n_starts=1)
    there = fit(method, x[:, order], family, start="k-means", n_starts=1)
    back = [order.index(i) for i in range(3)]
    components = torch.cdist(here.mixture.means, there.mixture.means[:, back]).argmin(1).tolist()
    returned = there.mixture.permute(components).marginal(back)
    loose = method == "svi" or (method in ("map", "laplace") and family == "full")
    agree(
        returned, here.mixture, 0.3 if method in SAMPLERS else 0.05 if loose else REORDERED[method]
    )


@STEP_LIMIT
@pytest.mark.parametrize("method", THROUGH_PYRO)
def test_enumerated_engines_do_not_depend_on_units(method: str) -> None:
    x = clusters(1).x
    here, there = (
        fit(method, data, "diag", start=start_for("diag", data), max_steps=50)
        for data in (x, 1e4 * x)
    )
    agree(there.mixture, moved(here.mixture, 1e4, 0.0), 0.05)
