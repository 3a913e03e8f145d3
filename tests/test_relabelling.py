"""Claims about label switching: found and undone exactly, said where it cannot be, and harmless."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from gmm_pyro.data.observations import observe
from gmm_pyro.datasets import make_mixture
from gmm_pyro.mixture.value import GaussianMixture
from gmm_pyro.posterior import Posterior
from gmm_pyro.posterior.alignment import cheapest, costs, mean_share, memberships, stephens
from gmm_pyro.reduction.pointwise import log_density
from gmm_pyro.reduction.theta import theta_of
from oracles import PRIORED, SITES, apart, around, kept, switched

ALIGNING = ["stephens", "ecr", "pivot"]


def same_draws(one: Posterior, other: Posterior) -> bool:
    return all(torch.equal(values, other.draws[name]) for name, values in one.draws.items())


def pivot_of(posterior: Posterior) -> tuple[int, int]:
    """Chain and number of the likeliest draw."""
    theta = theta_of(posterior.family, posterior.parameters(), posterior.observations)
    best = int(log_density(posterior.observations, theta).sum(1).argmax())
    return divmod(best, posterior.n_draws)


@pytest.mark.parametrize("method", [*ALIGNING, "ordered"])
class TestRecovery:
    @pytest.mark.parametrize("sites", SITES)
    @pytest.mark.parametrize("d", [1, 3])
    @pytest.mark.parametrize("family", PRIORED)
    def test_a_random_order_of_every_draw_is_undone(self, method, family, d, sites) -> None:
        truth = apart(family, d=d, sites=sites)
        mixed, order = switched(truth)
        like = None if method == "ordered" else truth.mixture()
        found = mixed.relabel(method, like=like)
        assert same_draws(found, truth)
        assert torch.equal(order.gather(2, found.permutation), torch.arange(3).expand(2, 20, 3))
        assert found.ambiguous == 0

    def test_relabelling_again_changes_nothing(self, method) -> None:
        data = make_mixture(n=100, k=4, separation=1.5, seed=3)
        mixed, _ = switched(around(data.truth, data.x, noise=0.5))
        once = mixed.relabel(method)
        twice = once.relabel(method)
        assert same_draws(once, twice)
        assert torch.equal(once.permutation, twice.permutation)
        assert once.ambiguous == twice.ambiguous

    def test_sites_permutation_and_allocations_stay_consistent(self, method) -> None:
        data = make_mixture(n=60, k=3, separation=2.0)
        mixed, _ = switched(kept(around(data.truth, data.x, noise=0.4), [1, 4, 19]))
        found = mixed.relabel(method)
        for name, values in found.draws.items():
            index = found.permutation.reshape(2, 20, 3, *(1,) * (values.ndim - 3))
            assert torch.equal(values, mixed.draws[name].gather(2, index.expand_as(values)))
        for place, draw in enumerate([1, 4, 19]):
            for chain in range(2):
                was = mixed.draws["means"][chain, draw, mixed.allocations[chain, place]]
                now = found.draws["means"][chain, draw, found.allocations[chain, place]]
                assert torch.equal(was, now)

    def test_the_samplers_own_draws_come_back(self, method) -> None:
        mixed, _ = switched(kept(apart(), [0, 7]))
        found = mixed.relabel("ordered", by="weights").relabel(method)
        back = found.raw()
        assert same_draws(back, mixed)
        assert torch.equal(back.allocations, mixed.allocations)
        assert back.permutation is None
        assert back.ambiguous is None

    def test_densities_are_those_of_before(self, method) -> None:
        mixed, _ = switched(apart("tied"))
        x = mixed.observations.x
        before = mixed.predictive_density(x)
        after = mixed.relabel(method).predictive_density(x)
        torch.testing.assert_close(before.mean, after.mean, rtol=1e-12, atol=0)

    def test_one_component_and_one_draw_are_no_trouble(self, method) -> None:
        data = make_mixture(n=30, k=1)
        alone = around(data.truth, data.x).relabel(method)
        assert alone.ambiguous == 0
        assert torch.equal(alone.permutation, torch.zeros(2, 20, 1, dtype=torch.long))
        single = replace(apart(), draws={n: v[:1, :1] for n, v in apart().draws.items()})
        assert torch.equal(single.relabel(method).permutation[0, 0], torch.arange(3))


class TestNumbering:
    @pytest.mark.parametrize("method", ALIGNING)
    def test_the_likeliest_draw_keeps_its_numbers(self, method) -> None:
        mixed, _ = switched(apart())
        chain, draw = pivot_of(mixed)
        found = mixed.relabel(method)
        assert found.permutation[chain, draw].tolist() == [0, 1, 2]

    @pytest.mark.parametrize("method", ALIGNING)
    def test_components_are_numbered_like_labels(self, method) -> None:
        truth = apart()
        labels = truth.mixture().predict(truth.observations.x)
        found = switched(truth)[0].relabel(method, like=labels.numpy())
        assert same_draws(found, truth)

    def test_where_rows_are_many_and_some_weigh_nothing(self) -> None:
        data = make_mixture(n=3000, k=3, separation=8.0)
        weight = torch.zeros(3000, dtype=torch.float64)
        weight[::2] = 2.0
        truth = around(data.truth, data.x, sample_weight=weight)
        found = switched(truth)[0].relabel(like=data.truth)
        assert same_draws(found, truth)
        held = memberships(truth.family, truth.parameters(), truth.observations)
        assert held.rows.shape == (1000,)
        assert (held.rows % 2 == 0).all()
        assert float(held.weight.sum()) == pytest.approx(3000, rel=1e-5)

    def test_single_precision_and_units_far_from_one(self) -> None:
        truth = apart()
        x = truth.observations.x
        single = {name: values.float() for name, values in truth.draws.items()}
        small = {
            name: values * (1e-60 if name in ("means", "scales") else 1.0)
            for name, values in truth.draws.items()
        }
        for draws, data in ((single, observe(x, dtype="float32")), (small, observe(1e-60 * x))):
            expected = replace(truth, draws=draws, observations=data)
            for method in ALIGNING:
                found = switched(expected)[0].relabel(method, like=expected.mixture())
                assert same_draws(found, expected)


class TestOrdered:
    @pytest.mark.parametrize(
        ("by", "key"),
        [
            (None, lambda draws: draws["means"][..., 0]),
            ("weights", lambda draws: draws["weights"]),
            (("means", 1), lambda draws: draws["means"][..., 1]),
            (("means", -1), lambda draws: draws["means"][..., 2]),
            ("scales", lambda draws: draws["scales"][..., 0]),
            (("correlations", (1, 0)), lambda draws: draws["correlations"][..., 1, 0]),
            (lambda draws: -draws["weights"], lambda draws: -draws["weights"]),
        ],
    )
    def test_the_key_rises_in_every_draw(self, by, key) -> None:
        found = switched(apart(d=3))[0].relabel("ordered", by=by)
        assert (key(found.draws).diff(dim=-1) >= 0).all()

    @pytest.mark.parametrize(
        ("by", "message"),
        [
            ("scales", "each component has its own value of, weights, means; got 'scales'"),
            (("means", 5), r"a place in 'means' of shape \(2,\), got 5"),
            (("means", (0, 1)), r"a place in 'means' of shape \(2,\), got \(0, 1\)"),
            (lambda draws: draws["means"], r"of shape \(2, 20, 3\), got \(2, 20, 3, 2\)"),
        ],
    )
    def test_what_is_no_number_of_a_component_is_refused(self, by, message) -> None:
        with pytest.raises(ValueError, match=message):
            apart("tied").relabel("ordered", by=by)


class TestStephens:
    def overlapping(self) -> Posterior:
        data = make_mixture(n=40, k=3, separation=1.0, seed=5)
        return switched(around(data.truth, data.x, noise=0.4))[0]

    def test_no_order_of_any_draw_is_closer_to_the_mean(self) -> None:
        mixed = self.overlapping()
        held = memberships(mixed.family, mixed.parameters(), mixed.observations)
        order = stephens(held)
        cost = costs(held, mean_share(held, order))
        for matrix, chosen in zip(cost, order, strict=True):
            all_costs = [
                float(matrix[list(other), range(3)].sum())
                for other in itertools.permutations(range(3))
            ]
            assert float(matrix[chosen, range(3)].sum()) <= min(all_costs) + 1e-2

    def test_it_comes_closer_than_the_other_methods(self) -> None:
        mixed = self.overlapping()
        x = mixed.observations.x

        def divergence(posterior: Posterior) -> float:
            parameters = posterior.parameters()
            share = torch.stack(
                [
                    GaussianMixture.from_parameters(mixed.family, parameters[[i]]).responsibilities(
                        x
                    )
                    for i in range(len(parameters.means))
                ]
            )
            return float(torch.special.xlogy(share, share / share.mean(0)).sum())

        found = {m: divergence(mixed.relabel(m)) for m in [*ALIGNING, "ordered"]}
        assert found["stephens"] <= min(found.values()) * (1 + 1e-6)
        assert found["stephens"] < divergence(mixed)

    def test_a_weight_of_two_is_a_point_twice(self) -> None:
        data = make_mixture(n=40, k=3, separation=1.0, seed=5)
        weight = torch.tensor([1.0, 2.0], dtype=torch.float64).repeat(20)
        weighted = around(data.truth, data.x, noise=0.4, sample_weight=weight)
        repeated = around(data.truth, data.x.repeat_interleave(weight.long(), 0), noise=0.4)
        one, other = (switched(p)[0].relabel() for p in (weighted, repeated))
        assert torch.equal(one.permutation, other.permutation)
        assert one.ambiguous == other.ambiguous

    def test_an_assignment_is_cheapest_and_stays_in_a_tie(self) -> None:
        cost = torch.rand(50, 4, 4, generator=torch.Generator().manual_seed(0))
        stay = torch.arange(4).expand(50, 4)
        free = torch.zeros(4, 4, dtype=torch.bool)
        for matrix, order in zip(cost, cheapest(cost, stay, 0.0, free), strict=True):
            best = min(itertools.permutations(range(4)), key=lambda p: matrix[p, range(4)].sum())
            assert tuple(order.tolist()) == best
        turned = torch.tensor([1, 2, 3, 0]).expand(50, 4)
        assert torch.equal(cheapest(torch.zeros(50, 4, 4), turned, 1e-6, free), turned)

    def test_what_is_apart_stays_apart(self) -> None:
        cost = torch.rand(50, 4, 4, generator=torch.Generator().manual_seed(1)) - 0.5
        classes = torch.tensor([0, 1, 0, 1])
        allowed = [p for p in itertools.permutations(range(4)) if (classes[[*p]] == classes).all()]
        stay = torch.arange(4).expand(50, 4)
        found = cheapest(cost, stay, 0.0, classes[:, None] != classes)
        for matrix, order in zip(cost, found, strict=True):
            best = min(allowed, key=lambda p: matrix[p, range(4)].sum())
            assert tuple(order.tolist()) == best


class TestEcr:
    def test_allocations_of_all_draws_decide(self) -> None:
        """Two components that no density tells apart, but the allocations do."""
        x = make_mixture(n=40, k=1).x
        mixture = GaussianMixture([0.5, 0.5], x.mean(0).expand(2, 2), [1.0, 1.0], "spherical")
        truth = around(mixture, x, noise=0.0)
        half = (torch.arange(40) < 20).long().expand(2, 20, 40)
        truth = replace(truth, allocations=half.clone(), kept=torch.arange(20))
        truth.draws["weights"][..., 0] = 0.4
        truth.draws["weights"][..., 1] = 0.6
        found = switched(truth)[0].relabel("ecr", like=half[0, 0])
        assert torch.equal(found.allocations, half)
        assert same_draws(found, truth)


class TestAmbiguity:
    def test_components_that_coincide_cannot_be_told_apart(self) -> None:
        x = make_mixture(n=60, k=1).x
        mixture = GaussianMixture([0.5, 0.5], x.mean(0).expand(2, 2), [1.0, 1.0], "spherical")
        assert around(mixture, x, noise=0.01).relabel().ambiguous == 1

    @pytest.mark.parametrize("method", [*ALIGNING, "ordered"])
    def test_it_is_the_share_of_draws_with_a_close_exchange(self, method) -> None:
        data = make_mixture(n=30, k=3, separation=0.8, seed=2)
        found = switched(around(data.truth, data.x, noise=0.5))[0].relabel(method)
        parameters = found.parameters()
        draws = [
            GaussianMixture.from_parameters(found.family, parameters[[i]]).responsibilities(data.x)
            for i in range(len(parameters.means))
        ]
        log_mean = torch.stack(draws).mean(0).log()
        close = 0
        for share in draws:
            gaps = []
            for a, b in itertools.combinations(range(3), 2):
                order = list(range(3))
                order[a], order[b] = b, a
                gaps.append(float((share * log_mean).sum() - (share[:, order] * log_mean).sum()))
            close += min(gaps) <= torch.tensor(19.0).log()
        assert found.ambiguous == close / len(draws)
        assert 0 < found.ambiguous < 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"method": "kl"}, "one of stephens, ecr, pivot, ordered; got 'kl'"),
            ({"by": "weights"}, "by goes with method='ordered' only, got it with 'stephens'"),
            ({"like": [0, 1]}, "80 integer labels, got 2 of them"),
            ({"like": torch.full((80,), 3)}, "labels from 0 to 2, got 3 to 3"),
            ({"like": make_mixture(k=2).truth}, "3 components and 2 features, got 2 and 2"),
            ({"method": "ordered", "like": [0]}, "like does not go with method='ordered'"),
        ],
    )
    def test_bad_arguments_are_named(self, arguments, message) -> None:
        with pytest.raises(ValueError, match=message):
            apart().relabel(**arguments)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    switched(apart())[0].relabel()
    assert torch.equal(torch.get_rng_state(), before)
