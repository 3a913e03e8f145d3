"""Approximations about all modes: shares, evidence and means that are known exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy.special import gammaln, logsumexp
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal
from tqdm import tqdm

import gmm_pyro as gp
from gmm_pyro import ConjugatePriors, FitWarning, MixtureModel, Priors
from gmm_pyro.inference.chains.sampling import log_ratios
from gmm_pyro.inference.modes.found import FoundMode, FoundModes
from gmm_pyro.inference.modes.mixed import Around, Mixed, apportioned
from gmm_pyro.inference.modes.mode import log_volume
from gmm_pyro.inference.task import Status
from oracles import STANDARD_ERRORS, clusters, normal

pytestmark = pytest.mark.filterwarnings("ignore:(laplace|svi) describes ")
METHODS = {"laplace": {}, "svi": {"guide": "multivariate"}}
both = pytest.mark.parametrize("method", METHODS)


def fit(model: MixtureModel, x: Any, method: str, modes: str, **options: Any) -> gp.Fit:
    return gp.fit(model, x, method, modes=modes, **{**METHODS[method], **options})


def groups(sizes: tuple[int, ...], centres: tuple[float, ...], width: float) -> Tensor:
    """Groups of points on a line, the same at every call."""
    random = np.random.default_rng(1)
    pairs = zip(sizes, centres, strict=True)
    parts = [centre + width * random.standard_normal(size) for size, centre in pairs]
    return torch.as_tensor(np.concatenate(parts))[:, None]


def shares(found: gp.Fit) -> list[float]:
    return found.modes["share"].tolist()


# ---------------------------------------------------------------------- sums over assignments


@dataclass(frozen=True)
class Exact:
    """The posterior of the assignments of n points on a line to two components, all 2^n of them."""

    assignments: np.ndarray
    probabilities: np.ndarray
    log_evidence: float
    weights: np.ndarray


def exact(model: MixtureModel, x: Tensor) -> Exact:
    """By the evidence of points under a Normal-inverse-gamma prior (Murphy 2007, eq. 171)."""
    prior = model.specialise(x).priors.conjugate(model.family, 2)  # type: ignore[union-attr]
    h, alpha = prior.components, prior.mixing.concentration.numpy()
    kappa, nu, mean, psi = (
        float(value.flatten()[0]) for value in (h.mean_strength, h.dof, h.mean, h.scale)
    )
    y, n = x.numpy()[:, 0], len(x)
    z = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    counts = np.stack([n - z.sum(1), z.sum(1)], 1)
    log_p = np.full(len(z), gammaln(alpha.sum()) - gammaln(alpha.sum() + n))
    for held, count, a in zip((1 - z, z), counts.T, alpha, strict=True):
        centre = held @ y / np.maximum(count, 1)
        spread = (held * (y - centre[:, None]) ** 2).sum(1)
        later = psi + spread + kappa * count / (kappa + count) * (centre - mean) ** 2
        log_p += gammaln((nu + count) / 2) - gammaln(nu / 2) + gammaln(a + count) - gammaln(a)
        log_p += nu / 2 * math.log(psi) - (nu + count) / 2 * np.log(later)
        log_p += 0.5 * np.log(kappa / (kappa + count)) - count / 2 * math.log(math.pi)
    probabilities = np.exp(log_p - logsumexp(log_p))
    weights = probabilities @ (alpha + counts) / (alpha.sum() + n)
    return Exact(z, probabilities, float(logsumexp(log_p)), weights)


SIZES = (5, 8)
TWO_GROUPS = groups(SIZES, (-4.0, 4.0), 0.5)
NAMED = MixtureModel(2, priors=ConjugatePriors(concentration=[2.0, 4.0]))
THREE_GROUPS = groups((4, 3, 4), (-5.0, 0.3, 5.0), 0.4)
TWO_OF_THREE = MixtureModel(2, priors=ConjugatePriors(dof=8.0))
N_DRAWS = 4000


@cache
def of_two_groups(method: str, modes: str) -> gp.Fit:
    return fit(NAMED, TWO_GROUPS, method, modes, n_draws=N_DRAWS)


@cache
def of_three_groups(method: str, modes: str) -> gp.Fit:
    return fit(TWO_OF_THREE, THREE_GROUPS, method, modes, n_draws=N_DRAWS)


def second_holds_the_few() -> float:
    """Posterior probability that component 1 has the smaller of two groups far apart."""
    truth = exact(NAMED, TWO_GROUPS)
    few = np.arange(sum(SIZES)) < SIZES[0]
    agree = (truth.assignments == few).sum(1) > sum(SIZES) / 2
    return float(truth.probabilities[agree].sum())


class TestNumberingsThatThePriorTellsApart:
    """Two groups, and a prior that thinks the second component twice as heavy."""

    @both
    def test_have_the_shares_of_the_exact_posterior(self, method: str) -> None:
        """Laplace's are by importance sampling; svi's leave out what its guides miss, alike."""
        found = of_two_groups(method, "all")
        assert shares(found) == pytest.approx(
            [1 - second_holds_the_few(), second_holds_the_few()], abs=0.02
        )
        assert found.diagnostics["n_modes"] == 2
        assert found.diagnostics["modes_share"] == pytest.approx(1)
        assert found.message == Status.CONVERGED.message

    @both
    def test_have_the_exact_mean_weights(self, method: str) -> None:
        """Four standard errors, and a hundredth for the Gaussian shape; one mode is far off."""
        truth = torch.as_tensor(exact(NAMED, TWO_GROUPS).weights)
        away = {}
        for modes in ("one", "all"):
            draws = of_two_groups(method, modes).posterior.draws["weights"][0]
            away[modes] = float((draws.mean(0) - truth).abs().max())
            error = float(draws.std(0).max()) / math.sqrt(N_DRAWS)
        assert away["all"] < STANDARD_ERRORS * error + 0.01
        assert away["one"] > 0.04

    def test_are_told_of_where_one_is_described(self) -> None:
        with pytest.warns(FitWarning, match=r"describes one of 2 modes.*take modes='all'"):
            found = gp.fit(NAMED, TWO_GROUPS, "laplace")
        assert found.modes["described"].tolist() == [True, False]
        assert found.diagnostics["modes_share"] == pytest.approx(
            1 - second_holds_the_few(), abs=0.1
        )

    def test_are_not_where_a_start_has_numbered_them(self) -> None:
        start = [0] * SIZES[0] + [1] * SIZES[1]
        found = gp.fit(NAMED, TWO_GROUPS, "laplace", start=start)
        assert "n_modes" not in found.diagnostics
        with pytest.raises(ValueError, match="laplace does not know of other modes here"):
            found.modes  # noqa: B018


class TestTwoExplanationsOfThreeGroups:
    """Two components for three groups: the one in the middle goes with either."""

    @both
    def test_have_the_shares_of_the_exact_posterior(self, method: str) -> None:
        truth = exact(TWO_OF_THREE, THREE_GROUPS)
        z = truth.assignments
        with_last = (z[:, 4:7] == z[:, -1:]).mean(1) > 0.5
        share = truth.probabilities[with_last & (z[:, 0] != z[:, -1])].sum()
        found = of_three_groups(method, "all")
        assert shares(found) == pytest.approx([share, 1 - share], abs=0.02)

    def test_have_the_exact_evidence(self) -> None:
        found = of_three_groups("laplace", "all")
        error = STANDARD_ERRORS * found.diagnostics["log_evidence_se"]
        total = exact(TWO_OF_THREE, THREE_GROUPS).log_evidence
        assert found.diagnostics["log_evidence"] == pytest.approx(total, abs=error)
        assert error < 0.1
        parts = torch.tensor(found.modes["log_evidence"].to_numpy()).logsumexp(0)
        assert found.diagnostics["log_evidence"] == pytest.approx(float(parts), abs=1e-6)

    @both
    def test_share_points_as_in_the_exact_posterior(self, method: str) -> None:
        """A point of the first group and one of the second; one mode knows of no doubt."""
        truth = exact(TWO_OF_THREE, THREE_GROUPS)
        together = truth.assignments[:, 1] == truth.assignments[:, 5]
        probability = float(truth.probabilities[together].sum())
        found = {
            modes: of_three_groups(method, modes).posterior.co_clustering()[1, 5]
            for modes in ("one", "all")
        }
        assert found["all"] == pytest.approx(probability, abs=0.03)
        assert abs(found["one"] - probability) > 0.15

    def test_their_bound_is_below_the_exact_evidence(self) -> None:
        """By what two numberings, of which draws have one, and the guides' shape leave out."""
        total = exact(TWO_OF_THREE, THREE_GROUPS).log_evidence
        one, every = (of_three_groups("svi", modes) for modes in ("one", "all"))
        ratios = log_ratios(every.model.log_density(every.observations), every.posterior)
        error = STANDARD_ERRORS * float(ratios.std()) / math.sqrt(N_DRAWS)
        assert every.objective == pytest.approx(float(ratios.mean()), abs=error)
        assert one.objective + 0.1 < every.objective < total - math.log(2) + error

    def test_draws_are_numbered_alike(self) -> None:
        """The first and the last group keep their components in both explanations."""
        found = of_three_groups("laplace", "all")
        means = found.posterior.draws["means"][0, :, :, 0]
        assert (means[:, 0] < means[:, 1]).double().mean() > 0.99


@pytest.mark.slow
def test_iris_against_gibbs_sampling() -> None:
    """Three components of iris: one for each species, or a small one in the place of one.

    In 128 chains of 22,000 sweeps (seed 3), which went from one to the other and back some 300
    times each way, the rates of going give the first a share of 0.465, with an error of 0.022.
    """
    model = MixtureModel(3, priors=ConjugatePriors())
    table = fit(model, gp.datasets.iris().x, "laplace", "all", seed=1, n_draws=2).modes
    first = table["log_density"] == table["log_density"].max()
    mass, error = np.exp(table["log_evidence"]), table["log_evidence_se"]
    others = math.sqrt(((mass * error)[~first] ** 2).sum()) / mass[~first].sum()
    share = float(table["share"][first].iloc[0])
    error = share * (1 - share) * math.hypot(float(error[first].iloc[0]), others)
    assert abs(share - 0.465) < STANDARD_ERRORS * math.hypot(0.022, error)
    assert error < 0.1


# ---------------------------------------------------------------------- quadrature


def on_a_grid(x: Tensor, means: tuple[float, float]) -> tuple[float, float]:
    """Log evidence, and the share of mean 0 < mean 1, by the trapezium rule over four numbers.

    Weights are Dirichlet(5, 5), means Normal(means, 3), the scale LogNormal(0, 0.3).
    """
    v, m, u = (torch.linspace(*ends, 61).double() for ends in ((-4, 4), (-8, 8), (-1.2, 1.2)))
    weight, log_scale = v.sigmoid()[:, None, None, None], u[:, None, None]
    one, other = m[:, None], m[None]
    joint = 5 * (weight.log() + (-v.sigmoid()).log1p()[:, None, None, None]) + math.lgamma(10)
    joint = joint - 2 * math.lgamma(5) + dist.Normal(0.0, 0.3).log_prob(log_scale)
    joint = (
        joint
        + dist.Normal(means[0], 3.0).log_prob(one)
        + dist.Normal(means[1], 3.0).log_prob(other)
    )
    for point in x.flatten():
        parts = [
            share.log() + dist.Normal(mean, log_scale.exp()).log_prob(point)
            for share, mean in ((weight, one), (1 - weight, other))
        ]
        joint = joint + torch.logaddexp(*parts)
    cell = math.prod(float(axis[1] - axis[0]) for axis in (v, m, m, u))
    joint, rising = joint + math.log(cell), (one < other).expand_as(joint)
    total = joint.flatten().logsumexp(0)
    return float(total), float((joint[rising].logsumexp(0) - total).exp())


@both
def test_a_posterior_under_another_prior_against_quadrature(method: str) -> None:
    """Four numbers, a prior that hardly tells components apart, and seven points."""
    x = groups((3, 4), (-2.5, 2.5), 0.7)
    prior = Priors(
        weights=dist.Dirichlet(torch.full((2,), 5.0).double()),
        means=dist.Normal(torch.tensor([[-0.5], [0.5]]).double(), 3.0),
        scales=dist.LogNormal(0.0, 0.3),
    )
    log_evidence, share = on_a_grid(x, (-0.5, 0.5))
    found = fit(MixtureModel(2, "tied_spherical", prior), x, method, "all", n_draws=4000)
    assert shares(found)[0] == pytest.approx(share, abs=0.02)
    means = found.posterior.draws["means"][0, :, :, 0]
    rising = float((means[:, 0] < means[:, 1]).double().mean())
    assert rising == pytest.approx(share, abs=0.02)
    if method == "laplace":
        error = STANDARD_ERRORS * found.diagnostics["log_evidence_se"]
        assert found.diagnostics["log_evidence"] == pytest.approx(log_evidence, abs=error)
    else:
        assert log_evidence - 0.5 < found.objective < log_evidence


# ---------------------------------------------------------------------- one mode, and none


@both
def test_one_mode_is_all_there_is(method: str) -> None:
    """All of one is one: draws to the last bit."""
    x = clusters(1).x
    one, every = (fit(MixtureModel(2), x, method, m, n_draws=50) for m in ("one", "all"))
    assert every.diagnostics["n_modes"] == one.diagnostics["n_modes"] == 1
    assert every.objective == one.objective
    for name, draws in one.posterior.draws.items():
        assert draws.equal(every.posterior.draws[name])
    assert one.posterior.statistics["log_q"].equal(every.posterior.statistics["log_q"])
    assert one.mixture.means.equal(every.mixture.means)


@both
def test_a_single_component_has_one_mode(method: str) -> None:
    found = fit(MixtureModel(1), clusters(1).x, method, "all", n_draws=5)
    assert found.diagnostics["n_modes"] == 1


@pytest.mark.filterwarnings("ignore:(laplace|svi) (is on a spike|found a degenerate)")
@both
def test_where_all_are_on_spikes_there_are_no_draws(method: str) -> None:
    x = torch.tensor([[0.0], [0.0], [0.0], [0.0], [5.0], [5.0], [5.0], [5.0]]).double()
    flat = Priors(scales=dist.Uniform(0.0, 100.0))
    found = fit(MixtureModel(2, "spherical", flat), x, method, "all")
    assert found.status is Status.COLLAPSED
    assert found.posterior is None
    assert found.found_modes is None


@both
def test_the_seed_decides(method: str) -> None:
    one, same = (
        fit(TWO_OF_THREE, THREE_GROUPS, method, "all", n_draws=20, seed=4) for _ in range(2)
    )
    assert one.posterior.draws["means"].equal(same.posterior.draws["means"])
    assert shares(one) == shares(same)


@pytest.mark.filterwarnings("ignore:svi stopped at the step limit")
def test_minibatches_have_modes_too() -> None:
    """Guides are judged by all of the data, whatever their steps have seen."""
    options = {"batch_size": 6, "max_steps": 200, "guide": "normal"}
    found = fit(TWO_OF_THREE, THREE_GROUPS, "svi", "all", **options)
    assert found.diagnostics["n_modes"] == 2
    assert found.objective < exact(TWO_OF_THREE, THREE_GROUPS).log_evidence


def of_galaxies(method: str) -> gp.Fit:
    return fit(MixtureModel(3), gp.datasets.galaxies().x, method, "all", n_draws=9)


def stopping_at(last: float, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Interrupt at so many steps; what is returned gives the number of those that were taken."""
    count = 0

    def counted(self: tqdm, n: float = 1) -> None:
        nonlocal count
        count += 1
        if count == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(tqdm, "update", counted)
    return lambda: count


@cache
def n_steps(method: str) -> int:
    with pytest.MonkeyPatch.context() as monkeypatch:
        taken = stopping_at(math.inf, monkeypatch)
        of_galaxies(method)
    return taken()


@both
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_interrupt_returns_the_best_so_far(
    method: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first climb, in the others, or in the ascents."""
    stopping_at(int(share * n_steps(method)), monkeypatch)
    with pytest.warns(FitWarning, match="interrupted; the best state so far is kept"):
        found = of_galaxies(method)
    assert found.status is Status.INTERRUPTED
    assert found.mixture.means.isfinite().all()
    assert found.posterior.statistics["log_q"].isfinite().all()


# ---------------------------------------------------------------------- what is said


def test_a_mode_of_more_evidence_is_told_of() -> None:
    """The likeliest solution of the galaxies is not where most of the posterior is."""
    with pytest.warns(FitWarning, match=r"svi describes one of .* nats more evidence"):
        found = gp.fit(MixtureModel(3), gp.datasets.galaxies().x, "svi")
    assert found.modes["described"].tolist()[:2] == [False, True]
    assert found.modes["described"].sum() == 1
    assert found.converged


@both
def test_numberings_beyond_those_that_are_climbed_to_are_told_of(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numberings of three clusters: with two of them described, the others keep their shares."""
    x = clusters(1, 30, k=3, separation=8).x
    model = MixtureModel(3, priors=ConjugatePriors(concentration=[2.0, 2.5, 3.0]))
    every = fit(model, x, method, "all", n_draws=50)
    assert every.diagnostics["n_modes"] >= 6
    assert every.modes["described"].all()
    monkeypatch.setattr("gmm_pyro.inference.modes.places.MOST_NUMBERED", 2)
    with pytest.warns(FitWarning, match=r"describes 2 of \d modes.*; take a sampler"):
        some = fit(model, x, method, "all", n_draws=50)
    assert some.modes["described"].sum() == 2
    assert some.diagnostics["modes_share"] == pytest.approx(sum(shares(every)[:2]), abs=0.05)
    assert shares(some)[:6] == pytest.approx(shares(every)[:6], abs=0.05)


def test_far_modes_are_not_told_of() -> None:
    modes = FoundModes.of(
        [FoundMode(0.0, 0.0, described=True), FoundMode(0.0, -10.1, described=False)]
    )
    assert modes.figures() == {"n_modes": 1, "modes_share": 1.0}
    assert modes.in_words() is None


def test_what_is_described_is_told_of_however_far() -> None:
    modes = FoundModes.of(
        [FoundMode(0.0, -30.0, described=True), FoundMode(0.0, 0.0, described=False)]
    )
    assert modes.frame()["behind"].tolist() == [0.0, 30.0]
    assert "30.0 nats more evidence" in modes.in_words()


@pytest.mark.parametrize("method", ["laplace", "svi"])
def test_other_words_than_one_and_all_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="modes must be one of one, all; got 'al'"):
        gp.fit(MixtureModel(2), clusters().x, method, modes="al")


@both
def test_a_start_of_one_s_own_does_not_go_with_all(method: str) -> None:
    data = clusters()
    with pytest.raises(ValueError, match="modes='all' .*takes no start"):
        fit(MixtureModel(2), data.x, method, "all", start=data.labels)


def test_pyro_s_engine_has_no_such_option() -> None:
    with pytest.raises(gp.OptionError, match="method 'svi:enumerated' has no option 'modes'"):
        gp.fit(MixtureModel(2), clusters().x, "svi", modes="all", engine="enumerated")


def test_too_many_numbers_for_a_hessian_are_refused() -> None:
    with pytest.raises(ValueError, match="modes='all' takes at most 2000 unconstrained numbers"):
        fit(MixtureModel(6, "diag"), normal(20, 200), "svi", "all", guide="normal")


# ---------------------------------------------------------------------- mixtures of parts


def test_a_mixture_of_gaussians_is_that_of_torch() -> None:
    centres, roots = normal(3, 4), 0.3 * normal(3, 4, 4, seed=1).tril(-1)
    roots = roots + torch.diag_embed(normal(3, 4, seed=2).exp())
    weights = [0.5, 0.2, 0.3]
    mixed = Mixed([Around(*part) for part in zip(centres, roots, strict=True)], weights)
    expected = MixtureSameFamily(
        Categorical(torch.tensor(weights).double()), MultivariateNormal(centres, scale_tril=roots)
    )
    at = 2 * normal(20, 4, seed=3)
    torch.testing.assert_close(mixed.log_density(at), expected.log_prob(at))
    assert log_volume(roots[0]) == pytest.approx(
        -float(MultivariateNormal(centres[0], scale_tril=roots[0]).log_prob(centres[0]))
    )
    drawn = mixed.draws(20_000, torch.Generator().manual_seed(0))
    error = expected.stddev / math.sqrt(20_000)
    assert ((drawn.mean(0) - expected.mean).abs() < STANDARD_ERRORS * error).all()


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_draws_are_as_many_as_asked_for(count: int) -> None:
    for weights in itertools.permutations([0.6, 0.3, 0.099, 0.001]):
        counts = apportioned(count, weights)
        assert sum(counts) == count
        assert all(abs(c - count * w) < 1 for c, w in zip(counts, weights, strict=True))
