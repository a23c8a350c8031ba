"""Bayesian logistic regression: the weights are the latents, and one z explains the whole table.

    z ~ N(0, I_{D+1}),   p(y_m = 1 | f_m, z) = sigmoid(z . (f_m, 1)),   f standardised features
    log p(y | F, z) = sum_m log sigmoid(s_m z . (f_m, 1)),   s_m = 2 y_m - 1

(Bishop 2006, section 4.5.) The features are given and have no density: "log p(x)" is log
p(y | F), the probability of the labels. Every feature is shifted and scaled by constants of the
description (mean and population standard deviation of the table that the model was built for), so that
N(0, 1) is a sensible prior of every weight, and so that held-out rows are standardised in the same way; the
last weight is the intercept.

Helps: the posterior is log-concave and close to a Gaussian. Fails: with a diagonal q, which misses the strong
correlations between the weights of correlated features: its ELBO is several nats below log p. Where the
classes can be separated the prior alone bounds the weights, and the posterior is skewed.

theta has no parameters. A datum is a table: x (1, M (D + 1)), row after row, the D raw features and the
label.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable, bad_value, check_count, check_data, check_positive
from elbo_lab.layout import Layout
from elbo_lab.models.linear_predictor import LinearPredictor
from elbo_lab.special import sigmoid, softplus

if TYPE_CHECKING:
    from elbo_lab.datasets import Dataset

LABELLED = "a table with labels 0 and 1 for logistic-regression"
REMEDY = "use breast-cancer, or name the column with the labels (label, --label)"
MORE = "categorical-mlp takes any number of classes"


@dataclass(frozen=True)
class LogisticRegression(LinearPredictor):
    """Labels 0 and 1 of a table, explained by one vector of weights.

    Parameters
    ----------
    n_total : int
        M, rows of the whole table; fewer rows are a minibatch of it.
    shift, scale : tuple of float
        Of length D: each feature is standardised as (feature - shift) / scale.
    """

    n_total: int
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    name = "logistic-regression"
    title = "Bayesian logistic regression"
    summary = "weights z ~ N(0, I), labels y | z ~ Bernoulli(sigmoid(z . features)): one z for the table"
    default_data = "breast-cancer"
    global_latents = True
    labelled = True
    layout = Layout(())

    def __post_init__(self) -> None:
        check_count("n_total", self.n_total)
        if len(self.shift) != len(self.scale):
            raise bad_value("scale", f"{len(self.shift)} numbers, as many as shift", len(self.scale))
        for scale in self.scale:
            check_positive("scale", scale)

    @classmethod
    def table_of(cls, dataset: "Dataset") -> NDArray[np.float64]:
        """Return the table (M, D + 1) of raw features and labels.

        Raises
        ------
        ValueError
            If there are no labels, or others than 0 and 1.
        """
        if dataset.labels is None:
            raise bad_value("data", LABELLED, f"no labels with {dataset.name}", REMEDY)
        classes = np.unique(dataset.labels)
        if classes[-1] > 1:
            names = [dataset.classes[code] if dataset.classes else str(code) for code in classes[:4]]
            shown = ", ".join(names) + (", ..." if len(classes) > 4 else "")
            raise bad_value("data", LABELLED, f"labels {shown} with {dataset.name}", MORE)
        return np.column_stack([dataset.x, dataset.labels]).astype(np.float64)

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        """Return the model for a table x (M, D + 1) from `table_of` with both labels; K is always D + 1."""
        if x.shape[1] < 2:
            raise bad_value("data", "at least one feature besides the labels", f"{x.shape[1]} column")
        if np.ptp(x[:, -1]) == 0:
            raise bad_value("data", LABELLED, f"label {x[0, -1]:g} in all rows", REMEDY)
        features = x[:, :-1]
        # The deviation of a constant column can be a rounding error instead of zero.
        scale = np.where(np.ptp(features, axis=0) > 0, features.std(axis=0), 1.0)
        return cls(len(x), tuple(features.mean(axis=0).tolist()), tuple(scale.tolist()))

    def as_data(self, table: Floats) -> Floats:
        """Return x (1, M (D + 1)): the whole table is one datum."""
        return table.reshape(1, -1)

    @property
    def n_features(self) -> int:
        """D."""
        return len(self.shift)

    @property
    def table_columns(self) -> int:
        """D + 1: the features and the label."""
        return self.n_features + 1

    @property
    def n_columns(self) -> int:
        """M (D + 1): entries of the whole table."""
        return self.n_total * (self.n_features + 1)

    @cached_property
    def family(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.n_features + 1)

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse anything but whole rows, at most M of them, with labels 0 and 1."""
        width = np.shape(x)[-1] if np.ndim(x) == 2 else 0
        is_minibatch = 0 < width < self.n_columns and width % (self.n_features + 1) == 0
        x = check_data(x, argument, n_columns=width if is_minibatch else self.n_columns)
        labels = self.rows(x)[..., -1]
        invalid = labels[(labels != 0.0) & (labels != 1.0)]
        if len(invalid):
            raise bad_value(argument, LABELLED, f"a label {invalid[0]:g}", REMEDY)
        return x

    def check_data(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse a constant feature as well: it would duplicate the intercept."""
        x = self.check_support(x, argument)
        constant = np.flatnonzero((np.ptp(self.rows(x)[..., :-1], axis=1) == 0).any(axis=0))
        if len(constant):
            expected = f"features that vary ({self.name} adds an intercept)"
            raise bad_value(argument, expected, f"constant column {constant[0]}", "drop it")
        return x

    # -- the formula ---------------------------------------------------------------------------------

    def rows(self, x: Floats) -> Floats:
        """Return x (N, M (D + 1)) as tables (N, M, D + 1) of raw features and labels."""
        return x.reshape(len(x), -1, self.n_features + 1)

    def design(self, features: Floats) -> Floats:
        """Return (standardised features, 1), (..., M, D + 1), of raw features (..., M, D)."""
        shift, scale = (np.asarray(part, dtype=features.dtype) for part in (self.shift, self.scale))
        constant = np.ones((*features.shape[:-1], 1), dtype=features.dtype)
        return np.concatenate([(features - shift) / scale, constant], axis=-1)

    def predictors(self, x: Floats) -> tuple[Floats, float]:
        """A_m = s_m (f_m, 1), so that a_m > 0 where the weights predict the label; c = M_total / rows."""
        rows = self.rows(x)
        signs = 2.0 * rows[..., -1:] - 1.0
        return signs * self.design(rows[..., :-1]), self.n_total / rows.shape[1]

    def link(self, a: Floats) -> Floats:
        """log sigmoid(a) = -softplus(-a)."""
        return -softplus(-a)

    def link_slope(self, a: Floats) -> Floats:
        """sigmoid(-a)."""
        return sigmoid(-a)

    def link_curvature(self, a: Floats) -> Floats:
        """-sigmoid(a) sigmoid(-a)."""
        return -sigmoid(a) * sigmoid(-a)

    # -- sampling and starts -------------------------------------------------------------------------

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        """Draw tables (N, M (D + 1)) given z (N, K): labels for simulated features.

        The model has no distribution of features; here they are normal with its shift and scale.
        """
        shape = len(z), self.n_total, self.n_features
        features = np.asarray(self.shift) + np.asarray(self.scale) * rng.standard_normal(shape)
        p = sigmoid((self.design(features) @ z[:, :, None])[..., 0])
        labels = rng.random(p.shape) < p
        return np.concatenate([features, labels[..., None]], axis=-1).reshape(len(z), -1)

    def expected_x(self, theta: Floats, z: Draws) -> Floats:  # noqa: ARG002
        """Refuse: the labels have a mean, the given features have none.

        Raises
        ------
        NotApplicable
        """
        raise NotApplicable(f"{self.name} explains labels of given features: it has no mean of a table")

    def initial_theta(self, x: Floats) -> Floats:  # noqa: ARG002
        """Return the empty theta."""
        return np.zeros(0)
