"""EM: points in two columns, a mixture of Gaussians, and its two half steps.

    E-step   q(z) = p(z | x; theta)          the bound rises to log p(x); theta, and so log p(x), stays
    M-step   theta = argmax bound(theta, q)  the bound rises, and log p(x) rises at least as much

The steps are those of `em.MixtureEM`. A frame has no memory: the settings hold theta, and q by the theta
whose posterior it is, digit by digit, so that one frame goes on exactly where another one ended. The points
are those of Old Faithful and a list of the reader's own.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.datasets import load
from elbo_lab.em import MixtureEM
from elbo_lab.errors import bad_kind, bad_value, short, unknown_name
from elbo_lab.explorer.shown import Shown
from elbo_lab.explorer.tab import Button, Frame, Question, Settings, Slider, Tab
from elbo_lab.models import GaussianMixture
from elbo_lab.special import softmax

LABELS = ("duration of an eruption, minutes", "waiting time, minutes")
# What the page shows of the plane; points and means lie within.
LOW, HIGH = (1.0, 35.0), (6.0, 105.0)
MOST_COMPONENTS, MOST_POINTS = 3, 60
# Where the components start: a poor place, so that there is a way to go. All have the same deviations.
START_MEANS = ((3.0, 85.0), (4.0, 60.0), (3.5, 70.0))
START_DEVIATIONS = (1.0, 9.0)
# Least eigenvalue of a covariance; a component on one point would shrink for ever.
FLOOR = 0.01
# Stored parameters of a component beside its mean and weight: logs and a factor of its covariance.
MOST_STORED = 50.0
OUTLINE = 2.0  # standard deviations of the ellipses
AROUND = np.linspace(0.0, 2.0 * np.pi, 61)
FAITHFUL, POINTS, THETA, PAST = "faithful", "points", "theta", "q"


class ExpectationMaximization(Tab):
    """Tab `em`."""

    name = "em"
    title = "EM"
    own_example = True
    idea = "A mixture of Gaussians learns in half steps. The E-step moves q, the M-step moves theta."
    question = Question(
        "You take an E-step, then an M-step. Which of the two changes log p(x)?",
        ("The E-step", "The M-step", "Both"),
        1,
        "There is no q in log p(x). The E-step lifts the bound until it touches log p(x). The M-step moves "
        "theta and lifts the bound further; log p(x) lies above the bound, and is pushed up.",
        ("m-step", "both"),
        "Press E-step, then M-step, and read the table after each.",
    )
    buttons = (
        Button("e-step", "E-step"),
        Button("m-step", "M-step"),
        Button("both", "Both"),
        Button("restart", "Start again"),
        Button("empty", "Remove all points"),
        Button("eruptions", "Old Faithful"),
    )

    def sliders(self, shown: Shown) -> tuple[Slider, ...]:  # noqa: ARG002 - the points are the tab's own
        return (Slider("components", "components", 1, MOST_COMPONENTS, 1, 2, resets=(THETA, PAST)),)

    def checked(self, shown: Shown, given: Mapping[str, object]) -> Settings:
        """Return all settings: the number of components, and the lists of numbers of the page."""
        (slider,) = self.sliders(shown)
        own = {slider.name, FAITHFUL, POINTS, THETA, PAST}
        for name in given:
            if name not in own:
                raise unknown_name("settings", name, sorted(own))
        components = round(slider.checked(given.get(slider.name, slider.start)))
        flag = given.get(FAITHFUL, 1)
        if str(flag) not in ("0", "1"):
            raise bad_value(FAITHFUL, "0 or 1", short(flag))
        points = checked_numbers(POINTS, given.get(POINTS, ()), 2 * MOST_POINTS)
        if len(points) % 2:
            raise bad_value(POINTS, "pairs of numbers", f"{len(points)} numbers")
        check_within(POINTS, np.array(points).reshape(-1, 2))
        theta = checked_theta(THETA, given.get(THETA, ()), components) or start(components)
        # q of no theta yet: every component has the same share of every point.
        past = checked_theta(PAST, given.get(PAST, ()), components)
        return {slider.name: components, FAITHFUL: int(str(flag)), POINTS: points, THETA: theta, PAST: past}

    def frame(self, shown: Shown, settings: Settings) -> Frame:  # noqa: ARG002
        components, x = settings["components"], data_of(settings)
        model, theta = GaussianMixture(2, components, "full"), np.array(settings[THETA])
        means = model.layout.blocks[[name for name, _ in model.layout.entries].index("mean")]
        described = model.described(theta)
        assert described is not None
        shares: Floats = np.zeros((0, components))
        log_p, bound = 0.0, 0.0
        if len(x):
            problem = MixtureEM(model, x, FLOOR)
            before = past_of(settings)
            shares = softmax(model.posterior_eta(before, x), axis=-1)
            log_p, bound = problem.log_likelihood(theta), problem.elbo(theta, problem.e_step(before))
        outlines = [
            (mean[:, None] + OUTLINE * np.linalg.cholesky(covariance) @ [np.cos(AROUND), np.sin(AROUND)])
            for mean, covariance in zip(described["means"], described["covariances"], strict=True)
        ]
        return {
            "points": x.round(3).tolist(),
            "own": len(settings[POINTS]) // 2,
            "shares": shares.round(2).tolist(),
            "weights": described["weights"].tolist(),
            "means": described["means"].tolist(),
            "outlines": [outline.T.round(3).tolist() for outline in outlines],
            "first_mean": means.start,
            "log_p": log_p,
            "bound": bound,
            "plane": {"low": list(LOW), "high": list(HIGH), "labels": list(LABELS), "most": MOST_POINTS},
            "words": f"{len(x)} points, {components} components: log p(x) is {log_p:.4f} nats, the bound "
            f"{bound:.4f}.",
        }

    def after(self, shown: Shown, button: str, settings: Settings) -> Settings:  # noqa: ARG002
        components = settings["components"]
        if button in ("empty", "eruptions"):
            return {**settings, POINTS: [], FAITHFUL: int(button == "eruptions"), **at_start(components)}
        if button == "restart":
            return {**settings, **at_start(components)}
        if button in ("e-step", "both"):
            settings = {**settings, PAST: settings[THETA]}
        x = data_of(settings)
        if button in ("m-step", "both") and len(x):
            problem = MixtureEM(GaussianMixture(2, components, "full"), x, FLOOR)
            settings = {**settings, THETA: problem.m_step(problem.e_step(past_of(settings))).tolist()}
        return settings


def start(components: int) -> list[float]:
    """Return the theta (P,) of the start."""
    model = GaussianMixture(2, components, "full")
    covariances = np.tile(np.diag(np.square(START_DEVIATIONS)), (components, 1, 1))
    means = np.array(START_MEANS[:components])
    theta = model.layout.pack({"mean": means, **model.covariance.stored(covariances)})
    return theta.tolist()


def at_start(components: int) -> Settings:
    """Return the settings theta and q of the start."""
    return {THETA: start(components), PAST: []}


def past_of(settings: Settings) -> Floats:
    """Return the theta (P,) whose posterior is q; with equal components q has the same shares everywhere."""
    if settings[PAST]:
        return np.array(settings[PAST])
    return np.zeros(len(settings[THETA]))


@lru_cache(maxsize=1)
def eruptions() -> Floats:
    """Return the 272 rows of Old Faithful (272, 2)."""
    return load(FAITHFUL).x


def data_of(settings: Settings) -> Floats:
    """Return the points (N, 2): Old Faithful, if it is shown, and the reader's own."""
    own = np.array(settings[POINTS], dtype=float).reshape(-1, 2)
    return np.concatenate([eruptions(), own]) if settings[FAITHFUL] else own


def checked_numbers(name: str, given: object, most: int) -> list[float]:
    """Return a list of finite numbers, given as such or as words between commas, or raise."""
    parts = [part for part in given.split(",") if part] if isinstance(given, str) else given
    try:
        numbers = [float(part) for part in parts]  # type: ignore[attr-defined] # what is no list raises
    except (TypeError, ValueError):
        raise bad_kind(name, "numbers between commas", short(given)) from None
    if len(numbers) > most:
        raise bad_value(name, f"at most {most} numbers", len(numbers))
    if not np.isfinite(numbers).all():
        raise bad_value(name, "finite numbers", short(given))
    return numbers


def check_within(name: str, points: Floats) -> None:
    """Raise if a point (N, 2) lies outside of what the page shows."""
    if not ((points >= LOW) & (points <= HIGH)).all():
        box = f"{LOW[0]:g} to {HIGH[0]:g} and {LOW[1]:g} to {HIGH[1]:g}"
        raise bad_value(name, f"points within {box}", short(points.tolist()))


def checked_theta(name: str, given: object, components: int) -> list[float]:
    """Return the numbers of a theta, none if none are given, or raise."""
    layout = GaussianMixture(2, components, "full").layout
    numbers = checked_numbers(name, given, 6 * MOST_COMPONENTS)
    if not numbers:
        return []
    if len(numbers) != layout.size:
        raise bad_value(name, f"{layout.size} numbers for {components} components", len(numbers))
    parts = layout.views(np.array(numbers))
    check_within(name, parts["mean"])
    stored = np.concatenate([parts[block].ravel() for block in parts if block not in ("mean", "logits")])
    if np.abs(stored).max() > MOST_STORED:
        raise bad_value(name, f"covariances whose stored numbers are at most {MOST_STORED:g}", short(given))
    return numbers
