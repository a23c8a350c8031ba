"""The trainer: steps along estimated gradients, evaluations in between, a state that can be saved.

A joint step moves theta and phi along gradients from the same draws. An alternating cycle first raises the
bound in phi, m times (the gap KL(q || posterior) closes at constant log p(x)), then in theta (log p(x) rises,
and the gap opens again): EM with a partial E-step (Neal and Hinton 1998). An evaluation measures the last
cycle of its epoch three times: before its phi-steps, after them, and after its theta-step. So phi alone moves
between the first two, and theta alone between the last two, whatever the other minibatches did.

Everything random comes from three streams of one seed: the start, the order of the data, the noise. For a
batch of several blocks the stream of noise gives one key per block, which seeds a generator.

The blocks of a batch run on several threads, with single-threaded BLAS in each, and their results are
combined in a fixed order; the optimisers are element-wise. So the result is bitwise the same for any number
of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, cast

import numpy as np

from elbo_lab.arrays import Integers
from elbo_lab.errors import Diverged, bad_value
from elbo_lab.held import Held, check_representable
from elbo_lab.kinds import checks_kinds
from elbo_lab.threads import thread_pool
from elbo_lab.training.batch import Move, Vectors, ascend
from elbo_lab.training.checkpoint import Arrays, Header, restore, state_of
from elbo_lab.training.clipping import Clipping
from elbo_lab.training.compiled_step import CompiledStep, is_compiled
from elbo_lab.training.natural import NaturalMove, NaturalStep
from elbo_lab.training.noise_scale import NoiseScaleMove, columns_of_optimal_noise
from elbo_lab.training.objectives import ElboObjective, Objective
from elbo_lab.training.plan import Minibatches, Plan
from elbo_lab.training.stopping import StoppingRule

Recorder = Callable[[Vectors, str], dict[str, float]]

# Training has diverged when the mean of an epoch falls below first - FALL * (1 + abs(first)), where first is
# the value of its first step.
FALL = 10.0


class Training:
    """Stochastic ascent of an objective, minibatch by minibatch.

    Parameters
    ----------
    objective : Objective
    plan : Plan
    seed : int
    recorders : sequence of callables
        (params, phase) -> dict of floats, called at every evaluation, for the row of the history.
    threads : int
        The result does not depend on it.
    held : Held, optional
        Parameters of theta that keep a value.
    stopping : StoppingRule, optional
        Looked at with every evaluation after the start.

    Attributes
    ----------
    params : dict of ndarray
        The present parameters; `best_params` are those of the best validation bound, with patience.
    history : list of dict
        One row per evaluation: epoch, step, phase, the mean value of the epoch (nats per datum) and what the
        objective has beside it, the learning rate of theta, with clipping the share of the epoch's steps that
        were clipped, and the values of the recorders. The phase is
        'start' or 'joint'. An alternating evaluation has the rows 'before', 'phi' and 'theta' of one cycle;
        'before' is left out where the last row is of the same parameters.
    """

    @checks_kinds
    def __init__(
        self,
        objective: Objective,
        plan: Plan,
        seed: int = 0,
        recorders: Sequence[Recorder] = (),
        threads: int = 1,
        held: Held | None = None,
        stopping: StoppingRule | None = None,
    ) -> None:
        if objective.whole and plan.batch < objective.n_rows:
            got = f"{plan.batch} of {objective.n_rows}"
            remedy = f"use {objective.n_rows}, or an encoder"
            raise bad_value("batch", "all rows at once for a free table of eta", got, remedy)
        if plan.phi_steps is not None and "phi" not in objective.names:
            raise bad_value("phi_steps", "none for an objective without phi", plan.phi_steps)
        self.further = objective.further() if plan.theta_steps > 1 else None
        if plan.theta_steps > 1 and self.further is None:
            raise bad_value("theta_steps", "1 for an objective that keeps no draws", plan.theta_steps)
        streams = np.random.SeedSequence(seed).spawn(3)
        start, order, self.noise_rng = (np.random.default_rng(stream) for stream in streams)
        self.objective, self.plan, self.recorders, self.threads = objective, plan, recorders, threads
        self.params = objective.initial(start)
        self.held, self.stopping = held, stopping
        if held is not None:
            check_representable(held, self.params["theta"].dtype)
            held.put(self.params["theta"])
        self.optimal_noise = columns_of_optimal_noise(objective)
        self.natural = NaturalStep.of(objective) if plan.phi_step == "natural" else None
        self.slots = {
            name: plan.optimizer.initial_state(vector.size, vector.dtype)
            for name, vector in self.params.items()
        }
        # The log of a probability of zero never was finite, and stays where it is.
        self._zeros = {name: np.isneginf(vector) for name, vector in self.params.items()}
        self.counts = dict.fromkeys(self.params, 0)
        self.clipping = None if plan.clip is None else Clipping(plan.clip, held)
        self.memory = objective.initial_memory(self.params, start)
        self.minibatches = Minibatches(objective.n_rows, plan.batch, order, shuffled=not objective.whole)
        self.epoch, self.step, self.seen = 0, 0, 0
        self.history: list[dict[str, Any]] = []
        self.first_value: float | None = None
        self.last_value: float | None = None
        self.value_sum, self.rows_seen = 0.0, 0
        self.further_sums = [0.0] * len(objective.further_keys)
        self.best: float | None = None
        self.best_params: Vectors | None = None
        self.waited = 0
        self._compiled: dict[tuple[int, int], CompiledStep] = {}

    # -- progress and result ---------------------------------------------------------------------

    @property
    def out_of_patience(self) -> bool:
        return self.plan.patience is not None and self.waited >= self.plan.patience

    @property
    def finished(self) -> bool:
        return self.epoch >= self.plan.epochs or self.out_of_patience or self.little_to_gain

    @property
    def little_to_gain(self) -> bool:
        """Whether the stopping rule says so, of the last row of the history."""
        return bool(self.stopping is not None and self.history and self.stopping.is_reached(self.history[-1]))

    @property
    def running_value(self) -> float:
        """Mean value of the epoch so far, in nats per datum."""
        return self.value_sum / max(1, self.rows_seen)

    @property
    def running_values(self) -> dict[str, float]:
        """The running value and the further means of the objective, by name."""
        keys = self.objective.value_key, *self.objective.further_keys
        sums = self.value_sum, *self.further_sums
        return {key: total / max(1, self.rows_seen) for key, total in zip(keys, sums, strict=True)}

    @property
    def result(self) -> Vectors:
        """The parameters to keep: the best if a validation bound was watched, else the last."""
        return self.params if self.best_params is None else self.best_params

    def run(self, after_minibatch: Callable[[Training], bool | None] | None = None) -> None:
        """Train to the end, or until `after_minibatch(training)` returns True.

        Raises
        ------
        Diverged
            If the bound or a parameter is no longer finite, or the bound has fallen far below its first
            value. The state is then unusable; return to an earlier checkpoint.
        """
        with thread_pool(self.threads) as pool:
            if not self.history:
                self._record("start")
            while not self.finished:
                self._advance(pool)
                if after_minibatch is not None and after_minibatch(self):
                    return

    # -- one minibatch ---------------------------------------------------------------------------

    def _advance(self, pool: Executor) -> None:
        last = self.minibatches.last_of_epoch
        self.seen += 1
        rows = self.minibatches.next()
        evaluate = last and (self.epoch + 1) % self.plan.evaluate_every == 0
        if self.plan.phi_steps is None:
            before = None if self.further is None else self.noise_rng.bit_generator.state
            self._ascend(pool, rows, self.objective.names)
            if self.further is not None and before is not None:
                self._ascend_further(pool, rows, self.further, before)
        else:
            if evaluate and self.history[-1].get("step") != self.step:
                self._record("before", self.epoch + 1)
            for _ in range(self.plan.phi_steps):
                self._ascend(pool, rows, ("phi",))
            if evaluate:
                self._record("phi", self.epoch + 1)
            self._ascend(pool, rows, ("theta",))
        if last:
            self._end_epoch(evaluate)

    def _ascend(self, pool: Executor, rows: Integers, names: tuple[str, ...]) -> None:
        """Take one step of the named parameters along the gradient of a minibatch."""
        moves = {name: self._move(name) for name in names}
        if self.clipping is None and is_compiled(self.objective, self.params, self.plan.optimizer):
            step = self._compiled_step(len(rows))
            found = step.ascend(rows, self.params, moves, self.noise_rng, self._seen_before)
        else:
            objective = self.objective.at(self._seen_before)
            found, self.memory = ascend(
                objective, rows, self.params, moves, self.noise_rng, self.memory, pool, self.clipping
            )
        if self.held is not None and "theta" in names:
            self.held.put(self.params["theta"])
        self.step += 1
        value, *further = np.atleast_1d(found).tolist()
        self._check_finite(value)
        for name in names:
            self.counts[name] += 1
        self.value_sum += value * len(rows)
        self.further_sums = [a + b * len(rows) for a, b in zip(self.further_sums, further, strict=True)]
        self.rows_seen += len(rows)

    def _ascend_further(
        self, pool: Executor, rows: Integers, further: Objective, before: Mapping[str, Any]
    ) -> None:
        """Take the other steps of theta: the same noise gives the same data, the memory has their draws."""
        after = self.noise_rng.bit_generator.state
        for _ in range(self.plan.theta_steps - 1):
            self.noise_rng.bit_generator.state = before
            moves = {"theta": self._move("theta")}
            value, _ = ascend(
                further, rows, self.params, moves, self.noise_rng, self.memory, pool, self.clipping
            )
            if self.held is not None:
                self.held.put(self.params["theta"])
            self.step += 1
            self._check_finite(float(np.atleast_1d(value)[0]))
            self.counts["theta"] += 1
        self.noise_rng.bit_generator.state = after

    def _compiled_step(self, n_rows: int) -> CompiledStep:
        key = n_rows, self.threads
        if key not in self._compiled:
            self._compiled[key] = CompiledStep(cast(ElboObjective, self.objective), *key)
        return self._compiled[key]

    @property
    def _seen_before(self) -> int:
        """Minibatches before the present one: what schedules count."""
        return max(0, self.seen - 1)

    def _rate(self, name: str) -> float:
        return self.plan.rates[name] * self.plan.schedule.factor(self._seen_before)

    def _move(self, name: str) -> Move:
        """Return how a parameter vector moves in this step."""
        count, rate = self.counts[name] + 1, self._rate(name)
        own = self.params[name], self.plan.optimizer, self.slots[name], count, rate
        if name == "phi" and self.natural is not None:
            return NaturalMove(*own, self.natural)
        if name == "theta" and self.optimal_noise is not None:
            return NoiseScaleMove(*own, self.optimal_noise)
        return Move(*own)

    # -- epochs and rows -------------------------------------------------------------------------

    def _check_finite(self, value: float) -> None:
        if self.first_value is None:
            self.first_value = value
        if not math.isfinite(value):
            raise Diverged(f"the bound became {value} in step {self.step} (epoch {self.epoch + 1})")

    def check(self) -> None:
        """Raise Diverged if a parameter is not finite, or the bound has fallen too far."""
        where = f"epoch {self.epoch + 1}"
        for name, vector in self.params.items():
            if not (np.isfinite(vector) | self._zeros[name]).all():
                raise Diverged(f"{name} left the finite numbers in {where}")
        # Of several means one may fall while another is maximised.
        first, now = self.first_value, max(self.running_values.values())
        if first is not None and self.rows_seen and now < first - FALL * (1.0 + abs(first)):
            fall = f"from {first:.6g} to {now:.6g} nats per datum"
            raise Diverged(f"the bound fell {fall} in {where}")

    def _end_epoch(self, evaluate: bool) -> None:
        self.check()
        self.epoch += 1
        if evaluate:
            self._record("joint" if self.plan.phi_steps is None else "theta")
        self.last_value = self.running_value
        self.value_sum, self.rows_seen = 0.0, 0
        self.further_sums = [0.0] * len(self.further_sums)
        if self.clipping is not None:
            self.clipping.begin_epoch()

    def _record(self, phase: str, epoch: int | None = None) -> None:
        epoch = self.epoch if epoch is None else epoch
        row: dict[str, Any] = {"epoch": epoch, "step": self.step, "phase": phase}
        if self.rows_seen:
            row |= self.running_values
            row |= {"learning_rate": self._rate("theta")} | self.objective.at(self._seen_before).notes
            if self.clipping is not None:
                row["clipped"] = self.clipping.share
        for recorder in self.recorders:
            row |= recorder(self.params, phase)
        if self.stopping is not None and phase in ("joint", "theta"):
            looks = sum("still_to_gain" in earlier for earlier in self.history)
            row |= self.stopping.look(self.params, looks + 1)
        for key, value in row.items():
            if key != "phase" and not np.isfinite(value):
                if row["epoch"] == 0:  # nothing has moved yet
                    expected, remedy = f"rows with a finite {key} at the start", "start from other parameters"
                    raise bad_value("data", expected, value, remedy)
                raise Diverged(f"{key} became {value} in epoch {row['epoch']}")
        self.history.append(row)
        if self.plan.patience is not None and phase in ("joint", "theta"):
            self._watch(row[self.objective.watched_key])

    def _watch(self, value: float) -> None:
        if self.best is None or value > self.best:
            self.best, self.waited = value, 0
            self.best_params = {name: vector.copy() for name, vector in self.params.items()}
        else:
            self.waited += 1

    # -- state -----------------------------------------------------------------------------------

    def state(self) -> tuple[Header, Arrays]:
        """Return (header, arrays): everything that the next step depends on."""
        return state_of(self)

    def restore(self, header: Header, arrays: Arrays) -> None:
        """Resume from a state of a training with the same objective and plan.

        Raises
        ------
        ValueError
            In one line, before anything is changed, if the state is damaged or that of another training.
        """
        restore(self, header, arrays)
