"""How much memory a run may take, and the refusal of one that would need more.

Memory is limited in three ways, and the least of them counts: what the machine has left, what a container or
a batch system grants (a control group, version 1 or 2), and the address space of the process (`ulimit -v`).
Sizes are compared with it before anything is allocated. An operating system that grants more memory than it
has would otherwise end the process, or other processes, without a word.

Source: Linux manual, proc(5), getrlimit(2), cgroups(7); Linux kernel documentation, "Control Group v2".
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elbo_lab.errors import BadValue, bad_value

if TYPE_CHECKING:
    from elbo_lab.models import Model

GIB = 1 << 30
# More than any machine has: what a control group without a limit announces, rounded to pages.
UNLIMITED = 1 << 60


def available_bytes(root: str = "/") -> int:
    """Return the bytes that this process may still take; `UNLIMITED` where the system does not tell.

    Parameters
    ----------
    root : str
        The folder that holds `proc` and `sys`.
    """
    limits = [_of_machine(Path(root)), *_of_control_groups(Path(root)), _of_address_space(Path(root))]
    return max(0, min(UNLIMITED, *limits))


def check_memory(argument: str, needed: int, what: str, remedy: str) -> None:
    """Raise ValueError if `needed` bytes are more than there are.

    Parameters
    ----------
    argument : str
    needed : int
    what : str
        What takes them, as in "1000 draws".
    remedy : str
    """
    available = available_bytes()
    if needed > available:
        raise too_large(argument, f"about {in_gib(needed)} for {what}", available, remedy)


def too_large(argument: str, got: str, available: int, remedy: str) -> BadValue:
    """Build the error for what does not fit into the available bytes; the caller raises it."""
    return bad_value(argument, f"at most the {in_gib(available)} of memory that are available", got, remedy)


def in_gib(size: int) -> str:
    """Return a number of bytes in words: '1.5 GiB'."""
    return f"{size / GIB:.3g} GiB" if size < UNLIMITED else "more than a thousand million GiB"


def _of_machine(root: Path) -> int:
    """Return the memory that programs can get without others being ended."""
    free = _numbers(root / "proc/meminfo", scale=1024)
    if "MemAvailable:" in free:
        return free["MemAvailable:"] + free.get("SwapFree:", 0)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows, or a system without these names
        return UNLIMITED


def _of_control_groups(root: Path) -> Iterator[int]:
    """Yield what each control group of this process, and each group around it, has left."""
    names = {
        "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        "": ("memory.max", "memory.current"),
    }
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        kind = "memory" if "memory" in controllers.split(",") else controllers
        if kind not in names:
            continue
        # In a container the path may be that of the host, and the group itself is mounted at the top.
        parts = Path(path.lstrip("/")).parts
        for length in range(len(parts), -1, -1):
            folder = (root / "sys/fs/cgroup" / kind).joinpath(*parts[:length])
            limit, used = (_text(folder / name).strip() for name in names[kind])
            if limit.isdigit() and used.isdigit():
                # The cached pages of files count as used, and are given up when memory is needed.
                pages = _numbers(folder / "memory.stat")
                cached = pages.get("inactive_file", 0) + pages.get("active_file", 0)
                yield int(limit) - int(used) + cached


def _of_address_space(root: Path) -> int:
    """Return what is left of the address space."""
    if sys.platform == "win32":
        return UNLIMITED
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return UNLIMITED
    pages = _text(root / "proc/self/statm").split()
    return limit - (int(pages[0]) * resource.getpagesize() if pages else 0)


def _text(path: Path) -> str:
    """Return the text of a file of the system, empty if there is none."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8")
    return ""


def _numbers(path: Path, scale: int = 1) -> dict[str, int]:
    """Return {word: number} of the lines 'word number ...' of a file of the system."""
    lines = (line.split() for line in _text(path).splitlines())
    return {words[0]: scale * int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


# -- what a run takes at its peak ------------------------------------------------------------------

# Measured; `tests/test_limits.py` holds the estimates against the peaks of runs.
FLOAT = 8
# Tables (N, D) that reading, checking and training, or a formula, hold at the same time.
TABLES, TABLES_OF_FORMULA = 2, 5
# Copies of the parameters: themselves, their gradients by block and in all, and what is moved.
COPIES, COPIES_OF_EM = 4, 24
# Arrays as large as the layers of a pass over the draws: activations, slopes and products.
LAYERS = 4


@dataclass(frozen=True)
class Sizes:
    """The sizes on which the memory of a run depends.

    Parameters
    ----------
    rows, columns : int
        N and D of the data.
    latent : int
    hidden : tuple of int
        Widths of hidden layers.
    parameters : int
        Of the model and of q.
    width : int
        Entries of all layers of the model, from z to x, for one draw of one datum.
    draws : int
        S per datum.
    batch : int
        Rows of data whose draws are formed together.
    """

    rows: int
    columns: int
    latent: int
    hidden: tuple[int, ...]
    parameters: int
    width: int
    draws: int = 1
    batch: int = 1

    @classmethod
    def of(cls, model: "Model", rows: int, columns: int, draws: int = 1, batch: int = 1) -> "Sizes":
        """Return the sizes of a model alone, without those of q, on data (rows, columns)."""
        hidden = model.hidden or ()
        # With global latents a draw has one number for each row of the table.
        width = 1 if model.global_latents else model.row_width + sum(hidden) + model.latent_dim
        return cls(rows, columns, model.latent_dim, hidden, model.layout.size, width, draws, batch)

    def training(self, itemsize: int, slots: int) -> int:
        """Bytes of a training with numbers of `itemsize` bytes and `slots` vectors of the optimiser."""
        table = self.rows * self.columns * (TABLES * FLOAT + itemsize)
        # The result holds the parameters in float64.
        parameters = self.parameters * (itemsize * (COPIES + slots) + FLOAT)
        return table + parameters + LAYERS * itemsize * self.draws * self.batch * self.width

    def formula(self, copies: int = COPIES) -> int:
        """Bytes of a fit by a formula, or by EM with its `copies` of the parameters."""
        matrix = min(self.rows, self.columns) * self.columns
        tables = TABLES_OF_FORMULA * self.rows * self.columns
        return FLOAT * (tables + matrix + copies * self.parameters)

    def estimate(self, least: int = 0) -> int:
        """Bytes of estimates whose draws are formed together, at least `least` rows of them in a pass."""
        layers = max(least, self.draws * self.batch) * self.width
        return FLOAT * (TABLES * self.rows * self.columns + COPIES * self.parameters + LAYERS * layers)

    def sample(self, itemsize: int) -> int:
        """Bytes of `draws` new data, and of the file that they are written to."""
        return self.draws * (itemsize * self.width + LAYERS * FLOAT * self.columns)

    def check(self, needed: int, argument: str = "") -> None:
        """Refuse a run that needs more bytes than there are; the largest size is to blame, or `argument`."""
        sizes = {"latent": self.latent, "hidden": max(self.hidden, default=0)}
        sizes |= {"draws": self.draws, "batch": self.batch}
        words = [f"{self.rows} x {self.columns} data", *(f"{name} {n}" for name, n in sizes.items() if n > 1)]
        sizes["data"] = max(self.rows, self.columns)
        argument = argument or max(sizes, key=lambda name: sizes[name])
        check_memory(argument, needed, ", ".join(words), "make it smaller")
