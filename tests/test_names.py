"""Titles and synonyms: what is accepted beside a name, and what is shown in its place."""

import math
from collections import Counter
from dataclasses import fields
from itertools import chain

import pytest
from test_docs import TEXTS

from elbo_lab import DATASETS, ESTIMATORS, FAMILIES, MODELS, Estimator, compare, fit, load
from elbo_lab.cli.options import names_in
from elbo_lab.distributions import SOURCES
from elbo_lab.distributions.base import count_of_values
from elbo_lab.distributions.sources import find_source
from elbo_lab.errors import BadValue, UnknownName, UserMistake
from elbo_lab.estimators import Reparameterization
from elbo_lab.models import PPCA
from elbo_lab.names import (
    arguments_of,
    called,
    name_meant,
    parse_call,
    spell_call,
    spelt,
    split_list,
    with_arguments,
)
from elbo_lab.posteriors import POSTERIORS, find_posterior
from elbo_lab.registry import display_name, find_estimators, find_models

KINDS = {
    "models": [MODELS[name] for name in MODELS.built_in],
    "estimators": [ESTIMATORS[name] for name in ESTIMATORS.built_in],
    "families": [FAMILIES[name] for name in FAMILIES.built_in],
    "posteriors": POSTERIORS,
    "noise": SOURCES,
    "data sets": [DATASETS[name] for name in DATASETS.built_in],
}
EVERYTHING = list(chain.from_iterable(KINDS.values()))


def clashes(things):
    """Return the other words of things that are a name, or a word of another idea.

    Variants of a class, and the halves of one idea for several targets, are not others: they share a synonym
    as they share a name.
    """
    names = {spelt(one.name) for one in things}
    ideas = {}
    for one in things:
        target = getattr(one, "target", None)
        for word in {spelt(word) for word in (*one.synonyms, one.title) if word} - {spelt(one.name)}:
            kind = one if isinstance(one, type) else type(one)
            ideas.setdefault(word, {})[one.name if one in KINDS["models"] else kind] = target
    shared = {
        word
        for word, found in ideas.items()
        if len(found) > 1 and (None in found.values() or max(Counter(found.values()).values()) > 1)
    }
    return (set(ideas) & names) | shared


def test_a_synonym_is_no_name_and_no_word_for_anything_else():
    assert clashes(EVERYTHING) == set()


@pytest.mark.parametrize("word", ["ppca", "reinforce", "geyser"])
def test_a_word_that_means_two_things_is_found(word):
    class Twice(Reparameterization):
        name = "twice"
        synonyms = (word,)

    assert clashes([*EVERYTHING, Twice()]) == {word}


def other_words():
    for one in EVERYTHING:
        yield from ((one, word) for word in (*one.synonyms, one.title) if word)


FINDERS = {
    "models": lambda word: [choice.kind for choice in find_models(word)],
    "estimators": find_estimators,
    "families": lambda word: [FAMILIES[word]],
    "posteriors": lambda word: [{one.name: one for one in POSTERIORS}[find_posterior(word).map]],
    "noise": lambda word: [find_source(word)],
    "data sets": lambda word: [DATASETS[word]],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("written", [str, str.upper, lambda word: word.replace("-", "_").title()])
def test_every_word_finds_its_thing_in_any_spelling(kind, written):
    for one in KINDS[kind]:
        for word in (one.name, *one.synonyms, one.title.replace(",", "")):
            asked = written(word)
            if word and "," not in one.title:
                assert one in FINDERS[kind](asked), asked


def test_what_is_found_by_its_name_is_found_once():
    assert called("ppca", [PPCA]) == [PPCA] and called("PPCA", [PPCA]) == [PPCA]


def test_titles_with_a_comma_are_words_too():
    assert [one.name for one in called("reinforce, leave-one-out", KINDS["estimators"])] == [
        "score-function-loo"
    ]


ASKED = [
    (
        find_models,
        "gmm",
        ["gaussian-mixture:spherical", "gaussian-mixture:diagonal", "gaussian-mixture:full"],
    ),
    (find_models, "GMM:Full", ["gaussian-mixture:full"]),
    (find_models, "vae", ["deep-bernoulli"]),
    (find_models, "Gaussian VAE:learned", ["deep-gaussian:learned"]),
    (find_estimators, "rloo", ["score-function-loo"]),
    (find_estimators, "REINFORCE:grad-phi-elbo", ["score-function"]),
    (find_estimators, "piwae", ["piwae-2-theta", "piwae-2-phi"]),
    (find_estimators, "jackknife", ["jackknife-1", "jackknife-2"]),
]


@pytest.mark.parametrize("find, asked, names", ASKED)
def test_what_a_synonym_stands_for(find, asked, names):
    assert [getattr(one, "label", None) or one.name for one in find(asked)] == names


@pytest.mark.parametrize(
    "asked, first",
    [
        ("reinforse", "'score-function' (REINFORCE)"),
        ("reparamet", "'reparameterization'"),
        ("rlo", "'score-function-loo' (rloo)"),
    ],
)
def test_the_nearest_word_is_told_with_the_name_that_it_means(asked, first):
    with pytest.raises(UnknownName) as error:
        find_estimators(asked)
    line = str(error.value)
    assert f"did you mean {first}?" in line and "arm," not in line and len(line) < 300


def test_results_hold_the_names_of_the_registry():
    result = compare(
        "PCA",
        estimators="pathwise",
        rows=3,
        repeats=4,
        threads=1,
        posterior="Free",
        against="Reparam",
        noise="IID",
    )
    asked = {key: result.settings[key] for key in ("models", "estimators", "posterior", "against", "noise")}
    assert asked == {
        "models": ["ppca"],
        "estimators": ["reparameterization"],
        "posterior": "free",
        "against": "reparameterization",
        "noise": "independent",
    }


def test_a_fit_is_resumed_under_a_synonym(tmp_path):
    stored = tmp_path / "a.npz"
    data = load("digits:binary").rows(20, seed=0).x
    options = {"phi_estimator": "RLOO", "theta_estimator": "elbo-sampled", "posterior": "encoder", "draws": 2}
    begun = fit("VAE", data, epochs=1, hidden=(4,), checkpoint=stored, **options)
    kept = {key: begun.settings[key] for key in ("model", "phi_estimator", "posterior")}
    assert kept == {
        "model": "deep-bernoulli",
        "phi_estimator": "score-function-loo",
        "posterior": "amortised",
    }
    assert fit("vae", data, epochs=2, resume=stored, **options).history[-1]["epoch"] == 2


def test_a_file_wins_over_a_synonym_and_a_name_over_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("Optdigits:Binary").name == "digits:binary" and load("geyser").name == "faithful"
    (tmp_path / "geyser.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "geyser.csv").rename(tmp_path / "geyser")
    with pytest.raises(ValueError, match="geyser"):
        load("geyser")  # a file without an ending
    (tmp_path / "geyser").rename(tmp_path / "faithful")
    assert load("faithful").name == "faithful"


def test_a_class_of_ones_own_has_neither_title_nor_synonyms_of_its_parent():
    class Own(Reparameterization):
        name = "own"

    class OwnModel(PPCA):
        name = "own-model"

    for kind in (Own, OwnModel):
        assert (kind.title, kind.synonyms) == ("", ())
    assert display_name("own") == "own"
    assert [one.name for one in find_estimators([Own(), "reparam"])] == ["own", "reparameterization"]


@pytest.mark.parametrize("words", [{"synonyms": "abc"}, {"title": 3}, {"synonyms": ("a\nb",)}])
def test_words_of_ones_own_are_texts(words):
    kind = type("Own", (Reparameterization,), {"name": "own", **words})
    with pytest.raises(TypeError, match="an estimator whose title is a text and whose synonyms"):
        find_estimators(kind)


@pytest.mark.parametrize(
    "name, title",
    [
        ("score-function", "REINFORCE"),
        ("score-function:grad-phi-elbo", "REINFORCE"),
        ("gaussian-mixture", "mixture of Gaussians"),
        ("gaussian-mixture:full", "mixture of Gaussians (full)"),
        ("deep-gaussian:learned", "Gaussian VAE (learned)"),
        ("digits:binary", "handwritten digits (binary)"),
        ("laplace", "laplace"),
        ("somebody-elses", "somebody-elses"),
    ],
)
def test_a_name_is_displayed_by_its_title(name, title):
    assert display_name(name) == title


def test_every_estimator_and_model_has_a_title_and_no_two_the_same():
    titles = {one.name: one.title for one in (*KINDS["models"], *KINDS["estimators"])}
    assert all(titles.values())
    assert [title for title, count in Counter(titles.values()).items() if count > 1] == []
    assert Estimator.title == ""


def synonym_table():
    """Return the rows of the glossary's table of synonyms, as the registry has them."""
    rows = []
    for kind, things in KINDS.items():
        for one in things:
            title = "" if spelt(one.title) == spelt(one.name) else one.title
            if title or one.synonyms:
                cells = (kind, f"`{one.name}`", title, ", ".join(one.synonyms))
                rows.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return list(dict.fromkeys(rows))


def test_the_table_of_synonyms_in_the_glossary_is_that_of_the_registry():
    section = TEXTS["docs/glossary.md"].split("### Other words that are accepted\n")[1].split("\n#")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    assert rows[1:] == synonym_table()


def own(name, title="", synonyms=(), parent=Reparameterization):
    return type("Own", (parent,), {"name": name, "title": title, "synonyms": synonyms})


def test_titles_of_ones_own_are_in_figures_notebooks_and_reports(tmp_path):
    model = own("my-ppca", "PPCA of mine", parent=PPCA)
    ones = [own("mine", "My < gradient", ("mynt",))(), "REINFORCE, leave-one-out"]
    found = compare(model, estimators=ones, latent=1, rows=2, repeats=20, threads=1, against="Mynt")
    assert found.settings["titles"] == {"mine": "My < gradient", "my-ppca": "PPCA of mine"}
    drawn = found.plot("grad-phi-elbo")
    told = [
        text.get_text() for ax in drawn.axes for text in (*ax.get_yticklabels(), ax.title, ax._left_title)
    ]
    assert {"My < gradient", "REINFORCE, leave-one-out", "PPCA of mine"} <= set(told)
    with open(found.report(tmp_path, figures="none"), encoding="utf-8") as page:
        for text in (found._repr_html_(), page.read()):
            assert "My &lt; gradient" in text and "PPCA of mine" in text
    assert repr(ones[0]) == "<Own 'mine'>"
    assert display_name("mine") == "mine"  # outside of a comparison that has it


@pytest.mark.parametrize(
    ("find", "things", "told"),
    [
        (find_estimators, [own("mine", "Reinforce")], "'REINFORCE' for 'mine', which means 'score-function'"),
        (find_estimators, [own("RLOO")], "'rloo' for 'RLOO', which means 'score-function-loo'"),
        (find_estimators, [own("mine", "A b"), own("yours", "", ("a-b",))], "'a-b' for 'mine'"),
        (find_models, [own("mine", synonyms=("VAE",), parent=PPCA)], "'vae' for 'mine'"),
        (find_models, [own("a", "A b", parent=PPCA), own("b", "a b", parent=PPCA)], "'a b' for 'a'"),
    ],
)
def test_words_of_ones_own_mean_nothing_else(find, things, told):
    with pytest.raises(ValueError, match="titles and synonyms of their own") as refused:
        find(things)
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_a_whole_title_is_one_name_though_it_has_a_comma():
    assert find_estimators("REINFORCE, leave-one-out")[0].name == "score-function-loo"
    with pytest.raises(ValueError, match="split it"):
        find_estimators("REINFORCE, reparameterization")
    titles = [one.title for one in ESTIMATORS.loaded()]
    asked = "reparameterization, reinforce, leave-one-out ,dreg"
    assert names_in("--only", asked, titles) == ["reparameterization", "reinforce, leave-one-out", "dreg"]


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("arm", "arm", {}),
        (" Gumbel softmax ( temperature = 0.3 ) ", "Gumbel softmax", {"temperature": 0.3}),
        (
            "flow(layers=4, scale-limit=1e-3, shared=True, act=tanh)",
            "flow",
            {"layers": 4, "scale_limit": 1e-3, "shared": True, "act": "tanh"},
        ),
        ("concrete(temperature=linear:1:0.1:20)", "concrete", {"temperature": "linear:1:0.1:20"}),
        ("gaussian-mixture:full", "gaussian-mixture:full", {}),
        ("own/file.py:Mine(a=1,)", "own/file.py:Mine", {"a": 1}),
    ],
)
def test_a_name_may_have_arguments(text, name, arguments):
    assert parse_call(text, "estimator") == (name, arguments)
    assert [type(v) for v in parse_call(text, "estimator")[1].values()] == [
        type(v) for v in arguments.values()
    ]


@pytest.mark.parametrize(
    "text", ["", "(a=1)", "rebar(", "rebar(0.3)", "rebar(a=)", "rebar(=1)", "a(b=1)c", "a(b=(1))"]
)
def test_arguments_written_otherwise_are_refused(text):
    with pytest.raises(BadValue, match=r"^estimator: expected"):
        parse_call(text, "estimator")


def test_an_argument_given_twice_is_refused():
    with pytest.raises(BadValue, match="'scale_limit' twice"):
        parse_call("flow(scale-limit=1, scale_limit=2)", "family")


def test_a_name_with_arguments_is_spelt_as_it_is_read():
    arguments = {"layers": 4, "limit": 0.5, "shared": False, "act": "tanh"}
    assert parse_call(spell_call("flow", arguments), "family") == ("flow", arguments)
    assert spell_call("flow", {}) == "flow"


def test_commas_within_parentheses_do_not_split_a_list():
    assert split_list("a, rebar(x=1, y=2),c(z=3)") == ["a", "rebar(x=1, y=2)", "c(z=3)"]
    assert split_list("a,,b") == ["a", "", "b"]


def test_commas_of_arguments_and_of_titles_do_not_split_the_names_of_an_option():
    titles = [one.title for one in ESTIMATORS.loaded()]
    asked = "rebar(temperature=0.3), reinforce,leave-one-out,flow(a=1, b=2)"
    assert names_in("--only", asked, titles) == [
        "rebar(temperature=0.3)",
        "reinforce, leave-one-out",
        "flow(a=1, b=2)",
    ]


def test_two_spellings_of_one_call_are_one_setting():
    things = [ESTIMATORS["rebar"]]
    assert name_meant("REBAR( temperature = 0.30 )", things) == name_meant("rebar(temperature=0.3)", things)


# -- impossible arguments of whatever takes some -------------------------------------------------------

TAKE_ARGUMENTS = [one for one in KINDS["estimators"] if arguments_of(one)]
COUNTS = [
    (kind, field.name)
    for kind in KINDS["families"]
    for field in fields(kind)
    if field.name != "size" and isinstance(field.default, int)
]


@pytest.mark.parametrize("thing", TAKE_ARGUMENTS, ids=lambda one: one.name)
def test_no_number_in_a_name_may_be_nan_or_a_word(thing):
    for key, usual in arguments_of(thing).items():
        for value in () if isinstance(usual, bool | str) else (math.nan, "zebra", True):
            with pytest.raises(UserMistake, match=key.removeprefix("n_")):
                with_arguments(thing, {key: value}, "--only")


@pytest.mark.parametrize(("kind", "key"), COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan, 10**9, "zebra"])
def test_a_count_in_the_name_of_a_family_is_bounded_on_both_sides(kind, key, value):
    assert kind.of_size(4).name == kind.name
    with pytest.raises(UserMistake, match=f"^{key.removeprefix('n_')}: expected a whole number"):
        kind.of_size(4, **{key: value})


@pytest.mark.parametrize(("n_categories", "size"), [(2, 10**9), (10**9, 10**9)])
def test_values_beyond_the_largest_double_are_counted_as_infinite(n_categories, size):
    assert count_of_values(n_categories, size) == math.inf
    assert count_of_values(n_categories, 2) == n_categories**2


@pytest.mark.parametrize("text", ["free:", ":laplace", ":", "free: "])
def test_half_a_posterior_is_told_how_a_whole_one_is_written(text):
    with pytest.raises(BadValue, match=f"--posterior: expected MAP, FAMILY or MAP:FAMILY.*'{text}'"):
        find_posterior(text, "--posterior")
