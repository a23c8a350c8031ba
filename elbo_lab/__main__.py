"""`python -m elbo_lab`: the command line."""

import sys

from elbo_lab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
