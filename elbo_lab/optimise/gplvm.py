"""Fits of the Gaussian-process latent-variable model by L-BFGS, from the principal scores.

`BoundClimb` maximises the collapsed bound over the parameters, q(Z) and the inducing inputs, and `ModeClimb`
log p(Y | Z) + log p(Z) over the parameters and Z. Both objectives are exact and smooth, so that there is
no step size; both have many local maxima, and the start decides. Z begins at the principal scores, of
variance one, the relevances in proportion to the variances along them, and the inducing inputs at some rows.

Near the top the line search may find no rise and end the ascent. The value is then exact to fewer digits than
the rise: psi0 - tr(K^-1 psi2) is a small difference of large numbers, and K^-1 magnifies their rounding. On
500 rows of the digits with 10 latents and 50 inducing inputs the value, -77 200 nats, is known to about
4e-5 nats, far below the tolerance of a fit.

The mode is a point: it ignores how uncertain Z is, and its objective is no bound of log p(Y). With many
latents it fits noise, where the bound pays for every dimension that it uses.
"""

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count
from elbo_lab.models.gplvm import GPLVM, GPLVMRows, Rows, collapsed_bound
from elbo_lab.optimise.ascent import ascend
from elbo_lab.posteriors import FreePosterior
from elbo_lab.threads import single_threaded_blas

# Standard deviation of q(Z) at the start.
START_STD = 0.3
USUAL_INDUCING = 50


def inducing_count(model: GPLVM, asked: int | None) -> int:
    """Return the number of inducing inputs that was asked for, or the usual one.

    A linear function has no more than Q values that are independent.

    Raises
    ------
    ValueError
        If it is more than the rows.
    """
    if asked is None:
        return model.n_latent if model.variant == "linear" else min(USUAL_INDUCING, model.n_rows)
    if check_count("n_inducing", asked) > model.n_rows:
        raise bad_value("n_inducing", f"at most the {model.n_rows} rows of the data", asked)
    return asked


class Climb(ABC):
    """An objective over one flat vector, with its start and what a vector means.

    Parameters
    ----------
    model : GPLVM
    table : ndarray (N, D)
    """

    def __init__(self, model: GPLVM, table: Floats) -> None:
        self.model, self.x = model, model.as_data(table)
        self.y = model.centred(self.x)[0]

    @property
    @abstractmethod
    def of_rows(self) -> GPLVMRows:
        """The model of a single row that the fit ends in."""

    @abstractmethod
    def start(self) -> Floats:
        """Return the vector at which the ascent begins."""

    @abstractmethod
    def objective(self, vector: Floats) -> tuple[float, Floats]:
        """Return the value, in nats of the whole table, and its gradient."""

    @abstractmethod
    def parameters(self, vector: Floats) -> tuple[Floats, Floats]:
        """Return theta of `of_rows` and phi of `posterior`."""

    @cached_property
    def posterior(self) -> FreePosterior:
        """q(Z), a diagonal Gaussian for every row."""
        return FreePosterior(self.of_rows.family, self.model.n_rows)

    def ascended(self, vector: Floats, iterations: int) -> Floats:
        """Return the vector after so many iterations of L-BFGS, which begins anew."""
        with single_threaded_blas():
            return ascend(self.objective, vector, iterations, tolerance=0.0)


class BoundClimb(Climb):
    """The collapsed bound of Titsias and Lawrence (2010).

    Parameters
    ----------
    model : GPLVM
        Of the RBF or linear function.
    table : ndarray (N, D)
    n_inducing : int
        M, at most N.
    seed : int
        Of the rows at which the inducing inputs begin.
    threads : int
        Changes nothing but the time.
    """

    def __init__(
        self, model: GPLVM, table: Floats, n_inducing: int | None = None, seed: int = 0, threads: int = 1
    ) -> None:
        super().__init__(model, table)
        self.n_inducing, self.seed, self.threads = inducing_count(model, n_inducing), seed, threads

    @property
    def of_rows(self) -> GPLVMRows:
        return GPLVMRows.of(self.model, self.n_inducing)

    def start(self) -> Floats:
        mean = self.model.principal_scores(self.x)
        chosen = np.random.default_rng(self.seed).permutation(len(mean))[: self.n_inducing]
        inducing = mean[chosen]
        if self.model.variant == "linear" and self.n_inducing == self.model.n_latent:
            inducing = np.eye(self.n_inducing)
        log_std = np.full(mean.shape, np.log(START_STD))
        parts = (self.model.initial_theta(self.x), mean, log_std, inducing)
        return np.concatenate([part.ravel() for part in parts])

    def split(self, vector: Floats) -> tuple[Floats, Rows]:
        """Return theta of the model, and the rows of q with the inducing inputs."""
        shape = self.y.shape[0], self.model.n_latent
        size = self.model.layout.size
        edges = size + np.array([0, 1, 2]) * shape[0] * shape[1]
        theta, mean, log_std, inducing = np.split(vector, edges)
        return theta, Rows(mean.reshape(shape), log_std.reshape(shape), inducing.reshape(-1, shape[1]))

    def objective(self, vector: Floats) -> tuple[float, Floats]:
        theta, rows = self.split(vector)
        value, gradient = collapsed_bound(self.model, theta, self.y, rows, self.threads)
        found = gradient()
        return value, np.concatenate([found.theta, *(part.ravel() for part in found.rows)])

    def parameters(self, vector: Floats) -> tuple[Floats, Floats]:
        theta, rows = self.split(vector)
        eta = np.concatenate([rows.mean, rows.log_std], axis=1)
        return self.of_rows.theta_of_bound(self.model, theta, self.y, rows), self.posterior.phi_from_eta(eta)


class ModeClimb(Climb):
    """log p(Y | Z) + log p(Z), over the parameters and Z (Lawrence 2005)."""

    @property
    def of_rows(self) -> GPLVMRows:
        return GPLVMRows.of(self.model, self.model.n_rows)

    def start(self) -> Floats:
        return np.concatenate([self.model.initial_theta(self.x), self.model.principal_scores(self.x).ravel()])

    def split(self, vector: Floats) -> tuple[Floats, Floats]:
        """Return theta of the model, and Z (N, Q)."""
        size = self.model.layout.size
        return vector[:size], vector[size:].reshape(self.model.n_rows, -1)

    def objective(self, vector: Floats) -> tuple[float, Floats]:
        theta, z = self.split(vector)
        one = z.reshape(1, 1, -1)
        value = self.model.log_joint(theta, self.x, one)[0, 0]
        by_theta, by_z = self.model.log_joint_vjp(theta, self.x, one, np.ones((1, 1)))
        assert by_z is not None, "z is continuous"
        return float(value), np.concatenate([by_theta, by_z.ravel()])

    def parameters(self, vector: Floats) -> tuple[Floats, Floats]:
        """The widths of q are those of a Gaussian at the mode of every row, the functions held.

        With J (D, Q) the slopes of E[x | z] there, the precision is 1 + |J_q|^2 / sigma^2.
        """
        theta, z = self.split(vector)
        of_rows = self.of_rows
        found = of_rows.theta_of_mode(self.model, theta, self.y, z)
        t = of_rows.layout.views(found)
        _, pullback = of_rows.covariance.matrix(t, z, t["points"])
        squares = np.zeros(z.shape)
        for weights in t["weights"].T:
            squares += pullback(np.broadcast_to(weights, (len(z), len(z))))[1] ** 2
        log_std = -0.5 * np.log1p(squares * np.exp(-2.0 * t["log_sigma"]))
        return found, self.posterior.phi_from_eta(np.concatenate([z, log_std], axis=1))
