"""The noise: clouds of single gradient estimates of the ELBO in phi, at equal cost.

Each estimator is given the same number of evaluations of log p(x, z), values or slopes, and takes as many
draws as these allow: a measure-valued gradient with one latent takes four evaluations a draw, the others one.
All are unbiased, so that every cloud is centred on the exact gradient; they differ in their width.
"""

from functools import lru_cache

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import NoiseSpec, draw_noise
from elbo_lab.exact.quantities import bound_at
from elbo_lab.explorer.bound import best_q, sliders_of_q
from elbo_lab.explorer.shown import Shown
from elbo_lab.explorer.tab import Button, Frame, Question, Settings, Slider, Tab
from elbo_lab.registry import ESTIMATORS, display_name

NAMES = (
    "score-function",
    "score-function-loo",
    "reparameterization",
    "sticking-the-landing",
    "measure-valued",
)
# Dots of a cloud; a network takes longer.
DOTS, DOTS_OF_A_NETWORK = 300, 100
SEED = 0
# Share of the dots of the widest cloud that lie within the picture.
WITHIN = 0.98
# All clouds have one scale, which changes by steps, so that a small move leaves it as it is.
LADDER = np.sort(np.outer(10.0 ** np.arange(-3, 6), [1.0, 2.0, 5.0]).ravel())


class Noise(Tab):
    """Tab `noise`."""

    name = "noise"
    title = "The noise"
    idea = "Each dot is one estimate of the same gradient. All five cost the same."
    question = Question(
        "q lies exactly on the posterior, where the gradient is zero. Which clouds shrink to a point?",
        (
            "All five",
            "Only those that use the slope of log p(x, z)",
            "Leave-one-out, sticking the landing and measure-valued",
        ),
        2,
        "On the posterior log p(x, z) − log q(z) is the same number for every z. These three use only its "
        "differences or its slope, which are zero. REINFORCE multiplies the number by the score of q, and "
        "the pathwise estimator adds that score: it is zero only on average.",
        ("best-q", "mean", "sd", "evaluations"),
        "Move q about, then put it on the posterior by the button.",
    )
    buttons = (Button("best-q", "Put q on the posterior"),)

    def sliders(self, shown: Shown) -> tuple[Slider, ...]:  # noqa: ARG002 - every model has these
        return (
            *sliders_of_q(),
            Slider("evaluations", "evaluations of log p(x, z) an estimate", 4, 64, 4, 16),
        )

    def after(self, shown: Shown, button: str, settings: Settings) -> Settings:  # noqa: ARG002 - there is one
        mean, log_std = best_q(shown, float(shown.problem.theta[shown.parameter]))
        return self.within(shown, {**settings, "mean": float(mean), "sd": float(np.exp(log_std))})

    def frame(self, shown: Shown, settings: Settings) -> Frame:
        here = shown.at(settings["mean"], settings["sd"])
        family, budget = here.posterior.family, round(settings["evaluations"])
        answer = here.posterior.eta_vjp(here.phi, here.x, bound_at(here).grad_eta)
        dots_of_each = DOTS if here.model.quadratic else DOTS_OF_A_NETWORK
        clouds = []
        for name in NAMES:
            estimator = ESTIMATORS[name]
            draws = budget // estimator.evaluations(1, family)
            noise = kept_noise(estimator.noise_for(here, draws), dots_of_each)
            dots, _ = estimator.estimate(here, noise, estimator.initial_state(here))
            clouds.append(
                {
                    "name": name,
                    "title": display_name(name),
                    "draws": draws,
                    "evaluations": estimator.evaluations(draws, family),
                    "variance": float(dots.var(axis=0, ddof=1).sum()),
                    "dots": dots.round(4).tolist(),
                }
            )
        widest = max(np.quantile(np.abs(np.array(cloud["dots"]) - answer), WITHIN) for cloud in clouds)
        spoken = ", ".join(f"{cloud['title']} {cloud['variance']:.3g}" for cloud in clouds)
        return {
            "exact": answer.tolist(),
            "clouds": clouds,
            "half_width": float(LADDER[np.searchsorted(LADDER, widest).clip(max=len(LADDER) - 1)]),
            "words": f"Variance at {budget} evaluations: {spoken}.",
        }


@lru_cache(maxsize=64)
def kept_noise(spec: NoiseSpec, dots: int) -> Floats:
    """Return the noise (R, *spec.shape) of all dots: always the same, so that dots move and do not jump."""
    return draw_noise(spec, np.random.default_rng(SEED), (dots,))
