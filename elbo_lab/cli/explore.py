"""elbo-lab explore: a page to play with, in the browser."""

import sys
import threading
from argparse import ArgumentParser, Namespace

HELP = "open a page to play with: the bound, the noise of gradients, many draws, one bit, EM"
DESCRIPTION = """Open a page on which you move q and theta, and see at once what the ELBO, the gap and the
gradients do. It is served by this machine for this machine alone; Ctrl-C ends it."""
EXAMPLES = """examples:
  elbo-lab explore                                  three columns and one latent
  elbo-lab explore --tab noise                      opens with clouds of gradients
  elbo-lab explore --model deep-bernoulli           a fitted model, one row of its data
  elbo-lab explore --skip-predictions --no-browser  for a lecture; prints the address only
"""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("--model", metavar="NAME", help="a model with one continuous latent (default: the lessons' example)")
    add("--tab", metavar="NAME", help="the tab that is open at first, such as noise (default bound)")
    add("--port", type=int, default=0, metavar="N", help="of this machine (default: any free one)")
    add("--no-browser", action="store_true", help="print the address and open nothing")
    add("--skip-predictions", action="store_true", help="unlock all sliders at once")


def run(options: Namespace) -> None:
    """Serve until Ctrl-C."""
    import webbrowser

    from elbo_lab.explorer import find_tab, shown_model
    from elbo_lab.explorer.server import Explorer
    from elbo_lab.registry import find_model

    first = "" if options.tab is None else find_tab(options.tab).name
    if options.model is not None:
        find_model(options.model)
        print(f"elbo-lab: fitting {options.model} with one latent", file=sys.stderr, flush=True)
    with Explorer(shown_model(options.model), options.port, first, options.skip_predictions) as server:
        print(f"{server.address}\nCtrl-C ends it.", flush=True)
        if not options.no_browser:
            # A browser in the terminal returns only when it is closed.
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
        server.prepare()
        server.serve_forever()
