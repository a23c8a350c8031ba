"""The mutual information gap: whether each factor of the data has a latent of its own.

The factors v_1, ..., v_J of the data are known, row by row. Draw a row n at random and z_k ~ q(z_k | x_n):
over all rows, or over those with one value of a factor, z_k has a mixture of the Gaussians of single rows.
With the information between each latent and each factor,

    q(z_k | v) = mean over the rows n with that v of N(z_k; m_nk, s_nk^2),
    I(z_k; v_j) = H(z_k) - H(z_k | v_j)                                           (Chen et al. 2018, eq. 5)
    MIG = (1/J) sum_j [I(z_(1); v_j) - I(z_(2); v_j)] / H(v_j)                            (their eq. 6)

where z_(1), z_(2) are the two latents that know most about v_j. It lies between 0 and 1 (a latent cannot know
more than H(v_j)), and is 1 only if one latent tells each factor and no other one knows anything about it.

Every information is one integral over the line, here by a trapezoid rule whose step is halved until it
stands: no draws, no bins.

Helps: to compare codes where the factors are known. Fails: as a property of a model. Turn the latents by a
rotation R: under an isotropic prior the decoder of R^T z and the q of R z have the same ELBO, the same log p
and another gap (`rotated`). So nothing that is trained by the ELBO can prefer the axes that the gap wants,
except by the restriction of q to a diagonal covariance (Locatello et al. 2019, theorem 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from elbo_lab.arrays import Floats, Integers
from elbo_lab.distributions import DiagonalGaussian, FullGaussian
from elbo_lab.errors import NotApplicable, bad_kind, bad_value, check_data
from elbo_lab.evaluation.fitted import Fitted
from elbo_lab.models import Model
from elbo_lab.models.deep import DeepModel
from elbo_lab.models.linear_gaussian import LinearGaussian

# Bound on the last change of an information, in nats.
TOLERANCE = 1e-9
# Standard deviations of the outermost Gaussians that the grid covers; nodes of the first grid per width of
# the narrowest Gaussian, and the most nodes of all.
REACH, FIRST_NODES, MOST_NODES = 9.0, 1.0, 1 << 20
# Pairs of nodes and rows in one table of densities.
PAIRS_PER_PASS = 1 << 20


@dataclass(frozen=True, eq=False)
class InformationGap:
    """What each latent knows about each factor.

    Attributes
    ----------
    names : tuple of str
        Of the J factors.
    information : ndarray (K, J)
        I(z_k; v_j) in nats.
    error : ndarray (K, J)
        Last changes of the integrals.
    entropy : ndarray (J,)
        H(v_j) in nats.
    """

    names: tuple[str, ...]
    information: Floats
    error: Floats
    entropy: Floats

    @property
    def gaps(self) -> Floats:
        """The gap of each factor (J,), as a share of its entropy."""
        ordered = np.sort(self.information, axis=0)
        return (ordered[-1] - ordered[-2]) / self.entropy

    @property
    def mig(self) -> float:
        """The mean gap, from 0 to 1."""
        return float(self.gaps.mean())

    @property
    def mig_error(self) -> float:
        """A bound of its error by quadrature."""
        return float((2.0 * self.error.max(axis=0) / self.entropy).mean())


def mutual_information_gap(
    means: Floats, deviations: Floats, factors: Mapping[str, Integers]
) -> InformationGap:
    """Return what each latent knows about each factor, and the gaps.

    Parameters
    ----------
    means, deviations : ndarray (N, K)
        Of q(z_k | x_n), a Gaussian for each row and latent; K at least 2.
    factors : mapping of str to ndarray of int (N,)
        The value of each factor in each row; at least two different ones.

    Raises
    ------
    ValueError, TypeError
        For a single latent, no factors, or a factor with one value.
    NotApplicable
        If a Gaussian is too narrow for the grid.
    """
    means, deviations = check_data(means, "means"), check_data(deviations, "deviations")
    if means.shape != deviations.shape or not (deviations > 0.0).all():
        raise bad_value("deviations", f"positive numbers {means.shape}", deviations.shape)
    if means.shape[1] < 2:
        raise bad_value("means", "at least two latents (the gap is that of the best two)", means.shape[1])
    values = {name: _values_of(name, codes, len(means)) for name, codes in _checked(factors).items()}
    indicators = [codes[:, None] == np.unique(codes) for codes in values.values()]
    shares = [indicator.mean(axis=0) for indicator in indicators]
    found = [_information(m, s, indicators) for m, s in zip(means.T, deviations.T, strict=True)]
    information, error = (np.array(part) for part in zip(*found, strict=True))
    entropy = np.array([-(share * np.log(share)).sum() for share in shares])
    return InformationGap(tuple(values), information, error, entropy)


def _checked(factors: Mapping[str, Integers] | None) -> Mapping[str, Integers]:
    if not factors:
        remedy = "such as the data set 'shapes', whose factors are known"
        raise bad_value("factors", "the values of at least one factor", "none", remedy)
    if not isinstance(factors, Mapping):
        raise bad_kind("factors", "a mapping of names to values", type(factors).__name__)
    return factors


def _values_of(name: str, codes: Integers, n_rows: int) -> Integers:
    codes = np.asarray(codes)
    if codes.shape != (n_rows,):
        raise bad_value(f"factors[{name!r}]", f"a value for each of {n_rows} rows", codes.shape)
    if len(np.unique(codes)) < 2:
        raise bad_value(f"factors[{name!r}]", "at least two different values", codes[0])
    return codes


def _information(mean: Floats, deviation: Floats, indicators: list[Floats]) -> tuple[Floats, Floats]:
    """Return I(z; v_j) (J,) of a latent with q(z | x_n) = N(mean_n, deviation_n^2), and its last change."""
    low, high = (mean - REACH * deviation).min(), (mean + REACH * deviation).max()
    intervals = int(np.ceil((high - low) / (FIRST_NODES * deviation.min())))
    if intervals > MOST_NODES:
        reason = f"from {deviation.min():.1e} to a range of {high - low:.1e}"
        raise NotApplicable(f"the Gaussians of a latent differ too much in width for quadrature ({reason})")
    step = (high - low) / intervals
    total = _integrands(low + step * np.arange(intervals + 1), mean, deviation, indicators)
    value = step * total
    while True:
        total = total + _integrands(low + step * (np.arange(intervals) + 0.5), mean, deviation, indicators)
        step, intervals = 0.5 * step, 2 * intervals
        value, previous = step * total, value
        change = np.abs(value - previous)
        if change.max() <= TOLERANCE:
            return value, change
        if intervals > MOST_NODES:
            raise NotApplicable("the distribution of a latent is too sharp for quadrature")


def _integrands(nodes: Floats, mean: Floats, deviation: Floats, indicators: list[Floats]) -> Floats:
    """Return the sums (J,) over nodes of sum_v q(z, v) log(q(z, v) / (q(z) p(v)))."""
    sums = np.zeros(len(indicators))
    per_pass = max(1, PAIRS_PER_PASS // len(mean))
    for start in range(0, len(nodes), per_pass):
        u = (nodes[start : start + per_pass, None] - mean) / deviation
        density = np.exp(-0.5 * u * u) / (np.sqrt(2.0 * np.pi) * deviation * len(mean))
        of_z = density.sum(axis=1, keepdims=True)
        for j, indicator in enumerate(indicators):
            joint = density @ indicator
            apart = of_z * indicator.mean(axis=0)
            sums[j] += (scipy.special.xlogy(joint, joint) - scipy.special.xlogy(joint, apart)).sum()
    return sums


def information_gap(fitted: Fitted, x: Floats, factors: Mapping[str, Integers] | None) -> InformationGap:
    """Return the InformationGap of the codes of rows x (N, D): of the encoder, or of the exact posterior.

    Raises
    ------
    ValueError
        For a single latent, or no factors.
    NotApplicable
        For a q that is not Gaussian.
    """
    factors = _checked(factors)
    family = fitted.model.family if fitted.posterior is None else fitted.posterior.family
    if not family.gaussian:
        raise NotApplicable(f"the information gap needs a Gaussian q, not a {family.name} one")
    return mutual_information_gap(*fitted.encode(x), factors)


def rotated(
    model: Model, theta: Floats, eta: Floats, rotation: Floats
) -> tuple[Floats, FullGaussian, Floats]:
    """Return the twin of a model and its q whose latents are R z: theta, the family of q, and its eta.

    The prior N(0, I) is the same for R z. Where the decoder takes z, it takes R^T (R z); q has the mean R m
    and the covariance R diag(s^2) R^T. ELBO, log p and data are those of the original.

    Parameters
    ----------
    model : Model
        Linear Gaussian or deep: z enters through one matrix.
    theta : ndarray (P,)
    eta : ndarray (N, 2 K)
        Of diagonal Gaussians.
    rotation : ndarray (K, K)
        R, orthogonal.

    Returns
    -------
    theta : ndarray (P,)
    family : FullGaussian
    eta : ndarray (N, E)
    """
    rotation, n_latent = check_data(rotation, "rotation"), model.latent_dim
    if rotation.shape != (n_latent, n_latent) or not np.allclose(rotation @ rotation.T, np.eye(n_latent)):
        raise bad_value("rotation", f"an orthogonal matrix ({n_latent}, {n_latent})", rotation.shape)
    turned = theta.copy()
    views = model.layout.views(turned)
    if isinstance(model, LinearGaussian):
        views["W"][...] = views["W"] @ rotation.T
    elif isinstance(model, DeepModel):
        views["decoder.W1"][...] = rotation @ views["decoder.W1"]
    else:
        raise NotApplicable(f"{model.label} does not take its latents through one matrix")
    mean, log_std = DiagonalGaussian(n_latent).split(eta)
    spread = rotation * np.exp(log_std)[:, None, :]  # R diag(s)
    lower = np.linalg.cholesky(spread @ np.swapaxes(spread, -1, -2))
    family = FullGaussian(n_latent)
    return turned, family, family.from_factor(mean @ rotation.T, lower)
