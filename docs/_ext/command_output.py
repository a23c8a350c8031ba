"""What a command prints, under the command: where a page says `<!-- output -->` after a block of bash.

The numbers of a table are never typed into a page. A repository browser shows the command, the site also
what it printed when the site was built. A page explains the columns of its tables once.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile

MARK = re.compile(r"^```bash\nelbo-lab (?P<words>.+)\n```\n\n<!-- output -->$", re.MULTILINE)
COLUMNS = "100"
NO_FILES = {"compare": ["--no-report"]}  # a page shows what is printed
LEGEND = re.compile(r"\n\nIn nats per unit of parameter .*\Z", re.DOTALL)


def printed(words):
    """Return what `elbo-lab WORDS` prints, run in an empty folder, without the names of its files."""
    arguments = shlex.split(words)
    arguments += NO_FILES.get(arguments[0], [])
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-m", "elbo_lab", *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": COLUMNS, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        raise RuntimeError(f"elbo-lab {words} ended with {run.returncode}: {run.stderr.strip()}")
    return run.stdout.strip().split("\nwritten:")[0].rstrip() + "\n"


def with_outputs(text):
    """Return a page with the output under each marked command; the first table alone has its legend."""
    explained = False

    def shown(mark):
        nonlocal explained
        output = printed(mark["words"])
        without = LEGEND.sub("\n", output)
        output, explained = without if explained else output, explained or without != output
        return f"{mark[0]}\n\n```text\n{output.rstrip()}\n```"

    return MARK.sub(shown, text)


def insert(app, _, source):
    """Put the output under each marked command; a handler of `source-read`."""
    if app.config.run_commands:
        source[0] = with_outputs(source[0])
