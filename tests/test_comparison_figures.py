"""Which figures a comparison has, and what tells two of them apart."""

import pytest
from matplotlib.text import Text

from elbo_lab import compare, fit
from elbo_lab.comparison.figures import MAIN, _few, drawings
from elbo_lab.estimators import Reparameterization
from elbo_lab.fitting import figures as of_a_fit
from elbo_lab.registry import find_estimators

SMALL = {"repeats": 20, "rows": 4, "threads": 1}


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_the_lesson_on_prior_monte_carlo_needs_its_estimator_and_a_continuous_model():
    names = ["prior-monte-carlo", "elbo-log-weight"]
    assert "prior-monte-carlo" in compare("gaussian-mle", estimators=names, **SMALL).plot()
    assert "prior-monte-carlo" not in compare("gaussian-mixture:full", estimators=names, **SMALL).plot()
    assert "prior-monte-carlo" not in compare("gaussian-mle", estimators=names[1], **SMALL).plot()


def test_a_figure_of_nothing_but_refusals_is_not_drawn():
    found = compare("gaussian-mixture:full", estimators=["reparameterization", "elbo-log-weight"], **SMALL)
    assert list(found.plot()) == ["elbo"]


@pytest.mark.parametrize(("noise", "told"), [("independent", ""), ("antithetic", ", antithetic noise")])
def test_the_note_tells_two_runs_apart(noise, told):
    found = compare("gaussian-mle", estimators="elbo-log-weight", noise=noise, at="start", **SMALL)
    note = "faithful, 4 rows, 10 draws per estimate, 20 repeats, posterior free"
    assert f"{note}, q at the start (the prior){told}" in texts(found.plot()["elbo"])


def test_several_models_have_their_own_data():
    found = compare(["gaussian-mle", "ppca"], estimators="elbo-log-weight", **SMALL)
    assert texts(found.plot()["elbo"])[1].startswith("the data of each model, 4 rows, 10 draws")


def test_few_figures_answer_the_main_questions_and_any_can_be_had():
    found = compare("gaussian-mle", **SMALL)
    story, everything = drawings(found), drawings(found, "all")
    assert tuple(story) == MAIN and drawings(found, "none") == {}
    assert set(story) < set(everything)
    assert all(drawing.question.endswith("?") for drawing in everything.values())
    with pytest.raises(ValueError, match=r"figures.*'many'"):
        drawings(found, "many")


def test_few_estimators_of_different_ideas_are_shown_for_one_model():
    found = compare("sigmoid-belief", **SMALL)
    few = [estimator.name for estimator in _few(found, found.scenes[0])]
    assert few[:2] == ["score-function", "score-function-loo"] and len(few) == 6
    assert {"disarm", "relax-0.5"} <= set(few) and "enumeration" not in few


def test_an_estimator_of_a_users_own_is_always_drawn():
    class Own(Reparameterization):
        name = "own"

        def estimate(self, problem, noise, state=None):
            gradient, state = super().estimate(problem, noise, state)
            return 100.0 * gradient, state

    found = compare("gaussian-mle", estimators=[*find_estimators(), Own()], **SMALL)
    drawn = found.plot()
    for name in ("grad-phi-elbo", "gradient-cloud", "variance-vs-draws"):
        told = [text.get_text() for text in drawn[name].findobj(Text)]
        assert any(text.startswith("own") for text in told), name
        assert any("not drawn: " in text for text in told), name


def test_axes_of_a_fitted_mixture_have_the_unit_of_the_data():
    fitted = fit("gaussian-mixture:full", "faithful", latent=2, restarts=1)
    (ax,) = dict(of_a_fit.figures_of(fitted))["mixture"].axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("eruptions, minutes", "waiting, minutes")
