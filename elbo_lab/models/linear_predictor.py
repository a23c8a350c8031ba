"""Models whose likelihood is a sum of functions of linear forms of z: regressions with Gaussian weights.

    z ~ N(0, I_K),   log p(x | z) = c sum_m g(a_m),   a = A z,   A (M, K) made from the data

One datum is a whole table, and its rows are the terms of the sum. z explains all of them: a global
latent. Two properties follow from the linear forms alone. Under a Gaussian q every a_m is normal, so that
E_q log p is a sum of one-dimensional integrals however large K is (`elbo_lab.exact.projected`). And the
forms of all draws and rows are one matrix product.

The factor c is 1 for the whole table. A minibatch of B of the M_total rows has c = M_total / B: over
uniformly drawn minibatches the log-likelihood is then unbiased, and so is everything linear in it
(Hoffman et al. 2013).
"""

from abc import abstractmethod

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.models.base import Pullback, StandardNormalPrior, fold_shared


class LinearPredictor(StandardNormalPrior):
    """log p(x | z) = c sum_m g((A z)_m) with z ~ N(0, I); the subclasses define A, c and g."""

    @abstractmethod
    def predictors(self, x: Floats) -> tuple[Floats, float]:
        """Return A (N, M, K) and the factor c of the data x (N, D)."""

    @abstractmethod
    def link(self, a: Floats) -> Floats:
        """Return g(a), the log-probability of a row at its linear form, element by element."""

    @abstractmethod
    def link_slope(self, a: Floats) -> Floats:
        """Return g'(a)."""

    @abstractmethod
    def link_curvature(self, a: Floats) -> Floats:
        """Return g''(a), which is not positive: log p(x | z) is concave in z."""

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """c sum_m g(a_m) with a = A z; d/dz = c A^T g'(a).

        The dtype of theta is the dtype of the whole pass.
        """
        z = z.astype(theta.dtype, copy=False)
        directions, factor = self.predictors(x.astype(theta.dtype, copy=False))
        # With the data as leading axis, draws times rows is one product for each datum.
        a = np.swapaxes(z, -2, -3) @ np.swapaxes(directions, -1, -2)  # (..., N, S, M)
        value = factor * np.swapaxes(self.link(a).sum(axis=-1), -1, -2)

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            by_row = (factor * np.swapaxes(cotangent, -1, -2))[..., None] * self.link_slope(a)
            grad_z = np.swapaxes(by_row @ directions, -2, -3)
            grad_theta = np.zeros((*cotangent.shape[:-2], self.layout.size), dtype=theta.dtype)
            return grad_theta, fold_shared(grad_z.astype(theta.dtype, copy=False), z)

        return value, pullback
