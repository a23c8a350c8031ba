"""Mean and variance of an estimate over all of its noise, integrated.

Most estimates are a sum of one term per datum (a mean over rows; a table with one block per datum), and
the noise is independent across data. So the noise of one datum at a time runs over a rule while that of
all the others stays at a reference; by linearity the changes of the mean, and by independence the
variances, add up:

    E g = g(ref) + sum_n E_n[g(noise of n, ref elsewhere) - g(ref)],   Var g = sum_n Var_n g(...)

Whether an estimate is such a sum is tried at random noise; if it is not (a baseline over the batch), the
product of the rules of all data is taken.

A rule (`rules`) is a sum over the outcomes of a discrete z, which is exact, or is refined until the mean
no longer changes: Gauss-Hermite for normal noise, then trapezoid rules, panels between the steps for uniform
noise. With a single number per datum, an integrand for which none of them converges is bisected where it is
not smooth.
Measure-valued gradients have noise of their own, and rules of their own (`measure_rules`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy

from elbo_lab.arrays import Draws, Floats
from elbo_lab.checking import measure_rules
from elbo_lab.checking.rules import (
    NotIntegrated,
    Rule,
    every_bit,
    every_chain_of_bits,
    every_order,
    every_outcome,
    every_row_of_categories,
    gumbels_of_categories,
    one_uniform_per_bit,
    one_uniform_per_category,
    one_uniform_per_draw,
    product_rule,
    tensor,
    two_uniforms_per_bit,
)
from elbo_lab.distributions import (
    BernoulliChain,
    CategoricalVector,
    Family,
    IndependentBernoulli,
    NoiseSpec,
    draw_noise,
)
from elbo_lab.estimators import (
    Estimator,
    Problem,
    Rebar,
    Relax,
    ScoreFunctionTopCategories,
    ScoreFunctionUnorderedSet,
)
from elbo_lab.exact.enumeration import all_values
from elbo_lab.exact.rules import trapezoid_rule
from elbo_lab.special import sigmoid, softmax

Estimates = Callable[[Floats], Floats]
"""From noise (R, *shape) to estimates (R, P)."""

# Rows (nodes x draws x data) per call, a few megabytes of activations.
ROWS_PER_PASS = 60_000
# (rule, nodes per axis or nodes per unit), each finer than the one before.
LEVELS = (
    ("hermite", 4),
    ("hermite", 8),
    ("hermite", 16),
    ("trapezoid", 2),
    ("trapezoid", 3),
    ("trapezoid", 4),
    ("trapezoid", 8),
    ("trapezoid", 16),
)
# In more dimensions only few nodes per axis are affordable. Three integrate f times score where f is
# quadratic, and a score alone exactly: a multiple of it that comes from other draws leaves no error.
MANY_DIMENSIONS = 4
COARSE_LEVELS = (("hermite", 3), ("hermite", 4), ("hermite", 5))
# Nodes per smooth piece of a uniform, and steps of a rule for Gumbels.
PANEL_NODES = (10, 12, 16, 24, 40)
GUMBEL_STEPS = (1.0, 0.75, 0.4, 0.3)
GUMBEL_NODES = (6, 8, 10, 12, 16, 24)
# Step and dimensions of the rule for the rounding of draws.
FINEST = (0.0625, 1)
# Of the bisection of a single number: the first panels, their nodes, and how often one is halved.
FIRST_PANELS, NODES_OF_A_PANEL, MOST_HALVINGS, MOST_PANELS = 36, 10, 45, 1000
# Of the sum over a panel, relative to the sum of magnitudes.
ROUNDING_OF_A_PANEL = 1e-13
LARGEST_UNIFORM = np.nextafter(1.0, 0.0)
# Whether an estimate has a property is tried at so many points, up to rounding.
TRIALS, ROUNDING = 100, 1e-9


class Moments(NamedTuple):
    """What was integrated.

    Attributes
    ----------
    mean, variance : ndarray (P,)
    error : float
        Last change of the mean, relative to 1 + its largest entry; 0 for a sum over outcomes.
    nodes : int
        Estimates that the last rule took.
    method : {'sum', 'nodes', 'bisection'}
    """

    mean: Floats
    variance: Floats
    error: float
    nodes: int
    method: str


class Level(NamedTuple):
    """One rule for each datum: nodes (G, rows, ...) and weights (G,); `exact` if it leaves no error."""

    rules: Sequence[Rule]
    exact: bool = False


# -- which rules -----------------------------------------------------------------------------------


def _levels(
    estimator: Estimator, problem: Problem, estimates: Estimates, spec: NoiseSpec, rows: int
) -> Iterator[Level]:
    """Yield ever finer rules for the noise of the first `rows` draws."""
    family, n_data = _family_of_draws(estimator, problem), len(problem.x)
    if family.discrete:
        eta = _eta_of_draws(estimator, problem)
        yield from _discrete_levels(estimator, family, eta, estimates, spec)
        return
    event = spec.shape[2:]
    n_dims = rows * int(np.prod(event))
    for level in LEVELS if n_dims <= MANY_DIMENSIONS else COARSE_LEVELS:
        nodes, weights = product_rule(*level, n_dims)
        nodes = nodes.reshape(-1, rows, *event)
        yield Level([(scipy.special.ndtr(nodes) if spec.kind == "uniform" else nodes, weights)] * n_data)


def error_of_rounding(estimator: Estimator, problem: Problem) -> float:
    """Return -log(r) E min(1, r / (end - z)), r the rounding of a float at the upper end of the support.

    Floats are dense at zero and nowhere else: a draw that nearly reaches another end keeps few digits of its
    distance from it, or none. An estimate made of it is off by about its own size, which grows as the log of
    that distance does. This is the largest over data and coordinates; 0 where the support has no such end.
    """
    family = _family_of_draws(estimator, problem)
    end, spec = family.support[1], family.noise_spec(1, 1)
    if family.discrete or end in (0.0, np.inf) or spec.shape != (1, 1, family.size):
        return 0.0
    nodes, weights = trapezoid_rule(*FINEST)
    noise = np.repeat(nodes[:, None, :], family.size, axis=2)
    noise = scipy.special.ndtr(noise) if spec.kind == "uniform" else noise
    distance = end - family.sample(_eta_of_draws(estimator, problem), noise)
    rounding = np.finfo(float).epsneg * abs(end)
    share = rounding / np.maximum(distance, rounding)
    return float(-np.log(rounding) * np.tensordot(weights, share, axes=1).max())


def _family_of_draws(estimator: Estimator, problem: Problem) -> Family:
    """Return the family that the draws come from."""
    from_prior = estimator.draws_from == "prior" or problem.posterior is None
    return problem.model.family if from_prior else problem.posterior.family


def _eta_of_draws(estimator: Estimator, problem: Problem) -> Floats:
    """Return eta (N, E) of the distribution that the draws come from."""
    if estimator.draws_from == "prior":
        return np.repeat(problem.model.prior_eta(problem.theta), len(problem.x), axis=0)
    return problem.posterior.eta(problem.phi, problem.x)


def _discrete_levels(
    estimator: Estimator, family: Family, eta: Floats, estimates: Estimates, spec: NoiseSpec
) -> Iterator[Level]:
    rows = spec.shape[0]
    if isinstance(estimator, ScoreFunctionTopCategories):
        yield Level([every_outcome(_outside(row, estimator.k), rows) for row in log_table(family, eta)], True)
    elif isinstance(estimator, ScoreFunctionUnorderedSet):
        yield Level([every_order(row, rows) for row in log_table(family, eta)], True)
    elif sees_only_outcomes(family, eta, estimates, spec):
        yield Level([_every_outcome(family, row, rows) for row in eta], True)
    else:
        for rules in zip(*(uniform_rules(estimator, family, row, spec.shape) for row in eta), strict=True):
            yield Level(rules)


def _every_outcome(family: Family, logits: Floats, rows: int) -> Rule:
    """Return uniforms that give every outcome of some draws of a discrete z once, and probabilities."""
    if isinstance(family, CategoricalVector):
        return every_row_of_categories(family.blocks(logits), rows)
    if isinstance(family, BernoulliChain):
        return every_chain_of_bits(family, logits, rows)
    return (every_bit if family.event_axes else every_outcome)(logits, rows)


def log_table(family: Family, eta: Floats) -> Floats:
    """Return log q of every value of a discrete z (N, G)."""
    return family.log_prob(eta, all_values(family, len(eta))).T


def _outside(log_q: Floats, k: int) -> Floats:
    """Return log q (G,) without its k largest entries."""
    rest = log_q.copy()
    rest[np.argsort(-rest, kind="stable")[:k]] = -np.inf
    return rest


def sees_only_outcomes(family: Family, eta: Floats, estimates: Estimates, spec: NoiseSpec) -> bool:
    """Return whether uniforms that give the same z give the same estimate, at random points.

    Half of them are moved to an end of their interval, where a step that is no outcome may hide.
    """
    if spec.shape[2:] != family.noise_spec(1, 1).shape[2:]:
        return False
    rng = np.random.default_rng(11)
    u, share = draw_noise(spec, rng, (TRIALS,)), draw_noise(spec, rng, (TRIALS,))
    share[: TRIALS // 4] **= 8
    share[TRIALS // 4 : TRIALS // 2] = 1.0 - share[TRIALS // 4 : TRIALS // 2] ** 8
    share = np.clip(share, 1e-9, 1.0 - 1e-9)  # off the ends themselves
    if isinstance(family, (IndependentBernoulli, BernoulliChain)):
        p = (
            family.probabilities(eta, family.sample(eta, u))
            if isinstance(family, BernoulliChain)
            else sigmoid(eta)
        )
        moved = np.where(u < p, share * p, p + share * (1.0 - p))
    else:
        # A row of ends for every uniform of a draw: one for each datum, or for each variable of each datum.
        logits = family.blocks(eta) if isinstance(family, CategoricalVector) else eta
        ends = np.cumsum(softmax(logits, axis=-1), axis=-1)
        ends[..., -1] = 1.0
        ends = np.concatenate([np.zeros((*ends.shape[:-1], 1)), ends], axis=-1)
        cell = (u[..., None] >= ends[..., 1:-1]).sum(axis=-1)
        rows = np.broadcast_to(ends, (*cell.shape, ends.shape[-1]))
        low, high = (np.take_along_axis(rows, (cell + k)[..., None], axis=-1)[..., 0] for k in (0, 1))
        moved = low + share * (high - low)
    return np.array_equal(estimates(u), estimates(moved))


def uniform_rules(
    estimator: Estimator, family: Family, logits: Floats, shape: tuple[int, ...]
) -> Iterator[Rule]:
    """Yield ever finer rules for one datum, for an estimator that sees more than an outcome."""
    rows, event = shape[0], shape[2:]
    if not family.has_slope and event in ((family.eta_size,), (family.eta_size, 2)):
        if rows > 1:
            raise NotIntegrated("Gumbels of several draws")
        if event == (family.size,) and not family.event_axes:
            yield from (one_uniform_per_category(family.size, step) for step in GUMBEL_STEPS)
            return
        tables = family.blocks(logits) if isinstance(family, CategoricalVector) else logits[None]
        yield from (gumbels_of_categories(tables, n, len(event) == 2) for n in GUMBEL_NODES)
    elif isinstance(estimator, (Rebar, Relax)):
        yield from (two_uniforms_per_bit(logits, rows, n) for n in PANEL_NODES)
    elif event == (family.size,):
        yield from (one_uniform_per_bit(logits, rows, n) for n in PANEL_NODES)
    elif not event:
        log_q = log_table(family, logits[None])[0]
        yield from (one_uniform_per_draw(log_q, rows, n) for n in PANEL_NODES)
    else:
        raise NotIntegrated(f"noise of shape {shape}")


# -- integrals -------------------------------------------------------------------------------------


def moments(
    estimator: Estimator,
    problem: Problem,
    state: Floats,
    n_draws: int,
    tolerance: float = 1e-11,
    of_variance: bool = False,
    rows: int | None = None,
) -> Moments:
    """Return mean and variance of an estimate over all of its noise.

    Parameters
    ----------
    estimator : Estimator
    problem : Problem
    state : ndarray
        Held fixed.
    n_draws : int
        S.
    tolerance : float
        Of the last change, relative to the largest entry (at least 1).
    of_variance : bool
        Whether the variance has to stand as well.
    rows : int, optional
        So many draws vary, and those behind them (of a baseline) stay at 0.5; all if not given.

    Returns
    -------
    Moments
        By the first rule that stands; if none does, by the finest that is affordable, with its error.

    Raises
    ------
    NotIntegrated
        If there are no two affordable rules.
    """
    spec = estimator.noise_for(problem, n_draws)
    rows = spec.shape[0] if rows is None or problem.model.family.discrete else rows

    def estimates(noise: Floats) -> Floats:
        return estimator.estimate(problem, noise, state)[0]

    apart = measure_rules.applies(estimator) or adds_up(estimates, spec)
    found: Moments | None = None
    try:
        for current in _ever_finer(estimator, problem, estimates, spec, rows, apart):
            if current.method == "sum":
                return current
            if found is not None:
                current = current._replace(error=_change(current, found, of_variance))
            found = current
            if found.error <= tolerance:
                return found
    except NotIntegrated:
        pass  # the next rule is too large
    if apart and rows * int(np.prod(spec.shape[2:])) == 1 and not of_variance:
        return bisected(estimates, spec, _family_of_draws(estimator, problem), tolerance)
    if found is None or found.error == np.inf:
        raise NotIntegrated(f"{estimator.name} with noise of shape {spec.shape}")
    return found


def _ever_finer(
    estimator: Estimator, problem: Problem, estimates: Estimates, spec: NoiseSpec, rows: int, apart: bool
) -> Iterator[Moments]:
    """Yield the moments by one rule after another."""
    if not measure_rules.applies(estimator):
        for level in _levels(estimator, problem, estimates, spec, rows):
            yield _by_level(estimates, spec, level, apart)
        return
    if spec.shape[0] > 1:
        raise NotIntegrated("moves of several draws")
    base = estimates(np.full((1, *spec.shape), 0.5))[0]
    for sizes in measure_rules.LEVELS:
        pieces = measure_rules.pieces_of(estimator, spec.shape[2], sizes)
        data = [measure_rules.of_datum(pieces, estimates, spec, n) for n in range(spec.shape[1])]
        mean, variance, n_nodes = (sum(part) for part in zip(*data, strict=True))
        yield Moments(base + mean, variance, np.inf, n_nodes, "nodes")


def _change(current: Moments, previous: Moments, of_variance: bool) -> float:
    pairs = list(zip(current[:2], previous[:2], strict=True))[: 2 if of_variance else 1]
    return max(float(np.abs(a - b).max() / (1.0 + np.abs(a).max())) for a, b in pairs)


def adds_up(estimates: Estimates, spec: NoiseSpec) -> bool:
    """Return whether an estimate is a sum of one term per datum, at random noise."""
    rng = np.random.default_rng(13)
    noise, other = draw_noise(spec, rng, (TRIALS,)), draw_noise(spec, rng, (TRIALS,))
    base = estimates(other)
    total = estimates(noise) - base
    for n in range(spec.shape[1]):
        one = other.copy()
        one[:, :, n] = noise[:, :, n]
        total -= estimates(one) - base
    return bool(np.abs(total).max(initial=0.0) <= ROUNDING * (1.0 + np.abs(base).max(initial=0.0)))


def in_passes(estimates: Estimates, noise: Floats, spec: NoiseSpec) -> Iterator[tuple[slice, Floats]]:
    """Yield (which nodes, their estimates) for the noise (G, ...), a few at a time."""
    per_pass = max(1, ROWS_PER_PASS // (spec.shape[0] * spec.shape[1]))
    for start in range(0, len(noise), per_pass):
        block = slice(start, start + per_pass)
        yield block, estimates(noise[block])


def _by_level(estimates: Estimates, spec: NoiseSpec, level: Level, apart: bool) -> Moments:
    """Return the moments by one rule for each datum, one datum at a time or all together."""
    reference = np.full(spec.shape, 0.5)
    base = estimates(reference[None])[0]
    rules: list[tuple[list[int], Draws, Floats]] = []
    if apart:
        rules = [([n], nodes[:, :, None], weights) for n, (nodes, weights) in enumerate(level.rules)]
    else:
        parts, weights = tensor(level.rules)
        rules = [(list(range(len(parts))), np.stack(parts, axis=2), weights)]
    mean, variance = base.copy(), np.zeros(base.shape)
    for data, nodes, weights in rules:
        first, second = np.zeros(base.shape), np.zeros(base.shape)
        noise = np.repeat(reference[None], len(nodes), axis=0)
        noise[:, : nodes.shape[1], data] = nodes
        for block, values in in_passes(estimates, noise, spec):
            change = values - base
            first += weights[block] @ change
            second += weights[block] @ change**2
        mean += first
        variance += second - first**2
    error, method = (0.0, "sum") if level.exact else (np.inf, "nodes")
    return Moments(mean, variance, error, sum(len(weights) for *_, weights in rules), method)


# -- one number per datum, bisected where it is not smooth -----------------------------------------


def lobatto_rule(n: int) -> Rule:
    """Return n Gauss-Lobatto nodes and weights on (-1, 1): a step close to an end shows, which is a node."""
    basis = np.polynomial.Legendre.basis(n - 1)
    nodes = np.concatenate([[-1.0], np.sort(basis.deriv().roots().real), [1.0]])
    return nodes, 2.0 / (n * (n - 1) * basis(nodes) ** 2)


def bisected(estimates: Estimates, spec: NoiseSpec, family: Family, tolerance: float) -> Moments:
    """Return the mean where each datum has a single number of noise: panels are halved until they stand."""
    reference = np.full(spec.shape, 0.5)
    base = estimates(reference[None])[0]
    normal = not family.discrete
    low, high = (-9.0, 9.0) if normal else (0.0, LARGEST_UNIFORM)
    x, w = lobatto_rule(NODES_OF_A_PANEL)
    total, error, n_nodes = base.copy(), 0.0, 0
    for n in range(spec.shape[1]):

        def of_panels(ends: Floats, n: int = n) -> tuple[Floats, Floats]:
            """Return the integrals of the change, and of its magnitude, over panels [low, high] (M, 2)."""
            half = 0.5 * (ends[:, 1] - ends[:, 0])[:, None]
            points = ends[:, :1] + half * (x + 1.0)
            density = np.exp(-0.5 * points**2) / np.sqrt(2.0 * np.pi) if normal else np.ones(points.shape)
            noise = np.repeat(reference[None], points.size, axis=0)
            values = (
                scipy.special.ndtr(points.ravel()) if normal and spec.kind == "uniform" else points.ravel()
            )
            noise.reshape(points.size, spec.shape[0], spec.shape[1], -1)[:, 0, n, 0] = values
            change = np.concatenate([part for _, part in in_passes(estimates, noise, spec)]) - base
            terms = (half * w * density)[..., None] * change.reshape(*points.shape, -1)
            return terms.sum(axis=1), np.abs(terms).sum(axis=1)

        edges = np.linspace(low, high, FIRST_PANELS + 1)
        panels = np.column_stack([edges[:-1], edges[1:]])
        values, _ = of_panels(panels)
        for _ in range(MOST_HALVINGS):
            middle = panels.mean(axis=1)
            halves = np.stack([panels[:, 0], middle, middle, panels[:, 1]], axis=1).reshape(-1, 2)
            finer, magnitude = of_panels(halves)
            n_nodes += finer.shape[0] * NODES_OF_A_PANEL
            pairs = finer.reshape(len(panels), 2, -1)
            change = np.abs(pairs.sum(axis=1) - values).max(axis=1)
            of_rounding = ROUNDING_OF_A_PANEL * magnitude.reshape(pairs.shape).sum(axis=1).max(axis=1)
            stands = change <= np.maximum(0.01 * tolerance, of_rounding)
            total += pairs[stands].sum(axis=(0, 1))
            error += float(change[stands].sum())
            panels = halves.reshape(-1, 2, 2)[~stands].reshape(-1, 2)
            values = pairs[~stands].reshape(-1, len(base))
            if not len(panels):
                break
            if len(panels) > MOST_PANELS:
                raise NotIntegrated(f"{len(panels):,} panels that do not stand")
        else:
            raise NotIntegrated("a panel that never stands")
    return Moments(total, np.full(base.shape, np.nan), error, n_nodes, "bisection")
