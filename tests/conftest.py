"""How the tests run: Hypothesis takes the same examples each time, and BLAS keeps to one thread.

`HYPOTHESIS_PROFILE=wild pytest` looks for new examples, many of them. Tests run in one process per core
(`pytest -n 0`: in one); a BLAS with a thread per core in each of them would have them wait for each other.
"""

import os

import pytest
from hypothesis import settings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    # Before NumPy is imported; what is set by hand stays.
    os.environ.setdefault(name, "1")

settings.register_profile(
    "lab", derandomize=True, deadline=None, max_examples=60, database=None, print_blob=False
)
settings.register_profile("wild", deadline=None, max_examples=500, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lab"))


@pytest.fixture(autouse=True)
def _no_lines_of_progress(request, monkeypatch):
    """On a busy machine quick commands would tell how far they are, and tests read all that is printed."""
    if "progress" not in request.node.nodeid:
        monkeypatch.setattr("elbo_lab.progress._Lines.show", lambda *_: None)
