"""Mixtures of C densities: z a category, and log p(x | z) a look-up in the table of all components.

    log p(x_n | z)  = table[n, z],   table (N, C)
    log p(x_n)      = log sum_c pi_c exp table[n, c]            (Bishop 2006, eq. 9.12)

A model gives the table and its derivative; what follows from it stands here, for a Gaussian mixture and for a
kernel density alike.
"""

from abc import abstractmethod
from collections.abc import Callable

from elbo_lab.arrays import Floats, Integers
from elbo_lab.distributions import Categorical
from elbo_lab.distributions.categorical import looked_up
from elbo_lab.models.base import Model, Pullback, RelaxedPullback
from elbo_lab.special import log_softmax


class Components(Model):
    """A mixture whose component densities are known."""

    relaxes = True

    @property
    @abstractmethod
    def family(self) -> Categorical: ...

    @abstractmethod
    def likelihood_table(self, theta: Floats, x: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
        """Return log p(x_n | z = c) (N, C) and its pullback from weights (..., N, C) to theta (..., P)."""

    def likelihood(self, theta: Floats, x: Floats, z: Integers) -> tuple[Floats, Pullback]:
        """Look up log p(x_n | z); the pullback sums the cotangent by component."""
        table, table_pullback = self.likelihood_table(theta, x)

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            return table_pullback(self.family.by_category(z, cotangent)), None

        return looked_up(table, z), pullback

    def joint_table(self, theta: Floats, x: Floats) -> Floats:
        """Return log pi_c + log p(x_n | z = c) (N, C)."""
        return self.likelihood_table(theta, x)[0] + log_softmax(self.prior_eta(theta), axis=-1)

    def log_joint(self, theta: Floats, x: Floats, z: Integers) -> Floats:
        """Return log p_theta(x, z) (..., S, N): one look-up in the table of both terms."""
        return looked_up(self.joint_table(theta, x), z)

    def relaxed_likelihood(self, theta: Floats, x: Floats, y: Floats) -> tuple[Floats, RelaxedPullback]:
        """Return sum_c y_c log p(x_n | z = c), which is log p(x | z) where y indicates z.

        Parameters
        ----------
        y : ndarray (..., S, N, C)
            Shares of the components.

        Returns
        -------
        value : ndarray (..., S, N)
        pullback : callable
            Cotangent (..., S, N) -> (grad_theta (..., P), grad_y (..., S, N, C)).
        """
        table, table_pullback = self.likelihood_table(theta, x)

        def pullback(cotangent: Floats) -> tuple[Floats, Floats]:
            weighted = cotangent[..., None] * y
            return table_pullback(weighted.sum(axis=-3)), cotangent[..., None] * table

        return (y * table).sum(axis=-1), pullback

    def posterior_eta(self, theta: Floats, x: Floats) -> Floats:
        """Return the logits log pi_c + log p(x | z = c) (N, C): Bayes' rule."""
        return self.joint_table(theta, x)
