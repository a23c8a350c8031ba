"""Why a combination of model, q, objective and estimator is empty: computed, and true."""

import ast
from pathlib import Path

import numpy as np
import pytest

import elbo_lab
from elbo_lab.distributions import DiagonalGaussian, FullGaussian
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.estimators import ESTIMATORS, Estimator, Reparameterization
from elbo_lab.fitting.grid import grid
from elbo_lab.models import PPCA
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import find_estimators

ROOMS = ("estimators", "posteriors", "training", "distributions")
# What is refused there and is no combination of model, q, objective and estimator, by file.
OTHERS = {
    "distributions/base.py": {"mean_and_root", "moments", "natural_step", "one_hot", "projected"},
    "distributions/independent.py": {"moments_of_one"},
    "distributions/sources.py": {"check"},
    "estimators/iwae_gradients/of_bounds.py": {"check_draws"},
    "estimators/iwae_values.py": {"check_draws"},
    "estimators/per_node.py": {"__post_init__", "all_draws"},
    "posteriors/base.py": {"to_dict", "from_dict"},
    "training/natural.py": {"of"},
    "training/temperature.py": {"cooled"},
}


def refusals_without_a_reason():
    """Return {(file, function)} of every NotApplicable in the rooms that is built without a reason."""
    root = Path(elbo_lab.__file__).parent
    found = set()
    for path in (path for room in ROOMS for path in (root / room).rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in ast.walk(function):
                named = isinstance(call, ast.Call) and getattr(call.func, "id", "") == "NotApplicable"
                if named and len(call.args) + len(call.keywords) < 2:
                    found.add((str(path.relative_to(root)), function.name))
    return found


def test_every_refusal_of_a_combination_has_a_reason_of_the_closed_list():
    assert refusals_without_a_reason() == {(file, name) for file, names in OTHERS.items() for name in names}


def test_every_reason_is_one_line_of_its_own():
    lines = [reason.value for reason in Reason]
    assert len(set(lines)) == len(list(Reason.__members__)) == len(lines)
    assert all("\n" not in line and len(line) <= 100 and not line.endswith(".") for line in lines)


def test_no_estimator_of_the_package_judges_a_pairing_by_itself():
    assert {type(one).check_pairing for one in ESTIMATORS} == {Estimator.check_pairing}


def test_the_family_of_q_decides_and_not_that_of_the_prior():
    class Pathless(DiagonalGaussian):
        has_path = False

    model = PPCA(3, 1)
    Reparameterization().check_pairing(model, FreePosterior(FullGaussian(1), 2))
    with pytest.raises(NotApplicable) as refused:
        Reparameterization().check_pairing(model, FreePosterior(Pathless(1), 2))
    assert refused.value.reason is Reason.NO_PATH


class WrittenEarlier(Estimator):
    """A plug-in that knows of no reasons."""

    name = "written-earlier"
    target = "grad-phi-elbo"

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        if posterior.family.size > 1:
            raise NotApplicable("one latent, please")

    def estimate(self, problem, noise, state=None):  # noqa: ARG002
        return np.zeros_like(problem.phi), state


def test_a_plug_in_written_before_there_were_reasons_still_refuses_in_its_words():
    (own,) = find_estimators(WrittenEarlier())
    own.check_pairing(PPCA(3, 1), FreePosterior(DiagonalGaussian(1), 2))
    with pytest.raises(NotApplicable, match=r"^one latent, please$") as refused:
        own.check_pairing(PPCA(3, 2), FreePosterior(DiagonalGaussian(2), 2))
    assert refused.value.reason is None


def test_a_kind_of_latents_that_is_not_known_is_refused():
    class Misspelt(WrittenEarlier):
        name = "misspelt"
        latents = "bit"

    with pytest.raises(ValueError, match="latents of misspelt: expected one of any, discrete, bits"):
        find_estimators(Misspelt())


def test_kinds_of_a_model_that_are_alike_share_a_line_and_the_table_says_so():
    lines = grid("deep-gaussian,ppca", objectives="elbo", estimators="reparameterization").lines(100)
    assert "Kinds of a model, as deep-gaussian:fixed, share a line if they are alike." in lines
    assert sum(line.startswith("deep-gaussian") for line in lines) == 1
    assert max(map(len, lines)) <= 100
    alone = grid("sigmoid-belief,ppca", objectives="elbo", estimators="reparameterization").lines(100)
    assert not any("share a line" in line for line in alone)
