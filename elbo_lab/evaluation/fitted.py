"""Uses of a trained latent-variable model: generate, encode, decode, reconstruct, interpolate.

    generate      z ~ p(z), x ~ p(x | z)                  new data
    encode        mean and standard deviation of z given x
    decode        E[x | z]                                for bits: the probabilities of a one
    reconstruct   decode(mean of z given x)
    interpolate   decode along the straight line between two codes
    traverse      decode along each latent in turn, the others at the code of one row
    score         log p(x) of rows; classes of a mixture and of a regression

z given x is the encoder's q(z | x) where there is one, else the exact posterior, where it has a formula. Of a
mixture the code of a datum is its indicator vector (one at its component): its mean is the vector of
responsibilities r, its standard deviation sqrt(r (1 - r)), and decoding an average of indicators averages
the component means.

A reconstruction is E[x | z] at one z, not its mean over q: where E[x | z] is curved within the width of q, it
is a little too sharp. Generated data include the observation noise; `generate_means` leaves it out and shows
E[x | z] of the same z that `generate` draws from the same generator.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable, bad_value, check_count, check_data, check_positive, check_vector
from elbo_lab.estimators import Problem
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.evaluation.importance import importance_nll
from elbo_lab.evaluation.tractable import has_exact_evidence, held_out_log_likelihood
from elbo_lab.exact.projected import row_probabilities
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import CategoricalMLP, CategoricalVAE, ConditionalVAE, Model
from elbo_lab.posteriors import Posterior

# Importance samples of a row's score.
SCORE_SAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Fitted:
    """A latent-variable model with its parameters.

    Parameters
    ----------
    model : Model
    theta : ndarray (P_theta,)
    posterior : Posterior, optional
        The encoder; the exact posterior is used if there is none.
    phi : ndarray (P_phi,), optional
        Its parameters.
    """

    model: Model
    theta: Floats
    posterior: Posterior | None = None
    phi: Floats | None = None

    def __post_init__(self) -> None:
        check_vector("theta", self.theta, self.model.layout.size)
        if (self.posterior is None) != (self.phi is None):
            given = "phi" if self.posterior is None else "a posterior"
            raise bad_value("posterior and phi", "both or neither", f"only {given}")
        if self.posterior is not None and self.phi is not None:
            check_vector("phi", self.phi, self.posterior.layout.size)

    def problem(self, x: Floats) -> Problem:
        """Return the Problem of the model and its q on rows x (N, D).

        Raises
        ------
        NotApplicable
            If there is no q.
        """
        if self.posterior is None or self.phi is None:
            raise NotApplicable(f"this {self.model.label} has no q; give a posterior and phi")
        return Problem(self.model, self.posterior, self.theta, self.phi, x)

    # -- new data --------------------------------------------------------------------------------

    @checks_kinds
    def generate(self, n: int, rng: np.random.Generator) -> Floats:
        """Return new data x (n, D), drawn from the model."""
        return self.model.sample(self.theta, check_count("n", n), rng)[0]

    @checks_kinds
    def generate_means(self, n: int, rng: np.random.Generator) -> Floats:
        """Return E[x | z] (n, D) at new z: the data without the observation noise."""
        model = self.model
        noise = draw_noise(model.family.noise_spec(1, check_count("n", n)), rng)
        return model.expected_x(self.theta, model.family.sample(model.prior_eta(self.theta), noise)[0])

    # -- from x to z and back --------------------------------------------------------------------

    def encode(self, x: Floats) -> tuple[Floats, Floats]:
        """Return the mean (N, K) and the standard deviation (N, K) of z given x (N, D).

        Raises
        ------
        NotApplicable
            If there is no encoder, and the exact posterior has no formula.
        """
        if self.model.all_observed:
            raise NotApplicable(f"{self.model.label} has no latents: there is nothing to encode")
        x = check_data(x, "x", n_columns=self.model.n_columns)
        if self.posterior is not None and self.phi is not None:
            return self.posterior.family.moments(encoded(self.posterior, self.phi, x))
        theta = self.theta.astype(np.float64)
        try:
            return self.model.posterior_mean_and_std(theta, x)
        except NotApplicable as reason:
            raise NotApplicable(f"{reason}; give an encoder (posterior and phi)") from None

    def decode(self, z: Draws) -> Floats:
        """Return E[x | z] (N, D).

        Parameters
        ----------
        z : ndarray (N, K)
            Codes. For a mixture: component numbers (N,), or rows of shares (N, C) such as responsibilities.
            For a vector of categories: their numbers (N, K), or shares (N, K C), which a network takes as
            they are.
        """
        z, family = np.asarray(z), self.model.family
        if isinstance(self.model, CategoricalVAE):
            return self._decoded_categories(self.model, z)
        categories = not family.event_axes
        if categories and z.ndim == 1 and z.dtype.kind in "iu":
            wrong = z[(z < 0) | (z >= family.size)]
            if len(wrong):
                raise bad_value("z", f"components from 0 to {family.size - 1}", wrong[0])
            return self._component_means[z]
        z = check_data(z, "z", n_columns=family.size)
        return z @ self._component_means if categories else self.model.expected_x(self.theta, z)

    def _decoded_categories(self, model: CategoricalVAE, z: Draws) -> Floats:
        """Return E[x | z] (N, D) at numbers of categories (N, K), or at shares of them (N, K C)."""
        family = model.family
        if z.dtype.kind not in "iu":
            return model.expected_at_shares(self.theta, check_data(z, "z", n_columns=family.eta_size))
        check_data(z.astype(np.float64), "z", n_columns=family.size)
        wrong = z[(z < 0) | (z >= family.n_categories)]
        if len(wrong):
            raise bad_value("z", f"categories from 0 to {family.n_categories - 1}", wrong[0])
        return model.expected_x(self.theta, z)

    @cached_property
    def _component_means(self) -> Floats:
        """E[x | z = c] of all components (C, D)."""
        return self.model.expected_x(self.theta, np.arange(self.model.family.size))

    def reconstruct(self, x: Floats) -> Floats:
        """Return decode(mean of z given x) (N, D); with a label that is given, at the label of each row."""
        codes = self.encode(x)[0]
        if self.model.given_classes:
            return self.model.expected_given(self.theta, codes, x)
        return self.decode(codes)

    def of_class(self, label: int) -> "Fitted":
        """Return the model of one class of a conditional one, without q: it generates data of this class.

        Parameters
        ----------
        label : int
            The class, counted from 0.

        Raises
        ------
        NotApplicable
            If the model is given no label.
        """
        if not isinstance(self.model, ConditionalVAE):
            raise NotApplicable(f"{self.model.label} is given no label: it has no data of one class alone")
        return Fitted(*self.model.of_class(self.theta, check_count("label", label, minimum=0)))

    @checks_kinds
    def interpolate(self, x_a: Floats, x_b: Floats, n: int) -> Floats:
        """Return E[x | z] (n, D) along the straight line from the code of x_a to that of x_b.

        Parameters
        ----------
        x_a, x_b : ndarray (D,)
        n : int
            Steps, both ends (which are the reconstructions) included.
        """
        check_count("n", n, 2)
        ends = self.encode(np.stack([np.asarray(x_a), np.asarray(x_b)]))[0]
        share = np.linspace(0.0, 1.0, n)[:, None]
        return self.decode((1.0 - share) * ends[0] + share * ends[1])

    @checks_kinds
    def traverse(self, x: Floats, n: int = 9, reach: float = 2.0) -> tuple[Floats, Floats]:
        """Return E[x | z] (K, n, D) along each latent in turn, and the values (n,) that it takes.

        Parameters
        ----------
        x : ndarray (D,)
            The row at whose code the other latents stay.
        n : int
            Values from -reach to reach.
        reach : float
            In standard deviations of the prior.

        Raises
        ------
        NotApplicable
            For latents that are no numbers: categories and bits.
        """
        if self.model.family.discrete:
            raise NotApplicable(f"{self.model.family.name} z has no range to go along")
        values = np.linspace(-1.0, 1.0, check_count("n", n, 2)) * check_positive("reach", reach)
        code = self.encode(np.asarray(x)[None])[0][0]
        z = np.tile(code, (len(code), n, 1))
        k = np.arange(len(code))
        z[k, :, k] = values
        return self.decode(z.reshape(-1, len(code))).reshape(len(code), n, -1), values

    # -- what rows are worth, and to which class they belong ---------------------------------------

    @checks_kinds
    def score_samples(self, x: Floats, *, seed: int = 0) -> Floats:
        """Return log p(x_n) (N,) in nats: exact, or else with 1000 importance samples from q a row.

        Parameters
        ----------
        x : ndarray (N, D)
            For a regression a table with its labels in the last column; the score is log p(y_n | x_n).
        seed : int
            Of the importance samples.

        Raises
        ------
        NotApplicable
            If log p(x) is not exact, and there is no q.
        """
        if self.model.global_latents:
            return np.log(self._label_probabilities(x))
        if has_exact_evidence(self.model):
            return held_out_log_likelihood(self.model, self.theta, x)
        return -importance_nll(self.problem(x), SCORE_SAMPLES, seed).nll

    @checks_kinds
    def score(self, x: Floats, *, seed: int = 0) -> float:
        """Return the mean of `score_samples` over the rows."""
        return float(self.score_samples(x, seed=seed).mean())

    def predict_proba(self, x: Floats) -> Floats:
        """Return the probabilities of the classes (N, C) of rows x (N, D).

        Of a mixture the responsibilities, p(z = c | x); of a regression, from rows of raw features, the two
        labels, with q over the coefficients averaged out; of a classifier, from the same, its classes.

        Raises
        ------
        NotApplicable
            For models without classes.
        """
        if self.model.global_latents:
            x = check_data(x, "x", n_columns=self.model.table_columns - 1)
            p = self._label_probabilities(np.column_stack([x, np.ones(len(x))]))
            return np.column_stack([1.0 - p, p])
        if isinstance(self.model, CategoricalMLP):
            x = check_data(x, "x", n_columns=self.model.n_features)
            return np.exp(self.model.log_probabilities(self.theta, x))
        if self.model.family.event_axes:
            raise NotApplicable(f"{self.model.label} has no classes; encode gives the code of a row")
        return self.encode(x)[0]

    def predict(self, x: Floats) -> Integers:
        """Return the most probable class (N,) of rows x (N, D), as `predict_proba` numbers them."""
        return self.predict_proba(x).argmax(axis=1)

    def _label_probabilities(self, table: Floats) -> Floats:
        """Return the probability of the label in each row of a table (N, D + 1)."""
        model, posterior, _, phi, x = self.problem(check_data(table, n_columns=self.model.table_columns))
        # All rows share the one eta.
        eta = posterior.eta(phi.astype(np.float64), np.zeros((1, 0)))
        return row_probabilities(model, model.as_data(x), posterior.family, eta)[0]
