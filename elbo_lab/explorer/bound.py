"""The bound: q against the posterior, and ELBO + KL = log p(x) at every place.

    log p(x) = ELBO(q) + KL(q || p(z | x))

A step of phi moves q. log p(x) has no q in it: what the ELBO gains, the KL loses. A step of theta raises the
ELBO too, but moves log p(x) with it, up or down. Nothing is sampled: each number is a formula or an integral.
"""

import numpy as np

from elbo_lab import exact
from elbo_lab.arrays import Floats
from elbo_lab.explorer.shown import Shown
from elbo_lab.explorer.tab import Button, Frame, Question, Settings, Slider, Tab
from elbo_lab.optimise import ascend_exact_elbo

# Where densities are drawn.
POINTS = 161
REACH = 4.0
# First size of a step along the gradient; it is halved until the ELBO rises.
STEP = 0.2
HALVINGS = 30
# Ends of the sliders: the mean and the standard deviation of q, and how far theta goes to both sides.
FARTHEST, NARROWEST, WIDEST = 3.0, 0.1, 2.0
THETA_REACH = 1.5


class Bound(Tab):
    """Tab `bound`."""

    name = "bound"
    title = "The bound"
    idea = "Move q. The ELBO and the gap always add up to log p(x)."
    question = Question(
        "You take one gradient step of phi, which moves q. What happens to log p(x)?",
        ("It rises", "It stays exactly as it is", "It falls"),
        1,
        "There is no q in log p(x). A step of phi moves nats from the gap to the ELBO, and their sum stays. "
        "Only a step of theta moves log p(x).",
        ("phi-step", "mean", "sd"),
        "Take a phi-step, then a theta-step, and compare the rows of the table.",
    )
    buttons = (
        Button("phi-step", "Take a phi-step"),
        Button("theta-step", "Take a theta-step"),
        Button("best-q", "To the best q"),
    )

    def sliders(self, shown: Shown) -> tuple[Slider, ...]:
        start = float(shown.problem.theta[shown.parameter])
        low, high = start - THETA_REACH, start + THETA_REACH
        return (
            *sliders_of_q(),
            Slider("theta", f"theta: {shown.parameter_name}", low, high, 0.02, start),
        )

    def frame(self, shown: Shown, settings: Settings) -> Frame:
        here = shown.at(**settings)
        log_p, elbo = shown.log_p(settings["theta"]), float(exact.elbo(here).value[0])
        # The KL has a formula of its own where the posterior has one; elsewhere it is this difference.
        gap = float(exact.kl(here).value[0]) if here.model.quadratic else log_p - elbo
        nodes = grid()
        z = nodes[:, None, None]
        eta = here.posterior.eta(here.phi, here.x)
        return {
            "log_p": log_p,
            "elbo": elbo,
            "gap": gap,
            "z": nodes.tolist(),
            "q": densities(here.posterior.family.log_prob(eta, z)),
            "posterior": densities(here.model.log_joint(here.theta, here.x, z) - log_p),
            "words": f"log p(x) is {log_p:.4f} nats: the ELBO {elbo:.4f} and the gap {gap:.4f}.",
        }

    def after(self, shown: Shown, button: str, settings: Settings) -> Settings:
        if button == "best-q":
            mean, log_std = best_q(shown, settings["theta"])
            return self.within(shown, {**settings, "mean": float(mean), "sd": float(np.exp(log_std))})
        here = shown.at(**settings)
        slopes, before = exact.gradients(here), exact.elbo(here).value[0]
        for halvings in range(HALVINGS):
            size = STEP * 0.5**halvings
            if button == "phi-step":
                by_mean, by_log_std = size * slopes.phi_elbo.value
                sd = settings["sd"] * float(np.exp(by_log_std))
                there = {**settings, "mean": settings["mean"] + float(by_mean), "sd": sd}
            else:
                slope = float(slopes.theta_elbo.value[shown.parameter])
                there = {**settings, "theta": settings["theta"] + size * slope}
            there = self.within(shown, there)
            if exact.elbo(shown.at(**there)).value[0] >= before:
                return there
        return settings  # at the maximum no step is short enough


def sliders_of_q() -> tuple[Slider, Slider]:
    """Return the sliders that place q."""
    return (
        Slider("mean", "mean of q", -FARTHEST, FARTHEST, 0.02, 0.0),
        Slider("sd", "standard deviation of q", NARROWEST, WIDEST, 0.02, 1.0),
    )


def grid() -> Floats:
    """Return the z (G,) at which densities are drawn."""
    return np.linspace(-REACH, REACH, POINTS).round(4)


def densities(log_density: Floats) -> list[float]:
    """Return densities of one datum (G, 1) with as many digits as a picture needs."""
    return np.exp(log_density[:, 0]).round(5).tolist()


def best_q(shown: Shown, theta: float) -> Floats:
    """Return mean and log standard deviation of the q of greatest ELBO at a value of theta."""
    here = shown.at(0.0, 1.0, theta)
    if here.model.quadratic:
        return here.model.posterior_eta(here.theta, here.x)[0]
    z = grid()
    weights = np.exp(here.model.log_joint(here.theta, here.x, z[:, None, None])[:, 0] - shown.log_p(theta))
    weights /= weights.sum()
    # The ascent starts from the moments of the posterior on the grid.
    mean = weights @ z
    start = np.array([[mean, 0.5 * np.log(weights @ (z - mean) ** 2)]])
    return ascend_exact_elbo(here.model, here.theta, here.x, start)[0]
