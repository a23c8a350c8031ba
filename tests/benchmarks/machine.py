"""The machine that the figures belong to."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from threadpoolctl import threadpool_info

PACKAGES = ("numpy", "scipy", "numba", "torch", "jax", "scikit-learn", "backpack-for-pytorch")


def describe():
    """Return what a reader must know of the machine: processor, cores, BLAS, versions."""
    import numpy  # noqa: F401 - loads its BLAS, which is then told below

    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": sorted({f"{one['internal_api']} {one.get('version')}" for one in threadpool_info()}),
        "packages": {name: found for name in PACKAGES if (found := installed(name)) is not None},
    }


def processor():
    """Return the processor's own name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def installed(name):
    """Return the version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
