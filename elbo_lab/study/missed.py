"""The variance that categorical draws are expected to miss.

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


@lru_cache(maxsize=16)
def missed_variance(scene, n_draws):
    """Return {target: variance (P,) of one draw} that `n_draws` draws per datum may miss.

    Empty for continuous latents, and where q has no rare category.
    """
    model, x = scene.model, scene.x
    if scene.posterior is None or not model.family.discrete:
        return {}
    family, eta = scene.posterior.family, scene.posterior.eta(scene.phi, x)
    values = family.values()
    p = np.exp(family.log_prob(eta, all_values(family, len(x)))).T
    usual = p.argmax(axis=-1)
    rare = (p > 0.0) & (n_draws * p < SURELY_SEEN)
    n_data, value, theta = len(x), np.zeros(1), np.zeros(model.layout.size)
    by_eta = np.zeros(eta.shape)
    for n, k in np.argwhere(rare):
        # The rare category against the usual one, as two draws of one datum.
        row, z = slice(n, n + 1), values[[k, usual[n]]][:, None]
        against = np.array([[1.0], [-1.0]])
        likelihood, joint = (form(scene.theta, x[row], z) for form in (model.log_likelihood, model.log_joint))
        f = joint - family.log_prob(eta[row], z)
        f_score = f[..., None] * family.score(eta[row], z)
        grads = [
            vjp(scene.theta, x[row], z, against)[0] for vjp in (model.log_likelihood_vjp, model.log_joint_vjp)
        ]
        share = p[n, k] / n_data**2
        # Estimators differ in what they integrate in closed form; the largest contribution counts.
        value += share * max(float(np.ptp(form)) for form in (likelihood, joint, f)) ** 2
        theta += share * np.maximum(*np.square(grads))
        by_eta[n] += share * (f_score[0, 0] - f_score[1, 0]) ** 2
    answers = {"elbo": value, "grad-theta-elbo": theta}
    if scene.posterior.has_parameters:
        by_phi = scene.posterior.eta_error(scene.phi, x, np.sqrt(by_eta)) ** 2
        answers["grad-phi-elbo"] = by_phi
    return answers if rare.any() else {}
