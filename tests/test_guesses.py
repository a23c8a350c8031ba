"""Guesses and predictions: nothing gives them away before they are kept, and the first ones count."""

import json
import re
import runpy
from dataclasses import replace

import numpy as np
import pytest

from elbo_lab.cli.main import main
from elbo_lab.exercises import EXERCISES
from elbo_lab.exercises.candidates import BIASED, SETTING, UNBIASED, run_source, source
from elbo_lab.exercises.checking import check_source
from elbo_lab.exercises.find_the_biased_estimator import LETTERS, z_scores
from elbo_lab.exercises.grading import grade, run_here
from elbo_lab.exercises.one_latent import elbo_gradient, one_latent
from elbo_lab.exercises.predict_then_run import EXPERIMENTS
from elbo_lab.exercises.running import read_source
from elbo_lab.exercises.stub import file_name, stub

FIND = EXERCISES["find-the-biased-estimator"]
PREDICT = EXERCISES["predict-then-run"]
SPOT = EXERCISES["variance-or-standard-deviation"]
Z_SCORES = """
def z_scores(estimates, exact):
    standard_error = np.std(estimates, axis=0, ddof=1) / np.sqrt(len(estimates))
    return (np.mean(estimates, axis=0) - exact) / standard_error
"""
SEED = 4
RIGHT = FIND.scene_of(SEED)["biased"]
OTHER = next(letter for letter in LETTERS if letter != RIGHT)


def write(folder, exercise, guesses, seed=SEED, more=""):
    """Write a stub with guesses {function: value}, and more definitions at its end."""
    path = folder / file_name(exercise)
    lines = [f"def {name}():\n    return {value!r}\n" for name, value in guesses.items()]
    path.write_text("\n\n".join([stub(exercise, seed, path.name), *lines, more]), encoding="utf-8")
    return path


def check(path, capsys):
    """Check a file; return the exit code, what was printed, and the record."""
    record = path.with_suffix(".json")
    code = main(["exercise", "check", str(path), "--json", str(record)])
    return code, " ".join(capsys.readouterr().out.split()), json.loads(record.read_text())


def right(exercise, seed=SEED):
    return {one.name: one.reference() for one in exercise.of_seed(seed).functions if one.guess}


def kept(path):
    return json.loads(path.with_suffix(".guesses.json").read_text())["kept"]


def test_before_a_guess_everything_else_is_graded_and_nothing_is_shown(tmp_path, capsys):
    path = write(tmp_path, FIND, {}, more=Z_SCORES)
    code, text, record = check(path, capsys)
    assert (code, record["points"], record["answer"], record["guesses"]["first"]) == (1, 5, "", {})
    assert "your guess comes first" in text.lower()
    assert "biased has no guess yet" in text
    assert f"{RIGHT} is biased" not in text
    assert not path.with_suffix(".guesses.json").exists()


def test_a_right_guess_gets_its_points_and_the_answer(tmp_path, capsys):
    path = write(tmp_path, FIND, {"biased": RIGHT.lower()}, more=Z_SCORES)  # in any case
    code, text, record = check(path, capsys)
    assert (code, record["points"]) == (0, 10)
    assert f"You guessed {RIGHT}. {RIGHT} is biased" in text
    assert record["guesses"]["first"] == {"biased": RIGHT}


def test_the_first_guess_counts_and_a_later_one_is_told_so(tmp_path, capsys):
    _, text, record = check(write(tmp_path, FIND, {"biased": OTHER}, more=Z_SCORES), capsys)
    assert record["points"] == 5
    assert f"You guessed {OTHER}. {RIGHT} is biased" in text
    code, text, record = check(write(tmp_path, FIND, {"biased": RIGHT}, more=Z_SCORES), capsys)
    assert (code, record["points"], record["guesses"]["changed"]) == (1, 5, ["biased"])
    assert f"that one counts: biased = '{OTHER}'" in text


def test_a_guess_of_another_seed_is_another_guess(tmp_path, capsys):
    check(write(tmp_path, FIND, {"biased": OTHER}), capsys)
    path = write(tmp_path, FIND, {"biased": FIND.scene_of(SEED + 1)["biased"]}, SEED + 1, Z_SCORES)
    assert check(path, capsys)[2]["points"] == 10
    assert [one["seed"] for one in kept(path)] == [SEED, SEED + 1]


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        ("F", "returned 'F', expected one of 'A', 'B', 'C', 'D', 'E'"),
        (1.0, "returned 1.0, expected one of"),
        ([1, 2], "expected one of"),
    ],
)
def test_an_impossible_guess_is_not_kept(tmp_path, capsys, guess, said):
    path = write(tmp_path, FIND, {"biased": guess}, more=Z_SCORES)
    code, text, _ = check(path, capsys)
    assert code == 1
    assert said in text
    assert not path.with_suffix(".guesses.json").exists()


@pytest.mark.parametrize(("guess", "said"), [("'many'", "expected a number"), ("np.inf", "a finite number")])
def test_a_prediction_that_is_no_number_is_not_kept(tmp_path, capsys, guess, said):
    more = f"def log_p():\n    return {guess}\n"
    path = write(tmp_path, PREDICT, right(PREDICT), more=more)
    code, text, _ = check(path, capsys)
    assert code == 1
    assert said in text
    assert not path.with_suffix(".guesses.json").exists()


KEPT = '{"kept": [{"exercise": "find-the-biased-estimator", "seed": 1, "time": "", "guesses": %s}]}'


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"kept": 3}', '{"kept": [{"seed": 1}]}', '{"kept": ["a"]}']
    + [KEPT % guesses for guesses in ("{}", "[]", '{"biased": {}}')],
)
def test_a_broken_file_of_guesses_is_a_mistake_in_one_line(tmp_path, capsys, content):
    path = write(tmp_path, FIND, {"biased": RIGHT})
    path.with_suffix(".guesses.json").write_text(content)
    assert main(["exercise", "check", str(path)]) == 2
    assert "find_the_biased_estimator.guesses.json" in capsys.readouterr().err
    assert path.with_suffix(".guesses.json").read_text() == content


def test_the_report_cannot_take_the_place_of_the_guesses(tmp_path, capsys):
    path = write(tmp_path, FIND, {"biased": RIGHT})
    beside = path.with_suffix(".guesses.json")
    assert main(["exercise", "check", str(path), "--json", str(beside)]) == 2
    assert "--json: expected another file than that of guesses" in capsys.readouterr().err
    assert not beside.exists()


def test_predictions_are_kept_before_the_experiments_run(tmp_path):
    path = write(tmp_path, PREDICT, right(PREDICT))
    seen = []

    def answer(_, guesses):
        seen.append(kept(path)[0]["guesses"] == guesses)
        return ""

    check_source(replace(PREDICT, answer=answer), SEED, read_source("file", str(path)), 30.0)
    assert seen == [True]


def test_five_of_six_predictions_show_nothing(tmp_path, capsys):
    guesses = right(PREDICT)
    del guesses["log_p"]
    code, text, record = check(write(tmp_path, PREDICT, guesses), capsys)
    assert (code, record["points"], record["answer"]) == (1, 0, "")
    assert "log_p has no guess yet" in text


def test_all_wrong_predictions_have_the_points_for_predicting_and_a_diagnosis_each(tmp_path, capsys):
    scene = PREDICT.scene_of(SEED)
    guesses = right(PREDICT) | {
        "variance_factor": float(np.sqrt(scene["draws"])),
        "log_p": scene["elbo"] - scene["kl"],
        "bound_with_more_draws": "falls",
    }
    _, text, record = check(write(tmp_path, PREDICT, guesses), capsys)
    assert record["points"] == PREDICT.points - 3
    assert "that is the factor of the standard deviation" in text
    assert "the KL was subtracted" in text
    assert "bound_with_more_draws: you said falls. Result:" in text


def test_the_given_functions_wait_for_the_guess(tmp_path, capsys):
    code, text, record = check(write(tmp_path, SPOT, {}), capsys)
    assert (code, record["points"]) == (1, 0)
    assert not any(law["diagnosis"] for law in record["laws"])
    assert "wrong_function has no guess yet" in text


@pytest.mark.parametrize("seed", range(8))
def test_of_the_given_functions_one_is_wrong_and_all_others_have_their_points(seed, tmp_path):
    path = write(tmp_path, SPOT, {}, seed)
    functions = runpy.run_path(str(path)) | {
        "wrong_function": SPOT.of_seed(seed).function("wrong_function").reference
    }
    calls = [call for law in SPOT.laws for call in law.calls(SPOT.scene_of(seed))]
    report = grade(SPOT, seed, run_here(functions, calls))
    lost = {law.law.partition(":")[0] for law in report.laws if law.points < law.of}
    assert lost == {SPOT.scene_of(seed)["wrong"]}
    assert all(
        law.diagnosis.startswith(law.law.partition(":")[0]) for law in report.laws if law.points < law.of
    )


def test_every_letter_and_every_function_is_the_culprit_for_some_seed():
    assert {FIND.scene_of(seed)["biased"] for seed in range(40)} == set(LETTERS)
    assert len({SPOT.scene_of(seed)["wrong"] for seed in range(40)}) == 5


@pytest.mark.parametrize("seed", [0, 1])
def test_candidates_are_biased_or_not_as_they_say(seed):
    scene = one_latent(np.random.default_rng(seed))
    setting = SETTING.format(x=scene["x"].tolist(), w=scene["w"].tolist(), mean=scene["mean"], sd=scene["sd"])
    noise = np.random.default_rng(seed).standard_normal((40_000, 4))
    for idea, body in (UNBIASED | BIASED).items():
        estimates = run_source(source(setting, {"candidate": body}))["candidate"](noise)
        largest = np.abs(z_scores(estimates, elbo_gradient(scene))).max()
        # 26 statistical checks; a normal deviate exceeds 5.5 once in 26 million.
        assert largest > 30 if idea in BIASED else largest < 5.5, idea


@pytest.mark.parametrize("seed", range(2))
def test_the_experiments_agree_with_the_right_predictions(seed):
    scene, rng = PREDICT.scene_of(seed), np.random.default_rng(seed)
    said = {name: experiment(scene, rng) for name, experiment in EXPERIMENTS.items()}
    numbers = {name: [float(one) for one in re.findall(r"-?\d+\.\d+", text)] for name, text in said.items()}
    assert numbers["variance_factor"][-1] == pytest.approx(scene["draws"], rel=0.06)
    reinforce, leave_one_out, reparameterization = numbers["least_noisy_at_the_posterior"]
    assert leave_one_out == 0.0 < reparameterization < reinforce
    before, after, elbo, better = numbers["log_p_after_a_phi_step"]
    assert before == after > better > elbo
    assert numbers["log_p"][-1] == pytest.approx(before, abs=2e-4)
    few, many, log_p = numbers["bound_with_more_draws"]
    assert few < many < log_p
    first, last = numbers["signal_to_noise_with_more_draws"]
    assert last < 0.3 * first


def test_an_answer_that_imports_the_lab_keeps_no_guess(tmp_path, capsys):
    path = write(tmp_path, FIND, {"biased": RIGHT}, more="import elbo_lab")
    assert check(path, capsys)[2]["points"] == 0
    assert not path.with_suffix(".guesses.json").exists()
