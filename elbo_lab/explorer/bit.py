"""One bit: gradients through a Bernoulli bit, their exact bias and noise against the temperature.

    d/dl E (b - c)^2 = p (1 - p) (1 - 2 c),   b ~ Bernoulli(p),  p = sigmoid(l)

Only the values of the cost at 0 and 1 count. REINFORCE looks at nothing else; straight-through, Concrete and
REBAR look between. REBAR is unbiased all the same. Nothing is sampled: means and variances of single
estimates are integrals over the noise, by Gauss-Legendre on panels that are short where a relaxation bends.
"""

from functools import lru_cache

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import IndependentBernoulli
from elbo_lab.estimators import Concrete, Estimator, Problem, Rebar, ScoreFunction, StraightThrough
from elbo_lab.exact.rules import panel_rule
from elbo_lab.explorer.shown import Shown
from elbo_lab.explorer.tab import Frame, Question, Settings, Slider, Tab
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import display_name
from elbo_lab.special import sigmoid
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

FAMILY = IndependentBernoulli(1)
# By stem: the registry has names for one temperature only.
TITLES = {"concrete": "Concrete", "rebar": "REBAR"}
WITHOUT_TEMPERATURE = (ScoreFunction(), StraightThrough())
# The temperatures of the curves.
COLDEST, WARMEST = 0.05, 2.0
TEMPERATURES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
# The cost is drawn at these b.
BETWEEN = np.linspace(0.0, 1.0, 51)
# Nodes of a panel, and where panels end: for u in temperatures from the threshold, for v between 0 and 1.
NODES = 8
BENDS = np.array([-24.0, -12.0, -6.0, -3.0, -1.0, 1.0, 3.0, 6.0, 12.0, 24.0])
ENDS_OF_V = np.array([0.0, 1e-4, 1e-3, 0.01, 0.06, 0.25, 0.6, 0.85, 0.95, 0.99, 0.998, 1.0])


class Bit(Tab):
    """Tab `bit`."""

    name = "bit"
    title = "One bit"
    own_example = True
    idea = (
        "One Bernoulli bit b with cost (b − c)². Which gradients are right on average, and how noisy is each?"
    )
    question = Question(
        "Concrete puts a smooth y in place of the bit. You lower its temperature λ. What do you expect?",
        (
            "Less bias and less noise",
            "Less bias, more noise",
            "More bias, less noise",
        ),
        1,
        "A cold y is nearly the bit: for small λ the bias shrinks with it. But y moves only for the few "
        "draws near the threshold, and there with slope 1 / (4λ): the variance grows like 1 / λ. REBAR has "
        "no bias at any λ.",
        ("temperature",),
        "Move the temperature to its left end, and read the row of Concrete.",
    )

    def sliders(self, shown: Shown) -> tuple[Slider, ...]:  # noqa: ARG002 - the bit is the tab's own
        return (
            Slider("temperature", "temperature λ", COLDEST, WARMEST, 0.05, 0.5),
            Slider("logit", "logit l of the bit", -4.0, 4.0, 0.1, 1.0),
            Slider("target", "c of the cost (b − c)²", 0.0, 1.0, 0.01, 0.49),
        )

    def frame(self, shown: Shown, settings: Settings) -> Frame:  # noqa: ARG002
        logit, target, temperature = settings["logit"], settings["target"], settings["temperature"]
        p = float(sigmoid(np.array(logit)))
        exact = p * (1.0 - p) * (1.0 - 2.0 * target)
        rows = []
        for estimator in (*WITHOUT_TEMPERATURE, Concrete(temperature), Rebar(temperature)):
            mean, variance = moments(estimator, logit, target)
            unbiased = estimator.unbiased
            rows.append(
                {
                    "name": _stem(estimator),
                    "title": TITLES.get(_stem(estimator), display_name(estimator.name)),
                    "mean": mean,
                    # What is unbiased differs from the exact number by rounding alone.
                    "bias": 0.0 if unbiased else mean - exact,
                    "sd": variance**0.5,
                }
            )
        spoken = ", ".join(
            f"{row['title']} {row['bias']:+.4f} with deviation {row['sd']:.3g}" for row in rows
        )
        return {
            "p": p,
            "exact": exact,
            "estimators": rows,
            "temperatures": list(TEMPERATURES),
            "curves": curves(logit, target),
            "b": BETWEEN.round(2).tolist(),
            "cost": ((BETWEEN - target) ** 2).round(5).tolist(),
            "words": f"The exact gradient is {exact:.4f}. Bias: {spoken}.",
        }


def _stem(estimator: Estimator) -> str:
    """Return the name of an estimator without its temperature."""
    return str(getattr(estimator, "stem", estimator.name))


@lru_cache(maxsize=256)
def curves(logit: float, target: float) -> dict[str, dict[str, list[float]]]:
    """Return mean and standard deviation of Concrete and REBAR at `TEMPERATURES`, by stem."""
    found = {}
    for kind in (Concrete, Rebar):
        numbers = [moments(kind(temperature), logit, target) for temperature in TEMPERATURES]
        found[kind.stem] = {
            "mean": [round(mean, 6) for mean, _ in numbers],
            "sd": [round(variance**0.5, 6) for _, variance in numbers],
        }
    return found


@lru_cache(maxsize=8192)
def moments(estimator: Estimator, logit: float, target: float, nodes: int = NODES) -> tuple[float, float]:
    """Return mean and variance of a single estimate of d/dl E (b - c)^2, by integrals over its noise."""
    cost = Cost("bit", lambda b: (b - target) ** 2, lambda b: 2.0 * (b - target))
    phi = np.array([logit])
    problem = Problem(CostModel(FAMILY, cost), FreePosterior(FAMILY, 1), phi, phi, NO_DATA)
    noise, weight = all_noise(estimator, logit, nodes)
    estimates, _ = estimator.estimate(problem, noise, estimator.initial_state(problem))
    mean = float(weight @ estimates[:, 0])
    return mean, float(weight @ (estimates[:, 0] - mean) ** 2)


def all_noise(estimator: Estimator, logit: float, nodes: int) -> tuple[Floats, Floats]:
    """Return every noise (R, 1, 1, 1) or (R, 1, 1, 1, 2) of one draw, and its weight (R,)."""
    temperature = getattr(estimator, "temperature", WARMEST)
    bends = np.concatenate([[0.0], temperature * BENDS])
    # The bit is 1 where u < p, which is where l + log((1 - u) / u) > 0.
    u, weight = panel_rule(np.unique([0.0, *sigmoid(logit + bends), 1.0]), nodes)
    shape = estimator.noise_spec(FAMILY, 1, 1).shape
    if np.prod(shape) == 1:
        return u.reshape(-1, *shape), weight
    v, weight_v = panel_rule(ENDS_OF_V, nodes)
    pairs = np.stack([np.repeat(u, len(v)), np.tile(v, len(u))], axis=-1)
    return pairs.reshape(-1, *shape), np.outer(weight, weight_v).ravel()
