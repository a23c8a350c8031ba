"""Would the tests notice a fault in the mathematics? Plant many, one by one, and see which survive.

    python tests/mutation/run.py                    150 mutants by seed 0, two at a time; prints the survivors
    python tests/mutation/run.py --only exact       those of files whose path holds a word
    python tests/mutation/run.py --table            only the table of what has been found so far

needs `pip install pytest-cov` beside the test tools. First the whole suite runs once and notes which test
passes through which line. Each mutant (`mutants.py`) is then planted in a copy of the repository, and the
tests that pass through its line run, the quickest first, until one fails. Each finding is written down at
once: a later call goes on where this one stopped. Findings belong to one commit: start anew with another
`--work`.

What the tests cannot notice (the mutant computes the same) stands in `known.toml` with the reason; exit code
1 tells that something else survived, or that an entry of it is out of date.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

from mutants import chosen, files, mutants_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COPIED = ("elbo_lab", "tests", "demos", "docs", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
# Seconds of tests (as measured for the original) that run first; only what survives them meets the others.
QUICK = 40.0
# A mutant may be slower than the original by this factor, and by the start of a process.
SLOWER, START = 4.0, 60.0
# All tests through a line may take this long by the original; beyond it the quickest are taken.
MOST = 400.0
PYTEST = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]


def copy_of_repository(folder):
    """Return a fresh copy, which is imported in place of an installed package."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


def environment(folder):
    """Return the environment of tests in a copy."""
    return os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def trace(work):
    """Run the suite once; write which tests pass through which lines, and the seconds of those that hold."""
    folder = copy_of_repository(work / "traced")
    extra = {"MUTATION_DURATIONS": str(work / "seconds.json"), "COVERAGE_FILE": str(work / "coverage")}
    extra["PYTHONPATH"] = f"{folder}{os.pathsep}{HERE}"
    command = [*PYTEST, "-p", "durations", "--cov=elbo_lab", "--cov-context=test", "--cov-report="]
    subprocess.run(command, cwd=folder, env=environment(folder) | extra)


class Tests:
    """Which tests pass through a line."""

    def __init__(self, work):
        from coverage import CoverageData

        self.data = CoverageData(str(work / "coverage"))
        self.data.read()
        self.seconds = json.loads((work / "seconds.json").read_text())
        self.measured = {name.partition("/traced/")[2]: name for name in self.data.measured_files()}

    def through(self, mutant):
        """Return the tests through the lines of a mutant, the quickest first.

        What runs when a module is imported belongs to no test; all tests through the module stand for it.
        """
        by_line = self.data.contexts_by_lineno(self.measured[mutant.path])
        here = [by_line.get(line, []) for line in range(mutant.line, mutant.last_line + 1)]
        names = self.tests_of(here) or self.tests_of(by_line.values())
        return sorted(names, key=lambda name: (self.seconds[name], name))

    def tests_of(self, contexts):
        found = {context.rpartition("|")[0] for some in contexts for context in some}
        return found & self.seconds.keys()


def run_tests(folder, names, limit):
    """Return 'killed', 'survived' or 'time-out', with the test that failed."""
    listed = folder / "tests-of-the-mutant"
    listed.write_text("\n".join(names))
    command = [*PYTEST, "-x", "-n", "0", "--tb=no", "-rfE", f"@{listed}"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return "time-out", ""
    if done.returncode == 0:
        return "survived", ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return "killed", failed[0].split(" - ")[0] if failed else f"exit code {done.returncode}"


def judge(folder, mutant, tests):
    """Plant a mutant in a copy, run its tests, and return what became of it."""
    names = tests.through(mutant)
    finding = {"name": mutant.name, "line": mutant.line, "tests": len(names), "by": ""}
    if not names:
        return finding | {"outcome": "no test"}
    path = folder / mutant.path
    source = path.read_bytes()
    path.write_bytes(mutant.applied(source))
    start, outcome = perf_counter(), "survived"
    try:
        for first, last in ((0.0, QUICK), (QUICK, MOST)):
            part = between(names, tests.seconds, first, last)
            if part and outcome == "survived":
                seconds = sum(tests.seconds[name] for name in part)
                outcome, finding["by"] = run_tests(folder, part, START + SLOWER * seconds)
    finally:
        path.write_bytes(source)
    return finding | {"outcome": outcome, "seconds": round(perf_counter() - start, 1)}


def between(names, seconds, first, last):
    """Return the tests that begin between two times if all run one after the other."""
    part, clock = [], 0.0
    for name in names:
        if first <= clock < last:
            part.append(name)
        clock += seconds[name]
    return part


def hunt(work, mutants, jobs):
    """Judge all mutants that were not judged by an earlier call."""
    tests, path = Tests(work), work / "findings.jsonl"
    done = {finding["name"] for finding in read(path)}
    folders = SimpleQueue()
    for job in range(jobs):
        folders.put(copy_of_repository(work / f"copy-{job}"))

    def one(mutant):
        folder = folders.get()
        try:
            return judge(folder, mutant, tests)
        finally:
            folders.put(folder)

    waiting = [mutant for mutant in mutants if mutant.name not in done]
    with ThreadPoolExecutor(jobs) as pool, path.open("a") as file:
        for finding in pool.map(one, waiting):
            print(f"{finding['outcome']:9} {finding['name']}", flush=True)
            file.write(json.dumps(finding) + "\n")
            file.flush()


def read(path):
    """Return the findings of earlier calls."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(work, mutants):
    """Print the table; return the exit code."""
    wanted = {mutant.name for mutant in mutants}
    findings = [finding for finding in read(work / "findings.jsonl") if finding["name"] in wanted]
    known = tomllib.loads((HERE / "known.toml").read_text())
    killed = sum(finding["outcome"] == "killed" for finding in findings)
    others = [finding for finding in findings if finding["outcome"] != "killed"]
    print(f"\n{len(wanted)} mutants, {len(findings)} judged, {killed} killed, {len(others)} not:\n")
    unknown = 0
    for finding in others:
        reason = known.get(finding["outcome"], {}).get(finding["name"])
        unknown += reason is None
        print(f"{finding['outcome']}  {finding['name']} (line {finding['line']}, {finding['tests']} tests)")
        print(f"    {reason or 'NOT EXPLAINED'}")
    possible = {mutant.name for path in files(ROOT) for mutant in mutants_of(path, ROOT)}
    stale = [name for names in known.values() for name in names if name not in possible]
    print(*(f"known.toml names a mutant that there is no more: {name}" for name in stale), sep="\n")
    return 1 if unknown or stale or len(findings) < len(wanted) else 0


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--work", type=Path, default=ROOT / ".mutation", help="folder of copies and findings")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    work = options.work.resolve()
    mutants = [one for one in chosen(ROOT, options.mutants, options.seed) if options.only in one.path]
    if not options.table:
        if not (work / "seconds.json").exists():
            trace(work)
        hunt(work, mutants, options.jobs)
    return report(work, mutants)


if __name__ == "__main__":
    sys.exit(main())
