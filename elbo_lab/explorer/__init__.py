"""The explorer: pages to play with, each one idea, over one function of plain numbers.

    frame("bound", mean=0.5, sd=0.8)["gap"]      # what the page shows at these settings

`elbo-lab explore` serves them on this machine; the same frames can be made beforehand and be shown without a
server. One more tab is its file here, its place in `TABS`, and its part of the page in `page/`.
"""

from collections.abc import Mapping

from elbo_lab.errors import unknown_name
from elbo_lab.explorer.bit import Bit
from elbo_lab.explorer.bound import Bound
from elbo_lab.explorer.draws import Draws
from elbo_lab.explorer.em import ExpectationMaximization
from elbo_lab.explorer.noise import Noise
from elbo_lab.explorer.prior import Prior
from elbo_lab.explorer.shown import Shown, running_example, shown_model
from elbo_lab.explorer.tab import Button, Frame, Question, Settings, Slider, Tab

TABS: dict[str, Tab] = {
    tab.name: tab for tab in (Bound(), Noise(), Prior(), Draws(), Bit(), ExpectationMaximization())
}
"""In the order of the page."""

__all__ = [
    "TABS",
    "Button",
    "Frame",
    "Question",
    "Settings",
    "Shown",
    "Slider",
    "Tab",
    "described",
    "find_tab",
    "frame",
    "frame_at",
    "running_example",
    "shown_model",
]


def find_tab(name: str) -> Tab:
    """Return the tab of a name, or raise with the names there are."""
    if name not in TABS:
        raise unknown_name("tab", name, list(TABS))
    return TABS[name]


def frame(tab: str, /, shown: Shown | None = None, take: str = "", **settings: object) -> Frame:
    """Return what a tab shows at its settings, as numbers, words, lists and dictionaries.

    Parameters
    ----------
    tab : str
        A name of `TABS`.
    shown : Shown, optional
        The model and its datum; the example of the lessons if not given.
    take : str, optional
        A button that is pressed first: the settings to which it leads are shown.
    **settings : float
        By name of the slider; what is not given is at its start. The tab `em` also has lists of numbers.

    Returns
    -------
    dict
        What the tab draws, with `settings`, those that are shown, and `words`, one sentence with the numbers.

    Raises
    ------
    ValueError, TypeError
        In one line that names the argument.

    Examples
    --------
    >>> from elbo_lab.explorer import frame
    >>> now = frame("bound", mean=0.5, sd=0.8)
    >>> bool(abs(now["elbo"] + now["gap"] - now["log_p"]) < 1e-12)
    True
    """
    return frame_at(tab, running_example() if shown is None else shown, take, settings)


def frame_at(tab: str, shown: Shown, take: str, settings: Mapping[str, object]) -> Frame:
    """Return the `frame` of settings by name, which may be any words: those of a query."""
    found = find_tab(tab)
    checked = found.checked(shown, settings)
    if take:
        checked = found.after(shown, found.checked_button(take), checked)
    return {**found.frame(shown, checked), "settings": checked}


def described(shown: Shown | None = None) -> dict[str, object]:
    """Return what the page is built from: the model in words, and all tabs with questions and sliders."""
    shown = running_example() if shown is None else shown
    return {"about": shown.about, "tabs": [tab.described(shown) for tab in TABS.values()]}
