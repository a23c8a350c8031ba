"""compare and draws under another prior of a deep model."""

import numpy as np
import pytest

from elbo_lab import compare, draws_needed
from elbo_lab.comparison.reporting import command_of
from elbo_lab.distributions import Gamma

BITS = (np.random.default_rng(0).random((8, 3)) < 0.5) * 1.0


def test_a_comparison_and_draws_under_another_prior():
    options = {"estimators": "reparameterization,exact".split(","), "targets": "grad-phi-elbo", "draws": 2}
    options |= {"data": BITS, "rows": 2, "repeats": 4, "threads": 1, "progress": False, "latent": 1}
    found = compare("deep-bernoulli", latent_prior="Gamma", **options)
    (scene,) = found.scenes
    assert scene.model.family == scene.posterior.family == Gamma(1)
    assert all(np.isfinite(row["variance"]) for row in found.rows)
    assert found.settings["latent_prior"] == "gamma" and "prior gamma" in found.table(120)
    assert "latent_prior='gamma'" in command_of(found).replace('"', "'")
    with pytest.raises(ValueError, match="latent_prior: expected no value for ppca"):
        compare("ppca", latent_prior="laplace", **options | {"data": None})
    assert draws_needed("deep-bernoulli", data=BITS, latent=1, latent_prior="laplace", rows=2).rows
