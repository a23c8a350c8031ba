"""The result of a fit: parameters, history and closing numbers; as JSON and as figures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.evaluation import Fitted
from elbo_lab.files import StrPath, descriptor_of, json_kind, plain, short_name, write_arrays, write_json
from elbo_lab.kinds import checks_kinds

SCHEMA = "elbo_lab/fit/1"
JSON = json_kind("fit", SCHEMA)
# Names of all figures that a fit may have, see `fitting.figures`.
FIGURES = (
    "learning-curves staircase bound-and-gap mixture samples latent-grid reconstructions interpolation "
    "latent-plane"
).split()
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


@dataclass(frozen=True, eq=False, kw_only=True)
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
    """

    settings: dict[str, Any]
    history: list[dict[str, Any]]
    final: dict[str, Any]
    converged: bool | None
    stopped: str
    warnings: tuple[str, ...]
    train: Dataset
    held_out: Dataset | None

    @property
    def fitted(self) -> Fitted:
        """The model ready for use: generate, encode, decode, reconstruct, interpolate."""
        return self

    @property
    def parameters(self) -> dict[str, Floats]:
        """The parameters by name: in natural units where the model has them, else as stored."""
        described = self.model.described(self.theta)
        if described is not None:
            return described
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

    @checks_kinds
    def plot(self, folder: StrPath) -> list[str]:
        """Write the figures of this fit into a folder; return their names."""
        from elbo_lab.fitting.figures import draw_figures

        return draw_figures(self, folder)
