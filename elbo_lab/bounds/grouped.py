"""Bounds of S draws that are divided into groups, or averaged with the ELBO.

With L_K the importance-weighted bound of K draws (Burda et al. 2016, eq. 8),

    MIWAE   (1/M) sum_m L_K(group m),   S = M K        mean: that of L_K
    CIWAE   beta (1/S) sum_s log w_s + (1 - beta) L_S   mean: beta ELBO + (1 - beta) E L_S

(Rainforth et al. 2018, section 4). More draws in one bound make it tighter, and its gradient in phi
noisier relative to its size, like 1 / sqrt(K); the mean over M groups regains a factor sqrt(M). Both bounds
lie between the ELBO and log p(x). M = 1 or beta = 0 is the bound of Burda et al., K = 1 or beta = 1 the ELBO.

They help where phi is trained; for log p itself the same draws in one group are always tighter.

Each takes log-weights (..., S, N) and returns one value per datum (..., N), in nats; -inf where all weights
of a group are zero.
"""

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count, check_share
from elbo_lab.special import log_mean_exp


def group_of(n_draws: int, n_groups: int) -> int:
    """Return K, the draws in each of M groups of S, or raise ValueError if M does not divide S."""
    if n_draws % check_count("groups", n_groups):
        raise bad_value("draws", f"a multiple of the {n_groups} groups", n_draws)
    return n_draws // n_groups


def grouped_bound(log_w: Floats, n_groups: int) -> Floats:
    """Return the mean over M groups of log (1/K) sum_k w_k (..., N): MIWAE.

    Parameters
    ----------
    log_w : ndarray (..., S, N)
        Consecutive draws share a group.
    n_groups : int
        M, a divisor of S.
    """
    *lead, n_draws, n_data = log_w.shape
    groups = log_w.reshape(*lead, n_groups, group_of(n_draws, n_groups), n_data)
    return log_mean_exp(groups, axis=-2).mean(axis=-2)


def combined_bound(log_w: Floats, beta: float) -> Floats:
    """Return beta times the mean log-weight plus 1 - beta times log (1/S) sum_s w_s (..., N): CIWAE.

    Parameters
    ----------
    log_w : ndarray (..., S, N)
    beta : float
        Share of the ELBO, from 0 to 1.
    """
    beta = check_share("beta", beta)
    both = log_w.mean(axis=-2), log_mean_exp(log_w, axis=-2)
    # A bound with a share of zero is left out, since it may be -inf.
    return sum(share * bound for share, bound in zip((beta, 1.0 - beta), both, strict=True) if share)
