"""From the prompt to the result: the import alone, and the first look at everything, cold and warm.

Cold means without bytecode and without machine code of the kernels: the first run after an installation.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from work import Work

ROOT = Path(__file__).resolve().parents[2]
QUICK = "-m", "elbo_lab", "compare", "--quick"


def run_python(*arguments, **variables):
    """Run a Python of its own on the package, in a folder of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *arguments]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def importing():
    return lambda: run_python("-c", "import elbo_lab")


def cold():
    def work():
        # Nothing is compiled yet, as on the first day.
        with tempfile.TemporaryDirectory() as folder:
            run_python(*QUICK, NUMBA_CACHE_DIR=folder, PYTHONPYCACHEPREFIX=folder)

    return work


def warm():
    return lambda: run_python(*QUICK)


WORKS = (
    Work("import", importing, most_ms=250),
    Work("compare-quick-cold", cold, most_ms=30_000),
    Work("compare-quick-warm", warm, most_ms=20_000),
)
