"""z ~ N(0, I), p(x | z, y): a VAE whose decoder and encoder are given the label y of the datum.

    log p(x | y) = log int N(z; 0, I) p(x | z, y) dz,     x | z, y as in `deep_bernoulli` or `deep_gaussian`

(Sohn, Lee and Yan 2015, with a prior that does not depend on y, as in Kingma et al. 2014, model M2.) The
label is given and has no density: "log p(x)" is log p(x | y), and every bound and estimator of it is one of
a latent-variable model like any other. A datum is (x, y), y its class counted from 0.

The decoder has the indicators of y beside z. Given y it is therefore the decoder of an ordinary VAE, whose
first biases are moved by a row of weights: `of_class` returns this VAE, and samples, grids and exact values
of one class are its own. With these weights at zero the label is ignored, and each draw has the value of the
VAE without labels bit for bit (to rounding where data share a draw, which is then decoded once for each).

Helps: to draw data of a wanted class; z is freed from telling the classes apart, and shows what varies
within them (slant, width). Fails: where labels are missing; and it says nothing of p(y), or of p(y | x) but
by Bayes' rule with one log p(x | y) for each class.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable, bad_value, check_count
from elbo_lab.layout import Layout
from elbo_lab.models.base import Pullback, StandardNormalPrior, fold_shared
from elbo_lab.models.bits import refuse_grey
from elbo_lab.models.deep import DeepModel
from elbo_lab.models.deep_bernoulli import DeepBernoulli
from elbo_lab.models.deep_gaussian import DeepGaussianFixed, DeepGaussianLearned
from elbo_lab.models.labelled import check_labels, classes_of, labelled_table, one_hot
from elbo_lab.networks import ConditionedMLP

if TYPE_CHECKING:
    from elbo_lab.datasets import Dataset


@dataclass(frozen=True)
class ConditionalVAE(StandardNormalPrior):
    """Base of the conditional VAEs: a decoder of z and of a label.

    Parameters
    ----------
    n_features, n_latent, n_classes : int
        D, K and C.
    hidden : tuple of int
        Widths of the hidden layers, from the latent side.
    activation : {'tanh', 'relu', 'softplus'}
    """

    n_features: int
    n_latent: int
    n_classes: int
    hidden: tuple[int, ...] = (64,)
    activation: str = "tanh"
    name = "conditional-vae"
    title = "conditional VAE"
    synonyms = ("cvae",)
    default_latent = 2
    labelled = True
    observation: ClassVar[type[DeepModel]]

    def __post_init__(self) -> None:
        check_count("n_classes", self.n_classes, minimum=2)
        _ = self.without_labels  # which checks the other sizes

    @classmethod
    def table_of(cls, dataset: "Dataset") -> NDArray[np.float64]:
        """Return the table (M, D + 1) of features and labels.

        Raises
        ------
        ValueError
            Without labels, or where x is drawn anew at every step.
        """
        if dataset.probabilities is not None:
            expected = f"rows that stay the same for {cls.name}"
            raise bad_value("view", expected, f"the draws of {dataset.name}", "use the view binary")
        return labelled_table(dataset, cls.name)

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        """Return the model for a table x (M, D + 1) from `table_of`."""
        if latent is not None:
            check_count("latent", latent)
        n_classes = classes_of(x)
        return cls._like(cls.observation.for_data(x[:, :-1], None, latent), n_classes)

    @classmethod
    def _like(cls, built: DeepModel, n_classes: int) -> Self:
        return cls(built.n_columns, built.n_latent, n_classes)

    @property
    @abstractmethod
    def without_labels(self) -> DeepModel:
        """The VAE of the same sizes without labels, which says how x is observed."""

    @cached_property
    def family(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.n_latent)

    @cached_property
    def decoder(self) -> ConditionedMLP:
        """The network from z (K,) and the indicators of y (C,) to the parameters of p(x | z, y)."""
        sizes = (self.n_latent + self.n_classes, *self.hidden, self.without_labels.n_outputs)
        return ConditionedMLP(sizes, self.activation, self.n_classes)

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.decoder.layout.prefixed("decoder") + self.without_labels.extra_entries)

    @property
    def n_columns(self) -> int:
        """D + 1: the features and the label."""
        return self.n_features + 1

    @property
    def given_classes(self) -> int:
        return self.n_classes

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse labels that are no classes of the training rows, and features as without labels."""
        x = check_labels(x, self.n_columns, self.n_classes, argument)
        self.without_labels.check_support(x[:, :-1], argument)
        return x

    def check_data(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse as well features on which the likelihood has no maximum."""
        x = self.check_support(x, argument)
        self.without_labels.check_data(x[:, :-1], argument)
        return x

    def _split(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return the decoder's parameters and the rest, as views."""
        size = self.decoder.layout.size
        return theta[:size], theta[size:]

    def _inputs(self, z: Floats, labels: Floats) -> Floats:
        """Return (z, indicators of y) (..., S, N, K + C) of z (..., S, N or 1, K) and labels (N,)."""
        shape = (*z.shape[:-2], len(labels))
        given = np.broadcast_to(one_hot(labels, self.n_classes), (*shape, self.n_classes))
        return np.concatenate([np.broadcast_to(z, (*shape, self.n_latent)), given], axis=-1)

    def likelihood(self, theta: Floats, x: Floats, z: Floats) -> tuple[Floats, Pullback]:
        """log p(x | decoder(z, y)), backward in one pass; the dtype of theta is that of the whole pass."""
        z, x = z.astype(theta.dtype, copy=False), x.astype(theta.dtype, copy=False)
        decoder, (weights, extra) = self.decoder, self._split(theta)
        inputs = self._inputs(z, x[:, -1])
        rows = inputs.reshape((*z.shape[:-3], -1, inputs.shape[-1]))
        flat, activations = decoder.forward(weights, rows)
        outputs = flat.reshape(inputs.shape[:-1] + flat.shape[-1:])
        value, slopes, extra_vjp = self.without_labels.observe(extra, outputs, x[:, :-1])
        slopes = cache(slopes)  # several cotangents may be pulled back through one pass

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            cotangent = cotangent.astype(theta.dtype, copy=False)
            by_output = (cotangent[..., None] * slopes()).reshape(flat.shape)
            grad_weights, grad_rows = decoder.backward(weights, activations, by_output)
            grad_z = grad_rows.reshape(inputs.shape)[..., : self.n_latent]
            if extra.size:
                grad_weights = np.concatenate([grad_weights, extra_vjp(cotangent)], axis=-1)
            return grad_weights, fold_shared(grad_z, z)

        return value, pullback

    def of_class(self, theta: Floats, label: int) -> tuple[DeepModel, Floats]:
        """Return the VAE that this model is for one class, and its parameters.

        Raises
        ------
        ValueError
            If there is no such class.
        """
        if not 0 <= label < self.n_classes:
            raise bad_value("label", f"a class from 0 to {self.n_classes - 1}", label)
        weights, extra = self._split(theta)
        return self.without_labels, np.concatenate([self.decoder.at(weights, label)[1], extra])

    def expected_given(self, theta: Floats, z: Floats, x: Floats) -> Floats:
        """Return E[x | z, y] (N, D) at z (N, K) and the labels of rows x (N, D + 1)."""
        inputs = self._inputs(z.astype(theta.dtype, copy=False), x[:, -1].astype(theta.dtype, copy=False))
        return self.without_labels.observe_mean(self.decoder.forward(self._split(theta)[0], inputs)[0])

    def expected_x(self, theta: Floats, z: Draws) -> Floats:  # noqa: ARG002
        """Refuse: without a label there is no E[x | z].

        Raises
        ------
        NotApplicable
        """
        raise NotApplicable(f"E[x | z] of {self.name} depends on the label: use of_class")

    def sample_x(self, theta: Floats, z: Floats, rng: np.random.Generator) -> Floats:
        """Draw rows (N, D + 1) given z (N, K).

        The model has no distribution of labels; here every class is equally probable.
        """
        labels = rng.integers(self.n_classes, size=len(z)).astype(np.float64)
        weights, extra = self._split(theta)
        outputs = self.decoder.forward(weights, self._inputs(z, labels))[0]
        return np.column_stack([self.without_labels.observe_sample(extra, outputs, rng), labels])

    def initial_theta(self, x: Floats) -> Floats:
        """`random_theta` from a fixed seed."""
        return self.random_theta(x, np.random.default_rng(0))

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Glorot weights, output bias fitted to the columns."""
        weights, features = self.decoder.initial(rng), x[:, :-1]
        bias = self.decoder.layout.views(weights)[f"b{self.decoder.n_layers}"]
        bias[...] = self.without_labels.output_bias(features)
        return np.concatenate([weights, self.without_labels.initial_extra(features)])


@dataclass(frozen=True)
class ConditionalBernoulli(ConditionalVAE):
    """Independent bits given z and the label."""

    variant = "bernoulli"
    variants = ("bernoulli",)
    summary = "z ~ N(0, I), x | z, y ~ Bernoulli(sigmoid(MLP(z, y))), y given"
    default_data = "digits:binary"
    natural_views = ("binary",)
    observation = DeepBernoulli

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse features other than zeros and ones as well."""
        x = check_labels(x, self.n_columns, self.n_classes, argument)
        refuse_grey(x[:, :-1], argument, self.label, "conditional-vae:learned")
        return x

    @cached_property
    def without_labels(self) -> DeepBernoulli:
        return DeepBernoulli(self.n_features, self.n_latent, self.hidden, self.activation)


@dataclass(frozen=True)
class ConditionalGaussianFixed(ConditionalVAE):
    """Gaussian columns given z and the label, with one noise scale."""

    variant = "fixed"
    variants = ("fixed",)
    summary = "z ~ N(0, I), x | z, y ~ N(MLP(z, y), sigma^2 I), y given"
    default_data = "digits:dequantised"
    natural_views = ("dequantised",)
    must_vary = "one"
    observation = DeepGaussianFixed

    @cached_property
    def without_labels(self) -> DeepGaussianFixed:
        return DeepGaussianFixed(self.n_features, self.n_latent, self.hidden, self.activation)


@dataclass(frozen=True)
class ConditionalGaussianLearned(ConditionalVAE):
    """Gaussian columns given z and the label, with a bounded log-variance of each.

    Parameters
    ----------
    min_log_variance : float
        The floor, as of `DeepGaussianLearned`.
    """

    min_log_variance: float = -6.0
    variant = "learned"
    variants = ("learned",)
    summary = "z ~ N(0, I), x | z, y ~ N(MLP(z, y), diag exp(bounded MLP(z, y))), y given"
    default_data = "digits:dequantised"
    natural_views = ("dequantised",)
    must_vary = "one"
    observation = DeepGaussianLearned

    @classmethod
    def _like(cls, built: DeepModel, n_classes: int) -> Self:
        assert isinstance(built, DeepGaussianLearned)
        floor = built.min_log_variance
        return cls(built.n_columns, built.n_latent, n_classes, min_log_variance=floor)

    @cached_property
    def without_labels(self) -> DeepGaussianLearned:
        sizes = self.n_features, self.n_latent, self.hidden, self.activation
        return DeepGaussianLearned(*sizes, self.min_log_variance)
