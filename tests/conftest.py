"""How Hypothesis searches: the same examples on every run, so that a red test stays red.

`HYPOTHESIS_PROFILE=wild pytest` looks for new examples, many of them.
"""

import os

from hypothesis import settings

settings.register_profile(
    "lab", derandomize=True, deadline=None, max_examples=60, database=None, print_blob=False
)
settings.register_profile("wild", deadline=None, max_examples=500, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lab"))
