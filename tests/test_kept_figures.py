"""The figures kept in docs/figures are those of the demos as they are, captions included."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
kept_figures = importlib.import_module("kept_figures")
DEMOS = kept_figures.DEMOS
SCRIPT = '''"""Text."""

# %% A cell
caption = "What it shows."
total = 1 + 2  # why
print("figure:", save_figure(figure, OUT, "a-b", caption)[0])
'''


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_every_figure_says_in_words_what_it_shows(path):
    captions = kept_figures.captions_of(path)
    assert len(captions) == path.read_text(encoding="utf-8").count('print("figure:", save_figure(') > 0
    for name, caption in captions.items():
        assert len(caption.split()) >= 5 and caption.endswith("."), name


def test_prose_does_not_make_a_figure_stale_and_code_does(tmp_path):
    demo = tmp_path / "demo.py"

    def digest(old="", new=""):
        demo.write_text(SCRIPT.replace(old, new), encoding="utf-8")
        return kept_figures.digest_of(demo)

    same = digest()
    for prose in (("Text.", "Another."), ("# why", "# because"), ("# %% A", "# %% B"), ("What it", "It")):
        assert digest(*prose) == same, prose
    assert digest(", caption)", ")") == same
    assert digest("1 + 2", "1 + 3") != same
    assert kept_figures.captions_of(demo) == {"a-b": "What it shows."}


def test_no_figure_is_older_than_its_demo(monkeypatch):
    stale = [demo.stem for demo in DEMOS if kept_figures.is_stale(demo)]
    assert stale == [], "python docs/_ext/kept_figures.py draws them"
    monkeypatch.setattr(kept_figures, "digest_of", lambda _: "other")
    assert all(map(kept_figures.is_stale, DEMOS))


def test_a_kept_figure_takes_other_words():
    svg = kept_figures.with_caption('<svg role="img" aria-label="old"><g aria-label="x"/>', 'p(x | z) < "1"')
    assert svg == '<svg role="img" aria-label="p(x | z) &lt; &quot;1&quot;"><g aria-label="x"/>'


def test_a_word_names_whole_parts_of_a_name():
    named = {
        word: [d.stem for d in DEMOS if kept_figures.is_named(d, word)] for word in ("06", "grosse_2015")
    }
    assert named["06"] == ["06_why_prior_monte_carlo_fails"]
    assert named["grosse_2015"] == ["grosse_2015_sandwich"]


def test_kept_figures_are_small_and_carry_their_captions():
    sizes = [path.stat().st_size for path in kept_figures.KEPT.rglob("*.svg")]
    assert max(sizes) <= kept_figures.MOST and sum(sizes) <= 6_000_000
    for demo in DEMOS:
        for name, caption in kept_figures.captions_of(demo).items():
            path = kept_figures.KEPT / f"{name}.svg"
            if path.exists():
                svg = path.read_text(encoding="utf-8")
                assert kept_figures.with_caption(svg, caption) == svg, name
