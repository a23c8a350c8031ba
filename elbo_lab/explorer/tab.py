"""What a tab of the explorer is: a question first, sliders and buttons, and frames of plain numbers.

A tab holds no state. Its picture is a function of its settings, and a button leads from settings to settings;
so the page, a test and a table of frames that was made beforehand show the same numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from elbo_lab.errors import bad_kind, bad_value, short, unknown_name
from elbo_lab.explorer.shown import Shown

Settings = dict[str, Any]
"""By name: a number for each slider, and what else a tab has for itself."""

Frame = dict[str, Any]
"""What is drawn: numbers, words, and lists and dictionaries of them."""

# How far, in steps of its slider, a number may lie beyond an end by rounding.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Slider:
    """One number that the reader moves.

    Parameters
    ----------
    name : str
        Of the setting.
    label : str
        In words.
    low, high, step, start : float
    unit : str, optional
    power : int, optional
        If given, its power of the setting is what that stands for, and what is shown.
    resets : tuple of str, optional
        Settings without a slider that go back to their start when this one moves.
    """

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float
    unit: str = ""
    power: int = 0
    resets: tuple[str, ...] = ()

    def checked(self, value: object) -> float:
        """Return a value as a float between both ends, or raise."""
        try:
            number = float(value)  # type: ignore[arg-type] # what is no number raises
        except (TypeError, ValueError):
            raise bad_kind(self.name, "a number", short(value)) from None
        beyond = ROUNDING * self.step
        if not self.low - beyond <= number <= self.high + beyond:  # nan is outside too
            raise bad_value(self.name, f"a number from {self.low:g} to {self.high:g}", short(value))
        return min(max(number, self.low), self.high)


@dataclass(frozen=True)
class Button:
    """One move that the reader can ask for.

    Parameters
    ----------
    name : str
        The word for `take`.
    label : str
        What stands on it.
    """

    name: str
    label: str


@dataclass(frozen=True)
class Question:
    """The prediction that a reader makes before anything moves.

    Parameters
    ----------
    text : str
    choices : tuple of str
        Three.
    right : int
        Index of the choice that holds.
    because : str
        Why, in one or two sentences.
    settled_by : tuple of str
        Names of sliders and buttons: after one of them was used the page says whether the prediction held.
    try_it : str
        What to move, in words.
    """

    text: str
    choices: tuple[str, str, str]
    right: int
    because: str
    settled_by: tuple[str, ...]
    try_it: str


class Tab(ABC):
    """One idea of the explorer.

    Attributes
    ----------
    name : str
    title : str
        A few words, on the tab itself.
    idea : str
        One sentence under the title.
    question : Question
    buttons : tuple of Button
    own_example : bool
        True if the tab does not show the model that the explorer was opened with.
    """

    name: str
    title: str
    idea: str
    question: Question
    buttons: tuple[Button, ...] = ()
    own_example = False

    @abstractmethod
    def sliders(self, shown: Shown) -> tuple[Slider, ...]:
        """Return the sliders, with ends that fit what is shown."""

    @abstractmethod
    def frame(self, shown: Shown, settings: Settings) -> Frame:
        """Return what is drawn, as plain numbers, and `words`: one sentence with the current numbers."""

    def after(self, shown: Shown, button: str, settings: Settings) -> Settings:  # noqa: ARG002
        """Return the settings to which a button leads."""
        return settings

    def slow_at_first(self, shown: Shown) -> Iterable[Settings]:
        """Return settings whose frames are slow the first time: a server computes them before it is asked."""
        return [self.checked(shown, {})]

    def within(self, shown: Shown, settings: Settings) -> Settings:
        """Return the settings, none beyond an end of its slider."""
        return {one.name: min(max(settings[one.name], one.low), one.high) for one in self.sliders(shown)}

    def described(self, shown: Shown) -> dict[str, Any]:
        """Return what the page builds the tab from, as plain values."""
        return {
            "name": self.name,
            "title": self.title,
            "idea": self.idea,
            "own_example": self.own_example,
            "question": asdict(self.question),
            "sliders": [asdict(slider) for slider in self.sliders(shown)],
            "buttons": [asdict(button) for button in self.buttons],
        }

    def checked(self, shown: Shown, given: Mapping[str, object]) -> Settings:
        """Return all settings, those that are not given at their start, or raise."""
        sliders = {slider.name: slider for slider in self.sliders(shown)}
        for name in given:
            if name not in sliders:
                raise unknown_name("settings", name, list(sliders))
        return {name: one.checked(given.get(name, one.start)) for name, one in sliders.items()}

    def checked_button(self, take: str) -> str:
        """Return the name of a button, or raise."""
        names = [button.name for button in self.buttons]
        if not names:
            raise bad_value("take", f"nothing, since {self.name} has no buttons", short(take))
        if take not in names:
            raise unknown_name("take", take, names)
        return take
