"""The HTML report: one file that needs nothing else, whatever the names in it, and usable in a browser."""

import html
import importlib.util
import json
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pytest
from browser import BROWSER, DRIVER, WIDTHS, set_width, start_browser
from figure_checks import VISION, apart
from matplotlib.figure import Figure
from synthetic_rows import MODELS, make_rows

from elbo_lab import compare
from elbo_lab.comparison.reporting import command_of
from elbo_lab.estimators import Reparameterization
from elbo_lab.models import PPCA
from elbo_lab.plots import estimator_style
from elbo_lab.plots.files import dark_color, themed_svg
from elbo_lab.report.page import Picture, page_html, questions_of
from elbo_lab.report.story import Column, Section, Story

SIZE = 5_000_000
ESTIMATORS = ["score-function", "score-function-loo", "reparameterization", "elbo-log-weight", "exact"]
SETTINGS = MappingProxyType(
    {
        "draws": 10,
        "repeats": 1000,
        "seed": 0,
        "posterior": "free",
        "at": "near",
        "noise": "independent",
        "against": None,
        "power": None,
        "exact_values": {"ppca K=10": {"log-evidence": -154.572, "elbo": -156.253}},
        "exact_errors": {},
    }
)
SCRIPT = "<script>alert('x')</script>"
STORY = Story(
    "How well can log p(x) be estimated?",
    "two models",
    (
        Section(
            "Which gradient is noisy?",
            "times the variance of reparameterization",
            (Column("model", numeric=False), Column("REINFORCE", "the score function")),
            (("ppca", "61,900 (50,000 to 70,000)"), ("", "901")),
            ("A note.",),
            "grad-phi-elbo",
        ),
    ),
    "Reparameterization wins on both.",
    (("elbo-lab compare ppca", "one model"),),
)


@pytest.fixture(scope="module")
def small():
    return compare("gaussian-mle", estimators=ESTIMATORS, rows=4, repeats=50, threads=1)


def text_of(page, name):
    """Return the text inside the element with an id, as a browser would."""
    return html.unescape(re.search(rf'<pre hidden id="{name}">(.*?)</pre>', page, re.DOTALL)[1])


def test_the_page_is_one_small_file_that_asks_for_nothing_else(small, tmp_path):
    path = small.report(tmp_path / "new" / "folder")
    page = (tmp_path / "new" / "folder" / "index.html").read_text(encoding="utf-8")
    assert path == str(tmp_path / "new" / "folder" / "index.html")
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 1
    assert len(page.encode()) < SIZE
    outside = re.sub(r"<pre hidden.*?</pre>", "", page, flags=re.DOTALL)
    assert set(re.findall(r"https?://[^\"' )]+", outside)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    links = re.findall(r'\b(?:src|href|xlink:href|action)="([^"]*)"', outside)
    inside = {f"#{name}" for name in re.findall(r'\bid="([^"]+)"', page)}
    assert links and all(link in inside or link.startswith("data:image/png") for link in links)


def test_names_inside_the_page_are_unique(small, tmp_path):
    small.report(tmp_path, figures="all")
    names = re.findall(r'\bid="([^"]+)"', (tmp_path / "index.html").read_text(encoding="utf-8"))
    assert len(names) == len(set(names))


def test_the_files_inside_are_those_that_the_comparison_writes(small, tmp_path):
    small.report(tmp_path, figures="none")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert text_of(page, "file-1") == small.to_json()
    assert text_of(page, "file-2") == small.to_csv()


def test_what_others_have_named_is_text_and_no_code():
    rows = [row | {"model": SCRIPT, "data": SCRIPT, "estimator": SCRIPT} for row in make_rows()]
    rows[0] |= {"applicable": False, "reason": SCRIPT}
    told = Story(
        SCRIPT,
        SCRIPT,
        (Section(SCRIPT, SCRIPT, (Column(SCRIPT, SCRIPT),), ((SCRIPT,),), (SCRIPT,)),),
        SCRIPT,
        ((SCRIPT, SCRIPT),),
    )
    page = page_html(
        rows,
        {**SETTINGS, "data": SCRIPT},
        story=told,
        downloads={"a.json": json.dumps({"name": SCRIPT})},
        command=SCRIPT,
        machine=[(SCRIPT, SCRIPT)],
    )
    assert SCRIPT not in page
    assert "&lt;script>" in page and "&lt;script&gt;" in page
    svg = themed_svg(Figure(), f'"{SCRIPT}')
    assert ET.fromstring(svg).get("aria-label") == f'"{SCRIPT}'


def test_an_older_report_is_replaced_and_any_other_file_kept(small, tmp_path):
    page = tmp_path / "index.html"
    small.report(tmp_path, figures="none")
    first = page.stat().st_ino
    small.report(tmp_path, figures="none")
    assert page.stat().st_ino != first
    page.write_text("<!DOCTYPE html>\n<html lang='en'>my page")
    with pytest.raises(ValueError, match=r"folder: expected a new file, or the report of 'elbo-lab compare'"):
        small.report(tmp_path, figures="none")
    assert page.read_text().endswith("my page")


def test_sections_and_headings_follow_the_rows():
    page = page_html(make_rows(), dict(SETTINGS))
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.count("<h3>ppca <small>probabilistic PCA</small></h3>") == len(
        {row["target"] for row in make_rows()}
    )
    assert "-154.57" in page and "1.68" in page


def test_what_has_no_numbers_is_named_once_with_its_reason():
    rows = [row for row in make_rows() if row["model"] == "ppca" and row["target"] == "grad-phi-elbo"]
    rows[0] |= {"applicable": False, "reason": "z is discrete"}
    rows[1] |= {"bias_norm": None, "variance": None, "reason": "overflow"}
    page = page_html(rows, dict(SETTINGS))
    assert "<summary>no numbers: score-function, score-function-loo</summary>" in page
    assert "<li>n/a: z is discrete: score-function</li>" in page
    assert "<li>not finite: overflow: score-function-loo</li>" in page


def test_many_rows_are_folded_and_few_are_not():
    rows = make_rows()
    assert '<details class="question" id="grad-phi-elbo">' in page_html(rows, dict(SETTINGS))
    pictures = {"grad-phi-elbo": Picture("Which?", "<svg></svg>")}
    shown = page_html(rows, dict(SETTINGS), pictures=pictures)
    assert '<details class="question" id="grad-phi-elbo" open>' in shown
    assert '<details class="question" id="elbo">' in shown and '<details class="block" open' not in shown
    few = [row for row in rows if row["model"] == MODELS[0][0]]
    assert '<details class="question" id="grad-phi-elbo" open>' in page_html(few, dict(SETTINGS))


def test_the_exact_answer_alone_is_no_section_unless_there_is_nothing_else():
    exact = [row for row in make_rows() if row["estimator"] == "exact"]
    noisy = [row for row in make_rows() if row["target"] == "grad-phi-elbo"]
    bound = [row for row in exact if row["target"] == "elbo"]
    assert [question.slug for question in questions_of(bound + noisy, dict(SETTINGS))] == ["grad-phi-elbo"]
    assert [question.slug for question in questions_of(bound, dict(SETTINGS))] == ["elbo"]


def test_a_story_comes_first_with_its_figure_and_numbers_that_sort(small, tmp_path):
    small.story = STORY
    try:
        small.report(tmp_path)
    finally:
        small.story = None
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    told, tables = page.split('<h2 id="rows">')
    assert 'data-v="61900.0"' in told and 'data-v="901.0"' in told
    assert told.count('<th scope="row">ppca</th>') == 2
    assert "Reparameterization wins on both." in told and "<svg" in told
    assert tables.count('aria-label="Which gradient of the ELBO in φ is noisy?"') == 0


def test_ratios_and_second_verdicts_have_their_columns():
    found = compare(
        "gaussian-mle",
        estimators=ESTIMATORS,
        rows=4,
        repeats=50,
        threads=1,
        against="reparameterization",
        power=0.3,
    )
    page = page_html(found.rows, found.settings)
    assert re.search(
        r">ratio</button>.*>against reparameterization</button>.*>before</button>", page, re.DOTALL
    )
    assert "then R = " in page


GAUSSIAN = {"models": "gaussian-mle", "repeats": 3, "rows": 2}
SIZES = "--rows 2 --repeats 3"


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ({"estimators": "exact"}, f"--estimators exact {SIZES}"),
        ({"targets": "elbo"}, f"--target elbo {SIZES}"),
        ({"targets": "elbo", "estimators": "exact"}, f"--target elbo --estimators exact {SIZES}"),
        (
            {"targets": "elbo", "data": "my file.csv", "at": "start", "seed": 3},
            "--target elbo --data 'my file.csv' --rows 2 --seed 3 --repeats 3 --at start",
        ),
    ],
)
def test_the_command_makes_the_same_rows_again(arguments, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my file.csv").write_text("a,b\n1,2\n2,1\n3,5\n4,4\n")
    found = compare(**GAUSSIAN, **arguments, threads=1)
    assert command_of(found) == f"elbo-lab compare gaussian-mle {command}"
    found.story = STORY
    found.settings |= {"repeats": 300, "rows": None, "data": None, "at": "near", "seed": 4}
    assert command_of(found) == "elbo-lab compare --seed 4"


def test_what_a_command_cannot_name_is_called_in_python():
    class Mine(PPCA):
        name = "my-ppca"

    class Own(Reparameterization):
        name = "own"

    x = np.random.default_rng(0).standard_normal((6, 3))
    found = compare(Mine, estimators=[Own(), "exact"], targets="grad-phi-elbo", data=x, repeats=3, threads=1)
    assert command_of(found) == (
        "elbo_lab.compare(models=[Mine], targets=['grad-phi-elbo'], estimators=[Own(), 'exact'], data=x, "
        "repeats=3)\n# in Python, with Mine, Own, x (the data) of yours"
    )


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    "color", ["332288", "4b2e05", "003f7f", "56b4e9", "e69f00", "222222", "6b6b6b", "000000"]
)
def test_inks_are_readable_on_dark_paper(color):
    paper, ink = luminance(dark_color("ffffff")), luminance(dark_color(color))
    assert (ink + 0.05) / (paper + 0.05) >= 4.4


@pytest.mark.parametrize("vision", VISION)
def test_the_blues_of_two_paths_are_told_apart_on_dark_paper(vision):
    colors = [estimator_style(name).color for name in ("reparameterization", "sticking-the-landing")]
    first, second = (f"#{dark_color(color[1:].lower())}" for color in colors)
    assert apart(first, second, vision) > 15


def test_every_ink_of_the_page_is_readable_on_its_paper():
    page = page_html(make_rows()[:4], dict(SETTINGS))
    light = re.search(r":root {\n(.*?)}", page, re.DOTALL)[1]
    dark = re.search(r':root\[data-theme="dark"\] {\n(.*?)}', page, re.DOTALL)[1]
    for theme in (light, dark):
        colors = dict(re.findall(r"--(\w+): #(\w{6})", theme))
        for ink in ("ink", "faint", "accent", "green", "yellow", "red", "magenta"):
            for paper in ("paper", "raised"):
                low, high = sorted((luminance(colors[ink]), luminance(colors[paper])))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)


# -- in a browser ----------------------------------------------------------------------------------

PAPER = {"light": ("#ffffff", "rgb(255, 255, 255)"), "dark": ("#181818", "rgb(24, 24, 24)")}
BACKGROUND = "return getComputedStyle(document.body).backgroundColor"
NO_BROWSER = importlib.util.find_spec("selenium") is None or not (BROWSER and DRIVER)
in_browser = pytest.mark.skipif(NO_BROWSER, reason="needs the extra docs, chromium and chromedriver")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    small.report(folder, figures="all")
    return (folder / "index.html").as_uri()


@in_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_fits_its_width_and_complains_of_nothing(width, theme, address, browser):
    set_width(browser, width)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(address)
    assert browser.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in asked if e["method"] == "Network.requestWillBeSent"]
    assert all(url.startswith((address, "data:", "blob:")) for url in urls)
    # Every figure has a question, and its paper is that of the page.
    paper = "return getComputedStyle(arguments[0]).getPropertyValue(arguments[1])"
    for figure in browser.find_elements("css selector", "svg.themed"):
        assert figure.get_attribute("aria-label").endswith("?")
        assert browser.execute_script(paper, figure, "--cffffff") == (
            "#ffffff" if theme == "light" else "#181818"
        )
    colors = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert colors == ("rgb(255, 255, 255)" if theme == "light" else "rgb(24, 24, 24)")


@in_browser
def test_a_figure_on_a_phone_is_whole_and_large_on_demand(address, browser):
    set_width(browser, WIDTHS["phone"])
    browser.get(address)
    box = browser.find_element("css selector", "figure .scroll")
    beyond = "return arguments[0].scrollWidth - arguments[0].clientWidth"
    assert browser.execute_script(beyond, box) == 0
    button = browser.find_element("css selector", ".enlarge")
    button.click()
    assert browser.execute_script(beyond, box) > 300 and button.text == "Show whole figure"
    assert browser.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
    set_width(browser, WIDTHS["desktop"])
    assert not button.is_displayed() and browser.execute_script(beyond, box) == 0


COLUMN = """
const table = document.querySelector("#grad-phi-elbo table");
const place = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent.trim() === "variance");
return [[...table.tBodies[0].rows].map(row => Number(row.cells[place].dataset.v)),
        table.tHead.rows[0].cells[place].getAttribute("aria-sort")];
"""


@in_browser
def test_a_head_sorts_by_mouse_and_by_key_and_says_what_it_means(address, browser):
    from selenium.webdriver.common.keys import Keys

    set_width(browser, 1280)
    browser.get(address)
    original, order = browser.execute_script(COLUMN)
    assert order is None and original != sorted(original)
    head = browser.find_element("xpath", "//*[@id='grad-phi-elbo']//th/button[.='variance']")
    help_text = browser.find_element("id", "help")
    assert not help_text.is_displayed()
    head.click()
    assert browser.execute_script(COLUMN) == [sorted(original), "ascending"]
    assert help_text.is_displayed() and "covariance of one estimate from S = 10 draws" in help_text.text
    head.send_keys(Keys.ENTER)
    assert browser.execute_script(COLUMN) == [sorted(original, reverse=True), "descending"]
    head.send_keys(Keys.ENTER)
    assert browser.execute_script(COLUMN) == [original, None]
    head.send_keys(Keys.ESCAPE)
    assert not help_text.is_displayed()
    # The focus of a key scrolls the page, and the words stay beside their head.
    browser.execute_script("scrollTo(0, 0)")
    last = browser.find_elements("css selector", "details.question thead button[data-help]")[-1]
    browser.execute_script("arguments[0].focus()", last)
    browser.execute_script(
        "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    words, place = help_text.rect, last.rect
    assert help_text.is_displayed() and abs(words["y"] + words["height"] + 6 - place["y"]) < 2


@in_browser
def test_the_theme_turns_and_is_kept(address, browser):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get(address)
    assert browser.execute_script(BACKGROUND) == PAPER["light"][1]
    browser.find_element("id", "theme").click()
    assert browser.execute_script(BACKGROUND) == PAPER["dark"][1]
    browser.get(address)
    assert browser.execute_script(BACKGROUND) == PAPER["dark"][1]
    browser.find_element("id", "theme").click()
    assert browser.execute_script(BACKGROUND) == PAPER["light"][1]


@in_browser
def test_the_files_can_be_had_without_a_server(address, browser, small, tmp_path):
    import time

    place = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", place)
    browser.get(address)
    wanted = {"elbo-lab-compare.json": small.to_json(), "elbo-lab-compare.csv": small.to_csv()}
    for link in browser.find_elements("css selector", "a.download"):
        browser.execute_script("arguments[0].click()", link)
    deadline = time.monotonic() + 20
    while not all((tmp_path / name).exists() for name in wanted) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {name: (tmp_path / name).read_text(encoding="utf-8") for name in wanted} == wanted


@in_browser
def test_what_is_folded_opens_for_a_link_into_it_and_for_all(browser, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(page_html(make_rows(), dict(SETTINGS)), encoding="utf-8")
    browser.get(path.as_uri())
    opened = "return [...document.querySelectorAll('.question, .block')].map(part => part.open)"
    assert not any(browser.execute_script(opened))
    browser.get(f"{path.as_uri()}#grad-phi-elbo")
    assert sum(browser.execute_script(opened)) == 1
    browser.find_element("id", "fold").click()
    assert all(browser.execute_script(opened))


def test_black_text_and_black_dots_of_a_figure_turn_light_on_a_dark_page():
    figure = Figure()
    figure.text(0.5, 0.5, "words", color="black")
    svg = themed_svg(figure)
    assert "fill:var(--c000000)" in svg.partition("}")[0]
    assert svg.count(f"--c000000:#{dark_color('000000')};") == 2
    # The text itself names no colour, or this one.
    (style,) = re.findall(r'<text style="([^"]*)"', svg)
    assert "fill" not in style or "var(--c000000)" in style


def test_every_dot_of_many_colours_is_drawn():
    figure = Figure()
    ax = figure.subplots()
    ax.scatter([0, 1, 2], [0, 1, 2], c=["#004488", "#BB5566", "#DDAA33"])
    svg = themed_svg(figure)
    used = set(re.findall(r'href="#([^"]+)"', svg))
    assert svg.count("<use ") >= 3
    assert used <= set(re.findall(r' id="([^"]+)"', svg))
