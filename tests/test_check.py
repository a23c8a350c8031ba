"""`check_unbiased`: every estimator is what it declares; those that are not are found, and by how much."""

import json
import re
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from elbo_lab import check_unbiased, compare
from elbo_lab.bounds import log_weight
from elbo_lab.checking import unbiased as room
from elbo_lab.checking.contract import broken_promises
from elbo_lab.checking.integrals import moments
from elbo_lab.checking.problems import SMALL, problem_of
from elbo_lab.cli.main import main
from elbo_lab.distributions import (
    Beta,
    Exponential,
    Family,
    Gamma,
    Gumbel,
    Laplace,
    Logistic,
    NoiseSpec,
    StudentT,
    Weibull,
)
from elbo_lab.estimators import (
    ESTIMATORS,
    NO_STATE,
    Estimator,
    Exact,
    IwaeTheta,
    PiwaePhi,
    Rebar,
    Relax,
    Reparameterization,
    ScoreFunction,
    ScoreFunctionLOO,
    ScoreFunctionRunningMean,
    Vimco,
)
from elbo_lab.layout import Layout
from elbo_lab.models import DeepBernoulli, GaussianMLE, Model, fold_shared

MEASURED = [one for one in ESTIMATORS if one.compared and not isinstance(one, Exact)]


def integrated(found):
    """Return the rows whose noise was integrated."""
    return [row for row in found.rows if row["method"] != "draws"]


# -- what comes with the package -------------------------------------------------------------------


# A neighbour of each of these is fast.
HEAVY = ("ovis-mc-4", "vimco-arithmetic", "jackknife-2")


def marked(estimator):
    return pytest.param(
        estimator, id=estimator.name, marks=[pytest.mark.slow] if estimator.name in HEAVY else []
    )


@pytest.mark.parametrize("estimator", [marked(estimator) for estimator in MEASURED])
def test_every_estimator_is_what_it_declares(estimator):
    found = check_unbiased(estimator)
    assert found.passed and not found.broken, found.table()
    rows = integrated(found)
    verdicts = {row["verdict"] for row in rows}
    if estimator.unbiased:
        assert verdicts == {"ok"}
        # The rule for the Gumbels of three categories is good to seven digits.
        by_gumbels = isinstance(estimator, (Rebar, Relax))
        assert max(row["bias"] for row in rows) < (1e-6 if by_gumbels else 1e-10)
    else:
        assert "biased" in verdicts and "biased, as declared, by up to" in found.conclusion
    assert max(len(line) for line in found.lines()) <= 80


def test_every_kind_of_z_and_of_q_is_among_the_problems():
    kinds = {(model.family.name, posterior, model.latent_dim) for model, posterior, _, _ in SMALL}
    assert {family for family, *_ in kinds} == {"diagonal-gaussian", "categorical", "independent-bernoulli"}
    assert {posterior for _, posterior, _ in kinds} == {"free", "full", "amortised"}
    numbers = {model.family.name: {n for other, _, n, _ in SMALL if other == model} for model, *_ in SMALL}
    assert numbers["diagonal-gaussian"] | numbers["independent-bernoulli"] == {1, 2, 3}
    assert all(len(problem_of(model, kind, n_data=n).x) == n for model, kind, n, _ in SMALL)


# -- planted faults --------------------------------------------------------------------------------


def faulty(kind, change, name="faulty"):
    """Return an estimator whose estimates are changed: change(estimate (..., P), layout) -> estimate."""

    class Faulty(type(kind)):
        def estimate(self, problem, noise, state=NO_STATE):
            found, state = super().estimate(problem, noise, state)
            part = problem.model if self.target.startswith("grad-theta") else problem.posterior
            return change(found, part.layout), state

    Faulty.name = name
    return Faulty()


def proportional(share):
    return lambda found, layout: (1.0 - share) * found  # noqa: ARG005


def in_one_group(share):
    def change(found, layout):
        found = found.copy()
        next(iter(layout.views(found).values()))[...] *= 1.0 - share
        return found

    return change


def in_sign(share):
    """Too large in one coordinate of a datum and too small in the next: the length hardly changes."""

    def change(found, layout):
        found = found.copy()
        for number, block in enumerate(layout.views(found).values()):
            last = np.arange(block.shape[-1]) if block.ndim >= found.ndim else 0
            block *= 1.0 + share * (-1.0) ** (number + last)
        return found

    return change


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("fault", [proportional, in_one_group, in_sign])
@pytest.mark.parametrize("kind", [ScoreFunction(), Reparameterization(), IwaeTheta()], ids=lambda e: e.name)
def test_a_fault_of_some_per_cent_is_found_wherever_noise_is_integrated(kind, fault, share):
    found = check_unbiased(faulty(kind, fault(share)))
    rows = integrated(found)
    assert len(rows) >= 5 and not found.passed and not found.broken
    assert {row["verdict"] for row in rows} == {"FAIL"}
    if fault is not in_one_group:
        assert [row["bias"] for row in rows] == pytest.approx([share] * len(rows), abs=1e-9)


def test_a_gradient_that_is_ten_per_cent_too_small_shows_as_a_tenth():
    found = check_unbiased(faulty(ScoreFunction(), proportional(0.1), "ten-per-cent"))
    assert found.table().count("  0.1000  FAIL") == len(found.rows) == len(SMALL)
    assert found.conclusion.startswith(
        "FAILED: biased on 13 of 13 problems, by up to 0.1000 of the exact grad"
    )
    assert repr(found) == f"<Check of ten-per-cent: {found.conclusion}>"


class BaselineOfTheBatch(Estimator):
    """The mean of f over the batch as baseline, the datum's own f included: data share their noise."""

    name = "baseline-of-the-batch"
    target = "grad-phi-elbo"

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta = posterior.eta(phi, x)
        z = posterior.family.sample(eta, noise)
        f = log_weight(model, theta, x, posterior.family, eta, z)
        f = f - f.mean(axis=-1, keepdims=True)
        grad_eta = (f[..., None] * posterior.family.score(eta, z)).mean(axis=-3)
        return posterior.eta_vjp(phi, x, grad_eta / len(x)), state


def test_where_data_share_their_noise_all_of_it_is_integrated_together():
    found = check_unbiased(BaselineOfTheBatch())
    share = [1.0 / n_data for _, _, n_data, _ in SMALL]
    assert [row["bias"] for row in integrated(found)] == pytest.approx(share, abs=1e-9)


def test_a_mean_over_one_datum_too_few_is_found_though_two_data_hide_its_half():
    class OverTheOthers(ScoreFunction):
        name = "over-the-others"

        def estimate(self, problem, noise, state=NO_STATE):
            found, state = super().estimate(problem, noise, state)
            return found / max(len(problem.x) - 1, 1), state

    class Halved(OverTheOthers):
        name = "halved"

        def estimate(self, problem, noise, state=NO_STATE):
            found, state = ScoreFunction().estimate(problem, noise, state)
            return found * len(problem.x) / 2.0, state

    for wrong in (OverTheOthers(), Halved()):
        rows = check_unbiased(wrong).rows
        assert 3 in {row["n_data"] for row in rows if row["verdict"] == "FAIL"}
        assert {row["verdict"] for row in rows if row["n_data"] == 2} == {"ok"}


@pytest.mark.parametrize("n_data", [1, 3])
def test_a_fault_that_two_data_do_not_show_is_found_with_one_or_three(n_data):
    class OfSoMany(Reparameterization):
        name = "of-so-many"

        def estimate(self, problem, noise, state=NO_STATE):
            found, state = super().estimate(problem, noise, state)
            return found * (0.9 if len(problem.x) == n_data else 1.0), state

    rows = check_unbiased(OfSoMany()).rows
    assert {row["n_data"] for row in rows if row["verdict"] == "FAIL"} == {n_data}


class Clipped(Reparameterization):
    """Its noise has two kinks."""

    name = "clipped"

    def estimate(self, problem, noise, state=NO_STATE):
        return super().estimate(problem, np.clip(noise, -2.0, 2.0), state)


def test_a_fault_with_kinks_is_bisected():
    found = check_unbiased(Clipped())
    assert {row["verdict"] for row in found.rows} == {"FAIL"}
    assert {row["method"] for row in found.rows} == {"nodes", "bisection"}


@pytest.mark.parametrize("name", ["reparameterization", "elbo-sampled", "elbo-log-weight"])
def test_under_a_decoder_with_kinks_it_still_sees_a_millionth(name):
    relu = DeepBernoulli(3, 1, (3,), "relu")
    found = check_unbiased(name, relu)
    one_draw = [row for row in found.rows if row["draws"] == 1]
    assert len(one_draw) >= 2 and {row["verdict"] for row in one_draw} == {"ok"}
    assert {row["method"] for row in one_draw} == {"bisection"}
    assert max(row["bias"] for row in one_draw) < 1e-8
    (kind,) = (estimator for estimator in MEASURED if estimator.name == name)
    wrong = check_unbiased(faulty(kind, proportional(1e-5)), relu)
    assert {row["verdict"] for row in wrong.rows if row["draws"] == 1} == {"FAIL"}


@dataclass(frozen=True)
class Line(Model):
    """x ~ N(w z, s^2 I) in two columns, z from any family of one number, at fixed eta."""

    family: Family
    name = "line"
    layout = Layout((("w", (2,)), ("log_s", ())))
    n_columns = 2

    def prior_eta(self, theta):  # noqa: ARG002
        return np.full((1, self.family.eta_size), 0.2)

    def prior_eta_vjp(self, theta, grad_eta):  # noqa: ARG002
        return np.zeros((*grad_eta.shape[:-1], self.layout.size))

    def likelihood(self, theta, x, z):
        w, scale = theta[:2], np.exp(theta[2])
        r = (x - z * w) / scale
        squares = (r**2).sum(axis=-1)

        def pullback(cotangent):
            by_mean = cotangent[..., None] * r / scale
            by_log_s = (cotangent * (squares - 2.0)).sum(axis=(-2, -1))
            by_theta = np.concatenate([(by_mean * z).sum(axis=(-3, -2)), by_log_s[..., None]], axis=-1)
            return by_theta, fold_shared((by_mean * w).sum(axis=-1, keepdims=True), z)

        return -0.5 * squares - 2.0 * theta[2] - np.log(2.0 * np.pi), pullback

    def sample_x(self, theta, z, rng):
        return z * theta[:2] + np.exp(theta[2]) * rng.standard_normal((len(z), 2))

    def initial_theta(self, x):  # noqa: ARG002
        return np.zeros(3)


# With 0.4 as logarithm of the degrees of freedom a Student t has no variance, and the ELBO is infinite.
WITH_MOMENTS = (Laplace(1), Logistic(1), Gumbel(1), Exponential(1), Weibull(1), Gamma(1), Beta(1))


@pytest.mark.parametrize("family", WITH_MOMENTS, ids=lambda family: family.name)
def test_every_family_of_one_number_is_integrated(family):
    for name in ("score-function", "reparameterization"):
        found = check_unbiased(name, Line(family))
        one_draw = [row for row in found.rows if row["draws"] == 1]
        assert found.passed and {row["verdict"] for row in one_draw} == {"ok"}
        assert "draws" not in {row["method"] for row in one_draw}
    wrong = check_unbiased(faulty(ScoreFunction(), proportional(0.01)), Line(family))
    assert {row["verdict"] for row in wrong.rows if row["draws"] == 1} == {"FAIL"}


@pytest.mark.slow
def test_where_the_answer_is_infinite_nobody_is_blamed():
    found = check_unbiased("score-function", Line(StudentT(1)))
    assert "FAIL" not in {row["verdict"] for row in found.rows}
    assert found.conclusion == "FAILED: all tests are blind"


def test_bisection_finds_a_step_close_to_the_end_of_a_panel():
    # 1e-5 behind the end of a panel, where Gauss-Legendre nodes would not see it.
    edge = 1.0 / 36.0 + 1e-5

    class Step(Estimator):
        name, target = "step", "elbo"

        def noise_spec(self, family, n_draws, n_data):  # noqa: ARG002
            return NoiseSpec("uniform", (n_draws, n_data))

        def estimate(self, problem, noise, state=NO_STATE):  # noqa: ARG002
            return (noise[..., 0, :] < edge).mean(axis=-1, keepdims=True).astype(float), state

    problem = problem_of(SMALL[5][0], "free")
    found = moments(Step(), problem, NO_STATE, 1, 1e-10)
    assert found.method == "bisection" and abs(found.mean[0] - edge) < 1e-11


# -- by draws --------------------------------------------------------------------------------------


def test_what_is_only_sampled_says_what_it_could_have_seen():
    found = check_unbiased("vimco")
    sampled = [row for row in found.rows if row["method"] == "draws"]
    assert sampled
    for row in sampled:
        assert re.fullmatch(r"(ok|blind) < [\d.]+ %", row["verdict"])
        assert row["verdict"].startswith("ok") == (row["detectable"] <= 0.05)
    wrong = check_unbiased(faulty(Vimco(), proportional(1.5 * max(row["detectable"] for row in sampled))))
    assert {row["verdict"] for row in wrong.rows} == {"FAIL"}


def test_the_false_alarms_and_the_power_of_the_test_by_draws_are_as_stated(monkeypatch):
    # At 1 % over all coordinates more than 8 of 100 seeds come with a probability of 2e-6.
    monkeypatch.setattr(room, "FALSE_ALARM", 0.01)
    monkeypatch.setattr(room, "SAMPLED_NUMBERS", 100_000)
    problem, estimator = problem_of(GaussianMLE(1), "free"), ScoreFunctionLOO()
    answer = Exact(estimator.target).answer(problem)

    def verdict(kind, seed):
        return room._sampled(kind, problem, NO_STATE, 2, answer, seed)

    alarms = sum(verdict(estimator, seed)["verdict"] == "FAIL" for seed in range(100))
    assert alarms <= 8
    seen = verdict(estimator, 0)["detectable"]
    wrong = faulty(estimator, proportional(seen))
    found = sum(verdict(wrong, seed)["verdict"] == "FAIL" for seed in range(100))
    assert found >= stats.binom.ppf(1e-6, 100, 0.97)


# -- the contract ----------------------------------------------------------------------------------


def returning(change):
    """Return a score function whose (estimate, state) are changed: change(estimate, state) -> pair."""

    class Changed(ScoreFunction):
        name = "changed"

        def estimate(self, problem, noise, state=NO_STATE):
            return change(*super().estimate(problem, noise, state))

    return Changed()


class WritesToNoise(ScoreFunction):
    def estimate(self, problem, noise, state=NO_STATE):
        noise *= 1.0 + 1e-3
        return super().estimate(problem, noise, state)


class WritesToTheta(ScoreFunction):
    def estimate(self, problem, noise, state=NO_STATE):
        problem.theta[...] += 0.0 * problem.theta + 1e-3
        return super().estimate(problem, noise, state)


class DrawsByItself(ScoreFunction):
    def estimate(self, problem, noise, state=NO_STATE):
        found, state = super().estimate(problem, noise, state)
        return found + 0.01 * np.random.default_rng().standard_normal(found.shape), state


class MixesRepeats(ScoreFunction):
    def estimate(self, problem, noise, state=NO_STATE):
        found, state = super().estimate(problem, noise, state)
        return found - found.mean() + 1.0, state


class SumsDraws(ScoreFunction):
    def estimate(self, problem, noise, state=NO_STATE):
        found, state = super().estimate(problem, noise, state)
        n_draws = noise.shape[noise.ndim - len(problem.model.family.noise_spec(1, 1).shape)]
        return found * n_draws, state


class OnlyOfTwoDraws(ScoreFunctionLOO):
    """Multiplies the draws of a pair, and says that it is a plain mean."""

    independent_draws = False

    def estimate(self, problem, noise, state=NO_STATE):
        axis = noise.ndim - len(problem.model.family.noise_spec(1, 1).shape)
        pairs = [np.take(noise, [i, i + 1], axis=axis) for i in range(0, noise.shape[axis], 2)]
        return np.mean([super(OnlyOfTwoDraws, self).estimate(problem, pair)[0] for pair in pairs], 0), state


class LeaveOneOutForgets(ScoreFunctionLOO):
    independent_draws = False


class FirstDrawMatters(ScoreFunctionLOO):
    """The first draw counts twice as much as the others."""

    def estimate(self, problem, noise, state=NO_STATE):
        found, state = super().estimate(problem, noise, state)
        axis = noise.ndim - len(problem.model.family.noise_spec(1, 1).shape)
        first = np.take(noise, [0, 0], axis=axis)
        return found + 0.1 * ScoreFunction().estimate(problem, first)[0], state


class FirstDatumMatters(ScoreFunction):
    def estimate(self, problem, noise, state=NO_STATE):
        found, state = super().estimate(problem, noise, state)
        return found * (1.0 + 1e-3 * problem.x[0, 0]), state


class StateOfTheFirstDatum(ScoreFunctionRunningMean):
    """What is remembered depends on which datum comes first."""

    def estimate(self, problem, noise, state=NO_STATE):
        found, state = super().estimate(problem, noise, state)
        return found, state + 0.1 * problem.x[0, 0]


class GroupsForgotten(PiwaePhi):
    """Says two groups, and gives the draws of the first more weight."""

    def factors(self, log_w):
        factors = super().factors(log_w)
        factors[..., :1, :] *= 1.5
        return factors


class OddNoise(ScoreFunction):
    def noise_spec(self, family, n_draws, n_data):
        return NoiseSpec("cauchy", family.noise_spec(n_draws, n_data).shape)


class NoiseWithoutData(ScoreFunction):
    def noise_spec(self, family, n_draws, n_data):  # noqa: ARG002
        return NoiseSpec("normal", (n_draws,))


class KindByNumber(ScoreFunction):
    def noise_spec(self, family, n_draws, n_data):
        return NoiseSpec("normal" if n_data == 2 else "uniform", family.noise_spec(n_draws, n_data).shape)


class DrawsByNumber(ScoreFunction):
    def noise_spec(self, family, n_draws, n_data):
        return family.noise_spec(n_draws + n_data, n_data)


class NoInitialState(ScoreFunction):
    def initial_state(self, problem):  # noqa: ARG002
        return 0.0


class ForgetsItsBurnIn(ScoreFunctionRunningMean):
    burn_in = 0


class Raises(ScoreFunction):
    def estimate(self, problem, noise, state=NO_STATE):  # noqa: ARG002
        raise IndexError("list index\nout of range")


class Leaves(ScoreFunction):
    def estimate(self, problem, noise, state=NO_STATE):  # noqa: ARG002
        sys.exit(3)


BREAKERS = {
    "expected float64, got complex128": returning(lambda g, s: (g + 0j, s)),
    "expected float64, got float32": returning(lambda g, s: (g.astype(np.float32), s)),
    "expected an array of floats, got MaskedArray": returning(lambda g, s: (np.ma.array(g), s)),
    "expected an array of floats, got list": returning(lambda g, s: (g.tolist(), s)),
    "expected float64, got object": returning(lambda g, s: (g.astype(object), s)),
    "not finite": returning(lambda g, s: (g * np.nan, s)),
    "expected shape": returning(lambda g, s: (g[..., :-1], s)),
    "expected shape (3, ": returning(lambda g, s: (g.reshape(-1, g.shape[-1])[0], s)),
    "expected a pair (estimate, state), got ndarray": returning(lambda g, s: g),  # noqa: ARG005
    "state: expected an array of floats": returning(lambda g, s: (g, [])),  # noqa: ARG005
    "state: not finite": type(
        "Lost",
        (ScoreFunctionRunningMean,),
        {"estimate": lambda _, p, n, s=NO_STATE: (ScoreFunction().estimate(p, n)[0], s + np.inf)},
    )(),
    "initial_state: expected an array of floats, got float": NoInitialState(),
    "burn_in is 0": ForgetsItsBurnIn(),
    "writes to its inputs (noise)": WritesToNoise(),
    "writes to its inputs (theta)": WritesToTheta(),
    "two calls on the same noise differ": DrawsByItself(),
    "repeats leak into each other": MixesRepeats(),
    "is not the mean of two estimates": SumsDraws(),
    "multiplies one draw with another": OnlyOfTwoDraws(),
    "from 4 draws is not the mean of two estimates": LeaveOneOutForgets(),
    "order of its draws": FirstDrawMatters(),
    "order of its draws (in groups": GroupsForgotten(2),
    "order of the data": FirstDatumMatters(),
    "order of the data (with": StateOfTheFirstDatum(),
    "noise_spec: expected NoiseSpec('normal' or 'uniform'": OddNoise(),
    "noise_spec: expected a shape (draws, N, ...)": NoiseWithoutData(),
    "must differ in N alone between two and three data, got NoiseSpec(kind='normal'": KindByNumber(),
    "noise_spec: must differ in N alone between two and three data": DrawsByNumber(),
    "it raises IndexError: list index out of range": Raises(),
    "it leaves the interpreter (exit code 3)": Leaves(),
}


for breaker in BREAKERS.values():
    type(breaker).name = "breaker"  # none may have the name of what it breaks


@pytest.mark.parametrize("sentence", BREAKERS)
def test_a_broken_promise_is_said_in_one_sentence(sentence):
    estimator = BREAKERS[sentence]
    problem = problem_of(GaussianMLE(1), "free")
    draws = 4 if isinstance(estimator, PiwaePhi) else max(2, estimator.minimum_draws)
    said = list(broken_promises(estimator, problem, draws))
    assert [line for line in said if sentence in line], said
    assert not any("\n" in line for line in said)
    found = check_unbiased(estimator, "gaussian-mle")
    assert not found.passed and found.broken
    assert "FAILED" in found.conclusion


@pytest.mark.parametrize("dtype", [complex, object])
def test_compare_refuses_estimates_that_are_no_floats_in_one_line(dtype):
    estimator = returning(lambda g, s: (g.astype(dtype), s))
    with pytest.raises(
        TypeError, match=r"^estimator 'changed': expected estimates that are floats, got dtype"
    ):
        compare("gaussian-mle", estimators=[estimator], rows=4, repeats=20)


@pytest.mark.parametrize("estimator", [WritesToTheta(), WritesToNoise(), DrawsByItself()])
def test_what_follows_from_a_broken_promise_is_not_said(estimator):
    assert len(check_unbiased(estimator, "gaussian-mle").broken) == 1


def test_a_promise_that_is_broken_in_places_says_where():
    class OnlyFree(ScoreFunction):
        name = "only-free"

        def estimate(self, problem, noise, state=NO_STATE):
            if problem.posterior.name == "amortised":
                raise IndexError
            return super().estimate(problem, noise, state)

    (sentence,) = check_unbiased(OnlyFree()).broken
    assert sentence == "it raises IndexError, on gaussian-mle, amortised q, N = 2 and on 2 more"


# -- what it is given ------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnlyBits(ScoreFunction):
    name = "only-bits"

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        Reparameterization().check_pairing(model, posterior)


def test_problems_that_do_not_suit_an_estimator_are_named_with_the_reason():
    found = check_unbiased("reparameterization")
    assert len(found.rows) == 7 and len(found.refused) == 6
    assert set(found.refused.values()) == {
        "categorical z has no pathwise derivative",
        "independent-bernoulli z has no pathwise derivative",
    }
    with pytest.raises(
        ValueError, match=r"^model: expected a problem that suits reparam.*, got categorical z"
    ):
        check_unbiased("reparameterization", "gaussian-mixture:full")


class WithArguments(ScoreFunction):
    name = "with-arguments"

    def __init__(self, k):
        pass


class NoPairing(ScoreFunction):
    name = "no-pairing"

    def check_pairing(self, model, posterior):  # noqa: ARG002
        raise RuntimeError("cannot say")


MISTAKES = [
    (
        (type("T", (ScoreFunction,), {"name": "a\x1b[31mb"}),),
        ValueError,
        r"^estimators: expected an estimator with a name that can be printed, got 'a\\x1b\[31mb'",
    ),
    (
        (type("T", (ScoreFunction,), {"name": "mine", "title": "long " * 13}),),
        ValueError,
        "^estimators: expected an estimator whose name and title have at most 60 characters, got 'mine'",
    ),
    ((WithArguments,), ValueError, r"^WithArguments\(\): it raises TypeError: .*missing 1 required"),
    (
        (NoPairing,),
        ValueError,
        "^check_pairing of no-pairing: it raises RuntimeError: cannot say, in check_p",
    ),
    (("nothing-like-this",), ValueError, "^estimator: expected a known name"),
    (("exact",), ValueError, "^estimator: expected one estimator with draws, got 'exact'"),
    ((3,), TypeError, "^estimator: expected"),
    (("vimco", "no-model"), ValueError, "^model: expected"),
    (
        (type("T", (ScoreFunction,), {"name": "t", "target": "grad-phi"}),),
        ValueError,
        "^target of t: expected",
    ),
]


@pytest.mark.parametrize(("arguments", "error", "line"), MISTAKES)
def test_a_mistake_is_one_line(arguments, error, line):
    with pytest.raises(error, match=line) as caught:
        check_unbiased(*arguments)
    assert "\n" not in str(caught.value)


FILE = """
from elbo_lab.estimators import NO_STATE, ScoreFunction
from elbo_lab.models import PPCA


class Right(ScoreFunction):
    name = "right"


class Wrong(ScoreFunction):
    name = "wrong"

    def estimate(self, problem, noise, state=NO_STATE):
        gradient, state = super().estimate(problem, noise, state)
        return 0.9 * gradient, state


class WrongModel(PPCA):
    name = "wrong-model"

    def likelihood(self, theta, x, z):
        value, pullback = super().likelihood(theta, x, z)
        return value, lambda c: tuple(1.1 * part for part in pullback(c))


class Open(Right):
    estimate = None


class WithoutDraws(PPCA):
    name = "without-draws"
    sample_x = None


class Raises(PPCA):
    name = "raises"

    def likelihood(self, theta, x, z):
        raise IndexError("out of range")


right, number = Right(), 3
"""
COMMANDS = [
    ("reparameterization", 0, "on 7 of 7 problems (N = 1, 2 or 3, S up to"),
    ("mine.py:Right", 0, "right: grad-phi-elbo, declared unbiased"),
    ("mine:right", 0, "contract: holds"),
    ("mine.py:Right mine.py:Wrong", 1, "FAILED: biased on 13 of 13 problems, by up to 0.1000 of the exact"),
    ("mine.py:Right --model ppca", 0, "ppca"),
    ("mine.py:WrongModel", 1, "FAILED: grad_z of likelihood alone of wrong-model"),
    ("mine.py:Right --model mine.py:WrongModel", 2, "grad_z of likelihood alone of wrong-model"),
    ("mine.py:Raises", 1, "FAILED: raises: it raises IndexError: out of range"),
    ("mine.py:Open", 2, "name: expected a class with all methods of Estimator, got Open without estimate"),
    ("mine.py:WithoutDraws", 2, "name: expected a class with all methods of Model, got WithoutDraws without"),
    ("mine.py:Right --json mine.py --force", 2, "--json: expected another file than that of name, got"),
    ("mine:Right --json mine.py --force", 2, "--json: expected another file than that of name, got"),
    ("arm --model mine.py:WrongModel --json mine.py --force", 2, "another file than that of --model, got"),
    ("ppca", 0, "ppca: a model"),
    ("exact", 2, "name: expected an estimator with draws, got 'exact'"),
    ("reparamet", 2, "did you mean 'reparameterization'?"),
    ("mine.py:Nothing", 2, "name: expected a class or an object of mine.py, got 'Nothing'; it has"),
    ("mine.py:number", 2, "name: expected an Estimator or a Model, got mine.py:number, a int"),
    ("none.py:Right", 2, "name: expected an existing file, got 'none.py'"),
    ("no_such_module:Right", 2, "name: expected a module that can be imported, got 'no_such_module' (Module"),
    (
        "broken.py:Right",
        2,
        "name: expected a module that can be imported, got 'broken.py' (ZeroDivisionError",
    ),
    ("leaves.py:Right", 2, "it leaves the interpreter (exit code 3)"),
    ("gaussian-mixture:diagonal", 0, "gaussian-mixture:diagonal: a model"),
    ("right --model vimco", 2, "--model: expected a model, got 'vimco', an estimator"),
]


def test_the_file_of_a_check_holds_all_rows(tmp_path, capsys):
    path = tmp_path / "check.json"
    assert main(["check", "arm", "ppca", "--json", str(path)]) == 0
    estimator, model = json.loads(path.read_text(encoding="utf-8"))["checks"]
    assert estimator["estimator"] == "arm" and estimator["passed"] and estimator["broken"] == []
    assert [row["verdict"] for row in estimator["rows"]] == ["ok"] * 4
    assert model == {"model": "ppca", "passed": True, "broken": []}
    assert f"written: {path}" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "code", "said"), COMMANDS)
def test_the_command_line_says_it_with_its_exit_code(words, code, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, text in {"mine": FILE, "broken": "1 / 0", "leaves": "raise SystemExit(3)"}.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    words = words.replace("right --model", "mine.py:right --model")
    assert main(["check", *words.split()]) == code
    out, err = capsys.readouterr()
    assert said in (err if code == 2 else out)
    assert not err or (code == 2 and err.count("\n") == 1)
    assert (tmp_path / "mine.py").read_text(encoding="utf-8") == FILE
