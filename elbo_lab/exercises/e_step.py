"""Exercise: the E-step of EM for a mixture of Gaussians."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.models import GaussianMixture
from elbo_lab.special import LOG_2PI, log_sum_exp, softmax

Parameters = tuple[Floats, Floats, Floats]
"""Weights (K,), means (K, D), variances (K,)."""


def joint_table(x: Floats, weights: Floats, means: Floats, variances: Floats) -> Floats:
    """Return log(weight_k N(x_n; mean_k, variance_k I)) (N, K) of the package's mixture."""
    n_components, n_columns = means.shape
    model = GaussianMixture(n_columns, n_components)
    stored = model.covariance.stored(variances)
    theta = model.layout.pack({"logits": np.log(weights), "mean": means, **stored})
    return model.joint_table(theta, x)


def _responsibilities(x: Floats, *theta: Floats) -> Floats:
    return softmax(joint_table(x, *theta), axis=-1)


def _log_p(x: Floats, *theta: Floats) -> Floats:
    return log_sum_exp(joint_table(x, *theta), axis=-1)


def scene(rng: np.random.Generator) -> Scene:
    """Draw three components and eight rows between them."""
    means = rng.normal(scale=2.0, size=(3, 2))
    theta = rng.dirichlet(np.full(3, 4.0)), means, rng.uniform(1.5, 4.0, size=3) ** np.array([1.0, -1.0, 1.0])
    x = means[rng.integers(3, size=8)] + rng.normal(size=(8, 2))
    return {"x": x, "theta": theta}


def _both(scene: Scene) -> list[Call]:
    arguments = (scene["x"], *scene["theta"])
    return [Call("responsibilities", arguments), Call("log_p", arguments)]


def _elbo(scene: Scene, results: list[Result]) -> Floats:
    """Return the ELBO of each row at q = the responsibilities, minus log p."""
    r, log_p = results
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = r * (joint_table(scene["x"], *scene["theta"]) - np.log(r))
    return np.sum(np.where(r > 0, terms, 0.0), axis=-1) - log_p


def _equal_weights(weights: Floats) -> Floats:
    return np.full_like(weights, 1.0 / len(weights))


def _one_constant(table: Floats, means: Floats, variances: Floats) -> Floats:
    """Return a table with -log sd once, where each column has it."""
    return table + 0.5 * (means.shape[1] - 1) * np.log(variances)


def _underflowing(x: Floats, *theta: Floats) -> Floats:
    p = np.exp(joint_table(x, *theta))
    return p / p.sum(axis=-1, keepdims=True)


def _hardest(x: Floats, *theta: Floats) -> Floats:
    table = joint_table(x, *theta)
    return np.eye(table.shape[1])[table.argmax(axis=-1)]


def _log_of_each(x: Floats, weights: Floats, means: Floats, variances: Floats) -> Floats:
    return (joint_table(x, weights, means, variances) - np.log(weights)) @ weights


EXERCISE = Exercise(
    name="e-step",
    title="The E-step of a mixture of Gaussians",
    lesson="road.md",
    minutes=20,
    statement="""
A mixture has K components: z = k with probability weights[k], and then x is Gaussian
with mean means[k] and the same variance variances[k] in each of its D columns,
independent of each other.

Write its E-step, the posterior p(z = k | x_n) of each row, by Bayes' rule, and
log p(x_n), the sum over all k. A row may be far away from all components: stay with
logarithms until the end (exercise log-sum-exp).
""",
    functions=(
        Function(
            "responsibilities",
            "x, weights, means, variances",
            """Return p(z = k | x_n).

Parameters
----------
x : array (N, D)
weights : array (K,)
    Positive, with the sum 1.
means : array (K, D)
variances : array (K,)
    Variances, and not standard deviations.

Returns
-------
array (N, K)
    Each row sums to 1.
""",
            _responsibilities,
        ),
        Function(
            "log_p",
            "x, weights, means, variances",
            """Return log p(x_n), in nats.

Parameters
----------
x, weights, means, variances : array
    As above.

Returns
-------
array (N,)
""",
            _log_p,
        ),
    ),
    scene=scene,
    laws=(
        Law(
            "two equal components share every row: 0.5 each",
            1,
            lambda s: [
                Call("responsibilities", (s["x"], np.full(2, 0.5), np.zeros((2, 2)), np.full(2, 2.0))),
            ],
        ),
        Law(
            "two components at one place, weights 0.8 and 0.2: these are the posterior",
            1,
            lambda s: [
                Call("responsibilities", (s["x"], np.array([0.8, 0.2]), np.zeros((2, 2)), np.full(2, 2.0))),
            ],
        ),
        Law("your eight rows: the exact posterior", 3, lambda s: [_both(s)[0]]),
        Law("your eight rows: the exact log p(x)", 3, lambda s: [_both(s)[1]]),
        Law(
            "with your posterior as q, the ELBO is log p(x): the E-step closes the gap",
            1,
            _both,
            value=_elbo,
            expected=lambda _: np.zeros(8),
        ),
        Law(
            "500 away from all components: still the exact posterior, and not nan",
            1,
            lambda s: [Call("responsibilities", (s["x"] + 500, *s["theta"]))],
        ),
    ),
    faults=(
        Fault(
            "responsibilities",
            "the weights of the components are missing: this is Bayes' rule with equal weights",
            lambda x, w, m, v: _responsibilities(x, _equal_weights(w), m, v),
        ),
        Fault(
            "responsibilities",
            "the variances are used as standard deviations",
            lambda x, w, m, v: _responsibilities(x, w, m, v**2),
        ),
        Fault(
            "responsibilities",
            "-log sd is there once for each component; each of the D columns has it",
            lambda x, w, m, v: softmax(_one_constant(joint_table(x, w, m, v), m, v), axis=-1),
        ),
        Fault(
            "responsibilities",
            "-log sd is missing: components of different variance differ in their constants",
            lambda x, w, m, v: softmax(joint_table(x, w, m, v) + 0.5 * m.shape[1] * np.log(v), axis=-1),
        ),
        Fault(
            "responsibilities",
            "normalised over the rows; it is over the components that p(z | x) sums to 1",
            lambda x, *theta: softmax(joint_table(x, *theta), axis=0),
        ),
        Fault(
            "responsibilities", "all goes to the most probable component: that is k-means, not EM", _hardest
        ),
        Fault(
            "responsibilities",
            "not normalised: this is p(z, x), to be divided by p(x)",
            lambda x, *theta: np.exp(joint_table(x, *theta)),
        ),
        Fault(
            "responsibilities",
            "all densities underflow to 0 far away: subtract the largest logarithm",
            _underflowing,
        ),
        Fault(
            "log_p",
            "the weights of the components are missing",
            lambda x, w, m, v: log_sum_exp(joint_table(x, w, m, v) - np.log(w), axis=-1),
        ),
        Fault(
            "log_p",
            "the variances are used as standard deviations",
            lambda x, w, m, v: _log_p(x, w, m, v**2),
        ),
        Fault(
            "log_p",
            "the weighted mean of the logarithms is taken; wanted is the logarithm of a sum",
            _log_of_each,
        ),
        Fault(
            "log_p",
            "0.5 log(2 pi) of each column is missing",
            lambda x, w, m, v: _log_p(x, w, m, v) + 0.5 * LOG_2PI * m.shape[1],
        ),
        Fault(
            "log_p",
            "-log sd is there once for each component; each of the D columns has it",
            lambda x, w, m, v: log_sum_exp(_one_constant(joint_table(x, w, m, v), m, v), axis=-1),
        ),
        Fault(
            "log_p", "this is p(x); its logarithm is asked for", lambda x, *theta: np.exp(_log_p(x, *theta))
        ),
        Fault(
            "log_p",
            "the largest term is taken; log p(x) is the sum over all components",
            lambda x, *theta: joint_table(x, *theta).max(axis=-1),
        ),
    ),
    example="""
x = np.array([[0.0, 0.0], [3.0, 3.0]])
theta = np.array([0.5, 0.5]), np.array([[0.0, 0.0], [3.0, 3.0]]), np.ones(2)
print("posterior:", responsibilities(x, *theta), "should be 0.9999 and 0.0001, then the reverse")
print("log p(x):", log_p(x, *theta), "should be -2.5309 twice")
""",
)
