"""One work, all its contestants side by side: rounds alternate, medians are compared.

A machine drifts between faster and slower hours, so contestants take turns within seconds, and a ratio is the
median over rounds of the ratio within a round.
"""

import json
import math
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

WORKER = Path(__file__).with_name("worker.py")
# A slow contestant gets fewer calls, so that one work takes tens of seconds and not hours.
SECONDS_PER_WORK = 25.0
# One turn: long enough for a microsecond's work to be warm.
SECONDS_PER_TURN = 0.2
# Thread pools of OpenBLAS and OpenMP spin for a while after their work, on cores that the next one needs.
PAUSE = 0.2
ROUNDS = (3, 9)
# Whoever takes more seconds a call is called once after the first time and then left alone.
SLOW = 5.0


@dataclass
class Contestant:
    """A process that does the work, and what it took: seconds per call of each round, peak in MB."""

    name: str
    process: subprocess.Popen
    calls: int = 1
    seconds: float = 0.0
    rounds: list = field(default_factory=list)
    peak_mb: float | None = None

    def ask(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"failed": "the process ended"}

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    @property
    def ms(self):
        return 1e3 * median(self.rounds or [self.seconds])


def hold(module, work, with_peers, say):
    """Let all contestants of a work take turns.

    Parameters
    ----------
    module : str
        Name of the module that has the work in its WORKS.
    work : Work
    with_peers : bool
    say : callable
        Takes one line about a contestant that is left out.

    Returns
    -------
    dict of str to Contestant
        By name: ours, definition, limit, and the peers; without those that are left out.
    """
    names = ["ours", *(name for name in ("definition", "limit") if getattr(work, name))]
    names += list(work.peers) if with_peers else []
    there = {}
    try:
        # One after the other: two set-ups at once would time each other's compilers.
        for name in names:
            contestant = start(module, work, name, say)
            if contestant is not None:
                there[name] = contestant
        if "ours" in there:
            take_turns(list(there.values()))
    finally:
        for contestant in there.values():
            contestant.close()
    return there


def start(module, work, name, say):
    """Start a contestant and wait until it is ready; None (and a line) where it cannot run."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER), module, work.name, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A peer's own words are told in one line; a fault of ours is shown whole.
        stderr=subprocess.DEVNULL if name in work.peers else None,
        text=True,
        encoding="utf-8",
    )
    contestant = Contestant(name, process)
    told = contestant.answer()
    if told.get("ready"):
        return contestant
    reason = f"{told['missing']} is not installed" if "missing" in told else told["failed"]
    say(f"{work.name}: {name} left out, {reason}")
    contestant.close()
    return None


def take_turns(contestants):
    """Give every contestant its rounds, and ask for its peak of memory at the end."""
    for contestant in contestants:
        # The first call, before it was ready, may have compiled; this one has not.
        (contestant.seconds,) = contestant.ask({"calls": 1})["seconds"]
    quick = [contestant for contestant in contestants if contestant.seconds < SLOW]
    for contestant in quick:
        contestant.calls = math.ceil(SECONDS_PER_TURN / contestant.seconds)
    of_all = sum(contestant.seconds * contestant.calls for contestant in quick)
    fewest, most = ROUNDS
    for _ in range(max(fewest, min(most, int(SECONDS_PER_WORK / of_all))) if quick else 0):
        for contestant in quick:
            time.sleep(PAUSE)
            contestant.rounds.append(median(contestant.ask({"calls": contestant.calls})["seconds"]))
    for contestant in contestants:
        contestant.peak_mb = contestant.ask({"memory": True})["peak_mb"]


def ratio(numerator, denominator):
    """Return the median over rounds of one contestant's time over another's."""
    if not (numerator.rounds and denominator.rounds):
        return numerator.ms / denominator.ms
    pairs = zip(numerator.rounds, denominator.rounds, strict=True)
    return median(one / other for one, other in pairs)
