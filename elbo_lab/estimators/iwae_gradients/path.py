"""The gradients of the importance-weighted bound that follow slopes: in theta, and in phi along the paths.

    d/d theta E[log (1/K) sum_k w_k] = E[sum_k v_k d log p(x, z_k)/d theta],   v_k = w_k / sum_l w_l
    d/d eta   E[log (1/K) sum_k w_k] = E_eps[sum_k v_k d/d eta log w(z(eta, eps_k); eta)]

(Burda et al. 2016, eqs. 13 and 14.) The pathwise gradients in phi of several coupled draws are weighted
slopes along the paths of the draws,

    g = sum_k c_k d log w(z_k) / dz_k  dz_k / d eta,   z_k = z(eta, eps_k)

with factors c_k from all K log-weights. The parameters of log q inside log w are held fixed: the slope is
that through the draws alone, and it vanishes where q is the posterior. They differ in c_k:

    iwae-reparameterization   v_k, plus the term through the parameters of log q: the total derivative
    stl-iwae                  v_k, without that term: biased from two draws on
    dreg                      v_k^2: that term reparameterised once more
"""

from abc import abstractmethod

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions.base import Family
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, weighted_draws
from elbo_lab.estimators.evidence import ImportanceWeighted
from elbo_lab.exact.problem import Problem
from elbo_lab.special import softmax

__all__ = ["Dreg", "IwaeReparameterization", "IwaeTheta", "StlIwae"]


class IwaeTheta(ImportanceWeighted):
    """The gradient of the importance-weighted bound in theta.

        d/d theta E[log (1/K) sum_k w_k] = E[sum_k v_k d log p(x, z_k)/d theta],   z_k ~ q

    (Burda et al. 2016, eqs. 13 and 14.) It equals `importance-weighted`, number for number: a biased
    estimate of the gradient of log p(x) is an unbiased one of the gradient of the bound. Better with more
    draws in both senses: the bound comes nearer to log p(x), and the signal-to-noise ratio grows as sqrt(K)
    (Rainforth et al. 2018, theorem 1).

    Helps: the more draws, the tighter the bound and the clearer its gradient. Fails: where q misses a part of
    the posterior, no weight ever points there.
    """

    name = "iwae-theta"
    title = "IWAE gradient in theta"
    target = "grad-theta-iwae"
    unbiased = True
    summary = "the importance-weighted bound's own gradient: importance-weighted, another target"


class CoupledPath(Estimator):
    """Sum of factors times slopes along the paths of the draws."""

    needs_pathwise = True
    independent_draws = True

    @abstractmethod
    def factors(self, log_w: Floats) -> Floats:
        """Return the factors c_k of the slopes (..., S, N) from the log-weights (..., S, N)."""

    def through_parameters(self, family: Family, eta: Floats, z: Draws, factors: Floats) -> Floats:  # noqa: ARG002
        """Return the term through the parameters of log q (..., N, E): zero for most."""
        return np.zeros_like(eta)

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta, z, log_w = weighted_draws(problem, noise)
        factors = self.factors(log_w) / len(x)
        grad_z = model.log_joint_grad_z(theta, x, z, factors)
        grad_z = grad_z - factors[..., None] * family.log_prob_grad_z(eta, z)
        grad_eta = family.sample_vjp(eta, noise, grad_z) + self.through_parameters(family, eta, z, factors)
        return posterior.eta_vjp(phi, x, grad_eta), state


class IwaeReparameterization(CoupledPath):
    """The pathwise gradient of the importance-weighted bound in phi: the total derivative of log mean w.

        d/d eta E[log (1/K) sum_k w_k] = E_eps[sum_k v_k d/d eta log w(z(eta, eps_k); eta)]

    (Burda et al. 2016, eqs. 13 and 14; the total derivative: through z and through the parameters of log q.)
    Helps: the tighter bound at the price of K passes. Fails as K grows: the gradient in phi goes to zero as
    1/K and its standard deviation only as K^(-1/2), so that the signal-to-noise ratio falls as K^(-1/2)
    (Rainforth et al. 2018, theorem 1); `dreg` removes this defect.
    """

    name = "iwae-reparameterization"
    title = "reparameterization of the IWAE bound"
    synonyms: tuple[str, ...] = ("iwae-pathwise",)
    target = "grad-phi-iwae"
    summary = "pathwise derivative of log mean w; its signal-to-noise ratio falls with the draws"

    def factors(self, log_w: Floats) -> Floats:
        return softmax(log_w, axis=-2)

    def through_parameters(self, family: Family, eta: Floats, z: Draws, factors: Floats) -> Floats:
        return -family.log_prob_vjp(eta, z, factors)


class StlIwae(CoupledPath):
    """The plain "sticking the landing" of the importance-weighted bound: unbiased for one draw only.

        g = sum_k v_k d log w(z_k)/dz_k dz_k/d eta,   v_k = w_k / sum_l w_l

    (Roeder et al. 2017; shown to be biased by Tucker et al. 2019.) The pathwise gradient without its score
    term. For one draw the dropped term has expectation zero; for several it is -sum_k v_k h_k, and v_k sees
    its own draw. It is the sum of `dreg` and `wake-phi-dreg`: the gradient of the bound plus a step of the
    wake phase. Helps: it has no variance at the exact posterior either. Fails: by its bias; it is kept as the
    counterpart of `dreg`.
    """

    name = "stl-iwae"
    title = "sticking the landing, IWAE"
    synonyms = ("iwae-stl",)
    target = "grad-phi-iwae"
    unbiased = False
    summary = "iwae-reparameterization without its score term; biased from two draws on"

    def factors(self, log_w: Floats) -> Floats:
        return softmax(log_w, axis=-2)


class Dreg(CoupledPath):
    """The doubly reparameterised gradient of the importance-weighted bound (DReG).

        d/d eta E[log (1/K) sum_k w_k] = E_eps[sum_k v_k^2 d log w(z_k)/dz_k dz_k/d eta]

    (Tucker et al. 2019.) The total derivative has the term -sum_k v_k h_k, h_k the score of q; it is
    a score function whose f is v_k, and is reparameterised a second time:
    E[v_k h_k] = E[dv_k/dz_k dz_k/d eta] = E[(v_k - v_k^2) d log w(z_k)/dz_k dz_k/d eta].
    Helps: no variance at all at the exact posterior, and a signal-to-noise ratio that grows as sqrt(K) where
    the weights have enough finite moments. At one draw it is "sticking the landing" (Roeder et al. 2017).
    Fails where z has no path; under weights with heavy tails its ratio falls too, and far from the posterior
    it need not beat the plain derivative.
    """

    name = "dreg"
    title = "doubly reparameterized"
    synonyms = ("dregs", "iwae-dreg", "doubly-reparameterised")
    target = "grad-phi-iwae"
    summary = "doubly reparameterised: squared weights times the slopes along the paths"

    def factors(self, log_w: Floats) -> Floats:
        return softmax(log_w, axis=-2) ** 2
