"""encode: the codes of the rows of a data set under a stored model, as arrays or as a CSV."""

import csv
import io
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elbo_lab.datasets import Dataset
from elbo_lab.errors import bad_value, check_count, columns_by_name
from elbo_lab.evaluation.codes import Codes, codes_of
from elbo_lab.evaluation.new_rows import q_of_new_rows
from elbo_lab.files import Kind, StrPath, write_output
from elbo_lab.fitting.checkpoints import Stored, find_data, fingerprint, load_fitted
from elbo_lab.fitting.evaluate_model import load_as_fitted, parts_of_fit
from elbo_lab.fitting.final import as_table
from elbo_lab.kinds import checks_kinds
from elbo_lab.models.gplvm import GPLVMRows
from elbo_lab.progress import Progress, followed

CSV = Kind("the codes of 'elbo-lab encode'", rb"row,z1_mean")


@dataclass(frozen=True, eq=False)
class Encoding(Codes):
    """The codes of the rows of a data set.

    Attributes
    ----------
    data : str
        Name of the data set.
    model : str
    places : ndarray (N,)
        Of the rows in the data set, counted from 0.

    The others are those of `Codes`.
    """

    data: str = ""
    model: str = ""
    places: NDArray[np.intp] = field(default_factory=lambda: np.arange(0))

    def columns(self) -> dict[str, Any]:
        """Return {name: column (N,)} as in the CSV: mean and sd of each latent, diagnostics, draws."""
        columns: dict[str, Any] = {"row": self.places}
        for k, (mean, std) in enumerate(zip(self.mean.T, self.std.T, strict=True), start=1):
            columns |= {f"z{k}_mean": mean, f"z{k}_sd": std}
        columns |= self.diagnostics
        for t, draw in enumerate(() if self.draws is None else self.draws, start=1):
            if draw.ndim == 1:
                columns[f"z_draw{t}"] = draw
            else:
                columns |= {f"z{k}_draw{t}": values for k, values in enumerate(draw.T, start=1)}
        return columns

    @checks_kinds
    def to_csv(self, path: StrPath) -> None:
        """Write a line for each row, whole or not at all.

        Raises
        ------
        ValueError
            If a file of another kind is there.
        """
        columns, sheet = self.columns(), io.StringIO()
        writer = csv.writer(sheet, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
        write_output("out", path, sheet.getvalue(), CSV)


@checks_kinds
def encode(
    checkpoint: StrPath,
    data: StrPath | ArrayLike | Dataset | None = None,
    *,
    posterior: str | None = None,
    view: str | None = None,
    label: str | int | None = None,
    draws: int = 0,
    rows: int | None = None,
    seed: int = 0,
    data_dir: StrPath | None = None,
    progress: Progress | bool | None = None,
) -> Encoding:
    """Return mean and standard deviation of z given x for every row of a data set.

    Parameters
    ----------
    checkpoint : path
    data : str, path, array or Dataset, optional
        By default the data of the fit, all rows in their order; of a q for each row alone, its training rows.
    posterior : {'q', 'exact', 'hmc'}, optional
        By default q where the fit has one, else exact. See `evaluation.codes`.
    view : str, optional
        By default the one the model was fitted to.
    label : str or int, optional
        The column with the labels; by default that of the fit.
    draws : int
        Draws of z to return for each row.
    rows : int, optional
        The first rows only.
    seed : int
        Of draws and chains.
    progress : callable, bool or None
        As for `fit`.

    Returns
    -------
    Encoding

    Raises
    ------
    ValueError
        In one line; also if the posterior is not known in this way.

    Examples
    --------
    >>> from elbo_lab import encode, fit
    >>> _ = fit("ppca", "faithful", latent=1, checkpoint="ppca.npz")
    >>> encode("ppca.npz").mean.shape
    (272, 1)
    """
    check_count("draws", draws, minimum=0)
    check_count("seed", seed, minimum=0)
    stored = load_fitted(checkpoint)
    source = find_data(stored.data, stored.settings["data"], checkpoint) if data is None else data
    dataset = as_table(type(stored.model), load_as_fitted(stored, source, view, label, data_dir))
    way = ("exact" if stored.posterior is None else "q") if posterior is None else posterior
    x, places, seen = _rows_of(stored, dataset, rows)
    if way == "q" and isinstance(stored.model, GPLVMRows) and not seen:
        # Rows that the table does not know get a q of their own.
        found_q, phi = q_of_new_rows(stored.model, stored.theta, x, seed)
        stored = replace(stored, posterior=found_q, phi=phi)
    with followed(progress) as told:
        found = codes_of(stored, x, way, draws, seed, lambda done, total: told(done, total, "rows, chains"))
    return Encoding(**vars(found), data=dataset.name, model=stored.settings["model"], places=places)


def _rows_of(stored: Stored, dataset: Dataset, rows: int | None) -> tuple[Any, NDArray[np.intp], bool]:
    """Return the rows to encode (N, D), checked, their places, and whether a free table has a q for each."""
    model, x = stored.model, dataset.x
    if x.shape[1] != model.table_columns:
        raise bad_value(
            "data", f"{model.table_columns} columns as in the checkpoint", f"{x.shape[1]} columns"
        )
    if stored.posterior is not None and stored.posterior.needs_all_rows and not model.global_latents:
        train, _, where = parts_of_fit(stored, dataset)
        if rows is None and fingerprint(train) == stored.data["sha256"]:
            return train.x, where["training"], True
        if not isinstance(model, GPLVMRows):
            expected, got = "the very rows that the free table was made for", dataset.name
            got = got if rows is None else f"the first {rows} rows of {got}"
            raise bad_value("data", expected, got, "fit an encoder (--posterior amortised)")
    if rows is not None:
        check_count("rows", rows, maximum=len(x))
        x = x[:rows]
    with columns_by_name(dataset.columns):
        model.check_support(model.as_data(x))
    return x, np.arange(len(x)), False
