"""`elbo-lab fit`, `evaluate`, `sample`: mistakes in one line, states that survive, resuming bit for bit."""

import argparse
import errno
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from elbo_lab import fit
from elbo_lab.cli import fit as fit_command
from elbo_lab.cli.main import main
from elbo_lab.errors import BadValue
from elbo_lab.fitting import load_fitted
from elbo_lab.fitting.methods import METHODS
from elbo_lab.fitting.methods.base import (
    CATEGORIES,
    CONV_OPTIONS,
    DECODER_OPTIONS,
    ENCODER_OPTIONS,
    GRAPH_OPTION,
    LATENT_PRIOR_OPTION,
    NETWORK_OPTIONS,
)
from elbo_lab.fitting.settings import COMMON, RUN
from elbo_lab.report import value_text
from elbo_lab.training import Training, load_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--hidden", "5", "--batch", "20"]
VAE = ["deep-gaussian", "--data", "ok.csv", *SMALL]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working folder with small tables."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    ok = rng.normal(size=(60, 3)) @ np.triu(np.full((3, 3), 0.7))
    constant, bits = ok.copy(), (ok > 0).astype(float)
    constant[:, 1] = 5.0
    grey = bits.copy()
    grey[7, 2] = 0.5
    tables = {"ok": ok, "other": ok[::-1], "constant": constant, "bits": bits, "grey": grey}
    tables |= {"wide": np.hstack([ok, ok**2]), "single": ok[:1]}
    for name, x in tables.items():
        np.savetxt(f"{name}.csv", x, delimiter=",", fmt="%.17g")
    Path("text.csv").write_text("size,colour\n1.5,red\n2.5,blue\n", encoding="utf-8")
    np.savetxt("named.csv", constant, delimiter=",", header="length,width,height", comments="")
    return tmp_path


def mistake(capsys, arguments, *words, code=2):
    """Run a command that must fail, in one line that holds the words and with no output; return the line."""
    before = sorted(os.listdir())
    capsys.readouterr()
    assert main(arguments) == code
    out, err = capsys.readouterr()
    kind = "diverged" if code == 3 else "error"
    assert out == "" and err.count("\n") == 1 and err.startswith(f"elbo-lab: {kind}: "), out + err
    for word in words:
        assert word in err, (word, err)
    assert sorted(os.listdir()) == before
    return err


# -- the record ----------------------------------------------------------------------------------


def test_a_fit_prints_and_writes_its_record(capsys):
    arguments = (
        "fit gaussian-mixture --data faithful --components 2 --covariance full --json out.json".split()
    )
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    record = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert list(record) == ["schema", "settings", "history", "parameters", "final"]
    assert set(record["parameters"]) == {"weights", "means", "standard_deviations", "covariances"}
    for word in ("component 1", "mixing weight", "0.644", "eruptions", "4.29 (sd 0.412)"):
        assert word in out
    assert abs(record["final"]["log_likelihood"] + 1130.264) < 1e-3
    assert record["settings"]["model"] == "gaussian-mixture:full"
    assert "written: out.json" in out and err == "" and "\x1b" not in out


# -- mistakes ------------------------------------------------------------------------------------

VAE_TEXT = "deep-gaussian --data ok.csv"
MISTAKES = {
    "gaussian-mixture --data text.csv": ["'colour'", "'red'", "drop the column"],
    "factor-analysis --data constant.csv": ["column 1", "drop it"],
    "factor-analysis --data named.csv": ["constant column 'width' (index 1); drop it"],
    "factor-analysis --data named.csv --holdout 0.2": ["column 'width' (index 1)"],
    "gaussian-mixture --data constant.csv --covariance full": ["column 1", "drop it"],
    "gaussian-mixture --data ok.csv --components 61": ["--components: ", "60", "61"],
    "factor-analysis --data ok.csv --latent 4": ["3 columns", "4"],
    "ppca --data ok.csv --latent 3": ["--latent: ", "fewer than the 3 columns"],
    "ppca --data ok.csv --latent 4 --method em": ["3 columns"],
    "deep-bernoulli --data grey.csv": ["0.5 at row 7, column 2", "binarise"],
    "gaussian-mle --data ok.csv --latent 2": ["latent", "2"],
    **{f"ppca --data ok.csv --holdout {share}": ["holdout"] for share in ("0", "1", "-0.1", "2", "nan")},
    f"{VAE_TEXT} --epochs 0": ["epochs"],
    "ppca --data ok.csv --method em --epochs 0": ["epochs"],
    f"{VAE_TEXT} --batch 0": ["batch"],
    **{f"{VAE_TEXT} --learning-rate {rate}": ["--learning-rate: "] for rate in ("0", "nan", "-1", "inf")},
    f"{VAE_TEXT} --phi-learning-rate -1": ["--phi-learning-rate: "],
    f"{VAE_TEXT} --hidden 0": ["hidden"],
    f"{VAE_TEXT} --dtype int": ["dtype", "float32"],
    f"{VAE_TEXT} --draws 0": ["draws"],
    f"{VAE_TEXT} --gap-rows 5 --latent 20": ["--gap-rows: ", "two latents"],
    f"{VAE_TEXT} --gap-rows -5": ["--gap-rows: "],
    "deep-gaussian --data single.csv --patience 2": [],
    f"{VAE_TEXT} --posterior free --batch 10": ["batch", "all rows"],
    "gaussian-mixture --data ok.csv --method vae --phi-estimator reparameterization": ["pathwise"],
    f"{VAE_TEXT} --phi-estimator elbo-analytic-kl": ["grad-phi-elbo"],
    f"{VAE_TEXT} --threads 0": ["threads"],
    f"{VAE_TEXT} --seed -1": ["seed"],
    # Names, with the nearest.
    "gaussian-mixture --data ok.csv --method emm": ["did you mean 'em'?"],
    f"{VAE_TEXT} --optimizer adamm": ["did you mean 'adam'?"],
    f"{VAE_TEXT} --activation tan": ["did you mean 'tanh'?"],
    f"{VAE_TEXT} --schedule cosin:3": ["did you mean 'cosine'?"],
    f"{VAE_TEXT} --phi-estimator reparameterizatoin": ["did you mean 'reparameterization'?"],
    "nosuch": ["error: model: expected a known name, got 'nosuch'", "'elbo-lab list' has all"],
    "ppca": ["error: --data: expected a data set, a file or an array, got nothing; try 'digits:raw'"],
    "gaussian-mixtrue --data digits": ["error: model: ", "did you mean 'gaussian-mixture'?"],
    "ppca --data digits:bin": ["--data: ", "did you mean 'binary'?"],
    f"{VAE_TEXT} --theta-estimator elbo-analytic": [
        "--theta-estimator: ",
        "did you mean 'elbo-analytic-kl'?",
    ],
    "ppca --data none.csv": ["none.csv", "check the path"],
    # Options that a method, or a model, does not use.
    "ppca --data ok.csv --epochs 5": ["--epochs", "closed-form"],
    "ppca --data ok.csv --method em --batch 5": ["--batch", "em", "use method gradient or vae"],
    "ppca --data ok.csv --method em --hidden 5": ["--hidden", "em"],
    "ppca --data ok.csv --method gradient --draws 5": ["--draws", "gradient"],
    "ppca --data ok.csv --method gradient --restarts 5": ["--restarts", "gradient"],
    "logistic-regression --data breast-cancer --phi-steps 3": ["--phi-steps"],
    "logistic-regression --data breast-cancer --patience 3": ["--patience"],
    "logistic-regression --data breast-cancer --method vae": ["method", "svi"],
    "logistic-regression --data ok.csv": ["labels"],
    f"{VAE_TEXT} --method em": ["method", "'em'"],
    "ppca --data ok.csv --components 2": ["--components", "--latent"],
    "kde --data ok.csv --components 2": ["--components: expected no value for kde, which is no mixture"],
    "kde --data ok.csv --latent 2": ["--latent: expected no value for kde", "follow the data"],
    "ppca --data ok.csv --covariance full": ["--covariance"],
    "gaussian-mixture:diagonal --data ok.csv --covariance full": ["--covariance", "diagonal"],
    "gaussian-mixture --data ok.csv --covariance ful": ["--covariance", "spherical, diagonal, full"],
    "deep-bernoulli --data bits.csv --likelihood learned-variance": ["--likelihood", "deep-gaussian"],
    "deep-gaussian:fixed --data ok.csv --likelihood learned-variance": ["--likelihood", "fixed"],
    # Places.
    "ppca --data ok.csv --json none/o.json": ["--json", "folder"],
    "ppca --data ok.csv --checkpoint none/o.npz": ["--checkpoint", "folder"],
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_gives_one_line(command, capsys):
    mistake(capsys, ["fit", *command.split()], *MISTAKES[command])


def test_a_rate_beyond_the_smaller_floats_diverges_in_one_line(capsys):
    mistake(
        capsys,
        "fit deep-bernoulli --data bits.csv --hidden 3 --learning-rate 1e300 --epochs 2".split(),
        code=3,
    )


def test_what_the_mistakes_stand_beside_is_no_mistake(capsys):
    for command in (
        "gaussian-mixture:diagonal --data ok.csv --covariance diagonal --components 2 --epochs 3",
        "gaussian-mixture --data constant.csv --covariance spherical --epochs 3 --restarts 1",
        "deep-gaussian:fixed --data ok.csv --likelihood fixed-variance --epochs 1 --hidden 3",
        "factor-analysis --data ok.csv --latent 3 --epochs 3 --holdout 0.1",
        "GMM --data ok.csv --covariance diagonal --components 2 --epochs 3 --restarts 1",
        "vae --data bits.csv --likelihood bernoulli --epochs 1 --hidden 3",
    ):
        assert main(["fit", *command.split()]) == 0, capsys.readouterr().err


# -- resuming ------------------------------------------------------------------------------------

ROUTES = {
    "vae": ([*VAE, "--patience", "50"], 3),
    "alternating": ([*VAE, "--phi-steps", "2", "--optimizer", "sgd:0.9"], 3),
    "free table": (["deep-gaussian", "--data", "ok.csv", "--posterior", "free", "--hidden", "5"], 3),
    "dynamic": (["deep-bernoulli", "--data", "digits:dynamic", "--hidden", "5", "--batch", "300"], 1),
    "score function": (["gaussian-mixture", "--data", "ok.csv", "--method", "vae", *SMALL], 3),
    "gradient": (["factor-analysis", "--data", "ok.csv", "--method", "gradient", "--batch", "20"], 3),
    "em with restarts": (["gaussian-mixture", "--data", "ok.csv", "--components", "3", "--restarts", "3"], 4),
    "regression": (["logistic-regression", "--data", "breast-cancer"], 1),
}


@pytest.mark.parametrize("route", ROUTES)
def test_twice_n_epochs_are_n_and_n_more(route, capsys):
    arguments, n = ROUTES[route]
    whole = ["fit", *arguments, "--epochs", str(2 * n)]
    assert main([*whole, "--checkpoint", "whole.npz"]) == 0
    assert main([*whole, "--checkpoint", "again.npz"]) == 0
    assert main(["fit", *arguments, "--epochs", str(n), "--checkpoint", "part.npz"]) == 0
    half = Path("part.npz").read_bytes()
    assert main(["fit", "--resume", "part.npz", "--epochs", str(2 * n)]) == 0, capsys.readouterr().err
    whole_bytes = Path("whole.npz").read_bytes()
    assert half != whole_bytes
    assert Path("part.npz").read_bytes() == whole_bytes == Path("again.npz").read_bytes()


KEPT = {}


def checkpointed():
    """Put a checkpoint of two epochs at v.npz, trained once for all tests, and return its bytes."""
    if not KEPT:
        assert main(["fit", *VAE, "--epochs", "2", "--checkpoint", "v.npz"]) == 0
        KEPT["v.npz"] = Path("v.npz").read_bytes()
    Path("v.npz").write_bytes(KEPT["v.npz"])
    return KEPT["v.npz"]


OTHER_SETTINGS = [
    (["--learning-rate", "0.5"], ["--learning-rate", "as in the checkpoint", "only --epochs may change"]),
    (["--batch", "10"], ["--batch", "20"]),
    (["--seed", "4"], ["--seed"]),
    (["--hidden", "5", "5"], ["--hidden"]),
    (["--latent", "1"], ["--latent"]),
    (["--prior", "default"], ["--prior: expected nothing, got 'default'; only --epochs may change"]),
    (["--data", "other.csv"], ["data", "checkpoint"]),
    (["--epochs", "1"], ["--epochs", "2"]),
]


@pytest.mark.parametrize(("more", "words"), OTHER_SETTINGS)
def test_a_checkpoint_goes_on_only_as_it_began(more, words, capsys):
    before = checkpointed()
    more = more if "--epochs" in more else [*more, "--epochs", "4"]
    mistake(capsys, ["fit", "--resume", "v.npz", *more, "--json", "o.json", "--out", "f"], *words)
    assert Path("v.npz").read_bytes() == before


def test_em_does_not_go_back(capsys):
    arguments = ["gaussian-mixture", "--data", "ok.csv", "--components", "2", "--tolerance", "1e-300"]
    assert main(["fit", *arguments, "--epochs", "4", "--restarts", "1", "--checkpoint", "v.npz"]) == 0
    mistake(capsys, ["fit", "--resume", "v.npz", "--epochs", "2"], "--epochs", "4")


def test_the_same_settings_may_be_repeated(capsys):
    checkpointed()
    assert main(["fit", *VAE, "--resume", "v.npz", "--epochs", "3"]) == 0, capsys.readouterr().err
    assert load_checkpoint("v.npz")[0]["job"]["epoch"] == 3


def test_a_resume_from_another_folder_finds_the_data_and_changes_nothing(capsys, monkeypatch):
    assert main(["fit", *VAE, "--epochs", "2", "--checkpoint", "v.npz"]) == 0
    assert main(["fit", *VAE, "--epochs", "4", "--checkpoint", "whole.npz"]) == 0
    here = Path.cwd()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert main(["fit", "--resume", "../v.npz", "--epochs", "4"]) == 0, capsys.readouterr().err
    assert (here / "v.npz").read_bytes() == (here / "whole.npz").read_bytes()


def test_data_that_moved_are_found_beside_the_user_or_asked_for(capsys, monkeypatch):
    fit("ppca", "ok.csv", latent=1, method="em", epochs=2, checkpoint="m.npz")
    Path("moved").mkdir()
    for name in ("ok.csv", "m.npz"):
        Path(name).rename(Path("moved") / name)
    arguments = ["fit", "--resume", "moved/m.npz", "--epochs", "3"]
    mistake(capsys, arguments, "ok.csv", "name it with --data")
    assert main([*arguments, "--data", "moved/ok.csv"]) == 0, capsys.readouterr().err
    monkeypatch.chdir("moved")
    assert main(["fit", "--resume", "m.npz", "--epochs", "4"]) == 0, capsys.readouterr().err


def test_an_array_has_to_be_given_again():
    x = np.loadtxt("ok.csv", delimiter=",")
    fit("ppca", x, latent=1, method="em", epochs=2, checkpoint="m.npz")
    with pytest.raises(BadValue, match=r"data: .*give them again"):
        fit(resume="m.npz", epochs=3)
    assert fit(data=x, resume="m.npz", epochs=3).final["iterations"] <= 3


@pytest.mark.parametrize("other", ["fit", "resume"])
def test_a_checkpoint_of_another_training_is_not_overwritten(other, capsys):
    before = checkpointed()
    Path("w.npz").write_bytes(before)
    arguments = VAE if other == "fit" else ["--resume", "w.npz", "--epochs", "3"]
    mistake(capsys, ["fit", *arguments, "--checkpoint", "v.npz"], "'v.npz'", "--resume", "remove it")
    assert Path("v.npz").read_bytes() == before
    assert main(["fit", "--resume", "v.npz", "--epochs", "3", "--checkpoint", "./v.npz"]) == 0
    assert main(["fit", "--resume", "v.npz", "--epochs", "4", "--checkpoint", "new.npz"]) == 0
    assert load_checkpoint("v.npz")[0]["job"]["epoch"] == 3


def spoilt(kind, good):
    """Return bytes that are no good checkpoint."""
    if kind == "cut":
        return good[: len(good) // 2]
    if kind == "empty":
        return b""
    if kind == "text":
        return b"these are not the bytes of a checkpoint"
    header, arrays = load_checkpoint("v.npz")
    if kind == "foreign npz":
        np.savez("w.npz", x=np.zeros(3))
    else:
        save_checkpoint("w.npz", {**header, "version": 0}, arrays)
    return Path("w.npz").read_bytes()


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "foreign npz", "older"])
@pytest.mark.parametrize("command", ["resume", "evaluate", "sample"])
def test_a_spoilt_checkpoint_is_refused_and_left_alone(kind, command, capsys):
    bad = spoilt(kind, checkpointed())
    Path("v.npz").write_bytes(bad)
    arguments = {
        "resume": ["fit", "--resume", "v.npz", "--epochs", "4", "--json", "o.json", "--out", "f"],
        "evaluate": ["evaluate", "v.npz", "--data", "ok.csv", "--json", "o.json"],
        "sample": ["sample", "v.npz", "--out", "f"],
    }
    mistake(capsys, arguments[command], "v.npz", "version" if kind == "older" else "checkpoint of elbo_lab")
    assert Path("v.npz").read_bytes() == bad


# -- kill, interrupt, diverge, full disk -----------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_training_that_was_broken_off_goes_on_bit_for_bit(how, capsys):
    digits = {"model": "deep-bernoulli", "data": "digits", "hidden": (30,), "batch": 200, "latent": 2}
    arguments = "deep-bernoulli --data digits --hidden 30 --batch 200 --latent 2".split()
    command = [sys.executable, "-m", "elbo_lab", "fit", *arguments, "--epochs", "100000"]
    with subprocess.Popen(
        [*command, "--checkpoint", "k.npz", "--json", "o.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while not Path("k.npz").exists() and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(how)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    if how == signal.SIGINT:
        # Lines of progress come first where a run takes longer than a second.
        *progress, last = err.splitlines()
        assert process.returncode == 130 and out == "" and "interrupted" in last
        assert all(line.startswith("epochs ") for line in progress)
        assert sorted(name for name in os.listdir() if name.startswith(".")) == []
    else:
        assert process.returncode == -signal.SIGKILL
    assert not Path("o.json").exists()
    header = load_checkpoint("k.npz")[0]
    assert load_fitted("k.npz").model.latent_dim == 2
    end = header["job"]["epoch"] + 2
    assert main(["fit", "--resume", "k.npz", "--epochs", str(end)]) == 0, capsys.readouterr().err
    fit(**digits, epochs=end, checkpoint="whole.npz")
    assert Path("k.npz").read_bytes() == Path("whole.npz").read_bytes()


@pytest.mark.parametrize(
    "rate", [["--optimizer", "sgd", "--learning-rate", "1e6"], ["--learning-rate", "1e3"]]
)
def test_a_training_that_diverges_keeps_the_last_good_checkpoint(rate, capsys):
    arguments = ["fit", *VAE, *rate, "--epochs", "30", "--json", "o.json", "--out", "f"]
    mistake(capsys, [*arguments, "--checkpoint", "d.npz"], "lower the learning rate", code=3)


def test_a_resumed_training_that_diverges_keeps_the_state_that_it_began_with(capsys, monkeypatch):
    before = checkpointed()

    def steep(*_):
        return 1e6

    monkeypatch.setattr(Training, "_rate", steep)
    mistake(capsys, ["fit", "--resume", "v.npz", "--epochs", "4"], "lower the learning rate", code=3)
    assert Path("v.npz").read_bytes() == before
    assert np.isfinite(load_fitted("v.npz").theta).all()


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_leaves_the_older_checkpoint(call, capsys, monkeypatch):
    before = checkpointed()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        mistake(capsys, ["fit", "--resume", "v.npz", "--epochs", "4", "--json", "o.json"], "No space left")
    assert Path("v.npz").read_bytes() == before
    assert main(["fit", "--resume", "v.npz", "--epochs", "4"]) == 0


# -- evaluate and sample ---------------------------------------------------------------------------


def test_evaluate_prints_and_writes(capsys):
    checkpointed()
    arguments = ["evaluate", "v.npz", "--data", "ok.csv", "--importance-samples", "50", "--json", "e.json"]
    assert main(arguments) == 0
    record = json.loads(Path("e.json").read_text(encoding="utf-8"))
    assert list(record) == ["schema", "settings", "final"] and record["final"]["rows"] == 60
    # Bound and log p stand beside each other with one sign, and the digits stop at their errors.
    out, final = capsys.readouterr().out, record["final"]
    assert f"{value_text(final['elbo_per_datum'], final['elbo_standard_error'])} \n" in out
    assert f"{value_text(-final['nll_per_datum'], final['nll_standard_error'])} \n" in out
    assert "-log p" not in out
    mistake(capsys, ["evaluate", "v.npz", "--data", "wide.csv"], "3 columns", "6 columns")
    for option, value, least in (
        ("--importance-samples", "1", 2),
        ("--seed", "-1", 0),
        ("--threads", "0", 1),
    ):
        arguments = ["evaluate", "v.npz", "--data", "ok.csv", option, value]
        mistake(capsys, arguments, f"{option}: ", f"at least {least}")
    mistake(capsys, ["sample", "v.npz", "--out", "f", "--seed", "-1"], "--seed: ", "at least 0")


def test_sample_writes_numbers_and_figures_that_repeat(capsys):
    checkpointed()
    assert main(["sample", "v.npz", "--out", "f", "--count", "70"]) == 0
    assert "70 rows x 3" in capsys.readouterr().out
    assert main(["sample", "v.npz", "--out", "again", "--count", "70"]) == 0
    first = Path("f/samples.npz").read_bytes()
    assert Path("again/samples.npz").read_bytes() == first
    with np.load("f/samples.npz") as archive:
        assert archive["x"].shape == (70, 3) and np.isfinite(archive["x"]).all()
    assert sorted(os.listdir("f")) == ["samples.npz", "samples.png", "samples.svg"]
    assert main(["sample", "v.npz", "--out", "g", "--count", "70", "--seed", "1"]) == 0
    assert Path("g/samples.npz").read_bytes() != first


@pytest.mark.parametrize("columns", [1, 4])
def test_tables_of_any_width_can_be_sampled(columns):
    np.savetxt("t.csv", np.random.default_rng(1).normal(size=(30, columns)), delimiter=",")
    assert main("fit factor-analysis --data t.csv --epochs 5 --latent 1 --checkpoint t.npz".split()) == 0
    assert main(["sample", "t.npz", "--out", "f", "--count", "1"]) == 0
    assert sorted(os.listdir("f")) == ["samples.npz", "samples.png", "samples.svg"]


def test_a_regression_generates_nothing(capsys):
    arguments = ["logistic-regression", "--data", "breast-cancer", "--epochs", "1"]
    assert main(["fit", *arguments, "--checkpoint", "c.npz"]) == 0
    mistake(capsys, ["sample", "c.npz", "--out", "f"], "nothing to sample")


def test_every_option_of_python_is_one_of_the_command_line():
    parser = argparse.ArgumentParser()
    fit_command.add_options(parser)
    asked = set(vars(parser.parse_args([])))
    options = set(inspect.signature(fit).parameters)
    assert options - asked == {"progress"}
    assert asked - options == {"components", "covariance", "likelihood", "json", "scores", "out", "force"}
    networks = NETWORK_OPTIONS, ENCODER_OPTIONS, DECODER_OPTIONS, CONV_OPTIONS, LATENT_PRIOR_OPTION
    known = set().union(
        *(method.options for method in METHODS.values()), *networks, GRAPH_OPTION, {CATEGORIES}, COMMON, RUN
    )
    assert options == known


def test_an_unknown_option_is_refused_by_name():
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'; did you mean 'epochs'"):
        fit("ppca", "ok.csv", epoch=5)


def test_python_refuses_the_same():
    with pytest.raises(BadValue, match=r"^draws: "):
        fit("ppca", "ok.csv", draws=5)
    with pytest.raises(TypeError, match="hidden"):
        fit("deep-gaussian", "ok.csv", hidden=5)
