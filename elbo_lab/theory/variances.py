"""The exact variance of gradient estimators in phi, on the first rung that applies."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian, Family, NoiseSource
from elbo_lab.errors import NotApplicable, check_count
from elbo_lab.estimators import ESTIMATORS, Estimator, Problem
from elbo_lab.exact.quadrature import ToleranceMissed
from elbo_lab.models import Model
from elbo_lab.theory import enumerated, integrated, quadratic
from elbo_lab.theory.score import DrawMoments

PHI_ESTIMATORS = {e.name: e for e in ESTIMATORS if e.target == "grad-phi-elbo"}


class Scene(Protocol):
    """The part of a `study.Scene` that exact variances need."""

    @property
    def problem(self) -> Problem: ...

    @property
    def source(self) -> NoiseSource: ...


def draw_moments(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> DrawMoments:
    """Return the DrawMoments of q, from which the variances for every number of draws follow.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    family : Family
        Of q.
    eta : ndarray (N, E)

    Raises
    ------
    NotApplicable
        If z is continuous, log p(x, z) is not quadratic in it, and there are more than two latents.
    """
    if family.discrete:
        return enumerated.draw_moments(model, theta, x, family, eta)
    if isinstance(family, DiagonalGaussian):
        moments = quadratic.draw_moments(model, theta, x, family, eta)
        if moments is not None:
            return moments
    if family.size <= 2:
        with suppress(ToleranceMissed):
            return integrated.draw_moments(model, theta, x, family, eta)
    what = "quadratic log p(x, z), discrete z or one or two latents"
    raise NotApplicable(f"the variance has no exact value for {model.label}: it takes {what}")


def gradient_variances(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, n_draws: int = 1
) -> dict[str, Floats]:
    """Return the exact variance of estimators of the ELBO's gradient in eta, mean over the rows of x.

    Parameters
    ----------
    model, theta, x, family, eta
        As `draw_moments` takes them.
    n_draws : int
        S.

    Returns
    -------
    dict of str to ndarray (N, E)
        By estimator name, in (nats per unit of eta)^2, per coordinate. `score-function-mean-baseline` and
        `score-function-oracle-baseline` know their baseline, which no estimator does.

    Raises
    ------
    NotApplicable
        As `draw_moments` does.
    """
    check_count("n_draws", n_draws)
    found = draw_moments(model, theta, x, family, eta).variances(n_draws)
    return {name: variance / len(x) ** 2 for name, variance in found.items()}


def free_variances(scene: Scene, n_draws: int) -> dict[str, float]:
    """Return {estimator: trace of the covariance of its gradient in phi} for a free table of eta.

    There the noise of the data is independent and phi is eta itself, so that the trace is a plain sum.

    Raises
    ------
    NotApplicable
        If phi is no free table, and as `draw_moments` does.
    """
    return _traces(scene, _moments_of(scene), n_draws)


def _moments_of(scene: Scene) -> DrawMoments:
    model, posterior, theta, phi, x = scene.problem
    if posterior is None or not posterior.needs_all_rows:
        raise NotApplicable("exact variances in phi are known for a free table of eta")
    return draw_moments(model, theta, x, posterior.family, posterior.eta(phi, x))


def _traces(scene: Scene, moments: DrawMoments, n_draws: int) -> dict[str, float]:
    found = moments.variances(n_draws)
    return {name: float(variance.sum()) / len(scene.problem.x) ** 2 for name, variance in found.items()}


def known_variances(scene: Scene, n_draws: int) -> dict[Estimator, float]:
    """Return {Estimator: trace} for the package's estimators whose variance is known here."""
    return known_variances_by_draws(scene, [n_draws])[n_draws]


def known_variances_by_draws(scene: Scene, draws: Sequence[int]) -> dict[int, dict[Estimator, float]]:
    """Return {S: what `known_variances` returns} for several numbers of draws."""
    known: dict[int, dict[Estimator, float]] = {n_draws: {} for n_draws in draws}
    if scene.source.independent:  # the formulas are those of independent draws
        with suppress(NotApplicable):
            moments = _moments_of(scene)
            for n_draws in draws:
                traces = _traces(scene, moments, n_draws)
                known[n_draws] = {PHI_ESTIMATORS[k]: v for k, v in traces.items() if k in PHI_ESTIMATORS}
    return known
