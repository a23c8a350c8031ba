"""Exercise: KL(q || p) of two Gaussians with independent coordinates."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Scene

NODES = 60


def reference(mean_q: Floats, sd_q: Floats, mean_p: Floats, sd_p: Floats) -> Floats:
    """Return the KL divergence of the package's Gaussian."""
    family = DiagonalGaussian(mean_q.shape[-1])
    return family.kl(family.join(mean_q, np.log(sd_q)), family.join(mean_p, np.log(sd_p)))


def scene(rng: np.random.Generator) -> Scene:
    """Draw five pairs of Gaussians in three dimensions."""
    shape = (5, 3)
    return {
        "pair": (
            rng.normal(size=shape),
            rng.uniform(0.3, 0.8, size=shape),
            rng.normal(size=shape),
            rng.uniform(1.2, 2.5, size=shape),
        )
    }


def _one_dimension(scene: Scene) -> tuple[Floats, ...]:
    return tuple(one[:, :1] for one in scene["pair"])


def by_quadrature(mean_q: Floats, sd_q: Floats, mean_p: Floats, sd_p: Floats) -> Floats:
    """Return E_q[log q(z) - log p(z)] (N,) of one dimension (N, 1), by Gauss-Hermite nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    family = DiagonalGaussian(1)
    eta_q, eta_p = family.join(mean_q, np.log(sd_q)), family.join(mean_p, np.log(sd_p))
    z = family.sample(eta_q, nodes[:, None, None])
    log_ratio = family.log_prob(eta_q, z) - family.log_prob(eta_p, z)
    return weights @ log_ratio / weights.sum()


def _number(*values: float) -> list[Call]:
    return [Call("kl", tuple(np.full((1, 1), value) for value in values))]


def _terms(mean_q: Floats, sd_q: Floats, mean_p: Floats, sd_p: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the three terms without their constant: of the logarithms, of the variances, of the means."""
    log_ratio = np.log(sd_p / sd_q).sum(axis=-1)
    variances = 0.5 * ((sd_q / sd_p) ** 2).sum(axis=-1)
    return log_ratio, variances, 0.5 * (((mean_q - mean_p) / sd_p) ** 2).sum(axis=-1)


def _without_constant(mean_q: Floats, sd_q: Floats, mean_p: Floats, sd_p: Floats) -> Floats:
    return sum(_terms(mean_q, sd_q, mean_p, sd_p), np.zeros(len(mean_q)))


def _sign_of_logarithm(mean_q: Floats, sd_q: Floats, mean_p: Floats, sd_p: Floats) -> Floats:
    log_ratio, variances, means = _terms(mean_q, sd_q, mean_p, sd_p)
    return -log_ratio + variances + means - 0.5 * mean_q.shape[-1]


def _unscaled_means(mean_q: Floats, sd_q: Floats, mean_p: Floats, sd_p: Floats) -> Floats:
    log_ratio, variances, _ = _terms(mean_q, sd_q, mean_p, sd_p)
    return log_ratio + variances + 0.5 * ((mean_q - mean_p) ** 2).sum(axis=-1) - 0.5 * mean_q.shape[-1]


EXERCISE = Exercise(
    name="kl-of-two-gaussians",
    title="The KL divergence of two Gaussians",
    lesson="likelihood.md",
    minutes=15,
    statement="""
Write KL(q || p) = E_q[log q(z) - log p(z)] for two Gaussians with K independent
coordinates, in nats, as a formula and not by draws. The expectation is over q, so
that KL(q || p) and KL(p || q) are two different numbers.

Two numbers to try, each with one coordinate and p = N(0, 1):
q = N(1, 1) gives 0.5, and q = N(0, 2^2) gives 1.5 - log 2 = 0.8069.
""",
    functions=(
        Function(
            "kl",
            "mean_q, sd_q, mean_p, sd_p",
            """Return KL(q || p) of each row, in nats.

Parameters
----------
mean_q, sd_q, mean_p, sd_p : array (N, K)
    Means and standard deviations.

Returns
-------
array (N,)
    Summed over the K coordinates.
""",
            reference,
        ),
    ),
    scene=scene,
    laws=(
        Law("KL(p || p) = 0", 1, lambda s: [Call("kl", s["pair"][:2] * 2)]),
        Law("KL(N(1, 1) || N(0, 1)) = 0.5", 1, lambda _: _number(1, 1, 0, 1)),
        Law("KL(N(0, 2^2) || N(0, 1)) = 0.8069", 2, lambda _: _number(0, 2, 0, 1)),
        Law("KL(N(0.6615, 0.5547^2) || N(0, 1)) = 0.4620", 1, lambda _: _number(0.6615, 0.5547, 0, 1)),
        Law(
            f"your five pairs, one coordinate: E_q[log q - log p], summed over {NODES} nodes",
            2,
            lambda s: [Call("kl", _one_dimension(s))],
            value=lambda _, results: results[0],
            expected=lambda s: by_quadrature(*_one_dimension(s)),
        ),
        Law("your five pairs, three coordinates: the exact value", 3, lambda s: [Call("kl", s["pair"])]),
    ),
    faults=(
        Fault(
            "kl",
            "this is KL(p || q): q and p are exchanged",
            lambda mq, sq, mp, sp: reference(mp, sp, mq, sq),
        ),
        Fault(
            "kl",
            "the standard deviations are used as variances",
            lambda mq, sq, mp, sp: reference(mq, np.sqrt(sq), mp, np.sqrt(sp)),
        ),
        Fault(
            "kl",
            "the variances sd^2 are used as standard deviations",
            lambda mq, sq, mp, sp: reference(mq, sq**2, mp, sp**2),
        ),
        Fault("kl", "the constant -1/2 of each coordinate is missing", _without_constant),
        Fault(
            "kl", "the logarithm of the ratio of standard deviations has the wrong sign", _sign_of_logarithm
        ),
        Fault(
            "kl", "the difference of the means is not divided by the standard deviation of p", _unscaled_means
        ),
        Fault(
            "kl",
            "the term of the means is missing",
            lambda mq, sq, mp, sp: reference(mp, sq, mp, sp),  # noqa: ARG005 - the missing mean
        ),
        Fault("kl", "a factor 1/2 is missing: all is twice too large", lambda *pair: 2 * reference(*pair)),
        Fault(
            "kl",
            "the mean over the coordinates is taken where their sum is wanted",
            lambda *pair: reference(*pair) / pair[0].shape[-1],
        ),
        Fault("kl", "this is -KL(q || p)", lambda *pair: -reference(*pair)),
    ),
    example="""
one, zero = np.ones((1, 1)), np.zeros((1, 1))
print("KL(N(1, 1) || N(0, 1)) =", kl(one, one, zero, one), "should be 0.5")
print("KL(N(0, 4) || N(0, 1)) =", kl(zero, 2 * one, zero, one), "should be 0.8069")
""",
)
