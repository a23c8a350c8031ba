"""The experiments behind the figures: coordinates with noise, rounding counted as zero."""

import numpy as np
import pytest

from elbo_lab import compare
from elbo_lab.processes import Workers
from elbo_lab.study.experiments import gradient_cloud, noisy_coordinates, two_largest, variance_against_draws

NAMES = ["score-function", "score-function-loo", "enumeration", "exact"]


@pytest.fixture(scope="module")
def mixture():
    found = compare("gaussian-mixture:full", estimators=NAMES, repeats=20, threads=1)
    return found.scenes[0], found.estimators, found.answers[0]["grad-phi-elbo"]


def spread(*deviations):
    """Return a sample of uncorrelated coordinates with these standard deviations."""
    waves = np.linalg.qr(np.vander(np.linspace(-1, 1, 17), 6, increasing=True))[0][:, 1:]
    return waves[:, : len(deviations)] * np.sqrt(17) * np.array(deviations)


def test_the_second_coordinate_is_of_another_block_only_where_that_is_clearly_noisy():
    block = np.array([0, 0, 0, 1, 1])
    assert two_largest(spread(1.0, 3.0, 2.0, 0.1, 0.5), block) == [1, 4]
    assert two_largest(spread(1.0, 3.0, 2.0, 1e-9, 0.0), block) == [1, 2]
    assert two_largest(spread(1.0, 0.0, 0.0, 0.1, 5.0), block) == [0, 4]
    assert two_largest(spread(1.0, 3.0, 2.0), np.zeros(3)) == [1, 2]
    assert two_largest(spread(0.0, 0.0), np.zeros(2)) == [0, 1]
    assert two_largest(spread(1.0), np.zeros(1)) == [0, 0]


def test_a_coordinate_that_the_first_explains_is_not_shown_beside_it():
    sample = spread(3.0, 0.0, 1.0)
    sample[:, 1] = -sample[:, 0]
    assert two_largest(sample, np.zeros(3)) == [0, 2]
    # Unless nothing else varies.
    assert two_largest(sample[:, [0, 1]], np.zeros(2)) == [0, 1]
    assert two_largest(np.column_stack([np.zeros(17), sample[:, :2]]), np.zeros(3)) == [1, 2]


def test_the_cloud_is_shown_where_its_noise_is_largest(mixture):
    scene, estimators, answer = mixture
    chosen = noisy_coordinates(scene, estimators, 10, 0, answer.value)
    assert chosen == noisy_coordinates(scene, estimators[::-1], 10, 0, answer.value)
    everything = list(range(scene.posterior.layout.size))
    sample = gradient_cloud(scene, estimators, 10, 0, everything, 256)["score-function-loo"]
    deviation = sample.std(axis=0)
    # Two logits have mirrored gradients, whose deviations are equal up to rounding.
    assert deviation[chosen].max() > (1.0 - 1e-12) * deviation.max() and deviation[chosen].min() > 1e-6
    assert abs(np.corrcoef(sample[:, chosen].T)[0, 1]) < 0.9


def test_a_mean_and_a_log_scale_are_shown_of_a_gaussian():
    found = compare("ppca", estimators=["score-function-loo", "exact"], repeats=20, rows=4, threads=1)
    scene, exact = found.scenes[0], found.answers[0]["grad-phi-elbo"].value
    names = [
        scene.posterior.layout.name_of(i) for i in noisy_coordinates(scene, found.estimators, 4, 0, exact)
    ]
    assert len({name.split("[")[0] for name in names}) == 2


def test_a_variance_of_rounding_is_zero_as_in_the_table(mixture):
    scene, estimators, answer = mixture
    records = variance_against_draws(scene, estimators, 0, Workers(1), 40, answer, draws=(1, 4))
    assert records["enumeration"]["variance"] == [0.0, 0.0] == records["enumeration"]["high"]
    assert not records["enumeration"]["biased"]
    assert min(records["score-function"]["variance"]) > 1e-12
