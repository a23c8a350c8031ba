"""How many draws does log p(x) need, from the prior and from q? See `theory.weight_law`."""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.checking.model import check_once
from elbo_lab.comparison.pipeline import Data
from elbo_lab.errors import BadValue, NotApplicable, bad_value, check_count, check_positive, unknown_name
from elbo_lab.files import json_kind, write_json
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import Model
from elbo_lab.posteriors import find_posterior
from elbo_lab.progress import Progress, followed
from elbo_lab.registry import one_model
from elbo_lab.report import text_of
from elbo_lab.report.draws import draws_lines
from elbo_lab.study.rows import Row
from elbo_lab.study.scene import PLACES, build_scene
from elbo_lab.theory.weight_law import WeightLaw, check_known, weight_laws
from elbo_lab.threads import single_threaded_blas

if TYPE_CHECKING:
    from rich.text import Text

SCHEMA = "elbo_lab/draws/1"
JSON = json_kind("draws", SCHEMA)
LATENTS = (1, 2, 4, 8, 16, 32)
PROPOSALS = ("prior", "q")


@dataclass(frozen=True)
class DrawsNeeded:
    """What `draws_needed` returns.

    Attributes
    ----------
    settings : dict
    rows : list of dict
        Two for each K, with `latent`, `proposal` ('prior' or 'q'), and over the data: `log10_draws_median`
        and `log10_draws_worst` (None where no finite number is enough, or it is not known), `infinite` (data
        for which no finite number is enough), `kl_median` and `kl_worst` of KL(posterior || proposal) in
        nats, `rung`, and `reason` where something is not known.
    """

    settings: dict[str, Any]
    rows: list[Row]

    def lines(self, width: int = 80) -> "list[Text]":
        """Return the lines to print: what was found, then the table."""
        return draws_lines(self.settings, self.rows, width)

    def table(self, width: int = 80) -> str:
        """Return the lines as text."""
        return text_of(self.lines(width))

    def __repr__(self) -> str:
        return self.table()

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return all as JSON text; write it to `path` as well if given."""
        return write_json(path, {"schema": SCHEMA, "settings": self.settings, "rows": self.rows}, JSON)


@checks_kinds
def draws_needed(
    model: str | Model | type[Model],
    within: float = 0.1,
    *,
    data: Data | None = None,
    latent: int | Iterable[int] | None = None,
    latent_prior: str | None = None,
    posterior: str = "free",
    at: str = "near",
    rows: int | None = None,
    seed: int = 0,
    progress: Progress | bool | None = None,
) -> DrawsNeeded:
    """Return how many draws bring the standard deviation of log p-hat down to `within` nats.

    For each datum that is V / within^2, V the relative variance of one importance weight, exact; see
    `elbo_lab.theory.weight_law` for its formulas.

    Parameters
    ----------
    model : str, Model class or Model
        One model; a name with several variants needs one of them, as in 'gaussian-mixture:full'.
    within : float
        Nats, less than 1: beyond that the first order says little.
    latent : int or list of int, optional
        K; if not given 1, 2, 4, 8, 16, 32 as far as the model takes them, else the model's own.
    at : {'near', 'start', 'exact'}
        Position of q.
    data, latent_prior, posterior, rows, seed, progress
        As for `compare`.

    Returns
    -------
    DrawsNeeded

    Examples
    --------
    >>> from elbo_lab import draws_needed
    >>> needed = draws_needed("ppca", within=0.1, latent=[1, 10], rows=8)
    >>> [row["log10_draws_median"] > 8 for row in needed.rows if row["proposal"] == "prior"]
    [False, True]
    """
    choice = one_model(model).with_prior(latent_prior)
    if not 0.0 < check_positive("within", within) < 1.0:
        raise bad_value("within", "less than 1 nat", within)
    posterior = find_posterior(posterior).text
    if at not in PLACES:
        raise unknown_name("at", at, PLACES)
    if rows is not None:
        check_count("rows", rows)
    sizes: list[int | None]
    if latent is None:
        sizes = [*LATENTS, None]
    else:
        given = list(latent) if isinstance(latent, Iterable) else [latent]
        if not given:
            raise bad_value("latent", "at least one whole number", repr(latent))
        sizes = list(dict.fromkeys(check_count("latent", size) for size in given))
    found: list[Row] = []
    settings = {"model": choice.label, "within": within, "latent_prior": choice.latent_prior}
    settings |= {"posterior": posterior, "at": at, "seed": seed}
    with followed(progress) as told, single_threaded_blas():
        for done, size in enumerate(sizes):
            told(done, len(sizes), "fits and weights")
            if size is None and found:
                continue  # only models that take no other number of latents have rows at their own
            try:
                scene = build_scene(choice, data, size, posterior, at, rows, seed, check=_check)
                if scene.posterior is None:
                    raise NotApplicable(scene.no_posterior)
                scene.posterior.check_support(scene.model.family)
                laws = weight_laws(scene.problem)
            except NotApplicable as reason:
                if size is None or latent is not None:
                    raise
                found += [_unknown(size, proposal, str(reason)) for proposal in PROPOSALS]
            except BadValue:
                if size is None or latent is not None:
                    raise
            else:
                settings |= {"data": scene.data, "rows": len(scene.x)}
                settings["discrete"] = scene.model.family.discrete
                both = zip(PROPOSALS, laws, strict=True)
                found += [_row(scene.model.latent_dim, proposal, law, within) for proposal, law in both]
    return DrawsNeeded(settings, found)


def _check(model: Model, table: Floats) -> None:
    """Refuse, before the fit, a model whose weights are not known, or whose derivatives are wrong."""
    check_known(model)
    check_once(model, table)


def _unknown(latent: int, proposal: str, reason: str | None) -> Row:
    row = dict.fromkeys(
        ("log10_draws_median", "log10_draws_worst", "infinite", "kl_median", "kl_worst", "rung")
    )
    return {"latent": latent, "proposal": proposal, **row, "reason": reason}


def _row(latent: int, proposal: str, law: WeightLaw, within: float) -> Row:
    row = _unknown(latent, proposal, law.unknown or None)
    row |= {"kl_median": float(np.median(law.kl)), "kl_worst": float(law.kl.max()), "rung": law.rung}
    draws = law.log10_draws(within)
    if draws is not None:
        median, worst = float(np.median(draws)), float(draws.max())
        row |= {
            "log10_draws_median": median if np.isfinite(median) else None,
            "log10_draws_worst": worst if np.isfinite(worst) else None,
            "infinite": int(np.isinf(draws).sum()),
        }
    return row
