"""ARM: augment, REINFORCE, merge - the score of the uniform noise, on an antithetic pair.

    g_k = [f(z') - f(z)] (u_k - 1/2),   z = [u < sigmoid(l)],   z' = [1 - u < sigmoid(l)]

(Yin and Zhou 2019, theorem 1.) A draw is a pair, two evaluations of f. The pair shares its level, so that a
constant in f drops out without any baseline, and where the pair agrees the draw says nothing. What is left
of u beside the pair of outcomes is noise: `disarm` integrates it.
"""

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE
from elbo_lab.estimators.discrete.bit_estimator import BitEstimator, mean_gradient


def antithetic_pair(model, theta, x, family, eta, noise):
    """Return (z, z', f(z), f(z')) of the noise u and of 1 - u."""
    pair = family.sample(eta, noise), family.sample(eta, 1.0 - noise)
    return *pair, *(log_weight(model, theta, x, family, eta, z) for z in pair)


class ARM(BitEstimator):
    """Difference of an antithetic pair times the centred noise."""

    name = "arm"
    summary = "antithetic pair of noise u and 1 - u, times u - 1/2; two evaluations per draw"

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta = posterior.eta(phi, x)
        _, _, f, f_other = antithetic_pair(model, theta, x, posterior.family, eta, noise)
        grad_eta = (f_other - f)[..., None] * (noise - 0.5)
        return mean_gradient(posterior, phi, x, grad_eta), state
