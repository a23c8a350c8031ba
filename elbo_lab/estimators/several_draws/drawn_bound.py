"""What the estimators of this room share: draws from q, their log-weights, and a bound of these."""

from abc import abstractmethod

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE, Estimator, mean_over_rows, posterior_draws


class DrawnBound(Estimator):
    """The mean over rows of a bound of the log-weights of S draws."""

    independent_draws = True

    @abstractmethod
    def bound(self, log_w):
        """Return one value per datum (..., N) of log-weights (..., S, N)."""

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        log_w = log_weight(model, theta, x, posterior.family, eta, z)
        return mean_over_rows(self.bound(log_w)), state
