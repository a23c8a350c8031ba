"""A minibatch is unbiased for the whole, whatever its size and its blocks."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
from checks import assert_close

from elbo_lab.exact import evidence
from elbo_lab.models import GaussianMLE
from elbo_lab.training import EvidenceObjective, Minibatches, Optimizer, Plan, Training
from elbo_lab.training import batch as batch_module
from elbo_lab.training.objectives import blocks_of

RATES = {"theta": 1.0}


def test_blocks_cover_the_rows_once_and_in_order():
    for n_rows in (*range(1, 420), 1000, 5001):
        parts = blocks_of(n_rows)
        assert np.array_equal(np.concatenate([np.arange(n_rows)[part] for part in parts]), np.arange(n_rows))
        sizes = [part.stop - part.start for part in parts]
        assert len(parts) <= 8 and max(sizes) - min(sizes) <= 1 and (len(parts) == 1 or min(sizes) >= 50)
    assert [len(blocks_of(n)) for n in (99, 100, 400, 5000)] == [1, 2, 8, 8]


@pytest.mark.parametrize("batch", [1, 3, 4, 7, 9])
def test_every_epoch_is_another_permutation_of_the_rows(batch):
    order = Minibatches(7, batch, np.random.default_rng(0))
    epochs = []
    for _ in range(5):
        rows, last = [], False
        while not last:
            last = order.last_of_epoch
            rows.append(order.next())
        assert [len(part) for part in rows[:-1]] == [min(batch, 7)] * (-(-7 // batch) - 1)
        epochs.append(tuple(np.concatenate(rows)))
    assert {tuple(sorted(epoch)) for epoch in epochs} == {tuple(range(7))} and len(set(epochs)) == 5


@dataclass(frozen=True)
class Watching(Optimizer):
    """Moves nothing and keeps what it is given."""

    seen: list

    def _move(self, params, gradient, state, count, rate):  # noqa: ARG002
        self.seen.append(gradient.copy())


def gradients_of(objective, batch, order=None, start=None):
    """Return the gradients of one epoch's minibatches, nothing moved between."""
    seen = []
    training = Training(
        objective, Plan(epochs=1, batch=batch, optimizer=Watching(seen), rates={"theta": 1.0})
    )
    if order is not None:
        training.minibatches.order = np.array(order)
    training.params = {"theta": start.copy()}
    training.run()
    return seen


def check_minibatches_are_unbiased(objective, start):
    """The mean over all orders, each as likely, of every minibatch's gradient is the full gradient."""
    (full,) = gradients_of(objective, 4, start=start)
    assert_close(full, evidence(objective.model, start, objective.x).grad_theta, 1e-12)
    all_orders = [gradients_of(objective, 3, order, start) for order in permutations(range(4))]
    for minibatch in range(2):  # of three rows, then of one
        assert_close(np.mean([seen[minibatch] for seen in all_orders], axis=0), full, 1e-12)


class ShortSum(EvidenceObjective):
    """Divides a sum by the batch that was asked for, also in the last, shorter one."""

    def gradients(self, params, block, names, memory):
        value, gradients, memory = super().gradients(params, block, names, memory)
        return value, {"theta": gradients["theta"] * min(1.0, len(block) / 3)}, memory


def test_every_minibatch_is_unbiased_for_the_whole():
    x = np.random.default_rng(0).standard_normal((4, 2))
    start = np.array([0.3, -0.2, 0.1, 0.4])
    check_minibatches_are_unbiased(EvidenceObjective(GaussianMLE(2), x), start)
    with pytest.raises(AssertionError):
        check_minibatches_are_unbiased(ShortSum(GaussianMLE(2), x), start)


def test_blocks_of_unequal_size_add_up_to_the_whole(monkeypatch):
    x = np.random.default_rng(1).standard_normal((101, 2))
    objective, start = EvidenceObjective(GaussianMLE(2), x), np.array([0.3, -0.2, 0.1, 0.4])
    assert len(objective.blocks(np.arange(101))) == 2
    whole = evidence(objective.model, start, x).grad_theta
    assert_close(gradients_of(objective, 101, start=start)[0], whole, 1e-13)
    monkeypatch.setattr(
        batch_module, "shares_of", lambda blocks: [1 / len(blocks)] * len(blocks)
    )  # fault: equal
    with pytest.raises(AssertionError):
        assert_close(gradients_of(objective, 101, start=start)[0], whole, 1e-13)
