"""From the prompt to the result: the import alone, and the first look at everything, cold and warm.

Cold means that no machine code of the kernels and no bytecode is stored, neither of this package nor of
those below it: the very first run after an installation, at its slowest.
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
    """Run a Python of its own on this package, in a folder of its own."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *arguments]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def importing():
    return lambda: run_python("-c", "import elbo_lab")


def cold():
    def work():
        with tempfile.TemporaryDirectory() as kernels, tempfile.TemporaryDirectory() as bytecode:
            run_python(*QUICK, NUMBA_CACHE_DIR=kernels, PYTHONPYCACHEPREFIX=bytecode)

    return work


def warm():
    return lambda: run_python(*QUICK)


WORKS = (
    Work("import", importing, most_ms=250, repeats=10),
    Work("compare-quick-cold", cold, most_ms=30_000, repeats=1),
    Work("compare-quick-warm", warm, most_ms=20_000, repeats=1),
)
