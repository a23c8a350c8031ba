"""The result of a fit: parameters, history and closing numbers; as JSON and as figures."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.errors import unknown_name
from elbo_lab.evaluation import Fitted
from elbo_lab.files import (
    StrPath,
    check_folder_writable,
    descriptor_of,
    json_kind,
    plain,
    short_name,
    write_arrays,
    write_json,
)
from elbo_lab.fitting.scores import Scores, rows_of_split, scores_of, write_scores
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import LogisticRegression
from elbo_lab.report import text_of, width_or_terminal
from elbo_lab.report.frame import frame_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = "elbo_lab/fit/1"
JSON = json_kind("fit", SCHEMA)
# The numbers of `final` that tell how good a fit is.
CLOSING = ("log_likelihood_per_datum", "elbo_per_datum", "nll_per_datum", "log_p_per_datum", "accuracy")
# Larger parameters than this go to a file of arrays.
MOST_AS_TEXT = 10_000


def side_file(path: StrPath) -> Path | None:
    """Return the file for large parameters beside the JSON at `path`: out.parameters.npz for out.json.

    None beside a stream.
    """
    if descriptor_of(path) is not None:
        return None
    path = Path(path)
    stem = path.name.removesuffix(".json")
    return path.with_name(short_name(stem, ".parameters.npz"))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FitResult(Fitted):
    """A fitted model with its record.

    Attributes
    ----------
    model : Model
    posterior : Posterior or None
    theta : ndarray (P,)
    phi : ndarray or None
    settings, final : dict
    history : list of dict
    converged : bool or None
        None where convergence is not judged.
    stopped : str
    warnings : tuple of str
    train, held_out : Dataset, Dataset or None
    first : Fitted or None
        Of a second stage: the model whose latents are its data.
    """

    settings: dict[str, Any]
    history: list[dict[str, Any]]
    final: dict[str, Any]
    converged: bool | None
    stopped: str
    warnings: tuple[str, ...]
    train: Dataset
    held_out: Dataset | None
    first: Fitted | None = None

    def __repr__(self) -> str:
        settings = self.settings
        lines = [f"Fit of {settings['model']} to {self.train.name}, method {settings['method']}"]
        for title, numbers in (("training", self.final), ("held out", self.final.get("held_out", {}))):
            shown = [f"{name} {numbers[name]:.5g}" for name in CLOSING if name in numbers]
            lines += [f"  {title}: {', '.join(shown)} ({numbers['rows']} rows)"] if shown else []
        shapes = ", ".join(f"{name} {np.shape(array)}" for name, array in self.parameters.items())
        lines.append(f"  parameters: {shapes}")
        lines.append(f"  stopped: {self.stopped}")
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from elbo_lab.report.snippet import fit_snippet  # Jinja2 is heavy

        return fit_snippet(self)

    @checks_kinds
    def table(self, width: int | None = None) -> str:
        """Return parameters and closing numbers as text, as wide as the terminal if no width is given."""
        from rich.console import Console

        from elbo_lab.report.numbers import print_numbers

        sheet = io.StringIO()
        print_numbers(
            self, Console(file=sheet, width=width_or_terminal(width), color_system=None, force_jupyter=False)
        )
        return text_of(sheet.getvalue().splitlines())

    def to_pandas(self) -> Any:
        """Return the history as a pandas DataFrame; ImportError where pandas is not installed."""
        return frame_of(self.history, "result.history")

    @property
    def fitted(self) -> Fitted:
        """The model ready for use: generate, encode, decode, reconstruct, interpolate."""
        return self

    @property
    def parameters(self) -> dict[str, Floats]:
        """The parameters by name: in natural units where the model has them, else as stored.

        Of a regression those of q over its coefficients: means and standard deviations (D + 1,), for
        standardised features, the intercept last.
        """
        described = self.model.described(self.theta)
        if described is not None:
            return described
        if isinstance(self.model, LogisticRegression) and self.posterior is not None and self.phi is not None:
            eta = self.posterior.eta(self.phi, np.zeros((1, 0)))
            means, deviations = self.posterior.family.moments(eta)
            return {"coefficients": means[0], "standard_deviations": deviations[0]}
        stored = dict(self.model.layout.views(self.theta))
        if self.posterior is not None and self.phi is not None:
            stored |= self.posterior.layout.views(self.phi)
        return stored

    @property
    def _left_out(self) -> int:
        """The number of parameters if they are too many for text, or 0."""
        if self.model.described(self.theta) is not None:
            return 0
        numbers = sum(np.size(array) for array in self.parameters.values())
        return numbers if numbers > MOST_AS_TEXT else 0

    def to_dict(self, parameters_file: str | None = None) -> dict[str, Any]:
        """Return the record: schema, settings, history, parameters, final.

        Networks of more than 10,000 numbers are left out: `parameters` then holds only their number and the
        name of the file with the arrays.
        """
        parameters: dict[str, Any] = self.parameters
        if self._left_out:
            parameters = {"numbers": self._left_out, "file": parameters_file}
        record = {"schema": SCHEMA, "settings": self.settings, "history": self.history}
        return plain(record | {"parameters": parameters, "final": self.final})

    @checks_kinds
    def to_json(self, path: StrPath) -> list[Path]:
        """Write the record to a file, and large parameters to an NPZ beside it; return the paths.

        Each file is written whole or not at all, the arrays first: out.parameters.npz for out.json. A stream,
        such as /dev/stdout, has no file beside it.

        Raises
        ------
        ValueError
            If a file of another kind is there.
        """
        arrays = side_file(path) if self._left_out else None
        if arrays is not None:
            write_arrays("json", arrays, self.parameters)
        record = self.to_dict(None if arrays is None else arrays.name)
        write_json(path, record, JSON)
        return [Path(path)] if arrays is None else [Path(path), arrays]

    def scores(self) -> dict[str, Scores]:
        """Return the scores of the rows, see `fitting.scores`: {'training': ..., 'held out': ...}.

        Rows without any are left out: held-out ones of a free table, which has no q for them.
        """
        found = {}
        for name, rows in (("training", self.train), ("held out", self.held_out)):
            table = self.posterior is not None and self.posterior.needs_all_rows
            fitted = Fitted(self.model, self.theta) if table and rows is not self.train else self
            if rows is not None:
                found[name] = scores_of(fitted, rows.x, seed=self.settings["seed"])
        return {name: scores for name, scores in found.items() if scores}

    @checks_kinds
    def write_scores(self, path: StrPath) -> None:
        """Write `scores` as a CSV with a line for each row, numbered from 0 as in the data."""
        n_rows = len(self.train.x) + (0 if self.held_out is None else len(self.held_out.x))
        where = rows_of_split(n_rows, self.settings["holdout"])
        write_scores(path, [(name, where[name], scores) for name, scores in self.scores().items()])

    @overload
    def plot(self, name: None = None) -> "dict[str, Figure]": ...

    @overload
    def plot(self, name: str) -> "Figure": ...

    @checks_kinds
    def plot(self, name: str | None = None) -> "Figure | dict[str, Figure]":
        """Draw one figure of this fit, or all of them.

        Parameters
        ----------
        name : str, optional
            As in what `plot()` returns, such as 'learning-curves'.

        Returns
        -------
        matplotlib.figure.Figure, or dict {name: Figure} if no name is given
        """
        from elbo_lab.fitting.figures import figures_of  # Matplotlib is heavy
        from elbo_lab.plots.style import Pictures

        found = figures_of(self)
        if name is None:
            return Pictures(found)
        known = []
        for known_name, figure in found:
            if known_name == name:
                return figure
            known.append(known_name)
        raise unknown_name("name", name, known)

    @checks_kinds
    def write_figures(self, folder: StrPath) -> list[str]:
        """Write the figures of this fit into a folder, as PNG and SVG; return their names."""
        from elbo_lab.plots import save_figure

        check_folder_writable("folder", folder)
        figures = self.plot()
        for name, figure in figures.items():
            save_figure(figure, folder, name)
        return list(figures)
