"""A kernel density or histogram of the training rows, its width by a rule: nothing is maximised on them.

The history is one row: the log-likelihood of the training rows, which has seen itself and flatters, and
beside it their leave-one-out likelihood, in which every row is judged by the others alone.
"""

from typing import cast

from elbo_lab.datasets import Dataset
from elbo_lab.em.fit import Fit
from elbo_lab.evaluation import held_out_log_likelihood
from elbo_lab.fitting.final import Numbers
from elbo_lab.fitting.jobs import Outcome, Rows, Task
from elbo_lab.fitting.methods.base import Method, Settings
from elbo_lab.fitting.methods.closed_form import FormulaJob
from elbo_lab.held import Held, held_in
from elbo_lab.memory import Sizes
from elbo_lab.models import KernelDensity, Model, Smoother
from elbo_lab.posteriors import Posterior


class SmoothingMethod(Method):
    """The training rows themselves, and a width."""

    name = "smoothing"
    summary = "the training rows themselves, and a width by a rule or leave-one-out"

    def applies(self, model: Model) -> bool:
        return isinstance(model, Smoother)

    def cannot_hold(self, model: Model, held: Held) -> str:
        if isinstance(model, KernelDensity) and held.values.size == held.mask("log_factor").sum():
            return ""
        return "smoothing holds log_factor of kde alone: the rest of theta is the training rows"

    def check_size(self, sizes: Sizes, posterior: Posterior | None, settings: Settings) -> None:  # noqa: ARG002
        sizes.check(sizes.formula())

    def task(
        self,
        model: Model,
        posterior: Posterior | None,  # noqa: ARG002
        settings: Settings,
        train: Dataset,
        threads: int,  # noqa: ARG002
    ) -> Task:
        held = held_in(model.layout, settings.get("hold"))

        def solve() -> Fit:
            smoother, words = cast(Smoother, model), f"width by {model.variant}: nothing to iterate"
            if held is not None:  # a rule that always answers; its width is replaced
                smoother, words = KernelDensity.for_data(train.x, "scott"), "the width was given"
            theta, warnings = smoother.smoothed(train.x)
            if held is not None:
                held.put(theta)
            value = float(held_out_log_likelihood(model, theta, train.x).sum())
            rows = [{"iteration": 0, "log_likelihood": value}]
            return Fit(model, theta, rows, True, words, warnings)

        return Task(model, None, settings, FormulaJob(solve))

    def closing(self, task: Task, outcome: Outcome, rows: Rows, threads: int) -> Numbers:
        smoother, theta = cast(Smoother, task.model), outcome.vectors["theta"]
        unseen = {"leave_one_out_per_datum": smoother.leave_one_out(theta)}
        return super().closing(task, outcome, rows, threads) | unseen
