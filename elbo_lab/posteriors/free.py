"""One eta per datum, free of all others: phi is the table itself.

Per-datum ("stochastic") variational inference; the ELBO's gap is then the family's alone.
"""

from dataclasses import dataclass

from elbo_lab.distributions import Family
from elbo_lab.errors import bad_value
from elbo_lab.layout import Layout
from elbo_lab.posteriors.base import Posterior


@dataclass(frozen=True)
class FreePosterior(Posterior):
    """phi = eta of each of `n_data` data, row by row.

    Parameters
    ----------
    family : Family
    n_data : int
    """

    family: Family
    n_data: int
    name = "free"
    summary = "a free eta for every datum"

    @property
    def layout(self):
        return Layout((("eta", (self.n_data, self.family.eta_size)),))

    def eta(self, phi, x):
        if len(x) != self.n_data:
            raise bad_value("x", f"the {self.n_data} data that the table was made for", len(x))
        return phi.reshape(self.n_data, self.family.eta_size)

    def eta_vjp(self, phi, x, grad_eta):  # noqa: ARG002 - the map is the identity
        return grad_eta.reshape(grad_eta.shape[:-2] + (-1,))

    def eta_error(self, phi, x, error):  # noqa: ARG002
        return error.ravel()

    def phi_from_eta(self, eta):
        """Return the phi whose table is eta (N, E)."""
        return eta.ravel().copy()
