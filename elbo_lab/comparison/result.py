"""The result of `compare`: rows, as tables, files and figures."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

from elbo_lab.estimators import Answer, Estimator
from elbo_lab.files import Kind, check_folder_writable, write_json, write_output
from elbo_lab.kinds import checks_kinds
from elbo_lab.processes import Workers
from elbo_lab.progress import Progress, followed
from elbo_lab.registry import own_titles
from elbo_lab.report import summary_lines, table_text, width_or_terminal
from elbo_lab.report.frame import frame_of
from elbo_lab.report.questions import PLACES
from elbo_lab.report.story import Story
from elbo_lab.study.moments import Moments
from elbo_lab.study.rows import Row
from elbo_lab.study.scene import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 2
JSON = Kind("the JSON of 'elbo-lab compare'", rb'\{\s*"schema":\s*\d+,\s*"settings":\s*\{\s*"version"')
CSV = Kind("the CSV of 'elbo-lab compare'", rb"model,variant,data,")
# Which of them are drawn: at most four that answer the main questions, all, or none.
CHOICES = ("story", "all", "none")


def figure_names(targets: Iterable[str]) -> list[str]:
    """Return the names of all figures that a comparison of these targets may have."""
    return [*targets, *PLACES]


@dataclass(eq=False, repr=False)
class Comparison:
    """All rows of a comparison.

    Attributes
    ----------
    rows : list of dict
        One per model x variant x posterior x target x estimator; see docs/glossary.md for the keys.
    settings : dict
        The arguments of `compare`, and what follows from them.
    estimators : list of Estimator
        The compared objects, in the order of the rows of each model.
    scenes : list of Scene
        Model, theta, posterior, phi and data of each model, for further work.
    answers : list of dict
        {target: Answer} of each scene: the exact values.
    moments : list of dict
        {estimator: Moments} of each scene, from the same batches, for `ratios.paired_ratio`.
    workers : Workers
        The processes that ran the comparison and draw the figures.
    story : Story or None
        What `elbo_lab.story` tells of it.
    """

    rows: list[Row]
    settings: dict[str, Any]
    estimators: list[Estimator]
    scenes: list[Scene]
    answers: list[dict[str, Answer]]
    moments: list[dict[Estimator, Moments]]
    workers: Workers
    story: Story | None = None

    def __repr__(self) -> str:
        if self.story is not None:
            return f"{self.story.finding}\n.table() has all numbers; in a notebook the story is shown"
        references = {estimator.name for estimator in self.estimators if estimator.is_reference}
        return "\n".join(summary_lines(self.rows, self.settings, references))

    @checks_kinds
    def table(self, width: int | None = None, columns: Sequence[str] | None = None) -> str:
        """Return one table per target as text, then that of `against`, and that of `power`, if asked for.

        Parameters
        ----------
        width : int, optional
            Characters per line; those of the terminal if not given, or 120 where there is none.
        columns : list of str, optional
            Names of columns, in their order, as for `elbo-lab compare --columns`; what fits if not given.

        Raises
        ------
        ValueError
            If there is no column of that name.
        """
        return table_text(self.rows, self.settings, width_or_terminal(width), columns)

    def _repr_html_(self) -> str:
        from elbo_lab.report.snippet import comparison_snippet  # Jinja2 is heavy

        with own_titles(self.settings["titles"]):
            return comparison_snippet(self.rows, self.settings, self.story)

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame; ImportError where pandas is not installed."""
        return frame_of(self.rows, "result.rows")

    @checks_kinds
    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return the rows as JSON text; write it to `path` as well if given."""
        content = {"schema": SCHEMA, "settings": self.settings, "rows": self.rows}
        return write_json(path, content, JSON)

    @checks_kinds
    def to_csv(self, path: str | PathLike[str] | None = None) -> str:
        """Return the rows as CSV text with a header; write it to `path` as well if given.

        `snr_groups`, which is no single number, is in the JSON only.
        """
        sheet = io.StringIO()
        names = [name for name in self.rows[0] if name != "snr_groups"]
        writer = csv.DictWriter(sheet, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        if path is not None:
            write_output("csv", path, sheet.getvalue(), CSV)
        return sheet.getvalue()

    @overload
    def plot(self, name: None = None, *, figures: str = "story") -> "dict[str, Figure]": ...

    @overload
    def plot(self, name: str, *, figures: str = "story") -> "Figure": ...

    @checks_kinds
    def plot(self, name: str | None = None, *, figures: str = "story") -> "Figure | dict[str, Figure]":
        """Draw one figure, or several.

        Parameters
        ----------
        name : str, optional
            A target, as in 'grad-phi-elbo', or another of the names that `plot(figures="all")` returns.
        figures : {'story', 'all', 'none'}
            Without a name: at most four that answer the main questions, all, or none.

        Returns
        -------
        matplotlib.figure.Figure, or dict {name: Figure} if no name is given
        """
        from elbo_lab.comparison.figures import draw_figure, draw_figures  # Matplotlib is heavy

        return draw_figures(self, figures) if name is None else draw_figure(self, name)

    @checks_kinds
    def write_figures(
        self, folder: str | PathLike[str], progress: Progress | bool | None = None, figures: str = "story"
    ) -> list[str]:
        """Draw the figures and write PNG and SVG files, several at a time; return their names.

        Parameters
        ----------
        folder : str or path
        progress : callable, bool or None
            As for `compare`.
        figures : {'story', 'all', 'none'}
            At most four that answer the main questions, all, or none.
        """
        from elbo_lab.comparison.figures import write_drawings  # Matplotlib is heavy

        check_folder_writable("folder", folder)
        with followed(progress) as told:
            return write_drawings(self, folder, told, figures)

    @checks_kinds
    def report(
        self, folder: str | PathLike[str], progress: Progress | bool | None = None, figures: str = "story"
    ) -> str:
        """Write one HTML page, index.html in a folder, that needs neither network nor other files.

        Parameters
        ----------
        folder : str or path
            Created if missing. An older report in it is replaced; any other index.html is not.
        progress : callable, bool or None
            As for `compare`.
        figures : {'story', 'all', 'none'}
            At most four that answer the main questions, all, or none.

        Returns
        -------
        str
            The path of the page.
        """
        from elbo_lab.comparison.reporting import write_report  # Jinja2 is heavy

        with followed(progress) as told:
            return write_report(self, folder, told, figures)
