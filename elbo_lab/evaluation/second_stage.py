"""A second stage: a model for the latents of a fitted model, in place of its prior.

Where a decoder has followed a manifold, the codes of the data need not be distributed as the prior says: the
aggregate posterior q(z) = E_x q(z | x) covers the right set with another density, and samples that start from
the prior start from the wrong places (Dai and Wipf 2019, section 4). So a second model p2 learns the density
of z ~ q(z | x), which fills its space, and new data go through both:

    z ~ p2(z),   x ~ p(x | z)

What the second stage is worth is how much the ELBO rises when p2 takes the place of the prior. Of the two
terms E_q[log p(x, z)] and the entropy of q, only log p(z) changes:

    gain = E_x E_{q(z | x)}[log p2(z) - log p(z)] = KL(q(z) || p(z)) - KL(q(z) || p2(z))

The entropy of q(z), which nobody knows, cancels. The gain is at most KL(q(z) || p(z)), the waste that
`elbo_surgery` finds, and below zero for a bad p2; on rows that neither stage has seen it is fair.

Helps: where samples are poor though reconstructions are good. Fails: with a q that hides a dimension: unused
latents follow the prior already, and where q(z) equals p(z) there is nothing to gain.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Family, draw_noise
from elbo_lab.errors import NotApplicable, bad_value, check_count, check_data
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.evaluation.fitted import Fitted
from elbo_lab.exact import ladder
from elbo_lab.exact.rules import noise_rules
from elbo_lab.kinds import checks_kinds
from elbo_lab.threads import single_threaded_blas

# Bound on the last change of the gain of one datum, in nats.
TOLERANCE = 1e-7


class Gain(NamedTuple):
    """What a second stage gains on the prior of the first, in nats per datum.

    Attributes
    ----------
    value : float
    standard_error : float
        Of the draws of z, for these very rows; of a quadrature the mean last change.
    error_over_rows : float
        Of the value as an estimate for all rows that there might be; nan for a single row.
    by_row : ndarray (N,)
    """

    value: float
    standard_error: float
    error_over_rows: float
    by_row: Floats

    @classmethod
    def of(cls, by_row: Floats, error: Floats) -> "Gain":
        """Return the mean over rows, from the gain and its independent error of each (N,)."""
        n = len(by_row)
        over_rows = by_row.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        return cls(float(by_row.mean()), float(np.sqrt((error**2).sum()) / n), float(over_rows), by_row)


def draw_latents(first: Fitted, x: Floats, rng: np.random.Generator, draws: int = 1) -> Floats:
    """Return z ~ q(z | x_n) (S, N, K) of rows x (N, D): the data of a second stage."""
    _, posterior, _, phi, _ = first.problem(x)
    family = posterior.family
    # The same bits for any number of threads: the rows of a fit are told by their fingerprint.
    with single_threaded_blas():
        eta = encoded(posterior, phi, x)
    noise = draw_noise(family.noise_spec(draws, len(x)), rng)
    return np.asarray(family.sample(eta, noise), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class TwoStage:
    """Two models, one for the latents of the other.

    Parameters
    ----------
    first : Fitted
        With an encoder, and continuous latents.
    second : Fitted
        Its columns are the latents of the first.
    """

    first: Fitted
    second: Fitted

    def __post_init__(self) -> None:
        model, latents = self.first.model, self.second.model.n_columns
        check_first(self.first)
        if latents != model.latent_dim:
            expected = f"a model of {model.latent_dim} columns, the latents of the first"
            raise bad_value("second", expected, f"{latents} columns")

    @checks_kinds
    def generate(self, n: int, rng: np.random.Generator) -> Floats:
        """Return new data x (n, D): z from the second stage, x from the first at this z."""
        z = self.second.generate(n, rng)
        return self.first.model.sample_x(self.first.theta.astype(np.float64), z, rng)

    @checks_kinds
    def generate_means(self, n: int, rng: np.random.Generator) -> Floats:
        """Return E[x | z] (n, D) at z from the second stage: the data without the observation noise."""
        return self.first.decode(self.second.generate(n, rng))

    @checks_kinds
    def gain(self, x: Floats, *, draws: int = 10, seed: int = 0) -> Gain:
        """Return the Gain on rows x (N, D), by draws of z.

        log p2(z) is exact, or else has 1000 importance samples, whose logarithm is a little too low.

        Parameters
        ----------
        x : ndarray (N, D)
            Rows that neither stage has seen, for a fair number.
        draws : int
            Of z for each row, at least 2.
        seed : int
        """
        x = check_data(x, "x", n_columns=self.first.model.n_columns)
        rng = np.random.default_rng(check_count("seed", seed, 0))
        z = draw_latents(self.first, x, rng, check_count("draws", draws, 2))
        log_p2 = self.second.score_samples(z.reshape(-1, z.shape[-1]), seed=seed).reshape(z.shape[:2])
        gain = log_p2 - self._log_prior(z)
        return Gain.of(gain.mean(axis=0), gain.std(axis=0, ddof=1) / np.sqrt(draws))

    def exact_gain(self, x: Floats) -> Gain:
        """Return the Gain on rows x (N, D) by quadrature over one latent.

        Raises
        ------
        NotApplicable
            If the first stage has more latents, log p2(z) is not exact, or no rule converges.
        """
        first = self.first
        if first.model.latent_dim != 1:
            raise NotApplicable(
                f"quadrature takes one latent of the first stage, not {first.model.latent_dim}; use gain"
            )
        x = check_data(x, "x", n_columns=first.model.n_columns)
        _, posterior, _, phi, _ = first.problem(x)
        eta = encoded(posterior, phi, x)
        with single_threaded_blas():
            found = [self._integrated(posterior.family, eta[n : n + 1]) for n in range(len(x))]
        value, change = np.array(found).T
        return Gain.of(value, change)

    def _integrated(self, family: Family, eta: Floats) -> tuple[float, float]:
        """Return the gain of one datum and its last change."""
        second, theta = self.second.model, self.second.theta.astype(np.float64)

        def by_rule(rule: tuple[Floats, Floats]) -> float:
            nodes, weights = rule
            z = np.asarray(family.sample(eta, nodes[:, None, :]), dtype=np.float64)
            return float(
                weights @ (ladder.log_evidence(second, theta, z[:, 0])[0] - self._log_prior(z)[:, 0])
            )

        for previous, value in pairwise(map(by_rule, noise_rules(1))):
            if abs(value - previous) <= TOLERANCE:
                return value, abs(value - previous)
        raise NotApplicable("the second stage is too sharp for quadrature; use gain")

    def _log_prior(self, z: Draws) -> Floats:
        """Return log p(z) (S, N) under the prior of the first stage."""
        return self.first.model.log_prior(self.first.theta.astype(np.float64), z)


def check_first(first: Fitted, argument: str = "first") -> None:
    """Refuse a model whose latents cannot be the data of a second stage."""
    if first.posterior is None or first.posterior.needs_all_rows:
        got = "none" if first.posterior is None else "a free table, which knows no new rows"
        raise bad_value(argument, "a model with an encoder", got, "fit it with --method vae")
    if first.model.family.discrete or first.model.global_latents or first.model.labelled:
        expected = "continuous latents for each row, which has no label"
        raise bad_value(argument, expected, f"those of {first.model.label}")
