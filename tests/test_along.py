"""A training is kept on its way, and estimators are compared at every checkpoint of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from elbo_lab import compare, compare_along, exact, fit
from elbo_lab.cli.main import main
from elbo_lab.comparison.along import flips_of
from elbo_lab.comparison.reporting import command_of
from elbo_lab.fitting import load_fitted
from elbo_lab.fitting.kept import kept_files
from elbo_lab.study.moments import Moments
from elbo_lab.theory import gradient_variances

TRAINING = {"latent": 1, "method": "vae", "hidden": (4,), "learning_rate": 0.05, "rows": 60}


def train(folder, epochs=4, every=2, **options):
    """Return the fit of a small training that is kept in a folder."""
    keep = {"keep": folder, "keep_every": every, "progress": False}
    return fit("ppca", "faithful", epochs=epochs, **TRAINING | keep | options)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return the folder and the result of a training that is kept."""
    folder = tmp_path_factory.mktemp("training") / "kept"
    return folder, train(folder)


# -- checkpoints on the way ---------------------------------------------------------------------------


def test_the_start_every_second_epoch_and_the_end_are_kept(tmp_path):
    train(tmp_path / "kept", epochs=5)
    assert list(kept_files(tmp_path / "kept")) == [0, 2, 4, 5]


def test_a_kept_file_holds_the_parameters_of_its_epoch(kept):
    folder, result = kept
    shorter = fit("ppca", "faithful", epochs=2, progress=False, **TRAINING)
    files = kept_files(folder)
    for path, expected in ((files[2], shorter), (files[4], result)):
        stored = load_fitted(path)
        np.testing.assert_array_equal(stored.theta.astype(float), expected.theta)
        np.testing.assert_array_equal(stored.phi.astype(float), expected.phi)


def test_keeping_changes_nothing(kept):
    plain = fit("ppca", "faithful", epochs=4, progress=False, **TRAINING)
    np.testing.assert_array_equal(plain.theta, kept[1].theta)
    assert plain.history == kept[1].history


def test_a_resumed_fit_continues_the_series(tmp_path):
    folder, checkpoint = tmp_path / "kept", tmp_path / "state.npz"
    train(folder, epochs=2, every=1, checkpoint=checkpoint)
    before = kept_files(folder)[1].read_bytes()
    resumed = fit(resume=checkpoint, epochs=4, progress=False)
    assert list(kept_files(folder)) == [0, 1, 2, 3, 4]
    assert kept_files(folder)[1].read_bytes() == before
    last = load_fitted(kept_files(folder)[4])
    np.testing.assert_array_equal(last.theta.astype(float), resumed.theta)


def test_a_kept_file_is_resumed_into_a_file_of_its_own(tmp_path, kept):
    path = kept_files(kept[0])[2]
    with pytest.raises(ValueError, match=r"resume: .*epoch-0002.npz.* is a kept checkpoint"):
        fit(resume=path, progress=False)
    again = {"checkpoint": tmp_path / "new.npz", "keep": tmp_path / "kept", "progress": False}
    np.testing.assert_array_equal(fit(resume=path, epochs=4, **again).theta, kept[1].theta)


def test_no_kept_file_is_written_over(tmp_path, kept):
    folder, _ = kept
    with pytest.raises(ValueError, match=r"keep: .*holds epoch-0004.npz; name a new folder"):
        train(folder)
    with pytest.raises(ValueError, match=r"checkpoint: .*epoch-0007.npz' in the folder of kept ones"):
        train(tmp_path, checkpoint=tmp_path / "epoch-0007.npz")
    assert list(kept_files(folder)) == [0, 2, 4]


def test_a_resumed_fit_refuses_later_files_and_those_of_another_fit(tmp_path):
    train(tmp_path / "long", epochs=2, every=1)
    train(tmp_path / "other", epochs=1, every=1, seed=3)
    fit("ppca", "faithful", epochs=1, checkpoint=tmp_path / "state.npz", progress=False, **TRAINING)
    resumed = {"resume": tmp_path / "state.npz", "epochs": 2, "keep_every": 1, "progress": False}
    with pytest.raises(ValueError, match=r"keep: .*epoch-0002.npz, and the fit goes on after epoch 1"):
        fit(keep=tmp_path / "long", **resumed)
    with pytest.raises(ValueError, match=r"keep: .*epoch-0001.npz' of another fit"):
        fit(keep=tmp_path / "other", **resumed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "kept"}, "keep: expected the epochs between two checkpoints beside it"),
        ({"keep_every": 2}, "keep_every: expected a folder beside it, got 2"),
        ({"keep": "kept", "keep_every": 0}, "keep_every: expected a whole number of at least 1, got 0"),
        ({"keep": "kept", "keep_every": 1, "method": "em"}, "keep_every: expected no value with method em"),
    ],
)
def test_wrong_wishes_are_refused_before_the_fit(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        fit("gaussian-mixture:full", "faithful", progress=False, **options)
    assert not list(tmp_path.iterdir())


# -- estimators where a fit has got to ----------------------------------------------------------------

FEW = {"estimators": ["reparameterization", "sticking-the-landing"], "repeats": 40, "progress": False}


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    """Return the checkpoint and the result of a free table."""
    path = tmp_path_factory.mktemp("free") / "free.npz"
    return path, train(path.parent / "kept", posterior="free", batch=60, hidden=None, checkpoint=path)


def test_theta_q_and_rows_are_those_of_the_fit(kept):
    folder, result = kept
    scene = compare(at=kept_files(folder)[4], rows=5, **FEW).scenes[0]
    np.testing.assert_array_equal(scene.theta, result.theta)
    np.testing.assert_array_equal(scene.phi, result.phi)
    np.testing.assert_array_equal(scene.x, result.train.rows(5, seed=0).x)


def test_a_result_and_its_file_give_the_same_rows(kept):
    folder, result = kept
    by_file, by_result = compare(at=kept_files(folder)[4], **FEW), compare(at=result, **FEW)
    timing = ("seconds_per_estimate", "efficiency")
    for one, other in zip(by_file.rows, by_result.rows, strict=True):
        assert {k: v for k, v in one.items() if k not in timing} == {
            k: v for k, v in other.items() if k not in timing
        }
    assert by_file.settings["at"] == by_result.settings["at"] == "trained"


def test_a_free_table_is_compared_on_rows_of_its_own(free):
    path, result = free
    comparison = compare(at=path, rows=7, targets="grad-phi-elbo", draws=4, **FEW)
    scene, chosen = comparison.scenes[0], result.train.places(7, seed=0)
    eta = result.posterior.eta(result.phi, result.train.x)[chosen]
    np.testing.assert_array_equal(scene.posterior.eta(scene.phi, scene.x), eta)
    # What theory says of the problem put together by hand.
    family = result.posterior.family
    known = gradient_variances(result.model, result.theta, result.train.x[chosen], family, eta, n_draws=4)
    for row in comparison.rows:
        assert row["variance_exact"] == pytest.approx(known[row["estimator"]].sum(), rel=1e-12)
        assert row["variance_low"] < row["variance_exact"] < row["variance_high"]


def test_references_are_exact_where_the_fit_has_got_to(kept):
    result = kept[1]
    comparison = compare(at=result, estimators="exact", targets=["elbo", "log-evidence"], progress=False)
    problem = comparison.scenes[0].problem
    values = {name: float(answer.value[0]) for name, answer in comparison.answers[0].items()}
    assert values["elbo"] == pytest.approx(float(exact.elbo(problem).value.mean()), abs=1e-12)
    evidence = float(exact.log_evidence(problem).value.mean())
    assert values["log-evidence"] == pytest.approx(evidence, abs=1e-12)


def test_other_rows_may_be_given_to_an_encoder_and_not_to_a_table(kept, free):
    rows = np.random.default_rng(0).normal([3.5, 70.0], size=(6, 2))
    assert compare(at=kept_files(kept[0])[4], data=rows, **FEW).scenes[0].x.shape == (6, 2)
    for at in free:
        with pytest.raises(ValueError, match="data: expected the very rows that the free table was made for"):
            compare(at=at, data=rows, **FEW)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": "factor-analysis"}, "models: expected ppca as in the checkpoint, or nothing"),
        ({"posterior": "exact"}, "posterior: expected amortised as in the fit, or nothing, got 'exact'"),
        ({"latent": 2}, "latent: expected 1 as in the fit, or nothing, got 2"),
        ({"rows": 61}, "rows: expected at most the 60 rows of"),
        ({"at": "middle"}, "at: expected one of near, start, exact, got 'middle'"),
        ({"at": "missing.npz"}, "at: expected an existing file, got 'missing.npz'"),
    ],
)
def test_what_does_not_go_with_a_fit_is_refused(kept, options, message):
    with pytest.raises(ValueError, match=message):
        compare(**{"at": kept_files(kept[0])[4]} | options | FEW)


def test_a_report_tells_the_call_that_makes_it_again(kept):
    words = (
        "elbo_lab.compare(estimators=['reparameterization', 'sticking-the-landing'], repeats=40, at=result)"
    )
    assert command_of(compare(at=kept[1], **FEW)) == f"{words}\n# in Python, with result (the fit) of yours"


def test_a_fit_without_a_q_is_refused():
    result = fit("ppca", "faithful", latent=1, progress=False)
    with pytest.raises(ValueError, match=r"^at: ppca was fitted without a q.*; fit it with method vae$"):
        compare(at=result, **FEW)


def test_the_command_line_compares_at_a_checkpoint(kept, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = str(kept_files(kept[0])[4])
    words = "--repeats 20 --rows 4 --target grad-phi-elbo --only sticking-the-landing --json a.json"
    assert main(["compare", "--at", path, "--figures", "none", *words.split()]) == 0
    assert "q as trained" in capsys.readouterr().out
    settings = json.loads(Path("a.json").read_text())["settings"]
    assert (settings["at"], settings["checkpoint"], settings["models"]) == ("trained", path, ["ppca"])
    assert path in Path("elbo-lab-report/index.html").read_text(encoding="utf-8")


# -- along a training ---------------------------------------------------------------------------------


def free_table(folder, **options):
    """Return the folder of a training with a free table, whose variances theory knows."""
    wishes = {"method": "vae", "posterior": "free", "latent": 1, "rows": 100, "learning_rate": 0.05}
    fit("ppca", "digits", keep=folder, progress=False, **wishes | options)
    return folder


@pytest.fixture(scope="module")
def long_way(tmp_path_factory):
    """Return a comparison along a training that ends near the optimum."""
    folder = free_table(tmp_path_factory.mktemp("long") / "kept", epochs=60, keep_every=20)
    names = ["score-function-loo", "reparameterization", "reparameterization-analytic-kl"]
    names += ["sticking-the-landing"]
    return compare_along(folder, estimators=names, rows=10, repeats=20, progress=False)


def test_along_one_checkpoint_is_at_it(tmp_path, kept):
    path = kept_files(kept[0])[4]
    (tmp_path / path.name).write_bytes(path.read_bytes())
    along = compare_along(tmp_path, estimators=FEW["estimators"], repeats=40, progress=False)
    single = compare(at=path, targets="grad-phi-elbo", **FEW)
    timing = ("seconds_per_estimate", "efficiency", "epoch")
    plain = [{k: v for k, v in row.items() if k not in timing} for row in along.rows]
    assert plain == [{k: v for k, v in row.items() if k not in timing} for row in single.rows]
    (point,) = along.points
    problem = single.scenes[0].problem
    log_p, bound = exact.log_evidence(problem).value.mean(), exact.elbo(problem).value.mean()
    assert (point["epoch"], point["file"]) == (4, "epoch-0004.npz")
    assert point["gap"] == pytest.approx(log_p - bound, abs=1e-10) and point["gap"] > 0.0


def variances(along, name):
    """Return the exact variances of an estimator along the way."""
    return np.array([row["variance_exact"] for row in along.rows if row["estimator"] == name])


def test_the_order_flips_where_exact_variances_cross(long_way):
    loo, path = (variances(long_way, name) for name in ("score-function-loo", "reparameterization"))
    assert loo[-1] < path[-1] and (loo[:-1] > path[:-1]).all()
    pair = {"score-function-loo", "reparameterization"}
    (flip,) = (one for one in long_way.flips if {one["less"], one["more"]} == pair)
    assert flip == {
        "epoch": 60,
        "target": "grad-phi-elbo",
        "less": "score-function-loo",
        "more": "reparameterization",
        "before": 40,
        "until": None,
    }
    sentence = "> from epoch 60 on score-function-loo has less variance than reparameterization"
    assert sentence in " ".join(long_way.table(100).split())


def test_at_the_start_sticking_the_landing_is_the_analytic_kl_and_later_better(long_way):
    landing = variances(long_way, "sticking-the-landing")
    analytic = variances(long_way, "reparameterization-analytic-kl")
    # The standard deviation of q is 1, that of the prior: with it the two formulas differ by no noise.
    assert landing[0] == pytest.approx(analytic[0], rel=1e-12)
    assert (landing[1:] < analytic[1:]).all()
    assert not [flip for flip in long_way.flips if flip["less"] == "sticking-the-landing"]


def made_up(rows, moments=None):
    """Return what `flips_of` reads of a comparison: {name: (exact variance)}."""
    table = [
        {
            "estimator": name,
            "target": "elbo",
            "applicable": True,
            "variance_exact": v,
            "variance": v,
            "draws": 1,
        }
        for name, v in rows.items()
    ]
    return SimpleNamespace(rows=table, moments=[moments or {}])


def test_flips_come_and_go_and_equal_variances_are_none():
    ways = [(2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (2.0, 1.0), (2.0, 1.0)]
    found = {10 * i: made_up({"a": a, "b": b}) for i, (a, b) in enumerate(ways)}
    flips = [tuple(flip.values()) for flip in flips_of(found)]
    assert flips == [(20, "elbo", "a", "b", 0, 30), (30, "elbo", "b", "a", 20, None)]
    assert not flips_of({0: found[0], 10: found[10], 40: found[40]})


class Named:
    """As much of an estimator as `flips_of` reads."""

    def __init__(self, name):
        self.name = name

    def target_at(self, draws):  # noqa: ARG002
        return "elbo"


def sampled(rng, **deviations):
    """Return a made-up comparison of estimators with these standard deviations, without exact variances."""
    moments = {}
    for name, deviation in deviations.items():
        moments[Named(name)] = total = Moments()
        for _ in range(10):
            batch = Moments()
            batch.add(deviation * rng.normal(size=(4, 3)))
            batch.close_batch()
            total.merge(batch)
    comparison = made_up(dict.fromkeys(deviations), moments)
    for row, found in zip(comparison.rows, moments.values(), strict=True):
        row["variance"] = found.variance
    return comparison


def test_a_flip_needs_intervals_that_tell():
    rng = np.random.default_rng(1)
    # Of estimators of one variance the order changes by luck all the time: no false flip in 100 cases.
    alike = {epoch: sampled(rng, a=1.0, b=1.0) for epoch in range(100)}
    orders = [one.rows[0]["variance"] < one.rows[1]["variance"] for one in alike.values()]
    assert 20 < sum(orders) < 80
    assert flips_of(alike) == []
    apart = {0: sampled(rng, a=1.0, b=4.0), 1: sampled(rng, a=1.0, b=1.0), 2: sampled(rng, a=4.0, b=1.0)}
    (flip,) = flips_of(apart)
    assert (flip["epoch"], flip["less"], flip["before"]) == (2, "b", 0)


def test_the_command_line_compares_along(kept, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["compare", "--along", str(kept[0]), "--quick", "--json", "a.json", "--out", "figures"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "epoch" in shown and "landing" in shown and max(map(len, shown.splitlines())) <= 100
    content = json.loads(Path("a.json").read_text(encoding="utf-8"))
    assert list(content) == ["schema", "settings", "points", "flips", "rows"]
    assert [point["epoch"] for point in content["points"]] == [0, 2, 4]
    assert sorted(path.name for path in Path("figures").iterdir()) == [
        "along-grad-phi-elbo.png",
        "along-grad-phi-elbo.svg",
    ]
    assert main(["compare", "--along", str(tmp_path)]) == 2
    assert "along: expected a folder with the checkpoints of a training" in capsys.readouterr().err
    assert main(["compare", "--along", str(kept[0]), "--power", "0.1"]) == 2
    assert "--power: expected no value beside --along, got 0.1" in capsys.readouterr().err


# -- watched estimators -------------------------------------------------------------------------------

WATCHED = "score-function,sticking-the-landing"


def test_watching_changes_no_bit_of_the_training(kept):
    watched = fit("ppca", "faithful", epochs=4, progress=False, watch=WATCHED, **TRAINING)
    np.testing.assert_array_equal(watched.theta, kept[1].theta)
    np.testing.assert_array_equal(watched.phi, kept[1].phi)
    plain = [{k: v for k, v in row.items() if not k.startswith("watched")} for row in watched.history]
    assert plain == kept[1].history
    for row in watched.history:
        assert row["watched_variance:score-function"] > row["watched_variance:sticking-the-landing"] > 0.0
    assert "watched at the end" in watched.table(100)
    assert "watched-variance" in watched.plot()


def test_a_watched_variance_is_that_of_theory():
    wishes = {"posterior": "free", "latent": 1, "rows": 40, "epochs": 2, "watch": WATCHED, "method": "vae"}
    result = fit("ppca", "faithful", progress=False, dtype="float64", **wishes)
    model, q, theta, phi, x = result.problem(result.train.x)
    known = gradient_variances(model, theta, x, q.family, q.eta(phi, x))
    for name in WATCHED.split(","):
        ratio = result.history[-1][f"watched_variance:{name}"] / known[name].sum()
        assert 0.7 < ratio < 1.4  # 100 repeats of 80 numbers; a standard deviation in its place is far off


def test_a_resumed_fit_watches_on(tmp_path):
    watch = {"watch": ["sticking-the-landing"], "progress": False}
    whole = fit("ppca", "faithful", epochs=3, **TRAINING, **watch)
    fit("ppca", "faithful", epochs=1, checkpoint=tmp_path / "c.npz", **TRAINING, **watch)
    assert fit(resume=tmp_path / "c.npz", epochs=3, progress=False).history == whole.history


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sticking", "watch: expected"),
        ("elbo-analytic-kl", "watch: expected an estimator of grad-phi-elbo"),
        ("arm", "watch: .*needs independent bits"),
        ("score-function-loo", "watch: "),
    ],
)
def test_what_cannot_be_watched_is_refused_in_one_line(name, message):
    with pytest.raises(ValueError, match=message) as refused:
        fit("ppca", "faithful", epochs=1, watch=name, progress=False, **TRAINING)
    assert "\n" not in str(refused.value)
