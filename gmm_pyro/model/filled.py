"""How many components have points before the data are seen: what the prior alone implies.

Points come one after the other. With weights Dirichlet(γ, …, γ) of k components, and b of them
filled by n points, the next point fills another one with probability (k - b) γ / (n + k γ). So

    P(b | n + 1) = P(b | n) (n + b γ) / (n + k γ) + P(b - 1 | n) (k - b + 1) γ / (n + k γ)

which is the sum over all partitions of n points, without a sum over partitions: with c(n, b) that
of Π_j Γ(N_j + γ) / Γ(γ) over partitions into b blocks,

    P(b | n, k) = k! / (k - b)!  ·  Γ(k γ) / Γ(k γ + n)  ·  c(n, b)
    c(n + 1, b) = (n + b γ) c(n, b) + γ c(n, b - 1)

All terms are positive, so that nothing cancels.

Source: Frühwirth-Schnatter, Malsiner-Walli & Grün (2021), §3; Gnedin & Pitman (2006).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .concentration import Concentration
from .hierarchy import Hierarchy

NODES = 129  # of the integral over a concentration that has a prior
WIDEST = (-30.0, 30.0, 6001)  # logarithms of concentrations among which it has its mass
DEPTH = 40.0  # nats below the highest density of a logarithm where there is no mass
EXACT = 1000  # points that come one by one, at most
FEWEST = 200  # and at least, if there are so many
WORK = 1e8  # numbers that this takes, about
DRAWS = 200_000  # where there is no recursion


def prior_of_filled(hierarchy: Hierarchy, n: int) -> Float[Tensor, "most1"]:
    """Prior probabilities that 0, 1, 2, … most components have some of n points.

    By the recursion above, exact up to 1,000 points (200 where there are many components);
    later ones are taken in one step, as if each empty component were filled independently of the
    others, which is within 1e-5 of the truth. A concentration with a prior is
    integrated out on a grid. Where weights are broken off a stick, or there is a noise component,
    it is the share of 200,000 draws, whose standard error is at most .0012.

    Args:
        hierarchy: the prior.
        n: number of points.

    Example:
        >>> from .concentration import Static
        >>> from .program import MixtureModel
        >>> from .unknown import Unknown
        >>> model = MixtureModel(Unknown("uniform", most=2)).standardised(1)
        >>> [round(p, 9) for p in prior_of_filled(model.hierarchy(), 1).tolist()]
        [0.0, 1.0, 0.0]
    """
    if hierarchy.sticks or hierarchy.noise is not None:
        return _by_draws(hierarchy, n)
    log_sizes = hierarchy.log_sizes.cpu().double()
    k = (log_sizes.isfinite()).nonzero()[:, 0] + 1
    value, share = nodes(hierarchy.concentration)
    gamma = hierarchy.concentration.of_each(value[:, None], k)
    p = filled(gamma, k, n)
    found = torch.einsum("g,k,gkb->b", share, log_sizes[k - 1].exp(), p)
    return torch.nn.functional.pad(found, (0, hierarchy.most + 1 - len(found)))


def nodes(concentration: Concentration) -> tuple[Float[Tensor, "g"], Float[Tensor, "g"]]:
    """Values of a concentration, and the share of its prior that each stands for.

    Evenly spaced logarithms, which for a smooth density that ends in nothing is as exact as any
    rule (Trefethen & Weideman 2014).
    """
    if not concentration.is_random:
        return torch.tensor([float(concentration.value)]).double(), torch.ones(1).double()

    def density(log_value: Float[Tensor, "g"]) -> Float[Tensor, "g"]:
        found = concentration.log_prior(log_value.exp()) + log_value
        return found.nan_to_num(nan=-math.inf)

    wide = torch.linspace(*WIDEST, dtype=torch.float64)
    height = density(wide)
    within = wide[height > height.max() - DEPTH]
    grid = torch.linspace(float(within[0]), float(within[-1]), NODES, dtype=torch.float64)
    return grid.exp(), density(grid).softmax(0)


def filled(gamma: Float[Tensor, "g k"], k: Int[Tensor, "k"], n: int) -> Float[Tensor, "g k most1"]:
    """Probabilities that 0, 1, … of k components are filled by n points.

    Args:
        gamma: concentrations of each component, for every k.
        k: numbers of components.
        n: number of points.
    """
    most = int(k.max())
    p = gamma.new_zeros(*gamma.shape, most + 1)
    p[..., 0] = 1.0
    one_by_one = int(min(n, EXACT, max(FEWEST, WORK / p.numel())))
    b = torch.arange(most + 1, dtype=gamma.dtype)
    empty = (k[:, None] - b).clamp_min(0) * gamma[..., None]
    old, new = b * gamma[..., None], empty[..., :-1]
    total = (k * gamma)[..., None]
    for i in range(one_by_one):
        moved = p[..., :-1] * new
        p.mul_(old + i)[..., 1:].add_(moved)
        p.div_(total + i)
    if one_by_one == n:
        return p
    return _in_one_step(p, gamma, k, one_by_one, n)


def _in_one_step(
    p: Float[Tensor, "g k most1"], gamma: Float[Tensor, "g k"], k: Int[Tensor, "k"], m: int, n: int
) -> Float[Tensor, "g k most1"]:
    """Probabilities after n points from those after m of them.

    Each empty component stays empty with the probability that one alone has, which is exact, but
    independently of the others, which is not: together they stay so a little less often.
    """
    total = k * gamma
    log_stays = (n + total - gamma).lgamma() - (m + total - gamma).lgamma()
    log_stays = log_stays - (n + total).lgamma() + (m + total).lgamma()
    found = torch.zeros_like(p)
    for j, size in enumerate(k.tolist()):
        before = torch.arange(size + 1, dtype=p.dtype)
        more = before - before[:, None]  # of the filled, from one row to a column
        ways = (size - before[:, None] + 1).lgamma() - (more.clamp_min(0) + 1).lgamma()
        ways = ways - (size - before + 1).lgamma()
        stays = log_stays[:, j, None, None]
        fills = (-stays.expm1()).clamp_min(torch.finfo(p.dtype).tiny).log()
        step = ways + more.clamp_min(0) * fills + (size - before) * stays
        step = step.masked_fill(more < 0, -math.inf).exp()
        found[:, j, : size + 1] = (p[:, j, None, : size + 1] @ step)[:, 0]
    return found


def _by_draws(hierarchy: Hierarchy, n: int) -> Float[Tensor, "most1"]:
    """Shares of draws of the weights, and of the number of points of each component given them."""
    seeds, random = torch.Generator().manual_seed(0), np.random.default_rng(0)
    log_sizes = hierarchy.log_sizes.cpu().double()
    size = 1 + torch.multinomial(log_sizes.exp(), DRAWS, replacement=True, generator=seeds)
    value = hierarchy.concentration.draw(DRAWS, seeds)
    gamma = hierarchy.concentration.of_each(value, size).numpy()
    left = np.full(DRAWS, n)
    if hierarchy.noise is not None:
        left -= random.binomial(left, random.beta(*hierarchy.noise, DRAWS))
    found = _taken(hierarchy, gamma, size.numpy(), left, random)
    counts = np.bincount(found, minlength=hierarchy.most + 1)
    return torch.from_numpy(counts / counts.sum())


def _taken(
    hierarchy: Hierarchy,
    gamma: Float[np.ndarray, "s"],
    size: Int[np.ndarray, "s"],
    left: Int[np.ndarray, "s"],
    random: np.random.Generator,
) -> Int[np.ndarray, "s"]:
    """How many components take some of the points that are left, one component after the other."""
    found = np.zeros(len(size), dtype=int)
    for j in range(1, hierarchy.most + 1):
        after = np.maximum(size - j, 1)  # the last one takes the rest
        share = random.beta(1.0, gamma) if hierarchy.sticks else random.beta(gamma, after * gamma)
        taken = np.where(size == j, left, random.binomial(left, share)) * (size >= j)
        found += taken > 0
        left = left - taken
    return found
