"""Python in a process of its own, on the package of this repository."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_python(*words, path=(), cwd=ROOT, **environment):
    """Return a finished Python process; the folders of `path` go before that of the package."""
    folders = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": folders, **environment},
        timeout=120,
    )


def output_of(code, *words, **options):
    """Return what code prints, which must end without an error and without a warning."""
    done = run_python("-W", "error", "-c", code, *words, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout
