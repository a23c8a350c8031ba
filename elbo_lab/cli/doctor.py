"""elbo-lab doctor: what this installation runs on."""

from argparse import ArgumentParser, Namespace

HELP = "versions, BLAS, threads, kernel cache"
DESCRIPTION = EXAMPLES = ""


def add_options(parser: ArgumentParser) -> None:
    """Add nothing: this subcommand has no options."""


def _kernel_cache() -> str:
    """Return the folder of the compiled kernels, and what all versions in it take."""
    from elbo_lab.kernels.machine_code import cache_folder

    folder = cache_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder} ({size / 1e6:.1f} MB)"


def run(options: Namespace) -> None:  # noqa: ARG001
    """Print the facts, one per line."""
    from elbo_lab.report.machine import facts

    lines = [*facts(), ("kernel cache", _kernel_cache())]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")
