"""A cache of machine code from one process to the next, in the user's cache folder.

Compiling a kernel takes seconds, so Numba's `cache=True` writes the machine code to disk. By default it
writes into the package, where uninstallation leaves it behind; it trusts every file in its folder; and two
processes that compile one function for different dtypes at the same time can mix up their entries. So each
process gives Numba a private folder, and passes its machine code to the next process in one file per
function, written whole and with its digest:

    ~/.cache/elbo-lab/0.1.0-<digest>/                 a folder per version of package, sources, Numba, Python
        elbo_lab.kernels.elementwise.tanh.code        SHA-256 of the rest, then Numba's files as a ZIP
        process-x7k2_q/                               Numba's own folder, removed when the process ends

- *Before* a kernel is called its file is compared with its digest. A truncated, empty or altered file is
  removed, and the kernel recompiled; so it is where the folder is not writable or the disk is full.
- The user's `NUMBA_CACHE_DIR` takes precedence over the cache folder of the system. Other packages keep
theirs:
  Numba's setting points to ours only while one of our kernels is decorated.
- Numba's files are pickles: write access to them is enough to run code as this user. So only their owner may
  read or write the folders (mode 0700).
- A folder that no process has used for a day is removed when another version creates one.

The name of the folder includes a digest of the sources, because Numba checks only the file of the *loop*, not
the formulas and flags from other files. It covers this package of kernels and the file of the function: a
compiled function calls nothing outside the two.

Source: Numba manual, "Notes on caching" and "NUMBA_CACHE_DIR".
"""

import atexit
import contextlib
import functools
import hashlib
import io
import os
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import platformdirs

import elbo_lab
from elbo_lab.files import write_bytes

DAY = 24 * 60 * 60
DIGEST_SIZE = hashlib.sha256().digest_size
NUMBAS_FILES = (".nbi", ".nbc")

# While it decorates, a thread changes a setting of the whole process.
_decorating = threading.Lock()


class CachedLoop:
    """A compiled function that loads machine code of earlier processes, and saves what it compiles.

    It has its `flags`, and the attributes of Numba's dispatcher: `py_func`, `signatures`, `stats`. Compiled
    functions cannot call it: they call an `inner_loop`, a `formula`, or its `compiling.as_part`.

    Parameters
    ----------
    function : callable
        Compiled at the first call with arguments of each type.
    flags : dict
        Options of `numba.njit`.
    """

    def __init__(self, function: Callable[..., Any], flags: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.flags, self._n_known = flags, 0
        self._file: Path | None = None
        try:
            folder = code_folder(function.__code__.co_filename)
            name = f"{function.__module__}.{function.__qualname__}"
            self._dispatcher = _decorated(function, flags, _process_folder(folder) / name)
            _unpack(folder / f"{name}.code", Path(self._dispatcher.stats.cache_path))
            self._file = folder / f"{name}.code"
        except OSError:
            # Without a cache each process compiles: slower, and correct.
            self._dispatcher = numba.njit(**flags)(function)

    def __call__(self, *arguments: Any, **numbers: Any) -> Any:
        try:
            result = self._dispatcher(*arguments, **numbers)
        except OSError:
            # No kernel opens a file: Numba could not save its machine code, which is now in memory.
            self._file = None
            result = self._dispatcher(*arguments, **numbers)
        if len(self._dispatcher.overloads) != self._n_known:
            self._keep()
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dispatcher, name)

    def __reduce__(self) -> str:
        # Pickled by name, as functions are.
        return self.__qualname__

    def _keep(self) -> None:
        """Save the machine code for the next process."""
        n_compiled = len(self._dispatcher.overloads)
        try:
            if self._file is not None and self._dispatcher.stats.cache_misses:
                _pack(Path(self._dispatcher.stats.cache_path), self._file)
        except OSError:
            # A full disk, or a removed folder: the next process compiles.
            self._file = None
        self._n_known = n_compiled


def cache_folder() -> Path:
    """Return the folder of all versions, in `NUMBA_CACHE_DIR` if the user has set it."""
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR).absolute() / "elbo-lab"
    return platformdirs.user_cache_path("elbo-lab", appauthor=False)


@functools.cache
def code_folder(source: str) -> Path:
    """Create and return the folder for functions of the file `source`; OSError if that fails."""
    digest = hashlib.sha256(f"{numba.__version__} {sys.version} {sys.platform}".encode())
    for path in sorted({*Path(__file__).parent.glob("*.py"), Path(source)}):
        digest.update(path.name.encode() + path.read_bytes())
    top = cache_folder()
    folder = top / f"{elbo_lab.__version__}-{digest.hexdigest()[:16]}"
    is_new = not folder.exists()
    for made in (top, folder):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        made.chmod(0o700)
    if is_new:
        _prune(top)
    _prune(folder)
    return folder


def _prune(folder: Path) -> None:
    """Remove the folders in `folder` that no process has started to use within a day."""
    for path in folder.iterdir():
        # Another process may remove it at the same time.
        with contextlib.suppress(OSError):
            if path.is_dir() and time.time() - path.stat().st_mtime > DAY:
                shutil.rmtree(path)


@functools.cache
def _process_folder(folder: Path) -> Path:
    """Create Numba's private folder of this process; it also marks `folder` as used."""
    made = Path(tempfile.mkdtemp(prefix="process-", dir=folder))
    atexit.register(_remove, made, os.getpid())
    return made


def _remove(folder: Path, process: int) -> None:
    # A forked child must not remove the folder of its parent.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _decorated(function: Callable[..., Any], flags: dict[str, Any], folder: Path) -> Any:
    """Return Numba's dispatcher, whose cache is in `folder`; OSError if that fails."""
    with _decorating:
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(folder)
        try:
            dispatcher = numba.njit(**flags, cache=True)(function)
        except RuntimeError as error:
            # Numba found no writable folder.
            raise OSError(str(error)) from None
        finally:
            numba.config.CACHE_DIR = before
    if folder not in Path(dispatcher.stats.cache_path).parents:
        raise OSError(f"Numba chose the folder {dispatcher.stats.cache_path}")
    return dispatcher


def _pack(folder: Path, file: Path) -> None:
    """Write Numba's files in `folder` to `file`, whole or not at all."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.iterdir()):
            if path.suffix in NUMBAS_FILES:
                archive.writestr(path.name, path.read_bytes())
    content = packed.getvalue()
    write_bytes(file, hashlib.sha256(content).digest() + content)


def _unpack(file: Path, folder: Path) -> None:
    """Extract `file` into `folder`; a damaged file is removed."""
    if not file.exists():
        return
    data = file.read_bytes()
    digest, content = data[:DIGEST_SIZE], data[DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        file.unlink()
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
