"""The variance that draws of a discrete z are expected to miss.

A category that q hardly ever draws leaves no trace in the sample variance of R repeats: the sample mean
is off by that category's share and looks certain. Its share of the *population* variance is known by
enumeration, and it is added to the error of the bias test: for a category of probability p whose
contribution differs by e from the usual one, n draws have the mean off by p e if they miss it, and the
added standard error is e sqrt(p / n), so that z = sqrt(n p), the root of the number of draws expected.
Bounds of several draws, where a tuple can be rare though its categories are not, have `study.missed_coupled`.
"""

from functools import lru_cache

import numpy as np

from elbo_lab.exact.enumeration import all_values

# Beyond this expected number of draws a category is as good as surely seen (it is missed with
# probability e^-40), and the sample variance knows of it.
SURELY_SEEN = 40.0


def _against_the_usual(scene, family, eta, n, usual):
    """Return the squared contributions of every value to the mean of datum n, against the usual value's.

    To the ELBO (G,), to its gradient in theta (G, P) and to the score form of that in eta (G, E).
    Estimators differ in what they integrate in closed form; the largest contribution counts.
    """
    model, theta, row = scene.model, scene.theta, scene.x[n : n + 1]
    z = family.values()[:, None, None]  # as repeats of one draw for one datum
    each = np.ones((len(z), 1, 1))
    likelihood, joint = (form(theta, row, z) for form in (model.log_likelihood, model.log_joint))
    f = joint - family.log_prob(eta[n : n + 1], z)
    f_score = (f[..., None] * family.score(eta[n : n + 1], z))[:, 0, 0]
    grads = [vjp(theta, row, z, each)[0] for vjp in (model.log_likelihood_vjp, model.log_joint_vjp)]
    by_value, by_theta = (
        np.max([(part - part[usual]) ** 2 for part in parts], axis=0)
        for parts in ([form[:, 0, 0] for form in (likelihood, joint, f)], grads)
    )
    return by_value, by_theta, (f_score - f_score[usual]) ** 2


@lru_cache(maxsize=16)
def missed_variance(scene, n_draws):
    """Return {target: variance (P,) of one draw} that `n_draws` draws per datum may miss.

    Empty for continuous latents, and where q has no rare category.
    """
    model, x = scene.model, scene.x
    if scene.posterior is None or not model.family.discrete:
        return {}
    family, eta = scene.posterior.family, scene.posterior.eta(scene.phi, x)
    p = np.exp(family.log_prob(eta, all_values(family, len(x)))).T
    rare = (p > 0.0) & (n_draws * p < SURELY_SEEN)
    value, theta = np.zeros(1), np.zeros(model.layout.size)
    by_eta = np.zeros(eta.shape)
    for n in np.flatnonzero(rare.any(axis=1)):
        by_value, by_theta, by_score = _against_the_usual(scene, family, eta, n, p[n].argmax())
        share = np.where(rare[n], p[n], 0.0) / len(x) ** 2
        value += share @ by_value
        theta += share @ by_theta
        by_eta[n] = share @ by_score
    answers = {"elbo": value, "grad-theta-elbo": theta}
    if scene.posterior.has_parameters:
        by_phi = scene.posterior.eta_error(scene.phi, x, np.sqrt(by_eta)) ** 2
        answers["grad-phi-elbo"] = by_phi
    return answers if rare.any() else {}
