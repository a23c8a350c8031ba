"""Maximum likelihood where the evidence is exact: ascent of the mean of log p_theta(x)."""

from elbo_lab.arrays import Floats
from elbo_lab.exact import evidence
from elbo_lab.models import Model
from elbo_lab.optimise.ascent import ascend


def maximise_evidence(model: Model, x: Floats, max_iterations: int = 1000) -> Floats:
    """Return the theta at which the exact mean log p(x) is maximal, from the model's own start.

    Among equivalent parameters (rotations of W) the canonical one is returned.

    Parameters
    ----------
    model : Model
        With an evidence in closed form or by enumeration.
    x : ndarray (N, D)
    max_iterations : int

    Returns
    -------
    ndarray (P,)
    """

    def objective(theta: Floats) -> tuple[float, Floats]:
        answer = evidence(model, theta, x)
        return float(answer.value.mean()), answer.grad_theta

    return model.canonical(ascend(objective, model.initial_theta(x), max_iterations))
