"""The marks of the grid are true: what it allows trains, and what it refuses fails or is wrong.

Every cell has four factors: model, family of q, objective, estimator. Models, and families, that declare the
same things are one level. The normal suite takes cells so that every pair of levels that occurs among the allowed
cells occurs among those that are tried, and the same for the refused ones; `-m slow` takes all cells.

A refusal is tried by going around it. What must then happen depends on its reason: an error, a density of
zero, or a mean that is not the gradient. A wrong mean is one that differs from that of an unbiased estimator by
more than LIMIT standard errors, in R repeats each; a right one does so with probability below 1e-6.
"""

import warnings
from functools import cache
from itertools import combinations

import numpy as np
import pytest

from elbo_lab.distributions import DiagonalGaussian, Laplace, draw_noise
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.estimators import ElboSampled, Reparameterization, ScoreFunction
from elbo_lab.exact import Problem
from elbo_lab.fitting import grid as grids
from elbo_lab.models import PPCA
from elbo_lab.registry import ESTIMATORS, SMALL_TABLE, small_models
from elbo_lab.training import OBJECTIVES, Plan, Training

MOST_CELLS = 400
STEPS, DRAWS = 3, 4
REPEATS, LIMIT = 3000, 7.0
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
    declared = (family.discrete, family.event_axes, family.has_path, family.closed_kl, family.closed_entropy)
    limits = (family.support, family.gaussian, family.scores_foreign_z, type(family) is DiagonalGaussian)
    return (*declared, *limits)


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


def problem_of(cell, q=None):
    """Return the Problem of a cell on the small table, at the start of a training."""
    model = MODELS[cell.model]
    family = grids.families_of(model)[cell.family]
    q = grids.small_q(model, family) if q is None else q
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
    except Exception as fault:  # noqa: BLE001 - whatever it is, the mark is wrong
        return f"{type(fault).__name__}: {fault}"
    return "" if np.all(np.isfinite(ended)) else "not finite"


def allowed(among):
    return [cell for cell in among if cell.reason is None]


def test_what_the_grid_allows_trains_for_three_steps():
    found = {cell[:5]: untrue_permission(cell) for cell in covered(allowed(cells()))}
    assert {cell: fault for cell, fault in found.items() if fault} == {}


# -- what is refused ---------------------------------------------------------------------------------

# What a reason is about: where it holds for one, it holds for all others of these levels.
ABOUT_THE_MODEL = {Reason.NOTHING_HIDDEN, Reason.FORMULA_ONLY, Reason.NO_THETA}
ABOUT_THE_PAIR = {Reason.SUPPORT, Reason.NEEDS_NEW_ROWS, Reason.NEEDS_TWO_LATENTS}


def facts(among):
    """Return one cell for every reason and what it is about, of the cells that are refused."""
    among = [cell for cell in among if cell.reason is not None]
    found = {}
    for cell, (model, family, objective, one) in zip(among, levels_of(among), strict=True):
        about = (model,)
        if cell.reason in ABOUT_THE_PAIR:
            about = (model[:2], family, objective if cell.reason is Reason.NEEDS_NEW_ROWS else "")
        elif cell.reason not in ABOUT_THE_MODEL:
            about = (model[4], family, one)
        found.setdefault((cell.reason, *about), cell)
    return list(found.values())


def fails(call):
    """Whether a call ends in an error or in a number that is not finite."""
    try:
        with np.errstate(all="ignore"):
            value = call()
    except Exception:  # noqa: BLE001 - that it does not work is what is asked
        return True
    return not np.all(np.isfinite(value))


def repeats(problem, one):
    """Return R estimates (R, P); several draws each."""
    rng = np.random.default_rng(2)
    spec = one.noise_for(problem, DRAWS)
    noise = np.stack([draw_noise(spec, rng) for _ in range(REPEATS)])
    with np.errstate(all="ignore"):
        return one.estimate(problem, noise, one.initial_state(problem))[0]


def is_off(problem, one):
    """Whether an estimator fails, or its mean is not that of the score function or of the sampled theta."""
    reference = ScoreFunction() if one.target.startswith("grad-phi") else ElboSampled()
    if fails(lambda: repeats(problem, one)):
        return True
    found, right = repeats(problem, one), repeats(problem, reference)
    error = np.sqrt((found.var(axis=0) + right.var(axis=0)) / REPEATS)
    gap = np.abs(found.mean(axis=0) - right.mean(axis=0))
    return bool(np.any(gap > LIMIT * np.maximum(error, 1e-12)))


def foreign_values(q, prior, objective):
    """Whether q and a prior are over different values: other kinds, or z of the one without density."""
    if (q.discrete, q.event_axes, q.size) != (prior.discrete, prior.event_axes, prior.size):
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
    problem = problem_of(cell)
    if reason is Reason.NEEDS_NEW_ROWS:
        # It gives other rows the q of those that it has.
        return np.array_equal(problem.posterior.eta(problem.phi, 2.0 * problem.x[:1]), problem.posterior.eta(problem.phi, problem.x))
    return stands_in_the_way(reason, problem, estimator_of(cell))


def stands_in_the_way(reason, problem, one):
    """Whether an estimator that is refused for a reason of its own fails, or is off."""
    if reason is Reason.WRONG_TARGET:
        return True
    start = np.random.default_rng(4).standard_normal(problem.phi.shape)
    return is_off(problem._replace(phi=problem.phi + 0.3 * start), one)


def test_the_reasons_of_the_grid_are_true():
    assert [cell[:6] for cell in facts(cells()) if not is_true(cell)] == []
