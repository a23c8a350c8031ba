"""The built site, looked at in a browser: figures, formulas, links, width, and nothing from elsewhere.

Needs the extra `docs` and a Chromium with its driver; without them the tests are skipped. The site is built
without running the demos, which have tests of their own. ELBO_LAB_SITE=FOLDER looks at a built one instead.
"""

import functools
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from browser import BROWSER, DRIVER, WIDTHS, set_width, start_browser
from page_markup import complaints

ROOT = Path(__file__).parents[1]
PACKAGES = ("sphinx", "myst_parser", "numpydoc", "furo", "sphinx_copybutton", "notfound", "selenium")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
REASON = f"needs the extra docs (missing: {', '.join(MISSING) or 'nothing'}), chromium and chromedriver"
pytestmark = pytest.mark.skipif(bool(MISSING) or not (BROWSER and DRIVER), reason=REASON)

# One page of each kind, and every page that is written by hand.
GENERATED = ["gallery/index", "gallery/08_reinforce_against_reparameterization", "api/index"]
GENERATED += ["api/elbo_lab.bounds", "source/elbo_lab", "source/bounds", "source/tests", "genindex"]
PAGES = [path.stem for path in sorted((ROOT / "docs").glob("*.md"))] + GENERATED
BUILT = os.environ.get("ELBO_LAB_SITE")
if BUILT:
    # Here the demos have run, so that each of their pages is looked at.
    shown = (path.relative_to(BUILT).with_suffix("") for path in Path(BUILT, "gallery").rglob("*.html"))
    PAGES = sorted({*PAGES, *(page.as_posix() for page in shown)})

# What a page looks like after its scripts have run, as numbers and lists.
LOOK = """
const text = document.querySelector('article').cloneNode(true);
text.querySelectorAll('pre, code, script, mjx-container').forEach(node => node.remove());
return {
  blank: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
  hidden: [...document.querySelectorAll('article img')].filter(i => i.width < 40).map(i => i.src),
  raw: text.textContent.match(/\\\\[()\\[\\]]|\\$\\$|\\\\(frac|mathrm|theta|log)/g) || [],
  wanted: document.querySelectorAll('.math').length,
  formulas: document.querySelectorAll('mjx-container').length,
  faulty: document.querySelectorAll('mjx-merror, [data-mjx-error]').length,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  wide: [...document.querySelectorAll('article mjx-container[display="true"]')]
    .filter(box => box.scrollWidth > box.clientWidth + 1)
    .map(box => `${box.scrollWidth - box.clientWidth} px: ` + box.textContent.slice(0, 60)),
  unreachable: [...document.querySelectorAll('article :is(pre, .table-wrapper, mjx-container)')]
    .filter(box => box.scrollWidth > box.clientWidth + 1 && box.tabIndex < 0).map(box => box.tagName),
};
"""
END = "\ue010"  # the key, as selenium writes it
EXPLORER_READY = "return Boolean(window.Explorer && Explorer.views && Explorer.views.bound.frame)"
LOOK_AT_WIDTH = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
START = """
[...document.images].forEach(image => image.loading = 'eager');
window.there = !window.MathJax;
if (window.MathJax) MathJax.startup.promise.then(() => window.there = true);
"""
READY = "return window.there && [...document.images].every(image => image.complete)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the built site; processes that run tests side by side share one."""
    import fcntl

    if BUILT:
        return Path(BUILT)
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (folder / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "site").exists():
            build_site(folder / "tree", folder / "unfinished")
            (folder / "unfinished").rename(folder / "site")
    return folder / "site"


def build_site(tree, out):
    """Build from a copy, so that what a build writes beside its sources stays out of the tree."""
    for name in ("docs", "demos", "elbo_lab", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=skip_what_is_made)
    shutil.copy(ROOT / "pyproject.toml", tree)
    options = ["-q", "-W", "--keep-going", "-b", "html", "-D", "run_commands=0"]
    command = [sys.executable, "-m", "sphinx", *options, tree / "docs", out]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr


def skip_what_is_made(folder, names):
    """Return what a build, Python or an editor has written."""
    made = {"_build", "api", "gallery"} if Path(folder) == ROOT / "docs" else set()
    return [name for name in names if name in made or name == "__pycache__" or name.startswith(".")]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


def look_at(browser, url, width):
    """Return what a page looks like at a width, with its complaints and the hosts that it asked."""
    from selenium.webdriver.support.ui import WebDriverWait

    set_width(browser, width)
    browser.get(url)
    browser.execute_script(START)
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(READY))
    found = browser.execute_script(LOOK)
    found["complaints"] = [entry["message"] for entry in browser.get_log("browser")]
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    home = "/".join(url.split("/")[:3])
    found["elsewhere"] = [u for u in asked if not u.startswith((home, "data:", "blob:"))]
    return found


def complaints_about(found):
    """Return what is wrong with a page, as a list of words."""
    wrong = [key for key in ("blank", "hidden", "raw", "complaints", "elsewhere") if found[key]]
    wrong += [key for key in ("wide", "unreachable") if found[key]]
    wrong += ["faulty"] * bool(found["faulty"]) + ["overflow"] * (found["overflow"] > 0)
    return wrong + ["formulas"] * (found["formulas"] < found["wanted"])


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_its_figures_and_formulas_within_its_width_and_asks_no_other_host(
    page, width, site, address, browser
):
    assert (site / f"{page}.html").exists()
    found = look_at(browser, f"{address}/{page}.html", width)
    wrong = complaints_about(found)
    if page in GENERATED or "/" in page:
        # There a formula is what a docstring has; it scrolls.
        wrong = [key for key in wrong if key != "wide"]
    assert wrong == [], json.dumps(found, indent=1)


def test_the_button_of_the_explorer_opens_a_page_whose_sliders_move_it(address, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    for width in WIDTHS.values():
        look_at(browser, f"{address}/explorer.html", width)
        browser.find_element("link text", "Open the page").click()
        WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(EXPLORER_READY))
        assert browser.current_url.startswith(f"{address}/_static/explorer/index.html")
        browser.find_element("css selector", "#panel-bound .choice").click()
        browser.find_element("css selector", "#bound-mean").send_keys(END)
        WebDriverWait(browser, 60).until(
            lambda driver: driver.execute_script("return Explorer.views.bound.frame.settings.mean") == 3
        )
        assert browser.execute_script(LOOK_AT_WIDTH) == 0
        assert [entry["message"] for entry in browser.get_log("browser")] == []
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        assert asked
        assert [url for url in asked if not url.startswith((address, "data:"))] == []


def test_links_inside_the_site_lead_to_a_page_and_a_place_on_it(site):
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    # Code that is shown may hold anything; its line numbers are places.
    shown = {path: re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL) for path, text in texts.items()}
    places = {path: set(re.findall(r'\b(?:id|name)="([^"]+)"', text)) for path, text in texts.items()}
    broken = []
    for path, text in shown.items():
        for target in set(re.findall(r'\b(?:href|src)="([^"]+)"', text)):
            if re.match(r"[a-z]+:|//", target):
                continue
            name, _, anchor = target.partition("#")
            start = site if name.startswith("/") else path.parent
            file = (start / name.split("?")[0].lstrip("/")).resolve() if name else path
            known = file in places
            if not file.exists() or (anchor and known and anchor not in places[file]):
                broken.append((path.relative_to(site).as_posix(), target))
    assert sorted(broken) == []


def test_every_page_has_its_headings_in_order_names_for_links_and_images_and_a_description(site):
    wrong = {}
    for path in site.rglob("*.html"):
        name = path.relative_to(site).as_posix()
        if not name.startswith("_") and (found := complaints(path.read_text(encoding="utf-8"))):
            wrong[name] = found
    assert wrong == {}


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("reparameterization trick", "pathwise"),
        ("vae", "road"),
        ("reinforce", "score_function"),
        ("iwae", "multi_sample"),
        ("posterior collapse", "beta"),
    ],
)
def test_a_search_finds_the_lesson_first(words, page, address, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{address}/search.html?q={words.replace(' ', '+')}")
    ended = "return document.querySelector('#search-summary, .search-summary')?.textContent.includes('found')"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(ended))
    first = browser.execute_script("return document.querySelector('#search-results li a').href")
    assert first.startswith(f"{address}/{page}.html"), first


SOUND = (
    '<meta name="description"><meta name="viewport">'
    '<meta property="og:title"><meta property="og:description">'
    '<h1>a</h1><h2>b</h2><h3>c</h3><h2>d</h2><a href="x">x</a><a href="y"><img alt="y"></a><img alt="">'
)
UNSOUND = {
    "0 h1": ("<h1>a</h1>", ""),
    "2 h1": ("<h2>d</h2>", "<h1>d</h1>"),
    "jump to h3": ("<h2>b</h2>", ""),
    "link without a name: x": ('<a href="x">x</a>', '<a href="x"> </a>'),
    "link without a name: y": ('<img alt="y">', '<img alt="">'),
    "1 images without alt": ('<img alt="">', "<img>"),
    "0 description": ('<meta name="description">', ""),
    "2 viewport": ('<meta name="viewport">', '<meta name="viewport"><meta name="viewport">'),
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_a_fault_in_the_markup_of_a_page_is_found(fault):
    assert complaints(SOUND) == []
    right, wrong = UNSOUND[fault]
    assert right in SOUND
    assert fault in complaints(SOUND.replace(right, wrong, 1))


def test_the_look_at_a_page_finds_planted_faults(tmp_path, browser):
    faults = {
        "blank": '<img src="nowhere.png">',
        "raw": r"<p>\(x\)</p>",
        "formulas": '<span class="math">x</span>',
        "overflow": '<p style="width: 3000px">wide</p>',
        "complaints": "<script>throw new Error('planted')</script>",
        "wide": '<mjx-container display="true" style="display: block; overflow: auto">'
        '<p style="width: 3000px">wide</p></mjx-container>',
        "unreachable": '<pre style="overflow: auto"><p style="width: 3000px">wide</p></pre>',
        "elsewhere": '<link rel="stylesheet" href="http://elsewhere.invalid/style.css">',
    }
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, fault in faults.items():
            (tmp_path / "page.html").write_text(f"<html><body><article>{fault}</article></body></html>")
            found = look_at(browser, f"http://127.0.0.1:{server.server_port}/page.html?{name}", 390)
            assert name in complaints_about(found), (name, found)
        server.shutdown()
