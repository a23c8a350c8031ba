"""Two latents on digits: a bound above every exact log p(x) of PPCA, and a plane that keeps classes apart.

The settings were chosen on the training rows alone (a fifth of them held out, five seeds): of the nets and
step sizes that were tried, the one with the best worst accuracy. On the unseen rows, seeds 0 to 7 gave
accuracies from 0.778 to 0.825 and bounds from -131.8 to -123.5 nats; every fit takes about five seconds.
"""

import pytest

from elbo_lab import fit
from elbo_lab.datasets import load
from elbo_lab.evaluation import held_out_log_likelihood
from elbo_lab.learning import fit_closed_form
from elbo_lab.models import PPCA

DATA, HOLDOUT = "digits:dequantised", 0.2
STEPS = {"epochs": 150, "batch": 50, "learning_rate": 4e-3, "schedule": "cosine:4350"}
NET = {"latent": 2, "hidden": (128, 64, 64, 32)}


@pytest.fixture(scope="module")
def best_ppca():
    """Exact mean log p(x) of the unseen rows under the best PPCA with 1 to 40 latents."""
    train, unseen = load(DATA).split(HOLDOUT)
    assert (len(train.x), len(unseen.x)) == (1437, 360)
    models = [PPCA(64, latent) for latent in range(1, 41)]
    thetas = [fit_closed_form(model, train.x).theta for model in models]
    values = [held_out_log_likelihood(m, t, unseen.x).mean() for m, t in zip(models, thetas, strict=True)]
    assert max(values) == pytest.approx(-139.24, abs=0.01)
    return max(values)


def reaches_the_target(seed, best_ppca):
    held_out = fit("deep-gaussian:learned", DATA, seed=seed, holdout=HOLDOUT, **NET, **STEPS).final[
        "held_out"
    ]
    assert held_out["elbo_per_datum"] > best_ppca
    assert held_out["neighbour_accuracy"] >= 0.75 > held_out["neighbour_accuracy_pca"]


def test_two_curved_latents_beat_forty_straight_ones(best_ppca):
    reaches_the_target(0, best_ppca)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_two_curved_latents_beat_forty_straight_ones_from_other_seeds(seed, best_ppca):
    reaches_the_target(seed, best_ppca)
