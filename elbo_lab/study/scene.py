"""A scene: one model on real data with everything the estimators need held fixed.

theta is where the likelihood of the whole data set is maximal; the rows on which estimators are
compared are a seeded permutation's first; q stands at a named place relative to the best fit:

    exact   the exact posterior (for a deep model or hidden bits the member of the family of greatest ELBO)
    near    close to it and clearly off: mean + 0.5 sd, sd * 0.8; logits * 0.5
    start   the prior, where training begins

Or theta and q are those of a fit, wherever it has got to: `trained_scene`.

Where latents are global, the chosen rows are the whole table, and the table is the one datum.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, cast
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats, Integers
from elbo_lab.datasets import Dataset, load
from elbo_lab.distributions import SOURCES, Chain, DiagonalGaussian, Family, FullGaussian, NoiseSource
from elbo_lab.errors import (
    BadValue,
    NotApplicable,
    Reason,
    bad_value,
    check_count,
    columns_by_name,
    unknown_name,
)
from elbo_lab.estimators import Estimator, Problem
from elbo_lab.estimators.coupled import check_source
from elbo_lab.evaluation import has_exact_evidence
from elbo_lab.exact import closed_form, cubature, elimination, enumeration, laplace, projected
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import GPLVM, BeliefNet, GraphModel, Model
from elbo_lab.optimise import (
    ascend_exact_elbo,
    fit_encoder,
    fit_eta,
    marginal_logits,
    maximise_evidence,
    maximise_exact_elbo,
    maximise_frozen_elbo,
)
from elbo_lab.posteriors import (
    AmortisedPosterior,
    ExactPosterior,
    FreePosterior,
    Posterior,
    PosteriorChoice,
    check_within,
    find_posterior,
)
from elbo_lab.registry import Latent, ModelChoice, check_latent, find_model

PLACES = ("near", "start", "exact")
# The same in a sentence about q; each contains its name.
WHERE = {"near": "near the best fit", "start": "at the start (the prior)", "exact": "at the exact best fit"}
# A place that no name asks for: theta and q are those of a fit.
TRAINED = "trained"
WHERE |= {TRAINED: "as trained"}
# How `near` differs from the best fit, for continuous and for discrete z; see Family.near.
OFF = {
    False: "its mean by half a standard deviation of the best fit, its standard deviation x 0.8",
    True: "its logits are half of those of the best fit",
}
# Rows on which estimators are compared, unless others are asked for.
DEFAULT_ROWS = 32
# Deep models and hidden bits are fitted to at most this many rows, by at most this many L-BFGS iterations:
# enough for a decoder that generalises, few enough for seconds.
FIT_ROWS = 1000
FIT_ITERATIONS = 40
# Numbers in the one z of a table whose posterior is integrated on a grid.
MOST_BY_QUADRATURE = 2
# A noise scale below this share of the standard deviation of the data counts as zero.
VANISHING = 1e-6
FINITE_MAXIMUM = "a finite maximum of the likelihood"
REMEDY = "use more data, drop columns that others determine, or take a smaller --latent"


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that a call of an estimator needs, and a reference in addition.

    Attributes
    ----------
    model : Model
    theta : ndarray (P,)
    posterior : Posterior or None
        None if the wanted kind does not exist for this model; `no_posterior` is the reason.
    phi : ndarray
    x : ndarray (N, D)
    data : str
    best_eta : ndarray (N, E)
        The best fit in the family: the proposal of long runs.
    source : NoiseSource
        Where the noise of the estimates comes from.

    The arrays are read-only, since every estimator of the scene sees them.
    """

    model: Model
    theta: Floats
    posterior: Posterior | None
    phi: Floats
    x: Floats
    data: str
    best_eta: Floats
    no_posterior: str = ""
    source: NoiseSource = SOURCES[0]

    def __post_init__(self) -> None:
        for array in (self.theta, self.phi, self.x, self.best_eta):
            read_only(array)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()  # pickling does not keep the flag

    @property
    def problem(self) -> Problem:
        """The Problem that the estimators of this scene solve."""
        posterior = cast(Posterior, self.posterior)  # None is enough where no q is needed
        return Problem(self.model, posterior, self.theta, self.phi, self.x)

    def refusal(self, estimator: Estimator, n_draws: int) -> str | None:
        """Return why an estimator makes no sense here, or None."""
        if self.posterior is None and estimator.draws_from == "posterior":
            return self.no_posterior
        try:
            estimator.check_draws(n_draws)
            estimator.check_pairing(*self.problem[:2])
            if self.posterior is not None and needs_shared_support(estimator):
                self.posterior.check_support(self.model.family)
            check_source(estimator, self.source)
            self.source.check(estimator.noise_for(self.problem, n_draws))
        except BadValue as reason:
            return str(reason)
        return None


def needs_shared_support(estimator: Estimator) -> bool:
    """Whether an estimator is wrong where q does not reach all of the prior.

    Estimates of log p(x) and of the inclusive KL from draws of q are: importance weights miss the part of
    p(x) that q does not reach, and KL(p(z | x) || q) is infinite. A bound and its gradients are not: they are
    expectations under q.
    """
    of_posterior = estimator.target.endswith(("log-evidence", "inclusive-kl"))
    return of_posterior and estimator.draws_from == "posterior"


def read_only(array: Floats) -> Floats:
    """Return the array itself, which can no longer be written to."""
    array.flags.writeable = False
    return array


def spawn(seed: int, *key: int | str) -> np.random.Generator:
    """Return a Generator for (seed, key); names in the key count by their checksum.

    Keyed by what the numbers are for, not by position: a row of the table does not depend on which
    other rows are computed.
    """
    numbers = tuple(crc32(k.encode()) if isinstance(k, str) else k for k in key)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=numbers))


@checks_kinds
def make_problem(
    model: str | type[Model] | Model,
    data: str | PathLike[str] | ArrayLike | Dataset | None = None,
    *,
    latent: int | Sequence[int] | None = None,
    posterior: str = "free",
    at: str = "near",
    rows: int | None = None,
    seed: int = 0,
) -> Problem:
    """Fit a model to data, place q, and return the `Problem` that `exact` and the estimators take.

    Parameters
    ----------
    model : str, Model class or Model
        A name such as 'ppca'; among several variants the usual one.
    data : str, path, array (N, D) or Dataset, optional
        The data of the model if not given.
    latent : int or sequence of int, optional
        K, or the widths of several layers of z; the usual ones of the model if not given.
    posterior : str
        'free', 'amortised', 'exact', a family as in 'laplace', or both, as in 'amortised:laplace'.
    at : {'near', 'start', 'exact'}
        Position of q: clearly off the best fit, at the prior, or at the best fit.
    rows : int, optional
        How many data, by a seeded permutation; 32 if not given, or all if there are fewer.
    seed : int

    Returns
    -------
    Problem

    Raises
    ------
    ValueError, TypeError
        In one line that names the argument, the expected and the given value.

    Examples
    --------
    >>> from elbo_lab import exact, make_problem
    >>> problem = make_problem("ppca", rows=4)
    >>> log_p, elbo, kl = exact.log_evidence(problem), exact.elbo(problem), exact.kl(problem)
    >>> bool(abs(log_p.value - elbo.value - kl.value).max() < 1e-12)
    True
    """
    choice, posterior = find_model(model), find_posterior(posterior).text
    check_count("seed", seed, minimum=0)
    if rows is not None:
        check_count("rows", rows)
    scene = build_scene(choice, data, check_latent(latent), posterior, at, rows, seed)
    if scene.posterior is None:
        raise bad_value("posterior", f"a q that {scene.model.label} has", repr(posterior), scene.no_posterior)
    return scene.problem


def build_scene(
    choice: ModelChoice,
    data: str | PathLike[str] | ArrayLike | Dataset | None,
    latent: Latent | None,
    posterior: str,
    at: str,
    rows: int | None,
    seed: int,
    source: NoiseSource = SOURCES[0],
    check: Callable[[Model, Floats], None] | None = None,
) -> Scene:
    """Fit a model to data and place q.

    Parameters
    ----------
    choice : ModelChoice
    data : str, path, array or Dataset, or None for the model's own
    latent : int, tuple of int or None
    posterior : str
        As `find_posterior` reads it.
    at : {'near', 'start', 'exact'}
    rows : int or None
        None means 32, or all if there are fewer; with global latents the table, at most `compared_rows`.
    seed : int
    source : NoiseSource, optional
    check : callable, optional
        Called with the model and all its data (N, D) before the fit; it may refuse the model.

    Returns
    -------
    Scene
    """
    if at not in PLACES:
        raise unknown_name("at", at, PLACES)
    check_compared(choice)
    dataset = load(choice.kind.default_data if data is None else data, seed=seed)
    dataset = replace(dataset, x=choice.kind.table_of(dataset))
    if choice.kind.global_latents:
        most = choice.kind.compared_rows
        if most is not None:
            rows = most if rows is None else min(rows, most)
        dataset = dataset if rows is None else dataset.rows(rows, seed)
    model = choice.build(dataset.x, latent)
    if isinstance(model, GPLVM) and model.latent_dim > MOST_BY_QUADRATURE:
        asked = f"one z of {model.latent_dim} numbers, and log p is exact for {MOST_BY_QUADRATURE}"
        reason = "mirrored latents have one density, and no long run finds all modes; take one latent"
        raise NotApplicable(f"models: {model.label} has {asked}: {reason}")
    with columns_by_name(dataset.columns):
        whole = model.check_data(model.as_data(dataset.x))
    if check is not None:
        check(model, whole)
    if choice.kind.global_latents:
        x = whole
    else:
        x = dataset.rows(min(DEFAULT_ROWS, len(whole)) if rows is None else rows, seed).x
    diverged = f"a diverged {model.label}"
    try:
        with np.errstate(all="ignore"):  # what overflows is refused in the next lines
            theta, best_eta = _fit(model, dataset, x, seed)
    except np.linalg.LinAlgError:
        raise bad_value("data", FINITE_MAXIMUM, diverged, REMEDY) from None
    if _has_diverged(model, theta, dataset.x) or not np.all(np.isfinite(best_eta)):
        raise bad_value("data", FINITE_MAXIMUM, diverged, REMEDY)
    _check_scales(model, theta, dataset.x)
    try:
        q = _posterior(find_posterior(posterior), model, theta, x)
        check_within(q.family, model.family)
    except NotApplicable as reason:
        return Scene(model, theta, None, np.zeros(0), x, dataset.name, best_eta, str(reason), source)
    phi = _place(q, model, theta, x, best_eta, at, seed)
    return Scene(model, theta, q, phi, x, dataset.name, best_eta, "", source)


def check_compared(choice: ModelChoice) -> None:
    """Refuse a model without estimators to compare, with the reason."""
    if choice.kind.formula_only:
        reason = f"models: {choice.kind.name} has no estimators to compare"
        raise NotApplicable(f"{reason}: {choice.kind.formula_only}; take gaussian-mixture")
    if choice.kind.all_observed:
        reason = "nothing is hidden, and log p is exact: no estimator has anything to estimate"
        raise NotApplicable(f"models: {choice.label} is not for comparisons; {reason}")
    if isinstance(choice.model, GraphModel) and not choice.model.latent:
        reason = "a graph without a named z hides other cells in every row, and no q is over them all"
        raise NotApplicable(f"models: {reason}; name it, as in GraphModel.of(net, latent=('rain',))")


def trained_scene(
    problem: Problem, data: str, rows: Integers | None, seed: int, source: NoiseSource = SOURCES[0]
) -> Scene:
    """Return the scene of a fit: its theta and its q on some of the data.

    Parameters
    ----------
    problem : Problem
        On all its data x (N, D); of a free table the rows that it was made for.
    data : str
        Name of the data.
    rows : ndarray of int or None
        Places of the compared data in x; None for all.
    seed : int
        Of the frozen noise with which the proposal of a long run is fitted.
    source : NoiseSource, optional

    Returns
    -------
    Scene
    """
    model, q, theta, phi, x = problem
    theta, phi = theta.astype(np.float64), phi.astype(np.float64)
    if rows is not None:
        if q.needs_all_rows:
            chosen = q.eta(phi, x)[rows]
            q = FreePosterior(q.family, len(chosen))
            phi = q.phi_from_eta(chosen)
        x = x[rows]
    check_within(q.family, model.family)
    x = np.ascontiguousarray(x, dtype=np.float64)
    best_eta = _best_proposal(q, model, theta, phi, x, seed)
    return Scene(model, theta, q, phi, x, data, best_eta, "", source)


def _best_proposal(q: Posterior, model: Model, theta: Floats, phi: Floats, x: Floats, seed: int) -> Floats:
    """Return eta (N, E) of a proposal in the family of the model's own q, for log p by a long run."""
    family = model.posterior_family
    start = q.eta(phi, x) if q.family == family else _at_prior(family, model, theta, len(x))
    if family.discrete or has_exact_evidence(model) or laplace.applies(model):
        return np.array(start)
    return fit_eta(model, theta, x, np.array(start), spawn(seed, model.label, TRAINED))


def _has_diverged(model: Model, theta: Floats, x: Floats) -> bool:
    """Whether a parameter left the finite numbers; the log of a given probability of zero never was there."""
    infinite = ~np.isfinite(theta)
    return bool(infinite.any()) and not np.array_equal(theta[infinite], model.initial_theta(x)[infinite])


def _check_scales(model: Model, theta: Floats, x: Floats) -> None:
    """Refuse a fit whose noise has all but vanished: the density is unbounded on these data."""
    scales = [
        view for name, view in model.layout.views(theta).items() if name.rpartition(".")[2].startswith("log_")
    ]
    smallest = min((np.exp(view.min()) for view in scales), default=np.inf)
    if smallest < VANISHING * np.sqrt(x.var(axis=0).mean()):
        got = f"a noise scale of {smallest:.1g} for {model.label}: the density is unbounded on these data"
        raise bad_value("data", FINITE_MAXIMUM, got, REMEDY)


def _fit(model: Model, dataset: Dataset, x: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return theta and the best eta in the family (N, E) for the rows x."""
    if closed_form.applies(model) or (enumeration.applies(model) and not model.family.event_axes):
        theta = maximise_evidence(model, dataset.x)
        return theta, model.posterior_eta(theta, x)
    if isinstance(model, BeliefNet) and not elimination.sums_over(model):
        asked = f"at most {elimination.MOST_BITS_OF_LAYER} bits in a layer"
        more = f"{elimination.MOST_BITS_OF_NEIGHBOURS} in two neighbours, for exact answers"
        got = "-".join(map(str, model.layers))
        raise bad_value("latent", f"{asked} and {more}", got, "a fit takes any width (method vae)")
    if projected.applies(model, model.family):
        theta = model.initial_theta(x)
        return theta, maximise_exact_elbo(model, theta, x)
    if isinstance(
        model, GPLVM
    ):  # the linear likelihood of two centred rows has no maximum: theta is the start
        theta = model.initial_theta(x)
        start = np.broadcast_to(model.prior_eta(theta), (1, model.family.eta_size)).copy()
        # The origin is where the two mirrored maxima meet.
        start[:, : model.latent_dim] = model.principal_scores(x).reshape(1, -1)
        return theta, ascend_exact_elbo(model, theta, x, start)
    fitted = dataset.rows(min(len(dataset.x), max(FIT_ROWS, len(x))), seed).x
    if enumeration.applies(model) or elimination.applies(model):  # bits: the posterior is not in the family
        theta = maximise_evidence(model, fitted, FIT_ITERATIONS)
        start = marginal_logits(model, theta, x)
        return theta, ascend_exact_elbo(model, theta, x, start, model.posterior_family)
    rng = spawn(seed, model.label, "fit")
    theta, eta = maximise_frozen_elbo(model, fitted, rng, max_iterations=FIT_ITERATIONS)
    return theta, fit_eta(model, theta, x, eta[: len(x)], rng)


def _posterior(choice: PosteriorChoice, model: Model, theta: Floats, x: Floats) -> Posterior:
    """Return the q that was asked for, or raise NotApplicable if the model has none of this kind."""
    if choice.map == ExactPosterior.name:
        model.posterior_eta(theta, x)  # raises NotApplicable where it is not known
        return ExactPosterior(model, theta)
    family = choice.family_for(model)
    if choice.map != AmortisedPosterior.name:
        return FreePosterior(family, len(x))
    if model.global_latents:
        reason = f"an encoder learns from many data, and {model.label} has one: its latents are global"
        raise NotApplicable(reason, Reason.ONE_DATUM)
    return AmortisedPosterior.for_data(family, x, n_classes=model.given_classes)


def _place(
    posterior: Posterior, model: Model, theta: Floats, x: Floats, best_eta: Floats, at: str, seed: int
) -> Floats:
    """Return the phi (P,) at which q is at a named place."""
    if not posterior.has_parameters:
        return np.zeros(0)
    family, eta = posterior.family, best_eta
    if at == "start":
        eta = _at_prior(family, model, theta, len(x))
    elif family != model.posterior_family:
        eta = _best_in(family, model, theta, x, best_eta, seed)
    if at == "near":
        eta = family.near(eta)
    if isinstance(posterior, FreePosterior):
        return posterior.phi_from_eta(eta)
    encoder = cast(AmortisedPosterior, posterior)
    return fit_encoder(encoder, x, eta, spawn(seed, model.label, "encoder"))


def _at_prior(family: Family, model: Model, theta: Floats, n_data: int) -> Floats:
    """Return the prior as a member of a family (N, E), or the one at which a fit begins."""
    eta = np.array(family.start)[None]
    if family.holds(model.family):
        own = model.prior_eta(theta)
        eta[:] = 0.0
        eta[:, : own.shape[-1]] = own
    return np.broadcast_to(eta, (n_data, family.eta_size))


def _best_in(family: Family, model: Model, theta: Floats, x: Floats, best_eta: Floats, seed: int) -> Floats:
    """Return the eta (N, E) of greatest ELBO in a family, given the best in the family of the model's q."""
    if projected.applies(model, family) and isinstance(family, DiagonalGaussian | FullGaussian):
        return maximise_exact_elbo(model, theta, x, family)
    start = np.array(_at_prior(family, model, theta, len(x)))
    if isinstance(family, Chain):
        start = family.from_independent(best_eta)
    if family.holds(model.posterior_family):
        start[:, : best_eta.shape[-1]] = best_eta
        if closed_form.applies(model):
            return start  # theta is rotated such that the posterior is diagonal
        start[:, best_eta.shape[-1] :] = family.start[best_eta.shape[-1] :]
    if family.discrete or cubature.applies(model, family):
        return ascend_exact_elbo(model, theta, x, start, family)
    word = "full" if isinstance(family, FullGaussian) else family.name
    return fit_eta(model, theta, x, start, spawn(seed, model.label, word), family=family)
