"""Exercise: the ELBO of a VAE with a Gaussian decoder: reconstruction minus KL."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.models import PPCA
from elbo_lab.special import LOG_2PI, log_mean_exp

N_ROWS, N_COLUMNS = 4, 3
N_DRAWS = 4000
# Draws that tell the standard error: that of the same draws is small where their mean is wrong.
FURTHER = 20_000


def log_likelihood(x: Floats, decoded: Floats, sigma: float) -> Floats:
    """Return log N(x_n; decoded_sn, sigma^2 I) (S, N)."""
    family = DiagonalGaussian(x.shape[-1])
    return family.log_prob(family.join(decoded, np.full_like(decoded, np.log(sigma))), x)


def reconstruction(x: Floats, decoded: Floats, sigma: float) -> Floats:
    """Return the mean over the draws (N,)."""
    return log_likelihood(x, decoded, sigma).mean(axis=0)


def kl_to_prior(mean: Floats, sd: Floats) -> Floats:
    """Return KL(q || N(0, I)) (N,)."""
    family = DiagonalGaussian(mean.shape[-1])
    return family.kl(family.join(mean, np.log(sd)), np.zeros((len(mean), family.eta_size)))


def elbo(x: Floats, decoded: Floats, sigma: float, mean: Floats, sd: Floats) -> Floats:
    """Return reconstruction minus KL (N,)."""
    return reconstruction(x, decoded, sigma) - kl_to_prior(mean, sd)


def scene(rng: np.random.Generator) -> Scene:
    """Draw a linear decoder of one latent, rows, and a q that is not the posterior."""
    model = PPCA(N_COLUMNS, 1)
    sigma = float(np.round(rng.uniform(0.4, 0.8), 2))
    line = {"W": rng.normal(size=(N_COLUMNS, 1)), "b": rng.normal(size=N_COLUMNS), "log_sigma": np.log(sigma)}
    theta = model.layout.pack(line)
    x = rng.normal(size=(N_ROWS, N_COLUMNS))
    exact_mean, exact_sd = model.posterior_mean_and_std(theta, x)
    return {
        "model": model,
        "theta": theta,
        "line": line,
        "x": x,
        "sigma": sigma,
        "posterior": (exact_mean, np.broadcast_to(exact_sd, exact_mean.shape).copy()),
        "q": (exact_mean + 0.5, rng.uniform(0.3, 0.9, size=(N_ROWS, 1))),
        "eps": rng.normal(size=(N_DRAWS, N_ROWS, 1)),
    }


def _decoded(scene: Scene, z: Floats) -> Floats:
    return z @ scene["line"]["W"].T + scene["line"]["b"]


def _mirrored(scene: Scene, q: tuple[Floats, Floats]) -> Floats:
    """Return decoded means of the two draws mean + sd and mean - sd, exact for a linear decoder."""
    mean, sd = q
    return _decoded(scene, np.stack([mean + sd, mean - sd]))


def _elbo_calls(scene: Scene, name: str) -> list[Call]:
    q = scene[name]
    return [Call("elbo", (scene["x"], _mirrored(scene, q), scene["sigma"], *q))]


def _log_p(scene: Scene) -> Floats:
    return scene["model"].log_evidence(scene["theta"], scene["x"])


def _exact_elbo(scene: Scene) -> Floats:
    mean, sd = scene["q"]
    eta = scene["model"].family.join(mean, np.log(sd))
    expected = scene["model"].expected_log_joint(scene["theta"], scene["x"], eta)
    return expected + scene["model"].family.entropy(eta)


def _drawn(scene: Scene) -> Floats:
    mean, sd = scene["q"]
    return _decoded(scene, mean + sd * scene["eps"])


def _standard_error(scene: Scene, _: list[Result]) -> Floats:
    eps = np.random.default_rng(FURTHER).standard_normal((FURTHER, *scene["eps"].shape[1:]))
    terms = log_likelihood(scene["x"], _drawn({**scene, "eps": eps}), scene["sigma"])
    return terms.std(axis=0) / np.sqrt(N_DRAWS)


def _with_variance(x: Floats, decoded: Floats, sigma: float) -> Floats:
    return reconstruction(x, decoded, np.sqrt(sigma))


EXERCISE = Exercise(
    name="elbo-of-a-gaussian-vae",
    title="The ELBO of a VAE with a Gaussian decoder",
    lesson="road.md",
    minutes=25,
    statement="""
The model: z ~ N(0, I), and x given z is Gaussian with the decoder's output as mean
and sigma^2 as the variance of each of its D columns. The encoder gives a mean and a
standard deviation of q for each row. Write, in nats and for each row,

    ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z)).

The first term is the mean over S draws of z; the decoder has been applied to them
already. The second one is a formula. The result is a bound on log p(x), not a loss:
it goes up in training, sums over columns and latents, and keeps its constants.
""",
    functions=(
        Function(
            "reconstruction",
            "x, decoded, sigma",
            """Return the mean over S draws of log p(x_n | z_sn), in nats.

Parameters
----------
x : array (N, D)
decoded : array (S, N, D)
    The decoder's output at each draw of each row.
sigma : float
    Standard deviation of every column.

Returns
-------
array (N,)
""",
            reconstruction,
        ),
        Function(
            "kl_to_prior",
            "mean, sd",
            """Return KL(q || N(0, I)), in nats.

Parameters
----------
mean, sd : array (N, K)
    Of q; standard deviations.

Returns
-------
array (N,)
""",
            kl_to_prior,
        ),
        Function(
            "elbo",
            "x, decoded, sigma, mean, sd",
            """Return the ELBO, in nats.

Parameters
----------
x, decoded, sigma, mean, sd
    As above.

Returns
-------
array (N,)
""",
            elbo,
        ),
    ),
    scene=scene,
    laws=(
        Law(
            "x decoded without error, three columns, sigma = 1: -2.7568",
            1,
            lambda _: [Call("reconstruction", (np.zeros((1, 3)), np.zeros((1, 1, 3)), 1.0))],
        ),
        Law(
            "your rows, two draws, your sigma: the exact reconstruction term",
            2,
            lambda s: [Call("reconstruction", (s["x"], _mirrored(s, s["q"]), s["sigma"]))],
        ),
        Law(
            "KL is 0 where q is the prior, and 0.4620 for the q = N(0.6615, 0.5547^2) of the lessons",
            1,
            lambda _: [
                Call("kl_to_prior", (np.zeros((1, 2)), np.ones((1, 2)))),
                Call("kl_to_prior", (np.full((1, 1), 0.6615), np.full((1, 1), 0.5547))),
            ],
        ),
        Law(
            "two latents: the KL of each is added",
            1,
            lambda s: [Call("kl_to_prior", tuple(np.hstack([one, one[::-1]]) for one in s["q"]))],
        ),
        Law(
            "your q, at its mean plus and minus one sd: the exact ELBO of a linear decoder",
            2,
            lambda s: _elbo_calls(s, "q"),
            value=lambda _, results: results[0],
            expected=_exact_elbo,
        ),
        Law(
            "q = the exact posterior: the ELBO is log p(x)",
            2,
            lambda s: _elbo_calls(s, "posterior"),
            value=lambda _, results: results[0],
            expected=_log_p,
        ),
        Law(
            f"{N_DRAWS} draws of your q: the exact ELBO within its noise",
            1,
            lambda s: [Call("elbo", (s["x"], _drawn(s), s["sigma"], *s["q"]))],
            value=lambda _, results: results[0],
            expected=_exact_elbo,
            standard_error=_standard_error,
        ),
    ),
    faults=(
        Fault(
            "reconstruction",
            "the sum over the draws is taken where their mean is wanted",
            lambda x, decoded, sigma: log_likelihood(x, decoded, sigma).sum(axis=0),
        ),
        Fault(
            "reconstruction",
            "the mean over the columns is taken where their sum is wanted: the KL then counts D times",
            lambda x, decoded, sigma: reconstruction(x, decoded, sigma) / x.shape[1],
        ),
        Fault(
            "reconstruction",
            "0.5 log(2 pi) of each column is missing",
            lambda x, decoded, sigma: reconstruction(x, decoded, sigma) + 0.5 * LOG_2PI * x.shape[1],
        ),
        Fault(
            "reconstruction",
            "-log sigma of each column is missing",
            lambda x, decoded, sigma: reconstruction(x, decoded, sigma) + np.log(sigma) * x.shape[1],
        ),
        Fault(
            "reconstruction",
            "-log sigma is there once; each of the D columns has it",
            lambda x, decoded, sigma: reconstruction(x, decoded, sigma) + np.log(sigma) * (x.shape[1] - 1),
        ),
        Fault("reconstruction", "the standard deviation sigma is used as a variance", _with_variance),
        Fault(
            "reconstruction",
            "this is half the squared error alone, without sigma and constants, and not a log-density",
            lambda x, decoded, sigma: -0.5 * ((x - decoded) ** 2).sum(axis=-1).mean(axis=0),  # noqa: ARG005
        ),
        Fault(
            "reconstruction",
            "the logarithm of the mean over the draws is taken; the ELBO has the mean of the logarithms",
            lambda x, decoded, sigma: log_mean_exp(log_likelihood(x, decoded, sigma), axis=0),
        ),
        Fault(
            "reconstruction",
            "the draws are averaged before log p(x | z): the noise of z is lost",
            lambda x, decoded, sigma: log_likelihood(x, decoded.mean(axis=0, keepdims=True), sigma)[0],
        ),
        Fault(
            "kl_to_prior",
            "the standard deviations are used as variances",
            lambda mean, sd: kl_to_prior(mean, np.sqrt(sd)),
        ),
        Fault("kl_to_prior", "this is -KL(q || p)", lambda mean, sd: -kl_to_prior(mean, sd)),
        Fault("kl_to_prior", "a factor 1/2 is missing", lambda mean, sd: 2 * kl_to_prior(mean, sd)),
        Fault(
            "kl_to_prior",
            "the constant -1/2 of each latent is missing",
            lambda mean, sd: kl_to_prior(mean, sd) + 0.5 * mean.shape[1],
        ),
        Fault(
            "kl_to_prior",
            "the mean over the latents is taken where their sum is wanted",
            lambda mean, sd: kl_to_prior(mean, sd) / mean.shape[1],
        ),
        Fault(
            "elbo",
            "the KL is added where it is to be subtracted",
            lambda x, decoded, sigma, mean, sd: reconstruction(x, decoded, sigma) + kl_to_prior(mean, sd),
        ),
        Fault(
            "elbo",
            "this is the loss, -ELBO; bounds go up here",
            lambda *arguments: -elbo(*arguments),
        ),
        Fault(
            "elbo",
            "the KL is missing: this is the reconstruction term alone",
            lambda x, decoded, sigma, mean, sd: reconstruction(x, decoded, sigma),  # noqa: ARG005
        ),
        Fault(
            "elbo",
            "the ELBO is divided by the number of rows; each row has its own",
            lambda x, *rest: elbo(x, *rest) / len(x),
        ),
    ),
    example="""
x, decoded = np.zeros((1, 3)), np.zeros((2, 1, 3))
print("reconstruction:", reconstruction(x, decoded, 1.0), "should be -2.7568")
print("KL:", kl_to_prior(np.full((1, 1), 0.6615), np.full((1, 1), 0.5547)), "should be 0.4620")
bound = elbo(x, decoded, 1.0, np.zeros((1, 1)), np.ones((1, 1)))
print("ELBO, q the prior:", bound, "should be -2.7568")
""",
)
