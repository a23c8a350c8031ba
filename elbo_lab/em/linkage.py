"""The example with which EM got its name: 197 animals in four cells, one of which is two in one.

    cell probabilities (1/2 + t/4, (1 - t)/4, (1 - t)/4, t/4),   counts y = (125, 18, 20, 34).

The first cell is the sum of one with probability 1/2 and one with t/4; how the 125 divide is the latent z.

    E-step:  z | y_1 ~ Binomial(y_1, s),  s = (t/4) / (1/2 + t/4) = t / (2 + t)
    M-step:  t = (y_1 s + y_4) / (y_1 s + y_2 + y_3 + y_4)

(Dempster, Laird and Rubin 1977, section 1; the counts are those of Rao 1965, pp. 368-369.) Both steps are
fractions, so that the whole path can be followed in exact rational arithmetic (`fractions.Fraction`), which
is what the floating-point path is compared with.
"""

import math
from collections.abc import Sequence
from typing import Any

from elbo_lab.em.base import EMProblem
from elbo_lab.errors import bad_value, check_count

COUNTS = (125, 18, 20, 34)
# A float, or a Fraction where the path is to be exact.
Number = Any


class GeneticLinkage(EMProblem[Number, Number]):
    """theta is the number t, q is the share s of the first cell that belongs to t.

    Parameters
    ----------
    counts : tuple of int
        Animals in the four cells.
    """

    def __init__(self, counts: Sequence[int] = COUNTS) -> None:
        self.counts = tuple(check_count("counts", count, minimum=0) for count in counts)
        if len(self.counts) != 4 or sum(self.counts[1:]) == 0:
            raise bad_value("counts", "four counts, not all of them in the first cell", self.counts)
        self.n_data = sum(self.counts)

    def prepared(self, theta: Number) -> Number:
        """Return t, which must lie strictly between 0 and 1 (both ends are fixed points)."""
        if not 0 < theta < 1:
            raise bad_value("start", "a number between 0 and 1, both excluded", theta)
        return theta

    def e_step(self, theta: Number) -> Number:
        return theta / (2 + theta)

    def m_step(self, q: Number) -> Number:
        first, second, third, fourth = self.counts
        return (first * q + fourth) / (first * q + second + third + fourth)

    def _terms(self, first: float, theta: float) -> float:
        """Add to `first`, the term of the first cell, those of the others and log n! / prod y!."""
        ways = math.lgamma(self.n_data + 1) - sum(math.lgamma(count + 1) for count in self.counts)
        cells = ((1 - theta) / 4, (1 - theta) / 4, theta / 4)
        # An empty cell has no term, also where its probability is zero.
        others = zip(self.counts[1:], cells, strict=True)
        return first + ways + sum(count * math.log(p) for count, p in others if count)

    def elbo(self, theta: Number, q: Number) -> float:
        """Return the ELBO; the factorials of z in log p(y, z) and in log q(z) cancel."""
        t, s = float(theta), float(q)
        expected = (1 - s) * (math.log(0.5) - math.log(1 - s)) + s * (math.log(t / 4) - math.log(s))
        return self._terms(self.counts[0] * expected, t)

    def log_likelihood(self, theta: Number) -> float:
        """Return the log of the multinomial probability of the counts."""
        t = float(theta)
        return self._terms(self.counts[0] * math.log(0.5 + t / 4), t)
