"""elbo-lab doctor: what this installation runs on."""

from argparse import ArgumentParser, Namespace

HELP = "versions, BLAS, threads, kernel cache"
DESCRIPTION = EXAMPLES = ""


def add_options(parser: ArgumentParser) -> None:
    """Add nothing: this subcommand has no options."""


def facts() -> list[tuple[str, str]]:
    """Return [(what, value), ...]."""
    import os
    import platform
    from importlib.metadata import version

    import numpy as np
    import scipy.linalg.blas  # noqa: F401 - so that SciPy's BLAS is loaded and listed
    from threadpoolctl import threadpool_info

    from elbo_lab import __version__
    from elbo_lab.kernels import gemm, kernels_in_use

    lines = [("elbo-lab", __version__), ("python", platform.python_version())]
    names = ("numpy", "scipy", "numba", "matplotlib", "rich", "threadpoolctl")
    lines += [(name, version(name)) for name in names]
    lines.append(("cores", str(os.cpu_count())))
    for pool in threadpool_info():
        kind = f"{pool['user_api']} ({os.path.basename(pool['filepath']).split('-')[0]})"
        lines.append((kind, f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads"))
    lines.append(("kernels", kernels_in_use()))
    lines.append(("compiled products", gemm.road(np.dtype(np.float32))))
    lines.append(("kernel cache", _kernel_cache()))
    return lines


def _kernel_cache() -> str:
    """Return the folder of the compiled kernels, and what all versions in it take."""
    from elbo_lab.kernels.machine_code import cache_folder

    folder = cache_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder} ({size / 1e6:.1f} MB)"


def run(options: Namespace) -> None:  # noqa: ARG001
    """Print the facts, one per line."""
    lines = facts()
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")
