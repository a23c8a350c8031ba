"""What an installation runs on: versions, BLAS, threads, compiled kernels."""


def facts() -> list[tuple[str, str]]:
    """Return [(what, value), ...], without a path or name of the user's."""
    import os
    import platform
    from importlib.metadata import version

    import numpy as np
    import scipy.linalg.blas  # noqa: F401 - so that SciPy's BLAS is loaded and listed
    from threadpoolctl import threadpool_info

    from elbo_lab import __version__
    from elbo_lab.kernels import gemm, kernels_in_use

    lines = [("elbo-lab", __version__), ("python", platform.python_version())]
    names = ("numpy", "scipy", "numba", "matplotlib", "rich", "jinja2", "threadpoolctl")
    lines += [(name, version(name)) for name in names]
    lines.append(("system", f"{platform.system()} {platform.release()}, {platform.machine()}"))
    lines.append(("cores", str(os.cpu_count())))
    for pool in threadpool_info():
        kind = f"{pool['user_api']} ({os.path.basename(pool['filepath']).split('-')[0]})"
        lines.append((kind, f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads"))
    lines.append(("kernels", kernels_in_use()))
    lines.append(("compiled products", gemm.road(np.dtype(np.float32))))
    return lines
