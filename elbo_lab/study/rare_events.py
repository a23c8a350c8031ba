"""The variance that draws of a discrete z are expected to miss: rare events that no repeat may show.

**One draw.** A category that q hardly ever draws leaves no trace in the sample variance of R repeats: the
sample mean is off by that category's share and looks certain. Its share of the *population* variance is known
by enumeration, and it is added to the error of the bias test: for a category of probability p whose
contribution differs by e from the usual one, n draws have the mean off by p e if they miss it, and the
added standard error is e sqrt(p / n), so that z = sqrt(n p), the root of the number of draws expected.

**K draws in one bound.** A tuple of draws can be rare though none of its categories is. What decides an
estimate is the largest weight and whether one draw or several carry it; so, for every category k, three
events are looked at:

    k is drawn once                                       K q_k (1 - q_k)^(K-1)
    one draw is k, all others have smaller weights        K q_k Q_k^(K-1)
    several are k, all others have smaller weights        (Q_k + q_k)^K - Q_k^K - K q_k Q_k^(K-1)

with Q_k the probability of a smaller weight. An event of probability P that n bounds are not sure to show is
off by P times the change of the estimate, and adds sqrt(P / n) times it to the standard error. The change is
bounded, with f the log-weights and h the score:

    a value          |f_k - E_q f| + log K where k has the largest weight, which then lies between
                     f_k - log K and f_k; E_q |f - E_q f| + log K where it only takes the place of another
    theta            the spread of d log p(x, z) / d theta over the categories: shares of the draws sum to one
    eta              M (|h_k| + (K - 1) E_q |h|), with M the largest signal of any estimator, one nat more
                     than the largest log-weight and their spread
    eta, wake phase  the spread of h over the categories, since the shares sum to one

Whatever joins all S draws in one estimate of log p(x), or of a gradient of it, is such a bound with K = S;
three times the change is taken for its value, as much as a jackknife of order two makes of it. This is on
the safe side: the bias test loses some power in the coordinates of rare tuples, but raises no false alarm.
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family
from elbo_lab.estimators.targets import numbered
from elbo_lab.exact import enumeration
from elbo_lab.exact.enumeration import all_values
from elbo_lab.study.scene import Scene

# Beyond this expected number of draws a category is as good as surely seen (it is missed with
# probability e^-40), and the sample variance knows of it.
SURELY_SEEN = 40.0


def _against_the_usual(
    scene: Scene, family: Family, eta: Floats, n: int, usual: int
) -> tuple[Floats, Floats, Floats]:
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


def missed_variance(scene: Scene, n_draws: int) -> dict[str, Floats]:
    """Return {target: variance (P,) of one draw} that `n_draws` draws per datum may miss.

    Empty for continuous latents, for more bits than can be listed, and where q has no rare category.
    """
    model, x = scene.model, scene.x
    if scene.posterior is None or not enumeration.applies(model):
        return {}
    family, eta = scene.posterior.family, scene.posterior.eta(scene.phi, x)
    p = np.exp(family.log_prob(eta, all_values(family, len(x)))).T
    rare = (p > 0.0) & (n_draws * p < SURELY_SEEN)
    value, theta = np.zeros(1), np.zeros(model.layout.size)
    by_eta = np.zeros(eta.shape)
    for n in np.flatnonzero(rare.any(axis=1)):
        by_value, by_theta, by_score = _against_the_usual(scene, family, eta, int(n), int(p[n].argmax()))
        share = np.where(rare[n], p[n], 0.0) / len(x) ** 2
        value += share @ by_value
        theta += share @ by_theta
        by_eta[n] = share @ by_score
    answers: dict[str, Floats] = {"elbo": value, "grad-theta-elbo": theta}
    if scene.posterior.has_parameters:
        by_phi = scene.posterior.eta_error(scene.phi, x, np.sqrt(by_eta)) ** 2
        answers["grad-phi-elbo"] = by_phi
    return answers if rare.any() else {}


# -- bounds of several draws ---------------------------------------------------------------------------


def rare_events(log_w: Floats, q: Floats, n_draws: int, n_bounds: float) -> Floats:
    """Return the probabilities (3, G) of the three events of each category, zero where they are surely seen.

    Parameters
    ----------
    log_w, q : ndarray (G,)
        Log-weights and probabilities of the categories.
    n_draws : int
        K, draws in one bound.
    n_bounds : float
        How many bounds there are to show an event.
    """
    order = np.argsort(log_w)
    below = np.concatenate([[0.0], np.cumsum(q[order])])
    smaller = below[np.searchsorted(log_w[order], log_w)]
    once = n_draws * q * (1.0 - q) ** (n_draws - 1)
    alone = n_draws * q * smaller ** (n_draws - 1)
    several = np.maximum((smaller + q) ** n_draws - smaller**n_draws - alone, 0.0)
    events = np.stack([once, alone, several])
    return np.where(n_bounds * events < SURELY_SEEN, events, 0.0)


def missed_of_bound(
    scene: Scene, n_draws: int, bound_draws: int, draws_from: str = "posterior"
) -> dict[str, Floats]:
    """Return {target: variance (P,) of one draw} that `n_draws` draws per datum may miss.

    Parameters
    ----------
    scene : Scene
    n_draws : int
        Of all repeats together.
    bound_draws : int
        K, draws in one bound.
    draws_from : {'posterior', 'prior'}

    Returns
    -------
    dict
        For the bounds of K draws, and for what joins K draws in one estimate of log p(x). Empty for
        continuous latents. A sum of K draws is one estimate, hence the factor K on its variance.
    """
    model, x = scene.model, scene.x
    if scene.posterior is None or not enumeration.applies(model):
        return {}
    family, eta = scene.posterior.family, scene.posterior.eta(scene.phi, x)
    z = all_values(family, len(x))
    if draws_from == "prior":
        family, prior = model.family, model.prior_eta(scene.theta)
        eta = np.broadcast_to(prior, (len(x), family.eta_size))
    log_q, score = family.log_prob(eta, z), family.score(eta, z)
    log_w, q = model.log_joint(scene.theta, x, z) - log_q, np.exp(log_q)
    by_value, by_theta = np.zeros(1), np.zeros(model.layout.size)
    by_eta, by_wake = np.zeros(eta.shape), np.zeros(eta.shape)
    for n in range(len(x)):
        met = q[:, n] > 0.0
        p, f, h = q[met, n], log_w[met, n], score[met, n]
        events = rare_events(f, p, bound_draws, n_draws / bound_draws) * bound_draws / len(x) ** 2
        missed = events.sum(axis=0)
        if not missed.any():
            continue
        away = np.abs(f - p @ f)
        change = np.stack([np.full(len(f), p @ away), away, away]) + np.log(bound_draws)
        by_value += (events * change**2).sum()
        values = family.values()[met][:, None, None]  # each a repeat of one draw for one datum
        slopes = model.log_joint_vjp(scene.theta, x[n : n + 1], values, np.ones((len(f), 1, 1)))[0]
        by_theta += missed.sum() * np.ptp(slopes, axis=0) ** 2
        largest = 1.0 + max(np.abs(f).max(), np.ptp(f))
        by_eta[n] = missed @ (largest * (np.abs(h) + (bound_draws - 1) * (p @ np.abs(h)))) ** 2
        by_wake[n] = missed.sum() * np.ptp(h, axis=0) ** 2
    answers: dict[str, Floats] = {
        numbered("iwae", bound_draws): by_value,
        numbered("grad-theta-iwae", bound_draws): by_theta,
        "log-evidence": 9.0 * by_value,
        "grad-theta-log-evidence": by_theta,
    }
    if scene.posterior.has_parameters and family == scene.posterior.family:
        for target, missed_in_eta in (("grad-phi-iwae", by_eta), ("grad-phi-inclusive-kl", by_wake)):
            by_phi = scene.posterior.eta_error(scene.phi, x, np.sqrt(missed_in_eta)) ** 2
            answers[numbered(target, bound_draws)] = by_phi
    return answers
