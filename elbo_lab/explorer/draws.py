"""The draws: a bound with M draws inside its logarithm, and the signal of its gradients.

    IWAE_M = E log (1/M) sum_m w_m,   w_m = p(x, z_m) / q(z_m),   z_m ~ q
    SNR    = |E g| / sqrt(trace Var g)

More draws make the bound tighter at every q. They make the gradient in theta clearer, and the plain pathwise
gradient in phi less clear: its signal falls as 1/M, its noise only as M^(-1/2) (Rainforth et al. 2018). The
doubly reparameterized gradient of the same bound gains (Tucker et al. 2019). Bounds and signals are integrals
(`estimators.Exact`); the noise is that of repeats, always from the same random numbers.
"""

from functools import lru_cache

import numpy as np

from elbo_lab.estimators import Exact
from elbo_lab.explorer.bound import sliders_of_q
from elbo_lab.explorer.noise import kept_noise
from elbo_lab.explorer.shown import Shown
from elbo_lab.explorer.tab import Frame, Question, Settings, Slider, Tab
from elbo_lab.registry import ESTIMATORS, display_name

NAMES = ("iwae-theta", "dreg", "iwae-reparameterization")
COUNTS = (1, 2, 4, 8, 16, 32, 64)
# All draws of the repeats at one M, and the most repeats; a network takes longer.
POOL, POOL_OF_A_NETWORK = 16384, 4096
MOST_REPEATS = 2000


class Draws(Tab):
    """Tab `draws`."""

    name = "draws"
    title = "The draws"
    idea = "Put M draws inside the logarithm. The bound closes in on log p(x); what becomes of its gradient?"
    question = Question(
        "You raise M from 1 to 64. The bound gets tighter. What does the signal-to-noise ratio of the plain "
        "pathwise gradient in phi do?",
        ("It rises with M", "It stays about the same", "It falls with M"),
        2,
        "As the bound closes in on log p(x), it hardly depends on q: the gradient in phi shrinks as 1 / M, "
        "its noise only as 1 / √M. The doubly reparameterized gradient has less noise, and gains with M; so "
        "does the gradient in theta.",
        ("log2_draws",),
        "Move M to its right end, and compare the three curves.",
    )

    def sliders(self, shown: Shown) -> tuple[Slider, ...]:  # noqa: ARG002 - every model has these
        return (
            Slider("log2_draws", "draws M in the bound", 0, len(COUNTS) - 1, 1, 0, power=2),
            *sliders_of_q(),
        )

    def frame(self, shown: Shown, settings: Settings) -> Frame:
        draws, mean, sd = COUNTS[round(settings["log2_draws"])], settings["mean"], settings["sd"]
        log_p = shown.log_p(float(shown.problem.theta[shown.parameter]))
        bound = bound_of(shown, mean, sd, draws)
        ratios = [
            {
                "name": name,
                "title": display_name(name),
                "now": signal_to_noise(shown, mean, sd, draws, name),
                "curve": [signal_to_noise(shown, mean, sd, count, name) for count in COUNTS],
            }
            for name in NAMES
        ]
        spoken = ", ".join(f"{one['title']} {one['now']:.3g}" for one in ratios)
        return {
            "draws": draws,
            "log_p": log_p,
            "bound": bound,
            "counts": list(COUNTS),
            "bounds": [bound_of(shown, mean, sd, count) for count in COUNTS],
            "ratios": ratios,
            "words": f"With M = {draws} the bound is {bound:.4f} nats, {log_p - bound:.4f} below log p(x). "
            f"Signal to noise: {spoken}.",
        }


@lru_cache(maxsize=4096)
def bound_of(shown: Shown, mean: float, sd: float, draws: int) -> float:
    """Return the exact bound of M draws, in nats."""
    return float(Exact("iwae").answer(shown.at(mean, sd), draws).value[0])


@lru_cache(maxsize=8192)
def signal_to_noise(shown: Shown, mean: float, sd: float, draws: int, name: str) -> float:
    """Return |E g| / sqrt(trace Var g) of an estimator with M draws: E g exact, Var g that of repeats."""
    here, estimator = shown.at(mean, sd), ESTIMATORS[name]
    pool = POOL if here.model.quadratic else POOL_OF_A_NETWORK
    noise = kept_noise(estimator.noise_for(here, draws), min(MOST_REPEATS, pool // draws))
    gradients, _ = estimator.estimate(here, noise, estimator.initial_state(here))
    signal = np.linalg.norm(Exact(estimator.target).answer(here, draws).value)
    return float(signal / np.sqrt(gradients.var(axis=0, ddof=1).sum()))
