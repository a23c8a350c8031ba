"""Time the lab against its own definitions, against its peers, and against the machine.

    python tests/benchmarks/run.py [TOPIC ...] [--peers] [--json FILE]

Every contestant runs in a process of its own; rounds alternate; figures are medians. A peer that is not
installed is left out with a line that says so (`pip install '.[peers]'` brings them; BackPACK by hand, with
`--no-deps`, since it would move PyTorch). Nothing else should run meanwhile.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

from contest import hold
from machine import describe
from rows import make_rows
from table import print_table

from elbo_lab.files import check_writable

TOPICS = (
    "vae_step",
    "convolution",
    "combinations",
    "mixture_em",
    "weight_variance",
    "evidence",
    "beta",
    "density",
    "wake_sleep",
    "gplvm",
    "bayes_net",
    "small_calls",
    "start_up",
)


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"any of {', '.join(TOPICS)}; all if none")
    parser.add_argument("--peers", action="store_true", help="time PyTorch, JAX, scikit-learn as well")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write machine and rows to FILE")
    return parser


def run(topics, with_peers, say):
    """Return the rows of the named modules, in order."""
    rows = []
    for topic in topics:
        for work in importlib.import_module(topic).WORKS:
            say(f"{work.name} ...")
            rows += make_rows(work, hold(topic, work, with_peers, say))
    return rows


def main(words=None):
    parser = build_parser()
    options = parser.parse_args(words)
    unknown = [topic for topic in options.topics if topic not in TOPICS]
    if unknown:
        parser.error(f"TOPIC: expected any of {', '.join(TOPICS)}, got {', '.join(unknown)}")
    if options.json is not None:
        try:
            check_writable("--json", options.json)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    rows = run(options.topics or TOPICS, options.peers, lambda line: print(line, file=sys.stderr, flush=True))
    result = {"schema": 1, "machine": describe(), "rows": rows}
    print_table(result)
    if options.json is not None:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
