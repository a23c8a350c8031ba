"""Mean and variance of an estimate over all of its noise, without luck.

An estimate is a sum of one term per datum (a mean over rows; a table with one block per datum), and
the noise is independent across data. So the noise of one datum at a time runs over a rule while
that of all the others stays at a reference; by linearity the changes of the mean, and by
independence the variances, add up over the data:

    E g = g(ref) + sum_n E_n[g(noise of n, ref elsewhere) - g(ref)],   Var g = sum_n Var_n g(...)

The rule for one datum has S draws x K dimensions. Continuous: a product rule, refined until the
mean stands. Gauss-Hermite first, which is exact for the polynomials of the linear models; then a
trapezoid rule, since a tanh or softplus has poles near the real line where Gauss-Hermite crawls
(error about exp(-c sqrt n)) and the trapezoid rule does not (exp(-c / step)). Discrete: each outcome
of S categories, or of S K bits, once, the uniforms in the middle of the intervals that give it,
with its exact probability. Estimators that pick z by its number treat the values of bits like
categories. Measure-valued gradients have noise of their own, and rules of their own
(`measure_integrals`).

Further draws, behind the S of the bound, serve baselines only, and a baseline changes no mean whatever
it is made of. Discrete: they are enumerated too. Continuous: they stay at the reference, and the variance
is then that of the other draws alone.
"""

import itertools

import numpy as np
from uniform_rules import one_uniform_per_bit, one_uniform_per_category, two_uniforms_per_bit

from elbo_lab.exact.enumeration import all_values

# Rows (nodes x draws x data) per call, a few megabytes of activations.
ROWS_PER_PASS = 60_000
# Product weights below this share cannot change a sum in double precision.
NEGLIGIBLE = 1e-19
# (rule, nodes per axis or nodes per unit), each finer than the one before.
LEVELS = (
    ("hermite", 4),
    ("hermite", 8),
    ("hermite", 16),
    ("trapezoid", 4),
    ("trapezoid", 8),
    ("trapezoid", 16),
)
# In more dimensions only few nodes per axis are affordable. Three integrate f times score where f is
# quadratic, and a score alone exactly: a multiple of it that comes from other draws leaves no error.
MANY_DIMENSIONS = 4
COARSE_LEVELS = (("hermite", 3), ("hermite", 4), ("hermite", 5))

# Gauss-Legendre nodes per smooth piece of a uniform: K = 2 bits with two uniforms each have four axes.
UNIFORM_NODES = 10
# Where a network of the relaxed bits is added, whose weights may be anything (10 err by 4e-10, 12 by 1e-11).
NODES_UNDER_A_NETWORK = 12

# A product rule with more nodes than this is not tried: the coarse ones must do.
MOST_NODES = 100_000


class NotIntegrated(AssertionError):
    """No affordable rule stands; this says nothing about the estimator."""


def one_axis(rule, n):
    """Return nodes and weights (summing to one) of E f(eps), eps ~ N(0, 1)."""
    if rule == "hermite":
        nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    else:
        nodes = np.arange(-9 * n, 9 * n + 1) / n
        weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()


def product_rule(rule, n, n_dims):
    """Return nodes (G, n_dims) and weights (G,) of E f(eps), eps ~ N(0, I)."""
    nodes, weights = one_axis(rule, n)
    kept, kept_weights = np.zeros((1, 0)), np.ones(1)
    for _ in range(n_dims):
        grown = np.outer(kept_weights, weights)
        rows, columns = np.nonzero(grown > NEGLIGIBLE)
        kept = np.column_stack([kept[rows], nodes[columns]])
        kept_weights = grown[rows, columns]
    return kept, kept_weights


def every_outcome(logits, n_draws):
    """Return uniforms (K^S, S) that give every outcome of S categories once, and probabilities."""
    p = np.exp(logits - logits.max())
    p = p / p.sum()
    upper = np.cumsum(p)
    outcomes = np.array(list(itertools.product(range(len(p)), repeat=n_draws)))
    return (upper - 0.5 * p)[outcomes], p[outcomes].prod(axis=1)


def outside_of_the_top(estimator, logits, n_draws):
    """Return the uniforms of every outcome of S draws from what is less probable than the top k."""
    rest = np.array(logits)
    rest[np.argsort(-rest, kind="stable")[: estimator.k]] = -np.inf
    return getattr(estimator, "every_outcome", every_outcome)(rest, n_draws)


def uniforms_of_order(logits, order, n_draws):
    """Return uniforms (S,) that draw values in this order without replacement, and its probability.

    The uniforms of draws that are no longer needed are 0.5.
    """
    left, uniforms, probability = np.exp(logits - logits.max()), np.full(n_draws, 0.5), 1.0
    for draw, value in enumerate(order):
        p = left / left.sum()
        uniforms[draw] = np.cumsum(p)[value] - 0.5 * p[value]
        probability *= p[value]
        left[value] = 0.0
    return uniforms, probability


def every_order(_, logits, n_draws):
    """Return the uniforms of every sequence of S draws without replacement, and probabilities."""
    orders = itertools.permutations(range(len(logits)), min(n_draws, len(logits)))
    nodes, weights = zip(*(uniforms_of_order(logits, order, n_draws) for order in orders), strict=True)
    return np.array(nodes), np.array(weights)


# Estimators that pick z by its number, in a way of their own: (estimator, log q of every value, S) -> rule.
OUTCOMES = {"score-function-top-categories": outside_of_the_top, "score-function-unordered-set": every_order}


def every_bit(logits, n_draws):
    """Return uniforms (2^(S K), S, K) that give every outcome of S rows of bits once, and probabilities."""
    p = np.tile(1.0 / (1.0 + np.exp(-logits)), n_draws)
    outcomes = np.array(list(itertools.product([True, False], repeat=len(p))))
    uniforms = np.where(outcomes, 0.5 * p, 0.5 + 0.5 * p)
    return uniforms.reshape(-1, n_draws, len(logits)), np.where(outcomes, p, 1.0 - p).prod(axis=1)


def _rules(estimator, case, posterior, phi, n_draws, level):
    """Return (nodes (G, S) or (G, S, K), weights (G,)) for each datum; discrete ones with further draws."""
    family = case.model.family
    n_total = estimator.noise_spec(family, n_draws, len(case.x)).shape[0]
    if not family.discrete:
        nodes, weights = product_rule(*level, n_draws * family.size)
        rule = nodes.reshape(-1, n_draws, family.size), weights
        return [rule] * len(case.x)
    if estimator.draws_from == "prior":
        eta = np.repeat(case.model.prior_eta(case.theta), len(case.x), axis=0)
    else:
        eta = posterior.eta(phi, case.x)
    if of_discrete_room(estimator):
        assert n_draws == 1, "rules for uniform noise are for one draw"
        return [uniform_rule(estimator, family, row) for row in eta]
    if estimator.name in OUTCOMES:
        return [OUTCOMES[estimator.name](estimator, row, n_draws) for row in log_table(family, eta)]
    every = every_bit if family.event_axes else every_outcome
    outcomes = getattr(estimator, every.__name__, every)
    return [outcomes(row, n_total) for row in eta]


def log_table(family, eta):
    """Return log q of every value of a discrete z (N, G)."""
    return family.log_prob(eta, all_values(family, len(eta))).T


def of_discrete_room(estimator):
    """Return whether it sees more of the uniforms than the outcome that they give."""
    room = "elbo_lab.estimators.discrete."
    return any(kind.__module__.startswith(room) for kind in type(estimator).__mro__)


def uniform_rule(estimator, family, logits):
    """Return the rule for one draw of an estimator that sees more of the uniforms than an outcome."""
    shape = estimator.noise_spec(family, 1, 1).shape
    if not family.event_axes:
        if len(shape) == 2:
            return every_outcome(logits, 1)
        # The finer step errs by 1e-10, the coarser one by 1e-6, and is all that three axes can bear.
        return one_uniform_per_category(family.size, 0.4 if family.size < 3 else 0.75)
    if len(shape) == 4:
        return two_uniforms_per_bit(logits, NODES_UNDER_A_NETWORK if estimator.burn_in else UNIFORM_NODES)
    return one_uniform_per_bit(logits, UNIFORM_NODES)


def arbitrary_state(estimator, case, posterior, phi):
    """Return some state: laws hold whatever an estimator remembers (numbers, none of them negative)."""
    state = estimator.initial_state(case.problem(posterior, phi))
    return state + 0.5 * np.abs(np.random.default_rng(23).standard_normal(state.shape))


def holding(estimator, state):
    """Return the estimator with one state for good, for the integrals over its noise."""

    class Held(type(estimator)):
        def initial_state(self, problem):  # noqa: ARG002
            return np.zeros(0)

        def estimate(self, problem, noise, _):
            return super().estimate(problem, noise, state)[0], np.zeros(0)

    return Held()


def estimate(estimator, case, posterior, phi, noise):
    """Return the estimates of a case (..., P) on given noise, an estimator with a memory in some state."""
    state = arbitrary_state(estimator, case, posterior, phi)
    return estimator.estimate(case.problem(posterior, phi), noise, state)[0]


def _moments(estimator, case, posterior, phi, n_draws, level):
    """Return mean (P,) and variance (P,) by one rule."""
    spec = estimator.noise_spec(case.model.family, n_draws, len(case.x))
    reference = np.full(spec.shape, 0.5)
    base = estimate(estimator, case, posterior, phi, reference)
    mean, variance = base.copy(), np.zeros(base.shape)
    per_pass = max(1, ROWS_PER_PASS // (n_draws * len(case.x)))
    rules = _rules(estimator, case, posterior, phi, n_draws, level)
    for n, (nodes, weights) in enumerate(rules):
        first, second = np.zeros(base.shape), np.zeros(base.shape)
        for start in range(0, len(nodes), per_pass):
            block = slice(start, start + per_pass)
            noise = np.repeat(reference[None], len(nodes[block]), axis=0)
            noise[:, : nodes.shape[1], n] = nodes[block]
            change = estimate(estimator, case, posterior, phi, noise) - base
            first += weights[block] @ change
            second += weights[block] @ change**2
        mean += first
        variance += second - first**2
    return mean, variance


def moments(estimator, case, posterior, phi, n_draws, tolerance=1e-11, of_variance=True):
    """Return mean (P,) and variance (P,) of an estimate over all noise.

    Raises
    ------
    NotIntegrated
        If the finest rule does not reach `tolerance`, relative to the largest entry.
    """
    if is_measure_valued(estimator):
        from measure_integrals import moments as measure_moments  # it imports this module

        assert n_draws == 1
        return measure_moments(estimator, case, posterior, phi, tolerance, of_variance)
    if case.model.family.discrete:
        return _moments(estimator, case, posterior, phi, n_draws, None)
    previous, n_dims = None, n_draws * case.model.family.size
    for level in LEVELS if n_dims <= MANY_DIMENSIONS else COARSE_LEVELS:
        if len(one_axis(*level)[0]) ** n_dims > MOST_NODES:
            break
        current = _moments(estimator, case, posterior, phi, n_draws, level)
        if previous is not None:
            pairs = list(zip(current, previous, strict=True))[: 2 if of_variance else 1]
            if all(np.abs(a - b).max() <= tolerance * (1 + np.abs(a).max()) for a, b in pairs):
                return current
        previous = current
    raise NotIntegrated(f"{estimator.name} in {n_dims} dimensions")


def expected_estimate(estimator, case, posterior, phi, n_draws, tolerance=1e-11):
    """Return the expectation (P,) of an estimate over all noise."""
    return moments(estimator, case, posterior, phi, n_draws, tolerance, of_variance=False)[0]


def exact_variance(estimator, case, posterior, phi, n_draws, tolerance=1e-9):
    """Return the trace of the covariance of an estimate."""
    return moments(estimator, case, posterior, phi, n_draws, tolerance)[1].sum()


def is_measure_valued(estimator):
    """Whether the noise has an axis behind the latents, the normals of one coordinate."""
    return estimator.name.startswith("measure-valued")


def affordable_draws(estimator, case):
    """Return S so that a rule has at most two dimensions, or as few as the formula allows."""
    family = case.model.family
    if is_measure_valued(estimator) or of_discrete_room(estimator):
        return 1
    if estimator.name == "score-function-unordered-set":
        return 2  # a set of three of three values would be no random set
    # At two draws the fitted slope of the delta method is zero, and a law would test leave-one-out.
    least = 3 if estimator.name == "score-function-delta" else 1
    return admitted_draws(estimator, max(least, 3 if family.discrete else 2 // family.size))


def admitted_draws(estimator, wanted):
    """Return the least number of draws from `wanted` on that the formula admits, such as full groups."""
    for n_draws in range(wanted, wanted + 10):
        try:
            estimator.check_draws(n_draws)
        except ValueError:
            continue
        return n_draws
    raise AssertionError(f"{estimator.name} admits none of {wanted} to {wanted + 9} draws")
