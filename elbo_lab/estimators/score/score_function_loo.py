"""Score function with a leave-one-out baseline.

    g = (1/S) sum_i (f_i - b_i) score_i,   b_i = mean of f_k over k != i

b_i does not see draw i, so E[b_i score_i] = 0 and the estimate stays unbiased (Kool, van Hoof
and Welling 2019). Since f_i - b_i = S/(S-1) (f_i - mean f), a constant in f drops
out: at the exact posterior, where every f equals log p(x), the variance is exactly zero. The draws must be
independent.
"""

from elbo_lab.estimators.base import NO_STATE, Estimator, log_weight_and_score


class ScoreFunctionLOO(Estimator):
    """Score function, each draw's baseline the mean of the others."""

    name = "score-function-loo"
    target = "grad-phi-elbo"
    summary = "REINFORCE with the mean of the other draws as baseline"
    independent_draws = True
    minimum_draws = 2

    def estimate(self, problem, noise, state=NO_STATE):
        f, mean_score = log_weight_and_score(problem, noise)
        n_draws = f.shape[-2]
        centred = (f - f.sum(axis=-2, keepdims=True) / n_draws) * (n_draws / (n_draws - 1))
        return mean_score(centred), state
