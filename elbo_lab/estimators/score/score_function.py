"""The score-function gradient of the ELBO in phi (REINFORCE; black-box variational inference).

    d/d eta E_q[f] = E_q[f(z) d log q(z; eta)/d eta],   f = log p(x, z) - log q(z)

(Williams 1992; Ranganath et al. 2014, eq. 2; the derivative of f's own -log q has expectation zero.)
Needs no derivative of the model and works for discrete z. Its variance grows with the *size* of f: an
additive constant in f changes nothing in mean and everything in noise.
"""

from elbo_lab.estimators.base import NO_STATE, Estimator, log_weight_and_score


class ScoreFunction(Estimator):
    """Average of f times score, without a baseline."""

    name = "score-function"
    target = "grad-phi-elbo"
    summary = "REINFORCE: mean of log w times the score of q"

    def estimate(self, problem, noise, state=NO_STATE):
        f, mean_score = log_weight_and_score(problem, noise)
        return mean_score(f), state
