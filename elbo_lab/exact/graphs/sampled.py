"""The last rung: draws of the hidden cells, weighted by what was observed (likelihood weighting).

Hidden cells are drawn parents first from their conditionals, observed ones keep their value, and

    p(observed) = E w,   w = product of p(v | parents) over the observed cells

(Fung and Chang 1989; Koller and Friedman 2009, section 12.3.1). The mean of w is unbiased, and the error of
its logarithm is the standard error divided by the mean: optimistic where few draws carry the weight.
"""

from collections.abc import Iterator

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.exact.graphs.completions import Completions, log_counted
from elbo_lab.exact.graphs.patterns import Pattern
from elbo_lab.models.graphs import BayesNet
from elbo_lab.special import log_mean_exp

RUNG = "long-run"
N_DRAWS = 20_000
SEED = 20_210_704


def sampled_completions(
    net: BayesNet, theta: Floats, pattern: Pattern, table: Floats, rows: Integers
) -> Iterator[Completions]:
    """Yield the completions of each row by weighted draws; parameters as in `integrated_completions`.

    The draws of a row depend on its values alone: same row, same draws.
    """
    observed = {name: weights.copy() for name, weights in pattern.counted.items()}
    for name, i in pattern.hidden:
        observed[name][i] = 0.0
    for row in rows:
        rng = np.random.default_rng(SEED)
        full = np.repeat(np.where(pattern.missing, 0.0, table[row])[None], N_DRAWS, axis=0)
        for name in pattern.needed:
            hidden = [i for one, i in pattern.hidden if one == name]
            if hidden:
                drawn = net.conditionals[name].sample(
                    theta[net.parts[name]], net.values_of(full), N_DRAWS, rng
                )
                columns = net.variables[name].as_columns(drawn)
                full[:, net.places[name].start + np.array(hidden)] = columns[:, hidden]
        log_w = np.broadcast_to(log_counted(net, theta, observed, net.values_of(full)), (1, N_DRAWS))[0]
        mean = log_mean_exp(log_w, axis=None)
        error = np.exp(log_w - mean).std(ddof=1) / np.sqrt(N_DRAWS) if np.isfinite(mean) else 0.0
        rung, of_row = np.full(N_DRAWS, RUNG), np.full(N_DRAWS, row)
        log_weights, errors = log_w - np.log(N_DRAWS), np.full(N_DRAWS, error)
        yield Completions(rung, of_row, full, pattern.counted, log_weights, errors)
