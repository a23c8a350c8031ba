"""The page of the explorer in a real Chromium: predictions, sliders, steps, keyboard, phone, and its speed.

Needs selenium and a Chromium with its driver; without them the tests are skipped.
"""

import importlib.util
import json
import statistics
import threading
import time

import pytest
from browser import BROWSER, DRIVER, WIDTHS, set_width, start_browser

from elbo_lab.explorer import TABS, frame, running_example
from elbo_lab.explorer.recorded import write_page
from elbo_lab.explorer.server import Explorer

MISSING = importlib.util.find_spec("selenium") is None
pytestmark = pytest.mark.skipif(
    MISSING or not (BROWSER and DRIVER), reason="needs selenium, chromium and chromedriver"
)

# Milliseconds from a move to its picture: 10 to 20 on an idle machine, and tests run side by side.
SLOWEST_MEDIAN = 60.0


@pytest.fixture(scope="module")
def server():
    with Explorer(running_example()) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        one.prepare()
        yield one
        one.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


class Page:
    """A tab of the explorer, freshly opened."""

    def __init__(self, browser, server, tab, width=1280):
        self.browser, self.tab, self.panel = browser, tab, f"#panel-{tab}"
        set_width(browser, width)
        browser.get("about:blank")
        browser.get_log("browser"), browser.get_log("performance")
        browser.get(f"{server.address}#{tab}")
        self.until(f"window.Explorer && Explorer.views && Explorer.views['{tab}'].frame")

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def until(self, condition):
        end = time.monotonic() + 30
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, condition
            time.sleep(0.005)

    def find(self, selector):
        return self.browser.find_element("css selector", f"{self.panel} {selector}")

    def now(self):
        return self.run(f"return Explorer.views['{self.tab}'].frame")

    def choose(self, index):
        self.browser.find_elements("css selector", f"{self.panel} .choice")[index].click()

    def drawn_after(self, act):
        """Do something that asks for a frame, and wait until that is drawn."""
        before = self.run("return Explorer.times.length")
        act()
        self.until(f"Explorer.times.length > {before} && !Explorer.views['{self.tab}'].busy")

    def press(self, button):
        self.drawn_after(self.find(f"[data-take={button}]").click)

    def slide(self, name, value):
        move = """const input = document.querySelector(arguments[0]); input.value = arguments[1];
        input.dispatchEvent(new Event("input")); input.dispatchEvent(new Event("change"));"""
        self.drawn_after(lambda: self.run(move, f"#{self.tab}-{name}", value))

    def cell(self, name):
        return self.find(f"[data-cell={name}]").text

    def complaints(self):
        """Return what the page wrote on the console, and what it asked of others."""
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        home = "/".join(self.browser.current_url.split("/")[:4])
        elsewhere = [url for url in asked if not url.startswith(home)]
        assert asked
        return [entry["message"] for entry in self.browser.get_log("browser")] + elsewhere


# Pictures that draw the answer as a curve, before anything is moved.
TELLING = {"prior": 1, "draws": 1, "bit": 2}


@pytest.mark.parametrize("tab", TABS)
def test_sliders_are_locked_until_a_prediction_is_made_and_a_move_settles_it(tab, browser, server):
    question = TABS[tab].question
    for choice in (question.right, (question.right + 1) % 3):
        page = Page(browser, server, tab)
        inputs = f"[...document.querySelectorAll('{page.panel} fieldset :is(input, button)')]"
        telling = f"[...document.querySelectorAll('{page.panel} .tells > svg')]"
        seen = f"return {telling}.map((one) => getComputedStyle(one).visibility)"
        assert len(page.run(seen)) == TELLING.get(tab, 0)
        assert set(page.run(seen)) <= {"hidden"}
        assert page.run(f"return {inputs}.every((one) => one.matches(':disabled'))")
        page.choose(choice)
        assert set(page.run(seen)) <= {"visible"}
        assert page.run(f"return {inputs}.every((one) => !one.matches(':disabled'))")
        assert question.because not in page.find(".verdict").text
        sliders = {one.name: one for one in TABS[tab].sliders(running_example())}
        name = next((one for one in question.settled_by if one in sliders), "")
        if name:
            page.slide(name, sliders[name].low + 2 * sliders[name].step)
        else:
            page.press(question.settled_by[0])
        verdict = page.find(".verdict").text
        assert question.because in verdict
        assert verdict.startswith(
            "Your prediction held" if choice == question.right else "Your prediction did not hold"
        )
        assert page.complaints() == []


def test_a_lecturer_skips_the_question(browser, server):
    page = Page(browser, server, "bound")
    page.find(".skip").click()
    assert not page.find(".question").is_displayed()
    page.slide("mean", 0.5)
    assert page.now()["settings"]["mean"] == 0.5
    with Explorer(running_example(), first="prior", skip_predictions=True) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        browser.get("about:blank")
        browser.get(other.address)
        page.until("window.Explorer && Explorer.views && Explorer.views.prior.frame")
        assert page.run("return !document.querySelector('#panel-prior fieldset').disabled")
        other.shutdown()


def test_a_phi_step_leaves_log_p_on_the_page_as_it_is_and_a_theta_step_does_not(browser, server):
    page = Page(browser, server, "bound")
    page.choose(1)
    start = page.now()
    page.press("phi-step")
    after = page.now()
    assert after["log_p"] == start["log_p"]
    assert after["gap"] < start["gap"] - 0.5
    assert page.cell("log_p-change") == "0, exactly"
    assert page.cell("gap-change").startswith("−")
    assert page.cell("elbo-now") == "−3.8285"  # as docs/explorer.md says
    page.press("theta-step")
    assert page.cell("log_p-change") != "0, exactly"
    assert page.now()["log_p"] != start["log_p"]
    page.press("best-q")
    assert page.cell("gap-now") in ("0.0000", "−0.0000")


def test_the_model_is_named_where_it_is_shown(browser, server):
    Page(browser, server, "bound")
    seen = {}
    for tab in TABS:
        browser.find_element("css selector", f"#tab-{tab}").click()
        seen[tab] = browser.find_element("css selector", ".about").is_displayed()
    assert [tab for tab, shown in seen.items() if not shown] == ["prior", "bit", "em"]


def test_many_draws_are_written_in_words(browser, server):
    page = Page(browser, server, "prior")
    page.choose(2)
    page.slide("latents", 20)
    assert page.find("[data-number=needed]").text == "680 trillion"  # as docs/explorer.md says


def test_the_bars_add_up_on_the_page(browser, server):
    page = Page(browser, server, "bound")
    page.choose(1)
    for mean, sd in ((0.5, 0.8), (-2.0, 0.2), (2.9, 1.9)):
        page.slide("mean", mean)
        page.slide("sd", sd)
        measured = page.run(
            "return ['elbo', 'gap'].map((one) => document.querySelector(`#panel-bound .bar.${one}`))"
            ".map((bar) => [Number(bar.getAttribute('x')), Number(bar.getAttribute('width'))])"
        )
        line = float(page.find("figure line.exact").get_attribute("x1"))
        (elbo, width), (gap, rest) = measured
        assert abs(elbo + width - gap) < 1e-6
        assert abs(gap + rest - line) < 1e-6
        assert page.now()["elbo"] == frame("bound", mean=mean, sd=sd)["elbo"]


@pytest.mark.parametrize("tab", TABS)
def test_from_a_slider_to_its_picture_takes_a_moment(tab, browser, server):
    page = Page(browser, server, tab)
    page.choose(0)
    slider = TABS[tab].sliders(running_example())[0]
    count = 15
    places = round((slider.high - slider.low) / slider.step)
    for i in range(count):
        share = (i + 1) / (count + 1) if places > count else i % 2
        page.slide(slider.name, slider.low + round(share * places) * slider.step)
    times = page.run("return Explorer.times")
    assert len(times) == count + 1
    assert statistics.median(times[1:]) < SLOWEST_MEDIAN


def test_of_many_moves_at_once_the_last_one_is_drawn(browser, server):
    page = Page(browser, server, "noise")
    page.choose(0)
    page.run(
        """const input = document.querySelector("#noise-mean");
        for (let i = 0; i <= 60; i++) {
          input.value = -1.2 + i / 50;
          input.dispatchEvent(new Event("input"));
        }"""
    )
    page.until("!Explorer.views.noise.busy")
    assert page.run("return Explorer.times.length") < 10
    assert page.now()["settings"]["mean"] == pytest.approx(0.0, abs=1e-9)


def test_tabs_and_sliders_work_by_keyboard(browser, server):
    from selenium.webdriver.common.keys import Keys

    page = Page(browser, server, "bound")
    page.choose(1)
    slider = page.find("#bound-mean")
    page.drawn_after(lambda: slider.send_keys(Keys.ARROW_RIGHT))
    assert page.now()["settings"]["mean"] == pytest.approx(0.02)
    assert slider.get_attribute("aria-valuetext") == "0.020"
    names = list(TABS)
    for key, to in (
        (Keys.ARROW_RIGHT, names[1]),
        (Keys.END, names[-1]),
        (Keys.ARROW_RIGHT, names[0]),
        (Keys.ARROW_LEFT, names[-1]),
    ):
        page.run("document.querySelector('[role=tab][aria-selected=true]').focus()")
        browser.switch_to.active_element.send_keys(key)
        assert browser.switch_to.active_element.get_attribute("id") == f"tab-{to}"
        shown = page.run(
            "return [...document.querySelectorAll('[role=tabpanel]:not([hidden])')].map((one) => one.id)"
        )
        assert shown == [f"panel-{to}"]
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.run(outline) != "none"


@pytest.mark.parametrize("tab", TABS)
def test_pictures_say_their_numbers_in_words(tab, browser, server):
    page = Page(browser, server, tab)
    labels = """return [...document.querySelectorAll(arguments[0])]
        .map((one) => [one.getAttribute('role'), one.getAttribute('aria-label')])"""
    before = page.run(labels, f"{page.panel} figure > svg")
    assert before
    assert all(role == "img" and any(c.isdigit() for c in words) for role, words in before)
    page.choose(0)
    slider = TABS[tab].sliders(running_example())[0]
    page.slide(slider.name, min(slider.low + 5 * slider.step, slider.high))
    assert page.run(labels, f"{page.panel} figure > svg") != before


LOOK = """
const style = getComputedStyle(document.body);
return {
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  page: style.backgroundColor,
  small: [...document.querySelectorAll(arguments[0])]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24).length,
  text: Math.min(...[...document.querySelectorAll('svg text')]
    .map((one) => parseFloat(getComputedStyle(one).fontSize))),
};
"""


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("tab", TABS)
def test_a_tab_fits_its_width_light_and_dark(tab, width, browser, server):
    pages = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        page = Page(browser, server, tab, width)
        page.choose(0)
        found = page.run(LOOK, f"{page.panel} :is(button, input)")
        assert found["overflow"] == 0
        assert found["small"] == 0
        assert found["text"] >= 12
        pages.append(found["page"])
        assert page.complaints() == []
    assert pages[0] != pages[1]
    page.run("document.querySelector('.theme').click()")
    assert page.run(LOOK, page.panel)["page"] == pages[0]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_points_are_clicked_and_means_dragged_and_no_half_step_of_em_falls(browser, server):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    page = Page(browser, server, "em")
    picture = page.find(".plane svg")
    page.run("arguments[0].scrollIntoView({ block: 'center' })", picture)
    ActionChains(browser).move_to_element(picture).click().perform()
    assert page.now()["own"] == 0  # locked
    page.choose(1)
    page.run("arguments[0].scrollIntoView({ block: 'center' })", picture)
    corner = ActionChains(browser).move_to_element_with_offset(picture, -300, -100).click()
    page.drawn_after(corner.perform)
    now = page.now()
    assert now["own"] == 1
    assert len(now["points"]) == 273
    drag = ActionChains(browser).drag_and_drop_by_offset(page.find(".handle.first"), 60, 40)
    page.drawn_after(drag.perform)
    x, y = page.now()["means"][0]
    assert x > now["means"][0][0] + 0.1
    assert y < now["means"][0][1] - 3
    page.drawn_after(lambda: page.find(".handle.second").send_keys(Keys.ARROW_LEFT))
    moved = page.now()["means"][1]
    assert moved == pytest.approx([now["means"][1][0] - 0.05, now["means"][1][1]])
    page.drawn_after(lambda: page.find(".handle.second").send_keys(Keys.ENTER))
    assert page.now()["points"][-1] == pytest.approx(moved, abs=0.05)
    for step in ("e-step", "m-step", "both", "e-step", "m-step"):
        before = page.now()
        page.press(step)
        after = page.now()
        assert after["bound"] >= before["bound"] - 1e-9
        assert (after["log_p"] == before["log_p"]) == (step == "e-step")
        assert after["log_p"] >= before["log_p"] - 1e-9
        assert (page.cell("log_p-change") == "0, exactly") == (step == "e-step")
    # The handle stands on the mean, within the margins of the picture.
    at = """return ['.handle.first', '.plane svg']
        .map((one) => document.querySelector(one).getBoundingClientRect())
        .map((box) => [box.x, box.y, box.width, box.height])"""
    (left, top, size, _), (x0, y0, width, height) = page.run(at)
    x, y = page.now()["means"][0]
    assert left + size / 2 - x0 == pytest.approx(46 + (x - 1) / 5 * (width - 58), abs=2)
    assert top + size / 2 - y0 == pytest.approx(height - 42 - (y - 35) / 70 * (height - 54), abs=2)
    page.press("empty")
    assert page.now()["points"] == []
    page.slide("components", 3)
    assert len(page.now()["means"]) == 3
    assert page.complaints() == []


def test_a_mistake_of_the_server_is_shown_and_goes_away(browser, server):
    page = Page(browser, server, "bound")
    page.choose(1)
    page.run("Explorer.views.bound.settings.sd = 99; Explorer.views.bound.take('phi-step')")
    page.until("!document.querySelector('#panel-bound .error').hidden")
    assert "sd: expected a number from 0.1 to 2" in page.find(".error").text
    page.slide("sd", 0.5)
    assert not page.find(".error").is_displayed()


# -- the page without a server -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return the folder of the page that has its frames beside it."""
    folder = tmp_path_factory.mktemp("recorded")
    write_page(folder)
    return folder


class RecordedPage(Page):
    """A tab of the page that was written to a folder, opened from there: no server at all."""

    def __init__(self, browser, folder, tab, width=1280):
        place = type("Place", (), {"address": (folder / "index.html").as_uri()})
        super().__init__(browser, place, tab, width)


@pytest.mark.parametrize("tab", TABS)
def test_the_recorded_page_shows_the_frames_of_its_grid_without_a_server(tab, browser, recorded):
    for width in WIDTHS.values():
        page = RecordedPage(browser, recorded, tab, width)
        page.choose(TABS[tab].question.right)
        names = page.run(
            f"return Explorer.views.{tab}.tab.sliders.map((one) => [one.name, one.values.length])"
        )
        start = page.now()
        for name, count in names:
            page.slide(name, count // 3)
        now = page.now()
        assert now["settings"] != start["settings"]
        if tab != "em":
            assert_close(now, frame(tab, **now["settings"]))
        assert page.find(".verdict").text.startswith("Your prediction held")
        assert page.run(LOOK, f"{page.panel} :is(button, input)")["overflow"] == 0
        assert max(page.run("return Explorer.times.slice(1)")) < SLOWEST_MEDIAN
        assert page.complaints() == []


def assert_close(found, exact):
    """Assert that a frame is another one, but for the digits and the dots that are left out."""
    if isinstance(exact, dict):
        for key in exact:
            assert_close(found[key], exact[key][: len(found[key])] if key == "dots" else exact[key])
    elif isinstance(exact, list):
        assert len(found) == len(exact)
        for one, other in zip(found, exact, strict=True):
            assert_close(one, other)
    else:
        assert found == (pytest.approx(exact, rel=6e-3, abs=1e-7) if isinstance(exact, float) else exact)


def test_steps_on_the_recorded_page_have_the_numbers_of_the_docs(browser, recorded):
    page = RecordedPage(browser, recorded, "bound")
    page.choose(1)
    for elbo in ("−3.8285", "−3.7366"):
        page.press("phi-step")
        assert (page.cell("elbo-now"), page.cell("log_p-change")) == (elbo, "0, exactly")
    page.press("best-q")
    assert page.cell("gap-now") in ("0.0000", "−0.0000")
    page = RecordedPage(browser, recorded, "em")
    page.choose(1)
    past = page.now()
    for step in range(1, 25):
        page.slide("step", step)
        now = page.now()
        assert now["bound"] >= past["bound"]
        assert now["log_p"] >= past["log_p"]
        assert (now["log_p"] == past["log_p"] == now["bound"]) or step % 2 == 0
        assert (page.cell("log_p-change") == "0, exactly") == (now["log_p"] == past["log_p"])
        past = now
    assert now["log_p"] == pytest.approx(-1130.264, abs=1e-3)
    assert "elbo-lab explore" in page.find(".hint").text


def test_the_recorded_page_weighs_at_most_two_megabytes(recorded):
    assert sum(file.stat().st_size for file in recorded.iterdir()) < 2_000_000
