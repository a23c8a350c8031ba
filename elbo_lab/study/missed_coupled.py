"""The variance that repeats are expected to miss where draws are coupled: `study.missed` for bounds of K.

A tuple of draws can be rare though none of its categories is. What decides an estimate is the largest weight
and whether one draw or several carry it; so, for every category k, three events are looked at:

    k is drawn once                                       K q_k (1 - q_k)^(K-1)
    one draw is k, all others have smaller weights        K q_k Q_k^(K-1)
    several are k, all others have smaller weights        (Q_k + q_k)^K - Q_k^K - K q_k Q_k^(K-1)

with Q_k the probability of a smaller weight. An event of probability P that n bounds are not sure to show is
off by P times the change of the estimate, and adds sqrt(P / n) times it to the standard error. The change is
bounded: in theta by the spread of d log p(x, z) / d theta over the categories, since the shares of the draws
sum to one; in eta by M (|h_k| + (K - 1) E_q |h|), with h the score and M the largest signal of any
estimator, one nat more than the largest log-weight and their spread. This is on the safe side: a bias test
a little blind in the coordinates of rare tuples, instead of one that cries out.
"""

from functools import lru_cache

import numpy as np

from elbo_lab.estimators.targets import numbered
from elbo_lab.exact.enumeration import all_values
from elbo_lab.study.missed import SURELY_SEEN


def rare_events(log_w, q, n_draws, n_bounds):
    """Return the summed probabilities (G,) of the events of each category that may be missed.

    Parameters
    ----------
    log_w, q : ndarray (G,)
        Log-weights and probabilities of the categories.
    n_draws : int
        K, draws in one bound.
    n_bounds : float
        How many bounds there are to show an event.
    """
    smaller = np.array([q[log_w < one].sum() for one in log_w])
    once = n_draws * q * (1.0 - q) ** (n_draws - 1)
    alone = n_draws * q * smaller ** (n_draws - 1)
    several = np.maximum((smaller + q) ** n_draws - smaller**n_draws - alone, 0.0)
    events = np.stack([once, alone, several])
    return np.where(n_bounds * events < SURELY_SEEN, events, 0.0).sum(axis=0)


@lru_cache(maxsize=64)
def missed_of_bound(scene, n_draws, bound_draws):
    """Return {target: variance (P,) of one draw} that `n_draws` draws per datum may miss.

    Parameters
    ----------
    scene : Scene
    n_draws : int
        Of all repeats together.
    bound_draws : int
        K, draws in one bound.

    Returns
    -------
    dict
        Empty for continuous latents. A sum of K draws is one estimate, hence the factor K on its variance.
    """
    model, x = scene.model, scene.x
    if scene.posterior is None or not model.family.discrete:
        return {}
    family, eta = scene.posterior.family, scene.posterior.eta(scene.phi, x)
    z = all_values(family, len(x))
    log_q, score = family.log_prob(eta, z), family.score(eta, z)
    log_w, q = model.log_joint(scene.theta, x, z) - log_q, np.exp(log_q)
    by_theta, by_eta = np.zeros(model.layout.size), np.zeros(eta.shape)
    for n in range(len(x)):
        met = q[:, n] > 0.0
        f, h = log_w[met, n], np.abs(score[met, n])
        missed = rare_events(f, q[met, n], bound_draws, n_draws / bound_draws) * bound_draws / len(x) ** 2
        largest = 1.0 + max(np.abs(f).max(), np.ptp(f))
        change = largest * (h + (bound_draws - 1) * (q[met, n] @ h))
        by_eta[n] = missed @ change**2
        if missed.any():
            values = family.values()[met][:, None, None]  # each a repeat of one draw for one datum
            one = np.ones((len(f), 1, 1))
            slopes = model.log_joint_vjp(scene.theta, x[n : n + 1], values, one)[0]
            by_theta += missed.sum() * np.ptp(slopes, axis=0) ** 2
    answers = {numbered("grad-theta-iwae", bound_draws): by_theta}
    if scene.posterior.has_parameters:
        by_phi = scene.posterior.eta_error(scene.phi, x, np.sqrt(by_eta)) ** 2
        answers[numbered("grad-phi-iwae", bound_draws)] = by_phi
    return answers
