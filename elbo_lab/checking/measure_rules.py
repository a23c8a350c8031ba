"""Rules for all of the noise of a measure-valued gradient.

The noise of one coordinate of one draw falls into independent pieces (lengths of two or three normals, a
single normal), and no term of the estimate depends on more pieces than there are latents, one or two. With
h the change against a reference and n pieces, mean and variance add up over the pieces for one latent, and
for two latents the mean is exactly

    E h = sum_{i<j} E h(pieces i and j alone) - (n - 2) sum_i E h(piece i alone).

In polar coordinates, (b, c, d) = r (sin t, 0, +-cos t), everything is smooth: Gauss-Legendre for the
angle, and for radii and normals Gauss rules (half-range ones from the density's own three-term recurrence)
as long as they converge, then Gauss-Legendre and trapezoid rules, which mind the poles of a network less.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.checking.rules import Rule, one_axis, tensor
from elbo_lab.distributions import NoiseSpec
from elbo_lab.estimators import Estimator, MeasureValued, MeasureValuedCoupled
from elbo_lab.exact.rules import panel_rule

# (nodes of a radius or normal, nodes of an angle), each finer than the one before.
LEVELS = ((2, 6), (3, 8), (4, 10), (8, 12), (16, 16), (24, 24), (32, 32), (48, 40))
MOST_GAUSS = 16

Piece = tuple[int, tuple[int, ...], Floats, Floats]
"""Latent, slots of its noise, nodes (G, slots) and weights (G,)."""


@lru_cache
def radial_rule(power: int, n: int) -> Rule:
    """Return nodes and weights (summing to one) for the density r^power exp(-r^2 / 2) on r > 0."""
    points, fine = panel_rule(np.array([0.0, 9.5]), 200 if n <= MOST_GAUSS else 4 * n)
    fine = fine * points**power * np.exp(-0.5 * points**2)
    fine = fine / fine.sum()
    if n > MOST_GAUSS:
        return points, fine
    diagonal: list[float] = []
    off: list[float] = []
    before, now = np.zeros(200), np.ones(200)
    for _ in range(n):
        diagonal.append(fine @ (points * now**2))
        after = (points - diagonal[-1]) * now - (off[-1] if off else 0.0) * before
        off.append(np.sqrt(fine @ after**2))
        before, now = now, after / off[-1]
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off[:-1], 1) + np.diag(off[:-1], -1))
    return nodes, vectors[0] ** 2


def normal_rule(n: int, _: int) -> Rule:
    """One standard normal."""
    nodes, weights = one_axis("hermite", n) if n <= MOST_GAUSS else one_axis("trapezoid", n // 4)
    return nodes[:, None], weights


def circle_rule(n: int, _: int) -> Rule:
    """Two normals of which only the length matters."""
    nodes, weights = radial_rule(1, n)
    return np.column_stack([nodes, 0.0 * nodes]), weights


def sphere_rule(n: int, n_angles: int) -> Rule:
    """Three normals: the last with its sign, of the first two the length."""
    radius, by_radius = radial_rule(2, n)
    angle, by_angle = panel_rule(np.array([0.0, 0.5 * np.pi]), n_angles)
    sign, r, t = (part.ravel() for part in np.meshgrid([-1.0, 1.0], radius, angle, indexing="ij"))
    by_angle = by_angle * np.sin(angle)  # the cosine is uniform on (0, 1)
    weights = np.multiply.outer(by_radius, by_angle / by_angle.sum()).ravel()
    nodes = np.column_stack([r * np.sin(t), 0.0 * r, sign * r * np.cos(t)])
    return nodes, np.concatenate([weights, weights]) / 2.0


# By class: the slots of the noise of one coordinate that form a piece, and its rule.
PIECES: dict[type[Estimator], tuple[tuple[tuple[int, ...], Callable[[int, int], Rule]], ...]] = {
    MeasureValued: (((0,), normal_rule), ((1, 2, 3), sphere_rule), ((4, 5), circle_rule)),
    MeasureValuedCoupled: (((1, 2, 0), sphere_rule),),
}


def applies(estimator: Estimator) -> bool:
    """Whether the noise has an axis behind the latents, the normals of one coordinate."""
    return isinstance(estimator, tuple(PIECES))


def pieces_of(estimator: Estimator, n_latent: int, level: tuple[int, int]) -> list[Piece]:
    """Return the independent pieces of the noise of one draw."""
    own = next(pieces for kind, pieces in PIECES.items() if isinstance(estimator, kind))
    return [(k, slots, *rule(*level)) for k in range(n_latent) for slots, rule in own]


def together(pieces: Sequence[Piece]) -> tuple[list[tuple[int, int]], Floats, Floats]:
    """Return (latents and slots, nodes, weights) of several pieces as one product rule."""
    where = [(k, slot) for k, slots, _, _ in pieces for slot in slots]
    nodes, weights = tensor([(nodes, weights) for *_, nodes, weights in pieces])
    return where, np.hstack(nodes), weights


def of_datum(
    pieces: Sequence[Piece], estimates: Callable[[Floats], Floats], spec: NoiseSpec, n: int
) -> tuple[Floats, Floats, int]:
    """Return the mean and, for one latent, the variance of the change that the noise of datum n makes."""
    reference = np.full(spec.shape, 0.5)
    base = estimates(reference[None])[0]
    n_nodes = 0

    def integrated(chosen: Sequence[Piece]) -> tuple[Floats, Floats]:
        nonlocal n_nodes
        where, nodes, weights = together(chosen)
        noise = np.repeat(reference[None], len(nodes), axis=0)
        for (k, slot), column in zip(where, nodes.T, strict=True):
            noise[:, 0, n, k, slot] = column
        change = estimates(noise) - base
        first = weights @ change
        n_nodes += len(nodes)
        return first, weights @ change**2 - first**2

    alone = [integrated([piece]) for piece in pieces]
    first, second = (np.sum(part, axis=0) for part in zip(*alone, strict=True))
    if spec.shape[2] == 1:
        return first, second, n_nodes
    pairs = np.sum([integrated(pair)[0] for pair in itertools.combinations(pieces, 2)], axis=0)
    return pairs - (len(pieces) - 2) * first, np.full(first.shape, np.nan), n_nodes
