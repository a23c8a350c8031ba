"""Figures that move: a frame shows its own artists, reduced motion the last frame, a button stops them."""

import importlib
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from browser import BROWSER, DRIVER, start_browser

from elbo_lab.plots import new_figure, save_figure, show_in_turn
from elbo_lab.plots.files import render_figure, themed_svg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
kept_figures = importlib.import_module("kept_figures")
KEPT = [
    kept_figures.KEPT / f"{name}.svg" for name in ("em-in-motion", "q-in-motion", "prior-draws-in-motion")
]
SECONDS = [0.5, 1.0, 2.5]
GROUP = re.compile(r'class="turn \w+-(\d+)-(\d+)(?P<still> still)?"')


def moving_figure():
    """Return a figure of three frames: a line in the first two, one in the last, and one in all."""
    figure = new_figure(2.0, 3.0)
    ax = figure.subplots()
    (early,) = ax.plot([0, 1], [0, 1], color="red")
    (late,) = ax.plot([0, 1], [1, 0], color="blue")
    (always,) = ax.plot([0, 1], [0.5, 0.5], color="black")
    return show_in_turn(figure, [(early, 0, 1), (late, 2, 2), (always, 0, 2)], SECONDS)


def test_what_is_always_seen_is_drawn_once_and_the_rest_knows_its_frames():
    svg = themed_svg(moving_figure(), "a title")
    found = [(int(first), int(last), bool(still)) for first, last, still in GROUP.findall(svg)]
    assert found == [(0, 1, False), (2, 2, True)]
    assert "frames-" not in svg and svg.count("@keyframes") == 2
    assert "animation:4s step-end infinite" in svg and 'data-seconds="0.5 1 2.5"' in svg
    assert "0-1{0.000%{visibility:visible}37.500%{visibility:hidden}}" in svg
    assert "2-2{0%{visibility:hidden}37.500%{visibility:visible}}" in svg
    ET.fromstring(svg)


def test_a_png_is_the_last_frame_and_drawing_leaves_the_figure_as_it_was(tmp_path):
    figure = moving_figure()
    visible = [line.get_visible() for line in figure.axes[0].lines]
    assert visible == [False, True, True]
    rendered = render_figure(figure, "What it shows.")
    assert rendered["svg"].count(b"@keyframes") == 2
    assert [line.get_visible() for line in figure.axes[0].lines] == visible
    last = moving_figure()
    last.axes[0].lines[0].set_data([], [])
    assert render_figure(last)["png"] == render_figure(moving_figure())["png"]
    # A figure with a long caption is known again, and may be replaced.
    for _ in range(2):
        save_figure(moving_figure(), tmp_path, "moves", "What it shows, at length. " * 20)


def test_a_still_figure_has_no_motion():
    figure = new_figure(2.0, 3.0)
    figure.subplots().plot([0, 1])
    assert "data-motion" not in themed_svg(figure) and "@keyframes" not in themed_svg(figure)


@pytest.mark.parametrize(
    ("seen", "seconds", "words"),
    [
        ((0, 3), SECONDS, "frames from 0 to 2"),
        ((2, 1), SECONDS, "frames from 0"),
        ((0, 0), [1, 0], "positive"),
    ],
)
def test_frames_that_there_are_not_are_refused(seen, seconds, words):
    figure = new_figure(2.0, 3.0)
    (line,) = figure.subplots().plot([0, 1])
    with pytest.raises(ValueError, match=words):
        show_in_turn(figure, [(line, *seen)], seconds)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_figure_in_motion_is_small_and_its_cards_stand_still(path):
    svg = path.read_text(encoding="utf-8")
    assert len(svg) < 300_000 and "prefers-reduced-motion:reduce" in svg and " still" in svg
    (demo,) = (demo for demo in kept_figures.DEMOS if path.stem in kept_figures.captions_of(demo))
    assert "@keyframes" not in (kept_figures.SMALL / f"{demo.stem}.svg").read_text(encoding="utf-8")


# -- in a browser ----------------------------------------------------------------------------------

IN_BROWSER = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver")
VISIBLE = """
return [...document.querySelectorAll('.turn')].filter(g => getComputedStyle(g).visibility === 'visible')
  .map(g => g.getAttribute('class').match(/-(\\d+)-(\\d+)/).slice(1).map(Number));
"""
MOVING = """
return document.querySelector('svg').getAnimations({subtree: true})
  .filter(a => a.playState === 'running').length;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    pytest.importorskip("selenium")
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def page(tmp_path, browser):
    """Return what opens a figure in a page with its controls, for a reader who asked for this motion."""

    def show(svg, motion):
        feature = {"name": "prefers-reduced-motion", "value": motion}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        script = (ROOT / "docs" / "_static" / "motion.js").as_uri()
        body = f'<span class="motion">{svg}</span><script src="{script}"></script>'
        (tmp_path / "page.html").write_text(f"<!doctype html><body>{body}</body>", encoding="utf-8")
        browser.get((tmp_path / "page.html").as_uri())
        return browser

    return show


@IN_BROWSER
@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_each_frame_shows_its_own_artists_and_reduced_motion_the_last(path, page):
    svg = path.read_text(encoding="utf-8")
    browser = page(svg, "no-preference")
    button, slider = browser.find_element("tag name", "button"), browser.find_element("tag name", "input")
    assert browser.execute_script(MOVING) > 0 and button.accessible_name == "Pause"
    button.send_keys(" ")
    assert browser.execute_script(MOVING) == 0 and button.accessible_name == "Play"
    groups = [(int(first), int(last)) for first, last, _ in GROUP.findall(svg)]
    end = max(last for _, last in groups)
    assert slider.accessible_name and int(slider.get_attribute("max")) == end + 1
    set_frame = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    for frame in range(end + 1):
        browser.execute_script(set_frame, slider, frame + 1)
        shown = [tuple(pair) for pair in browser.execute_script(VISIBLE)]
        assert shown == [(first, last) for first, last in groups if first <= frame <= last], frame
    last = browser.execute_script(VISIBLE)

    browser = page(svg, "reduce")
    assert browser.execute_script("return document.getAnimations().length") == 0
    assert browser.execute_script(VISIBLE) == last
    button = browser.find_element("tag name", "button")
    assert button.accessible_name == "Play"
    button.send_keys(" ")
    assert browser.execute_script(MOVING) > 0, "who asks for it sees it move"


@IN_BROWSER
def test_frames_last_as_long_as_they_should(page):
    browser = page(themed_svg(moving_figure(), "a title"), "no-preference")
    clock = "document.querySelector('svg').getAnimations({subtree: true}).forEach(a => "
    browser.execute_script(clock + "a.pause())")
    shown = []
    for time in np.array([100, 600, 1400, 1600, 3900, 4100]):
        browser.execute_script(clock + f"a.currentTime = {time})")
        shown.append(browser.execute_script(VISIBLE))
    early, late = [[0, 1]], [[2, 2]]
    assert shown == [early, early, early, late, late, early]
