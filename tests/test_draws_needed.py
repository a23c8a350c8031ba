"""How many draws log p(x) needs: the law of a weight against other formulas, sums, grids and simulation."""

import json

import numpy as np
import pytest
from cases import BINARY, CASES, CATEGORICAL, DEEP, make_case
from estimator_laws import canonical
from scipy.integrate import quad
from scipy.stats import norm
from user_models import COUNTS, Counts

from elbo_lab import Problem, draws_needed
from elbo_lab.bounds import log_weight
from elbo_lab.cli.main import main
from elbo_lab.comparison.draws import DrawsNeeded
from elbo_lab.distributions import FullGaussian
from elbo_lab.errors import BadValue, NotApplicable
from elbo_lab.evaluation import measure_cubo
from elbo_lab.models import PPCA, DeepBernoulli, DeepGaussianFixed, FactorAnalysis, GaussianMLE
from elbo_lab.posteriors import ExactPosterior, FreePosterior
from elbo_lab.theory import WeightLaw, weight_laws

WITHIN = 0.1


def problem_of(model, log_std=0.0, n_data=3):
    """Return a Problem whose q has a given log standard deviation, on data drawn from the model."""
    case = canonical(make_case(model, n_data))
    free = FreePosterior(case.model.family, n_data)
    eta = free.eta(case.free_phi, case.x).copy()
    eta[:, case.model.latent_dim :] = log_std
    return Problem(case.model, free, case.theta, free.phi_from_eta(eta), case.x)


def laws_of(problem):
    return dict(zip(("prior", "q"), weight_laws(problem), strict=True))


def test_one_normal_latent_has_the_integrals_of_a_quadrature():
    # Posterior N(d, r), proposal N(0, 1).
    problem = problem_of(GaussianMLE(1), log_std=0.3)
    model, q, theta, phi, x = problem
    posterior = model.family.split(model.posterior_eta(theta, x))
    for name, eta in (("prior", np.broadcast_to(model.prior_eta(theta), (3, 2))), ("q", q.eta(phi, x))):
        law = laws_of(problem)[name]
        for n in range(3):
            p = norm(posterior[0][n, 0], np.exp(posterior[1][n, 0]))
            proposal = norm(eta[n, 0], np.exp(eta[n, 1]))
            span = p.mean() - 12 * p.std(), p.mean() + 12 * p.std()
            square = quad(lambda z, p=p, q=proposal: np.exp(2 * p.logpdf(z) - q.logpdf(z)), *span, limit=200)[
                0
            ]
            kl = quad(lambda z, p=p, q=proposal: p.pdf(z) * (p.logpdf(z) - q.logpdf(z)), *span, limit=200)[0]
            assert law.log_square[n] == pytest.approx(np.log(square), abs=1e-8)
            assert law.kl[n] == pytest.approx(kl, abs=1e-8)


@pytest.mark.parametrize("model", [PPCA(4, 2), FactorAnalysis(5, 3), PPCA(6, 4)], ids=str)
def test_correlated_posteriors_have_the_law_of_the_rotated_model(model):
    # A rotation of z turns the prior into itself and the posterior into one with independent coordinates.
    case = make_case(model)
    turned = model.canonical(case.theta)
    plain, rotated = (
        laws_of(Problem(model, FreePosterior(model.family, 3), theta, np.zeros(6 * model.n_latent), case.x))
        for theta in (case.theta, turned)
    )
    np.testing.assert_allclose(plain["prior"].log_square, rotated["prior"].log_square, rtol=1e-10)
    np.testing.assert_allclose(plain["prior"].kl, rotated["prior"].kl, rtol=1e-10)
    assert plain["prior"].rung == "closed-form"


@pytest.mark.parametrize("case", [*BINARY, *CATEGORICAL], ids=lambda case: case.model.label)
def test_discrete_latents_are_summed(case):
    laws = laws_of(case.problem())
    model, q, theta, phi, x = case.problem()
    for name, eta in (("prior", model.prior_eta(theta)), ("q", q.eta(phi, x))):
        eta = np.broadcast_to(eta, (len(x), model.family.eta_size))
        value, _ = measure_cubo(model, theta, x, eta)  # log E w^2 / 2
        log_p, _ = measure_cubo(model, theta, x, eta, order=1.0 + 1e-9)
        np.testing.assert_allclose(laws[name].log_square, 2.0 * (value - log_p), atol=1e-6)
        assert laws[name].rung == "enumeration" and (laws[name].kl >= 0.0).all()


def test_grids_agree_with_the_closed_form_of_a_linear_decoder(monkeypatch):
    for log_std in (-0.2, 0.3):
        problem = problem_of(PPCA(3, 2), log_std)
        closed = laws_of(problem)
        monkeypatch.setattr(PPCA, "quadratic", False)
        by_grid = laws_of(problem)
        monkeypatch.undo()
        for name in ("prior", "q"):
            assert by_grid[name].rung == "quadrature" and closed[name].rung == "closed-form"
            np.testing.assert_allclose(by_grid[name].log_square, closed[name].log_square, atol=1e-7)
            np.testing.assert_allclose(by_grid[name].kl, closed[name].kl, atol=1e-7)


def test_a_full_q_on_the_grid_is_that_of_the_closed_form(monkeypatch):
    case, rng = make_case(PPCA(3, 2)), np.random.default_rng(1)
    q = FreePosterior(FullGaussian(2), 3)
    problem = case.problem(q, 0.2 * rng.standard_normal(q.layout.size))
    closed = laws_of(problem)["q"]
    monkeypatch.setattr(PPCA, "quadratic", False)
    by_grid = laws_of(problem)["q"]
    np.testing.assert_allclose(by_grid.log_square, closed.log_square, atol=1e-7)
    np.testing.assert_allclose(by_grid.kl, closed.kl, atol=1e-7)


@pytest.mark.parametrize(
    "case", [c for c in DEEP if c.model.latent_dim == 1], ids=lambda case: case.model.label
)
def test_the_draws_that_are_said_to_be_needed_give_the_error_that_was_asked_for(case):
    # q is wide enough for a finite fourth moment, so that the spread of p-hat can be measured: with 4000
    # repeats its standard deviation is known to about 2 %, and a formula that is off by 10 % is found.
    problem = problem_of(case.model, log_std=0.1)
    model, q, theta, phi, x = problem
    rng, repeats, draws = np.random.default_rng(0), 4000, 50
    for name, eta in (("prior", np.broadcast_to(model.prior_eta(theta), (3, 2))), ("q", q.eta(phi, x))):
        law = laws_of(problem)[name]
        for n, within in enumerate(np.sqrt(np.expm1(law.log_square) / draws)):
            assert 10.0 ** law.log10_draws(within)[n] == pytest.approx(draws)
            assert within < 0.3, "the first order is meant to hold"
            z = model.family.sample(eta[n : n + 1], rng.standard_normal((draws * repeats, 1, 1)))
            log_w = log_weight(model, theta, x[n : n + 1], model.family, eta[n : n + 1], z)
            estimates = np.exp(log_w[:, 0] - log_w.max()).reshape(repeats, draws).mean(axis=1)
            assert estimates.std() / estimates.mean() == pytest.approx(within, rel=0.1)
            assert np.log(estimates).std() == pytest.approx(within, rel=0.15)


def test_a_q_that_is_too_narrow_needs_more_than_any_number():
    # With r the ratio of the posterior's variance to that of q, the second moment is finite up to r = 2.
    model, q, theta, _, x = problem_of(PPCA(3, 1))
    mean, log_std = model.family.split(model.posterior_eta(theta, x))
    for ratio, finite in ((1.99, True), (2.01, False)):
        eta = model.family.join(mean, log_std - 0.5 * np.log(ratio))
        law = laws_of(Problem(model, q, theta, q.phi_from_eta(eta), x))["q"]
        assert (np.isfinite(law.log_square) == finite).all()
        assert np.isfinite(law.kl).all()


def test_a_bounded_likelihood_leaves_the_tails_to_the_prior():
    # Far out tanh is flat: there w^2 q is the square of the prior over q, and q needs half its variance.
    for model in (DeepBernoulli(4, 1, (3,)), DeepGaussianFixed(3, 2, (3,))):
        wide, narrow = (
            laws_of(problem_of(model, 0.5 * np.log(variance)))["q"].log_square for variance in (0.51, 0.49)
        )
        assert np.isfinite(wide).all() and np.isinf(narrow).all()


def test_a_likelihood_that_may_make_up_for_light_tails_is_not_judged():
    problem = problem_of(DeepGaussianFixed(3, 1, (3,), "softplus"), -0.5)
    problem = problem._replace(theta=3.0 * problem.theta)
    law = laws_of(problem)["q"]
    assert law.log_square is None and "light tails" in law.unknown and np.isfinite(law.kl).all()
    assert law.log10_draws(WITHIN) is None


@pytest.mark.parametrize(
    "case", [canonical(case) for case in CASES if case.model.quadratic], ids=lambda c: c.model.label
)
def test_of_the_posterior_itself_one_draw_is_enough(case):
    q = ExactPosterior(case.model, case.theta)
    law = laws_of(Problem(case.model, q, case.theta, np.zeros(0), case.x))["q"]
    np.testing.assert_allclose(law.log_square, 0.0, atol=1e-12)
    np.testing.assert_array_equal(law.log10_draws(WITHIN), 0.0)


def test_numbers_beyond_floats_stay_logarithms():
    law = WeightLaw(np.array([2000.0, np.log(2.0)]), np.zeros(2), "closed-form")
    found = law.log10_draws(WITHIN)
    assert found == pytest.approx([2000.0 / np.log(10.0) + 2.0, 2.0])


def test_three_latents_under_a_network_are_not_known():
    with pytest.raises(NotApplicable, match="one or two latents"):
        weight_laws(make_case(DeepBernoulli(3, 3, (2,))).problem())


# -- the command -----------------------------------------------------------------------------------


def test_the_table_of_ppca_grows_with_the_latents_and_fits_80_columns(capsys, tmp_path):
    path = tmp_path / "draws.json"
    assert main(["draws", "ppca", "--latent", "1,8", "--rows", "4", "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.partition("\nwritten:")[0].splitlines())) <= 80
    assert "times as many for each step of K" in " ".join(shown.split())
    rows = json.loads(path.read_text())["rows"]
    assert [(row["latent"], row["proposal"]) for row in rows] == [
        (1, "prior"),
        (1, "q"),
        (8, "prior"),
        (8, "q"),
    ]
    prior = [row["log10_draws_median"] for row in rows if row["proposal"] == "prior"]
    assert prior[1] > prior[0] + 3.0
    assert (
        repr(draws_needed("ppca", latent=[1, 8], rows=4))
        == draws_needed("ppca", latent=[1, 8], rows=4).table()
    )


def test_the_table_of_known_rows_is_that_worked_out_by_hand():
    def row(latent, proposal, median, worst, kl):
        draws = {"log10_draws_median": median, "log10_draws_worst": worst, "infinite": 0}
        others = {
            "kl_median": np.log(kl),
            "kl_worst": np.log(kl) + 1.0,
            "rung": "closed-form",
            "reason": None,
        }
        return {"latent": latent, "proposal": proposal, **draws, **others}

    rows = [row(1, "prior", 1.0, 2.0, 30.0), row(1, "q", 0.0, 1.0, 2.0)]
    rows += [row(3, "prior", 5.0, 7.0, 400.0), row(3, "q", 2.0, 3.0, 5.0)]
    settings = {"model": "ppca", "data": "digits", "rows": 4, "at": "near", "within": 0.1}
    settings |= {"posterior": "free", "discrete": False}
    lines = DrawsNeeded(settings, rows).table(width=120).splitlines()
    assert "From the prior: 10 at K = 1, 1.0e5 at K = 3: 100 times as many for each step of K" in lines[1]
    assert lines[1].endswith(" (exp KL: 30 and 400, 3.65 times).")
    assert "From q: 1 at K = 1, 100 at K = 3: 10.0 times as many for each step of K" in lines[2]
    assert lines[2].endswith(" (exp KL: 2 and 5, 1.58 times).")
    assert ["1", "10", "100", "30", "1", "10", "2"] in map(str.split, lines)
    assert ["3", "1.0e5", "1.0e7", "400", "100", "1,000", "5"] in map(str.split, lines)


def words_of(needed):
    table = needed.table()
    assert max(map(len, table.splitlines())) <= 80
    return " ".join(table.split())


def test_the_screen_says_why_the_prior_can_beat_q_and_what_each_number_is_for():
    near = draws_needed("ppca", latent=[1, 8])
    text, by_place = words_of(near), {(row["latent"], row["proposal"]): row for row in near.rows}
    ahead = [
        k
        for k in (1, 8)
        if by_place[k, "prior"]["log10_draws_median"] < by_place[k, "q"]["log10_draws_median"]
    ]
    assert ahead == [1] and "At K = 1 the prior needs fewer than q." in text
    assert "q is off on purpose" in text and "standard deviation x 0.8. It is too narrow" in text
    assert "how many draws an estimate needs before it stops being far too low" in text
    for proposal in ("prior", "q"):
        few, many = (f"{np.exp(by_place[k, proposal]['kl_median']):,.0f}" for k in (1, 8))
        assert f"(exp KL: {few} and {many}, " in text


@pytest.mark.parametrize("place", [{"at": "exact"}, {"posterior": "exact"}], ids=str)
def test_the_posterior_needs_one_draw_and_is_said_to_be_the_best_fit(place):
    text = words_of(draws_needed("ppca", latent=[1, 3], rows=4, **place))
    assert "1 draw from q brings the error of log p(x) down to 0.1 nats at every K." in text
    assert "q at the exact best fit" in text and "on purpose" not in text and "prior needs fewer" not in text
    alone = words_of(draws_needed("ppca", latent=3, rows=4, **place))
    assert "1 draw from q brings the error of log p(x) down to 0.1 nats." in alone


def test_a_discrete_q_is_off_in_another_way():
    text = words_of(draws_needed("gaussian-mixture:full", rows=4))
    assert "its logits are half of those of the best fit" in text and "too narrow" not in text


def test_a_model_with_its_own_number_of_latents_has_one_line():
    needed = draws_needed("gaussian-mle", rows=4)
    assert [row["latent"] for row in needed.rows] == [2, 2]
    assert all(row["log10_draws_worst"] > row["log10_draws_median"] >= 0.0 for row in needed.rows)
    assert all(row["kl_worst"] > row["kl_median"] > 0.0 for row in needed.rows)
    halved = draws_needed("gaussian-mle", within=0.05, rows=4)
    for row, fewer in zip(halved.rows, needed.rows, strict=True):
        assert row["log10_draws_median"] == pytest.approx(fewer["log10_draws_median"] + np.log10(4.0))


def test_a_number_of_latents_that_is_named_twice_counts_once():
    needed = draws_needed("ppca", latent=[2, 1, 2], rows=4)
    assert [row["latent"] for row in needed.rows] == [2, 2, 1, 1] and "K = 1" in needed.table()


def test_a_likelihood_that_vanishes_far_out_is_no_warning():
    # Poisson counts: far out log w^2 q is -inf at several distances, which must not be subtracted.
    needed = draws_needed(Counts, data=COUNTS, latent=1, rows=8)
    assert needed.rows[0]["log10_draws_median"] > 0.0 and needed.rows[1]["reason"]


def test_infinite_and_unknown_numbers_say_why(monkeypatch):
    monkeypatch.setattr("elbo_lab.comparison.draws.LATENTS", (1, 3))
    needed = draws_needed(DeepBernoulli, data=(np.random.default_rng(0).random((40, 3)) < 0.4) * 1.0, rows=3)
    text = " ".join(needed.table().split())
    assert "No finite number of draws from q is enough" in text
    assert "Left out, K = 3: the weights of deep-bernoulli are not known exactly: that takes a linear" in text
    assert not any(line.split()[:2] == ["3", "?"] for line in needed.table().splitlines())
    assert [row["infinite"] for row in needed.rows] == [0, 3, None, None]
    assert json.loads(needed.to_json())["rows"] == needed.rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "ppca", "within": 1.5}, "within.*less than 1 nat.*1.5"),
        ({"model": "gaussian-mixture"}, "one model"),
        ({"model": "ppca", "at": "nowhere"}, "nowhere"),
        ({"model": "gaussian-mle", "latent": 7}, "7"),
        ({"model": "logistic-regression"}, "one or two latents"),
    ],
)
def test_mistakes_are_told(arguments, message):
    with pytest.raises(BadValue, match=message):
        draws_needed(**arguments)
