"""Where the four files of MNIST are: in a folder of the user's, or in a cache filled from the network.

Looked for in this order:

1. `data_dir` and its subfolder ``mnist``. If it is given, nothing else is tried.
2. the folder in the environment variable ``ELBO_LAB_DATA``, and its subfolder ``mnist``.
3. pooch's cache for this package, filled from one of `MIRRORS` if need be; each file must have its
   SHA-256 checksum.

A user's files are not compared with the checksums: they may be compressed anew, be part of the set, or
come from another set of the same format.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from elbo_lab.errors import bad_kind, bad_value
from elbo_lab.files import StrPath

VARIABLE = "ELBO_LAB_DATA"
FOLDER = "mnist"
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# Of the published .gz files: what the mirrors send.
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
REMEDY = f"name the folder of the IDX files with --data-dir (data_dir=...) or {VARIABLE}"


def find_files(names: Sequence[str], data_dir: StrPath | None = None) -> list[Path]:
    """Return the paths of some of the files, all from one place.

    Parameters
    ----------
    names : sequence of str
        Published names without ``.gz``, for example ``train-images-idx3-ubyte``.
    data_dir : str or os.PathLike, optional

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    BadValue
        In one line, if they are nowhere: what was looked for, where, and the remedy.
    """
    if data_dir is not None and not isinstance(data_dir, (str, os.PathLike)):
        raise bad_kind("data_dir", "the path of a folder", repr(data_dir))
    given = data_dir if data_dir is not None else os.environ.get(VARIABLE) or None
    folders = [] if given is None else [Path(given), Path(given, FOLDER)]
    for folder in folders:
        paths = [path for path in (_in_folder(folder, name) for name in names) if path is not None]
        if len(paths) == len(names):
            return paths
    where = [f"none in {str(folder)!r}" for folder in folders]
    if data_dir is None:
        fetched = _fetch(names)
        if not isinstance(fetched, str):
            return fetched
        where.append(fetched)
    files = " and ".join(f"{name}[.gz]" for name in names)
    raise bad_value("data", files, ", ".join(where), REMEDY)


def _in_folder(folder: Path, name: str) -> Path | None:
    """Return the file of a name or of its other spelling, plain or compressed, or None."""
    dotted = name.replace("-idx", ".idx")
    for spelling in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        # os.path and not pathlib: "no" too for names that the system refuses to look up. Some archives
        # unpack into a folder of the file's name, which is no file.
        if os.path.isfile(folder / spelling):
            return folder / spelling
    return None


def _fetch(names: Sequence[str]) -> list[Path] | str:
    """Return the paths in pooch's cache, or in words why there are none."""
    try:
        import pooch
    except ImportError:
        return "no download (the package pooch is not installed)"
    folder = Path(pooch.os_cache("elbo-lab")) / FOLDER
    files = {f"{name}.gz": f"sha256:{SHA256[f'{name}.gz']}" for name in names}
    reasons = []
    for mirror in MIRRORS:
        try:
            paths = [
                pooch.retrieve(mirror + file, known, fname=file, path=folder) for file, known in files.items()
            ]
            return list(map(Path, paths))
        # OSError: no network, no permission, a full disk; ValueError: another checksum.
        except (OSError, ValueError) as error:
            kind = "another checksum" if isinstance(error, ValueError) else type(error).__name__
            reason = getattr(error, "strerror", None) or kind
            reasons.append(f"no download from {urlsplit(mirror).hostname} ({reason})")
    return ", ".join(reasons)
