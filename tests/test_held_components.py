"""Claims about components of which something is held, by densities of what is held given points."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from gmm_pyro import ConjugatePriors
from gmm_pyro.covariance import CovarianceFamily, Statistics
from gmm_pyro.model.beside_fixed import MixingBeside
from gmm_pyro.model.held_components import HeldComponents
from gmm_pyro.model.mixing import Mixing
from gmm_pyro.model.normal_wishart import NormalWishart
from oracles import STANDARD_ERRORS, close, every_class, normal, numbers

PSI = numbers([[2.0, 0.5], [0.5, 1.0]])
MEAN, WIDTHS = numbers([0.7, -0.4]), numbers([1.3, 0.6])


def posterior(family: CovarianceFamily) -> NormalWishart:
    """Of two components, the first with five points and the second with none."""
    prior = ConjugatePriors(mean=[0.5, -1.0], mean_strength=0.3, dof=6.5, scale=PSI)
    found = prior.scaled_to(normal(9, 2)).conjugate(family, 2).components
    assert isinstance(found, NormalWishart)
    x = normal(5, 2, seed=3)
    second = family.compress(torch.stack([x.T @ x, 0 * PSI]))[None]
    first = torch.stack([x.sum(0), 0 * x[0]])[None]
    zero = torch.zeros(2, dtype=torch.float64)
    return found.given(
        Statistics(zero[:1], numbers([[5.0, 0.0]]), first, family.pooled(second), zero)
    )


def held(family: CovarianceFamily, *, mean: bool, covariance: bool) -> HeldComponents:
    """Of the first component the mean, or the covariance, or all covariances if it is shared."""
    means = torch.full((1, 2, 2), math.nan, dtype=torch.float64)
    factor = family.fit(family.compress(torch.diag(WIDTHS.square())), 0 * WIDTHS)
    factors = torch.full((1, *family.factor_shape(2, 2)), math.nan, dtype=torch.float64)
    if mean:
        means[0, 0] = MEAN
    if covariance:
        factors[0, 0] = factor
    return HeldComponents(means, factors)


def log_density_of_mean(given: NormalWishart, family: CovarianceFamily) -> float:
    """Student's distribution of the first mean, with the covariance integrated out."""
    dof, kappa = float(given.dof[0, 0]), float(given.mean_strength[0, 0])
    dof -= family.proper_dof(2)
    scale = given.scale[0, 0].numpy() / (kappa * dof)
    centre, at = given.mean[0, 0].numpy(), MEAN.numpy()
    if scale.shape == (2,):
        return float(stats.t.logpdf(at, dof, centre, scale**0.5).sum())
    shape = scale if scale.ndim == 2 else scale * np.eye(2)
    return float(stats.multivariate_t.logpdf(at, centre, shape, dof))


def log_density_of_precision(given: NormalWishart, factor: Tensor) -> Tensor:
    """Wishart's, or gamma distributions."""
    wishart = given.family.precision_prior(given.dof[0, 0], given.scale[0, 0])
    return wishart.log_prob(given.family.precision(factor)).sum()


@every_class
class TestWhatIsHeldIsSummedLikePoints:
    def gain(self, family: CovarianceFamily, *, mean: bool, covariance: bool) -> Tensor:
        given = posterior(family)
        found = held(family, mean=mean, covariance=covariance)
        return found.log_normaliser(given)[0] - given.log_normaliser[0]

    def test_nothing(self, family: CovarianceFamily) -> None:
        close(self.gain(family, mean=False, covariance=False), numbers(0.0))

    def test_a_mean(self, family: CovarianceFamily) -> None:
        expected = log_density_of_mean(posterior(family), family)
        close(self.gain(family, mean=True, covariance=False), numbers(expected))

    def test_a_covariance(self, family: CovarianceFamily) -> None:
        factor = held(family, mean=False, covariance=True).factor[0, 0]
        expected = log_density_of_precision(posterior(family), factor)
        close(self.gain(family, mean=False, covariance=True), expected)

    def test_both(self, family: CovarianceFamily) -> None:
        given, factor = posterior(family), held(family, mean=True, covariance=True).factor[0, 0]
        covariance = family.dense(factor, 2).numpy() / float(given.mean_strength[0, 0])
        centre = given.mean[0, 0].numpy()
        of_mean = stats.multivariate_normal.logpdf(MEAN.numpy(), centre, covariance)
        expected = log_density_of_precision(given, factor) + of_mean
        close(self.gain(family, mean=True, covariance=True), expected)


@every_class
def test_draws_have_what_is_held(family: CovarianceFamily) -> None:
    both = held(family, mean=True, covariance=True)
    drawn = both.draw(posterior(family), torch.Generator().manual_seed(0))
    assert drawn.means[0, 0].equal(MEAN)
    assert drawn.factor[0, 0].equal(both.factor[0, 0])
    assert drawn.means.isfinite().all()
    assert drawn.factor.isfinite().all()


@pytest.mark.parametrize("counts", [[2.0, 1.0, 3.0], [0.0, 0.0, 4.0]])
def test_weights_beside_one_that_is_held(counts: list[float]) -> None:
    """Log p(assignment, held weight) is an integral over one of the two that are free."""
    alpha, at = numbers([2.0, 1.5, 3.0]), 0.5
    w = torch.linspace(0, 1 - at, 40_001, dtype=torch.float64)[1:-1]
    weights = torch.stack([torch.full_like(w, at), w, 1 - at - w], 1)
    prior = torch.distributions.Dirichlet(alpha, validate_args=False)
    log_p = prior.log_prob(weights) + weights.log() @ numbers(counts)
    expected = log_p.logsumexp(0) + (w[1] - w[0]).log()
    mixing = MixingBeside(alpha, numbers([at, math.nan, math.nan]))
    close(mixing.log_probability(numbers([counts]))[0], expected, 1e-5)
    whole = MixingBeside(alpha, numbers([0.5, 0.3, 0.2]))
    at_all = prior.log_prob(whole.held) + whole.held.log() @ numbers(counts)
    close(whole.log_probability(numbers([counts]))[0], at_all)


def test_free_weights_share_what_is_left() -> None:
    """Their means are those of a Dirichlet distribution of the shares."""
    counts = numbers([[2.0, 1.0, 3.0]]).expand(4000, 3)
    mixing = MixingBeside(numbers([2.0, 1.5, 3.0]), numbers([0.4, math.nan, math.nan]))
    drawn = mixing.draw(counts, torch.Generator().manual_seed(0)).exp()
    assert (drawn[:, 0] - 0.4).abs().max() < 1e-12
    assert (drawn.sum(1) - 1).abs().max() < 1e-12
    error = float(drawn[:, 1].std()) / len(drawn) ** 0.5
    assert abs(float(drawn[:, 1].mean()) - 0.6 * 2.5 / 8.5) < STANDARD_ERRORS * error


def test_nothing_held_is_the_usual_distribution() -> None:
    mixing = Mixing(numbers([1.0, 2.0]))
    assert MixingBeside.beside(mixing, None) is mixing
