"""Stratified pathwise gradient: a mixture's components are summed over, and each has draws of its own.

For q = sum_c pi_c q_c an expectation is a sum over components, and each of these has a plain path
z = m_c + s_c eps:

    d/d eta E_q[f] = sum_c (d pi_c / d eta) E_c[f]  +  sum_c pi_c E_eps[d/d eta f(m_c + s_c eps)]

with f = log p(x, z) - log q(z), log q that of the whole mixture (Roeder et al. 2017, section on mixtures;
Morningstar et al. 2021). No component is drawn, so that the noise of this choice is gone, that of the score
of the weights above all: an average over the component never has more variance than an estimate with the
component drawn (Rao and Blackwell). The price are C draws in place of one.
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family, NoiseSpec
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, mean_cotangent
from elbo_lab.exact.problem import Problem

__all__ = ["StratifiedReparameterization"]


class StratifiedReparameterization(Estimator):
    """Total derivative of the log-weight through the path of every component, weighted by pi_c.

    Helps: mixtures, in which every component sees its own draws, also one of a small weight. Fails: costs as
    many evaluations as there are components; for a q of one part it is `reparameterization`, draw for draw.
    """

    name = "stratified-reparameterization"
    title = "stratified reparameterization"
    target = "grad-phi-elbo"
    summary = "reparameterization with draws of every component of a mixture, weighted by pi_c"
    needs_pathwise = True
    compared = False

    def evaluations(self, n_draws: int, family: Family) -> int:
        return n_draws * family.n_strata

    def noise_spec(self, family: Family, n_draws: int, n_data: int) -> NoiseSpec:
        """Noise of one draw from each component, side by side in the last axis."""
        one = family.stratum_spec(n_draws, n_data)
        return NoiseSpec(one.kind, (*one.shape[:-1], family.n_strata * one.shape[-1]))

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, phi, x = problem
        family, eta = posterior.family, posterior.eta(phi, x)
        grad_eta = np.zeros(eta.shape, eta.dtype)
        for number, part in enumerate(np.split(noise, family.n_strata, axis=-1)):
            share, own = family.stratum(eta, part, number)
            z = family.sample(eta, own)
            cotangent = mean_cotangent(family, z) * share
            log_w = model.log_joint(theta, x, z) - family.log_prob(eta, z)
            through_parameters, of_log_q = family.log_prob_vjps(eta, z, cotangent)
            grad_z = model.log_joint_grad_z(theta, x, z, cotangent) - of_log_q
            moved = family.stratum_vjp(eta, own, cotangent * log_w, grad_z)
            grad_eta = grad_eta + moved - through_parameters
        return posterior.eta_vjp(phi, x, grad_eta), state
