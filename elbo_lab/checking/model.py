"""Is a model what it says? Its shapes, derivatives and draws against its own log p(x, z).

Estimators and exact answers use the same hand-written pullback, so that a comparison cannot find a fault
in it: with a wrong derivative in theta every verdict may be ok, and with a wrong one in z estimators that
are right may FAIL. So a model is compared with itself before anything is measured:

    shapes        of log-densities and gradients, with repeats in front, and with one draw for all data
    agreement     log_joint, log_joint_vjp, shared_likelihood and the like are what they stand for
    derivatives   of log p(x | z) and of log p(z), in theta and in z (`elbo_lab.checking.slopes`), and of
                  log p(x), E_q log p(x, z) and log p(x | y) for shares y of categories, if they are written
    draws         `sample` and log p(x, z) are of one distribution (`elbo_lab.checking.draws`)

All of it in float64, on at most eight rows, at two theta.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Draws, Floats
from elbo_lab.checking.draws import NoDraws, check_draws
from elbo_lab.checking.slopes import Kinked, check_slope
from elbo_lab.datasets import Dataset, load
from elbo_lab.distributions import Categorical, CategoricalVector, draw_noise
from elbo_lab.errors import NotApplicable, bad_value
from elbo_lab.files import StrPath
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import MODELS, ClosedForm, LogJointModel, Model, fold_shared
from elbo_lab.plugins import told
from elbo_lab.registry import find_models
from elbo_lab.threads import single_threaded_blas

ROWS, REPEATS, DRAWS = 8, 3, 2
# Start values are computed from at most this many rows.
START_ROWS = 500
# How far theta is moved from the start, in sizes of its blocks.
MOVES = (0.1, 0.3)
# At a kink the same check is made elsewhere, this many times.
TRIES = 5
SAME = 1e-9


@dataclass(frozen=True)
class Point:
    """Where a model is judged: theta (P,), x (N, D), z (R, S, N, ...) and a cotangent (R, S, N)."""

    model: Model
    theta: Floats
    x: Floats
    z: Draws
    cotangent: Floats
    rng: np.random.Generator


class Part(NamedTuple):
    """A log-density of a model, its pullback and its gradient in z alone, as functions of theta and z."""

    method: str
    formula: str
    remedy: str
    value: Callable[..., Floats]
    pullback: Callable[..., tuple[Floats, Floats | None]]
    grad_z: Callable[..., Floats]


def _parts(model: Model, x: Floats) -> tuple[Part, Part, Part]:
    """Return likelihood, prior and joint."""

    def at_x(method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda theta, *rest: method(theta, x, *rest)

    of_x = at_x(model.log_likelihood), at_x(model.log_likelihood_vjp), at_x(model.log_likelihood_grad_z)
    of_z = model.log_prior, model.log_prior_vjp, model.log_prior_grad_z
    of_both = at_x(model.log_joint), at_x(model.log_joint_vjp), at_x(model.log_joint_grad_z)
    return (
        Part("likelihood", "log p(x | z)", "correct the pullback that likelihood returns", *of_x),
        Part("log_prior", "log p(z)", "correct prior_eta_vjp, or log_prior_vjp where it is written", *of_z),
        Part("log_joint", "log p(x, z)", "correct log_joint_vjp", *of_both),
    )


@dataclass(frozen=True)
class ModelCheck:
    """A model that passed.

    Attributes
    ----------
    model : str
    constant_detectable : float
        A constant missing in log p(x | z) or log p(z) is found with 99 % power from this size on, in nats;
        inf where draws could not be compared with the density.
    seconds : float
    about_function : str
        Of a model that is a function: what it was found to do, in a line; else ''.
    """

    model: str
    constant_detectable: float
    seconds: float
    about_function: str = ""

    def __str__(self) -> str:
        passed = "passed: shapes and derivatives agree with log p(x, z)"
        text = f"{self.model}: a model\n{self.about_function}{passed}"
        if np.isinf(self.constant_detectable):
            return f"{text}; draws could not be compared with it"
        return f"{text}, and draws (a constant of {self.constant_detectable:.2g} nats would have been found)"


@checks_kinds
def check_model(
    model: str | type[Model] | Model,
    data: StrPath | ArrayLike | Dataset | None = None,
    *,
    latent: int | None = None,
    seed: int = 0,
) -> ModelCheck:
    """Hold a model against its own log p(x, z), and refuse it where it contradicts itself.

    `compare` and `fit` do this once with every model that is not the package's own.

    Parameters
    ----------
    model : str, Model class or Model
        A class is built for the data by `for_data`, in its first variant.
    data : str, path, array (N, D) or Dataset, optional
        The model's own if not given. Eight rows are enough.
    latent : int, optional
        K; by default that of the model.
    seed : int
        Of the random places, directions and draws.

    Returns
    -------
    ModelCheck

    Raises
    ------
    ValueError, TypeError
        In one line: the method, where, what was expected and found, and a remedy.

    Examples
    --------
    >>> from elbo_lab import check_model
    >>> check_model("ppca", latent=2).model
    'ppca'
    """
    begun = time.perf_counter()
    choice = find_models(model, "model")[0]
    dataset = load(choice.kind.default_data if data is None else data)
    table = choice.checked_table(dataset)
    built = choice.build(table, latent)
    x = built.check_data(built.as_data(table))
    constant = examine(built, x, np.random.default_rng(seed))
    about = _about_function(built, x) if isinstance(built, LogJointModel) else ""
    return ModelCheck(built.label, constant, time.perf_counter() - begun, about)


def _about_function(model: LogJointModel, x: Floats) -> str:
    """Return a line about a function that `examine` has passed, with its line end."""
    z = _prior_draws(model, model.initial_theta(x), len(x), np.random.default_rng(0))[0]
    single = "takes" if model.accepts_float32(model.initial_theta(x), x, z) else "does not take (nor needs)"
    found = f"broadcasts over draws and rows, is finite, {single} float32"
    return f"log_joint {found}; gradient by {model.gradient_by}\n"


# Classes, variants and sizes that have passed in this process.
_passed: set[tuple[type[Model], str | None, int, int]] = set()


def check_once(model: Model, x: Floats) -> None:
    """Check a model on data x (N, D) that it accepts, unless it is the package's own or has passed before."""
    kind = type(model), model.variant, model.latent_dim, model.n_columns
    if type(model) not in MODELS and kind not in _passed:
        examine(model, x, np.random.default_rng(0))
        _passed.add(kind)


@single_threaded_blas()  # its threads are slower on eight rows
def examine(model: Model, x: Floats, rng: np.random.Generator) -> float:
    """Refuse a model that contradicts itself.

    Parameters
    ----------
    model : Model
    x : ndarray (N, D)
        Data that it accepts.
    rng : numpy.random.Generator

    Returns
    -------
    float
        The constant (nats) in log p(x | z) or log p(z) that would have been found (see `check_draws`).

    Raises
    ------
    ValueError
        In one line: the method, where, what was expected and found, and a remedy.
    """
    with told(model.label):
        return _examined(model, x, rng)


def _examined(model: Model, x: Floats, rng: np.random.Generator) -> float:
    start = _shaped(model, "initial_theta", model.initial_theta(x[:START_ROWS]), (model.layout.size,))
    _shaped(model, "prior_eta", model.prior_eta(start.copy()), (1, model.family.eta_size))
    for move in MOVES:
        place = partial(_point, model, start, x[:ROWS].copy(), move, rng)
        for check in CHECKS:
            _away_from_kinks(check, place)
    # A draw with a label has columns that the model does not explain, and a joint density alone no draws.
    if model.global_latents or model.labelled or not model.has_prior:
        return np.inf
    try:
        with np.errstate(all="ignore"):  # some draws may lie beyond the floats
            return check_draws(model, place().theta, block_sizes(model, start), rng)
    except NoDraws:
        return np.inf


def _away_from_kinks(check: Callable[[Point], None], place: Callable[[], Point]) -> None:
    """Make a check at a place, or at another where there is a kink; where all have one, nothing is known."""
    for _ in range(TRIES):
        try:
            return check(place())
        except Kinked:
            continue


def _point(model: Model, start: Floats, rows: Floats, move: float, rng: np.random.Generator) -> Point:
    """Return a random place near the start of a fit at which the density of the data is finite."""
    direction = rng.standard_normal(len(start)) * block_sizes(model, start)
    # Not every theta near the start need be possible.
    for share in (move, 0.1 * move, 0.01 * move, 0.0):
        theta = start + share * direction
        z = _prior_draws(model, theta, len(rows), rng)
        with np.errstate(all="ignore"):
            values = {part.method: np.asarray(part.value(theta, z)) for part in _parts(model, rows)[:2]}
        infinite = {name: value[~np.isfinite(value)] for name, value in values.items()}
        wrong = {name: value for name, value in infinite.items() if value.size}
        if not wrong:
            break
    else:
        method, remedy = next(iter(wrong)), "correct the formula, or initial_theta"
        got = wrong[method][0]
        raise bad_value(f"{method} of {model.label}", "finite numbers near initial_theta", got, remedy)
    return Point(model, theta, rows, z, rng.standard_normal((REPEATS, DRAWS, len(rows))), rng)


def block_sizes(model: Model, theta: Floats) -> Floats:
    """Return for every coordinate of theta (P,) the root mean square of its block, one if that is zero."""
    views = {name: view for name, view in model.layout.views(theta).items() if view.size}
    return model.layout.pack(
        {name: np.full(view.shape, np.sqrt(np.mean(view**2)) or 1.0) for name, view in views.items()}
    )


def _prior_draws(model: Model, theta: Floats, n_data: int, rng: np.random.Generator) -> Draws:
    noise = [draw_noise(model.family.noise_spec(DRAWS, n_data), rng) for _ in range(REPEATS)]
    return model.family.sample(model.prior_eta(theta), np.asarray(noise))


# -- shapes and agreement --------------------------------------------------------------------------


def _shaped(model: Model, what: str, array: object, shape: tuple[int, ...]) -> Floats:
    """Return a result that is made of finite floats and has its shape, or refuse it."""
    what, remedy = f"{what} of {model.label}", "docs/write_your_own.md has all shapes"
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        got = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise bad_value(what, "an array of floats", got, remedy)
    if array.shape != shape:
        raise bad_value(what, f"shape {shape}", f"shape {array.shape}", remedy)
    if not np.all(np.isfinite(array)):
        raise bad_value(what, "finite numbers", array[~np.isfinite(array)][0])
    return array


def _same(model: Model, what: str, found: Floats, expected: Floats, meaning: str) -> None:
    """Refuse a result that differs by more than rounding from what it stands for."""
    if np.shape(found) != np.shape(expected):
        wanted = f"shape {np.shape(expected)}, {meaning}"
        raise bad_value(f"{what} of {model.label}", wanted, f"shape {np.shape(found)}")
    error = np.abs(found - expected)
    if error.max(initial=0.0) > SAME * (1.0 + np.abs(expected).max(initial=0.0)):
        worst = np.unravel_index(np.argmax(error), error.shape)
        wanted = f"{expected[worst]:.6g}, {meaning}"
        raise bad_value(f"{what} of {model.label}", wanted, f"{found[worst]:.6g}")


def _alike(model: Model, what: str, several: object, one: object, shape: tuple[int, ...]) -> Floats:
    """Return a result with repeats in front if it has its shape, and each repeat is what it is alone."""
    found = _shaped(model, f"{what} with repeats in front", several, (REPEATS, *shape))
    _same(model, what, found[0], _shaped(model, what, one, shape), "as without repeats in front")
    return found


def _check_inputs(point: Point) -> None:
    """No density and no pullback writes to what it is given."""
    given = {name: getattr(point, name).copy() for name in ("theta", "x", "z", "cotangent")}
    for part in _parts(point.model, given["x"])[:2]:
        part.value(given["theta"], given["z"])
        part.pullback(given["theta"], given["z"], given["cotangent"])
        written = [name for name, array in given.items() if not np.array_equal(array, getattr(point, name))]
        if written:
            what, got = f"{part.method} of {point.model.label}", f"one that writes to {', '.join(written)}"
            raise bad_value(what, "a function that only reads its inputs", got, "change a copy")


def _check_forms(point: Point) -> None:
    """Each result has its shape, repeats in front change nothing, and log_joint is the sum of its parts."""
    model, theta, z, c = point.model, point.theta, point.z, point.cotangent
    vector, parts = model.family.has_slope, _parts(model, point.x)
    results = []
    for part in parts:
        value = _alike(model, part.method, part.value(theta, z), part.value(theta, z[0]), c[0].shape)
        (by_theta, by_z), alone = part.pullback(theta, z, c), part.pullback(theta, z[0], c[0])
        what = f"grad_theta of {part.method}"
        results.append([value, _alike(model, what, by_theta, alone[0], theta.shape)])
        if vector:
            what = f"grad_z of {part.method}"
            by_z = _alike(model, what, by_z, alone[1], z[0].shape)
            _same(model, f"{what} alone", part.grad_z(theta, z, c), by_z, "that of the pullback")
            results[-1].append(by_z)
    for a, b, joint, what in zip(*results, ("", "grad_theta of ", "grad_z of "), strict=False):
        _same(model, f"{what}log_joint", joint, a + b, "the sum over likelihood and log_prior")
    by_family = model.family.log_prob(model.prior_eta(theta), z)
    _same(model, "log_prior", results[1][0], by_family, "log_prob of its family at prior_eta")
    one = z[0, :, :1]  # for all data
    exact = model.log_likelihood(theta, point.x, np.repeat(one, len(point.x), axis=1))
    shared = model.shared_likelihood(theta, model.data_terms(theta, point.x), one)
    _same(model, "shared_likelihood", shared, exact, "log_likelihood, from data_terms of the same data")
    if vector:
        _check_one_draw(point, parts[-1])


def _check_one_draw(point: Point, joint: Part) -> None:
    """One draw z (S, 1, K) for all data gives what N copies of it give, and the sum of their gradients."""
    model, theta, c = point.model, point.theta, point.cotangent[0]
    one = point.z[0, :, :1]
    copies = np.repeat(one, len(point.x), axis=1)
    name = "with one draw for all data, z (S, 1, K)"
    value = _shaped(model, f"log_joint {name}", joint.value(theta, one), c.shape)
    _same(model, f"log_joint {name}", value, joint.value(theta, copies), "as for N copies of it")
    found, (by_theta, by_copies) = joint.pullback(theta, one, c), joint.pullback(theta, copies, c)
    assert by_copies is not None  # its shape has been checked
    _same(model, f"grad_theta {name}", found[0], by_theta, "as for N copies of it")
    by_z = _shaped(model, f"grad_z {name}", found[1], one.shape)
    _same(model, f"grad_z {name}", by_z, fold_shared(by_copies, one), "the sum over the data (fold_shared)")


def _check_formulas(point: Point) -> None:
    """Where the posterior has a formula, log p(x, z) - log p(z | x) is log p(x) at every z."""
    model, x, family = point.model, point.x, point.model.family
    if type(model).posterior_eta is Model.posterior_eta:
        return
    theta = model.canonical(point.theta)
    try:
        eta = model.posterior_eta(theta, x)
    except NotApplicable:
        return
    if isinstance(family, Categorical):  # all, since draws may be alike
        z: Draws = np.repeat(family.values()[:, None], len(x), axis=1)
    else:
        z = family.sample(eta, draw_noise(family.noise_spec(DRAWS, len(x)), point.rng))
    evidence = model.log_joint(theta, x, z) - family.log_prob(eta, z)
    meaning = "log p(x, z) - log p(z | x) at one z as at another"
    _same(model, "posterior_eta", evidence, np.broadcast_to(evidence[:1], evidence.shape), meaning)
    by_model, by_family = model.posterior_mean_and_std(theta, x), family.moments(eta)
    for found, expected in zip(by_model, by_family, strict=True):
        _same(model, "posterior_mean_and_std", found, expected, "that of its family at posterior_eta")
    if isinstance(model, ClosedForm):
        _same(model, "log_evidence", model.log_evidence(theta, x), evidence[0], "log p(x, z) - log p(z | x)")
        bound = model.expected_log_joint(theta, x, eta) + family.entropy(eta)
        _same(model, "expected_log_joint", bound, evidence[0], "log p(x) at the posterior, with the entropy")


# -- derivatives -----------------------------------------------------------------------------------


def _check_theta(point: Point) -> None:
    """Both pullbacks give the slopes in theta, block by block."""
    model, theta = point.model, point.theta
    for part in _parts(model, point.x)[:2]:
        gradient = part.pullback(theta, point.z, point.cotangent)[0]
        what = f"grad_theta of {part.method} of {model.label}"
        if part.method == "log_prior" and model.fixed_prior:
            what, gradient = f"fixed_prior of {model.label}", np.zeros_like(gradient)

        def weighted(at: Floats, part: Part = part) -> Floats:
            return point.cotangent * part.value(at, point.z)

        _check_blocks(point, what, part.formula, part.remedy, weighted, gradient)


def _check_blocks(
    point: Point, what: str, of: str, remedy: str, weighted: Callable[[Floats], Floats], gradient: Floats
) -> None:
    """A gradient (R, P) is that of the sums of weighted(theta) (R, S, N), block by block."""
    layout, theta = point.model.layout, point.theta
    step = point.rng.standard_normal(len(theta)) * block_sizes(point.model, theta)
    for block in layout.views(np.arange(float(len(theta)))).values():
        direction = np.zeros(len(theta))
        direction[block.astype(int)] = step[block.astype(int)]
        check_slope(
            what, of, remedy, lambda change: weighted(theta + change), gradient, direction, layout.name_of
        )


def _check_closed_form(point: Point) -> None:
    """canonical leaves log p(x) alone; gradients of it and of E_q log p(x, z) are slopes of these values."""
    model, theta, x, weights = point.model, point.theta, point.x, point.cotangent[:1, :1]
    if not isinstance(model, ClosedForm):
        return
    again = model.log_evidence(model.canonical(theta), x)
    _same(model, "canonical", again, model.log_evidence(theta, x), "log p(x) of the theta it is given")
    eta = 0.3 * point.rng.standard_normal((len(x), model.family.eta_size))
    remedy = "correct its formula"
    of, what = "log_evidence", f"log_evidence_grad of {model.label}"
    gradient = model.log_evidence_grad(theta, x, weights[0, 0])
    gradient = _shaped(model, "log_evidence_grad", gradient, theta.shape)
    _check_blocks(point, what, of, remedy, lambda at: weights * model.log_evidence(at, x), gradient[None])
    by_theta, by_eta = model.expected_log_joint_vjp(theta, x, eta, weights[0, 0])
    by_theta = _shaped(model, "grad_theta of expected_log_joint_vjp", by_theta, theta.shape)
    by_eta = _shaped(model, "grad_eta of expected_log_joint_vjp", by_eta, eta.shape)

    def expected(at: Floats) -> Floats:
        return weights * model.expected_log_joint(at, x, eta)

    def moved(change: Floats) -> Floats:
        return weights * model.expected_log_joint(theta, x, eta + change.reshape(eta.shape))

    def name_of(index: int) -> str:
        return "eta[{}, {}]".format(*np.unravel_index(index, eta.shape))

    of = "expected_log_joint"
    _check_blocks(point, f"grad_theta of {of}_vjp of {model.label}", of, remedy, expected, by_theta[None])
    step = point.rng.standard_normal(eta.size)
    what = f"grad_eta of {of}_vjp of {model.label}"
    check_slope(what, of, remedy, moved, by_eta.reshape(1, -1), step, name_of)


def _check_relaxed(point: Point) -> None:
    """log p(x | y) of shares of categories is log p(x | z) at their corners; its slopes are its own."""
    model, theta, x, z, c = point.model, point.theta, point.x, point.z, point.cotangent
    family = model.family
    if not (model.relaxes and isinstance(family, (Categorical, CategoricalVector))):
        return
    corners = model.relaxed_likelihood(theta, x, family.one_hot(z.astype(np.intp)))[0]
    exact = model.log_likelihood(theta, x, z)
    what, remedy = "relaxed_likelihood", "correct the pullback that relaxed_likelihood returns"
    _same(model, what, _shaped(model, what, corners, exact.shape), exact, "log p(x | z) at a category")
    n_variables = family.size if family.event_axes else 1
    shares = point.rng.dirichlet(np.ones(family.eta_size // n_variables), (*c.shape, n_variables))
    shares = shares.reshape(*c.shape, family.eta_size)
    by_theta, by_shares = model.relaxed_likelihood(theta, x, shares)[1](c)
    by_theta = _shaped(model, f"grad_theta of {what}", by_theta, (len(c), len(theta)))
    by_shares = _shaped(model, f"grad_y of {what}", by_shares, shares.shape)

    def weighted(at: Floats) -> Floats:
        return c * model.relaxed_likelihood(at, x, shares)[0]

    _check_blocks(point, f"grad_theta of {what} of {model.label}", what, remedy, weighted, by_theta)

    def moved(change: Floats) -> Floats:
        return c * model.relaxed_likelihood(theta, x, shares + change)[0]

    step = point.rng.standard_normal(shares.shape)
    _check_draws(f"grad_y of {what} of {model.label}", what, remedy, moved, by_shares, step, "y[{}]")


def _check_support(point: Point) -> None:
    """The density of z is zero beyond its support."""
    model, family = point.model, point.model.family
    for end, beyond in zip(family.support, (-1.0, 1.0), strict=True):
        if not family.discrete and np.isfinite(end):
            outside = point.z.copy()
            outside[..., 0] = end + beyond
            value = model.log_prior(point.theta, outside)
            if not np.all(value == -np.inf):
                expected = f"-inf at z = {end + beyond:g}, beyond its support"
                remedy = "correct log_prob or support of the family"
                raise bad_value(f"log_prior of {model.label}", expected, value.flat[0], remedy)


def _check_z(point: Point) -> None:
    """Both pullbacks give the slopes in z."""
    model, z = point.model, point.z
    if not model.family.has_slope:
        return
    # Inside the support: a share of the way to its nearest end.
    low, high = model.family.support
    room = np.minimum(1.0, np.minimum(z - low, high - z)) if not model.family.discrete else 1.0
    step = point.rng.standard_normal(z.shape) * room
    for part in _parts(model, point.x)[:2]:
        by_z = part.pullback(point.theta, z, point.cotangent)[1]
        assert by_z is not None  # its shape has been checked

        def moved(change: Floats, part: Part = part) -> Floats:
            return point.cotangent * part.value(point.theta, z + change)

        what = f"grad_z of {part.method} of {model.label}"
        _check_draws(what, part.formula, part.remedy, moved, by_z, step, "z[{}]")


def _check_draws(
    what: str, of: str, remedy: str, moved: Callable[[Floats], Floats], by_z: Floats, step: Floats, name: str
) -> None:
    """A gradient (R, S, N, K) is that of the sums of moved(change): along a step, K numbers for all draws."""
    gradient, ones = (by_z * step).sum(axis=(1, 2)), np.ones(step.shape[-1])
    check_slope(what, of, remedy, lambda change: moved(change * step), gradient, ones, name.format)


CHECKS: tuple[Callable[[Point], None], ...] = (
    _check_inputs,
    _check_forms,
    _check_support,
    _check_formulas,
    _check_theta,
    _check_z,
    _check_closed_form,
    _check_relaxed,
)
