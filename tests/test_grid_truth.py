"""The marks of the grid are true: what it allows trains, and what it refuses fails or is wrong.

Every cell has four factors: model, family of q, objective, estimator. Models, and families, that declare the
same things are one level. Of the allowed cells the normal suite takes so many that every pair of levels
occurs that occurs in all; of the refused ones one for every reason and what it is about. `-m slow` takes all
that are allowed.

A refusal is tried by going around it. What must then happen depends on its reason: an error, a density of
zero, or a mean that is not the gradient. A mean is wrong if it differs from that of an unbiased estimator by
more than LIMIT standard errors of R repeats each; for a right one that has a probability below 1e-6.
"""

import warnings
from functools import cache
from itertools import combinations

import numpy as np
import pytest

from elbo_lab.distributions import (
    DiagonalGaussian,
    FullGaussian,
    Gumbel,
    Laplace,
    Logistic,
    LogNormal,
    draw_noise,
)
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.estimators import (
    ElboSampled,
    MeasureValued,
    MeasureValuedCoupled,
    Reparameterization,
    ScoreFunction,
    ScoreFunctionDelta,
    ScoreFunctionDeltaUnit,
)
from elbo_lab.estimators.score.control_variates import Linearised, linear_part
from elbo_lab.exact import Problem
from elbo_lab.fitting import grid as grids
from elbo_lab.models import PPCA
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import ESTIMATORS, SMALL_TABLE, small_models
from elbo_lab.training import OBJECTIVES, Plan, Training

MOST_CELLS = 400
STEPS, DRAWS = 3, 4
REPEATS, LIMIT = 250, 7.0
MODELS = {model.label: model for model in small_models()}
BY_KEY = {(one.target, one.name): one for one in ESTIMATORS.values()}


@cache
def cells():
    return grids.grid().cells


# -- a covering set ----------------------------------------------------------------------------------


def model_level(model):
    """Return what a model declares: models alike in this are one level."""
    return (
        model.family.name,
        model.posterior_family.name,
        bool(model.layout.size),
        model.global_latents,
        model.relaxes,
        model.all_observed,
        bool(model.formula_only),
    )


def family_level(family):
    """Return what a family declares, or the reason why it has no member."""
    if isinstance(family, NotApplicable):
        return family.reason
    declared = (family.discrete, family.event_axes, family.has_path, family.has_slope)
    return (*declared, family.support, family.scores_foreign_z, type(family) is DiagonalGaussian)


def levels_of(found):
    """Return the four levels of every cell."""
    families = {name: grids.families_of(model) for name, model in MODELS.items()}
    return [
        (
            model_level(MODELS[cell.model]),
            family_level(families[cell.model][cell.family]),
            cell.objective,
            (cell.parameters, cell.estimator),
        )
        for cell in found
    ]


def covering(rows):
    """Return indices of rows in which every pair of levels of two factors that occurs in the rows occurs.

    Greedy and deterministic: always the row with the most pairs that are still open, the first of several.
    """
    pairs = [frozenset(combinations(enumerate(row), 2)) for row in rows]
    distinct = {}
    for index, found in enumerate(pairs):
        distinct.setdefault(found, index)
    still_open, chosen = frozenset().union(*distinct), []
    while still_open:
        best = max(distinct, key=lambda found: (len(found & still_open), -distinct[found]))
        chosen.append(distinct[best])
        still_open -= best
    return chosen


def covered(found):
    return [found[index] for index in covering(levels_of(found))]


def test_a_covering_set_has_every_pair_and_is_smaller_than_all():
    rows = [(a, b, c) for a in range(4) for b in range(3) for c in range(3) if (a, b) != (0, 0)]
    chosen = [rows[index] for index in covering(rows)]
    wanted = {pair for row in rows for pair in combinations(enumerate(row), 2)}
    assert {pair for row in chosen for pair in combinations(enumerate(row), 2)} == wanted
    assert len(chosen) <= 16 < len(rows)


# -- what is allowed ---------------------------------------------------------------------------------


def problem_of(cell):
    """Return the Problem of a cell on the small table, at the start of a training."""
    model = MODELS[cell.model]
    q = grids.small_q(model, grids.families_of(model)[cell.family])
    rng, x = np.random.default_rng(0), model.as_data(SMALL_TABLE)
    return Problem(model, q, model.random_theta(x, rng), q.initial(rng), x)


def estimator_of(cell):
    kind = OBJECTIVES[cell.objective]
    return BY_KEY[kind.targets[cell.parameters], cell.estimator]


def partner_of(cell):
    """Return {argument: estimator} for the other vector of the objective: the first that is allowed."""
    kind = OBJECTIVES[cell.objective]
    others = {
        one.parameters: one
        for one in reversed(cells())
        if one[:3] == cell[:3] and one.parameters != cell.parameters and one.reason is None
    }
    return {f"{name}_estimator": estimator_of(others[name]) for name in kind.targets if name in others}


def three_steps(cell):
    """Return what three steps of training end with."""
    problem, one = problem_of(cell), estimator_of(cell)
    if not problem.model.layout.size:  # the objectives of a fit also learn a theta; phi is moved by hand
        return by_hand(problem, one)
    kind = OBJECTIVES[cell.objective]
    chosen = {f"{cell.parameters}_estimator": one} | partner_of(cell)
    objective = kind(problem.model, problem.posterior, problem.x, draws=DRAWS, **chosen)
    training = Training(objective, Plan(epochs=STEPS, batch=len(problem.x)), seed=1)
    training.run()
    return np.concatenate(list(training.params.values()))


def by_hand(problem, one):
    rng, state, phi = np.random.default_rng(1), one.initial_state(problem), problem.phi
    for _ in range(STEPS):
        noise = draw_noise(one.noise_for(problem, DRAWS), rng)
        gradient, state = one.estimate(problem._replace(phi=phi), noise, state)
        phi = phi + 1e-3 * gradient
    return phi


def untrue_permission(cell):
    """Return what goes wrong in a cell that is allowed, or ''."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ended = three_steps(cell)
    except Exception as fault:
        return f"{type(fault).__name__}: {fault}"
    return "" if np.all(np.isfinite(ended)) else "not finite"


def allowed(among):
    return [cell for cell in among if cell.reason is None]


def test_what_the_grid_allows_trains_for_three_steps():
    chosen = covered(allowed(cells()))
    assert len(chosen) <= MOST_CELLS
    found = {cell[:5]: untrue_permission(cell) for cell in chosen}
    assert {cell: fault for cell, fault in found.items() if fault} == {}


# -- what is refused ---------------------------------------------------------------------------------

# What a reason is about: where it holds for one, it holds for all others of these levels.
ABOUT_THE_MODEL = {Reason.NOTHING_HIDDEN, Reason.FORMULA_ONLY, Reason.NO_THETA, Reason.NEEDS_NEW_ROWS}
ABOUT_THE_PAIR = {Reason.SUPPORT, Reason.NEEDS_TWO_LATENTS}


# Refused, and not shown to be wrong here: near the start of a training the layers of a chain hardly depend.
TOO_NARROW = {("bernoulli-chain", "arm"), ("bernoulli-chain", "disarm")}


def facts(among):
    """Return one cell for every reason and what it is about, of the cells that are refused."""
    # Of a z with one value every gradient is zero, and every estimator right.
    one_value = {label for label, model in MODELS.items() if model.family.n_values == 1}
    among = [c for c in among if c.reason in ABOUT_THE_MODEL or (c.reason and c.model not in one_value)]
    found = {}
    for cell, (model, family, objective, one) in zip(among, levels_of(among), strict=True):
        about = (model,)
        if cell.reason in ABOUT_THE_PAIR:
            about = (model[:2], family, OBJECTIVES[objective].ascends)
        elif cell.reason not in ABOUT_THE_MODEL:
            about = (family, one)
        found.setdefault((cell.reason, *about), cell)
    return list(found.values())


def fails(call):
    """Whether a call ends in an error or in a number that is not finite."""
    try:
        with np.errstate(all="ignore"):
            value = call()
    except Exception:
        return True
    return not np.all(np.isfinite(value))


def repeats(problem, one, n_repeats=REPEATS):
    """Return R estimates (R, P)."""
    rng, spec = np.random.default_rng(2), one.noise_for(problem, DRAWS)
    noise = np.stack([draw_noise(spec, rng) for _ in range(n_repeats)])
    with np.errstate(all="ignore"):
        return one.estimate(problem, noise, one.initial_state(problem))[0]


def apart(found, right):
    """Whether two samples (R, ...) have different means."""
    error = np.sqrt(found.var(axis=0) / len(found) + right.var(axis=0) / len(right))
    return bool(np.any(np.abs(found.mean(axis=0) - right.mean(axis=0)) > LIMIT * np.maximum(error, 1e-12)))


def is_off(problem, one):
    """Whether an estimator fails, or its mean is not that of the score function or of the sampled theta."""
    if fails(lambda: repeats(problem, one, 2)):
        return True
    if isinstance(one, Linearised) and putting_back_is_off(problem):
        return True
    reference = ScoreFunction() if one.target.startswith("grad-phi") else ElboSampled()
    found = repeats(problem, one)
    return fails(lambda: found) or apart(found, repeats(problem, reference))


def putting_back_is_off(problem):
    """Whether E[l h] of a linearisation, which the estimator puts back, is not the mean of l h over draws."""
    family, eta = problem.posterior.family, problem.posterior.eta(problem.phi, problem.x)
    z = family.sample(eta, draw_noise(family.noise_spec(40 * REPEATS, len(eta)), np.random.default_rng(5)))
    linear, _, by_score = linear_part(problem, eta, z)
    return apart(linear[..., None] * family.score(eta, z), np.broadcast_to(by_score, (1, *by_score.shape)))


def kind_of_values(family):
    """Return shape and type of a draw, and whether it is one of a list."""
    noise = draw_noise(family.noise_spec(2, 1), np.random.default_rng(3))
    z = family.sample(np.zeros((1, family.eta_size)), noise)
    return z.shape, z.dtype.kind, family.discrete, family.size


def foreign_values(q, prior, objective):
    """Whether q and a prior are over different values: other kinds, or z of the one without density."""
    if kind_of_values(q) != kind_of_values(prior):
        return True
    inner, outer = (prior, q) if q.lies_within(prior) and not objective.ascends else (q, prior)
    noise = draw_noise(inner.noise_spec(200, 1), np.random.default_rng(3))
    z = inner.sample(np.zeros((1, inner.eta_size)), noise)
    return fails(lambda: outer.log_prob(np.zeros((1, outer.eta_size)), z))


def is_true(cell):
    """Whether the reason of a refused cell is what stands in the way."""
    reason, model = cell.reason, MODELS[cell.model]
    if reason is Reason.NOTHING_HIDDEN:
        return model.family.n_values == 1 and model.all_observed
    if reason is Reason.FORMULA_ONLY:
        return bool(model.formula_only)
    if reason is Reason.NO_THETA:
        return model.layout.size == 0
    family = grids.families_of(model)[cell.family]
    if reason is Reason.NEEDS_TWO_LATENTS:
        return isinstance(family, NotApplicable) and model.latent_dim < 2
    if reason is Reason.SUPPORT:
        return foreign_values(family, model.family, OBJECTIVES[cell.objective])
    if reason is Reason.NEEDS_NEW_ROWS:
        # It gives other rows the q of those that it has.
        _, q, _, phi, x = problem_of(cell)
        return np.array_equal(q.eta(phi, 2.0 * x), q.eta(phi, x))
    if reason is Reason.TOO_MANY_VALUES:
        return family.n_values > estimator_of(cell).most_values
    return is_off(near_the_start(model, family), estimator_of(cell))


def near_the_start(model, family):
    """Return a Problem with an eta of its own for every row, off the start of a training."""
    x = model.as_data(SMALL_TABLE)[:2]
    q, rng = FreePosterior(family, len(x)), np.random.default_rng(4)
    phi = q.initial(rng)
    return Problem(model, q, model.random_theta(x, rng), phi + 0.2 * rng.standard_normal(phi.shape), x)


def test_the_reasons_of_the_grid_are_true():
    false = {(cell.family, cell.estimator) for cell in facts(cells()) if not is_true(cell)}
    assert false == TOO_NARROW


@pytest.mark.slow
def test_every_cell_that_the_grid_allows_trains_for_three_steps():
    found = {cell[:5]: untrue_permission(cell) for cell in allowed(cells())}
    assert {cell: fault for cell, fault in found.items() if fault} == {}


# -- planted faults ----------------------------------------------------------------------------------


class SaysThatItNeedsBits(ScoreFunction):
    """A false reason: the score function takes any z."""

    name = "says-that-it-needs-bits"
    latents = "bits"


class SaysThatItNeedsSymmetry(Reparameterization):
    """A false reason: the path takes any continuous z."""

    name = "says-that-it-needs-symmetry"
    latents = "symmetric"


class SaysThatItHasNoPath(DiagonalGaussian):
    """A false reason: this family has a path."""

    has_path = False


class SaysThatItIsPositive(DiagonalGaussian):
    """A false support: z is any number."""

    support = (0.0, np.inf)


MODEL = PPCA(3, 2)


@pytest.mark.parametrize(
    ("one", "family"),
    [
        (SaysThatItNeedsBits(), DiagonalGaussian(2)),
        (SaysThatItNeedsSymmetry(), FullGaussian(2)),
        (Reparameterization(), SaysThatItHasNoPath(2)),
    ],
)
def test_a_false_reason_of_an_estimator_is_found(one, family):
    with pytest.raises(NotApplicable):
        one.check_pairing(MODEL, FreePosterior(family, 2))
    assert not is_off(near_the_start(MODEL, family), one)


def test_a_false_support_is_found():
    prior, q = SaysThatItIsPositive(2), DiagonalGaussian(2)
    assert not q.lies_within(prior)
    assert not foreign_values(q, prior, OBJECTIVES["elbo"])
    assert foreign_values(q, LogNormal(2), OBJECTIVES["elbo"])


@pytest.mark.parametrize("family", [FullGaussian(2), Gumbel(2), LogNormal(2)])
def test_the_refusals_found_too_narrow_were_not_too_wide(family):
    """A linearisation puts back the wrong mean where q is not symmetric, or its coordinates depend."""
    assert is_off(near_the_start(MODEL, family), ScoreFunctionDelta())


@pytest.mark.parametrize("family", [Laplace(2), Logistic(2)])
def test_a_linearisation_puts_back_the_right_mean_for_every_symmetric_q(family):
    assert not is_off(near_the_start(MODEL, family), ScoreFunctionDelta())
    assert not is_off(near_the_start(MODEL, family), ScoreFunctionDeltaUnit())


def test_measures_move_the_gaussian_behind_a_log_normal():
    problem = near_the_start(MODEL, LogNormal(2))
    assert not is_off(problem, MeasureValued()) and not is_off(problem, MeasureValuedCoupled())


class Explodes(ScoreFunction):
    """A false permission."""

    name = "explodes"

    def estimate(self, problem, noise, state=None):  # noqa: ARG002
        return np.full_like(problem.phi, np.nan), state


def test_a_false_permission_is_found(monkeypatch):
    cell = next(c for c in allowed(cells()) if c.estimator == "score-function")
    assert untrue_permission(cell) == ""
    monkeypatch.setitem(BY_KEY, ("grad-phi-elbo", "score-function"), Explodes())
    assert untrue_permission(cell) != ""
