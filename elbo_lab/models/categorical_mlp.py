"""A fully observed conditional model: p_theta(y | x) = Categorical(softmax(MLP(x))).

The simplest member of the family of likelihoods that a network parametrises. Nothing is hidden, so that
nothing is integrated: log p_theta(y | x) is itself the evidence, there is no bound and no gap, and maximum
likelihood is gradient ascent on

    sum_n log p_theta(y_n | x_n) = sum_n (a_n,y_n - log sum_c exp(a_n,c)),   a_n = MLP(x_n)

(minus the cross-entropy). Its slope in the logits is what was seen minus what was expected,

    d log p(y | x) / d a_c = [c = y] - p(c | x)

(Bishop 2006, eq. 4.109 with the other sign), and the rest is the backward pass of the network. Hide y, and
the same network is the encoder q(z | x) of a mixture (`posteriors.amortised` with the categorical family);
turn the arrow round, and it is the decoder of a deep model.

Without hidden layers this is multinomial logistic regression, whose log-likelihood is concave. With them it
may overfit: the maximum on separable training data is infinite, and held-out rows must say when to stop.
It is no `Model`: it says nothing of p(x), so it cannot be compared with one in nats of x.

The inputs are shifted and scaled by constants of the description, as in `posteriors.amortised`.

Source: C. M. Bishop, "Pattern Recognition and Machine Learning" (2006), sections 4.3.4 and 5.2.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.errors import bad_kind, bad_value, check_count, check_data, check_positive, check_vector
from elbo_lab.layout import Layout
from elbo_lab.networks import MLP
from elbo_lab.special import log_softmax


@dataclass(frozen=True)
class CategoricalMLP:
    """Classes y given inputs x, by one network.

    Parameters
    ----------
    n_columns : int
        D, inputs.
    n_classes : int
        C, at least two; the classes are 0 to C - 1.
    hidden : tuple of int
        Widths of the hidden layers; empty for multinomial logistic regression.
    activation : {'tanh', 'relu', 'softplus'}
    shift, scale : tuple of float, optional
        Length D: the network sees (x - shift) / scale. Default 0 and 1.
    """

    n_columns: int
    n_classes: int
    hidden: tuple = (64,)
    activation: str = "tanh"
    shift: tuple | None = None
    scale: tuple | None = None
    name = "categorical-mlp"
    summary = "classes given data, p(y | x) = Categorical(softmax(MLP(x))); nothing hidden"

    def __post_init__(self):
        check_count("n_columns", self.n_columns)
        check_count("n_classes", self.n_classes, minimum=2)
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name, default in (("shift", 0.0), ("scale", 1.0)):
            given = getattr(self, name)
            values = np.full(self.n_columns, default) if given is None else np.asarray(given)
            values = check_vector(name, values, self.n_columns)
            if not np.isfinite(values).all():
                raise bad_value(name, "finite numbers", values[~np.isfinite(values)][0])
            object.__setattr__(self, name, tuple(float(value) for value in values))
        for scale in self.scale:
            check_positive("scale", scale)
        _ = self.network  # which checks the hidden widths and the activation

    @classmethod
    def for_data(cls, x, labels, hidden=(64,), activation="tanh", n_classes=None):
        """Return the model for data like x (N, D) with labels (N,), inputs standardised by its columns.

        Parameters
        ----------
        x : ndarray (N, D)
        labels : ndarray of int (N,)
        hidden : tuple of int, optional
        activation : str, optional
        n_classes : int, optional
            C; by default the largest label plus one, which may miss a class that x happens to lack.
        """
        x = check_data(x)
        labels = check_labels(labels, n_classes, n_rows=len(x))
        varies = np.ptp(x, axis=0) > 0  # the standard deviation of a constant may be a rounding error
        scale = np.where(varies, x.std(axis=0), 1.0)
        if n_classes is None:
            n_classes = int(labels.max()) + 1
            if n_classes < 2:
                raise bad_value("labels", "at least two classes", "only the label 0")
        return cls(x.shape[1], n_classes, hidden, activation, tuple(x.mean(axis=0)), tuple(scale))

    @cached_property
    def network(self):
        """The network from x (D,) to the logits (C,)."""
        return MLP((self.n_columns, *self.hidden, self.n_classes), self.activation)

    @cached_property
    def layout(self):
        return Layout(self.network.layout.prefixed("classifier"))

    def initial_theta(self, rng):
        """Return a random start (P,): Glorot or He weights, zero biases."""
        return self.network.initial(rng)

    def check_data(self, x, argument="data"):
        """Return x (N, D) as floats, or raise ValueError."""
        return check_data(x, argument, n_columns=self.n_columns)

    check_support = check_data

    def check_labels(self, y, argument="labels", n_rows=None):
        """Return y (N,) as whole numbers from 0 to C - 1, or raise."""
        return check_labels(y, self.n_classes, argument, n_rows)

    def check_theta(self, theta):
        """Return theta if it has the right size, or raise ValueError."""
        return check_vector("theta", theta, self.layout.size)

    @cached_property
    def _affine(self):
        """Return shift and 1 / scale as arrays, per dtype of the parameters."""
        shift, inverse = np.asarray(self.shift), 1.0 / np.asarray(self.scale)
        return {np.dtype(t): (shift.astype(t), inverse.astype(t)) for t in (np.float64, np.float32)}

    def _forward(self, theta, x):
        """Return the logits (N, C) and the activations, in the dtype of theta."""
        shift, inverse = self._affine[theta.dtype]
        return self.network.forward(theta, (x.astype(theta.dtype, copy=False) - shift) * inverse)

    def likelihood(self, theta, x, y):
        """Return log p(y | x) and the function that pulls a cotangent of it back.

        Parameters
        ----------
        theta : ndarray (P,)
            float64 or float32, the dtype of the whole pass.
        x : ndarray (N, D)
        y : ndarray of int (N,)

        Returns
        -------
        value : ndarray (N,)
            In nats.
        pullback : callable
            Cotangent (..., N) -> (..., P).
        """
        y = self.check_labels(y, n_rows=len(x))
        logits, activations = self._forward(theta, x)
        log_p = log_softmax(logits, axis=-1)
        seen = np.arange(len(y)), y

        def pullback(cotangent):
            slopes = -np.exp(log_p)
            slopes[seen] += 1.0
            cotangent = cotangent.astype(theta.dtype, copy=False)
            return self.network.backward_params(theta, activations, cotangent[..., None] * slopes)

        return log_p[seen], pullback

    def log_likelihood(self, theta, x, y):
        """Return log p_theta(y | x) (N,), in nats."""
        return self.likelihood(theta, x, y)[0]

    def log_likelihood_vjp(self, theta, x, y, cotangent):
        """Return the gradient (P,) of sum(cotangent * log_likelihood), cotangent (N,)."""
        return self.likelihood(theta, x, y)[1](cotangent)

    def log_probabilities(self, theta, x):
        """Return log p_theta(c | x) for every class (N, C), in nats."""
        return log_softmax(self._forward(theta, x)[0], axis=-1)

    def predict(self, theta, x):
        """Return the most probable class of every row (N,); the first of equals."""
        return self._forward(theta, x)[0].argmax(axis=-1)


def check_labels(y, n_classes=None, argument="labels", n_rows=None):
    """Return y (N,) as whole numbers from 0 to C - 1, or raise.

    Parameters
    ----------
    y : array of int (N,)
    n_classes : int, optional
        C; without it any label from 0 on is taken.
    argument : str, optional
        What the error calls them.
    n_rows : int, optional
        N.

    Raises
    ------
    TypeError
        If they are not whole numbers.
    ValueError
        If their shape is wrong, or one is out of range.
    """
    y = np.asarray(y)
    if y.dtype.kind not in "iu":
        raise bad_kind(argument, "whole numbers", f"dtype {y.dtype}", "number the classes from 0")
    if y.ndim != 1 or len(y) == 0:
        raise bad_value(argument, "one label per row (N,)", f"shape {y.shape}")
    if n_rows is not None and len(y) != n_rows:
        raise bad_value(argument, f"{n_rows} labels, one per row", f"{len(y)} labels")
    if y.min() < 0 or (n_classes is not None and y.max() >= n_classes):
        wanted = "labels from 0 on" if n_classes is None else f"labels from 0 to {n_classes - 1}"
        wrong = (y < 0) if n_classes is None else (y < 0) | (y >= n_classes)
        row = int(np.argmax(wrong))
        raise bad_value(argument, wanted, f"{y[row]} at row {row}", "number the classes from 0")
    return y
