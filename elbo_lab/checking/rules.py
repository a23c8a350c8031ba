"""Nodes and weights for all of the noise of one datum, discrete or continuous.

A rule is a pair of nodes (G, rows, ...), the noise of one datum as an estimator gets it, and weights (G,)
that sum to one: E g(noise) = sum_i weights_i g(nodes_i).

**Normal noise.** Gauss-Hermite is exact for the polynomials of linear models. A tanh or softplus has poles
near the real line, where Gauss-Hermite crawls (error about exp(-c sqrt n)) and the trapezoid rule does not
(exp(-c / step); Trefethen and Weideman 2014).

**Discrete z.** Each outcome of S categories, or of S K bits, once, the uniforms in the middle of the
intervals that give it, with its exact probability.

**Uniforms of which more is seen than the outcome.** A bit turns where its uniform passes p =
sigmoid(logit), its antithetic partner where it passes 1 - p: a Gauss-Legendre rule on each piece between.
A relaxation at temperature 1/2 is a rational function of u there, so that the rule converges
geometrically. A Gumbel relaxation of a category has a logarithm at both ends of u = exp(-e^t): in t the
trapezoid rule converges geometrically instead.
"""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import BernoulliChain
from elbo_lab.exact.rules import panel_rule
from elbo_lab.special import sigmoid, softmax

Rule = tuple[Floats, Floats]
"""Nodes (G, ...) and weights (G,)."""

# Product weights below this share cannot change a sum in double precision.
NEGLIGIBLE = 1e-19
# Of a rule for Gumbels, which has three axes.
NEGLIGIBLE_GUMBEL = 1e-16
# A rule with more nodes than this is not tried.
MOST_NODES = 160_000


class NotIntegrated(Exception):
    """No affordable rule stands; this says nothing about the estimator."""


# -- normal noise ----------------------------------------------------------------------------------


def one_axis(rule: str, n: int) -> Rule:
    """Return nodes and weights (summing to one) of E f(eps), eps ~ N(0, 1).

    Parameters
    ----------
    rule : {'hermite', 'trapezoid'}
    n : int
        Nodes in all, or nodes per unit of eps.
    """
    if rule == "hermite":
        nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    else:
        nodes = np.arange(-9 * n, 9 * n + 1) / n
        weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()


def product_rule(rule: str, n: int, n_dims: int) -> Rule:
    """Return nodes (G, n_dims) and weights (G,) of E f(eps), eps ~ N(0, I)."""
    return _power(*one_axis(rule, n), n_dims, NEGLIGIBLE)


def _power(nodes: Floats, weights: Floats, n_dims: int, negligible: float) -> Rule:
    """Return the product of a rule of one number with itself, without what is negligible."""
    kept, kept_weights = np.zeros((1, 0)), np.ones(1)
    for _ in range(n_dims):
        grown = np.outer(kept_weights, weights)
        rows, columns = np.nonzero(grown > negligible)
        kept = np.column_stack([kept[rows], nodes[columns]])
        kept_weights = grown[rows, columns]
        check_size(len(kept_weights))
    return kept, kept_weights


# -- outcomes of a discrete z ----------------------------------------------------------------------


def every_outcome(logits: Floats, n_draws: int) -> Rule:
    """Return uniforms (C^S, S) that give every outcome of S categories once, and probabilities."""
    p = softmax(logits, axis=0)
    check_size(len(p) ** n_draws)
    outcomes = np.array(list(itertools.product(range(len(p)), repeat=n_draws)))
    return (np.cumsum(p) - 0.5 * p)[outcomes], p[outcomes].prod(axis=1)


def every_bit(logits: Floats, n_draws: int) -> Rule:
    """Return uniforms (2^(S K), S, K) that give every outcome of S rows of bits once, and probabilities."""
    p = np.tile(sigmoid(logits), n_draws)
    check_size(2 ** len(p))
    outcomes = np.array(list(itertools.product([True, False], repeat=len(p))))
    uniforms = np.where(outcomes, 0.5 * p, 0.5 + 0.5 * p)
    return uniforms.reshape(-1, n_draws, len(logits)), np.where(outcomes, p, 1.0 - p).prod(axis=1)


def every_row_of_categories(logits: Floats, n_draws: int) -> Rule:
    """Return uniforms (C^(S K), S, K) that give every outcome of S rows of categories, logits (K, C)."""
    rules = [every_outcome(row, 1) for row in np.tile(logits, (n_draws, 1))]
    nodes, weights = tensor(rules)
    return np.concatenate(nodes, axis=-1).reshape(-1, n_draws, len(logits)), weights


def every_chain_of_bits(family: BernoulliChain, eta: Floats, n_draws: int) -> Rule:
    """Return what `every_bit` does, (2^(S K), S, K), for bits whose probabilities depend on those before.

    Parameters
    ----------
    family : BernoulliChain
    eta : ndarray (E,)
    n_draws : int
        S.
    """
    check_size(2 ** (n_draws * family.size))
    outcomes = np.array(list(itertools.product([1.0, 0.0], repeat=n_draws * family.size)))
    z = outcomes.reshape(-1, n_draws, family.size)
    p = family.probabilities(eta[None], z[:, :, None])[:, :, 0]
    uniforms = np.where(z == 1.0, 0.5 * p, 0.5 + 0.5 * p)
    return uniforms, np.where(z == 1.0, p, 1.0 - p).prod(axis=(1, 2))


def uniforms_of_order(logits: Floats, order: Sequence[int], n_draws: int) -> tuple[Floats, float]:
    """Return uniforms (S,) that draw values in this order without replacement, and its probability.

    The uniforms of draws that are no longer needed are 0.5.
    """
    left, uniforms, probability = softmax(logits, axis=0), np.full(n_draws, 0.5), 1.0
    for draw, value in enumerate(order):
        p = left / left.sum()
        uniforms[draw] = np.cumsum(p)[value] - 0.5 * p[value]
        probability *= p[value]
        left[value] = 0.0
    return uniforms, probability


def every_order(logits: Floats, n_draws: int) -> Rule:
    """Return the uniforms of every sequence of S draws without replacement, and probabilities."""
    orders = itertools.permutations(range(len(logits)), min(n_draws, len(logits)))
    nodes, weights = zip(*(uniforms_of_order(logits, order, n_draws) for order in orders), strict=True)
    return np.array(nodes), np.array(weights)


# -- uniforms of which more is seen ----------------------------------------------------------------


def panels(edges: Iterable[float], n: int) -> Rule:
    """Return Gauss-Legendre nodes and weights of n nodes on every piece between 0, the edges and 1."""
    return panel_rule(np.unique([0.0, *edges, 1.0]), n)


def tensor(rules: Sequence[Rule]) -> tuple[list[Floats], Floats]:
    """Return the nodes of each rule at every node of their product, [(G, ...), ...], and its weights (G,)."""
    check_size(int(np.prod([float(len(weights)) for _, weights in rules])))
    index = np.meshgrid(*[np.arange(len(weights)) for _, weights in rules], indexing="ij")
    product = np.ones(1)
    for _, weights in rules:
        product = np.multiply.outer(product, weights).ravel()
    return [nodes[i.ravel()] for (nodes, _), i in zip(rules, index, strict=True)], product


def one_uniform_per_draw(logits: Floats, n_draws: int, n: int) -> Rule:
    """Return nodes (G, S) of S categories, with steps where u or 1 - u passes from one to the next."""
    ends = np.cumsum(softmax(logits, axis=0))[:-1]
    nodes, weights = tensor([panels((*ends, *(1.0 - ends)), n)] * n_draws)
    return np.stack(nodes, axis=-1), weights


def one_uniform_per_bit(logits: Floats, n_draws: int, n: int) -> Rule:
    """Return nodes (G, S, K) of S rows of bits, with steps at p and 1 - p."""
    nodes, weights = tensor([panels((p, 1.0 - p), n) for p in np.tile(sigmoid(logits), n_draws)])
    return np.stack(nodes, axis=-1).reshape(-1, n_draws, len(logits)), weights


def two_uniforms_per_bit(logits: Floats, n_draws: int, n: int) -> Rule:
    """Return nodes (G, S, K, 2) of S rows of bits: steps in the first of each pair only."""
    ends = np.tile(sigmoid(logits), n_draws)
    nodes, weights = tensor([rule for p in ends for rule in (panels((p,), n), panels((), n))])
    return np.stack(nodes, axis=-1).reshape(-1, n_draws, len(logits), 2), weights


def one_uniform_per_category(n_categories: int, step: float) -> Rule:
    """Return nodes (G, 1, C) of one draw, u = exp(-e^t) with t on a grid of this step."""
    t = np.arange(-36.0, 3.7, step)
    axis = step * np.exp(t - np.exp(t))
    nodes, weights = _power(np.exp(-np.exp(t)), axis / axis.sum(), n_categories, NEGLIGIBLE_GUMBEL)
    return nodes[:, None], weights / weights.sum()


def _exponentials(size: int, drawn: int, n: int) -> Rule:
    """Return C exponentials over their sum (G, C), and weights: an even law on the simplex.

    What depends on the ratios of one, that of the category that was drawn, to the others has no limit where
    it and another vanish together. Of three the simplex is halved, and each half has coordinates around the
    corner where two vanish. Of more it is not, and the rule converges slowly.
    """
    x, w = panels((), n)
    if size != 3:
        # Breaking a stick: the part broken off first of C has density (C - 1) (1 - b)^(C - 2).
        rules = [(x, w * left * (1.0 - x) ** (left - 1)) for left in range(size - 1, 0, -1)]
        parts, weights = tensor(rules)
        rest, nodes = np.ones(len(weights)), []
        for part in parts:
            nodes.append(rest * part)
            rest = rest * (1.0 - part)
        return np.stack([*nodes, rest], axis=-1), weights
    (share, a), weights = tensor([(x, w), (x, w)])
    vanishing = a / (1.0 + share)  # the sum of the two that vanish at the corner
    halves = []
    for corner in sorted({0, 1, 2} - {drawn}):
        half = np.empty((len(weights), 3))
        half[:, corner] = 1.0 - vanishing
        half[:, drawn] = vanishing * (1.0 - share)
        half[:, 3 - corner - drawn] = vanishing * share
        halves.append(half)
    return np.concatenate(halves), np.tile(weights * 2.0 * vanishing / (1.0 + share), 2)


def _gumbels(logits: Floats, n: int, given: bool) -> Rule:
    """Return uniforms (G, C, 1) of one category, or (G, C, 2), and weights: a smooth rule for each outcome.

    With exponentials e_c the category of -log u_c is that of the least -log(u_c) / p_c; given that it is b,
    -log u_b = p_b e_b and -log u_c = p_c e_b + e_c. A common factor of all e_c changes no outcome and no
    difference of Gumbels, so that the e_c may have the sum one.
    """
    p, nodes, weights = softmax(logits, axis=0), [], []
    for b, p_b in enumerate(p):
        (e, *others), w = tensor([_exponentials(len(p), b, n)] * (2 if given else 1))
        rates = p * e[:, b : b + 1] + np.where(np.arange(len(p)) == b, 0.0, e)
        nodes.append(np.exp(-np.stack([rates, *others], axis=-1)))
        weights.append(p_b * w)
    return np.concatenate(nodes), np.concatenate(weights)


def gumbels_of_categories(logits: Floats, n: int, given: bool = False) -> Rule:
    """Return nodes (G, 1, K C) of one draw of K categories, logits (K, C).

    With a second Gumbel for every category, of the law given the draw, they are (G, 1, K C, 2).
    """
    parts, weights = tensor([_gumbels(row, n, given) for row in logits])
    nodes = np.concatenate(parts, axis=1)[:, None]
    return nodes if given else nodes[..., 0], weights


def check_size(n_nodes: int) -> None:
    """Refuse a rule of too many nodes.

    Raises
    ------
    NotIntegrated
    """
    if n_nodes > MOST_NODES:
        raise NotIntegrated(f"{n_nodes:,} nodes, more than {MOST_NODES:,}")
