"""A model of one function: its slopes, its estimates, and what it is refused."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from elbo_lab import check_model, compare, fit
from elbo_lab.checking.model import examine
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.estimators import ESTIMATORS, Exact, Problem
from elbo_lab.exact.ladder import log_evidence
from elbo_lab.models import PPCA, from_log_joint
from elbo_lab.models.derivatives import FRAMEWORKS
from elbo_lab.posteriors import FreePosterior
from elbo_lab.special import LOG_2PI, log_sum_exp

D, K, N = 3, 2, 4
SHAPES = {"W": (D, K), "b": D, "log_sigma": ()}
PLAIN = PPCA(D, K)
THETA = PLAIN.layout.pack(
    {"W": 0.6 * np.cos(np.arange(6.0)).reshape(D, K), "b": [0.3, -0.2, 1.0], "log_sigma": -0.4}
)
X = np.sin(np.arange(12.0)).reshape(N, D)


def ppca(theta, x, z, exp=np.exp):
    """PPCA, constants included."""
    residual = (x - z @ theta["W"].T - theta["b"]) / exp(theta["log_sigma"])
    likelihood = -0.5 * (residual**2).sum(-1) - D * (theta["log_sigma"] + 0.5 * LOG_2PI)
    return likelihood - 0.5 * (z**2).sum(-1) - 0.5 * K * LOG_2PI


def in_jax(theta, x, z):
    import jax.numpy as jnp

    return ppca(theta, x, z, jnp.exp)


def in_torch(theta, x, z):
    import torch

    return ppca(theta, x, z, torch.exp)


def model_in(framework, **more):
    """PPCA as a function in a framework, or the test is left out where it is not installed."""
    if framework != "numpy":
        pytest.importorskip(framework)
    function = {"numpy": ppca, "jax": in_jax, "torch": in_torch}[framework]
    options = {"columns": D, "latent": K, "parameters": SHAPES, "name": "own-ppca"} | more
    return from_log_joint(function, framework=framework, **options)


TOLERANCES = {"numpy": 1e-6, "jax": 1e-8, "torch": 1e-8}
each_framework = pytest.mark.parametrize("framework", FRAMEWORKS)


@each_framework
@pytest.mark.parametrize("lead", [(), (3,)], ids=["alone", "repeats"])
@pytest.mark.parametrize("shared", [False, True], ids=["own-draws", "shared-draws"])
def test_value_and_slopes_are_those_by_hand(framework, lead, shared):
    model, rng = model_in(framework), np.random.default_rng(0)
    z = rng.standard_normal((*lead, 5, 1 if shared else N, K))
    cotangent = rng.standard_normal((*lead, 5, N))
    assert np.allclose(model.log_joint(THETA, X, z), PLAIN.log_joint(THETA, X, z), rtol=1e-12)
    tolerance = TOLERANCES[framework]
    wanted = PLAIN.log_joint_vjp(THETA, X, z, cotangent)
    for found, by_hand in zip(model.log_joint_vjp(THETA, X, z, cotangent), wanted, strict=True):
        assert found.shape == by_hand.shape
        assert np.abs(found - by_hand).max() < tolerance * max(1.0, np.abs(by_hand).max())


@each_framework
def test_arrays_in_single_precision_are_evaluated_in_double(framework):
    model, z = model_in(framework), np.random.default_rng(1).standard_normal((2, N, K)).astype(np.float32)
    single = model.log_joint(THETA.astype(np.float32), X.astype(np.float32), z)
    double = PLAIN.log_joint(*(np.float64(np.float32(a)) for a in (THETA, X)), z.astype(np.float64))
    assert single.dtype == np.float64 and np.allclose(single, double, rtol=1e-12)
    assert model.log_joint_vjp(THETA.astype(np.float32), X, z, np.ones((2, N)))[0].dtype == np.float32


def problems(model):
    """The same q off the posterior under the model of one function and under PPCA."""
    posterior = FreePosterior(PLAIN.family, N)
    phi = 0.3 * np.cos(np.arange(posterior.layout.size))
    return Problem(model, posterior, THETA, phi, X), Problem(PLAIN, posterior, THETA, phi, X)


def applies(estimator, problem):
    try:
        estimator.check_pairing(problem.model, problem.posterior)
    except NotApplicable:
        return False
    return True


ALONE_KNOWN = problems(from_log_joint(ppca, columns=D, latent=K, parameters=SHAPES))[0]
OF_DRAWS = [one for one in ESTIMATORS if not isinstance(one, Exact) and applies(one, ALONE_KNOWN)]


@pytest.mark.parametrize("estimator", OF_DRAWS, ids=lambda one: f"{one.name}:{one.target}")
def test_every_estimator_makes_the_same_of_the_same_noise(estimator):
    own, by_hand = problems(model_in("numpy"))
    n_draws = max(4, estimator.minimum_draws)
    noise = draw_noise(estimator.noise_for(own, n_draws), np.random.default_rng(3), (2,))
    found, _ = estimator.estimate(own, noise, estimator.initial_state(own))
    wanted, _ = estimator.estimate(by_hand, noise, estimator.initial_state(by_hand))
    assert np.abs(found - wanted).max() < 1e-6 * max(1.0, np.abs(wanted).max())


def test_what_needs_no_prior_applies_and_what_needs_one_says_so():
    own, by_hand = problems(model_in("numpy"))
    lost = [one for one in ESTIMATORS if applies(one, by_hand) and not applies(one, own)]
    assert lost and all(one.draws_from == "prior" or one.needs_kl for one in lost)
    for one in lost:
        with pytest.raises(NotApplicable, match="joint density alone") as refusal:
            one.check_pairing(own.model, own.posterior)
        assert refusal.value.reason is Reason.NO_PRIOR
    with_prior = own._replace(model=model_in("numpy", prior="diagonal-gaussian"))
    assert all(applies(one, with_prior) for one in lost)


def test_with_a_prior_the_kl_and_the_reconstruction_are_those_of_ppca():
    own, by_hand = problems(model_in("numpy", prior="diagonal-gaussian"))
    for one in ESTIMATORS:
        if applies(one, own) and (one.needs_kl or one.draws_from == "prior"):
            noise = draw_noise(one.noise_for(own, 4), np.random.default_rng(4))
            found, wanted = (one.estimate(p, noise, one.initial_state(p))[0] for p in (own, by_hand))
            assert np.abs(found - wanted).max() < 1e-6 * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("shift", [0.0, 300.0], ids=["at-zero", "far"])
def test_log_p_by_a_grid_is_that_of_ppca_wherever_the_posterior_lies(shift):
    # z' = 20 z + shift: the same density of x, in another place and unit of z.
    def moved(theta, x, z):
        return ppca(theta, x, (z - shift) / 20.0) - K * np.log(20.0)

    model = from_log_joint(moved, columns=D, latent=K, parameters=SHAPES)
    value, error, rung = log_evidence(model, THETA, X)
    assert rung == "quadrature" and np.abs(value - PLAIN.log_evidence(THETA, X)).max() < 1e-6
    assert error.max() < 1e-6


def test_without_constants_log_z_takes_the_place_of_log_p():
    def unnormalised(theta, x, z):
        return ppca(theta, x, z) + 7.0

    model = from_log_joint(unnormalised, columns=D, latent=K, parameters=SHAPES)
    found = log_evidence(model, THETA, X)[0]
    assert np.allclose(found, PLAIN.log_evidence(THETA, X) + 7.0, atol=1e-7)


def mixture(theta, x, z):
    """A mixture of three unit Gaussians with equal weights."""
    mean = theta["means"][z]
    return -0.5 * ((x - mean) ** 2).sum(-1) - 0.5 * D * LOG_2PI - np.log(3.0)


def test_a_category_is_summed_over_and_has_slopes_in_theta():
    model = from_log_joint(mixture, columns=D, latent=3, parameters={"means": (3, D)}, family="categorical")
    theta = np.cos(np.arange(9.0))
    means = theta.reshape(3, D)
    table = -0.5 * ((X - means[:, None]) ** 2).sum(-1) - 0.5 * D * LOG_2PI - np.log(3.0)
    assert np.allclose(log_evidence(model, theta, X)[0], log_sum_exp(table, axis=0))
    z = np.array([[0, 1, 2, 1], [2, 2, 0, 0]])
    cotangent = np.arange(8.0).reshape(2, N)
    by_theta, by_z = model.log_joint_vjp(theta, X, z, cotangent)
    wanted = np.zeros((3, D))
    np.add.at(wanted, z, cotangent[..., None] * (X - means[z]))
    assert by_z is None and np.allclose(by_theta, wanted.ravel(), atol=1e-7)
    examine(model, X, np.random.default_rng(0))


def test_z_above_zero_stays_there():
    def gamma(_, x, z):  # z ~ Gamma(2, 1), x ~ Poisson(z)
        return (np.log(z) - z).sum(-1) + (x * np.log(z) - z).sum(-1)

    model = from_log_joint(gamma, columns=1, family="gamma")
    z = np.array([1e-9, 1e-3, 1.0, 50.0]).reshape(4, 1, 1)
    found = model.log_joint_grad_z(np.zeros(0), np.full((1, 1), 3.0), z, np.ones((4, 1)))
    assert np.allclose(found, 4.0 / z - 2.0, rtol=1e-5)


def test_it_is_compared_and_fitted_and_marked():
    model = model_in("numpy", start=lambda x: {"W": np.eye(D, K), "b": x.mean(axis=0), "log_sigma": 0.0})
    result = compare(
        model,
        data=X,
        rows=N,
        repeats=50,
        draws=2,
        estimators=["reparameterization", "elbo-sampled", "iwae"],
        threads=1,
    )
    assert result.settings["gradient_by"] == {"own-ppca": "differences"}
    assert "gradient by differences" in result.table()
    assert {row["bias_verdict"] for row in result.rows} <= {"ok", "blind", "biased"}
    fitted = fit(model, X, method="vae", epochs=2, hidden=(4,), progress=False)
    assert fitted.settings["phi_estimator"] == "reparameterization"
    assert np.isfinite(fitted.final["elbo_per_datum"])


class Faults:
    """What a function may do wrong."""

    @staticmethod
    def of_one_draw(theta, x, z):
        return ppca(theta, x, z[0])

    @staticmethod
    def summed_over_rows(theta, x, z):
        return ppca(theta, x, z).sum(-1)

    @staticmethod
    def per_column(theta, x, z):
        return x - z @ theta["W"].T

    @staticmethod
    def writes_to_z(theta, x, z):
        z -= 1.0
        return ppca(theta, x, z)

    @staticmethod
    def whole_numbers(theta, x, z):
        return ppca(theta, x, z).astype(int)

    @staticmethod
    def infinite(theta, x, z):
        return ppca(theta, x, z) + np.where(z[..., 0] > -9.0, np.inf, 0.0)

    @staticmethod
    def of_own_draws_alone(theta, x, z):
        return np.stack([ppca(theta, x[n], z[:, n]) for n in range(len(x))], axis=-1)

    @staticmethod
    def a_name_it_lacks(theta, x, z):
        return ppca(theta, x, z) + theta["V"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("of_one_draw", r"expected shape \(S, N\)"),
        ("summed_over_rows", r"expected shape \(S, N\)"),
        ("per_column", r"expected shape \(S, N\)"),
        ("writes_to_z", r"read-only, in writes_to_z, test_log_joint\.py:"),
        ("whole_numbers", "expected an array of floats, got dtype int"),
        ("infinite", "expected finite numbers near initial_theta"),
        ("of_own_draws_alone", r"IndexError: .*, in .*test_log_joint\.py:"),
        ("a_name_it_lacks", "KeyError: 'V'"),
    ],
)
def test_a_wrong_function_is_refused_in_one_line(fault, said):
    model = from_log_joint(getattr(Faults, fault), columns=D, latent=K, parameters=SHAPES)
    with pytest.raises(ValueError, match=said) as refusal:
        check_model(model, X)
    assert "\n" not in str(refusal.value) and model.name in str(refusal.value)


def test_a_check_says_what_the_function_does():
    told = str(check_model(model_in("numpy"), X))
    assert "broadcasts over draws and rows, is finite, takes float32; gradient by differences" in told

    def of_double_alone(theta, x, z):
        if z.dtype != np.float64:
            raise TypeError(z.dtype)
        return ppca(theta, x, z)

    told = str(check_model(from_log_joint(of_double_alone, columns=D, latent=K, parameters=SHAPES), X))
    assert "does not take (nor needs) float32" in told


def test_two_functions_of_one_shape_are_both_checked():
    good = model_in("numpy")
    bad = from_log_joint(Faults.per_column, columns=D, latent=K, parameters=SHAPES)
    run = partial(compare, data=X, rows=N, repeats=2, draws=2, estimators="elbo-sampled", threads=1)
    run(good)
    with pytest.raises(ValueError, match="expected shape"):
        run(bad)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"parameters": {"W": 99}},
            "at most 100 parameters and latents for differences, got 101; .*jax.*torch",
        ),
        ({"framework": "tensorflow"}, "framework: expected one of numpy, jax, torch"),
        ({"family": "gama"}, "family: .*did you mean 'gamma'"),
        ({"family": "gamma", "prior": "gamma"}, "family: expected no value beside prior"),
        ({"columns": 0}, "columns: expected a whole number of at least 1"),
        ({"parameters": {"W": (0,)}}, "expected a whole number of at least 1"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(more, said):
    with pytest.raises(ValueError, match=said):
        model_in("numpy", **more) if "framework" not in more else from_log_joint(ppca, columns=D, **more)


def test_a_start_of_other_shapes_is_refused():
    with pytest.raises(ValueError, match="start of own-ppca: expected arrays of shapes"):
        model_in("numpy", start={"W": np.eye(D)}).initial_theta(X)


def test_what_is_not_known_is_refused(tmp_path):
    model = model_in("numpy")
    for ask in (
        lambda: model.sample(THETA, 2, np.random.default_rng(0)),
        lambda: fit(model, X, objective="wake-sleep", progress=False),
        lambda: fit(model, X, beta=2.0, progress=False),
    ):
        with pytest.raises(NotApplicable) as refusal:
            ask()
        assert refusal.value.reason is Reason.NO_PRIOR
    with pytest.raises(NotApplicable, match="checkpoint: own-ppca is a function"):
        fit(model, X, checkpoint=tmp_path / "kept.npz", progress=False)


ALONE = """
import sys
import numpy as np
from elbo_lab import compare, fit
from elbo_lab.models import from_log_joint
def f(theta, x, z):
    return -0.5 * ((x - z - theta["b"]) ** 2).sum(-1) - 0.5 * z[..., 0] ** 2
model = from_log_joint(f, columns=1, parameters={"b": 1})
x = np.arange(6.0)[:, None]
fit(model, x, epochs=1, hidden=(2,), progress=False)
assert not {"jax", "torch"} & sys.modules.keys(), "a library was imported"
for name in ("jax", "torch"):
    sys.modules[name] = None  # as if it were not installed
    try:
        from_log_joint(f, columns=1, parameters={"b": 1}, framework=name).log_joint(np.zeros(1), x, x[None])
    except ValueError as fault:
        assert f"pip install 'elbo_lab[{name}]'" in str(fault) and "\\n" not in str(fault), fault
    else:
        raise AssertionError(name)
"""


def test_no_library_is_imported_that_is_not_asked_for_and_a_missing_one_is_told():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
