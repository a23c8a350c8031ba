"""ELBO surgery: what the KL to the prior is made of, over a whole data set.

Draw a datum n at random and then z ~ q(z | x_n). The aggregate posterior q(z) = (1/N) sum_n q(z | x_n) is
the distribution of the decoder's inputs, and

    (1/N) sum_n KL(q(z | x_n) || p(z)) = I(n; z) + KL(q(z) || p(z)),
    I(n; z) = (1/N) sum_n E_{q(z | x_n)}[log q(z | x_n) - log q(z)],      0 <= I <= log N

(Hoffman and Johnson 2016). So the mean ELBO is reconstruction - index-code information - KL of the aggregate.
The information is what makes z a code; only the last term is waste, and a better prior removes it. Where I
approaches log N, every datum has a distinct code and the number says more about N than about the model.

`elbo_surgery` is exact: a sum over categories, or quadrature over each q(z | x_n) of one or two latents with
the full mixture inside. `sampled_surgery` draws z, keeps the full mixture, and reports standard errors. Both
cost N^2 densities per node or draw. The mixture of a minibatch instead would bias I: it cannot exceed the
logarithm of the batch size.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Family, draw_noise
from elbo_lab.errors import NotApplicable, check_count, check_data
from elbo_lab.exact import enumeration, expected_log_joint, quadrature
from elbo_lab.exact.rules import noise_rules
from elbo_lab.models import Model
from elbo_lab.special import log_mean_exp
from elbo_lab.threads import single_threaded_blas

# Bound on the last change of the information of one datum, in nats.
TOLERANCE = 1e-7
# Pairs of nodes (or draws) and data in one table of densities: 2 MB for each latent.
PAIRS_PER_PASS = 1 << 18


@dataclass(frozen=True)
class Surgery:
    """Means over the data, in nats per datum.

    Attributes
    ----------
    reconstruction : float
        E log p(x_n | z).
    information : float
        I(n; z), between 0 and `most_information` up to its error.
    aggregate_kl : float
        KL(q(z) || p(z)).
    reconstruction_error, information_error : float
        Last changes of quadratures, or standard errors of draws. The error of the aggregate is that of the
        information: their sum is in closed form.
    most_information : float
        log N.
    rung : {'enumeration', 'quadrature', 'draws'}
    """

    reconstruction: float
    information: float
    aggregate_kl: float
    reconstruction_error: float
    information_error: float
    most_information: float
    rung: str

    @property
    def elbo(self) -> float:
        """Reconstruction - information - KL of the aggregate."""
        return self.reconstruction - self.information - self.aggregate_kl


def _information(family: Family, eta: Floats, n: int, z: Draws) -> Floats:
    """Return log q(z | x_n) - log q(z) (G,) at z (G, K)."""
    information, per_pass = np.empty(len(z)), max(1, PAIRS_PER_PASS // len(eta))
    for start in range(0, len(z), per_pass):
        nodes = slice(start, start + per_pass)
        log_q = family.log_prob(eta, z[nodes, None, :])
        information[nodes] = log_q[:, n] - log_mean_exp(log_q, axis=-1)
    return information


def _enumerated(family: Family, eta: Floats) -> tuple[Floats, Floats]:
    """Return the information of each datum (N,) and its error (N,), which is zero."""
    log_q = family.log_prob(eta, enumeration.all_values(family, len(eta)))
    log_mixture = log_mean_exp(log_q, axis=-1)[:, None]
    gain = np.zeros(log_q.shape)
    np.subtract(log_q, log_mixture, out=gain, where=log_q > -np.inf)
    value = (np.exp(log_q) * gain).sum(axis=0)
    return value, np.zeros_like(value)


def _integrated(family: Family, eta: Floats) -> tuple[Floats, Floats]:
    """Return the information of each datum (N,) and its last change (N,)."""
    information, change = zip(*(_integrated_datum(family, eta, n) for n in range(len(eta))), strict=True)
    return np.array(information), np.array(change)


def _integrated_datum(family: Family, eta: Floats, n: int) -> tuple[float, float]:
    def by_rule(rule: tuple[Floats, Floats]) -> float:
        nodes, weights = rule
        z = family.sample(eta[n : n + 1], nodes[:, None, :])[:, 0]
        return float(weights @ _information(family, eta, n, z))

    for previous, value in pairwise(map(by_rule, noise_rules(family.size))):
        if abs(value - previous) <= TOLERANCE:
            return value, abs(value - previous)
    raise NotApplicable("the aggregate posterior is too sharp for quadrature; use sampled_surgery")


def elbo_surgery(
    model: Model, theta: Floats, x: Floats, eta: Floats, family: Family | None = None
) -> Surgery:
    """Return the exact Surgery of the mean ELBO over x.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    eta : ndarray (N, E)
        Of q(z | x_n).
    family : Family, optional
        Of q; the model's own if not given.

    Raises
    ------
    NotApplicable
        With three continuous latents or more, or where no quadrature converges; use `sampled_surgery`.
    """
    x, family = check_data(x, n_columns=model.n_columns), model.posterior_family if family is None else family
    if not (family.discrete or quadrature.applies(model)):
        unknown = f"the aggregate posterior of {model.label} is not known exactly"
        reason = f"quadrature takes one or two latents, and there are {model.latent_dim}"
        raise NotApplicable(f"{unknown}: {reason}; use sampled_surgery")
    with single_threaded_blas():
        energy, energy_error, _ = expected_log_joint(model, theta, x, eta, family)
        information, error = _enumerated(family, eta) if family.discrete else _integrated(family, eta)
    rate = family.kl_to(model.family, eta, model.prior_eta(theta))
    return Surgery(
        # E_q log p(z) = -KL(q || p(z)) - H(q).
        reconstruction=float((energy + rate + family.entropy(eta)).mean()),
        information=float(information.mean()),
        aggregate_kl=float(rate.mean() - information.mean()),
        reconstruction_error=float(energy_error.mean()),
        information_error=float(error.mean()),
        most_information=float(np.log(len(x))),
        rung=enumeration.RUNG if family.discrete else quadrature.RUNG,
    )


def _mean_and_error(draws: Floats) -> tuple[float, float]:
    """Return the mean of draws (S, N) and its standard error, the draws being independent."""
    n_draws, n_data = draws.shape
    return float(draws.mean()), float(np.sqrt(draws.var(axis=0, ddof=1).sum() / n_draws) / n_data)


def sampled_surgery(
    model: Model,
    theta: Floats,
    x: Floats,
    eta: Floats,
    rng: np.random.Generator,
    n_draws: int = 100,
    family: Family | None = None,
) -> Surgery:
    """Return the Surgery of the mean ELBO over x from draws of z, with standard errors.

    Parameters
    ----------
    model, theta, x, eta, family
        As for `elbo_surgery`, with continuous z of any dimension.
    rng : numpy.random.Generator
    n_draws : int
        S per datum, at least 2.
    """
    x, family = check_data(x, n_columns=model.n_columns), model.posterior_family if family is None else family
    if family.discrete:
        raise NotApplicable(f"{family.name} z needs no draws: elbo_surgery sums over its values")
    noise = draw_noise(family.noise_spec(check_count("n_draws", n_draws, 2), len(x)), rng)
    likelihood, information = np.empty((2, n_draws, len(x)))
    with single_threaded_blas():
        z = family.sample(eta, noise)
        for s in range(n_draws):
            likelihood[s] = model.log_likelihood(theta, x, z[s : s + 1])[0]
        for n in range(len(x)):
            information[:, n] = _information(family, eta, n, z[:, n])
    rate = family.kl_to(model.family, eta, model.prior_eta(theta)).mean()
    reconstruction, reconstruction_error = _mean_and_error(likelihood)
    value, error = _mean_and_error(information)
    return Surgery(
        reconstruction=reconstruction,
        information=value,
        aggregate_kl=float(rate - value),
        reconstruction_error=reconstruction_error,
        information_error=error,
        most_information=float(np.log(len(x))),
        rung="draws",
    )
