"""The user's own file: the end of its name says how it is read.

Of NumPy's files one array (.npy) or a zip of named arrays (.npz) is read. Pickled objects are never read:
unpickling a stranger's file runs the stranger's code.
"""

import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

from elbo_lab.arrays import Draws
from elbo_lab.datasets.comma_separated import Columns, read_comma_separated, read_labelled
from elbo_lab.datasets.dataset import Dataset
from elbo_lab.datasets.labels import Label, coded, labelled, with_label
from elbo_lab.errors import BadValue, bad_value, check_data, columns_by_name
from elbo_lab.memory import FLOAT
from elbo_lab.reading import begins_as_zip, check_regular, members_of, read_array, read_member

# What NumPy and zipfile raise on files that are damaged, foreign or hostile: RuntimeError for an encrypted
# member or an unknown packing.
BROKEN = (ValueError, MemoryError, OverflowError, RuntimeError, zipfile.BadZipFile)
PICKLES = "save a numeric array with np.save; pickled objects are never loaded"


def read_arrays(path: Path) -> tuple[Draws, None]:
    """Return the array of a .npy file, or the one named ``x`` or the only one of a .npz file, unchecked.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    x : ndarray
    columns : None
    """
    try:
        # A path instead of an open file would stay open where the list inside the zip is damaged.
        with path.open("rb") as file:
            if not begins_as_zip(file):
                return read_array(file, os.fstat(file.fileno()).st_size, "data", FLOAT), None
            with zipfile.ZipFile(file) as archive:
                members = members_of(archive)
                names = list(members)
                if "x" in names or len(names) == 1:
                    member = members["x" if "x" in names else names[0]]
                    return read_member(archive, member, "data", FLOAT), None
    except BadValue:
        raise
    except BROKEN as error:
        reason = " ".join(str(error).split())
        raise bad_value("data", "an array of numbers", f"{str(path)!r} ({reason})", PICKLES) from None
    expected = f"exactly one array, or one named 'x', in {str(path)!r}"
    raise bad_value(
        "data", expected, f"{len(names)} arrays {names}", "save the data as np.savez(file, x=data)"
    )


READERS: dict[str, Callable[[Path], tuple[Draws, Columns]]] = {
    ".csv": read_comma_separated,
    ".csv.gz": read_comma_separated,
    ".npy": read_arrays,
    ".npz": read_arrays,
}
"""The readers of each suffix; they return (array, names of the columns or None)."""


def suffix_of(path: str | PathLike[str]) -> str | None:
    """Return the suffix among `READERS` with which the name of `path` ends, or None."""
    name = Path(path).name.lower()
    return next((suffix for suffix in READERS if name.endswith(suffix)), None)


def read_file(path: Path, label: Label | None = None, known: Sequence[str] | None = None) -> Dataset:
    """Read the table in an existing file; the data set is named by the file without its suffix.

    Parameters
    ----------
    path : pathlib.Path
        A file whose name ends as one of `READERS`.
    label : str or int, optional
        The column of the labels; in a .csv file they may be words.
    known : sequence of str, optional
        Classes whose codes are taken.

    Returns
    -------
    Dataset
        x (N, D); without labels every column of the file is data.
    """
    suffix = suffix_of(path)
    if suffix is None:
        raise bad_value("data", f"a file that ends with {', '.join(READERS)}", repr(str(path)))
    check_regular("data", path)
    name, texts, index = path.name[: -len(suffix)], None, 0
    try:
        if label is None or READERS[suffix] is not read_comma_separated:
            x, columns = READERS[suffix](path)
        else:
            x, columns, index, texts = read_labelled(path, label)
    # OSError: no permission, a folder; the others: a compressed file that is cut or is none.
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise bad_value("data", "a readable file", f"{str(path)!r} ({reason})") from None
    with columns_by_name(columns):
        dataset = Dataset(name, check_data(x), columns, source=str(path))
    if label is None:
        return dataset
    if texts is None:
        return with_label(dataset, label, known)
    return labelled(dataset, index, *coded(texts, repr(str(path)), known))
