"""Paired ratios of variances: antisymmetric, sharper than unpaired ones, and covering what they say."""

import json

import numpy as np
import pytest
from cases import MODELS, make_case
from estimator_laws import BY_NAME, noise_for
from noise_integrals import estimate, exact_variance

from elbo_lab import compare
from elbo_lab.comparison.ratios import Ratio, judged, paired_ratio
from elbo_lab.errors import UserMistake
from elbo_lab.report.ratios import ratio_lines
from elbo_lab.study.measure import batch_sizes
from elbo_lab.study.moments import Moments

STUDIES = 400
# As in tests/test_moments.py: 95 % falls below with probability 2e-5, 85 % stays above with 0.002.
LEAST_COVERED = int(np.ceil(0.90 * STUDIES))
SMALL = {"rows": 4, "repeats": 100, "threads": 2}


def batched(values):
    """Return the merged Moments of `values` (R, P) in batches."""
    total = Moments()
    for part in np.split(values, np.cumsum(batch_sizes(len(values)))[:-1]):
        batch = Moments()
        batch.add(part)
        batch.close_batch()
        total.merge(batch)
    return total


def draws(seed=0, repeats=400):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((repeats, 3))
    return shared, 2.0 * shared + 0.5 * rng.standard_normal((repeats, 3))


# -- the number ------------------------------------------------------------------------------------


def test_the_ratio_is_that_of_the_two_variances():
    top, bottom = map(batched, draws())
    found = paired_ratio(top, bottom)
    assert found.value == top.variance / bottom.variance
    assert found.low < found.value < found.high and found.verdict == "beats"


def test_exchanging_the_two_inverts_everything():
    top, bottom = map(batched, draws())
    one, other = paired_ratio(top, bottom), paired_ratio(bottom, top)
    np.testing.assert_allclose(other[:3], (1 / one.value, 1 / one.high, 1 / one.low), rtol=1e-12)
    assert (one.verdict, other.verdict) == ("beats", "loses")


def test_an_estimator_in_another_unit_has_a_ratio_without_error():
    top, _ = draws()
    found = paired_ratio(batched(3.0 * top), batched(top))
    np.testing.assert_allclose(found[:3], 9.0, rtol=1e-12)


def test_shared_noise_makes_the_interval_several_times_narrower():
    top, bottom = draws()
    paired = paired_ratio(batched(top), batched(bottom))
    strangers = paired_ratio(batched(draws(1)[0]), batched(bottom))
    width, wider = (np.log(found.high / found.low) for found in (paired, strangers))
    assert width < 0.6 * wider


def test_a_variance_of_zero_beats_and_two_of_them_are_undecided():
    noisy, silent = batched(draws()[0]), batched(np.ones((400, 3)))
    assert paired_ratio(silent, noisy) == Ratio(0.0, 0.0, 0.0, "beats")
    assert paired_ratio(noisy, silent) == Ratio(None, None, None, "loses")
    assert paired_ratio(silent, silent) == Ratio(None, None, None, "undecided")


def test_one_batch_has_no_ratio():
    single = batched(draws(repeats=3)[0])
    assert paired_ratio(single, single) == Ratio(None, None, None, None)


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.5, 0.9, "beats"), (0.9, 1.1, "undecided"), (1.1, 2.0, "loses")]
)
def test_the_verdict_needs_an_interval_on_one_side_of_one(low, high, word):
    assert judged(low, high) == word


# -- coverage --------------------------------------------------------------------------------------


def covered(draw, truth, interval):
    """Return how many of 400 studies cover the true ratio."""
    rng, hits = np.random.default_rng(11), 0
    for _ in range(STUDIES):
        low, high = interval(*map(batched, draw(rng)))
        hits += low <= truth <= high
    return hits


def pairs_of(model, names, n_draws, repeats=400):
    """Return (draw(rng) -> two (R, P) from the same noise, exact ratio of the variances)."""
    case = make_case(model, n_data=1)
    first, second = (BY_NAME[name] for name in names)
    variances = [exact_variance(e, case, case.free, case.free_phi, n_draws) for e in (first, second)]

    def draw(rng):
        noise = noise_for(first, case, n_draws, seed=rng, lead=(repeats,))
        return [estimate(e, case, case.free, case.free_phi, noise) for e in (first, second)]

    return draw, variances[0] / variances[1]


def ours(top, bottom):
    return paired_ratio(top, bottom)[1:3]


PAIRS = [
    pytest.param(MODELS[0], ("score-function", "reparameterization"), 1, id="score against pathwise"),
    pytest.param(MODELS[0], ("score-function-loo", "score-function"), 2, id="leave-one-out against score"),
]


@pytest.mark.parametrize(("model", "names", "n_draws"), PAIRS)
def test_the_interval_of_a_ratio_of_gradient_variances_covers(model, names, n_draws):
    draw, truth = pairs_of(model, names, n_draws)
    assert covered(draw, truth, ours) >= LEAST_COVERED


def two_normals(rng):
    shared = rng.standard_normal((400, 1))
    return shared, shared + rng.standard_normal((400, 1))


def test_the_interval_of_equal_tails_covers_and_a_narrower_one_is_caught():
    def narrow(top, bottom):
        value, low, high, _ = paired_ratio(top, bottom)
        return np.sqrt(value * low), np.sqrt(value * high)

    assert covered(two_normals, 0.5, ours) >= LEAST_COVERED
    assert covered(two_normals, 0.5, narrow) < LEAST_COVERED


# -- compare(against=...) --------------------------------------------------------------------------


FEW = [
    "elbo-log-weight",
    "score-function",
    "score-function-loo",
    "score-function-optimal-baseline",
    "reparameterization",
    "reparameterization-analytic-kl",
    "exact",
]


@pytest.fixture(scope="module")
def against():
    return compare(
        ["gaussian-mle", "gaussian-mixture:full"], estimators=FEW, against="score-function-loo", **SMALL
    )


def row_of(result, model, name, target="grad-phi-elbo"):
    found = (r for r in result.rows if (r["model"], r["target"], r["estimator"]) == (model, target, name))
    return next(found)


def test_rows_of_the_same_target_and_model_tell_their_ratio(against):
    base = row_of(against, "gaussian-mle", "score-function-loo")
    row = row_of(against, "gaussian-mle", "reparameterization")
    assert row["variance_ratio"] == pytest.approx(row["variance"] / base["variance"], rel=1e-12)
    assert row["variance_ratio_low"] < row["variance_ratio"] < row["variance_ratio_high"]
    assert row["variance_verdict"] in ("beats", "undecided", "loses")
    assert against.settings["against"] == "score-function-loo"


def test_rows_without_a_partner_have_none(against):
    alone = [
        row_of(against, "gaussian-mle", "score-function-loo"),
        row_of(against, "gaussian-mle", "exact"),
        row_of(against, "gaussian-mixture", "reparameterization"),
        row_of(against, "gaussian-mle", "elbo-log-weight", "elbo"),
    ]
    keys = ("variance_ratio", "variance_ratio_low", "variance_ratio_high", "variance_verdict")
    assert all(row[key] is None for row in alone for key in keys)


def test_without_against_nothing_is_said_of_ratios():
    result = compare("gaussian-mle", estimators=["score-function", "score-function-loo"], **SMALL)
    assert all(row["variance_verdict"] is None for row in result.rows)
    assert "relative to" not in result.table()


def test_the_ratios_do_not_depend_on_threads_or_company(against):
    one = compare(
        "gaussian-mle",
        estimators=["reparameterization", "score-function-loo"],
        against="score-function-loo",
        **SMALL | {"threads": 1},
    )
    keys = ("variance_ratio", "variance_ratio_low", "variance_ratio_high", "variance_verdict")
    rows = [row_of(result, "gaussian-mle", "reparameterization") for result in (one, against)]
    assert [rows[0][key] for key in keys] == [rows[1][key] for key in keys]


def test_where_a_variance_is_only_rounding_it_is_zero_in_the_ratio_as_well():
    names = ["score-function-loo", "reparameterization"]
    found = compare("ppca", estimators=names, at="exact", against="score-function-loo", **SMALL)
    row = row_of(found, "ppca", "reparameterization")
    assert row["variance_verdict"] == "loses" and row["variance_ratio"] is None
    turned = compare("ppca", estimators=names, at="exact", against="reparameterization", **SMALL)
    row = row_of(turned, "ppca", "score-function-loo")
    assert (row["variance_ratio"], row["variance_verdict"]) == (0.0, "beats")
    json.loads(found.to_json())


@pytest.mark.parametrize("width", [30, 60, 80, 100, 120])
def test_the_table_of_ratios_fits_its_width_and_loses_no_number(against, width):
    lines = [str(line) for line in ratio_lines(against.rows, against.settings, width)]
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    with_ratio = [row for row in against.rows if row["variance_verdict"] is not None]
    # On the Gaussian four besides leave-one-out, on the mixture the two score functions.
    assert len(with_ratio) == 6
    for row in with_ratio if width >= 60 else ():
        assert row["estimator"] in text and row["variance_verdict"] in text
    assert "relative to score-function-loo" in " ".join(against.table(120).split())


NO_PARTNERS = [
    ({"against": "score-fonction"}, "against: .*'score-fonction'; did you mean 'score-function'"),
    ({"against": "exact"}, "against: .*got 'exact'; take one of the compared estimators"),
    ({"against": 7}, "against: expected a text or None, got 7"),
    (
        {"against": "reparameterization", "estimators": ["score-function", "score-function-loo"]},
        "against: expected one of score-function, score-function-loo, got 'reparameterization'",
    ),
    (
        {"against": "reparameterization", "models": "gaussian-mixture:full"},
        "against: expected an estimator that makes sense on one of the models, got 'reparameterization'",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), NO_PARTNERS)
def test_a_partner_that_is_not_there_is_one_clear_line(arguments, message):
    with pytest.raises(UserMistake, match=message) as caught:
        compare(**{"models": "gaussian-mle", **SMALL, **arguments})
    assert "\n" not in str(caught.value)
