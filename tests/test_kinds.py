"""Wrong kinds of arguments: every public function names the argument, in one line, before its work."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from elbo_lab import (
    advise,
    check_model,
    check_unbiased,
    compare,
    difference,
    draws_needed,
    encode,
    evaluate,
    exact,
    fit,
    load,
    load_fitted,
    make_problem,
)
from elbo_lab.em import EMFit, fit_closed_form, fit_em
from elbo_lab.errors import UserMistake
from elbo_lab.estimators import Reparameterization
from elbo_lab.evaluation import importance_nll
from elbo_lab.kinds import checks_kinds, kinds_of
from elbo_lab.models import PPCA, GaussianMixture
from elbo_lab.theory import COSTS, cost_variances, crossover
from elbo_lab.training import ElboObjective, Plan, Training, find_optimizer, parse_schedule

X = np.random.default_rng(0).normal(size=(12, 3))
WRONG = {
    "3": 3,
    "1.5": 1.5,
    "None": None,
    "bytes": b"x",
    "object": object(),
    "list": [],
    "nan": float("nan"),
    "empty": "",
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run of compare and a checkpoint, as files."""
    folder = tmp_path_factory.mktemp("stored")
    compare("ppca", estimators="elbo-sampled", data=X, latent=1, repeats=2).to_json(folder / "run.json")
    fit("ppca", X, latent=1, checkpoint=folder / "fit.npz")
    return folder


def calls(folder):
    """Return {function: arguments with which it works, and is quick}."""
    small = {"data": X, "draws": 4, "repeats": 20, "threads": 1}
    return {
        compare: {"models": "ppca", "estimators": "elbo-sampled", "latent": 1, **small},
        advise: {"model": "ppca", "latent": 1, **small},
        draws_needed: {"model": "ppca", "data": X, "latent": 1},
        make_problem: {"model": "ppca", "data": X, "latent": 1},
        difference: {"a": folder / "run.json", "b": folder / "run.json"},
        fit: {"model": "ppca", "data": X, "latent": 1, "threads": 1},
        evaluate: {"checkpoint": folder / "fit.npz", "data": X, "threads": 1},
        encode: {"checkpoint": folder / "fit.npz", "data": X},
        load: {"source": X},
        load_fitted: {"path": folder / "fit.npz"},
        check_unbiased: {"estimator": Reparameterization(), "model": "ppca"},
        fit_em: {"model": PPCA(3, 1), "x": X},
        EMFit: {"model": GaussianMixture(3, 1, "full"), "x": X},
        fit_closed_form: {"model": PPCA(3, 1), "x": X},
        Plan: {"epochs": 1},
        find_optimizer: {"name": "sgd"},
        parse_schedule: {"text": "constant"},
    }


# What would be wrong elsewhere: an empty folder name is the current folder, which only sets from files read,
# and a training may have no recorders.
ACCEPTED = {(name, "data_dir", "empty") for name in ("fit", "evaluate", "encode", "load")}
ACCEPTED.add(("Training", "recorders", "list"))
# Arguments that the error calls by what they stand for.
CALLED = {
    ("load", "source"): "data",
    ("load_fitted", "path"): "checkpoint",
    ("fit", "resume"): "checkpoint",
    ("fit_em", "x"): "data",
    ("EMFit", "x"): "data",
    ("fit_closed_form", "x"): "data",
    ("find_optimizer", "name"): "optimizer",
    ("find_optimizer", "value"): "optimizer",
    ("parse_schedule", "text"): "schedule",
    ("to_json", "path"): "json",
    ("to_csv", "path"): "csv",
}


def refusal(function, arguments):
    """Return the line with which a function refuses its arguments, or None if it takes them."""
    try:
        function(**arguments)
    except UserMistake as mistake:
        assert isinstance(mistake, (TypeError, ValueError))
        return str(mistake)
    return None


def is_no_mistake(function, name, word):
    """Return whether a value is what the signature asks for."""
    parameter = inspect.signature(function).parameters[name]
    admitted = kinds_of(function.__init__ if isinstance(function, type) else function).get(name, [])
    if word == "None":
        return parameter.default is None
    by_kind = {"3": int in admitted or float in admitted, "1.5": float in admitted}
    return by_kind.get(word, (function.__name__, name, word) in ACCEPTED)


PUBLIC = list(calls(Path()))


def hold(function, arguments):
    """Hold that every argument of a wrong kind is named in one line."""
    named = {n: p for n, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD}
    for name, parameter in named.items():
        for word, value in WRONG.items():
            if is_no_mistake(function, name, word):
                continue
            line = refusal(function, arguments | {name: value})
            assert line is not None, (parameter, value)
            assert "\n" not in line and len(line) < 600, line
            other = CALLED.get((function.__name__, name), name)
            assert line.startswith((name, other)), (parameter, line)


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)
def test_every_argument_of_a_wrong_kind_is_named_in_one_line(function, stored):
    hold(function, calls(stored)[function])


def test_the_methods_of_results_and_the_objects_of_a_training_name_theirs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # nothing may be written
    run = compare("ppca", estimators="elbo-sampled", data=X, latent=1, repeats=2)
    vae = fit("deep-gaussian:fixed", X, latent=1, hidden=(3,), epochs=1)
    objective = ElboObjective(vae.model, vae.posterior, X)
    table = {
        run.table: {},
        run.to_json: {},
        run.to_csv: {},
        run.plot: {},
        vae.to_json: {"path": "fit.json"},
        vae.generate: {"n": 3, "rng": np.random.default_rng(0)},
        Training: {"objective": objective, "plan": Plan(epochs=1)},
        ElboObjective: {"model": vae.model, "posterior": vae.posterior, "x": X},
        importance_nll: {"problem": vae.problem(X)},
        cost_variances: {"cost": COSTS["wave"](1.0), "mu": 1.0, "sigma": 1.0},
        crossover: {"costs": COSTS["wave"], "low": 0.5, "high": 2.0},
        check_model: {"model": "ppca"},
    }
    for function, arguments in table.items():
        hold(function, arguments)
    assert not list(tmp_path.iterdir())


def test_a_function_that_reads_its_arguments_too_late_would_be_found():
    def late(*, draws: int = 1):
        return range(draws)

    with pytest.raises(TypeError, match="cannot be interpreted") as fault:
        refusal(late, {"draws": 1.5})
    assert not isinstance(fault.value, UserMistake)
    line = refusal(checks_kinds(late), {"draws": 1.5})
    assert line == "draws: expected a whole number, got 1.5"


def test_numbers_of_numpy_are_numbers_and_truth_values_are_none():
    @checks_kinds
    def function(count: int, rate: float | None = None):
        return count, rate

    assert function(np.int32(3), np.float32(0.5)) == (3, 0.5)
    for wrong in ({"count": True}, {"count": 1, "rate": True}, {"count": np.float64(2.0)}):
        assert refusal(function, wrong) is not None


DECLARATIONS = [
    ({"unbiased": 3}, "unbiased of mine: expected True or False"),
    ({"independent_draws": "x"}, "independent_draws of mine: expected True or False"),
    ({"is_reference": 1.5}, "is_reference of mine: expected True or False"),
    ({"name": ""}, "estimators: expected an estimator with a name"),
    ({"name": 3}, "estimators: expected an estimator with a name"),
    ({"target": "elbow"}, "target of mine: "),
    ({"minimum_draws": 1.5}, "minimum_draws of mine: expected a whole number"),
    ({"burn_in": -1}, "burn_in of mine: expected a whole number"),
    ({"initial_state": lambda *_: 3}, "state of estimator 'mine': expected an array of numbers"),
    (
        {"initial_state": lambda *_: np.array(["a"])},
        "state of estimator 'mine': expected an array of numbers",
    ),
    ({"noise_spec": lambda *_: 3}, "noise_spec of estimator 'mine': expected a NoiseSpec"),
    ({"estimate": lambda *_: 3}, "estimator 'mine': expected a pair"),
    ({"name": "reparameterization"}, "estimators: expected a name of its own, got Mine"),
]


@pytest.mark.parametrize(("wrong", "line"), DECLARATIONS)
def test_a_wrong_declaration_of_a_users_estimator_is_named(wrong, line):
    mine = type("Mine", (Reparameterization,), {"name": "mine"} | wrong)
    arguments = {"models": "ppca", "data": X, "latent": 1, "draws": 2, "repeats": 2, "threads": 1}
    found = refusal(compare, arguments | {"estimators": mine()})
    assert found is not None and line in found and "\n" not in found


@pytest.mark.parametrize("function", [exact.log_evidence, exact.elbo, exact.kl, exact.gradients])
@pytest.mark.parametrize("wrong", [None, 3, "ppca", X, (1, 2)], ids=["None", "3", "text", "array", "tuple"])
def test_an_exact_quantity_of_no_problem_is_refused(function, wrong):
    with pytest.raises(TypeError, match=r"^problem: expected a Problem, got .*make_problem returns one$"):
        function(wrong)


def test_a_problem_without_a_model_or_a_q_has_no_elbo():
    problem = make_problem("ppca", X, latent=1)
    with pytest.raises(TypeError, match=r"^model: expected a Model, got 'ppca'"):
        exact.log_evidence(problem._replace(model="ppca"))
    for function in (exact.elbo, exact.kl, exact.gradients):
        with pytest.raises(TypeError, match=r"^posterior: expected a Posterior, got None"):
            function(problem._replace(posterior=None))
    assert exact.log_evidence(problem._replace(posterior=None)).value.shape == (12,)
