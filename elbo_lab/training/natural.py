"""The natural gradient of a free q: a step in natural parameters along the gradient in mean parameters.

For an exponential family q(z; lambda) = h(z) exp(lambda . t(z) - A(lambda)) with means m = E_q[t(z)], the
Fisher matrix of lambda is dm / d lambda, so the natural gradient in lambda is the plain gradient in m
(Amari 1998; Khan and Nielsen 2018, theorem 1):

    lambda <- lambda + rate F(lambda)^-1 d ELBO / d lambda  =  lambda + rate d ELBO / d m

It does not depend on how q is parametrised, and it is the steepest direction when distance is the KL between
two q and not a distance between their numbers. Where the target is conjugate, log p(x, z) = lambda* . t(z) +
constant, the gradient in m is lambda* - lambda, and

    lambda <- (1 - rate) lambda + rate lambda*

so *one step of length one is the posterior* (Hoffman et al. 2013, eq. 15); with minibatches and falling
rates this is stochastic variational inference as it was first written. `Family.natural_step` has the
formula of each family, with the gradient in eta on entry and the new eta on exit; the inverse Fisher matrix
is never formed:

    diagonal Gaussian    1/s^2 <- (1 - rate d/d log s) / s^2,    mean <- mean + rate s^2 d/d mean
    full Gaussian        P <- L^-T (I - rate A) L^-1,            mean <- mean + rate P^-1 d/d mean
    categories           logits <- logits + rate (d/d logits) / p
    bits                 logits <- logits + rate (d/d logits) / (p (1 - p))
    mixture              each Gaussian along gradient / pi_c, logits <- logits + rate (d/d logits) / pi

with A = sym(L^T dELBO/dL), the lower triangle mirrored, and the new s and P in the second column. A step that
would make a precision negative goes half of the way to zero precision. A mixture of Gaussians is no
exponential family; component and draw jointly are one, and its step uses the Fisher matrix of the pair (Lin
et al. 2019).

Helps: q of correlated latents and of very different scales, which plain gradients climb slowly; no state,
and a rate that means the same for all data. Fails: with few draws at a rate near one, since the precision
itself takes the noise; rarely drawn categories, whose estimated gradient is divided by a small p. For an
encoder phi are weights that all data share: the step of one datum leads to an eta that no weights may give,
and the Fisher matrix of the weights is another one, of their number squared. So an amortised q is refused.

Sources
-------
S. Amari, "Natural gradient works efficiently in learning", Neural Computation 10 (1998).
M. D. Hoffman, D. M. Blei, C. Wang, J. Paisley, "Stochastic variational inference", JMLR 14 (2013).
M. E. Khan, D. Nielsen, "Fast yet simple natural-gradient descent for variational inference in complex
models", ISITA 2018.
W. Lin, M. E. Khan, M. Schmidt, "Fast and simple natural-gradient variational inference with mixture of
exponential-family approximations", ICML 2019.
I. Murray, "Differentiation of the Cholesky decomposition" (2016), for A.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable
from elbo_lab.posteriors import FreePosterior
from elbo_lab.training.batch import Move
from elbo_lab.training.objectives import Objective, VariationalObjective
from elbo_lab.training.posterior_objective import PosteriorObjective


@dataclass(frozen=True)
class NaturalStep:
    """How the phi of a free q moves.

    Parameters
    ----------
    posterior : FreePosterior
    n_rows : int
        Rows over which the objective is a mean: the gradient of one datum is so many times that of the mean.
    """

    posterior: FreePosterior
    n_rows: int

    @classmethod
    def of(cls, objective: Objective) -> "NaturalStep":
        """Return the step of an objective.

        Raises
        ------
        NotApplicable
            If its q is not free, or of a family without this step.
        """
        inner = objective.inner if isinstance(objective, PosteriorObjective) else objective
        if not isinstance(inner, VariationalObjective):
            raise NotApplicable("phi_step: a natural step is one of q, and this objective has none")
        posterior = inner.posterior
        if not isinstance(posterior, FreePosterior):
            raise NotApplicable(
                f"phi_step: phi of the {posterior.name} posterior are weights that all data share, and the "
                "natural step of one datum leads to an eta that no weights may give; use the free posterior"
            )
        if not posterior.family.has_natural_step:
            raise NotApplicable(
                f"phi_step: a {posterior.family.name} q has no natural step here; use 'gradient'"
            )
        return cls(posterior, inner.n_rows)

    def move(self, phi: Floats, gradient: Floats, rate: float) -> None:
        """Move phi (P,) in place along the gradient (P,) of the objective in phi.

        Where the gradient is not finite phi becomes so, which the trainer detects.
        """
        rows = np.empty((self.posterior.n_data, 0))
        eta, slope = (self.posterior.eta(v.astype(np.float64), rows) for v in (phi, gradient))
        if not np.isfinite(slope).all():
            phi[:] = np.nan
            return
        moved = self.posterior.family.natural_step(eta, self.n_rows * slope, rate)
        phi[:] = self.posterior.phi_from_eta(moved)


@dataclass(frozen=True, eq=False)
class NaturalMove(Move):
    """A natural step of a whole phi, whose coordinates move together."""

    natural: NaturalStep

    def slices(self) -> tuple[slice, ...]:
        return (slice(None),)

    def take(self, coordinates: slice, gradient: Floats) -> None:
        self.natural.move(self.params[coordinates], gradient, self.rate)
