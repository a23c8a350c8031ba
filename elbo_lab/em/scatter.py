"""Second moments of a component in the shape of its covariance, and the floor under their eigenvalues.

For a component of total responsibility R with second moment S about its mean, the M-step wants the Sigma that
maximises

    -(R / 2) [log |Sigma| + tr(Sigma^-1 S)]      over all Sigma with eigenvalues of at least f > 0.

**Clipping is the exact maximiser.** Let s_1 >= ... >= s_D be the eigenvalues of S, and l_1 >= ... >= l_D
those of Sigma. By von Neumann's trace inequality tr(Sigma^-1 S) >= sum_i s_i / l_i, with equality if Sigma
has the eigenvectors of S in the same order. So the best Sigma has them, and what is left is one problem per
axis: minimise log l + s / l over l >= f. Its derivative (l - s) / l^2 is negative below s and positive
above, so l = max(s, f), and the order of the l_i is that of the s_i. A spherical or a diagonal Sigma is the
same problem for its trace / D, or for each of its diagonal entries.

So EM with clipping is EM for the mixture with constrained covariances: an M-step maximises, and the
likelihood never falls (Hathaway 1985 does the same with a bound on the ratios of the variances). Adding f
to every eigenvalue maximises nothing: it moves the fixed points of sound components too, and can lower the
likelihood.
"""

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats

# A variance within this fraction of the floor is at the floor: it went through a logarithm and back.
AT_FLOOR = 1e-6


class Scatter:
    """Second moments of C components in the shape of one structure of covariances, without any state.

    This one has a variance per column: second moments (D,). Others replace what their shape changes.
    """

    @staticmethod
    def second_moment(weights: Floats, difference: Floats) -> Floats:
        """Return sum_n weights_n d_n d_n^T in the shape of this structure, d (N, D)."""
        return weights @ difference**2

    @staticmethod
    def of_sums(moments: Floats) -> Floats:
        """Return moments of this structure from those of its columns (C, D) or lower triangles (C, D, D)."""
        return moments

    @staticmethod
    def outer(vector: Floats) -> Floats:
        """Return v v^T in the shape of this structure (...), for vectors (..., D)."""
        return vector**2

    @staticmethod
    def clip(moments: Floats, floor: float) -> Floats:
        """Return moments (C, ...) with their eigenvalues clipped at the floor."""
        return np.maximum(moments, floor)

    @staticmethod
    def smallest(moments: Floats) -> Floats:
        """Return the smallest eigenvalue of each (C,)."""
        return moments.min(axis=-1)

    @staticmethod
    def rounding(moments: Floats) -> Floats:
        """Return the absolute error of `smallest` after storing and reading (C,): none for numbers."""
        return np.zeros(len(moments))

    @staticmethod
    def misfit(whitener: Floats, moments: Floats) -> Floats:
        """Return tr(Sigma^-1 S) = tr(L^-1 S L^-T) of every component (C,)."""
        return (whitener**2 * moments).sum(axis=-1)


class SphericalScatter(Scatter):
    """One variance: second moments () are traces / D."""

    @staticmethod
    def second_moment(weights: Floats, difference: Floats) -> Floats:
        return weights @ np.einsum("nd,nd->n", difference, difference) / difference.shape[1]

    @staticmethod
    def of_sums(moments: Floats) -> Floats:
        return moments.mean(axis=1)

    @staticmethod
    def outer(vector: Floats) -> Floats:
        return (vector * vector).mean(axis=-1)

    @staticmethod
    def smallest(moments: Floats) -> Floats:
        return moments

    @staticmethod
    def misfit(whitener: Floats, moments: Floats) -> Floats:
        return Scatter.misfit(whitener, moments[:, None])


class FullScatter(Scatter):
    """A matrix: second moments (D, D)."""

    @staticmethod
    def second_moment(weights: Floats, difference: Floats) -> Floats:
        return (weights[:, None] * difference).T @ difference

    @staticmethod
    def of_sums(moments: Floats) -> Floats:
        return moments + np.swapaxes(moments * np.tri(moments.shape[-1], k=-1), 1, 2)

    @staticmethod
    def outer(vector: Floats) -> Floats:
        return vector[..., :, None] * vector[..., None, :]

    @staticmethod
    def clip(moments: Floats, floor: float) -> Floats:
        moments = 0.5 * (moments + np.swapaxes(moments, -1, -2))
        low = np.linalg.eigvalsh(moments)[:, 0] < floor
        # A matrix above the floor keeps its bits.
        if not low.any():
            return moments
        values, vectors = np.linalg.eigh(moments)
        rebuilt = (vectors * np.maximum(values, floor)[:, None, :]) @ np.swapaxes(vectors, -1, -2)
        return np.where(low[:, None, None], rebuilt, moments)

    @staticmethod
    def smallest(moments: Floats) -> Floats:
        return np.linalg.eigvalsh(moments)[:, 0]

    @staticmethod
    def rounding(moments: Floats) -> Floats:
        # Eigenvectors, the Cholesky factor and its product are each exact to about D eps |Sigma|: against a
        # floor of 1e-10 that is more than any fraction of the floor that could be meant.
        largest = np.linalg.eigvalsh(moments)[:, -1]
        return 4.0 * moments.shape[-1] * np.finfo(float).eps * largest

    @staticmethod
    def misfit(whitener: Floats, moments: Floats) -> Floats:
        return ((whitener @ moments) * whitener).sum(axis=(-1, -2))


SCATTERS: dict[str, type[Scatter]] = {"spherical": SphericalScatter, "diagonal": Scatter, "full": FullScatter}


def is_at_floor(scatter: type[Scatter], moments: Floats, floor: float) -> NDArray[np.bool_]:
    """Return whether the smallest eigenvalue of each of `moments` (C, ...) is at the floor (C,)."""
    return scatter.smallest(moments) <= floor * (1.0 + AT_FLOOR) + scatter.rounding(moments)
