"""compare_along(): estimators at every kept checkpoint of a training, and where their order flips.

At each file of `fit(keep=..., keep_every=...)` the estimators are compared as `compare(at=...)` compares
them, with the same noise at every file. So what changes along the way is theta and q, and not the luck of the
draws.

**Flips.** Of two estimators of one target the one of less variance may change on the way: leave-one-out, say,
has none where q is the posterior, and is noisier than the pathwise gradient far from it. At every checkpoint
a pair is decided by its exact variances where theory has both; else by the interval of the ratio of their
variances (`comparison.ratios`), at a level of Bonferroni's for all pairs and checkpoints, so that all
verdicts hold together in 95 cases of 100. A flip is a verdict against the one before it; checkpoints where a
pair is undecided lie between the two.

**Helps:** to choose an estimator for the training that you run, not for its start or its end alone.
**Fails:** to tell which trains faster: less variance is not yet a better step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

from elbo_lab.comparison.compare import Estimators, Models, compare
from elbo_lab.comparison.pipeline import Data
from elbo_lab.comparison.ratios import ratio_between
from elbo_lab.comparison.result import Comparison
from elbo_lab.errors import bad_value
from elbo_lab.files import check_folder_writable, json_kind, plain, write_json
from elbo_lab.kinds import checks_kinds
from elbo_lab.progress import Progress, followed
from elbo_lab.registry import display_name
from elbo_lab.report import text_of, width_or_terminal
from elbo_lab.report.along import along_lines
from elbo_lab.report.frame import frame_of
from elbo_lab.study.references import references
from elbo_lab.study.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = "elbo_lab/along/1"
JSON = json_kind("compare --along", SCHEMA)
# Those of the first lessons: without and with a baseline, the path, and the path without its score.
USUAL = ("score-function", "score-function-loo", "reparameterization", "sticking-the-landing")
LEVEL = 0.95
LONG_RUN = "long run"
# Exact variances that differ by less are equal.
ROUNDING = 1e-9


@dataclass(eq=False, repr=False)
class Along:
    """Comparisons along a training.

    Attributes
    ----------
    points : list of dict
        One for each checkpoint: epoch, file, the exact ELBO, and log p and gap, None where not exact.
    rows : list of dict
        Those of `compare` with the epoch, for each checkpoint and estimator that applies.
    flips : list of dict
        epoch, target, less, more: from this epoch on the estimator `less` has less variance than `more`;
        `before` is the last checkpoint where it was the other way round, `until` that of the next flip of the
        pair, or None.
    settings : dict
    """

    points: list[Row]
    rows: list[Row]
    flips: list[Row]
    settings: dict[str, Any]

    def __repr__(self) -> str:
        return self.table()

    @checks_kinds
    def table(self, width: int | None = None) -> str:
        """Return a table per target as text, and the flips in sentences."""
        return text_of(self.lines(width_or_terminal(width)))

    def lines(self, width: int) -> list[str]:
        """Return the lines of `table`."""
        return along_lines(self.points, self.rows, self.flips, self.settings, width)

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame; ImportError where pandas is not installed."""
        return frame_of(self.rows, "result.rows")

    @checks_kinds
    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return all of it as JSON text; write it to `path` as well if given."""
        content = {"schema": SCHEMA, "settings": self.settings, "points": self.points}
        return write_json(path, plain(content | {"flips": self.flips, "rows": self.rows}), JSON)

    def plot(self) -> "dict[str, Figure]":
        """Return {name: figure} of the variances against the epoch, one figure per target."""
        from elbo_lab.plots.along import plot_along  # Matplotlib is heavy

        model = display_name(self.settings["models"][0])
        return {
            figure_name(target): plot_along(
                [row for row in self.rows if row["target"] == target],
                [flip for flip in self.flips if flip["target"] == target],
                title=f"{model}: which gradient is noisy, as the training goes on?",
                target=target,
            ).figure
            for target in self.settings["targets"]
        }

    @checks_kinds
    def write_figures(self, folder: str | PathLike[str]) -> list[str]:
        """Write the figures into a folder, as PNG and SVG; return their names."""
        from elbo_lab.plots import save_figure

        check_folder_writable("folder", folder)
        figures = self.plot()
        for name, figure in figures.items():
            save_figure(figure, folder, name)
        return list(figures)


def figure_name(target: str) -> str:
    """Return the name of the figure of a target."""
    return f"along-{target}"


@checks_kinds
def compare_along(
    folder: str | PathLike[str],
    models: Models | None = None,
    *,
    estimators: Estimators | None = None,
    targets: str | Sequence[str] = "grad-phi-elbo",
    data: Data | None = None,
    label: str | int | None = None,
    noise: str = "independent",
    draws: int = 10,
    repeats: int = 1000,
    rows: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | bool | None = None,
) -> Along:
    """Compare estimators at every kept checkpoint of a training.

    Parameters
    ----------
    folder : path
        Where `fit(keep=folder, keep_every=E)` kept them.
    models : str, Model, or list of them, optional
        That of the fit, or nothing.
    estimators : str, Estimator, or list of them, optional
        By default REINFORCE, leave-one-out, pathwise and sticking the landing, as they apply.
    targets : str or list of str
        What is estimated; also 'grad-theta-elbo' with estimators of it.
    data, label, noise, draws, repeats, rows, seed, threads, progress
        As for `compare`.

    Returns
    -------
    Along

    Raises
    ------
    ValueError, TypeError
        In one line that names the argument, the expected and the given value.
    """
    from elbo_lab.fitting.kept import kept_files  # the room of fits is heavy

    files = kept_files(folder)
    if not files:
        expected = "a folder with the checkpoints of a training (epoch-0000.npz and others)"
        raise bad_value("along", expected, repr(str(folder)), "make one by fit --keep DIR --keep-every E")
    asked = list(USUAL) if estimators is None else estimators
    found: dict[int, Comparison] = {}
    with followed(progress) as told:
        for i, (epoch, path) in enumerate(files.items()):
            told(i, len(files), "checkpoints")
            found[epoch] = compare(
                models,
                at=path,
                estimators=asked,
                targets=targets,
                data=data,
                label=label,
                noise=noise,
                draws=draws,
                repeats=repeats,
                rows=rows,
                seed=seed,
                threads=threads,
                progress=False,
            )
        told(len(files), len(files), "checkpoints")
    points = [_point(epoch, files[epoch].name, comparison) for epoch, comparison in found.items()]
    table = [
        {"epoch": epoch, **row}
        for epoch, comparison in found.items()
        for row in comparison.rows
        if row["applicable"] and row["estimator"] != "exact"
    ]
    first = next(iter(found.values())).settings
    kept = {name: value for name, value in first.items() if not name.startswith("exact_")}
    settings = kept | {"along": str(folder), "checkpoint": None, "level": LEVEL}
    settings["targets"] = list(dict.fromkeys(row["target"] for row in table))
    return Along(points, table, flips_of(found), settings)


def _point(epoch: int, name: str, comparison: Comparison) -> Row:
    """Return the exact numbers of a checkpoint, null where they are not exact."""
    scene = comparison.scenes[0]
    answers = comparison.answers[0] | references(scene, ["elbo"])[0]
    bound, evidence = answers["elbo"], answers.get("log-evidence")
    exact = evidence is not None and evidence.rung != LONG_RUN
    log_p = float(evidence.value[0]) if evidence is not None and exact else None
    elbo = float(bound.value[0])
    return {
        "epoch": epoch,
        "file": name,
        "elbo": elbo,
        "elbo_error": float(bound.error[0]),
        "log_evidence": log_p,
        "gap": None if log_p is None else log_p - elbo,
    }


def flips_of(found: dict[int, Comparison], level: float = LEVEL) -> list[Row]:
    """Return where the order of two estimators of one target flips, as `Along.flips`.

    Parameters
    ----------
    found : dict
        {epoch: Comparison}, in the order of the epochs, of the same estimators.
    level : float
        At which all verdicts hold together.
    """
    first = next(iter(found.values()))
    applying = {(row["target"], row["estimator"]) for row in first.rows if row["applicable"]}
    measured = [pair for pair in applying if pair[1] != "exact"]
    pairs = [(a, b) for a, b in combinations(sorted(measured), 2) if a[0] == b[0]]
    each = 1.0 - (1.0 - level) / max(1, len(pairs) * len(found))
    flips: list[Row] = []
    for (target, a), (_, b) in pairs:
        turns = [(epoch, _verdict(one, a, b, target, each)) for epoch, one in found.items()]
        decided = [turn for turn in turns if turn[1] != "undecided"]
        changes = [(then, now) for then, now in pairwise(decided) if then[1] != now[1]]
        ends = [*(now[0] for _, now in changes[1:]), None]
        for ((before, _), (epoch, verdict)), until in zip(changes, ends, strict=False):
            less, more = (a, b) if verdict == "beats" else (b, a)
            flip = {"epoch": epoch, "target": target, "less": less, "more": more}
            flips.append(flip | {"before": before, "until": until})
    return sorted(flips, key=lambda flip: flip["epoch"])


def _verdict(comparison: Comparison, one: str, other: str, target: str, level: float) -> str:
    """Return whether an estimator 'beats' another, 'loses', or is 'undecided', at one checkpoint."""
    rows = {row["estimator"]: row for row in comparison.rows if row["target"] == target and row["applicable"]}
    if one not in rows or other not in rows:
        return "undecided"
    exact = [rows[name]["variance_exact"] for name in (one, other)]
    if None not in exact:
        if abs(exact[0] - exact[1]) <= ROUNDING * max(exact):
            return "undecided"
        return "beats" if exact[0] < exact[1] else "loses"
    moments = {
        estimator.name: found
        for estimator, found in comparison.moments[0].items()
        if estimator.target_at(rows[one]["draws"]) == target
    }
    ratio = ratio_between(rows[one], rows[other], moments[one], moments[other], level)
    return ratio.verdict or "undecided"
