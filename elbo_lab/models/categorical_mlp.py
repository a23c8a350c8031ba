"""p(y | x) = Categorical(softmax(MLP(x))): a classifier, where nothing is hidden.

    a = MLP((x - shift) / scale),   log p(y | x) = a_y - log sum_c exp(a_c)
    d/da_c = [c = y] - p(c | x)       what was seen minus what was expected

(Bishop 2006, eqs. 4.104 and 4.109.) The features x are given and have no density. There is no latent either:
to the rest of the package z is a category with one value, of which both q and the posterior are certain, so
that log p(y | x) is the evidence and every bound of it equals it. So `fit` ascends the exact likelihood
(method `gradient`), and estimators refuse the model: there is nothing to estimate.

Without hidden layers this is multinomial logistic regression, whose log-likelihood is concave. Features are
standardised by constants of the description.

Helps: for labels of many rows, with curved borders between classes. Fails: the likelihood of training rows
that can be separated has no maximum: hold rows out, and stop where theirs is highest.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Categorical
from elbo_lab.errors import NotApplicable, bad_value, check_count, check_positive
from elbo_lab.layout import Layout
from elbo_lab.models.base import Model, Pullback
from elbo_lab.models.labelled import check_labels, classes_of, labelled_table, one_hot
from elbo_lab.networks import MLP
from elbo_lab.special import log_softmax

if TYPE_CHECKING:
    from elbo_lab.datasets import Dataset


@dataclass(frozen=True)
class CategoricalMLP(Model):
    """Labels of a table, explained by a network of its features; a datum is (x, y), y its class from 0.

    Parameters
    ----------
    n_features, n_classes : int
        D and C.
    shift, scale : tuple of float
        Of length D: each feature is standardised as (feature - shift) / scale.
    hidden : tuple of int
        Widths of the hidden layers, from the labels' side.
    activation : {'tanh', 'relu', 'softplus'}
    """

    n_features: int
    n_classes: int
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    hidden: tuple[int, ...] = (64,)
    activation: str = "tanh"
    name = "categorical-mlp"
    title = "neural classifier"
    synonyms = ("softmax-classifier", "mlp-classifier")
    summary = "y | x ~ Categorical(softmax(MLP(x))), nothing hidden"
    default_data = "digits"
    fixed_prior = True
    labelled = True
    all_observed = True
    compared = False

    def __post_init__(self) -> None:
        check_count("n_features", self.n_features)
        check_count("n_classes", self.n_classes, minimum=2)
        for name in ("shift", "scale"):
            if len(getattr(self, name)) != self.n_features:
                expected = f"{self.n_features} numbers, one for each feature"
                raise bad_value(name, expected, len(getattr(self, name)))
        for scale in self.scale:
            check_positive("scale", scale)
        _ = self.network  # which checks the hidden widths and the activation

    @classmethod
    def table_of(cls, dataset: "Dataset") -> NDArray[np.float64]:
        """Return the table (M, D + 1) of features and labels, or raise ValueError without labels."""
        return labelled_table(dataset, cls.name)

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        """Return the model for a table x (M, D + 1) from `table_of`."""
        n_classes, features = classes_of(x), x[:, :-1]
        # The deviation of a constant column can be a rounding error instead of zero.
        scale = np.where(np.ptp(features, axis=0) > 0, features.std(axis=0), 1.0)
        return cls(features.shape[1], n_classes, tuple(features.mean(axis=0).tolist()), tuple(scale.tolist()))

    @cached_property
    def family(self) -> Categorical:
        """One value: nothing is hidden."""
        return Categorical(1)

    @cached_property
    def network(self) -> MLP:
        """The network from features (D,) to logits (C,)."""
        return MLP((self.n_features, *self.hidden[::-1], self.n_classes), self.activation)

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.network.layout.prefixed("network"))

    @property
    def n_columns(self) -> int:
        """D + 1: the features and the label."""
        return self.n_features + 1

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse labels that are no classes of the training rows."""
        return check_labels(x, self.n_columns, self.n_classes, argument)

    def prior_eta(self, theta: Floats) -> Floats:  # noqa: ARG002
        return np.zeros((1, 1))

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002
        return np.zeros((*grad_eta.shape[:-1], self.layout.size))

    def _inputs(self, features: Floats) -> Floats:
        shift, scale = (np.asarray(part, dtype=features.dtype) for part in (self.shift, self.scale))
        return (features - shift) / scale

    def log_probabilities(self, theta: Floats, features: Floats) -> Floats:
        """Return log p(c | x) (N, C) of every class at raw features (N, D), in nats."""
        features = features.astype(theta.dtype, copy=False)
        return log_softmax(self.network.forward(theta, self._inputs(features))[0], axis=-1)

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """log p(y | x), the same for every z (..., S, N); the dtype of theta is that of the whole pass."""
        x = x.astype(theta.dtype, copy=False)
        logits, activations = self.network.forward(theta, self._inputs(x[:, :-1]))
        log_p, seen = log_softmax(logits, axis=-1), one_hot(x[:, -1], self.n_classes)
        of_label = (seen * log_p).sum(axis=-1)
        value = np.broadcast_to(of_label, np.broadcast_shapes(z.shape, of_label.shape)).copy()

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            by_row = cotangent.sum(axis=-2)[..., None].astype(theta.dtype, copy=False)
            slopes = by_row * (seen - np.exp(log_p))
            return self.network.backward_params(theta, activations, slopes), None

        return value, pullback

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        """Draw rows (N, D + 1): labels for simulated features, which are normal with shift and scale."""
        noise = rng.standard_normal((len(z), self.n_features))
        features = np.asarray(self.shift) + np.asarray(self.scale) * noise
        below = np.exp(self.log_probabilities(theta, features)).cumsum(axis=-1)
        labels = (rng.random((len(z), 1)) >= below[:, :-1]).sum(axis=-1)
        return np.column_stack([features, labels])

    def expected_x(self, theta: Floats, z: Draws) -> Floats:  # noqa: ARG002
        """Refuse: the given features have no mean.

        Raises
        ------
        NotApplicable
        """
        raise NotApplicable(f"{self.name} explains labels of given features: it has no mean of a row")

    def initial_theta(self, x: Floats) -> Floats:
        """`random_theta` from a fixed seed."""
        return self.random_theta(x, np.random.default_rng(0))

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        return self.network.initial(rng)
