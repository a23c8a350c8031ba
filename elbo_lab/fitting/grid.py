"""Which estimators can train which model, with which q and which objective; and why not the others.

A cell is a model, a family of q, an objective, one of its two vectors (theta, phi), and an estimator of the
gradient in it. Nothing is fitted, and nothing is listed by hand: each model is built on a small table, q is
an encoder into the family (a table with one row where all data share one z), and the objective and the
estimator judge the pair by what they declare that they need and what model and family declare that they have.
References, which need the exact answer, are left out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os import PathLike

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family
from elbo_lab.errors import BadValue, NotApplicable, Reason, bad_value, unknown_name
from elbo_lab.estimators import Estimator
from elbo_lab.files import json_kind, write_json
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import Model
from elbo_lab.names import called, names_by_word, split_list
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior, Posterior
from elbo_lab.registry import FAMILIES, SMALL_TABLE, find_estimators, find_models, small_models
from elbo_lab.report.grid import Cell, grid_lines
from elbo_lab.training import OBJECTIVES, VariationalObjective

SCHEMA = "elbo_lab/grid/1"
JSON = json_kind("grid", SCHEMA)
HIDDEN = (3,)  # of the small encoder
Refusal = tuple[Reason, str] | None


@dataclass(frozen=True)
class Grid:
    """What `grid` returns.

    Attributes
    ----------
    cells : tuple of Cell
    """

    cells: tuple[Cell, ...]

    def lines(self, width: int = 80, why: bool = False) -> list[str]:
        """Return the lines to print."""
        return grid_lines(self.cells, width, why)

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return the cells, and the sentence of every reason, as JSON text; write it to `path` if given."""
        keys = [key for key in Cell._fields if key != "own"]
        rows = [
            {key: getattr(cell, key) for key in keys} | {"reason": cell.reason and cell.reason.name}
            for cell in self.cells
        ]
        reasons = {reason.name: reason.value for reason in Reason}
        return write_json(path, {"schema": SCHEMA, "reasons": reasons, "rows": rows}, JSON)


@checks_kinds
def grid(
    models: str | None = None,
    families: str | None = None,
    objectives: str | None = None,
    estimators: str | None = None,
) -> Grid:
    """Return the grid, or the part of it that is asked for.

    Parameters
    ----------
    models, families, objectives, estimators : str, optional
        Names with commas between, as in `elbo-lab list`; all if not given.

    Raises
    ------
    ValueError
        If a name is not known, or no cell is left.

    Examples
    --------
    >>> from elbo_lab.fitting.grid import grid
    >>> (cell,) = grid("sigmoid-belief", "independent-bernoulli", "elbo", "reparameterization").cells
    >>> cell.reason.name
    'NO_PATH'
    """
    kinds = _objectives(objectives)
    asked = None if families is None else [_family_name(name) for name in split_list(families)]
    ours = _by_target(None if estimators is None else split_list(estimators))
    cells: list[Cell] = []
    for model in _models(models):
        for name, family in families_of(model).items():
            if asked is None or name in asked:
                cells += cells_of(model, name, family, kinds, ours)
    if not cells:
        raise bad_value("estimators", "one that estimates a gradient of an objective", repr(estimators))
    return Grid(tuple(cells))


def cells_of(
    model: Model,
    name: str,
    family: Family | NotApplicable,
    kinds: Iterable[type[VariationalObjective]],
    estimators: dict[str, list[Estimator]],
) -> list[Cell]:
    """Return the cells of a model and a family of q.

    Parameters
    ----------
    model : Model
    name : str
        That of the family.
    family : Family or NotApplicable
        The family of q, or why it has no member of this size.
    kinds : iterable of VariationalObjective classes
    estimators : dict
        {target: estimators}.
    """
    cells, own = [], family == model.posterior_family
    q = small_q(model, model.posterior_family if isinstance(family, NotApplicable) else family)
    of_family = told_by(family, model) if isinstance(family, NotApplicable) else None
    for kind in kinds:
        of_objective = refusal(model, kind.check_combination, model, q) or of_family
        for parameters, target in kind.targets.items():
            for one in estimators.get(target, []):
                told = of_objective or refusal(model, kind.check_estimator, parameters, one, model, q)
                reason, text = told or (None, "")
                if reason is Reason.WRONG_TARGET:  # two objectives of one target with other groups of draws
                    continue
                cells.append(Cell(model.label, name, kind.name, parameters, one.name, reason, text, own))
    return cells


def refusal(model: Model, check: Callable[..., None], *arguments: object) -> Refusal:
    """Return the reason and the sentence of a check that refuses, or None."""
    try:
        check(*arguments)
    except NotApplicable as refused:
        return told_by(refused, model)
    return None


def told_by(refused: NotApplicable, model: Model) -> tuple[Reason, str]:
    """Return the reason of an error and its sentence, with 'the model' for its name."""
    return refused.reason or Reason.OWN, str(refused).replace(model.label, "the model")


def families_of(model: Model) -> dict[str, Family | NotApplicable]:
    """Return what may be the family of q, by name: every one of as many dimensions, the model's own first.

    In place of a family that has no member of this size stands the error that says why.
    """
    found: dict[str, Family | NotApplicable] = {
        one.name: one for one in (model.posterior_family, model.family)
    }
    for name, kind in FAMILIES.items():
        if name not in found:
            try:
                found[name] = kind.of_size(model.latent_dim)
            except NotApplicable as refused:
                found[name] = refused
            except BadValue:  # it takes arguments that must be given
                continue
    return found


def small_q(model: Model, family: Family) -> Posterior:
    """Return the q of a cell: an encoder of the small table, or one eta where all data share one z."""
    if model.global_latents:
        return FreePosterior(family, 1)
    table: Floats = SMALL_TABLE
    return AmortisedPosterior.for_data(family, table, HIDDEN, n_classes=model.given_classes)


def _models(names: str | None) -> list[Model]:
    if names is None:
        return small_models()
    wanted = {choice.label for choice in find_models(split_list(names))}
    return [model for model in small_models() if model.label in wanted]


def _objectives(names: str | None) -> list[type[VariationalObjective]]:
    if names is None:
        return list(OBJECTIVES.values())
    found = []
    for name in split_list(names):
        kinds = called(name, OBJECTIVES.values())
        if not kinds:
            raise unknown_name("objectives", name, list(OBJECTIVES), words=names_by_word(OBJECTIVES.values()))
        found += kinds
    return found


def _family_name(name: str) -> str:
    kinds = called(name, FAMILIES.values())
    if not kinds:
        raise unknown_name("families", name, list(FAMILIES), words=names_by_word(FAMILIES.values()))
    return kinds[0].name


def _by_target(names: list[str] | None) -> dict[str, list[Estimator]]:
    found: dict[str, list[Estimator]] = {}
    for one in find_estimators(names):
        if not one.is_reference:
            found.setdefault(one.target, []).append(one)
    return found
