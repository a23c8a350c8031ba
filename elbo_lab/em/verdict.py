"""Which of several runs is the answer, and what has to be said about it."""

from elbo_lab.em.fit import DEFAULT_FLOOR, Fit, mean_column_variance
from elbo_lab.em.identified import about_identification
from elbo_lab.em.linear_gaussian import NEARLY_NONE, LinearGaussianEM
from elbo_lab.em.mixture import MixtureEM
from elbo_lab.models import PPCA, FactorAnalysis, GaussianMixture
from elbo_lab.models.linear_gaussian import LinearGaussian

# How EM sees the models that it fits.
PROBLEMS = {GaussianMixture: MixtureEM, LinearGaussian: LinearGaussianEM}
# So many of a longer list are named in a warning.
MOST_NAMED = 3


def has_em(model):
    """Whether EM fits this model."""
    return isinstance(model, tuple(PROBLEMS))


def judge(fit):
    """Return the Fit of an `EMFit` as it stands.

    A mixture's runs at the floor are set aside while there is another: they are spikes. A factor analysis may
    truly have its maximum there, and nothing is set aside.
    """
    problem, runs = fit.problem, fit.runs
    floors = [problem.at_floor(run.theta) for run in runs]
    sound = [i for i, floor in enumerate(floors) if not floor or not isinstance(problem, MixtureEM)]
    best = max(sound or range(len(runs)), key=lambda i: runs[i].log_likelihood)
    run = runs[best]
    warnings = [
        *_about_convergence(runs, run),
        *_about_floor(fit, floors[best], bool(sound)),
        *_about_little_noise(fit, run),
        *_about_set_aside(runs, floors, sound),
        *_about_dead(problem, run),
        *about_identification(fit.model),
    ]
    return Fit(
        fit.model,
        fit.model.canonical(run.theta),
        [dict(row) for row in run.history],
        run.converged,
        run.stopped,
        tuple(warnings),
        floors[best],
        fit.floor,
    )


def vanished(model, x, theta, columns=None):
    """Say which variances at theta have all but vanished: what EM's default floor would have kept.

    Parameters
    ----------
    model : Model
    x : ndarray (N, D)
    theta : ndarray (P,)
        From a method that keeps no floor.
    columns : sequence of str, optional

    Yields
    ------
    str
        One warning for a model with such variances; none for models other than EM's.
    """
    kind = next((em for of, em in PROBLEMS.items() if isinstance(model, of)), None)
    if kind is None:
        return
    least = DEFAULT_FLOOR * mean_column_variance(x)
    low = kind(model, x, least).at_floor(theta)
    if not low:
        return
    where = f"below {least:.3g}, a millionth of the mean column variance"
    yield _low_variance(model, low, where, "; method em keeps a floor", columns)


def _named(kind, indices):
    shown = indices if len(indices) <= MOST_NAMED + 1 else indices[:MOST_NAMED]
    words = ", ".join(str(i) for i in shown)
    if len(shown) < len(indices):
        words += f" and {len(indices) - len(shown)} more"
    return f"{kind}s {words} are" if len(indices) > 1 else f"{kind} {words} is"


def _about_convergence(runs, run):
    if run.finished and not run.converged:
        rise = run.log_likelihood - run.history[-2]["log_likelihood"]
        yield (
            f"EM has not converged: after {run.n_iterations} iterations (the limit) the log-likelihood still "
            f"rose by {rise / run.problem.n_data:.2g} nats per datum; raise the "
            "limit (--epochs; max_iterations of fit_em)"
        )
    others = sum(other.finished and not other.converged for other in runs if other is not run)
    if others:
        yield f"{others} of {len(runs)} runs reached the iteration limit before they converged"


def _about_floor(fit, at_floor, some_sound):
    if not at_floor:
        return
    consequence = ", and the estimate hangs on the floor"
    if not some_sound:
        consequence += f"; so it is in {_all(len(fit.runs))}, and the best of them is kept"
    yield _low_variance(
        fit.model, at_floor, f"at the floor {fit.floor:.3g} of the variances", consequence, fit.columns
    )


def _low_variance(model, low, where, consequence, columns):
    """Return the warning for variances of components or columns, at the floor or without one."""
    if isinstance(model, GaussianMixture):
        return (
            f"{_named('component', low)} {where}: the density is unbounded there{consequence}; use fewer "
            "components or a simpler covariance"
        )
    if isinstance(model, PPCA):
        return f"the noise variance is {where}: the latent dimensions explain all; use fewer of them"
    noise = f"the noise of {_named('column', _columns(columns, low))} {where}"
    remedy = "use fewer latent dimensions or drop the column"
    return f"{noise}: a Heywood case, the factors explain all of it; {remedy}"


def _about_little_noise(fit, run):
    if isinstance(fit.model, FactorAnalysis):
        low = fit.problem.nearly_without_noise(run.theta)
        if low:
            noise = f"the noise of {_named('column', _columns(fit.columns, low))}"
            yield (
                f"{noise} below {100 * NEARLY_NONE:g} % of its variance and may go to 0 (a Heywood case), "
                "slowly by EM; use fewer latent dimensions"
            )


def _columns(columns, indices):
    return indices if columns is None else [columns[i] for i in indices]


def _all(n_runs):
    return "the only run" if n_runs == 1 else f"all {n_runs} runs"


def _about_set_aside(runs, floors, sound):
    aside = [i for i in range(len(runs)) if i not in sound]
    if sound and aside:
        highest = max(aside, key=lambda i: runs[i].log_likelihood)
        where = f"{_named('component', floors[highest])} there"
        yield (
            f"{len(aside)} of {len(runs)} runs ended at the floor and were set aside (the highest has "
            f"log-likelihood {runs[highest].log_likelihood:.3f}, and {where})"
        )


def _about_dead(problem, run):
    dead = problem.dead(run.theta) if isinstance(problem, MixtureEM) else ()
    if dead:
        yield f"{_named('component', dead)} empty (less than a millionth of a datum); use fewer components"
