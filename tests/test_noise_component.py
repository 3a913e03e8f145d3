"""A component of noise: held to SciPy, to a textbook, and to exact sums over all assignments."""

from __future__ import annotations

import itertools
import math
import pickle
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceEnum_ELBO
from scipy.special import betaln, gammaln, logsumexp
from scipy.stats import multivariate_normal
from sklearn.base import clone
from torch import Tensor

import gmm_pyro as gp
from gmm_pyro.calibration import geweke, simulation_based_calibration
from gmm_pyro.covariance import CovarianceFamily, Parameters
from gmm_pyro.data.observations import observe
from gmm_pyro.estimator import PyroGaussianMixture
from gmm_pyro.inference.climb.hessian import hessian
from gmm_pyro.mixture.noise_component import NoiseComponent, beside_noise
from gmm_pyro.model.declaration import require_conjugate
from gmm_pyro.posterior.convergence import ess_mean
from gmm_pyro.reduction.sums import log_likelihood, reduce, reduce_given
from gmm_pyro.reduction.theta import Theta, theta_of
from oracles import FAILURE_RATE, ROUNDING, STANDARD_ERRORS, close, every_class, normal, numbers
from runs import quietly

BOX = gp.UniformBox([-6.0, -5.0], [7.0, 6.0])
WIDE = gp.WideGaussian([[30.0, 3.0], [3.0, 20.0]], mean=[0.5, 0.0])
KINDS = pytest.mark.parametrize("noise", [BOX, WIDE], ids=["box", "gaussian"])
DRAWN = ("laplace", "svi", "gibbs")


def contaminated(n: int = 240, k: int = 3, share: float = 0.2, seed: int = 0) -> tuple[Any, Any]:
    """Clusters on a circle, and points that are anywhere in a wide box: x and labels."""
    m, angle = round(n * share), torch.arange(k) * (2 * math.pi / k)
    labels = torch.arange(n - m) % k
    centres = 4 * torch.stack([angle.cos(), angle.sin()], 1).double()
    inside = centres[labels] + 0.6 * normal(n - m, 2, seed=seed)
    uniform = torch.rand(m, 2, generator=torch.Generator().manual_seed(seed)).double()
    return torch.cat([inside, 20 * uniform - 10]), torch.cat([labels, torch.full((m,), -1)])


def parameters_of(family: CovarianceFamily, k: int = 3, weight: float = 0.15) -> Parameters:
    root = 0.4 * normal(k, 2, 2, seed=4) + torch.eye(2, dtype=torch.float64)
    compact = family.pooled(family.compress(root @ root.mT)[None])
    factor = family.fit(compact, torch.zeros(2, dtype=torch.float64))
    log_odds = numbers([weight]).logit()
    return Parameters(
        normal(1, k, seed=5).log_softmax(1), 1.5 * normal(1, k, 2, seed=3), factor, log_odds
    )


def noise_density(noise: NoiseComponent, x: np.ndarray) -> np.ndarray:
    """By NumPy and SciPy."""
    if isinstance(noise, gp.UniformBox):
        low, high = (end.numpy() for end in noise.arrays)
        return np.where(((x >= low) & (x <= high)).all(1), 1 / np.prod(high - low), 0.0)
    mean, covariance = (value.numpy() for value in noise.arrays)
    return np.asarray(multivariate_normal(mean, covariance).pdf(x))


def dense(mixture: gp.GaussianMixture, x: np.ndarray) -> np.ndarray:
    """Shares of the components and of noise in the density of every point, shape (n, k + 1)."""
    w = (1 - mixture.noise_weight) * mixture.weights.numpy()
    parts = zip(w, mixture.means.numpy(), mixture.covariance_matrices().numpy(), strict=True)
    columns = [share * multivariate_normal(mean, cov).pdf(x) for share, mean, cov in parts]
    assert mixture.noise_component is not None
    noise = mixture.noise_weight * noise_density(mixture.noise_component, x)
    return np.stack([*columns, noise], 1)


# ---------------------------------------------------------------------- densities


@every_class
@KINDS
def test_densities_and_probabilities_are_scipys(
    family: CovarianceFamily, noise: NoiseComponent
) -> None:
    mixture = gp.GaussianMixture.from_parameters(
        family, parameters_of(family), noise_component=noise
    )
    x = np.concatenate([2 * normal(40, 2).numpy(), [[30.0, 0.0], [-5.5, 5.5]]])
    expected = dense(mixture, x)
    close(mixture.log_prob(x).exp(), expected.sum(1))
    close(mixture.responsibilities(x), expected[:, :3] / expected.sum(1, keepdims=True))
    close(mixture.noise_probability(x), expected[:, 3] / expected.sum(1))
    labels = expected.argmax(1)
    assert mixture.predict(x).tolist() == np.where(labels == 3, -1, labels).tolist()


def test_a_point_very_far_off_is_noise_of_a_gaussian_and_not_of_a_box() -> None:
    far = [[1e9, -1e9], [-3e12, 0.0]]
    for noise, expected in ((WIDE, [-1, -1]), (BOX, [2, 2])):
        mixture = gp.GaussianMixture(
            [0.2, 0.3, 0.5],
            normal(3, 2),
            [1.0, 1.0, 4.0],
            "spherical",
            noise_component=noise,
            noise_weight=0.1,
        )
        assert mixture.predict(far).tolist() == expected
    logits = mixture.log_prob([[1e9, -1e9]])
    assert logits.isfinite().all()


def test_what_is_missing_is_integrated_out_of_the_noise_too() -> None:
    family, nan = gp.FAMILIES["full"], math.nan
    for noise in (BOX, WIDE):
        whole = gp.GaussianMixture.from_parameters(
            family, parameters_of(family), noise_component=noise
        )
        x = normal(10, 2)
        holes = torch.stack([x[:, 0], torch.full((10,), nan).double()], 1)
        close(whole.log_prob(holes), whole.marginal([0]).log_prob(x[:, :1]))
        close(whole.log_prob([[nan, nan]]), numbers([0.0]))


def test_measurement_noise_widens_a_gaussian_and_not_a_box() -> None:
    family, sd = gp.FAMILIES["full"], 0.7
    for noise in (BOX, WIDE):
        mixture = gp.GaussianMixture.from_parameters(
            family, parameters_of(family), noise_component=noise
        )
        x = normal(8, 2)
        eye = sd**2 * torch.eye(2).double()
        wider = gp.GaussianMixture(
            mixture.weights,
            mixture.means,
            mixture.covariances + eye,
            noise_weight=mixture.noise_weight,
            noise_component=noise
            if noise is BOX
            else gp.WideGaussian(WIDE.covariance + eye, WIDE.mean),
        )
        close(mixture.log_prob(x, np.full((8, 2), sd)), wider.log_prob(x))


@KINDS
def test_a_conditional_is_the_joint_over_the_marginal(noise: NoiseComponent) -> None:
    family = gp.FAMILIES["full"]
    mixture = gp.GaussianMixture.from_parameters(
        family, parameters_of(family), feature_names=("a", "b"), noise_component=noise
    )
    known, rest = 0.8, torch.linspace(-4, 4, 9).double()
    pairs = torch.stack([torch.full_like(rest, known), rest], 1)
    given = mixture.conditional(["a"], [known])
    expected = mixture.log_prob(pairs) - mixture.marginal(["a"]).log_prob([[known]])
    close(given.log_prob(rest), expected)
    turned = mixture.in_order_of(["b", "a"])
    close(turned.log_prob(pairs[:, [1, 0]]), mixture.log_prob(pairs))
    close(mixture.permute([2, 0, 1]).log_prob(pairs), mixture.log_prob(pairs))


@KINDS
def test_a_conditional_beside_what_noise_alone_explains(noise: NoiseComponent) -> None:
    """Clusters keep finite weights, however little of the point they explain."""
    wide = gp.UniformBox([-99.0, -99.0], [99.0, 99.0]) if noise is BOX else noise
    mixture = gp.GaussianMixture(
        [0.5, 0.5], [[0.0, 0.0], [5.0, 5.0]], [1.0, 1.0], "spherical",
        noise_component=wide, noise_weight=0.1,
    )  # fmt: skip
    for value in (20.0, 60.0):
        given = mixture.conditional([1], [value])
        assert given.weights.isfinite().all()
        assert given.noise_weight == 1.0
        assert given.log_prob([[0.0], [3.0]]).isfinite().all()


def test_a_box_far_from_zero_is_as_wide_as_it_is() -> None:
    box = gp.UniformBox([1e6], [1e6 + 0.01])
    mixture = gp.GaussianMixture([1.0], [[1e6]], [[[1.0]]], noise_component=box, noise_weight=0.5)
    assert mixture.noise_probability([[1e6 + 0.005]]) > 0.9
    assert mixture.noise_probability([[1e6 - 0.001], [1e6 + 0.011]]).tolist() == [0.0, 0.0]


@KINDS
def test_samples_have_the_moments_of_the_mixture(noise: NoiseComponent) -> None:
    """Means and second moments of 20,000 points, each within four standard errors."""
    family = gp.FAMILIES["full"]
    mixture = gp.GaussianMixture.from_parameters(
        family, parameters_of(family), noise_component=noise
    )
    n, sample = 20_000, mixture.sample_labelled(20_000, seed=1)
    z = sample.x - mixture.mean()
    squares = torch.stack([z[:, 0] ** 2, z[:, 1] ** 2, z[:, 0] * z[:, 1]], 1)
    covariance = mixture.covariance()
    expected = torch.stack([covariance[0, 0], covariance[1, 1], covariance[0, 1]])
    found = torch.cat([z, squares - expected], 1)
    assert (found.mean(0).abs() < STANDARD_ERRORS * found.std(0) / n**0.5).all()
    share = float((sample.labels == -1).double().mean())
    error = math.sqrt(mixture.noise_weight * (1 - mixture.noise_weight) / n)
    assert abs(share - mixture.noise_weight) < STANDARD_ERRORS * error


def test_criteria_count_the_weight_and_the_volume_of_a_box_of_data() -> None:
    """As mclust does: two parameters of noise over the data's box."""
    x, _ = contaminated()
    free = gp.fit(gp.MixtureModel(3), x).mixture.n_parameters
    for noise, more in (("uniform", 2), (BOX, 1), (WIDE, 1)):
        with quietly():
            mixture = gp.fit(gp.MixtureModel(3, noise_component=noise), x).mixture
        assert mixture.n_parameters == free + more
        criteria = mixture.criteria(x)
        assert criteria.log_likelihood == pytest.approx(float(mixture.log_prob(x).sum()))
        expected = dense(mixture, x.numpy())
        sureness = np.log(expected.max(1) / expected.sum(1)).sum()
        assert criteria.log_sureness == pytest.approx(sureness)


# ---------------------------------------------------------------------- the reduction


@every_class
@pytest.mark.parametrize("centred", [False, True])
def test_the_reduction_is_the_gradient(family: CovarianceFamily, *, centred: bool) -> None:
    """Sums are moments of dense responsibilities, and autograd has the slope by the log odds."""
    x, p = 2 * normal(60, 2, seed=8), parameters_of(family)
    data = beside_noise(observe(x, sample_weight=torch.rand(60) + 0.5), BOX)
    theta = Theta.about_means(family, p) if centred else theta_of(family, p, data)
    found = reduce(data, theta)
    mixture = gp.GaussianMixture.from_parameters(family, p, noise_component=BOX)
    expected, u = dense(mixture, x.numpy()), data.weights.numpy()
    close(found.log_norm, [u @ np.log(expected.sum(1))])
    share = expected / expected.sum(1, keepdims=True) * u[:, None]
    close(found.counts, [share[:, :3].sum(0)])
    assert found.noise is not None
    close(found.noise, [share[:, 3].sum()])
    z = x.numpy()[:, None] - theta.reference.expand(p.means.shape)[0].numpy()
    close(found.first, [np.einsum("nk,nkd->kd", share[:, :3], z)])
    odds = p.log_odds.clone().requires_grad_()
    log_likelihood(data, family, replace(p, log_odds=odds)).sum().backward()
    weight = mixture.noise_weight
    close(odds.grad, [share[:, 3].sum() - weight * u.sum()])


@every_class
def test_the_hessian_is_the_derivative_of_the_gradient(family: CovarianceFamily) -> None:
    x, _ = contaminated(60)
    model = gp.MixtureModel(2, family.name, noise_component="uniform")
    density = model.log_density(x)
    vector = 0.3 * normal(density.dimension, seed=2)
    found = hessian(density, vector)

    def gradient(at: Tensor) -> Tensor:
        at = at.clone().requires_grad_()
        return torch.autograd.grad(density(at[None]).sum(), at)[0]

    step = 1e-5  # errors of step² and of ε / step, both of the size of 1e-10 of the entries
    columns = [
        (gradient(vector + step * e) - gradient(vector - step * e)) / (2 * step)
        for e in torch.eye(len(vector)).double()
    ]
    close(found, torch.stack(columns), 1e-7)


# ---------------------------------------------------------------------- fits


def test_em_is_monotone_and_takes_the_steps_of_the_textbook() -> None:
    """Against EM that is written out, Bishop (2006), §9.2.2, with one density that is known."""
    x, labels = contaminated()
    model = gp.MixtureModel(3, noise_component="uniform")
    with quietly():
        fit = gp.fit(model, x, start=labels.numpy(), max_steps=12, tolerance=0.0)
    points = x.numpy()
    box = 1 / np.prod(points.max(0) - points.min(0))
    share = (labels.numpy()[:, None] == np.array([0, 1, 2, -1])).astype(float)
    history = []
    for _ in range(13):
        weight = share.mean(0)
        parts = [weight[3] * np.full(len(points), box)]
        for j in reversed(range(3)):
            r = share[:, j] / share[:, j].sum()
            mean = r @ points
            covariance = ((points - mean) * r[:, None]).T @ (points - mean)
            parts.insert(0, weight[j] * multivariate_normal(mean, covariance).pdf(points))
        dense = np.stack(parts, 1)
        history.append(np.log(dense.sum(1)).sum())
        share = dense / dense.sum(1, keepdims=True)
    close(fit.history, history, 1e-9)
    assert (fit.history.diff() > -ROUNDING * fit.history[:-1].abs()).all()


@pytest.mark.parametrize("noise", ["uniform", gp.WideGaussian([40.0, 40.0])], ids=str)
@pytest.mark.parametrize("family", ["full", "tied", "spherical"])
def test_outliers_are_found_and_do_not_move_the_clusters(family: str, noise: Any) -> None:
    x, labels = contaminated(seed=1)
    with quietly():
        fit = gp.fit(gp.MixtureModel(3, family, noise_component=noise), x)
        plain = gp.fit(gp.MixtureModel(3, family), x)
    inside = labels >= 0
    found = fit.mixture.predict(x)
    assert ((found == -1) == ~inside).double().mean() > 0.9
    assert gp.metrics.accuracy(labels[inside], found[inside]) > 0.9
    clean = gp.fit(gp.MixtureModel(3, family), x[inside]).mixture.covariance_matrices()
    spread, widened = (
        fit.mixture.covariance_matrices().logdet(),
        plain.mixture.covariance_matrices().logdet(),
    )
    assert (spread.sort().values - clean.logdet().sort().values).abs().max() < 0.6
    assert widened.max() > clean.logdet().max() + 1.5
    assert fit.mixture.noise_weight == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("method", ["em", "gradient", "map", "laplace", "svi", "gibbs"])
def test_every_method_has_it(method: str) -> None:
    """From labels, all of them come to the same clusters and the same weight of noise."""
    x, labels = contaminated(seed=2)
    options: dict[str, Any] = {"start": labels.numpy()}
    options |= {"n_draws": 200} if method in DRAWN else {}
    with quietly():
        fit = gp.fit(gp.MixtureModel(3, noise_component="uniform"), x, method, **options)
    assert fit.converged
    assert fit.mixture.noise_weight == pytest.approx(0.2, abs=0.05)
    assert gp.metrics.accuracy(labels, fit.mixture.predict(x)) > 0.95
    if fit.posterior is None:
        return
    posterior = fit.posterior
    weight = posterior.draws["noise_weight"]
    assert weight.shape == (posterior.n_chains, posterior.n_draws)
    rel = 1e-6 if method == "gibbs" else 0.1  # others have the mixture at a mode, or near one
    assert float(weight.mean()) == pytest.approx(fit.mixture.noise_weight, rel=rel)
    data = fit.to_arviz(n_prior_draws=20)
    assert data.posterior["noise_weight"].dims == ("chain", "draw")
    lp = data.sample_stats["lp"].values - data.posterior["log_likelihood"].values
    assert np.allclose(lp, data.posterior["log_prior"].values)
    assert posterior.assignments().draws.unique().tolist() == [-1, 0, 1, 2]
    assert posterior.partition(max_draws=50).n_clusters == 4
    close(posterior.predictive_density(x[:4]).mean.log(), fit.mixture.log_prob(x[:4]), 0.2)


def test_kmeans_refuses_it() -> None:
    x, _ = contaminated(40)
    with pytest.raises(ValueError, match="kmeans puts every point into a cluster"):
        gp.fit(gp.MixtureModel(3, noise_component="uniform"), x, "kmeans")


def test_labels_say_that_a_point_is_no_noise() -> None:
    x, labels = contaminated(seed=3)
    known = torch.full_like(labels, -1)
    outlier = int((labels == -1).nonzero()[0])
    known[outlier] = 1
    with quietly():
        model = gp.MixtureModel(3, noise_component="uniform")
        fit = gp.fit(model, x, labels=known)
    assert fit.labels[outlier] == 1
    assert fit.mixture.predict(x)[outlier] == -1  # where the label is not told
    given = fit.mixture.responsibilities(x, labels=known)[outlier]
    assert given.tolist() == [0.0, 1.0, 0.0]


def test_beside_what_is_fixed() -> None:
    x, labels = contaminated(seed=4)
    means = torch.full((3, 2), math.nan)
    means[0] = torch.tensor([4.0, 0.0])
    model = gp.MixtureModel(3, noise_component="uniform")
    for method in ("em", "map", "gibbs"):
        with quietly():
            more = {"n_draws": 100, "max_doublings": 0} if method == "gibbs" else {}
            fit = gp.fit(model, x, method, fixed={"means": means}, **more)
        assert fit.mixture.means[0].tolist() == [4.0, 0.0]
        assert 0.1 < fit.mixture.noise_weight < 0.3


def test_names_of_a_frame_say_which_feature_a_number_is_of() -> None:
    x, _ = contaminated(120, k=2, seed=5)
    frame = pd.DataFrame(x.numpy(), columns=["a", "b"])[["b", "a"]] * [20.0, 1.0]
    names = ["a", "b"]
    box = gp.UniformBox(frame[names].min(), frame[names].max())
    wide = gp.WideGaussian(4 * frame[names].cov(), frame[names].mean())
    plain = gp.UniformBox(frame.min().to_numpy(), frame.max().to_numpy())
    same = gp.WideGaussian(4 * frame.cov().to_numpy())
    for named, expected in ((box, plain), (wide, same)):
        found, other = (
            gp.fit(gp.MixtureModel(2, noise_component=noise), frame).mixture
            for noise in (named, expected)
        )
        close(found.log_prob(frame), other.log_prob(frame))
        again = gp.GaussianMixture(
            other.weights, other.means, other.covariances, feature_names=["b", "a"],
            noise_component=named, noise_weight=other.noise_weight,
        )  # fmt: skip
        close(again.log_prob(frame), other.log_prob(frame))
    with pytest.raises(ValueError, match="lacks|no feature|'c'"):
        gp.fit(gp.MixtureModel(2, noise_component=box), frame.rename(columns={"a": "c"}))
    with pytest.raises(ValueError, match="names in one order"):
        gp.UniformBox(frame[names].min(), frame.max())


def test_a_start_without_any_noise_does_not_keep_it_out() -> None:
    x, _ = contaminated(seed=3)
    plain = gp.fit(gp.MixtureModel(3), x).mixture
    none = gp.GaussianMixture(
        plain.weights, plain.means, plain.covariances, noise_component=BOX, noise_weight=0.0
    )
    with quietly():
        fit = gp.fit(gp.MixtureModel(3, noise_component="uniform"), x, start=none)
    assert fit.mixture.noise_weight > 0.1


@pytest.mark.parametrize("method", ["em", "map"])
def test_noise_that_reaches_no_point_is_a_problem(method: str) -> None:
    x, _ = contaminated(seed=3)
    far = gp.UniformBox([1e5, 1e5], [1e6, 1e6])
    with pytest.warns(gp.FitWarning, match="the noise component reaches no point"):
        fit = gp.fit(gp.MixtureModel(3, noise_component=far), x, method)
    assert "the noise component reaches no point" in fit.diagnostics["problems"]


def test_a_comparison_says_how_many_held_out_points_noise_does_not_reach() -> None:
    x, _ = contaminated(seed=1)
    small = gp.UniformBox([-5.0, -5.0], [5.0, 5.0])
    found = gp.compare(gp.MixtureModel(3, noise_component=small), x, ["em"], test_size=0.5)
    assert found.held_out is not None
    count = int((found.held_out.x.abs() > 5).any(1).sum())
    assert any(note.startswith(f"{count} of 120 held-out points") for note in found.notes["em"])
    wide = gp.compare(gp.MixtureModel(3, noise_component=WIDE), x, ["em"], test_size=0.5)
    assert not any("held-out" in note for note in wide.notes.get("em", ()))


# ---------------------------------------------------------------------- the program


@every_class
@KINDS
def test_the_program_has_the_log_density(family: CovarianceFamily, noise: NoiseComponent) -> None:
    """Enumerated, weighted, and collapsed; with a label and a missing value."""
    x = 2 * normal(20, 2, seed=1)
    x[3, 0] = math.nan
    labels = torch.full((20,), -1)
    labels[7] = 1
    data = observe(x, n_components=3, missing="integrate", labels=labels)
    model = gp.MixtureModel(3, family.name, noise_component=noise).specialise(data)
    density = model.log_density(data)
    vector = 0.3 * normal(1, density.dimension, seed=3)
    values = {name: value[0] for name, value in density.constrain(vector).items()}

    def guide(*_: Any, **__: Any) -> None:
        for name, value in values.items():
            pyro.sample(name, pyro.distributions.Delta(value, event_dim=value.ndim))

    expected = float(density(vector, jacobian=False))
    for more in ({}, {"sample_weight": torch.ones(20)}, {"collapsed": True}):
        elbo: Any = Trace_ELBO() if more else TraceEnum_ELBO(max_plate_nesting=1)
        found = -elbo.loss(model, guide, x, labels=labels, **more)
        assert found == pytest.approx(expected, abs=1e-8)


def test_the_program_draws_noise_where_there_are_no_data() -> None:
    model = gp.MixtureModel(
        1, "spherical", noise_component=gp.UniformBox([100.0], [101.0], concentration=(5, 5))
    )
    pyro.set_rng_seed(0)
    trace = pyro.poutine.trace(model).get_trace(n=400)
    x, weight = trace.nodes["x"]["value"][:, 0], float(trace.nodes["noise_weight"]["value"])
    there = (x >= 100) & (x <= 101)
    assert (trace.nodes["assignment"]["value"][there] == 1).all()
    error = math.sqrt(weight * (1 - weight) / 400)
    assert abs(float(there.double().mean()) - weight) < STANDARD_ERRORS * error
    with pytest.raises(ValueError, match="low and high from data"):
        gp.MixtureModel(1, noise_component="uniform")(n=5)


def test_beside_a_prior_program() -> None:
    import pyro.distributions as dist

    def program() -> dict[str, Tensor]:
        spread = pyro.sample("spread", dist.LogNormal(numbers(0.0), numbers(0.5)))
        means = pyro.sample(
            "means", dist.Normal(numbers(0.0), 4 * spread).expand([2, 2]).to_event(2)
        )
        scales = pyro.sample("scales", dist.LogNormal(numbers(0.0), 1.0).expand([2, 2]).to_event(2))
        weights = pyro.sample("weights", dist.Dirichlet(torch.full((2,), 2.0).double()))
        return {"weights": weights, "means": means, "scales": scales}

    x, _ = contaminated(120, k=2, seed=5)
    with quietly():
        fit = gp.fit(gp.MixtureModel(2, "diag", program, noise_component="uniform"), x, "laplace")
    assert fit.mixture.noise_weight == pytest.approx(0.2, abs=0.07)
    assert set(fit.to_arviz(n_prior_draws=5).posterior) >= {"spread", "noise_weight"}


# ---------------------------------------------------------------------- exactness


def exact(model: gp.MixtureModel, x: Tensor) -> dict[str, Any]:
    """Sums over all assignments of a few points, those to noise among them."""
    k, n, data = model.n_components, len(x), observe(x)
    model = model.specialise(data)
    assert model.noise is not None
    prior, (a, b) = require_conjugate(model, "this", data.origin), model.noise.concentration
    z = np.array(list(itertools.product(range(k + 1), repeat=n)))
    hot = torch.nn.functional.one_hot(torch.tensor(z), k + 1).mT.double()
    sums = reduce_given(model.family, x - data.origin, hot[:, :k], data.origin)
    log_p = prior.components.log_evidence(sums).numpy()
    counts, alpha = hot.sum(2).numpy(), prior.mixing.concentration.numpy()
    own, of_noise = counts[:, :k], counts[:, k]
    log_p = log_p + gammaln(alpha.sum()) - gammaln(alpha.sum() + own.sum(1))
    log_p = log_p + (gammaln(alpha + own) - gammaln(alpha)).sum(1)
    log_p = log_p + betaln(a + of_noise, b + own.sum(1)) - betaln(a, b)
    log_p = log_p + ((z == k) * np.log(noise_density(model.noise, x.numpy()))).sum(1)
    evidence = logsumexp(log_p)
    p = np.exp(log_p - evidence)
    return {
        "evidence": evidence,
        "weight": p @ ((a + of_noise) / (a + b + n)),
        "noise": p @ (z == k),
        "together": p @ (z[:, 0] == z[:, 1]),
    }


@pytest.mark.parametrize(
    ("family", "noise"),
    [
        ("diag", gp.UniformBox(concentration=(2.0, 3.0))),
        ("full", gp.WideGaussian([9.0, 9.0], concentration=(1.0, 2.0))),
        ("tied", gp.UniformBox(concentration=(2.0, 3.0))),
    ],
    ids=["diag", "full", "tied"],
)
def test_gibbs_has_the_exact_posterior_and_evidence(family: str, noise: NoiseComponent) -> None:
    """Six points, 729 assignments."""
    x = 0.7 * normal(6, 2, seed=1)
    x[:, 0] += numbers([-1.0, -1.0, -1.0, 1.0, 1.0, 3.0])
    model = gp.MixtureModel(2, family, gp.ConjugatePriors(), noise_component=noise)
    expected = exact(model, x)
    with quietly():
        fit = gp.fit(model, x, "gibbs", seed=3)
    assert fit.converged
    assert fit.posterior is not None
    draws = fit.posterior.draws["noise_weight"][..., None].numpy()
    error = draws.std() / math.sqrt(float(ess_mean(draws)[0]))
    assert abs(draws.mean() - expected["weight"]) < STANDARD_ERRORS * error
    noise_of_points = 1 - fit.posterior.assignments().probabilities.sum(1)
    assert (noise_of_points - torch.as_tensor(expected["noise"])).abs().max() < 0.04
    together = float(fit.posterior.co_clustering()[0, 1])
    assert together == pytest.approx(expected["together"], abs=0.05)
    error = fit.evidence.log_evidence_se
    assert abs(fit.log_evidence - expected["evidence"]) < STANDARD_ERRORS * error
    if family == "full":  # of the others its k-hat says that weights have no mean
        with quietly():
            laplace = gp.fit(model, x, "laplace", seed=3)
        assert laplace.diagnostics["evidence_k_hat"] < 0.7
        error = laplace.diagnostics["log_evidence_se"]
        assert abs(laplace.log_evidence - expected["evidence"]) < STANDARD_ERRORS * error


@pytest.mark.parametrize("noise", [BOX, WIDE], ids=["box", "gaussian"])
def test_ranks_and_geweke(noise: NoiseComponent) -> None:
    prior = gp.ConjugatePriors(mean=0.0, spread=torch.ones(2), mean_strength=0.3)
    model = gp.MixtureModel(2, "full", prior, noise_component=noise)
    ranks = simulation_based_calibration(model, n_points=15, n_datasets=60, n_draws=15, seed=1)
    assert "noise_weight" in ranks.passes
    assert all(replace(ranks, failure_rate=FAILURE_RATE).passes.values()), ranks.table
    test = geweke(model, n_points=8, n_chains=300, n_sweeps=20, seed=1)
    assert all(replace(test, failure_rate=FAILURE_RATE).passes.values()), test.table


# ---------------------------------------------------------------------- files, estimator, shell


@KINDS
@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_files_keep_it(noise: NoiseComponent, suffix: str, tmp_path: Any) -> None:
    family, x = gp.FAMILIES["tied"], 3 * normal(30, 2)
    mixture = gp.GaussianMixture.from_parameters(
        family, parameters_of(family), noise_component=replace(noise, concentration=(2.0, 7.0))
    )
    path = mixture.save(tmp_path / f"m.{suffix}")
    again = gp.GaussianMixture.load(path)
    assert again.log_prob(x).equal(mixture.log_prob(x))
    assert again.n_parameters == mixture.n_parameters
    assert again.noise_component is not None
    assert again.noise_component.concentration == (2.0, 7.0)
    copy = pickle.loads(pickle.dumps(mixture))  # noqa: S301 - our own
    assert copy.log_prob(x).equal(mixture.log_prob(x))


def test_a_saved_fit_predicts_with_it(tmp_path: Any) -> None:
    from gmm_pyro.saved_fit import load_fit, predict, save_fit

    x, _ = contaminated(80, k=2)
    frame = pd.DataFrame(x.numpy(), columns=["a", "b"])
    with quietly():
        model = gp.MixtureModel(2, noise_component="uniform")
        fit = gp.fit(model, frame, "svi", n_draws=50)
    save_fit(fit, tmp_path / "fit")
    saved = load_fit(tmp_path / "fit")
    assert saved.facts["noise_component"] == "uniform"
    assert saved.facts["noise_weight"] == pytest.approx(fit.mixture.noise_weight)
    for source in (saved.mixture, saved.posterior()):
        found = predict(source, frame).frame()
        assert (found["label"] == -1).any()
        shares = found.filter(regex="component_|noise")
        assert np.allclose(shares.sum(axis=1), 1)
    table = pd.read_csv(tmp_path / "fit" / "responsibilities.csv")
    assert np.allclose(table.drop(columns="row").sum(axis=1), 1)


def test_the_shell_has_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from gmm_pyro.cli import app

    monkeypatch.chdir(tmp_path)
    x, _ = contaminated(80, k=2)
    pd.DataFrame(x.numpy(), columns=["a", "b"]).to_csv("points.csv", index=False)
    told = ["--components", "2", "--noise-component"]
    done = CliRunner().invoke(app, ["fit", "points.csv", *told, "uniform", "--out", "here"])
    assert done.exit_code == 0, done.output
    n_noise = int((pd.read_csv("here/labels.csv")["label"] == -1).sum())
    assert f"of all, {n_noise} points" in done.output
    done = CliRunner().invoke(app, ["predict", "here", "points.csv", "--out", "there.csv"])
    assert done.exit_code == 0, done.output
    found = pd.read_csv("there.csv")
    assert ((found["label"] == -1) == (found["noise"] > 0.5)).all()
    for command in (["fit", "points.csv"], ["compare", "--data", "points.csv"]):
        done = CliRunner().invoke(app, [*command, *told, "gauss"])
        assert "noise_component must be one of uniform; got 'gauss'" in str(done.exception)


def test_the_estimator_has_it() -> None:
    x, labels = contaminated(seed=6)
    estimator = clone(PyroGaussianMixture(3, noise_component="uniform", random_state=0))
    with quietly():
        found = estimator.fit_predict(x.numpy())
    assert gp.metrics.accuracy(labels, torch.as_tensor(found)) > 0.95
    assert (found == -1).sum() == pytest.approx(48, abs=12)
    shares = estimator.predict_proba(x.numpy())
    assert shares.shape == (240, 3)
    assert (shares.sum(1) < 1 + ROUNDING).all()
    assert estimator.noise_weight_ == pytest.approx(0.2, abs=0.05)
    points, components = estimator.sample(500)
    assert (components == -1).mean() == pytest.approx(0.2, abs=0.1)
    assert (np.diff(components[components >= 0]) >= 0).all()
    single = x.numpy().astype(np.float32)
    assert (estimator.predict(single) == found).mean() > 0.99
    again = clone(estimator).set_params(warm_start=True)
    with quietly():
        again.fit(x.numpy()).set_params(noise_component=None).fit(x.numpy())
    assert again.fit_.mixture.noise_component is None
    assert not hasattr(again, "noise_weight_")
    by_hand = clone(estimator).set_params(random_state=0)
    with quietly():
        by_hand.fit(x.numpy())
    by_hand.noise_weight_ = 0.5
    expected = 0.5 * noise_density(by_hand.fit_.mixture.noise_component, x.numpy())
    assert (np.exp(by_hand.score_samples(x.numpy())) > expected - ROUNDING).all()
    assert by_hand.score(x.numpy()) < estimator.score(x.numpy())
    estimator.means_ = estimator.means_ + 0.0
    assert estimator.score(x.numpy()) == pytest.approx(
        float(estimator.fit_.mixture.log_prob(x).mean())
    )


def test_pictures_show_noise_as_outliers(tmp_path: Any) -> None:
    from gmm_pyro import plots

    x, labels = contaminated(seed=7)
    with quietly():
        fit = gp.fit(gp.MixtureModel(3, noise_component="uniform"), x)
    ax = plots.clusters(fit, x, labels=labels)
    crosses = [c for c in ax.collections if len(c.get_offsets()) == int((fit.labels == -1).sum())]
    assert crosses
    plots.density(fit, x=x)
    ax = plots.density(fit)  # whose regions hold shares of all points, those of noise included
    for (low, high), values in zip((ax.get_xlim(), ax.get_ylim()), x.T, strict=True):
        assert low <= float(values.min()) + 1e-9
        assert high >= float(values.max()) - 1e-9
    wide = torch.cat([x, normal(len(x), 1)], 1)
    with quietly():
        oblique = gp.fit(gp.MixtureModel(3, noise_component="uniform"), wide)
    plots.density(oblique)
    plots.responsibilities(oblique, wide)


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gp.MixtureModel(2, noise_component="gauss"), "noise_component must be 'uniform'"),
        (lambda: gp.MixtureModel(2, noise_component=0.1), "noise_component must be 'uniform'"),
        (lambda: gp.UniformBox([0.0, 1.0], [1.0, 1.0]), "low must be below high"),
        (lambda: gp.UniformBox([0.0], [math.inf]), "high of the noise component must be finite"),
        (lambda: gp.UniformBox([-1e308], [1e308]), "in the range of numbers"),
        (lambda: gp.UniformBox([0.0, 1.0], feature_names=["a"]), "a number for each of a"),
        (
            lambda: gp.fit(gp.MixtureModel(2, noise_component=gp.UniformBox([9])), normal(9, 2)),
            "the noise component is of 1 features, and x has 2",
        ),
        (
            lambda: gp.fit(gp.MixtureModel(2, noise_component=gp.UniformBox([9])), normal(9, 1)),
            "low of the noise component is above all of x",
        ),
        (
            lambda: gp.GaussianMixture(
                [1.0], [[0.0]], [[[1.0]]], noise_component=gp.WideGaussian([3]), noise_weight=0.1
            ),
            "WideGaussian is to take mean from data",
        ),
        (lambda: gp.UniformBox(concentration=(1.0, 0.0)), "two positive numbers"),
        (lambda: gp.UniformBox(concentration=1.0), "two positive numbers"),
        (lambda: gp.WideGaussian([[1.0, 2.0], [2.0, 1.0]]), "positive definite matrix"),
        (lambda: gp.WideGaussian([1.0, 1.0], mean=[0.0]), "mean of the noise component must have"),
        (
            lambda: gp.GaussianMixture([1.0], [[0.0]], [[[1.0]]], noise_weight=0.1),
            "must be a gmm_pyro.UniformBox",
        ),
        (
            lambda: gp.GaussianMixture(
                [1.0], [[0.0]], [[[1.0]]], noise_component=BOX, noise_weight=0.1
            ),
            "of 2 features, and the mixture of 1",
        ),
        (
            lambda: gp.GaussianMixture(
                [1.0], [[0.0]], [[[1.0]]], noise_component=gp.UniformBox([0], [1]), noise_weight=1
            ),
            "noise_weight must be a finite number of at least 0 and below 1",
        ),
        (
            lambda: gp.fit(gp.MixtureModel(2, noise_component=BOX), normal(9, 3)),
            "the noise component is of 2 features, and x has 3",
        ),
        (
            lambda: gp.fit(
                gp.MixtureModel(2, noise_component="uniform"),
                normal(20, 1),
                projection=normal(20, 1, 2),
            ),
            "WideGaussian goes with projections",
        ),
    ],
)
def test_mistakes_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message), warnings.catch_warnings():
        make()


def test_a_mixture_with_noise_is_no_torch_distribution() -> None:
    mixture = gp.GaussianMixture(
        [1.0], [[0.0, 0.0]], [[1.0, 1.0]], "diag", noise_component=BOX, noise_weight=0.1
    )
    with pytest.raises(ValueError, match="no torch distribution"):
        mixture.distribution()
    with pytest.raises(ValueError, match="MixtureModule has Gaussians"):
        gp.MixtureModule(mixture)
