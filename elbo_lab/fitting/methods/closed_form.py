"""A formula for the maximum of the likelihood, or of the posterior (also of a mixture of one component)."""

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.em.closed_form import fit_closed_form
from elbo_lab.em.fit import Fit
from elbo_lab.fitting.jobs import Arrays, Header, Job, Outcome, Task
from elbo_lab.fitting.methods.base import Method, Settings, prior_of
from elbo_lab.held import Held
from elbo_lab.memory import Sizes
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.priors import prior_kind


class FormulaJob(Job):
    """A formula: one step.

    Parameters
    ----------
    solve : callable
        Takes nothing, returns the Fit.
    """

    finished = True
    progress = (1, 1, "formula", None)
    milestone = 0

    def __init__(self, solve: Callable[[], Fit]) -> None:
        self.solve = solve

    @cached_property
    def fit(self) -> Fit:
        """The answer."""
        return self.solve()

    def run(self, tick: Callable[[], bool]) -> None:  # noqa: ARG002 - one step cannot be stopped
        _ = self.fit

    def vectors(self) -> dict[str, Floats]:
        return {"theta": self.fit.theta}

    def state(self) -> tuple[Header, Arrays]:
        return {}, {}

    def restore(self, header: Header, arrays: Arrays) -> None:
        pass

    def outcome(self) -> Outcome:
        fit = self.fit
        return Outcome(self.vectors(), fit.history, fit.converged, fit.stopped, fit.warnings)


class ClosedFormMethod(Method):
    """The formula, where a model has one."""

    name = "closed-form"
    summary = "a formula for the maximum (also of a mixture of one component)"
    options: ClassVar[Settings] = {"prior": None}

    def applies(self, model: Model) -> bool:
        return model.closed_form_maximum and not model.global_latents

    def is_usual(self, model: Model) -> bool:
        return not model.allows_missing

    def takes_prior(self, model: Model) -> bool:
        kind = prior_kind(model)
        return kind is not None and kind.mode_has_formula(model)

    def cannot_hold(self, model: Model, held: Held) -> str:  # noqa: ARG002
        return "closed-form is a formula for the maximum over all parameters"

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
        prior = prior_of(model, settings, train)
        job = FormulaJob(lambda: fit_closed_form(model, train.x, prior))
        return Task(model, None, settings, job, prior=prior)
