"""The house: imports go down, no forbidden habits, every registered thing introduces itself."""

import ast
import inspect
import re
import sys
import tomllib
from pathlib import Path

import pytest
from other_process import output_of

from elbo_lab.datasets import DATASETS
from elbo_lab.estimators import ESTIMATORS
from elbo_lab.models import MODELS
from elbo_lab.posteriors import POSTERIORS

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "elbo_lab").rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def name_of(path):
    """Return the dotted name of a module file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layers():
    """Return the floors of the import contract, which `lint-imports` checks, highest first."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return contract["tool"]["importlinter"]["contracts"][0]["layers"]


def relative(path):
    return path.relative_to(ROOT).as_posix()


def test_the_house_has_at_most_twelve_floors():
    assert len(layers()) <= 12


def test_every_room_stands_in_the_contract():
    rooms = {name.strip(" ()") for layer in layers() for name in re.split(r"[|:]", layer)}
    # Besides the package itself and its door for `python -m`.
    known = rooms | {"elbo_lab", "elbo_lab.__main__"}
    assert {".".join(name_of(path).split(".")[:2]) for path in MODULES} - known == set()


def test_what_is_imported_is_asked_for_by_name():
    # Not what another dependency happens to bring; the extra `diagnostics` is optional.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["diagnostics"]]
    names = {re.match(r"[\w-]+", entry)[0].replace("-", "_") for entry in asked}
    known = names | {"elbo_lab"} | ({"PIL"} if "pillow" in names else set()) | sys.stdlib_module_names
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in found:
                assert name.split(".")[0] in known, f"{relative(path)} imports {name}"


def test_no_module_is_called_utils():
    assert not [p for p in MODULES if re.search(r"util|helper|misc|common", p.stem)]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_introduces_itself(path):
    assert ast.get_docstring(TREES[path])


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_global_random_state_and_no_pickle(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            assert not names & {"pickle", "random", "shelve", "marshal", "dill"}
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in {"pickle", "random", "shelve"}
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"np.random", "numpy.random"}:
            assert node.attr in {"default_rng", "Generator", "SeedSequence"}, ast.unparse(node)
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec"}


# Rooms of other libraries that they do not document, and a library that only such code needs.
PRIVATE = re.compile(
    r"llvmlite|numba\.(core|np|misc|cpython|parfors|typed\.typed\w+)|(numpy|scipy|joblib)\.(.*\.)?_(?!_)"
)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_only_what_other_libraries_document_is_used(path):
    for node in ast.walk(TREES[path]):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        assert not [name for name in names if PRIVATE.match(name)]
        if isinstance(node, ast.Attribute):
            assert not PRIVATE.match(ast.unparse(node).replace("np.", "numpy.", 1))
            # An object read by the address of its memory, and a struct laid over it.
            assert node.attr not in {"from_address", "Structure", "py_object", "__basicsize__"}
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "id"


REGISTERED = [*MODELS, *POSTERIORS, *ESTIMATORS]


@pytest.mark.parametrize("item", REGISTERED, ids=lambda item: f"{item.name}")
def test_every_registered_object_has_a_line_and_a_chapter(item):
    assert item.summary and "\n" not in item.summary and len(item.summary) <= 90
    kind = item if isinstance(item, type) else type(item)
    chapter = inspect.getdoc(sys.modules[kind.__module__])
    assert len(chapter) > 150
    assert kind.__doc__


@pytest.mark.parametrize(
    "item", [*MODELS, *(e for e in ESTIMATORS if e.name != "exact")], ids=lambda item: f"{item.name}"
)
def test_every_model_and_estimator_names_a_source_or_its_idea(item):
    kind = item if isinstance(item, type) else type(item)
    chapter = inspect.getdoc(sys.modules[kind.__module__])
    assert re.search(r"\b(19|20)\d\d\b", chapter) or "log" in chapter


def test_every_data_set_has_a_line_a_source_and_a_licence():
    for entry in DATASETS:
        assert entry.summary
        if not entry.shipped:
            continue  # a test downloads nothing
        found = entry.read(entry.views[0] if entry.views else None, 0)
        assert found.source and found.licence


HEAVY = {"scipy.special", "scipy.optimize", "scipy.stats", "scipy.linalg", "numba", "matplotlib", "rich"}
IMPORTS = {
    "import elbo_lab; from elbo_lab.cli import main": HEAVY,
    "from elbo_lab import compare, Estimator, Model, load": HEAVY,
    "import elbo_lab.datasets": HEAVY | {"scipy", "pooch"},
    "import elbo_lab.report.tables": {"rich"},
}


@pytest.mark.parametrize("line", IMPORTS)
def test_an_import_loads_nothing_heavy(line):
    assert output_of(f"{line}\nimport sys; print({IMPORTS[line]} & set(sys.modules))") == "set()\n"
