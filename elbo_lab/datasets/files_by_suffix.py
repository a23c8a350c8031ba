"""The user's own file: the end of its name says how it is read."""

import zlib
from pathlib import Path

from elbo_lab.datasets.array_files import read_npy, read_npz
from elbo_lab.datasets.comma_separated import read_comma_separated
from elbo_lab.datasets.dataset import Dataset
from elbo_lab.errors import bad_value, check_data, columns_by_name

# The readers of one suffix each return (array, names of the columns or None).
READERS = {
    ".csv": read_comma_separated,
    ".csv.gz": read_comma_separated,
    ".npy": lambda path: (read_npy(path), None),
    ".npz": lambda path: (read_npz(path), None),
}


def suffix_of(path):
    """Return the suffix among `READERS` with which the name of `path` ends, or None."""
    name = Path(path).name.lower()
    return next((suffix for suffix in READERS if name.endswith(suffix)), None)


def read_file(path):
    """Read the table in an existing file; the data set is named by the file without its suffix.

    Parameters
    ----------
    path : pathlib.Path
        A file whose name ends as one of `READERS`.

    Returns
    -------
    Dataset
        x (N, D), without labels: every column of the file is data.
    """
    suffix = suffix_of(path)
    if suffix is None:
        raise bad_value("data", f"a file that ends with {', '.join(READERS)}", repr(str(path)))
    try:
        x, columns = READERS[suffix](path)
    # OSError: no permission, a folder; the others: a compressed file that is cut or is none.
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise bad_value("data", "a readable file", f"{str(path)!r} ({reason})") from None
    with columns_by_name(columns):
        return Dataset(path.name[: -len(suffix)], check_data(x), columns, source=str(path))
