"""z ~ N(0, I), x_d | z ~ CB(l_d): the continuous Bernoulli density of x in [0, 1], logits l = decoder(z).

    p(x | l) = exp(x l) / int_0^1 exp(t l) dt,   log p(x | z) = sum_d [x_d l_d - A(l_d)],   d/dl = x - A'(l)

with A(l) = log((e^l - 1) / l) and A'(l) = 1 / (1 - e^-l) - 1 / l, the mean, in (0, 1). In
lambda = sigmoid(l) this is C(lambda) lambda^x (1 - lambda)^(1 - x) of Loaiza-Ganem and Cunningham (2019,
section 3). The Bernoulli formula on grey values, x l - softplus(l), drops the factor C and is no log-density:
it integrates to less than one. At l = 0 the density is uniform, and both formulas are 0 / 0: see
`special.log_integral_exp`.

It is a density, and so it has no upper limit: at a column that is always 0 it grows as log |l|. The view
`unit` of grey images, (grey + u) / (greyest + 1) with u ~ U(0, 1), has no column of one value. Its log p(x)
less D log(greyest + 1) is a lower bound of the log-probability of the grey values (Theis, van den Oord and
Bethge 2016, section 3.1).

Helps: for grey values, where a Bernoulli decoder was used for its bounded mean. Fails: where x has a peak
inside (0, 1): the density is monotone in x, so that a column near 1/2 in all data cannot be said to be so.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import BadColumn
from elbo_lab.models.deep import DeepModel, Observation
from elbo_lab.special import log_integral_exp, log_integral_exp_slope

# The largest logit of a start, and the halvings that find it to 1e-7.
STEEPEST, HALVINGS = 50.0, 30


@dataclass(frozen=True)
class DeepContinuousBernoulli(DeepModel):
    """Decoder for the logits of continuous Bernoulli densities."""

    name = "deep-continuous-bernoulli"
    title = "continuous Bernoulli VAE"
    summary = "z ~ N(0, I), x | z ~ ContinuousBernoulli(sigmoid(MLP(z)))"
    default_data = "digits:unit"
    natural_views = ("unit",)
    compared = False

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse numbers outside [0, 1]."""
        x = super().check_support(x, argument)
        places = np.argwhere((x < 0.0) | (x > 1.0))
        if len(places):
            n, d = places[0]
            remedy = "rows count from 0; divide by the largest value (for digits: digits:unit)"
            expected, got = f"numbers from 0 to 1 for {self.name}", f"{x[n, d]:g} at row {n},"
            raise BadColumn(argument, expected, got, int(d), remedy)
        return x

    def observe(self, extra: Floats, outputs: Floats, x: Floats) -> Observation:
        value = self.inner(x, outputs) - log_integral_exp(outputs).sum(axis=-1)
        return value, lambda: self.observe_slopes(extra, outputs, x), self.no_extra_vjp

    def observe_slopes(self, extra: Floats, outputs: Floats, x: Floats) -> Floats:  # noqa: ARG002
        return x - log_integral_exp_slope(outputs)

    def observe_sample(self, extra: Floats, outputs: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        """Invert F(x) = (exp(x l) - 1) / (e^l - 1) for l > 0; for l < 0 by the symmetry x -> 1 - x."""
        u, steep = rng.random(outputs.shape), np.maximum(np.abs(outputs), 1e-9)
        x = 1.0 + np.log(u + (1.0 - u) * np.exp(-steep)) / steep
        # Below, the difference from u is less than its rounding here.
        x = np.where(steep < 1.0, np.log1p(u * np.expm1(np.minimum(steep, 1.0))) / steep, x)
        return np.clip(np.where(outputs < 0, 1.0 - x, x), 0.0, 1.0)

    def observe_mean(self, outputs: Floats) -> Floats:
        return log_integral_exp_slope(outputs)

    def output_bias(self, x: Floats) -> Floats:
        """Return the logits whose means are the column means, by bisection; at most 50."""
        low, high = np.full(x.shape[1], -STEEPEST), np.full(x.shape[1], STEEPEST)
        mean = x.mean(axis=0)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            above = log_integral_exp_slope(middle) > mean
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return 0.5 * (low + high)
