"""The best theta of a model on given rows: what a training that maximises log p(x) could reach at most.

    closed form    PPCA, one Gaussian: the global maximum by a formula
    EM             factor analysis, mixtures: from the same start as the training, until it stands, then
                   L-BFGS; of a mixture a local maximum
    L-BFGS         other models whose log p(x) is a formula or a sum, from the same start: the best known

A bound with a q that cannot be the posterior has its maximum at another theta. There the distance of a
training does not go to zero, however long it runs.
"""

from dataclasses import dataclass

from elbo_lab.arrays import Floats
from elbo_lab.em import fit_closed_form, fit_em
from elbo_lab.em.problems import has_em
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import closed_form, enumeration
from elbo_lab.exact.ladder import log_evidence
from elbo_lab.models import GaussianMixture, Model
from elbo_lab.optimise import maximise_evidence

ITERATIONS = 5000
CLOSED, EM, BEST_KNOWN = "closed form", "EM, then L-BFGS", "L-BFGS, the best known"


@dataclass(frozen=True)
class Optimum:
    """The best theta, its mean log p(x) in nats per datum, and how it was found."""

    theta: Floats
    log_p: float
    method: str


def check_optimum(model: Model, x: Floats) -> None:
    """Refuse a model without an exact log p(x) that is quick enough for every look, in one line.

    Raises
    ------
    NotApplicable
    """
    if model.global_latents:
        raise NotApplicable(f"model: {model.label} has no theta to train; take ppca")
    if model.all_observed or model.formula_only:
        raise NotApplicable(f"model: {model.label} has no q to train; take ppca")
    try:
        rung = log_evidence(model, model.initial_theta(x), x[:1])[2]
    except NotApplicable:
        rung = ""
    if rung not in (closed_form.RUNG, enumeration.RUNG):
        # A grid at every look of every training would take minutes, finer as posteriors get sharper.
        text = f"model: log p(x) of {model.label}, wanted at every look, is no formula and no sum"
        raise NotApplicable(f"{text}; take ppca, or sigmoid-belief")


def is_local(model: Model) -> bool:
    """Whether the optimum depends on the start."""
    return not (model.closed_form_maximum or (has_em(model) and not isinstance(model, GaussianMixture)))


def optimum(model: Model, x: Floats, start: Floats) -> Optimum:
    """Return the best theta that is known for rows x (N, D).

    Parameters
    ----------
    model : Model
    x : ndarray (N, D)
    start : ndarray (P,)
        Where a search begins, if the maximum has no formula.
    """
    if model.closed_form_maximum:
        theta, method = fit_closed_form(model, x).theta, CLOSED
    elif has_em(model):
        climbed = fit_em(model, x, start=start, tolerance=1e-10, max_iterations=ITERATIONS, threads=1)
        theta, method = maximise_evidence(model, x, ITERATIONS, start=climbed.theta), EM
    else:
        theta, method = maximise_evidence(model, x, ITERATIONS, start=start), BEST_KNOWN
    return Optimum(theta, mean_log_p(model, theta, x), method)


def distance(model: Model, theta: Floats, x: Floats, best: Optimum) -> float:
    """Return log p(x) at the optimum minus that at theta, in nats per datum.

    theta itself is not compared: the best loadings of PPCA are a class of rotations.
    """
    return best.log_p - mean_log_p(model, theta, x)


def mean_log_p(model: Model, theta: Floats, x: Floats) -> float:
    """Return the exact mean of log p_theta(x_n), in nats."""
    return float(log_evidence(model, theta, x)[0].mean())
