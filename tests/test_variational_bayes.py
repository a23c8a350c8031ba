"""Variational Bayes of the mixture: its bound against exact evidences, its predictive density, its fits."""

from itertools import product

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import multivariate_t
from scipy.stats import t as student_t

from elbo_lab import fit
from elbo_lab.cli.main import main
from elbo_lab.datasets import load
from elbo_lab.em.variational_bayes import MixtureVB, VariationalFit, fit_variational_bayes
from elbo_lab.errors import NotApplicable, Stopped
from elbo_lab.fitting import evaluate, load_fitted
from elbo_lab.models import GaussianMixture
from elbo_lab.models.student_t_mixture import StudentTMixture
from elbo_lab.priors import find_prior

FAITHFUL = load("faithful").x
TEN = FAITHFUL[:10]
VARIANTS = GaussianMixture.variants
over_variants = pytest.mark.parametrize("variant", VARIANTS)


def problem_for(variant, n_components, x=TEN, prior="nu=4,strength=0.5,dirichlet=0.8"):
    model = GaussianMixture(2, n_components, variant)
    return MixtureVB(model, x, 1.0, prior=find_prior(prior, model, x))


def chained(problem, x):
    """Return log p(x) of one component, as the product of the predictive densities of row after row."""
    value, theta = 0.0, None
    for n in range(len(x)):
        if n == 0:
            laws = problem.laws
            parts = {"strength": laws.strength, "nu": laws.nu, "mean": laws.mean, "scale": laws.scale}
            theta = problem.layout.pack({"alpha": [problem.alpha], **parts})
        else:
            seen = MixtureVB(problem.model, x[:n], 1.0, prior=problem.prior)
            theta = seen.m_step(seen.e_step(theta))
        model, predictive = problem.predictive(theta)
        value += float(model.likelihood_table(predictive, x[n : n + 1])[0][0, 0])
    return value


def bound(problem, run=0, iterations=200):
    theta = problem.start(problem.x, run, np.random.default_rng(run))
    for _ in range(iterations):
        theta = problem.m_step(problem.e_step(theta))
    return problem.values(theta)[0]


@over_variants
def test_with_one_component_the_bound_is_the_evidence(variant):
    problem = problem_for(variant, 1)
    # Once from the normalising constants, once row by row from the predictive density.
    q = problem.e_step(problem.start(TEN, 0, np.random.default_rng(0)))
    formula = problem.laws.log_evidence(q.total, q.mean, q.moment)[0]
    assert bound(problem) == pytest.approx(formula, rel=1e-11)
    assert chained(problem, TEN) == pytest.approx(formula, rel=1e-10)


@over_variants
def test_with_two_components_the_bound_stays_below_the_sum_over_all_assignments(variant):
    problem = problem_for(variant, 2)
    a, moments = problem.alpha, problem.scatter.second_moment
    sides = {}
    for rows in product((False, True), repeat=10):
        chosen = TEN[np.array(rows)]
        total = np.full(2, float(len(chosen)))
        mean = chosen.mean(axis=0) if len(chosen) else np.zeros(2)
        moment = moments(np.full(len(chosen), 1.0 / max(1, len(chosen))), chosen - mean)
        found = problem.laws.log_evidence(total, np.tile(mean, (2, 1)), np.array([moment, moment]))
        sides[rows] = found[0] + gammaln(a + len(chosen)) - gammaln(a)
    other = {rows: tuple(not row for row in rows) for rows in sides}
    names = gammaln(2 * a) - gammaln(2 * a + 10)
    log_p = logsumexp([sides[rows] + sides[other[rows]] for rows in sides]) + names
    best = max(bound(problem, run) for run in range(4))
    assert log_p - 3.0 < best < log_p - 0.1


@over_variants
def test_the_bound_never_falls_and_its_two_formulas_agree(variant):
    model = GaussianMixture(2, 4, variant)
    found = VariationalFit(model, FAITHFUL, restarts=2, max_iterations=60, tolerance=1e-12)
    while found.advance() is not None:
        pass
    for run in found.runs:
        for before, row in zip(run.history, run.history[1:], strict=False):
            assert row["elbo_after_e"] == pytest.approx(before["evidence_bound"], rel=1e-11)
            slack = 1e-10 * abs(row["evidence_bound"])
            assert row["elbo_after_e"] <= row["elbo_after_m"] + slack
            assert row["elbo_after_m"] <= row["evidence_bound"] + slack


def test_superfluous_components_empty():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal((150, 2)), rng.standard_normal((150, 2)) + 8.0])
    found = fit_variational_bayes(
        GaussianMixture(2, 6, "full"), x, prior="dirichlet=0.001,strength=1", max_iterations=3000, restarts=3
    )
    theta = found.result().theta
    assert found.problem.in_use(theta) == 2
    model, predictive = found.problem.predictive(theta)
    assert np.sort(model.described(predictive)["weights"])[:4].max() < 1e-4


# -- the predictive density ------------------------------------------------------------------------


def some_t(variant, n_components=3):
    model = StudentTMixture(2, n_components, variant)
    rng = np.random.default_rng(3)
    theta = model.random_theta(TEN, rng)
    return model, theta + 0.3 * rng.standard_normal(theta.shape)


@over_variants
def test_the_density_of_a_component_is_that_of_scipy(variant):
    model, theta = some_t(variant)
    t = model.layout.views(theta)
    scales, dof = model.covariance.matrices(t), np.exp(t["log_dof"])
    table = model.likelihood_table(theta, TEN)[0]
    for c in range(3):
        if variant == "diagonal":
            deviations = np.sqrt(np.diag(scales[c]))
            value = student_t.logpdf(TEN, dof[c], t["mean"][c], deviations).sum(axis=1)
        else:
            value = multivariate_t.logpdf(TEN, t["mean"][c], scales[c], dof[c])
        np.testing.assert_allclose(table[:, c], value, rtol=1e-11)


@over_variants
def test_with_very_many_degrees_of_freedom_the_density_is_that_of_a_gaussian(variant):
    model, theta = some_t(variant)
    model.layout.view(theta, "log_dof")[...] = [60.0, 200.0, 500.0]
    gaussian = GaussianMixture(2, 3, variant)
    t = model.layout.views(theta)
    shared = gaussian.layout.pack({name: t[name] for name, _ in gaussian.layout.entries})
    expected = gaussian.likelihood_table(shared, TEN)[0]
    np.testing.assert_allclose(model.likelihood_table(theta, TEN)[0], expected, rtol=1e-11)


def test_one_component_in_three_columns_is_fitted():
    # Here the check of draws against density goes to very many degrees of freedom.
    x = np.random.default_rng(0).standard_normal((40, 3))
    found = fit("gaussian-mixture", x, latent=1, method="variational-bayes").final
    assert found["components_in_use"] == 1


@over_variants
def test_the_slope_of_the_mixture_of_t_is_that_of_central_differences(variant):
    model, theta = some_t(variant)
    weights = np.random.default_rng(1).standard_normal((10, 3))
    slope = model.likelihood_table(theta, TEN)[1](weights)
    for i in range(len(theta)):
        step = np.zeros_like(theta)
        step[i] = 1e-5
        ends = [(weights * model.likelihood_table(theta + s, TEN)[0]).sum() for s in (step, -step)]
        measured = (ends[0] - ends[1]) / 2e-5
        assert slope[i] == pytest.approx(measured, rel=1e-6, abs=1e-6), model.layout.name_of(i)


@over_variants
def test_samples_of_the_mixture_of_t_have_its_probabilities(variant):
    # Of each column the share below the mean of its component: a half, and below mean + sigma: the t's own.
    model, theta = some_t(variant, 1)
    t, n = model.layout.views(theta), 20_000
    x = model.sample(theta, n, np.random.default_rng(0))[0]
    deviations = np.sqrt(np.diag(model.covariance.matrices(t)[0]))
    share = student_t.cdf(1.0, np.exp(t["log_dof"][0]))
    found = (x < t["mean"][0] + deviations).mean(axis=0)
    # Five standard errors: a false alarm in 1e-6 for each; it would see an error of 2 in a hundred.
    assert np.abs(found - share).max() < 5 * np.sqrt(share * (1 - share) / n)


# -- a planted fault -------------------------------------------------------------------------------


class WithoutTheStrength(MixtureVB):
    """Forgets that the mean of a component is uncertain."""

    def densities(self, theta):
        found = super().densities(theta)
        return found._replace(scale=found.scale + 0.5 * self.model.n_columns / self.read(theta)[1].strength)


def test_a_bound_that_forgets_the_uncertain_mean_is_caught():
    good = problem_for("full", 1)
    wrong = WithoutTheStrength(good.model, TEN, 1.0, prior=good.prior)
    q = good.e_step(good.start(TEN, 0, np.random.default_rng(0)))
    formula = good.laws.log_evidence(q.total, q.mean, q.moment)[0]
    assert bound(wrong) > formula + 0.1


# -- fits ------------------------------------------------------------------------------------------

OPTIONS = {"method": "variational-bayes", "latent": 4, "restarts": 2, "epochs": 30}


@over_variants
def test_a_fit_returns_the_predictive_density(variant):
    result = fit(f"gaussian-mixture:{variant}", FAITHFUL, holdout=0.2, progress=False, **OPTIONS)
    assert result.settings["model"] == f"gaussian-mixture:{variant}"
    assert result.model.name == "student-t-mixture"
    final = result.final
    assert final["evidence_bound"] == result.history[-1]["evidence_bound"]
    assert 1 <= final["components_in_use"] <= 4 and "dirichlet=0.25" in final["prior"]
    held_out = final["held_out"]["log_likelihood"]
    assert held_out == pytest.approx(result.score_samples(result.held_out.x).sum())
    shown = result.table(100)
    assert "bound on the evidence" in shown and "predictive" in shown
    assert {"mixture", "samples", "staircase"} <= set(result.plot())


def test_a_variational_fit_is_stored_resumed_evaluated_and_sampled(tmp_path):
    whole = fit("gaussian-mixture", FAITHFUL, progress=False, **OPTIONS)
    steps, where = iter([False, True]), tmp_path / "a.npz"
    with pytest.raises(Stopped):
        fit("gaussian-mixture", FAITHFUL, checkpoint=where, progress=lambda *_: next(steps), **OPTIONS)
    resumed = fit(resume=where, data=FAITHFUL, progress=False)
    assert resumed.theta.tobytes() == whole.theta.tobytes() and resumed.history == whole.history
    stored = load_fitted(where)
    assert stored.model == whole.model
    judged = evaluate(where, FAITHFUL)
    assert judged.final["log_likelihood"] == pytest.approx(whole.final["log_likelihood"])
    assert stored.generate(5, np.random.default_rng(0)).shape == (5, 2)
    assert stored.predict(FAITHFUL[:3]).shape == (3,)


def test_the_command_line_runs_variational_bayes(capsys):
    options = ["--method", "variational-bayes", "--components", "3", "--epochs", "20", "--restarts", "1"]
    assert not main(["fit", "gaussian-mixture", "--data", "faithful", *options])
    assert "bound on the evidence" in capsys.readouterr().out


def test_wrong_calls_are_told(capsys):
    with pytest.raises(NotApplicable, match="expected one that can be normalised"):
        fit("gaussian-mixture", FAITHFUL, method="variational-bayes", prior="flat")
    arguments = ["fit", "ppca", "--data", "faithful", "--latent", "1", "--method", "variational-bayes"]
    assert main(arguments) == 2
    assert "method: expected one of" in capsys.readouterr().err
    constant = FAITHFUL * [1.0, 0.0]
    with pytest.raises(ValueError, match=r"columns that vary \(the density is .*constant column 1"):
        fit("gaussian-mixture", constant, method="variational-bayes")
