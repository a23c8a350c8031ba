"""The gap between the bound and the evidence, measured and split.

    log p(x) = ELBO(q) + KL(q || p(z | x))   for every q

(Jordan et al. 1999; Bishop 2006, eqs. 9.70 to 9.72). Where log p(x) and E_q log p(x, z) are exact (`exact`),
so is the KL to a posterior without a formula: kl = log p - ELBO, with ELBO =
E_q log p(x, z) + H(q). Nothing here is sampled. Being a difference, a KL near zero keeps the errors of both
(`Gap.error`) and may come out that far below zero.

The gap has two parts (Cremer, Li and Duvenaud 2018, section 3 and table 1), with q* the best member of the
family for each datum separately:

    log p(x) - ELBO(q)  =  [log p(x) - ELBO(q*)]  +  [ELBO(q*) - ELBO(q)]
                             approximation             shortfall

A richer family reduces the first. The second is the amortisation gap of an encoder, which one network for all
data costs (with what its training has not yet reached); a free table amortises nothing, and its shortfall is
an error of optimisation. For a categorical z every distribution is in
the family, q* is the posterior and the first part is zero. Otherwise q* comes from an ascent that starts at
the given q, and where the ascent fails, the start is kept. So the shortfall is never negative, and an
imperfect q* counts as approximation.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family
from elbo_lab.errors import check_data, unknown_name
from elbo_lab.estimators import Problem
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.evaluation.tractable import has_exact_evidence
from elbo_lab.exact import ladder
from elbo_lab.exact.entropies import entropy
from elbo_lab.models import Model
from elbo_lab.optimise import ascend_exact_elbo, fit_eta
from elbo_lab.threads import single_threaded_blas

# Data per ascent: their problems are separate, and few of them share a step size better.
ROWS_PER_ASCENT = 64
MAX_ITERATIONS = 200
NATS_PER = {"nats": 1.0, "bits": math.log(2.0)}


@dataclass(frozen=True, eq=False)
class Gap:
    """log p(x), ELBO and KL(q || posterior) of each datum, in nats.

    Attributes
    ----------
    log_p, elbo, kl : ndarray (N,)
    error : ndarray (N,)
        Of the KL: the last changes of the quadratures, zero on other rungs.
    rung : str
        The method that gave log p.
    """

    log_p: Floats
    elbo: Floats
    kl: Floats
    error: Floats
    rung: str

    def means(self) -> dict[str, float]:
        """Return the means over the data, by their names in a row of a history."""
        return {
            "log_p": float(self.log_p.mean()),
            "elbo_exact": float(self.elbo.mean()),
            "kl": float(self.kl.mean()),
        }


@dataclass(frozen=True, eq=False)
class GapSplit:
    """The gap of each datum in two parts, in nats.

    Attributes
    ----------
    log_p, best_elbo, elbo : ndarray (N,)
        In descending order: the evidence, the bound of the family's best q, the bound of the given q.
    """

    log_p: Floats
    best_elbo: Floats
    elbo: Floats

    @property
    def approximation(self) -> Floats:
        """What the family cannot reach (N,)."""
        return self.log_p - self.best_elbo

    @property
    def shortfall(self) -> Floats:
        """What the given q loses against the best (N,); see `Posterior.shortfall` for its cause."""
        return self.best_elbo - self.elbo


def _in_double(problem: Problem) -> tuple[Floats, Floats, Floats]:
    """Return theta, x and the encoder's eta (N, E) in float64: exact answers need its digits."""
    model, posterior, theta, phi, x = problem
    x = check_data(x, n_columns=model.n_columns)
    theta = model.check_theta(theta).astype(np.float64)
    return theta, x, encoded(posterior, np.asarray(phi).astype(np.float64), x)


def _elbo(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> tuple[Floats, Floats]:
    """Return the exact ELBO (N,) and its error (N,)."""
    value, error, _ = ladder.expected_log_joint(model, theta, x, eta, family)
    own, own_error = entropy(family, eta)
    return value + own, error + own_error


def measure_gap(problem: Problem) -> Gap:
    """Return log p(x), the ELBO and their difference KL(q || p(z | x)), all exact.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Gap

    Raises
    ------
    NotApplicable
        If log p(x) or E_q log p(x, z) is not exact for this model (see `ladder.log_evidence`).
    """
    model = problem.model
    with single_threaded_blas():
        theta, x, eta = _in_double(problem)
        log_p, log_p_error, rung = ladder.log_evidence(model, theta, x)
        elbo, elbo_error = _elbo(model, theta, x, problem.posterior.family, eta)
    return Gap(log_p, elbo, log_p - elbo, log_p_error + elbo_error, rung)


def _best_eta(
    model: Model, theta: Floats, x: Floats, family: Family, start: Floats, rng: np.random.Generator
) -> Floats:
    """Return the eta (N, E) of the best member of the family for each datum."""
    best = np.empty_like(start)
    for begin in range(0, len(x), ROWS_PER_ASCENT):
        block = slice(begin, begin + ROWS_PER_ASCENT)
        if has_exact_evidence(model):
            best[block] = ascend_exact_elbo(
                model, theta, x[block], start[block], family, max_iterations=MAX_ITERATIONS
            )
        else:
            best[block] = fit_eta(model, theta, x[block], start[block], rng, MAX_ITERATIONS, family)
    return best


def split_gap(problem: Problem, rng: np.random.Generator) -> GapSplit:
    """Return the two parts of the gap, approximation and shortfall.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.Generator
        For ascents on frozen noise.

    Returns
    -------
    GapSplit

    Raises
    ------
    NotApplicable
        As `measure_gap`.
    """
    model, family = problem.model, problem.posterior.family
    with single_threaded_blas():
        theta, x, eta = _in_double(problem)
        log_p, _, _ = ladder.log_evidence(model, theta, x)
        elbo, _ = _elbo(model, theta, x, family, eta)
        if not family.event_axes:  # categories: no distribution is outside the family
            return GapSplit(log_p, np.maximum(log_p, elbo), elbo)
        best, _ = _elbo(model, theta, x, family, _best_eta(model, theta, x, family, eta, rng))
    return GapSplit(log_p, np.maximum(best, elbo), elbo)


def surprisal_view(rows: list[dict[str, Any]], unit: str = "nats") -> list[dict[str, Any]]:
    """Return history rows with the surprisal added.

        surprisal = -log p(x)   <=   upper_bound = -ELBO,   gap = KL(q || p(z | x))

    The same quantities with the opposite sign, which fall as a model learns.

    Parameters
    ----------
    rows : list of dict
        With 'log_p', 'elbo_exact' (else 'elbo') and 'kl', each where known. All keys are kept.
    unit : {'nats', 'bits'}
        Of the three keys that are added.

    Returns
    -------
    list of dict
    """
    if unit not in NATS_PER:
        raise unknown_name("unit", unit, list(NATS_PER))
    return [row | _surprisal(row, NATS_PER[unit]) for row in rows]


def _surprisal(row: dict[str, Any], nats: float) -> dict[str, float]:
    bound = row.get("elbo_exact", row.get("elbo"))
    known = {"surprisal": (row.get("log_p"), -1.0), "upper_bound": (bound, -1.0), "gap": (row.get("kl"), 1.0)}
    return {name: sign * value / nats for name, (value, sign) in known.items() if value is not None}
