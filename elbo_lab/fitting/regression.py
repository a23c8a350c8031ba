"""The numbers of a regression with global latents: its exact ELBO, and how it predicts labels.

The predictive probability of a label averages over the weights, p(y_m) = E_q p(y_m | z): a
one-dimensional integral for each row, exact like the ELBO (`elbo_lab.exact.projected`).
"""

from dataclasses import replace

import numpy as np

from elbo_lab.errors import bad_value
from elbo_lab.exact import expected_log_joint
from elbo_lab.exact.projected import row_probabilities


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
