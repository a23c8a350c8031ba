"""What the scripts of demos/papers share that train on MNIST: their options, and the digits or one line.

MNIST is no part of the package, and the first use may fetch it. So the command line is read, and refused,
before the digits are looked for; where they are nowhere, the script ends with one line and not a traceback.
"""

import argparse
import math

from elbo_lab.cli.paper import paper_parser
from elbo_lab.datasets import load
from elbo_lab.errors import UserMistake

SETS = ("mnist:dynamic", "mnist-test:dynamic")


def mnist_parser(description):
    """Return a `paper_parser` that also knows --seconds and --data-dir.

    Parameters
    ----------
    description : str
        What --help shows above the options.
    """
    parser = paper_parser(description)
    parser.add_argument("--seconds", type=_seconds, help="stop every training after so many")
    parser.add_argument("--data-dir", metavar="FOLDER", help="where the IDX files of MNIST are")
    return parser


def read_mnist_sets(parser, options):
    """Return training and test digits, with the pixels' probabilities.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        From `mnist_parser`.
    options : argparse.Namespace
        From `read_options`.

    Returns
    -------
    tuple of Dataset
        60,000 and 10,000 rows.

    Raises
    ------
    SystemExit
        With code 2 and one line, if the files are nowhere or are none of MNIST.
    """
    try:
        return tuple(load(name, data_dir=options.data_dir) for name in SETS)
    except UserMistake as mistake:
        return parser.error(str(mistake))


def _seconds(text):
    """Return a positive number of seconds, as argparse asks for it."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {text!r}")
    return seconds
