"""Mean and variance of an estimate over all of its noise, for the cases of the laws.

The integrals are those of `elbo_lab.checking`; here stand the number of draws that a law takes, and the
state that an estimator with a memory is in. Further draws, behind the S of the bound, serve baselines
only, and a baseline changes no mean whatever it is made of: those of continuous z stay at a reference, and
the variance is then that of the other draws alone.
"""

import numpy as np

from elbo_lab.checking import integrals
from elbo_lab.checking.integrals import MANY_DIMENSIONS as MANY_DIMENSIONS
from elbo_lab.checking.integrals import log_table as log_table
from elbo_lab.checking.rules import NotIntegrated as NotIntegrated
from elbo_lab.checking.rules import product_rule as product_rule
from elbo_lab.checking.rules import uniforms_of_order as uniforms_of_order


def of_discrete_room(estimator):
    """Return whether it may see more of the uniforms than the outcome that they give."""
    room = "elbo_lab.estimators.discrete."
    return any(kind.__module__.startswith(room) for kind in type(estimator).__mro__)


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


def moments(estimator, case, posterior, phi, n_draws, tolerance=1e-11, of_variance=True):
    """Return mean (P,) and variance (P,) of an estimate over all noise.

    Raises
    ------
    NotIntegrated
        If the finest rule does not reach `tolerance`, relative to the largest entry. Rules for uniforms of
        which more is seen than the outcome err far less than the last change, and are taken as they are.
    """
    state = arbitrary_state(estimator, case, posterior, phi)
    problem = case.problem(posterior, phi)
    if of_discrete_room(estimator):
        tolerance = max(tolerance, 1e-9)
    found = integrals.moments(estimator, problem, state, n_draws, tolerance, of_variance, rows=n_draws)
    if found.error > tolerance and not of_discrete_room(estimator):
        raise NotIntegrated(f"{estimator.name}: {found.error:.1e}")
    return found.mean, found.variance


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
    family = case.free.family
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
