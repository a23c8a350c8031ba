"""The benchmark runner: contestants take turns, absent peers are told, missed targets are named."""

import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "benchmarks"
TOY = """
import time
from work import Work

def sleeping(seconds):
    return lambda: lambda: time.sleep(seconds)

def hoarding():
    return lambda: bytearray(64 * 2**20).find(1)

def compiling():
    first = [64 * 2**20]
    return lambda: bytearray(first.pop() if first else 8).find(1)

def absent():
    import no_such_framework

def broken():
    raise RuntimeError("no such device")

WORKS = (
    Work(
        name="nap",
        ours=sleeping(0.002),
        definition=sleeping(0.008),
        limit=sleeping(0.001),
        peers={"slow": sleeping(0.02), "quick": sleeping(0.0005), "absent": absent, "broken": broken},
        most_of_limit=100.0,
        least_over_peer={"slow": 2.0, "quick": 2.0},
    ),
    Work(name="hoard", ours=hoarding, most_ms=1e-9),
    Work(name="compile", ours=compiling),
)
"""


@pytest.fixture(scope="module")
def runner():
    sys.path.insert(0, str(FOLDER))
    import run

    yield run
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def toy(runner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy_topic.py").write_text(TOY, encoding="utf-8")
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        rows = runner.run(["toy_topic"], True, said.append)
    return {(row["name"], row["peer"]): row for row in rows}, said


def test_every_peer_that_is_there_has_a_row(toy):
    rows, said = toy
    assert list(rows) == [("nap", "slow"), ("nap", "quick"), ("hoard", None), ("compile", None)]
    assert "nap: absent left out, no_such_framework is not installed" in said
    assert "nap: broken left out, RuntimeError: no such device" in said


def test_ratios_say_who_is_faster_by_how_much(toy):
    rows, _ = toy
    slow, quick = rows["nap", "slow"], rows["nap", "quick"]
    # Sleeping takes at least its time; the limits below leave room for a busy machine.
    assert slow["ratio_to_peer"] > 2.0 and slow["ratio_to_definition"] > 1.5
    assert quick["ratio_to_peer"] < 1.0 < quick["ratio_to_limit"]
    assert slow["ours_ms"] >= 2.0


def test_a_missed_target_is_missed(toy):
    rows, _ = toy
    met = {(key, target["text"]): target["met"] for key, row in rows.items() for target in row["targets"]}
    assert met == {
        (("nap", "slow"), "at most 100 x of the limit"): True,
        (("nap", "slow"), "at least 2 x faster than slow"): True,
        (("nap", "quick"), "at least 2 x faster than quick"): False,
        (("hoard", None), "at most 1e-09 ms per call"): False,
    }


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not tell the peak of memory"
)
def test_memory_is_what_the_work_took_over_what_was_held_before(toy):
    rows, _ = toy
    assert 60 < rows["hoard", None]["peak_mb"] < 80
    assert rows["nap", "slow"]["peak_mb"] < 10
    # What only the first call took, as a compiler does, is forgotten.
    assert rows["compile", None]["peak_mb"] < 10


def test_the_table_names_what_was_missed(runner, toy, capsys):
    rows, _ = toy
    runner.print_table({"machine": runner.describe(), "rows": list(rows.values())})
    out = capsys.readouterr().out
    assert "2 of 4 targets met" in out
    assert "missed: nap, at least 2 x faster than quick" in out


def test_a_file_holds_machine_and_rows(runner, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "run", lambda *_: [])
    runner.main(["start_up", "--json", str(tmp_path / "out.json")])
    stored = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert stored["schema"] == 1 and stored["rows"] == []
    assert {"processor", "cores", "blas", "packages"} <= set(stored["machine"])


@pytest.mark.parametrize(
    "words, told", [(["vae"], "TOPIC: expected any of"), (["--json", "/no/such/folder/out.json"], "--json")]
)
def test_a_mistake_gets_one_line(runner, words, told, capsys):
    with pytest.raises(SystemExit) as stop:
        runner.main(words)
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_a_run_becomes_a_page_and_two_figures(runner, toy, tmp_path, monkeypatch):
    import publish

    (tmp_path / "figures").mkdir()
    monkeypatch.setattr(publish, "DOCS", tmp_path)
    rows = list(toy[0].values())
    lines = [
        {"work": "gradient, VAE", "letter": letter, "value": value, "ms": 0.1 * value, "mb": 2.0}
        for letter in "NS"
        for value in (1, 4)
    ]
    for name, content in {"run": {"rows": rows}, "scaling": {"lines": lines}}.items():
        content["machine"] = runner.describe()
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    publish.main([str(tmp_path / "run.json"), str(tmp_path / "scaling.json")])
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert page.count("| nap |") == 1 and "| quick |" in page
    assert "- nap, at least 2 x faster than quick: 0." in page and "**missed**" in page
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"benchmarks.png", "cost.png"}


def test_time_and_memory_of_a_call_are_its_own(runner):  # noqa: ARG001 - puts the folder on the path
    import time

    from scaling import memory_of, time_of

    assert 5.0 <= time_of(lambda: time.sleep(0.005), seconds=0.05) < 50.0
    assert 8.0 <= memory_of(lambda: bytearray(8 * 2**20)) < 8.1
