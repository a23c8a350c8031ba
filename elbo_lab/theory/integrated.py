"""One or two continuous latents under any model: moments of single draws by quadrature over the noise."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family
from elbo_lab.exact.quadrature import ToleranceMissed, passes_under_q
from elbo_lab.exact.rules import noise_rules
from elbo_lab.models import Model
from elbo_lab.theory.score import DrawMoments, ScoreMoments

TOLERANCE = 1e-5


def path_of_each_draw(family: Family, eta: Floats, noise: Floats, grad_z: Floats) -> Floats:
    """Return the pathwise derivative in eta of every single draw (G, N, E)."""
    return family.sample_vjp(eta, noise[:, None], grad_z[:, None])


def _by_rule(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, rule: tuple[Floats, Floats]
) -> DrawMoments:
    centre = family.sample(eta, np.zeros(family.noise_spec(1, len(x)).shape))
    shift = (model.log_joint(theta, x, centre) - family.log_prob(eta, centre))[0][:, None]
    score_sums: list[Floats] = []
    path_sums: dict[str, tuple[Floats | float, Floats | float]] = {}
    for noise, w, z in passes_under_q(family, eta, rule):
        noise, w = np.broadcast_to(noise, (*z.shape[:-1], noise.shape[-1])), w[..., None]
        s, ones = family.score(eta, z), np.ones(z.shape[:-1])
        log_likelihood, _ = model.likelihood(theta, x, z)
        by_prior = model.log_prior_grad_z(theta, z, ones)
        # Not by the pullback, which gives the gradient in theta too, at several times the cost.
        by_likelihood = model.log_likelihood_grad_z(theta, x, z, ones)
        log_q = family.log_prob(eta, z)
        d = (log_likelihood + model.log_prior(theta, z) - log_q)[..., None] - shift
        parts = (d, d**2, d * s, d * s**2, d**2 * s**2, s**2)
        sums = [(w * part).sum(axis=0) for part in parts]
        score_sums = [a + b for a, b in zip(score_sums, sums, strict=True)] if path_sums else sums
        by_q = family.log_prob_grad_z(eta, z)
        along = path_of_each_draw(family, eta, noise, by_likelihood + by_prior - by_q)
        draws = {
            "reparameterization": along - s,
            "reparameterization-analytic-kl": path_of_each_draw(family, eta, noise, by_likelihood),
            "sticking-the-landing": along,
        }
        for name, g in draws.items():
            first, second = path_sums.get(name, (0.0, 0.0))
            path_sums[name] = first + (w * g).sum(axis=0), second + (w * g**2).sum(axis=0)
    pathwise = {name: np.maximum(second - first**2, 0.0) for name, (first, second) in path_sums.items()}
    return DrawMoments(ScoreMoments.from_shifted(shift, *score_sums), pathwise)


def draw_moments(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> DrawMoments:
    """Return the DrawMoments of q.

    Raises
    ------
    ToleranceMissed
        If the finest rule still changes the total of some variance by more than 1e-5 of itself.
    """
    previous = None
    for rule in noise_rules(family.size):
        current = _by_rule(model, theta, x, family, eta, rule)
        if previous is not None:
            now, before = current.variances(2), previous.variances(2)
            totals = [(now[name].sum(), before[name].sum()) for name in now]
            if all(abs(a - b) <= TOLERANCE * a for a, b in totals):
                return current
        previous = current
    raise ToleranceMissed
