"""The measure-valued gradient of the ELBO in phi, the two measures of a pair on common random numbers.

The difference of f under two measures (see `moves` beside this file) has little noise where both see nearly
the same z (Mohamed et al. 2020, section 6, on coupling). In the mean both signs take the same Weibull draw;
in the scale the normal draw is the Maxwell draw times a uniform one, n = M U.

Three standard normals (a, b, c) per coordinate do all of it:

    z_k = m_k + s_k a,   W = |(b, c)|,   M = sign(a) |(a, b, c)|

a / M is uniform on (0, 1), since a coordinate of a random point on a sphere is uniform (Archimedes): so a
is itself the coupled normal draw. Where f bends the same way on both sides of the mean, as near an optimum,
what is common cancels. Where f is a slope it does not: f(W) - f(-W) = 2 f(W) has twice the variance of
f(W) - f(-W'), and there the coupling of the mean costs more than it gives.
"""

import numpy as np

from elbo_lab.distributions import NoiseSpec
from elbo_lab.estimators.base import NO_STATE, Estimator
from elbo_lab.estimators.measure.moves import measure_valued_gradient, refuse_other_families


class MeasureValuedCoupled(Estimator):
    """Difference of f under the two measures of each parameter, on common random numbers."""

    name = "measure-valued-coupled"
    target = "grad-phi-elbo"
    summary = "measure-valued gradient, both measures of a pair on the same random numbers"

    def noise_spec(self, family, n_draws, n_data):
        return NoiseSpec("normal", (n_draws, n_data, family.size, 3))

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        refuse_other_families(posterior)

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        a, b, c = np.moveaxis(noise, -1, 0)
        weibull = np.hypot(b, c)
        maxwell = np.copysign(np.hypot(weibull, a), a)
        return measure_valued_gradient(model, posterior, theta, phi, x, a, weibull, weibull, maxwell), state
