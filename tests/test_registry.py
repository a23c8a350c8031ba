"""Names and what they stand for; plug-ins of other packages, of which a broken one breaks nothing else."""

import re
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import elbo_lab
from elbo_lab import BOUNDS, DATASETS, ESTIMATORS, FAMILIES, MODELS, compare, plugins, registry
from elbo_lab.bounds import renyi_bound
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import BadKind, BadValue, UserMistake
from elbo_lab.estimators import Concrete, Exact, Jackknife, PiwaePhi, PiwaeTheta, Rebar, Reparameterization
from elbo_lab.models import PPCA, DeepGaussianLearned
from elbo_lab.names import arguments_of
from elbo_lab.registry import find_estimators, find_models

REGISTRIES = {
    "MODELS": MODELS,
    "ESTIMATORS": ESTIMATORS,
    "BOUNDS": BOUNDS,
    "FAMILIES": FAMILIES,
    "DATASETS": DATASETS,
}
every_registry = pytest.mark.parametrize("held", REGISTRIES.values(), ids=REGISTRIES)


# -- by name ---------------------------------------------------------------------------------------


def test_things_are_looked_up_by_name():
    assert MODELS["ppca"] is PPCA
    assert MODELS["deep-gaussian:learned"] is DeepGaussianLearned
    assert isinstance(ESTIMATORS["reparameterization"], Reparameterization)
    assert isinstance(ESTIMATORS["exact:elbo"], Exact) and ESTIMATORS["exact:elbo"].target == "elbo"
    assert BOUNDS["renyi-bound"] is renyi_bound
    assert FAMILIES["diagonal-gaussian"] is DiagonalGaussian
    assert DATASETS["faithful"].read(None, 0).x.shape == (272, 2)


@every_registry
def test_a_registry_is_a_mapping_that_shows_its_names(held):
    names = list(held)
    assert names and len(names) == len(set(names)) == len(held)
    assert all(name in held and held[name] is held.get(name) for name in names)
    assert "no such thing" not in held and held.get("no such thing") is None
    assert all(name in repr(held) for name in names)


@every_registry
@pytest.mark.parametrize("kind", [ValueError, KeyError])
def test_an_unknown_name_is_one_line_with_the_nearest(held, kind):
    name = next(iter(held))
    with pytest.raises(kind) as error:
        held[name[:-1] + "~"]
    line = str(error.value)
    assert f"did you mean '{name}'" in line and "\n" not in line and line.startswith(held.title)


@pytest.mark.parametrize("find, held", [(find_models, MODELS), (find_estimators, ESTIMATORS)])
def test_every_name_of_a_registry_can_be_asked_for(find, held):
    for name in held:
        found = find(name)
        assert len(found) >= 1, name


# -- plug-ins --------------------------------------------------------------------------------------

GOOD = """
from elbo_lab.estimators import Reparameterization
from elbo_lab.models import PPCA


class OwnModel(PPCA):
    name = "own-model"


class Own(Reparameterization):
    name = "own"


class Elsewhere(Own):
    target = "elbo"
"""
BROKEN = {
    "raises": ("1 / 0", "OwnModel", "ZeroDivisionError"),
    "holds-a-syntax-error": ("def (:", "OwnModel", "SyntaxError"),
    "leaves": ("import sys; sys.exit(5)", "OwnModel", r"leaves the interpreter \(exit code 5\)"),
    "has-no-such-name": (GOOD, "Missing", "AttributeError"),
    "is-no-model": ("OwnModel = 3", "OwnModel", "a class derived from elbo_lab.Model, got 3"),
    "is-abstract": (
        "from elbo_lab import Model\nclass OwnModel(Model):\n    name = 'abstract'",
        "OwnModel",
        "OwnModel without .*likelihood",
    ),
    "has-no-name": (
        "from elbo_lab.models import PPCA\nclass OwnModel(PPCA):\n    name = ''",
        "OwnModel",
        "OwnModel without one",
    ),
    "has-no-variant": (
        "from elbo_lab.models import PPCA\nclass OwnModel(PPCA):\n    name, variants = 'bare', ()",
        "OwnModel",
        "IndexError",
    ),
    "has-a-title-of-another": (
        "from elbo_lab.models import PPCA\nclass OwnModel(PPCA):\n    name, title = 'other', 'VAE'",
        "OwnModel",
        "'vae' for 'other', which means 'deep-bernoulli'",
    ),
    "is-called-ppca": (
        "from elbo_lab.models import PPCA\nclass OwnModel(PPCA):\n    pass",
        "OwnModel",
        "its name 'ppca' is taken",
    ),
    "cannot-be-parsed": (GOOD, "???", "is not of the form 'module:name'"),
}
EVERY_BREAK = [pytest.param(*case, id=name) for name, case in BROKEN.items()]
SMALL = {"rows": 3, "repeats": 4, "threads": 1}


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Return a function that registers plug-ins, as lines of a module and names in it by group."""
    entries = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: [e for e in entries if e.group == group])
    monkeypatch.syspath_prepend(tmp_path)
    for held in (MODELS, ESTIMATORS):
        monkeypatch.setattr(held, "_plugins", None)

    def add(entry, lines, name, group="elbo_lab.models"):
        module = f"plugin_{len(entries)}"
        (tmp_path / f"{module}.py").write_text(lines, encoding="utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
        value = name if name == "???" else f"{module}:{name}"
        entries.append(EntryPoint(entry, value, group))

    return add


def test_other_packages_register_by_entry_points(register):
    register("own-model", GOOD, "OwnModel")
    register("own", GOOD, "Own", "elbo_lab.estimators")
    assert list(MODELS)[-1] == "own-model" and list(ESTIMATORS)[-1] == "own"
    row = compare("own-model", estimators="own", data=[[0.0, 1.0], [1.0, 3.0], [2.0, 0.5]], **SMALL).rows[0]
    assert (row["model"], row["estimator"], row["applicable"]) == ("own-model", "own", True)


def test_one_name_for_two_targets_is_told_apart(register):
    register("own", GOOD, "Own", "elbo_lab.estimators")
    register("elsewhere", GOOD, "Elsewhere", "elbo_lab.estimators")
    assert list(ESTIMATORS)[-2:] == ["own", "own:elbo"]
    assert len(find_estimators("own")) == 2 and len(find_estimators("own:elbo")) == 1


def test_the_second_of_a_name_is_left_out(register):
    register("first", GOOD, "OwnModel")
    register("second", GOOD, "OwnModel")
    with pytest.warns(UserWarning, match="plug-in 'second' .* taken"):
        assert list(MODELS)[-1] == "own-model"


@pytest.mark.parametrize("lines, name, reason", EVERY_BREAK)
def test_a_broken_plug_in_is_left_out_with_one_line_and_the_others_stay(register, lines, name, reason):
    register("broken", lines, name)
    register("own-model", GOOD, "OwnModel")
    with pytest.warns(UserWarning) as told:
        names = list(MODELS)
    assert names == [*MODELS.built_in, "own-model"]
    (line,) = [str(warning.message) for warning in told]
    assert re.fullmatch(f"plug-in 'broken' of elbo_lab.models is left out: .*{reason}.*", line), line
    assert list(MODELS) == names, "it is told once"


@pytest.mark.parametrize("lines, name, reason", EVERY_BREAK)
def test_a_broken_plug_in_that_is_asked_for_is_one_clear_error(register, lines, name, reason):
    register("broken", lines, name)
    for ask in (MODELS.__getitem__, find_models):
        with pytest.raises(
            UserMistake, match=f"models: expected a plug-in .* got 'broken'; .*{reason}"
        ) as error:
            ask("broken")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("lines, name, reason", EVERY_BREAK)
def test_what_the_package_has_is_found_without_a_look_at_plug_ins(register, lines, name, reason):  # noqa: ARG001
    register("broken", lines, name)
    register("broken", lines, name, "elbo_lab.estimators")
    assert [choice.kind for choice in find_models("ppca")] == [PPCA]
    assert MODELS["ppca"] is PPCA
    assert len(find_estimators(["exact:elbo", "reparameterization"])) == 2
    assert "plugin_0" not in sys.modules


BROKEN_ESTIMATORS = [
    ("Own = 3", "an elbo_lab.Estimator"),
    ("from elbo_lab import Estimator\nclass Own(Estimator):\n    name = 'x'", "Own without estimate"),
    (GOOD.replace('"own"', "3"), "an estimator with a name"),
    (GOOD.replace('"own"', '"exact"'), "a name of its own"),
    (GOOD.replace('"own"', '"reparameterization"'), "a name of its own"),
    (GOOD + "    def __init__(self, size):\n        pass\nOwn = Elsewhere", "TypeError"),
    (GOOD + "    target = 'grad-psi'\nOwn = Elsewhere", "grad-psi"),
]


@pytest.mark.parametrize("lines, reason", BROKEN_ESTIMATORS)
def test_a_broken_estimator_is_left_out(register, lines, reason):
    register("broken", lines, "Own", "elbo_lab.estimators")
    with pytest.warns(UserWarning, match=reason):
        assert len(find_estimators()) == len(ESTIMATORS.built_in)
    with pytest.raises(UserMistake, match=reason):
        find_estimators("broken")


# -- from the command line -------------------------------------------------------------------------

UNREADABLE = "[elbo_lab.models]\nno equals sign here\n"


@pytest.fixture
def installed(tmp_path):
    """Return a function that installs a package with entry points and runs `python -m elbo_lab` beside it."""
    (tmp_path / "some_plugin.py").write_text("raise RuntimeError('one\\ntwo')", encoding="utf-8")
    about = tmp_path / "some_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: some-plugin\nVersion: 1.0\n")

    def run(entries, *arguments):
        (about / "entry_points.txt").write_text(entries)
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from elbo_lab.cli.main import main"
        command = [sys.executable, "-c", f"{code}; sys.exit(main())", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)

    return run


@pytest.mark.parametrize(
    "entries, name",
    [("[elbo_lab.models]\nbroken = some_plugin:Model\n", "broken"), (UNREADABLE, "some-plugin")],
    ids=["raises", "unreadable"],
)
def test_the_list_stays_whole_beside_a_broken_plug_in(installed, entries, name):
    found = installed(entries, "list")
    assert found.returncode == 0 and "ppca" in found.stdout and "digits" in found.stdout
    assert found.stderr.count("\n") == 1
    assert found.stderr.startswith(f"elbo-lab: warning: plug-in '{name}' of elbo_lab.models is left out: ")
    fitted = installed(entries, "fit", "gaussian-mle", "--data", "faithful")
    assert (fitted.returncode, fitted.stderr) == (0, "")
    asked = installed(entries, "fit", name, "--data", "faithful")
    assert asked.returncode == 2 and asked.stderr.count("\n") == 1 and f"'{name}'" in asked.stderr


# -- the package -----------------------------------------------------------------------------------


def test_the_package_shows_its_names_and_its_rooms():
    shown = dir(elbo_lab)
    assert {"compare", "fit", "evaluate", "load_fitted", "Problem", "Family", "MODELS"} <= set(shown)
    assert {"models", "estimators", "em", "registry", "report", "study", "theory"} <= set(shown)
    for name in shown:
        assert getattr(elbo_lab, name) is not None, name
    with pytest.raises(AttributeError, match="no attribute 'modles'"):
        elbo_lab.modles  # noqa: B018


def test_registries_are_those_of_their_room():
    assert elbo_lab.MODELS is registry.MODELS


# -- estimators with arguments -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rebar(temperature=0.3)", [Rebar(0.3)]),
        (" REBAR ( temperature = 1 ) ", [Rebar(1)]),
        ("concrete(temperature=0.2)", [Concrete(0.2)]),
        ("jackknife(order=2)", [Jackknife(2)]),
        ("piwae(groups=5)", [PiwaeTheta(5), PiwaePhi(5)]),
        ("arm()", [ESTIMATORS["arm"]]),
    ],
)
def test_an_estimator_is_named_with_its_arguments(text, found):
    assert find_estimators(text) == found


def test_one_estimator_with_two_arguments_is_two():
    found = find_estimators(["rebar", "rebar(temperature=0.1)"])
    assert [one.name for one in found] == ["rebar-0.5", "rebar-0.1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rebar(temprature=1)", "argument of 'rebar-0.5': .* did you mean 'temperature'"),
        ("arm(order=1)", "estimators: expected no arguments of 'arm', which takes none, got 'order'"),
        ("rebar(temperature=cold)", "temperature of 'rebar-0.5': expected a number, got 'cold'"),
        ("rebar(temperature=True)", "temperature of 'rebar-0.5': expected a number, got True"),
        ("rebar(temperature=-1)", "temperature: expected a positive finite number, got -1"),
        ("jackknife(order=7)", "order: expected 1 or 2, got 7"),
        ("miwae(n_groups=2.5)", "groups: expected a whole number"),
        ("rebra(temperature=1)", "estimators: expected a known name, got 'rebra'; did you mean 'rebar-0.5'"),
        ("rebar(0.3)", "key=value within the parentheses of 'rebar', got '0.3'"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(text, message):
    with pytest.raises((BadValue, BadKind), match=message) as told:
        find_estimators(text)
    assert "\n" not in str(told.value)


def test_what_holds_an_array_is_no_argument():
    assert set(arguments_of(Exact("elbo"))) == {"target", "tolerance"}
