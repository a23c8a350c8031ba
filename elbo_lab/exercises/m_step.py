"""Exercise: the M-step of EM for a mixture of Gaussians."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.exercises.e_step import Parameters, joint_table

N_ROWS, N_COMPONENTS, N_COLUMNS = 12, 3, 2


def _moments(x: Floats, r: Floats) -> tuple[Floats, Floats, Floats]:
    """Return total responsibilities (K,), weighted means (K, D) and mean squared distances from them (K,)."""
    total = r.sum(axis=0)
    means = r.T @ x / total[:, None]
    # E|x|^2 - |E x|^2
    squares = r.T @ (x * x).sum(axis=1) / total - (means * means).sum(axis=1)
    return total, means, squares


def reference(x: Floats, r: Floats) -> Parameters:
    """Return the maximum of the expected log-joint."""
    total, means, squares = _moments(x, r)
    return total / len(x), means, squares / x.shape[1]


def scene(rng: np.random.Generator) -> Scene:
    """Draw rows, soft responsibilities, and a hard assignment in which every component has rows."""
    groups = rng.permutation(np.arange(N_ROWS) % N_COMPONENTS)
    groups[:2] = groups[0]
    return {
        "x": rng.normal(1.0, 2.0, size=(N_ROWS, N_COLUMNS)),
        "r": rng.dirichlet(np.ones(N_COMPONENTS), size=N_ROWS),
        "hard": np.eye(N_COMPONENTS)[groups],
    }


def _soft(scene: Scene) -> list[Call]:
    return [Call("m_step", (scene["x"], scene["r"]))]


def expected_log_joint(scene: Scene, results: list[Result]) -> Floats:
    """Return sum over n, k of r_nk log p(x_n, z = k), and its slope in the logarithm of each variance.

    nan where the parameters are none of a mixture.
    """
    weights, means, variances = results[0]
    if weights.min() <= 0 or variances.min() <= 0:
        return np.full(1, np.nan)
    return np.sum(scene["r"] * joint_table(scene["x"], weights / weights.sum(), means, variances))


def _with(x: Floats, r: Floats, **changed: Floats) -> Parameters:
    """Return the right parameters with some of them replaced."""
    right = dict(zip(("weights", "means", "variances"), reference(x, r), strict=True)) | changed
    return right["weights"], right["means"], right["variances"]


def _about(x: Floats, r: Floats, centre: Floats) -> Floats:
    """Return the mean squares (K,) about a centre (D,) or (K, D) in place of the weighted mean."""
    squares = ((x[:, None, :] - centre) ** 2).sum(axis=-1)
    return (r * squares).sum(axis=0) / r.sum(axis=0) / x.shape[1]


EXERCISE = Exercise(
    name="m-step",
    title="The M-step of a mixture of Gaussians",
    lesson="road.md",
    minutes=20,
    statement="""
Given the responsibilities r[n, k] of an E-step, the M-step takes the weights, means
and variances that maximise the expected log-joint

    sum over n and k of r[n, k] (log weights[k] + log N(x_n; means[k], variances[k] I)).

Each component has one variance for all of its D columns. Set the derivatives to
zero (the weights sum to 1), and write what comes out. Rows count as much as they
belong to a component.
""",
    functions=(
        Function(
            "m_step",
            "x, r",
            """Return the parameters that maximise the expected log-joint.

Parameters
----------
x : array (N, D)
r : array (N, K)
    p(z = k | x_n) of the E-step; each row sums to 1.

Returns
-------
weights : array (K,)
means : array (K, D)
variances : array (K,)
    Variances, and not standard deviations.
""",
            reference,
        ),
    ),
    scene=scene,
    laws=(
        Law(
            "one component: the mean of all rows, and their mean squared distance by column",
            2,
            lambda s: [Call("m_step", (s["x"], np.ones((N_ROWS, 1))))],
        ),
        Law(
            "responsibilities of 0 and 1: share, mean and variance of each group",
            2,
            lambda s: [Call("m_step", (s["x"], s["hard"]))],
        ),
        Law("your responsibilities: the weights", 1, _soft, value=lambda _, results: results[0][0]),
        Law("your responsibilities: the means", 2, _soft, value=lambda _, results: results[0][1]),
        Law("your responsibilities: the variances", 2, _soft, value=lambda _, results: results[0][2]),
        Law("the expected log-joint is as large as it can be", 1, _soft, value=expected_log_joint),
    ),
    faults=(
        Fault(
            "m_step",
            "squares of D columns are divided by the rows alone: the variance is D times too large",
            lambda x, r: _with(x, r, variances=_moments(x, r)[2]),
        ),
        Fault(
            "m_step",
            "these are standard deviations; variances are asked for",
            lambda x, r: _with(x, r, variances=np.sqrt(reference(x, r)[2])),
        ),
        Fault(
            "m_step",
            "the variance is taken about the mean of all rows, not about that of the component",
            lambda x, r: _with(x, r, variances=_about(x, r, x.mean(axis=0))),
        ),
        Fault(
            "m_step",
            "the variance is taken about zero: the mean is not subtracted",
            lambda x, r: _with(x, r, variances=_about(x, r, np.zeros(x.shape[1]))),
        ),
        Fault(
            "m_step",
            "the variance is divided by N, not by the rows of the component",
            lambda x, r: _with(x, r, variances=reference(x, r)[2] * r.sum(axis=0) / len(x)),
        ),
        Fault(
            "m_step",
            "the variance is divided by one row less: that is unbiased, and no maximum",
            lambda x, r: _with(x, r, variances=reference(x, r)[2] * r.sum(axis=0) / (r.sum(axis=0) - 1)),
        ),
        Fault(
            "m_step",
            "the means are divided by N, not by the rows of the component",
            lambda x, r: _with(x, r, means=r.T @ x / len(x)),
        ),
        Fault(
            "m_step",
            "all means are that of all rows: the responsibilities are not used",
            lambda x, r: _with(x, r, means=np.broadcast_to(x.mean(axis=0), (r.shape[1], x.shape[1]))),
        ),
        Fault(
            "m_step",
            "the weights are not divided by N: they are numbers of rows",
            lambda x, r: _with(x, r, weights=r.sum(axis=0)),
        ),
        Fault(
            "m_step",
            "the weights stay equal: they are the mean responsibilities",
            lambda x, r: _with(x, r, weights=np.full(r.shape[1], 1 / r.shape[1])),
        ),
    ),
    example="""
x = np.array([[0.0, 0.0], [2.0, 0.0], [9.0, 9.0]])
r = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
weights, means, variances = m_step(x, r)
print("weights", weights, "should be 0.6667 and 0.3333")
print("means", means, "should be (1, 0) and (9, 9)")
print("variances", variances, "should be 0.5 and 0: one row alone has none")
""",
)
