"""The entropy of a q, H(q) = -E_q log q(z), whether or not it has a formula.

Most families have one. Of the others (flows, chains of layers) it is an expectation over the noise, as that
of log p(x, z) is: by quadrature with one or two latents, from a long run beyond. Its gradient is that of the
path,

    dH / d eta = -E_eps[(dz / d eta)^T d log q / dz],   z = z(eta, eps),

since the score at fixed z has mean zero (Roeder et al. 2017). Of a mixture both are sums over its components
(`Family.strata`), which no draw chooses.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import scipy

from elbo_lab.arrays import Floats
from elbo_lab.distributions import draw_noise
from elbo_lab.distributions.base import Family
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import long_run, quadrature
from elbo_lab.exact.rules import Rule

# References must not change with the seed of the study that uses them.
SEED = 20_210_705


def entropy(family: Family, eta: Floats) -> tuple[Floats, Floats]:
    """Return H(q) in nats (N,) and its error (N,), zero where it has a formula.

    Parameters
    ----------
    family : Family
    eta : ndarray (N, E)
    """
    try:
        value = family.entropy(eta)
    except NotApplicable:
        (value,), (error,) = _integrated(family, eta, _values)
        return value, error
    return value, np.zeros_like(value)


def entropy_and_gradient(family: Family, eta: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return H(q) (N,), its error (N,), dH / d eta (N, E) and the error of that.

    Parameters
    ----------
    family : Family
    eta : ndarray (N, E)
    """
    try:
        value, gradient = family.entropy(eta), family.entropy_grad(eta)
    except NotApplicable:
        (value, gradient), (error, of_gradient) = _integrated(family, eta, _values_and_slopes)
        return value, error, gradient, of_gradient
    return value, np.zeros_like(value), gradient, np.zeros_like(gradient)


def _values(family: Family, eta: Floats, noise: Floats, weights: Floats) -> Sequence[Floats]:
    """Return -E log q (N,) over noise (S, N, K) with weights (S, 1)."""
    return (-(weights * family.draw(eta, noise)[1]).sum(axis=0),)


def _values_and_slopes(family: Family, eta: Floats, noise: Floats, weights: Floats) -> Sequence[Floats]:
    z, log_q, _ = family.draw(eta, noise)
    by_z = -weights[..., None] * family.log_prob_grad_z(eta, z)
    weighted = -(weights * log_q)
    return weighted.sum(axis=0), family.stratum_vjp(eta, noise, weighted, by_z)


Sums = Callable[[Family, Floats, Floats, Floats], Sequence[Floats]]


def _over_strata(family: Family, eta: Floats, noise: Floats, weights: Floats, sums: Sums) -> Sequence[Floats]:
    parts = [sums(family, eta, own, weights * share) for share, own in family.strata(eta, noise)]
    return parts[0] if len(parts) == 1 else [np.sum(part, axis=0) for part in zip(*parts, strict=True)]


def _integrated(family: Family, eta: Floats, sums: Sums) -> tuple[Sequence[Floats], Sequence[Floats]]:
    """Return sums of noise and their errors: by quadrature in one or two dimensions, else by a long run."""
    spec = family.stratum_spec(1, 1)
    if spec.shape == (1, 1, family.size) and family.size <= 2:
        try:
            return _by_quadrature(family, eta, sums)
        except quadrature.ToleranceMissed:
            pass
    rng, batches = np.random.default_rng(SEED), []
    weights = np.full((long_run.DRAWS_PER_BATCH, 1), 1.0 / long_run.DRAWS_PER_BATCH)
    for _ in range(long_run.BATCHES):
        noise = draw_noise(family.stratum_spec(len(weights), len(eta)), rng)
        batches.append(_over_strata(family, eta, noise, weights, sums))
    found = long_run.batch_means(*zip(*batches, strict=True))
    return found[::2], found[1::2]


def _by_quadrature(family: Family, eta: Floats, sums: Sums) -> tuple[Sequence[Floats], Sequence[Floats]]:
    uniform = family.stratum_spec(1, 1).kind == "uniform"

    def by_rule(row: Floats, rule: Rule) -> Sequence[Floats]:
        noise, weights = rule
        noise = scipy.special.ndtr(noise) if uniform else noise
        return _over_strata(family, row, noise[:, None, :], weights[:, None], sums)

    rows = [
        quadrature.converged(partial(by_rule, row[None]), family.size, quadrature.TOLERANCE) for row in eta
    ]
    values, errors = zip(*rows, strict=True)
    return [np.concatenate(parts) for parts in zip(*values, strict=True)], [
        np.concatenate(parts) for parts in zip(*errors, strict=True)
    ]
