"""The closing numbers of a fit, on the training rows and on the rows that were held out.

Tractable models are judged by the exact log-likelihood. The others by their bound, and by an estimate of
log p(x) with importance samples from q, which is higher and closer (Burda et al. 2016); where the latent
plane has at most two dimensions, the exact log p(x) can be recorded along the way (`gap_rows`).

A regression with global latents is judged by its exact ELBO and by how it predicts labels. The predictive
probability of a label averages over the weights, p(y_m) = E_q p(y_m | z): a one-dimensional integral for
each row, exact like the ELBO (`elbo_lab.exact.projected`).
"""

from dataclasses import replace

import numpy as np

from elbo_lab.distributions import draw_noise
from elbo_lab.errors import bad_value
from elbo_lab.estimators import ElboReconstructionKL, Problem
from elbo_lab.evaluation import (
    held_out_log_likelihood,
    importance_nll,
    neighbour_accuracy,
    principal_scores,
    split_gap,
)
from elbo_lab.exact import closed_form, enumeration, expected_log_joint
from elbo_lab.exact.projected import row_probabilities
from elbo_lab.threads import single_threaded_blas

# The estimate of -log p(x) that a fit makes by itself; `elbo-lab evaluate` does it in full.
NLL_ROWS, NLL_SAMPLES = 500, 1000
ROWS_PER_PASS = 1000
NEIGHBOURS = 5


def tractable(model):
    """Whether log p(x) has a formula or is a sum over categories."""
    return closed_form.applies(model) or enumeration.applies(model)


def mean_elbo(model, posterior, theta, phi, x, rng, draws=1):
    """Return the mean ELBO over all rows of x, in nats, with `draws` draws each."""
    bound, total = ElboReconstructionKL(), 0.0
    # A free table belongs to all of its rows at once.
    per_pass = len(x) if posterior.needs_all_rows else ROWS_PER_PASS
    with single_threaded_blas():
        for start in range(0, len(x), per_pass):
            part = x[start : start + per_pass]
            noise = draw_noise(bound.noise_spec(model.family, draws, len(part)), rng, dtype=phi.dtype)
            total += len(part) * bound.estimate(Problem(model, posterior, theta, phi, part), noise)[0][0]
    return float(total / len(x))


def _draws_for(n_rows):
    """Return draws per datum such that the noise of a mean over the rows hardly matters."""
    return max(1, min(20, 20_000 // n_rows))


def _bound_numbers(model, posterior, vectors, x, seed, threads):
    """Return the bound on all rows, and the bound beside the estimate of -log p on some of them."""
    theta, phi = vectors["theta"], vectors["phi"]
    rng = np.random.default_rng(seed)
    rows = x
    if not posterior.needs_all_rows and len(x) > NLL_ROWS:
        rows = x[np.random.default_rng((seed, 2)).permutation(len(x))[:NLL_ROWS]]
    nll = importance_nll(model, posterior, theta, phi, rows, NLL_SAMPLES, seed=seed, threads=threads)
    on_all, on_some = (
        mean_elbo(model, posterior, theta, phi, part, rng, _draws_for(len(part))) for part in (x, rows)
    )
    return {
        "elbo_per_datum": on_all,
        "nll_per_datum": float(nll.nll.mean()),
        "nll_rows": len(rows),
        "nll_samples": NLL_SAMPLES,
        "elbo_on_nll_rows": on_some,
    }


def exact_numbers(model, theta, x):
    """Return the exact log-likelihood of a tractable model, total and per datum."""
    values = held_out_log_likelihood(model, theta.astype(np.float64), x)
    return {"log_likelihood": float(values.sum()), "log_likelihood_per_datum": float(values.mean())}


def numbers_of(model, posterior, vectors, dataset, seed, threads):
    """Return {name: number} for one set of rows."""
    found = {"rows": len(dataset.x)}
    if tractable(model):
        found |= exact_numbers(model, vectors["theta"], dataset.x)
    if posterior is not None:
        found |= _bound_numbers(model, posterior, vectors, dataset.x, seed, threads)
    return found


def latent_numbers(posterior, phi, train, held_out):
    """Return how well the codes keep classes apart that no model has seen, on the held-out rows."""
    found = {}
    if train.labels is not None and held_out is not None:
        codes = [posterior.family.split(posterior.eta(phi, part.x))[0] for part in (train, held_out)]
        scores = principal_scores(train.x, held_out.x, codes[0].shape[1])
        labels = train.labels, held_out.labels
        found["neighbour_accuracy"] = neighbour_accuracy(*codes, *labels, k=NEIGHBOURS)
        found["neighbour_accuracy_pca"] = neighbour_accuracy(*scores, *labels, k=NEIGHBOURS)
    return found


def gap_numbers(model, posterior, vectors, x, seed):
    """Return log p, the ELBO, and the two parts of the gap, exact, in nats per datum."""
    theta, phi = (vectors[name].astype(np.float64) for name in ("theta", "phi"))
    split = split_gap(model, posterior, theta, phi, x, np.random.default_rng(seed))
    return {
        "rows": len(x),
        "log_p": float(split.log_p.mean()),
        "elbo": float(split.elbo.mean()),
        "approximation": float(split.approximation.mean()),
        "amortisation": float(split.amortisation.mean()),
    }


def tabled(kind, dataset):
    """Return the data set with the table that a kind of model explains as its x."""
    table = kind.table_of(dataset)
    if table is dataset.x:
        return dataset
    columns = None if dataset.columns is None else (*dataset.columns, "label")
    return replace(dataset, x=table, columns=columns)


def _eta(posterior, phi):
    # The one eta of the table belongs to no x in particular.
    return posterior.eta(phi.astype(np.float64), np.zeros((1, 0)))


def elbo_per_row(model, posterior, phi, table):
    """Return the exact ELBO of the whole table over its number of rows, in nats."""
    eta = _eta(posterior, phi)
    value, _, _ = expected_log_joint(model, np.zeros(0), model.as_data(table), eta)
    return float((value + model.family.entropy(eta))[0] / len(table))


def exact_elbo_recorder(model, posterior, table):
    """Return a recorder of the exact ELBO per row."""

    def record(params, phase):  # noqa: ARG001
        return {"elbo_exact": elbo_per_row(model, posterior, params["phi"], table)}

    return record


def prediction_numbers(model, posterior, phi, table):
    """Return the mean log predictive probability of the labels, and the share of them that is likelier."""
    p = row_probabilities(model, model.as_data(table), posterior.family, _eta(posterior, phi))[0]
    return {
        "rows": len(table),
        "log_p_per_datum": float(np.log(p).mean()),
        "accuracy": float((p > 0.5).mean()),
    }


def check_same_columns(model, table):
    """Refuse a table with other columns than the model was built for."""
    wanted = model.n_features + 1
    if table.shape[1] != wanted:
        raise bad_value(
            "data", f"{wanted} columns with the labels, as in the fit", f"{table.shape[1]} columns"
        )
