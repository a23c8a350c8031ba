"""One contestant in its own process: sets its work up, then does it as often as it is told.

It reads one JSON line per order from standard input and answers each with one JSON line:

    (after a first call)  {"ready": true} or {"missing": "torch"} or {"failed": "..."}
    {"calls": 5}          {"seconds": [...]}
    {"memory": true}      {"peak_mb": ...}, or null where the system does not tell

The peak is what the process held at most while it worked, over what it held before its first call; data and
imported libraries therefore do not count, workspaces and compiled code do.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def held_mb(key):
    """Return a line of the process's status in MB: VmRSS (now) or VmHWM (the most so far)."""
    if not STATUS.exists():
        return None
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return None


def forget_peak():
    """Let VmHWM begin anew."""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5", encoding="ascii")


def extra_mb(before):
    """Return the peak over what was held before."""
    peak = held_mb("VmHWM")
    return None if peak is None else max(peak - before, 0.0)


def find(module, work, contestant):
    """Return the set-up function of a contestant."""
    found = next(one for one in importlib.import_module(module).WORKS if one.name == work)
    return found.peers[contestant] if contestant in found.peers else getattr(found, contestant)


def serve(module, work, contestant, orders, answer):
    """Set up, tell that all is ready, and follow orders until they end."""
    try:
        once = find(module, work, contestant)()
    except ImportError as error:
        return answer({"missing": error.name or str(error)})
    before = held_mb("VmRSS")
    once()
    forget_peak()
    answer({"ready": True})
    for line in orders:
        order = json.loads(line)
        if "calls" in order:
            seconds = []
            for _ in range(order["calls"]):
                start = time.perf_counter()
                once()
                seconds.append(time.perf_counter() - start)
            answer({"seconds": seconds})
        else:
            answer({"peak_mb": extra_mb(before)})


def main():
    # Whatever a contestant prints must not stand between the answers.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def answer(words):
        out.write(json.dumps(words) + "\n")
        out.flush()

    try:
        serve(*sys.argv[1:4], sys.stdin, answer)
    except Exception as error:  # a peer may fail in any way; the others go on
        answer({"failed": f"{type(error).__name__}: {error}".splitlines()[0]})
        raise


if __name__ == "__main__":
    main()
