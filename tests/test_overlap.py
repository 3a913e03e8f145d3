"""Overlaps against closed forms, other integrals, published numbers and draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import ncx2, norm

import gmm_pyro as gp
from gmm_pyro.designs import largest_overlap, mean_overlap, overlap
from oracles import STANDARD_ERRORS

EXACT = 1e-9  # where nothing is on the edge of being impossible
PROMISED = 1e-7  # by `overlap`, of all mixtures
BY_QUADRATURE = 1e-7  # what the other integral is computed to


def random_mixture(k: int, d: int, spread: float, seed: int) -> gp.GaussianMixture:
    """Means in a cube, covariances of d + 1 normal vectors times a number, unequal weights."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(k, d, d + 1))
    covariances = spread * root @ root.mT
    return gp.GaussianMixture(rng.dirichlet(np.full(k, 5.0)), rng.uniform(size=(k, d)), covariances)


def parts(mixture: gp.GaussianMixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        mixture.weights.numpy(),
        mixture.means.numpy(),
        mixture.covariance_matrices().numpy(),
    )


# ---------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("d", [1, 2, 7])
@pytest.mark.parametrize("distance", [0.01, 1.0, 5.0, 30.0])
def test_equal_covariances_overlap_as_a_normal_variable(d: int, distance: float) -> None:
    rng = np.random.default_rng(d)
    root = rng.normal(size=(d, d + 2))
    covariance, step = root @ root.T, rng.normal(size=d)
    step *= distance / np.sqrt(step @ np.linalg.solve(covariance, step))
    mixture = gp.GaussianMixture([0.3, 0.7], np.stack([0 * step, step]), covariance, "tied")
    odds = np.log(0.7 / 0.3) / distance
    wanted = norm.cdf([odds - distance / 2, -odds - distance / 2])
    found = overlap(mixture)
    np.testing.assert_allclose([found[0, 1], found[1, 0]], wanted, rtol=1e-8, atol=1e-300)


@pytest.mark.parametrize("d", [1, 2, 3, 20])
@pytest.mark.parametrize("ratio", [1e-6, 0.2, 0.999, 1.001, 5.0, 1e6])
@pytest.mark.parametrize("distance", [0.0, 0.5, 4.0])
def test_round_components_overlap_as_a_noncentral_chi_square(
    d: int, ratio: float, distance: float
) -> None:
    """About the point where the two densities' exponents have their common centre."""
    mean = np.full(d, distance / np.sqrt(d))
    mixture = gp.GaussianMixture([0.6, 0.4], [0 * mean, mean], [ratio, 1.0], "spherical")
    square = 1 - ratio
    constant = 2 * np.log(0.4 / 0.6) + d * np.log(ratio)
    centre = ratio * (distance / square) ** 2  # squared, in deviations of the first component
    bound = (distance**2 / square - constant) / square
    wanted = (ncx2.sf if square > 0 else ncx2.cdf)(bound, d, centre) if bound > 0 else square > 0
    assert float(overlap(mixture)[0, 1]) == pytest.approx(float(wanted), abs=EXACT)


def by_roots(weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> float:
    """P(π_2 φ_2 > π_1 φ_1) of points of the first of two univariate components."""
    one, other = (
        np.array([-1 / v, 2 * m / v, 2 * np.log(w) - np.log(v) - m * m / v]) / 2
        for w, m, v in zip(weights, means, variances, strict=True)
    )
    roots = np.roots(other - one)
    if np.iscomplexobj(roots):
        return float((other - one)[0] > 0)
    between = abs(np.diff(norm.cdf(roots, means[0], variances[0] ** 0.5))[0])
    return float(1 - between if (other - one)[0] > 0 else between)


@pytest.mark.parametrize("seed", range(20))
def test_univariate_components_overlap_between_roots(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, means, variances = (
        rng.dirichlet([2.0, 2.0]),
        rng.normal(size=2),
        rng.gamma(1.0, size=2),
    )
    mixture = gp.GaussianMixture(weights, means[:, None], variances[:, None, None])
    wanted = by_roots(weights, means, variances)
    assert float(overlap(mixture)[0, 1]) == pytest.approx(wanted, abs=EXACT)


@pytest.mark.parametrize("edge", [-1.0, -1e-6, -1e-12, 0.0, 1e-12, 1e-6, 1.0])
@pytest.mark.parametrize("ratio", [0.2, 0.8, 1.2, 5.0])
def test_on_the_edge_of_being_impossible(ratio: float, edge: float) -> None:
    """Weights with which the log ratio's extreme is nothing: (1 - ratio) (z + centre)² + edge."""
    mean = 1.3
    constant = mean**2 / (1 - ratio) + edge
    odds = float(np.exp((constant - np.log(ratio)) / 2))
    weights = np.array([1.0, odds]) / (1 + odds)
    mixture = gp.GaussianMixture(weights, [[0.0], [mean]], [ratio, 1.0], "spherical")
    half = max(-edge / (1 - ratio), 0.0) ** 0.5
    centre = -(ratio**0.5) * mean / (1 - ratio)
    tail = norm.sf if centre < 0 else norm.cdf
    inside = abs(tail(-centre - half) - tail(-centre + half))
    wanted = 1 - inside if ratio < 1 else inside
    assert float(overlap(mixture)[0, 1]) == pytest.approx(wanted, abs=PROMISED)


# ---------------------------------------------------------------------- another integral


def by_imhof(mixture: gp.GaussianMixture, i: int, j: int) -> float:
    """Imhof's integral (1961, equation 3.2) of a form in noncentral chi-squares, by QUADPACK."""
    weights, means, covariances = parts(mixture)
    values, axes = np.linalg.eigh(covariances[i])
    root = (axes * values**0.5) @ axes.T
    precision = np.linalg.inv(covariances[j])
    factors, axes = np.linalg.eigh(np.eye(len(root)) - root @ precision @ root)
    line = axes.T @ root @ precision @ (means[j] - means[i])
    shift = line / factors
    sizes = np.linalg.slogdet(covariances[[i, j]])[1]
    gap = means[j] - means[i]
    constant = 2 * np.log(weights[j] / weights[i]) + sizes[0] - sizes[1] - gap @ precision @ gap
    threshold = (line * shift).sum() - constant  # that Σ λ χ²(1, δ²) exceeds

    def size(u: float) -> float:
        spread = 1 + (factors * u) ** 2
        return float(
            u * np.exp((np.log(spread) / 4 + (shift * factors * u) ** 2 / spread / 2).sum())
        )

    def integrand(u: float) -> float:
        scaled = factors * u
        turn = (np.arctan(scaled) + shift**2 * scaled / (1 + scaled**2)).sum()
        return float(np.sin(0.5 * (turn - threshold * u))) / size(u)

    ends = [0.0, 0.01]
    while size(ends[-1]) < 1e9:
        ends.append(2 * ends[-1])
    pieces = zip(ends[:-1], ends[1:], strict=True)
    return 0.5 + sum(quad(integrand, *ab, limit=500, epsabs=1e-9)[0] for ab in pieces) / np.pi


@pytest.mark.parametrize(("k", "d", "spread"), [(3, 5, 0.05), (2, 8, 0.01), (4, 12, 0.02)])
def test_overlap_is_imhofs_integral(k: int, d: int, spread: float) -> None:
    mixture = random_mixture(k, d, spread, seed=d)
    found = overlap(mixture)
    for i in range(k):
        for j in {0, 1} - {i}:
            assert float(found[i, j]) == pytest.approx(by_imhof(mixture, i, j), abs=BY_QUADRATURE)


@pytest.mark.parametrize("seed", range(3))
def test_overlap_is_an_integral_over_a_plane(seed: int) -> None:
    """The inner one along a line is between roots, the outer one by QUADPACK."""
    mixture = random_mixture(2, 2, 0.1, seed)
    weights, means, covariances = parts(mixture)
    root = np.linalg.cholesky(covariances[0])

    def along(first: float) -> float:
        """P of the second coordinate, given the first, in the first component's deviations."""
        at = np.array([[first, s] for s in (-1.0, 0.0, 1.0)]) @ root.T + means[0]
        logs = [
            2 * np.log(w)
            - np.linalg.slogdet(c)[1]
            - ((at - m) @ np.linalg.inv(c) * (at - m)).sum(1)
            for w, m, c in zip(weights, means, covariances, strict=True)
        ]
        low, middle, high = logs[1] - logs[0]
        a, b, c = (low + high) / 2 - middle, (high - low) / 2, middle
        inside = b * b - 4 * a * c
        if inside <= 0:
            return float(a > 0)
        between = abs(np.diff(norm.cdf((-b + np.array([-1, 1]) * inside**0.5) / (2 * a)))[0])
        return float(1 - between if a > 0 else between)

    wanted = quad(lambda u: along(u) * norm.pdf(u), -9, 9, limit=500, epsabs=1e-11)[0]
    assert float(overlap(mixture)[0, 1]) == pytest.approx(wanted, abs=BY_QUADRATURE)


@pytest.mark.parametrize(("k", "d", "spread"), [(5, 2, 0.03), (4, 20, 0.05)])
def test_overlap_is_how_often_points_are_more_probable_elsewhere(
    k: int, d: int, spread: float
) -> None:
    mixture, n = random_mixture(k, d, spread, seed=k), 20_000
    weights, means, covariances = (torch.from_numpy(part) for part in parts(mixture))
    omega = overlap(mixture)
    for i in range(k):
        own = gp.GaussianMixture([1.0], means[[i]], covariances[[i]])
        x = own.sample(n, seed=i)
        logs = torch.stack(
            [
                gp.GaussianMixture([1.0], means[[j]], covariances[[j]]).log_prob(x)
                + weights[j].log()
                for j in range(k)
            ]
        )
        share = (logs > logs[i]).double().mean(1)
        others = [j for j in range(k) if j != i]
        error = (omega[i] * (1 - omega[i]) / n).sqrt() + 1 / n
        assert ((share - omega[i]).abs() < STANDARD_ERRORS * error)[others].all()


# ---------------------------------------------------------------------- published


def irises() -> gp.GaussianMixture:
    """Equal weights, and means and covariances (n - 1) of the three species."""
    data = gp.datasets.iris()
    assert data.labels is not None
    species = [data.x[data.labels == i] for i in range(3)]
    means = torch.stack([x.mean(0) for x in species])
    return gp.GaussianMixture(np.full(3, 1 / 3), means, torch.stack([x.T.cov() for x in species]))


def test_overlap_of_irises_is_as_published() -> None:
    """To the digits that the documentation of FSDA's `overlap` prints, a translation of MixSim's.

    Its example is that of MixSim's manual: `overlap(Pi, Mu, S)` of Fisher's data. Riani, Cerioli,
    Perrotta & Torti (2015), ADAC 9, 461-481; http://rosa.unipr.it/FSDA/overlap.html.
    """
    mixture = irises()
    published = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0230], [0.0, 0.0263, 1.0]]
    omega = overlap(mixture).numpy()
    np.testing.assert_allclose(omega, published, atol=0.5e-4)
    assert mean_overlap(mixture) == pytest.approx(0.0164, abs=0.5e-4)  # BarOmega
    assert largest_overlap(mixture) == pytest.approx(0.0493, abs=0.5e-4)  # MaxOmega
    both = (omega + omega.T)[np.triu_indices(3, 1)]
    assert both.std(ddof=1) == pytest.approx(0.0285, abs=0.5e-4)  # StdOmega
    assert both.argmax() == 2  # rcMax: the second and the third


# ---------------------------------------------------------------------- properties


def test_numbering_of_components_does_not_matter() -> None:
    mixture, order = random_mixture(4, 3, 0.05, seed=1), [2, 0, 3, 1]
    torch.testing.assert_close(
        overlap(mixture.permute(order)), overlap(mixture)[order][:, order], rtol=EXACT, atol=EXACT
    )


def test_affine_maps_do_not_matter() -> None:
    mixture, rng = random_mixture(3, 4, 0.05, seed=2), np.random.default_rng(3)
    turn = np.diag([1e-3, 1.0, 1.0, 1e3]) @ rng.normal(size=(4, 4))
    weights, means, covariances = parts(mixture)
    moved = gp.GaussianMixture(weights, means @ turn.T + 5.0, turn @ covariances @ turn.T)
    torch.testing.assert_close(overlap(moved), overlap(mixture), rtol=1e-8, atol=1e-8)


def test_overlap_goes_to_nothing_as_clusters_part() -> None:
    weights, means, covariances = parts(random_mixture(3, 3, 0.05, seed=4))
    apart = [
        mean_overlap(gp.GaussianMixture(weights, times * means, covariances))
        for times in (1.0, 3.0, 10.0, 30.0, 1e3)
    ]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] == 0.0 < apart[-2]


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical", "tied_spherical", "VEE"])
def test_every_family_overlaps_as_its_dense_covariances(family: str) -> None:
    truth = gp.datasets.make_mixture(n=1, d=3, k=3, covariance=family, separation=2.0).truth
    assert truth is not None
    dense = gp.GaussianMixture(*parts(truth))
    torch.testing.assert_close(overlap(truth), overlap(dense), rtol=EXACT, atol=EXACT)


def test_noise_is_left_aside_and_other_precisions_are_taken() -> None:
    weights, means, covariances = parts(random_mixture(2, 2, 0.1, seed=5))
    box = gp.UniformBox([-5.0, -5.0], [5.0, 5.0])
    plain = gp.GaussianMixture(weights, means, covariances)
    noisy = gp.GaussianMixture(weights, means, covariances, noise_component=box, noise_weight=0.2)
    single = gp.GaussianMixture(
        *(torch.from_numpy(p).float() for p in (weights, means, covariances))
    )
    torch.testing.assert_close(overlap(noisy), overlap(plain), rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(overlap(single), overlap(plain), rtol=1e-5, atol=1e-5)


ONE = [[[1.0]], [[1.0]]]


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "wanted"),
    [
        ([0.5, 0.5], [[0.0], [0.0]], ONE, (0.5, 0.5)),  # one Gaussian twice
        ([0.3, 0.7], [[0.0], [0.0]], ONE, (1.0, 0.0)),  # the heavier one has all points
        ([0.5, 0.5], [[0.0], [1e3]], ONE, (0.0, 0.0)),
        ([0.99, 0.01], [[0.0], [0.0]], [[[1.0]], [[0.5]]], (0.0, 1.0)),  # nowhere more probable
        ([1.0, 0.0], [[0.0], [1.0]], [[[1.0]], [[0.5]]], (0.0, 1.0)),
    ],
)
def test_limits(weights: Any, means: Any, covariances: Any, wanted: tuple[float, float]) -> None:
    omega = overlap(gp.GaussianMixture(weights, means, covariances))
    assert (float(omega[0, 1]), float(omega[1, 0])) == pytest.approx(wanted, abs=EXACT)


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e12])
def test_a_very_narrow_component_in_a_wide_one(size: float) -> None:
    """In ten dimensions, against a noncentral chi-square of the same sizes."""
    covariances = torch.stack([torch.eye(10) * size, torch.eye(10)]).double()
    means = torch.zeros(2, 10)
    means[1, 0] = 1.0
    round_ones = gp.GaussianMixture([0.5, 0.5], means, [size, 1.0], "spherical")
    found = overlap(gp.GaussianMixture([0.5, 0.5], means, covariances))
    square, constant = 1 - size, 10 * np.log(size)
    bound, centre = (1 / square - constant) / square, size / square**2
    wanted = (ncx2.sf if square > 0 else ncx2.cdf)(bound, 10, centre)
    assert float(found[0, 1]) == pytest.approx(float(wanted), abs=EXACT)
    torch.testing.assert_close(found, overlap(round_ones), rtol=EXACT, atol=EXACT)


def test_one_component_overlaps_with_none() -> None:
    mixture = gp.GaussianMixture([1.0], [[0.0]], [[[1.0]]])
    assert overlap(mixture).tolist() == [[1.0]]
    assert mean_overlap(mixture) == largest_overlap(mixture) == 0.0


def test_only_mixtures_overlap() -> None:
    with pytest.raises(TypeError, match=r"mixture must be a gmm_pyro.GaussianMixture, got list"):
        overlap([0.5, 0.5])  # type: ignore[arg-type]
