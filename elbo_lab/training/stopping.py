"""A rule that stops the training of an ELBO: with stated confidence, at most delta nats are left to gain.

The mean of a training says where it is, not where it could be. But with its noise frozen the ELBO of all rows
is a plain function f_A(theta, phi), which L-BFGS can climb to its top. For every noise A, and every point,

    G_A = max f_A - f_A(now),        E[G_A] >= max E[f_A] - E[f_A(now)] = what is left to gain,

since a maximum over lucky noise is too high on average, never too low. So the mean of G over a few
independent noises, with the upper limit of a t interval, bounds what is left: it errs on the safe side by the
gain that is luck, about the number of parameters over twice the number of draws of all rows.

The rule looks at every evaluation. A limit at 95 % that is read a hundred times is wrong at some time almost
surely, so look k spends only alpha_k = 6 alpha / (pi^2 k^2) of the error, which adds up to alpha.

Helps: a training that has arrived ends, one that has stalled (a step too long or too short) does not.
Fails: where L-BFGS ends at a lower maximum than the best, "left to gain" is from here, not from anywhere; and
each look costs hundreds of passes over all rows, a price for small models. The limit takes the G for normal.

Source: Mak, Morton and Wood 1999, theorem 1 and section 3 (the bound and its replications); Bayraksan and
Morton 2011 (sequential stopping). Dhaka et al. 2020 stop by Monte Carlo errors of the iterates instead,
Kucukelbir et al. 2017 by relative changes of the ELBO, which see a stalled training as one that has arrived.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.held import Held
from elbo_lab.optimise.ascent import ascend
from elbo_lab.threads import single_threaded_blas
from elbo_lab.training.batch import Vectors, shares_of
from elbo_lab.training.objectives import ElboObjective

# Independent noises of a look.
NOISES = 5
# A climb goes on by so many iterations until they gain less than this share of delta; a climb that has not
# arrived after so many rounds bounds nothing.
ITERATIONS, SHARE, MOST_ROUNDS = 30, 0.02, 60
# A look is over when one climb gains so many times delta: it cannot end in a stop.
FAR = 3.0

Function = Callable[[Floats], tuple[float, Floats]]


def spent(alpha: float, look: int) -> float:
    """Return the share of the error alpha that look 1, 2, ... may spend; all shares add up to alpha."""
    return 6.0 * alpha / (math.pi * look) ** 2


@dataclass(frozen=True, eq=False)
class StoppingRule:
    """Stop when, with confidence 1 - alpha, at most delta nats per datum are left to gain.

    Parameters
    ----------
    objective : ElboObjective
        With estimators whose gradient is the slope of the value at frozen noise, and the draws of a look.
    delta : float
        In nats per datum.
    alpha : float
        Probability of a false stop: while more than delta is left.
    seed : int
    held : Held, optional
        Parameters of theta that do not move.
    """

    objective: ElboObjective
    delta: float
    alpha: float = 0.05
    seed: int = 0
    held: Held | None = None

    @cached_property
    def rows(self) -> list[Any]:
        """Rows of the blocks of all data."""
        return self.objective.blocks(np.arange(self.objective.n_rows))

    def look(self, params: Vectors, number: int) -> dict[str, float]:
        """Return what is left to gain in nats per datum, for the row of a history.

        Parameters
        ----------
        params : dict of ndarray
        number : int
            1 for the first look.

        Returns
        -------
        dict
            `still_to_gain`, the mean over the noises; and `still_to_gain_limit`, its upper limit, unless a
            look at one noise shows that more than delta is left.
        """
        from scipy.special import stdtrit  # heavy: loaded on use

        gains: list[float] = []
        with single_threaded_blas():
            for rng in map(
                np.random.default_rng, np.random.SeedSequence((self.seed, 6, number)).spawn(NOISES)
            ):
                gain, arrived = self._gain(params, rng)
                if gain > FAR * self.delta or not arrived:
                    return {"still_to_gain": gain}
                gains.append(gain)
        mean, error = float(np.mean(gains)), float(np.std(gains, ddof=1)) / math.sqrt(NOISES)
        width = float(stdtrit(NOISES - 1, 1.0 - spent(self.alpha, number)))
        return {"still_to_gain": mean, "still_to_gain_limit": mean + width * error}

    def is_reached(self, row: dict[str, Any]) -> bool:
        """Whether the look of a row of a history says to stop."""
        return bool(row.get("still_to_gain_limit", math.inf) <= self.delta)

    def _gain(self, params: Vectors, rng: np.random.Generator) -> tuple[float, bool]:
        """Return what L-BFGS gains with one frozen noise, and whether it has arrived."""
        function, start = self._frozen(params, rng)
        vector, first = start, function(start)[0]
        value = first
        for _ in range(MOST_ROUNDS):
            before, vector = value, ascend(function, vector, ITERATIONS, tolerance=0.0)
            value = function(vector)[0]
            if value - first > FAR * self.delta or value - before < SHARE * self.delta:
                return value - first, True
        return value - first, False

    def _frozen(self, params: Vectors, rng: np.random.Generator) -> tuple[Function, Floats]:
        """Return the mean ELBO at frozen noise as a function of all parameters, and where they are now."""
        blocks = [self.objective.draw(rows, rng) for rows in self.rows]
        names, n_theta = self.objective.names, params["theta"].size
        start = np.concatenate([params[name].astype(np.float64) for name in names])

        def function(vector: Floats) -> tuple[float, Floats]:
            now = {"theta": vector[:n_theta], "phi": vector[n_theta:]}
            value, gradient = 0.0, np.zeros_like(vector)
            for share, block in zip(shares_of(self.rows), blocks, strict=True):
                found, by_name, _ = self.objective.gradients(now, block, names, {})
                by_theta = by_name["theta"] if self.held is None else self.held.without(by_name["theta"])
                value += share * float(np.atleast_1d(found)[0])
                gradient += share * np.concatenate([by_theta, by_name["phi"]])
            return value, gradient

        return function, start
