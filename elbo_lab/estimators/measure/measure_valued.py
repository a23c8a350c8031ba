"""The measure-valued gradient of the ELBO in phi, the two measures of a pair drawn independently.

A derivative of a density is a difference of two densities (see `moves` beside this file), and each of the
two is sampled. Like the score function it needs only values of f, no slope; unlike it, f enters as a
difference, so that a constant in f drops out. It costs 3 K + 1 evaluations of f per draw (Mohamed et al.
2020, section 6), the price of every coordinate being moved on its own.

The noise of coordinate k is six standard normals (a, b, c, d, e, g):

    z_k = m_k + s_k a,   W = |(b, c)|,   W' = |(e, g)|,   M = sign(d) |(b, c, d)|

since the length of two normals has the Weibull and that of three the Maxwell density. W, W' are independent,
and so are M and a.
"""

import numpy as np

from elbo_lab.distributions import NoiseSpec
from elbo_lab.estimators.base import NO_STATE, Estimator
from elbo_lab.estimators.measure.moves import measure_valued_gradient, refuse_other_families


class MeasureValued(Estimator):
    """Difference of f under the two measures of each parameter, independent draws."""

    name = "measure-valued"
    target = "grad-phi-elbo"
    summary = "differences of log w under Weibull and Maxwell moves of one coordinate at a time"

    def noise_spec(self, family, n_draws, n_data):
        return NoiseSpec("normal", (n_draws, n_data, family.size, 6))

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        refuse_other_families(posterior)

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        a, b, c, d, e, g = np.moveaxis(noise, -1, 0)
        up, down = np.hypot(b, c), np.hypot(e, g)
        maxwell = np.copysign(np.hypot(up, d), d)
        return measure_valued_gradient(model, posterior, theta, phi, x, a, up, down, maxwell), state
