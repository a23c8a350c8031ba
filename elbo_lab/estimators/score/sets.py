"""Score functions for few values of a discrete z: the most probable summed exactly, or none drawn twice.

With replacement, a peaked q draws the same value over and over and learns nothing new from it. Two remedies:

    score-function-top-categories   the k most probable values exactly, draws for the rest
    score-function-unordered-set    S different values, weighted as a set

**The set.** Draw from q, strike the value out, draw from what is left, and so on: a sequence b_1, ..., b_k.
As a set S it has the probability of all its orders together. Write W(T) for the probability that the first
draws from the values of T and those outside S are just T; by the value that is drawn first,

    W(T) = sum_{b in T} q(b) / (q(T) + q(outside S)) W(T without b),   W(empty) = 1

so that one table over the 2^k subsets of S holds p(S) = W(S), and also the probabilities of the rest of S
after one or two of its values have been struck from the start: W(S \\ s), W(S \\ s \\ t). Every term is
positive, so that sums of logarithms lose nothing, however small q is.

Source: W. Kool, H. van Hoof, M. Welling, "Estimating gradients for discrete random variables by sampling
without replacement", ICLR 2020 (there by another recursion and by quadrature).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import bad_value, check_count
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, log_weight_at
from elbo_lab.estimators.score.values import MOST_VALUES, draw_number, log_table, without
from elbo_lab.exact.problem import Problem
from elbo_lab.special import log_sum_exp

__all__ = ["ScoreFunctionTopCategories", "ScoreFunctionUnorderedSet"]

# The table has 2^k entries per datum.
LARGEST_SET = 16


class FewValues(Estimator):
    """Base of both estimators: a discrete q that fits into a table, and one uniform per draw."""

    target = "grad-phi-elbo"
    latents = "discrete"
    most_values = MOST_VALUES

    def noise_spec(self, family: Family, n_draws: int, n_data: int) -> NoiseSpec:  # noqa: ARG002
        """Return one uniform per draw: it picks among the remaining values."""
        return NoiseSpec("uniform", (n_draws, n_data))


@dataclass(frozen=True)
class ScoreFunctionTopCategories(FewValues):
    """Score function with the k most probable values summed exactly (Rao-Blackwellised), the rest by draws.

        g = sum_{c in T} q(c) f(c) s(c) + q(not T) (1/S) sum_i f(z_i) s(z_i),   z_i ~ q given z not in T

    T is the set of the k most probable values (Liu et al. 2019, section 3). The first part has no noise, the
    second is scaled by the probability of the rest, which is at most (G - k) / G of G values.

    It helps where q is peaked: most of the sum is then exact. It never has more variance than sampling all of
    it with S draws, but it evaluates the model S + k times instead of S. With k = G there is no noise, nor
    with k = G - 1, since the rest is then one value. Fails: with q flat over many values little is gained.

    Parameters
    ----------
    k : int
        How many values are summed exactly; part of the name if it is not one.
    """

    k: int = 1
    title = "REINFORCE, top categories summed"
    summary = "the most probable value exactly, REINFORCE for the rest"

    def __post_init__(self) -> None:
        check_count("k", self.k)

    @property
    def name(self) -> str:
        return "score-function-top-categories" + (f"-{self.k}" if self.k > 1 else "")

    def evaluations(self, n_draws: int, family: Family) -> int:
        count = len(family.values())
        return self.k + n_draws if self.k < count else count

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        posterior, phi, x = problem.posterior, problem.phi, problem.x
        family, eta = posterior.family, posterior.eta(phi, x)
        log_q = log_table(family, eta)
        top = np.argsort(-log_q, axis=-1, kind="stable").T[: self.k]  # (k, N)
        rest = log_q
        for number in top:
            rest = without(rest, number)
        z = family.values()[top]
        grad_eta = (np.exp(family.log_prob(eta, z))[..., None] * _terms(problem, eta, z)).sum(axis=0)
        if self.k < log_q.shape[-1]:
            z = family.values()[draw_number(rest, noise)]
            share = np.exp(log_sum_exp(rest, axis=-1))[:, None]
            grad_eta = grad_eta + share * _terms(problem, eta, z).mean(axis=-3)
        else:  # no noise, and the same for each repeat
            grad_eta = np.broadcast_to(grad_eta, (*noise.shape[:-2], *grad_eta.shape))
        return posterior.eta_vjp(phi, x, grad_eta / len(x)), state


def _terms(problem: Problem, eta: Floats, z: Draws) -> Floats:
    """Return f times score (..., S, N, E)."""
    return log_weight_at(problem, eta, z)[..., None] * problem.posterior.family.score(eta, z)


class ScoreFunctionUnorderedSet(FewValues):
    """Score function from a set of different values: sampling without replacement.

    S different values are drawn, and their order is averaged out. With p(S) the probability of the set in any
    order, the leave-one-out ratio R(S, s) = p^{without s}(S \\ s) / p(S) weights every member,

        g = sum_{s in S} q(s) R(S, s) score(s) (f(s) - B_s)
        B_s = q(s) f(s) + sum_{t in S \\ s} q(t) R^{without s}(S, t) f(t)

    (Kool, van Hoof and Welling 2020, the unordered set policy gradient estimator with built-in baseline.) The
    product q(s) R(S, s) is the probability that s was drawn first, given the set. B_s is such an estimate of
    E f, from the other members and s with its exact weight, so that the mean of B_s given s is E f for
    every s, and the baseline leaves no bias. Its weights sum to one, so that only differences count:

        f(s) - B_s = sum_{t in S \\ s} q(t) R^{without s}(S, t) (f(s) - f(t))

    At two draws: g = (1 - q_s)(1 - q_t) / (2 - q_s - q_t) (f_s - f_t) (score_s - score_t).

    Helps: for a discrete z with few values. With as many draws as values it is the exact sum; near that it
    beats every estimator that draws with replacement. Fails: with far more values than draws repetitions are
    rare anyway, and it is close to the leave-one-out baseline. Work and memory double with each draw, up to
    16.
    """

    name = "score-function-unordered-set"
    title = "REINFORCE, unordered set"
    synonyms = ("unordered-set", "unordered-set-policy-gradient")
    summary = "REINFORCE over a set of different values, drawn without replacement"
    minimum_draws = 2
    independent_draws = True

    def evaluations(self, n_draws: int, family: Family) -> int:
        return min(n_draws, len(family.values()))

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        posterior, phi, x = problem.posterior, problem.phi, problem.x
        family, eta = posterior.family, posterior.eta(phi, x)
        numbers, left = draw_set(log_table(family, eta), noise)
        z = family.values()[numbers]
        f = log_weight_at(problem, eta, z)
        log_q = np.moveaxis(family.log_prob(eta, z), -2, 0)  # (k, ..., N): members first
        log_w = log_subset_probabilities(log_q, log_sum_exp(left, axis=-1))
        first, after = first_draw(log_q, log_w)
        f = np.moveaxis(f, -2, 0)
        weights = first * (after * (f[:, None] - f)).sum(axis=1)
        weights = np.moveaxis(weights, 0, -2)
        grad_eta = (weights[..., None] * family.score(eta, z)).sum(axis=-3) / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state


def draw_set(log_q: Floats, uniforms: Floats) -> tuple[Integers, Floats]:
    """Return the numbers of k = min(S, G) values drawn one after the other without replacement.

    Parameters
    ----------
    log_q : ndarray (N, G)
    uniforms : ndarray (..., S, N)
        Those after the G-th are not needed.

    Returns
    -------
    numbers : ndarray of int (..., k, N)
    left : ndarray (..., N, G)
        log q of the values outside the set, -inf inside.

    Raises
    ------
    ValueError
        If the set is larger than its table may be.
    """
    size = min(uniforms.shape[-2], log_q.shape[-1])
    if LARGEST_SET < size:
        raise bad_value("draws", f"at most {LARGEST_SET} for a set without replacement", size)
    left, numbers = log_q, []
    for step in range(size):
        numbers.append(draw_number(left, uniforms[..., step, :]))
        left = without(left, numbers[-1])
    return np.stack(numbers, axis=-2), left


@lru_cache
def _subsets(size: int) -> list[tuple[Integers, Integers]]:
    """Return for every count 1..k the subsets (M,) as bits and their members (M, count)."""
    masks = np.arange(2**size)
    members = masks[:, None] >> np.arange(size) & 1
    counts = members.sum(axis=1)
    return [
        (masks[counts == count], np.nonzero(members[counts == count])[1].reshape(-1, count))
        for count in range(1, size + 1)
    ]


def log_subset_probabilities(log_q: Floats, log_outside: Floats) -> Floats:
    """Return log W(T) (2^k, ..., N) of every subset T of S, numbered by its bits.

    Parameters
    ----------
    log_q : ndarray (k, ..., N)
        Of the members of S.
    log_outside : ndarray (..., N)
        Log-probability of all values outside S; -inf if there is none.
    """
    mass = log_outside[None]
    for log_member in log_q:
        mass = np.concatenate([mass, np.logaddexp(mass, log_member)])
    log_w = np.zeros_like(mass)
    for masks, members in _subsets(len(log_q)):
        smaller = masks[:, None] - (1 << members)
        log_w[masks] = log_sum_exp(log_q[members] + log_w[smaller], axis=1) - mass[masks]
    return log_w


def first_draw(log_q: Floats, log_w: Floats) -> tuple[Floats, Floats]:
    """Return P(s came first | S) (k, ..., N), and P(t came second | s first, S) (k, k, ..., N).

    The first is q(s) R(S, s) with the leave-one-out ratio R of Kool et al. 2020; the second is that of the
    set without s, and zero for t = s.
    """
    size = len(log_q)
    bits, everything = 1 << np.arange(size), 2**size - 1
    log_without = log_w[everything - bits]
    first = np.exp(log_q + log_without - log_w[everything])
    # For t = s any subset serves: the diagonal is set to zero.
    log_without_both = log_w[everything & ~(bits[:, None] | bits)]
    after = np.zeros_like(log_without_both)
    np.exp(log_q + log_without_both - log_without[:, None], out=after)
    after[np.diag_indices(size)] = 0.0
    return first, after
