"""Estimates of log p(x) in a VAE with a decoder 20-500-784 in float32: draws from the prior, and from q.

Both keep three numbers per datum, whatever the number of draws. The weights are added in float64; the peer
adds them in float32.
"""

import numpy as np
from work import Work

from elbo_lab.bounds import prior_evidence
from elbo_lab.distributions import draw_noise
from elbo_lab.estimators import Problem
from elbo_lab.evaluation import importance_nll, prior_nll
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.threads import thread_pool

PIXELS, HIDDEN, LATENT, CORES = 784, 500, 20, 2
POINTS, DRAWS = 1000, 4096
NLL_POINTS, NLL_DRAWS = 40, 5000
BLOCK = 512


def scene():
    """Return model, posterior, theta, phi, x (N, D), float32."""
    rng = np.random.default_rng(0)
    x = (rng.random((POINTS, PIXELS)) < 0.3).astype(np.float32)
    model = DeepBernoulli(PIXELS, LATENT, (HIDDEN,))
    posterior = AmortisedPosterior.for_pixels(model.family, x, hidden=(HIDDEN,))
    theta, phi = model.random_theta(x, rng), posterior.network.initial(rng)
    return model, posterior, theta.astype(np.float32), phi.astype(np.float32), x


def weights(model, theta):
    """Return W1, b1, W2, b2 of the decoder."""
    views = model.decoder.layout.views(theta)
    return [views[name] for name in ("W1", "b1", "W2", "b2")]


# -- draws from the prior ----------------------------------------------------------------------------


def prior_ours():
    """A block of draws for all points, streamed."""
    model, _, theta, _, x = scene()
    prior_nll(model, theta, x, 16)  # imports and compiles, as the import of a peer does
    return lambda: prior_nll(model, theta, x, DRAWS)


def prior_definition():
    """The same with all log-weights in memory."""
    model, _, theta, _, x = scene()
    rng = np.random.default_rng(0)

    def work():
        return prior_evidence(model, theta, x, rng.standard_normal((DRAWS, 1, LATENT)))

    return work


def prior_limit():
    """The matrix products: the decoder's, the data through its last layer, and the draws with these."""
    model, _, theta, _, x = scene()
    w1, _, w2, _ = weights(model, theta)
    rng = np.random.default_rng(0)
    z, a = (rng.standard_normal((DRAWS, width), dtype=np.float32) for width in (LATENT, HIDDEN))
    through = x @ w2.T

    def draws(start):
        rows = slice(start, start + BLOCK)
        z[rows] @ w1, a[rows] @ w2, a[rows] @ through.T

    def work():
        with thread_pool(CORES) as pool:
            list(pool.map(lambda start: x[start : start + 125] @ w2.T, range(0, POINTS, 125)))
            list(pool.map(draws, range(0, DRAWS, BLOCK)))

    return work


def prior_jax():
    """One compiled function of a key: draws, decoder, likelihood of all points, log-mean-exp."""
    import jax
    import jax.numpy as jnp

    model, _, theta, _, x = scene()
    w1, b1, w2, b2 = (jnp.asarray(value) for value in weights(model, theta))
    x = jnp.asarray(x)

    @jax.jit
    def evidence(key):
        z = jax.random.normal(key, (DRAWS, LATENT))
        logits = jnp.tanh(z @ w1 + b1) @ w2 + b2
        log_p = x @ logits.T - jax.nn.softplus(logits).sum(axis=1)
        return jax.scipy.special.logsumexp(log_p, axis=1) - np.log(DRAWS)

    key = jax.random.key(0)
    return lambda: jax.block_until_ready(evidence(key))


# -- draws from q --------------------------------------------------------------------------------------


def nll_ours():
    """Importance samples for a few points, streamed."""
    model, posterior, theta, phi, x = scene()
    importance_nll(Problem(model, posterior, theta, phi, x[:1]), 2)
    return lambda: importance_nll(Problem(model, posterior, theta, phi, x[:NLL_POINTS]), NLL_DRAWS)


def nll_definition():
    """The formula of one datum after the other, all its draws in memory."""
    from elbo_lab.bounds import importance_evidence

    model, posterior, theta, phi, x = scene()
    rng = np.random.default_rng(0)

    def work():
        eta = encoded(posterior, phi, x[:NLL_POINTS])
        for n in range(NLL_POINTS):
            own = slice(n, n + 1)
            z = model.family.sample(eta[own], draw_noise(model.family.noise_spec(NLL_DRAWS, 1), rng))
            importance_evidence(model, theta, x[own], model.family, eta[own], z)

    return work


def nll_limit():
    """The matrix products of the decoder."""
    model, _, theta, _, _ = scene()
    w1, _, w2, _ = weights(model, theta)
    rng = np.random.default_rng(0)
    z, a = (rng.standard_normal((1000, width), dtype=np.float32) for width in (LATENT, HIDDEN))

    def work():
        with thread_pool(CORES) as pool:
            list(pool.map(lambda _: (z @ w1, a @ w2), range(NLL_POINTS * NLL_DRAWS // 1000)))

    return work


WORKS = (
    Work(
        name="prior-monte-carlo",
        ours=prior_ours,
        definition=prior_definition,
        limit=prior_limit,
        peers={"jax": prior_jax},
        most_of_limit=1.5,
        least_over_peer={"jax": 1.7},
    ),
    Work(name="importance-nll", ours=nll_ours, definition=nll_definition, limit=nll_limit, most_of_limit=1.5),
)
