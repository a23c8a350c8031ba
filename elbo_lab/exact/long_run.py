"""Last rung: many draws, with their own standard error.

Expectations under q are plain averages of pathwise gradients; posterior integrals are estimated by
importance sampling from a given proposal. The draws form independent batches; the reported error is the
standard error of the mean over batches. The logarithm of a mean and a self-normalised ratio keep a bias of
order 1 / (draws per batch), an order below that error unless the proposal is poor, which the error shows.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import draw_noise
from elbo_lab.distributions.base import Family
from elbo_lab.exact.answer import Evidence, Expectation
from elbo_lab.models.base import Model
from elbo_lab.special import log_mean_exp, softmax

RUNG = "long-run"
BATCHES = 40
DRAWS_PER_BATCH = 1000
ROWS_PER_PASS = 4096


def _mean_and_error(batches: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return the mean over the first axis and its standard error."""
    table = np.asarray(batches)
    return table.mean(axis=0), table.std(axis=0, ddof=1) / np.sqrt(len(table))


def batch_means(*quantities: Sequence[Floats]) -> list[Floats]:
    """Return [mean, standard error, mean, standard error, ...] of lists with one array per batch."""
    return [array for batches in quantities for array in _mean_and_error(batches)]


def _passes(family: Family, x: Floats, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield the noise of one batch in passes of bounded size."""
    per_pass = max(1, ROWS_PER_PASS // len(x))
    for start in range(0, DRAWS_PER_BATCH, per_pass):
        n_draws = min(per_pass, DRAWS_PER_BATCH - start)
        yield draw_noise(family.noise_spec(n_draws, len(x)), rng)


def expectation(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, rng: np.random.Generator
) -> Expectation:
    """Return E_q log p(x, z) and its gradients, by averages over draws from a reparameterised q."""
    values, by_theta, by_eta = [], [], []
    for _ in range(BATCHES):
        value, grad_theta, grad_eta = np.zeros(len(x)), np.zeros(model.layout.size), np.zeros(eta.shape)
        for noise in _passes(family, x, rng):
            z = family.sample(eta, noise)
            value += model.log_joint(theta, x, z).sum(axis=0) / DRAWS_PER_BATCH
            cotangent = np.full((len(z), len(x)), 1.0 / (DRAWS_PER_BATCH * len(x)))
            by_theta_of_pass, by_z = model.log_joint_vjp(theta, x, z, cotangent)
            assert by_z is not None  # z is continuous
            grad_theta += by_theta_of_pass
            grad_eta += family.sample_vjp(eta, noise, by_z)
        values.append(value)
        by_theta.append(grad_theta)
        by_eta.append(grad_eta)
    batches = {"theta_batches": np.array(by_theta), "eta_batches": np.array(by_eta)}
    return Expectation(RUNG, *batch_means(values, by_theta, by_eta), **batches)


def evidence(
    model: Model, theta: Floats, x: Floats, family: Family, proposal: Floats, rng: np.random.Generator
) -> Evidence:
    """Return log p(x) and its gradient by importance sampling from eta = `proposal` (N, E) of a family."""

    def draws() -> Iterator[tuple[Draws, Floats]]:
        for noise in _passes(family, x, rng):
            z = family.sample(proposal, noise)
            yield z, family.log_prob(proposal, z)

    return evidence_from(model, theta, x, (list(draws()) for _ in range(BATCHES)))


def evidence_from(
    model: Model, theta: Floats, x: Floats, batches: Iterable[Sequence[tuple[Draws, Floats]]]
) -> Evidence:
    """Return log p(x) and its gradient from batches of draws of any proposal.

    Parameters
    ----------
    batches : iterable of lists
        Each list holds the passes of a batch: pairs z (S, N, ...) and log q(z) (S, N).
    """
    values, by_theta = [], []
    for passes in batches:
        log_w = np.concatenate([model.log_joint(theta, x, z) - log_q for z, log_q in passes])
        weights = softmax(log_w, axis=0) / len(x)
        values.append(log_mean_exp(log_w, axis=0))
        grad_theta, start = np.zeros(model.layout.size), 0
        for z, _ in passes:
            grad_theta += model.log_joint_vjp(theta, x, z, weights[start : start + len(z)])[0]
            start += len(z)
        by_theta.append(grad_theta)
    value, value_error, gradient, error = batch_means(values, by_theta)
    return Evidence(RUNG, value, value_error, gradient, error, theta_batches=np.array(by_theta))
