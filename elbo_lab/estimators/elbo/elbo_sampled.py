"""Gradient of the ELBO in theta, fully sampled.

    d ELBO/d theta = E_q[d log p(x, z)/d theta] ~= (1/S) sum_s d log p(x, z_s)/d theta,   z_s ~ q

q does not depend on theta, so the derivative goes straight under the expectation: unbiased for the
ELBO's gradient (Kingma and Welling 2014, section 2.3). It is the gradient of log p(x) only when q is
the exact posterior.
"""

from elbo_lab.estimators.base import NO_STATE, Estimator, mean_cotangent, posterior_draws


class ElboSampled(Estimator):
    """Average of the joint's gradient over draws from q."""

    name = "elbo-sampled"
    target = "grad-theta-elbo"
    summary = "mean gradient of log p(x, z) over draws from q"

    def estimate(self, problem, noise, state=NO_STATE):
        model, _, theta, _, x = problem
        _, z = posterior_draws(problem, noise)
        return model.log_joint_vjp(theta, x, z, mean_cotangent(model.family, z))[0], state
