"""Maximum likelihood where the evidence is exact: ascent of the mean of log p_theta(x)."""

from elbo_lab.exact import evidence
from elbo_lab.optimise.ascent import ascend


def maximise_evidence(model, x, max_iterations=1000):
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

    def objective(theta):
        answer = evidence(model, theta, x)
        return answer.value.mean(), answer.grad_theta

    return model.canonical(ascend(objective, model.initial_theta(x), max_iterations))
