"""Maximum likelihood by gradients reaches EM's optimum; the mixture as a torch module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gmm_pyro as gp
from gmm_pyro import GaussianMixture, MixtureModel, MixtureModule
from gmm_pyro.covariance import Parameters, family_named
from gmm_pyro.inference.climb.adam import BLOCK
from oracles import clusters, every_dimension, every_family, normal


def three_clusters(d: int = 2, n: int = 150) -> Tensor:
    return clusters(d, n, k=3, separation=4).x


def fit(method: str, x: Tensor, family: str = "full", k: int = 3, **options: Any) -> gp.Fit:
    return gp.fit(MixtureModel(k, family), x, method=method, **options)


# ---------------------------------------------------------------------- the method


@every_family
def test_reaches_the_optimum_of_em(family: str) -> None:
    x = three_clusters()
    em = fit("em", x, family)
    gradient = fit("gradient", x, family, start="k-means", n_starts=1)
    assert gradient.converged
    assert gradient.objective == pytest.approx(em.objective, abs=1e-6 * len(x))
    assert gradient.steps > 0


@pytest.mark.parametrize("d", [1, 3])
def test_reaches_the_optimum_in_other_dimensions(d: int) -> None:
    x = three_clusters(d)
    em, gradient = fit("em", x), fit("gradient", x)
    assert gradient.objective == pytest.approx(em.objective, abs=1e-6 * len(x))


def test_climbs_from_a_poor_start() -> None:
    x = three_clusters()
    slices = x[:, 0].argsort().argsort() * 3 // len(x)
    em, gradient = (fit(method, x, start=slices) for method in ("em", "gradient"))
    assert gradient.history[0] == pytest.approx(float(em.history[0]), rel=1e-9)
    assert gradient.objective > gradient.history[0] + 5
    assert gradient.objective == pytest.approx(em.objective, abs=1e-6 * len(x))


@pytest.mark.parametrize("family", ["full", "tied_spherical"])
def test_minibatches_come_close_to_the_optimum(family: str) -> None:
    """The answer is the mean over a block of steps, which sees that many batches.

    It is as far from the optimum as the optimum of so many points would be: p / 2 nats in all.
    """
    x, batch = three_clusters(n=600), 100
    em = fit("em", x, family)
    gradient = fit("gradient", x, family, start="k-means", n_starts=1, batch_size=batch)
    assert gradient.converged
    lost = gradient.mixture.n_parameters / (2 * BLOCK * batch)
    assert em.objective - lost * len(x) <= gradient.objective <= em.objective
    assert gradient.objective > gradient.history[0]


def test_minibatches_depend_on_the_seed_alone() -> None:
    x = three_clusters()
    one, same, other = (
        fit("gradient", x, start="k-means", n_starts=1, batch_size=40, seed=seed).mixture.means
        for seed in (3, 3, 4)
    )
    assert one.equal(same)
    assert not one.equal(other)


def test_history_never_falls_and_ends_in_the_objective() -> None:
    x = three_clusters()
    found = fit("gradient", x, start="random points", n_starts=1)
    assert (found.history.diff() >= 0).all()
    assert found.objective == found.history[-1]
    assert found.objective == pytest.approx(float(found.mixture.log_prob(x).sum()), rel=1e-12)


def test_sample_weights_are_repeated_rows() -> None:
    x = three_clusters(n=60)
    weight = 1 + torch.arange(60) % 3
    weighted = fit("gradient", x, sample_weight=weight)
    repeated = fit("em", x.repeat_interleave(weight, 0))
    assert weighted.objective == pytest.approx(repeated.objective, abs=1e-6 * 120)


# ---------------------------------------------------------------------- the module


@pytest.fixture
def mixture_of(random_parameters: Callable[..., Parameters]) -> Callable[..., GaussianMixture]:
    def make(name: str, d: int = 2, dtype: torch.dtype = torch.float64) -> GaussianMixture:
        family = family_named(name)
        parameters = random_parameters(family, 1, 3, d)
        return GaussianMixture.from_parameters(family, parameters, dtype=dtype)

    return make


@every_family
@every_dimension
class TestMixtureModule:
    def test_forward_is_the_log_density(
        self, family: str, d: int, mixture_of: Callable[..., GaussianMixture]
    ) -> None:
        mixture, x = mixture_of(family, d), 2 * normal(20, d)
        module = MixtureModule(mixture)
        torch.testing.assert_close(module(x), mixture.log_prob(x), rtol=1e-10, atol=0)

    def test_its_mixture_is_the_one_it_began_with(
        self, family: str, d: int, mixture_of: Callable[..., GaussianMixture]
    ) -> None:
        mixture = mixture_of(family, d)
        again = MixtureModule(mixture).mixture()
        for name in ("weights", "means", "covariances"):
            torch.testing.assert_close(getattr(again, name), getattr(mixture, name))

    def test_gradients_in_points_and_parameters(
        self, family: str, d: int, mixture_of: Callable[..., GaussianMixture]
    ) -> None:
        module, x = MixtureModule(mixture_of(family, d)), normal(3, d).requires_grad_()
        names = list(dict(module.named_parameters()))

        def forward(x: Tensor, *values: Tensor) -> Tensor:
            return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

        assert names == ["logits", "means", "factor"]
        assert torch.autograd.gradcheck(forward, (x, *module.parameters()))

    def test_has_the_family_s_number_of_free_parameters(
        self, family: str, d: int, mixture_of: Callable[..., GaussianMixture]
    ) -> None:
        """Logits have one direction more than weights; matrices keep their upper triangle."""
        mixture = mixture_of(family, d)
        module = MixtureModule(mixture)
        numbers = sum(p.numel() for p in module.parameters())
        matrices = module.factor.numel() // d**2 if module.factor.ndim == 3 else 0
        assert numbers - 1 - matrices * d * (d - 1) // 2 == mixture.n_parameters


@every_family
def test_a_module_reaches_the_optimum_of_em(family: str) -> None:
    x = three_clusters()
    em = fit("em", x, family)
    slices = x[:, 0].argsort().argsort() * 3 // len(x)
    start = fit("kmeans", x, family, start=slices).mixture
    module = MixtureModule(start)
    optimiser = torch.optim.LBFGS(module.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -module(x).mean()
        value.backward()
        return value

    optimiser.step(loss)
    reached = float(module(x).detach().sum())
    assert reached == pytest.approx(em.objective, abs=1e-4 * len(x))


def test_inside_another_model(mixture_of: Callable[..., GaussianMixture]) -> None:
    """A layer like any other: the gradient flows through it into the layers before."""
    model = nn.Sequential(nn.Linear(5, 2).double(), nn.Tanh(), MixtureModule(mixture_of("full")))
    loss = -model(normal(7, 5)).mean()
    loss.backward()
    assert {name for name, p in model.named_parameters() if p.grad.abs().sum() > 0} == {
        "0.weight",
        "0.bias",
        "2.logits",
        "2.means",
        "2.factor",
    }


@every_family
def test_state_dict_round_trip(
    family: str, tmp_path: Path, mixture_of: Callable[..., GaussianMixture]
) -> None:
    module, x = MixtureModule(mixture_of(family)), normal(9, 2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1
    torch.save(module.state_dict(), tmp_path / "module.pt")
    again = MixtureModule(mixture_of(family))
    assert not again(x).equal(module(x))
    again.load_state_dict(torch.load(tmp_path / "module.pt", weights_only=True))
    assert again(x).equal(module(x))


@every_family
def test_float32(family: str, mixture_of: Callable[..., GaussianMixture]) -> None:
    mixture, x = mixture_of(family, dtype=torch.float32), normal(9, 2).float()
    module = MixtureModule(mixture)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert module(x).dtype == torch.float32
    torch.testing.assert_close(module(x), mixture.log_prob(x), rtol=1e-5, atol=1e-5)
    assert module.mixture().means.dtype == torch.float32


def test_in_another_dtype_by_to(mixture_of: Callable[..., GaussianMixture]) -> None:
    mixture, x = mixture_of("full"), normal(9, 2)
    module = MixtureModule(mixture).to(torch.float32)
    torch.testing.assert_close(module(x.float()).double(), mixture.log_prob(x), rtol=1e-4, atol=0)


def test_the_mixture_is_not_changed_by_training(
    mixture_of: Callable[..., GaussianMixture],
) -> None:
    mixture = mixture_of("full")
    before = mixture.means.clone()
    module = MixtureModule(mixture)
    with torch.no_grad():
        module.means += 1
    assert mixture.means.equal(before)
    assert module.mixture().means.equal(before + 1)


@pytest.mark.parametrize(("d", "shape"), [(2, (5, 1)), (1, (5, 2)), (1, (5,)), (3, (3,))])
def test_points_of_another_width_are_refused(
    d: int, shape: tuple[int, ...], mixture_of: Callable[..., GaussianMixture]
) -> None:
    with pytest.raises(ValueError, match=f"x must be a tensor of shape .*{d}"):
        MixtureModule(mixture_of("full", d))(normal(*shape))


def test_a_weight_of_zero_is_refused() -> None:
    mixture = GaussianMixture([1.0, 0.0], [0.0, 1.0], [1.0, 1.0], "spherical")
    with pytest.raises(ValueError, match="weights must be positive"):
        MixtureModule(mixture)


@pytest.mark.filterwarnings("ignore:(em|gradient) found")
@pytest.mark.parametrize("width", [1e-3, 1e-4, 1e-6])
def test_an_ascent_that_ends_short_of_a_tight_cluster_says_so(width: float) -> None:
    """Steps have become too small for a maximum that is there, and no spike: EM is at it."""
    x = torch.cat([normal(50, 1), 3 + width * normal(50, 1, seed=1)])
    options = {"start": (torch.arange(100) >= 50).long()}
    em = gp.fit(MixtureModel(2), x, "em", covariance_floor=0.0, **options)
    found = gp.fit(MixtureModel(2), x, "gradient")
    assert found.status is gp.Status.STUCK
    assert found.objective < em.objective - 0.1


@pytest.mark.parametrize("batch_size", [None, 50])
def test_an_ascent_that_never_leaves_its_start_is_stuck(batch_size: int | None) -> None:
    x = torch.cat([normal(100, 2), 4 + normal(100, 2, seed=1)])
    with pytest.warns(gp.FitWarning, match="gradient found no way up"):
        found = gp.fit(MixtureModel(2), x, "gradient", rate=1e4, batch_size=batch_size)
    assert found.objective == found.history[0]
    assert found.status is gp.Status.STUCK
