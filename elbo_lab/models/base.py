"""The contract of a model p_theta(x, z) = p_theta(z) p_theta(x | z).

A model is an immutable description; its parameters come in as one flat vector `theta` (P,). Two
things make a model: the prior, which is a member of a `Family` (so that sampling it, scoring it and
KL to it need no further code), and `likelihood`, the formula of log p(x | z) together with its
hand-derived pullback. Everything else in this module follows from these two.

Axes: x (N, D); continuous z (..., S, N, K) or (..., S, 1, K) to share a draw among all data,
binary z the same in zeros and ones, categorical z integer (..., S, N), a vector of categories integer
(..., S, N, K); axes before S are repeats and are never summed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Family, draw_noise
from elbo_lab.errors import BadColumn, NotApplicable, Reason, bad_value, check_data, check_vector
from elbo_lab.layout import Layout
from elbo_lab.names import drop_inherited_words
from elbo_lab.special import LOG_2PI

if TYPE_CHECKING:
    from elbo_lab.datasets import Dataset

# Of the likelihood: cotangent (..., S, N) -> (grad_theta (..., P), grad_z as z, or None for a category).
Pullback = Callable[[Floats], tuple[Floats, Floats | None]]
# The same where z are shares of categories, which always have a gradient.
RelaxedPullback = Callable[[Floats], tuple[Floats, Floats]]


def fold_shared(grad_z: Floats, z: Draws) -> Floats:
    """Sum a gradient (..., S, N, K) over the data that share a draw, if z is (..., S, 1, K)."""
    if z.shape[-2] < grad_z.shape[-2]:
        return grad_z.sum(axis=-2, keepdims=True)
    return grad_z


# The variances of a fit, and numbers near them, must stay far from the smallest float.
LEAST_VARIANCE = 1e-280


class Model(ABC):
    """A latent-variable model.

    Attributes
    ----------
    name, variant : str, str or None
        As on the command line.
    title : str
        Its name in a textbook, for figures and sentences; '' for the name itself.
    synonyms : tuple of str
        Its other names; wherever a name is taken they are, too.
    summary : str
        The formula in one line, for `elbo-lab list`.
    variants : tuple
        The variants that the class builds, (None,) without any.
    usual_variant : str or None
        The variant that a fit uses by default, among all of this name; None for the first.
    default_data : str
        The data set of an example.
    default_latent : int or None
        The default latent size; None if the data determine it, or there are layers.
    default_layers : tuple of int or None
        The default widths of several layers of z, which the option `latent` then gives; None for one layer.
    hidden : tuple of int or None
        Hidden widths of the model's network, from the latent side; None without a network.
    family : Family
        Family of the prior.
    posterior_family : Family
        Family in which a q is built where none is asked for: that of the prior.
    layout : Layout
        Names and shapes in theta.
    n_columns : int
        D, columns of the data.
    natural_views : tuple of str
        Views of a built-in data set that suit the likelihood, the usual one first; () for any.
    fixed_prior : bool
        Whether p(z) has no parameters, so that its gradient need not be computed.
    global_latents : bool
        Whether one z explains a whole table, and not a row: there is then one datum, N = 1.
    quadratic : bool
        Whether log p(x, z) is a polynomial of degree two in z, so that its Gaussian expectations are sums.
    relaxes : bool
        Whether `relaxed_likelihood` extends log p(x | z) from categories to shares of them.
    formula_only : str
        Why no ascent of an estimate may move theta, which then comes from formulas alone; '' where one may.
    labelled : bool
        Whether the last column of its table is a label, a class counted from 0.
    all_observed : bool
        Whether nothing is hidden: z takes one value, and no estimator has anything to estimate.
    allows_missing : bool
        Whether nan in x is a missing cell; all other models refuse it.
    compared : bool
        Whether tables of all models have rows of it: False without anything to infer, or an exact answer.
    usual_rows, compared_rows : int or None
        Rows of the table with global latents on which the formulas are checked, and the most on which
        estimators are compared; None for all.
    must_vary : {'none', 'one', 'all'}
        Which columns of the data must not be constant for the density to have a maximum.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    synonyms: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str] = ""
    variant: str | None = None
    variants: ClassVar[tuple[str | None, ...]] = (None,)
    usual_variant: ClassVar[str | None] = None
    default_data: ClassVar[str] = "digits"
    default_latent: ClassVar[int | None] = None
    default_layers: ClassVar[tuple[int, ...] | None] = None
    hidden: tuple[int, ...] | None = None
    fixed_prior: ClassVar[bool] = False
    global_latents: ClassVar[bool] = False
    usual_rows: ClassVar[int | None] = None
    compared_rows: ClassVar[int | None] = None
    quadratic: ClassVar[bool] = False
    relaxes: ClassVar[bool] = False
    formula_only: ClassVar[str] = ""
    labelled: ClassVar[bool] = False
    all_observed: ClassVar[bool] = False
    compared: ClassVar[bool] = True
    allows_missing: ClassVar[bool] = False
    natural_views: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:
        # A subclass gives a field of the dataclass, a cached property or a class attribute.

        @property
        def family(self) -> Family: ...

        @property
        def layout(self) -> Layout: ...

        @property
        def n_columns(self) -> int: ...

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        drop_inherited_words(cls)

    @property
    def must_vary(self) -> Literal["none", "one", "all"]:
        return "none"

    # -- what a model must define ----------------------------------------------------------------

    @abstractmethod
    def prior_eta(self, theta: Floats) -> Floats:
        """Return eta of the prior p_theta(z) (1, E)."""

    @abstractmethod
    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:
        """Pull a cotangent (..., E) of the prior's eta back to theta: (..., P)."""

    @abstractmethod
    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """Return log p_theta(x | z) and the function that pulls a cotangent of it back.

        Returns
        -------
        value : ndarray (..., S, N)
            In nats, constants included.
        pullback : callable
            Takes a cotangent (..., S, N); returns (grad_theta (..., P), grad_z shaped as z), where
            grad_z is None for categories, one or several. Bits have one: that of the formula, which also
            holds between zero and one.
        """

    @abstractmethod
    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        """Draw x given z (N, K) or (N,): ndarray (N, D)."""

    @abstractmethod
    def initial_theta(self, x: Floats) -> Floats:
        """Return a sensible deterministic start for fitting to x: (P,)."""

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG002 - where nothing is random
        """Return a start for stochastic training on x that does not use the maximum: (P,)."""
        return self.initial_theta(x)

    def expected_x(self, theta: Floats, z: Draws) -> Floats:  # noqa: ARG002
        """Return E[x | z] (..., D) at z (..., K) or categories z (...).

        Raises
        ------
        NotApplicable
            If the model does not define it.
        """
        raise NotApplicable(f"{self.label} does not define E[x | z]; write expected_x")

    # -- maximum likelihood ----------------------------------------------------------------------

    @property
    def closed_form_maximum(self) -> bool:
        """Whether `maximum_likelihood` is a formula; by default there is none."""
        return False

    def maximum_likelihood(self, x: Floats) -> Floats:  # noqa: ARG002 - most models have no formula
        """Return the theta (P,) of greatest log p(x), by a formula.

        Parameters
        ----------
        x : ndarray (N, D)

        Raises
        ------
        NotApplicable
            If there is no formula.
        ValueError
            If the density has no maximum on these data.
        """
        raise NotApplicable(f"the maximum of {self.label} has no closed form")

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader must know before interpreting the parameters of a fit, one sentence each."""
        return ()

    # -- from a data set to x --------------------------------------------------------------------

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        """Return the model for data like x (N, D).

        Parameters
        ----------
        x : ndarray (N, D)
        variant : str, optional
            One of `variants`.
        latent : int, optional
            K; by default `default_latent`.

        Raises
        ------
        NotApplicable
            If this class is not built from data.
        """
        raise NotApplicable(f"{cls.name} is not built from data: write for_data, or give a finished model")

    @classmethod
    def table_of(cls, dataset: "Dataset") -> NDArray[np.float64]:
        """Return the table (M, C) of a `Dataset` that this kind of model explains; `for_data` takes it."""
        return dataset.x

    def as_data(self, table: Floats) -> Floats:
        """Return x (N, D) of a table (M, C): every row a datum, unless the latents are global."""
        return table

    # -- what follows from these -----------------------------------------------------------------

    @property
    def label(self) -> str:
        """Name and variant, as in 'gaussian-mixture:full'."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

    @property
    def table_columns(self) -> int:
        """Columns of the table that `as_data` takes: D, unless the latents are global."""
        return self.n_columns

    @property
    def given_classes(self) -> int:
        """C, where the label in the last column is given, and not explained; 0 without."""
        return 0

    @property
    def row_width(self) -> int:
        """Numbers that one draw of one datum takes in the data's space, for estimates of memory: D."""
        return self.n_columns

    @property
    def posterior_family(self) -> Family:
        return self.family

    @property
    def has_prior(self) -> bool:
        """Whether p(z) is known apart from p(x, z); else `prior_eta` is that of a reference density."""
        return True

    @property
    def gradient_by(self) -> str:
        """What the slopes of log p(x, z) are computed by; '' where they are derived by hand."""
        return ""

    def check_prior(self) -> None:
        """Refuse a model without a prior of its own, or raise NotApplicable."""
        if not self.has_prior:
            reason = "is a joint density alone: its prior cannot be sampled, nor its KL taken"
            raise NotApplicable(f"{self.label} {reason}; name one by prior=", Reason.NO_PRIOR)

    def has_kl_of(self, q: Family) -> bool:
        """Whether KL(q || prior) of a q in a family has a closed form."""
        return self.has_prior and q.has_kl_to(self.family)

    def laid_over(self, theta: Floats, x: Floats) -> "Model":  # noqa: ARG002 - with a prior its draws cover z
        """Return the same density with a reference, in place of a prior, that covers the posteriors of x."""
        return self

    @property
    def latent_dim(self) -> int:
        """K."""
        return self.family.size

    @property
    def latent_option(self) -> int | tuple[int, ...]:
        """K as the option `latent` counts it: of latents that are global possibly those of one row.

        Of several layers their widths.
        """
        return self.latent_dim

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> "Model":
        """Return the model of a checkpoint, from the fields of its dataclass."""
        return cls(**values)

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Return x (N, D) as floats if this likelihood can have produced it, or raise ValueError."""
        return check_data(x, argument, n_columns=self.n_columns)

    def check_data(self, x: Floats, argument: str = "data") -> Floats:
        """Return x (N, D) as floats if this model can be fitted to it, or raise ValueError.

        Beyond the support this refuses data on which the likelihood has no maximum. If the spread of a column
        is zero, the scale that describes it shrinks to zero and the density grows without bound.
        """
        x = self.check_support(x, argument)
        constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
        n_allowed = {"none": x.shape[1], "one": x.shape[1] - 1, "all": 0}[self.must_vary]
        if len(constant) > n_allowed:
            if len(x) == 1:
                expected = "two rows or more (the density of a single one is unbounded)"
                raise bad_value(argument, expected, "one row")
            expected = "columns that vary (the density is unbounded otherwise)"
            raise BadColumn(argument, expected, "constant", int(constant[0]), "drop it")
        return x

    def check_theta(self, theta: Floats) -> Floats:
        """Return theta if it has the right size, or raise ValueError."""
        check_vector("theta", theta, self.layout.size)
        return np.asarray(theta)

    def log_likelihood(self, theta: Floats, x: Floats, z: Draws) -> Floats:
        """Return log p_theta(x | z) (..., S, N)."""
        return self.likelihood(theta, x, z)[0]

    def data_terms(self, theta: Floats, x: Floats) -> Floats:  # noqa: ARG002
        """Return the terms of the data that `shared_likelihood` uses (N, T), one row per datum."""
        return x

    def shared_likelihood(self, theta: Floats, terms: Floats, z: Draws) -> Floats:
        """Return log p_theta(x | z) (S, N) for draws z (S, 1, ...) that all data share.

        Parameters
        ----------
        theta : ndarray (P,)
        terms : ndarray (N, T)
            `data_terms` of x: the terms that depend on no draw are computed once for all draws.
        z : ndarray (S, 1, K) or (S, 1)
        """
        return self.log_likelihood(theta, terms, z)

    def log_likelihood_vjp(
        self, theta: Floats, x: Floats, z: Draws, cotangent: Floats
    ) -> tuple[Floats, Floats | None]:
        """Return (grad_theta (..., P), grad_z) of sum(cotangent * log_likelihood)."""
        return self.likelihood(theta, x, z)[1](cotangent)

    def log_likelihood_grad_z(self, theta: Floats, x: Floats, z: Draws, cotangent: Floats) -> Floats:
        """Return the grad_z of `log_likelihood_vjp` alone, where theta needs none: often half of the work.

        Raises
        ------
        NotApplicable
            If z is a category.
        """
        grad_z = self.log_likelihood_vjp(theta, x, z, cotangent)[1]
        if grad_z is None:
            raise NotApplicable(f"log p(x | z) of {self.label} has no slope in z", Reason.NO_SLOPE)
        return grad_z

    def log_prior(self, theta: Floats, z: Draws) -> Floats:
        """Return log p_theta(z) (..., S, N)."""
        return self.family.log_prob(self.prior_eta(theta), z)

    def log_prior_vjp(self, theta: Floats, z: Draws, cotangent: Floats) -> tuple[Floats, Floats | None]:
        """Return (grad_theta (..., P), grad_z) of sum(cotangent * log_prior)."""
        eta = self.prior_eta(theta)
        grad_eta = self.family.log_prob_vjp(eta, z, cotangent).sum(axis=-2)
        grad_theta = self.prior_eta_vjp(theta, grad_eta)
        return grad_theta, self.log_prior_grad_z(theta, z, cotangent) if self.family.has_slope else None

    def log_prior_grad_z(self, theta: Floats, z: Draws, cotangent: Floats) -> Floats:
        """Return the gradient of sum(cotangent * log_prior) in z alone, shaped as z."""
        grad_z = cotangent[..., None] * self.family.log_prob_grad_z(self.prior_eta(theta), z)
        return fold_shared(grad_z, z)

    def log_joint(self, theta: Floats, x: Floats, z: Draws) -> Floats:
        """Return log p_theta(x, z) = log p(x | z) + log p(z) (..., S, N)."""
        return self.log_likelihood(theta, x, z) + self.log_prior(theta, z)

    def log_joint_vjp(
        self, theta: Floats, x: Floats, z: Draws, cotangent: Floats
    ) -> tuple[Floats, Floats | None]:
        """Return (grad_theta (..., P), grad_z) of sum(cotangent * log_joint)."""
        theta_l, z_l = self.log_likelihood_vjp(theta, x, z, cotangent)
        theta_p, z_p = self.log_prior_vjp(theta, z, cotangent)
        return theta_l + theta_p, None if z_l is None or z_p is None else z_l + z_p

    def log_joint_grad_z(self, theta: Floats, x: Floats, z: Draws, cotangent: Floats) -> Floats:
        """Return the gradient of sum(cotangent * log_joint) in z alone, shaped as z."""
        by_likelihood = self.log_likelihood_grad_z(theta, x, z, cotangent)
        return by_likelihood + self.log_prior_grad_z(theta, z, cotangent)

    def sample(self, theta: Floats, n_data: int, rng: np.random.Generator) -> tuple[Floats, Draws]:
        """Draw (x (N, D), z) from the model."""
        noise = draw_noise(self.family.noise_spec(1, n_data), rng)
        z = self.family.sample(self.prior_eta(theta), noise)[0]
        return self.sample_x(theta, z, rng), z

    def canonical(self, theta: Floats) -> Floats:
        """Return an equivalent theta whose exact posterior, if known, lies in the family."""
        return theta

    def posterior_eta(self, theta: Floats, x: Floats) -> Floats:
        """Return eta (N, E) of the exact posterior, where it is a member of the family.

        Of a category it is Bayes' rule: log p(x, z) of all values.

        Raises
        ------
        NotApplicable
            If the exact posterior is not known in this family.
        """
        if self.family.discrete and not self.family.event_axes:
            values = np.repeat(self.family.values()[:, None], len(x), axis=1)
            return self.log_joint(theta, x, values).T
        raise NotApplicable(f"the exact posterior of {self.label} has no closed form", Reason.NO_POSTERIOR)

    def posterior_mean_and_std(self, theta: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (N, K) each of the exact posterior.

        Of categories they are those of the indicator vector: r and sqrt(r (1 - r)).

        Raises
        ------
        NotApplicable
            If the exact posterior is not known.
        """
        return self.family.moments(self.posterior_eta(theta, x))

    def relaxed_likelihood(self, theta: Floats, x: Floats, y: Floats) -> tuple[Floats, RelaxedPullback]:  # noqa: ARG002
        """Return log p(x | z) for shares y (..., S, N, C) of categories, and its pullback (see `relaxes`).

        Of K variables the shares of all stand in one row (..., S, N, K C).

        Raises
        ------
        NotApplicable
            If the formula does not extend to shares.
        """
        text = f"log p(x | z) of {self.label} is not defined between categories"
        raise NotApplicable(text, Reason.NO_RELAXATION)

    def expected_given(self, theta: Floats, z: Draws, x: Floats) -> Floats:  # noqa: ARG002
        """Return E[x | z] (N, D) at z (N, K), where rows x are labelled given their labels."""
        return self.expected_x(theta, z)

    def described(self, theta: Floats) -> dict[str, Floats] | None:  # noqa: ARG002
        """Return {name: array}, theta in natural units; None if theta is best shown as stored."""
        return None


class StandardNormalPrior(Model):
    """Base of models with a prior without parameters, the member eta = 0 of its family: mostly N(0, I)."""

    fixed_prior = True

    def prior_eta(self, theta: Floats) -> Floats:  # noqa: ARG002
        return np.zeros((1, self.family.eta_size))

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002
        return np.zeros((*grad_eta.shape[:-1], self.layout.size))

    def log_prior(self, theta: Floats, z: Draws) -> Floats:
        """Return -|z|^2 / 2 - K log(2 pi) / 2 (..., S, N), bit for bit the family's value at N(0, I)."""
        if not self.family.gaussian:
            return super().log_prior(theta, z)
        z = z.astype(np.float64, copy=False)
        return -0.5 * np.einsum("...k,...k->...", z, z) - 0.5 * self.family.size * LOG_2PI

    def log_prior_vjp(self, theta: Floats, z: Draws, cotangent: Floats) -> tuple[Floats, Floats | None]:
        """Return zeros (..., P) for theta, and the gradient in z."""
        no_theta: Floats = np.zeros((*cotangent.shape[:-2], self.layout.size))
        return no_theta, self.log_prior_grad_z(theta, z, cotangent)

    def log_prior_grad_z(self, theta: Floats, z: Draws, cotangent: Floats) -> Floats:
        """Return -z times the cotangent, shaped as z."""
        if not self.family.gaussian:
            return super().log_prior_grad_z(theta, z, cotangent)
        return fold_shared(cotangent[..., None] * -z.astype(np.float64, copy=False), z)


class ClosedForm(Model):
    """Base of models whose evidence and Gaussian expectations have a formula.

    Weights (N,) multiply the data in every gradient, so that one call gives sums, means or single data.
    """

    @abstractmethod
    def log_evidence(self, theta: Floats, x: Floats) -> Floats:
        """Return log p_theta(x) in nats (N,)."""

    @abstractmethod
    def log_evidence_grad(self, theta: Floats, x: Floats, weights: Floats) -> Floats:
        """Return d sum_n weights_n log p(x_n) / d theta (P,)."""

    @abstractmethod
    def expected_log_joint(self, theta: Floats, x: Floats, eta: Floats) -> Floats:
        """Return E_q(z; eta) log p_theta(x, z) (N,)."""

    @abstractmethod
    def expected_log_joint_vjp(
        self, theta: Floats, x: Floats, eta: Floats, weights: Floats
    ) -> tuple[Floats, Floats]:
        """Return (grad_theta (P,), grad_eta (N, E)) of sum_n weights_n E_q log p(x_n, z)."""
