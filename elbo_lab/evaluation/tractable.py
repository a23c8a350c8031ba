"""Held-out log-likelihood where log p(x) is exact: by a formula, a sum, or quadrature."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import check_data
from elbo_lab.exact import closed_form, enumeration, ladder
from elbo_lab.exact.graphs import RowEvidence, log_evidence
from elbo_lab.models import Model
from elbo_lab.models.graphs import GraphModel

ROWS_PER_PASS = 1000
# Of a table of rows and components, as that of a kernel density on many rows.
ENTRIES_PER_PASS = 1 << 21


def has_exact_evidence(model: Model) -> bool:
    """Whether log p(x) has a formula or is a sum over the values of z."""
    return isinstance(model, GraphModel) or closed_form.applies(model) or enumeration.applies(model)


def row_evidence(model: GraphModel, theta: Floats, x: Floats) -> RowEvidence:
    """Return log p of the observed cells of rows x (N, D) of a graph, nan where one is missing."""
    return log_evidence(model.net, theta, model.table(model.check_support(x)))


def held_out_log_likelihood(model: Model, theta: Floats, x: Floats) -> Floats:
    """Return log p_theta(x_n) (N,) in nats, exact.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
        Rows that the fit has not seen, or any others.

    Raises
    ------
    NotApplicable
        If no exact method applies; `importance_nll` is the estimate for such models.
    """
    theta = model.check_theta(theta).astype(np.float64)
    if isinstance(model, GraphModel):  # which has rows with missing cells, and says what it has drawn
        return row_evidence(model, theta, x).value
    x = check_data(x, n_columns=model.n_columns)
    # The tables of all components or nodes need memory in proportion to the rows.
    per_pass = ROWS_PER_PASS
    if not model.family.has_slope:
        per_pass = max(1, int(min(per_pass, ENTRIES_PER_PASS // model.family.n_values)))
    starts = range(0, len(x), per_pass)
    return np.concatenate([ladder.log_evidence(model, theta, x[i : i + per_pass])[0] for i in starts])
