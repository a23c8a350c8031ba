"""A plugin of pytest: writes the seconds of every test that passes to the file MUTATION_DURATIONS."""

import json
import os
from collections import Counter
from pathlib import Path

SECONDS = Counter()
FAILED = set()


def pytest_runtest_logreport(report):
    """Add up set-up, call and tear-down."""
    SECONDS[report.nodeid] += report.duration
    if report.failed:
        FAILED.add(report.nodeid)


def pytest_sessionfinish():
    """Write what was added up."""
    if SECONDS:
        passed = {name: seconds for name, seconds in SECONDS.items() if name not in FAILED}
        Path(os.environ["MUTATION_DURATIONS"]).write_text(json.dumps(passed))
