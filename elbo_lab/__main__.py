"""`python -m elbo_lab`: the command line."""

import sys
from importlib.util import find_spec

if __name__ == "__main__":
    try:
        from elbo_lab.cli.main import main

        sys.exit(main())
    except ModuleNotFoundError as missing:
        if all(map(find_spec, ("numpy", "numba", "rich"))):
            raise
        # The Python of the system, in a clone of the repository.
        remedy = "activate the environment in which elbo-lab is installed, as with: source .venv/bin/activate"
        print(f"elbo-lab: error: this Python has no {missing.name}; {remedy}", file=sys.stderr)
        sys.exit(2)
