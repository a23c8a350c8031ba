"""Expectation maximisation: the ELBO is raised in q and in theta alternately, both exactly."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.em import EMFit
from elbo_lab.em.problems import has_em, problem_of
from elbo_lab.fitting.jobs import Arrays, Header, Job, Outcome, Task, check_epochs
from elbo_lab.fitting.methods.base import Method, Settings, prior_of
from elbo_lab.held import Held
from elbo_lab.memory import COPIES_OF_EM, Sizes
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.priors import Prior
from elbo_lab.threads import single_threaded_blas

# Seconds of an iteration above which progress speaks of iterations.
SLOW = 1.0


class EMJob(Job):
    """EM with restarts."""

    # Of the iterations since this process began.
    n_iterations, seconds = 0, 0.0

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        settings: dict[str, Any],
        threads: int,
        prior: Prior | None = None,
    ) -> None:
        self.n_data = len(dataset.x)
        self.em = EMFit(
            model,
            dataset.x,
            columns=dataset.columns,
            restarts=settings["restarts"],
            tolerance=settings["tolerance"],
            max_iterations=settings["epochs"],
            floor=settings["floor"],
            seed=settings["seed"],
            threads=threads,
            hold=settings.get("hold"),
            prior=prior,
        )

    def run(self, tick: Callable[[], bool]) -> None:
        with single_threaded_blas():
            while not self.em.finished:
                begun = time.perf_counter()
                self.em.advance()
                self.seconds += time.perf_counter() - begun
                self.n_iterations += 1
                if tick():
                    return

    @property
    def finished(self) -> bool:
        return self.em.finished

    @property
    def progress(self) -> tuple[float, float, str, float | None]:
        each, unit = self.seconds / max(1, self.n_iterations), "starts"
        if each > SLOW:  # then it is good to know how far it is, and what is ahead
            unit += f" (iteration {self.n_iterations}, {each:.0f} s each)"
        return self.em.runs_done, self.em.restarts, unit, self.em.value / self.n_data

    @property
    def milestone(self) -> int:
        return self.em.runs_done

    def vectors(self) -> dict[str, Floats]:
        return {"theta": self.em.result().theta}

    def state(self) -> tuple[Header, Arrays]:
        return self.em.state()

    def restore(self, header: Header, arrays: Arrays) -> None:
        self.em.restore(header, arrays)
        check_epochs(max(run.n_iterations for run in self.em.runs), self.em.max_iterations)

    def outcome(self) -> Outcome:
        fit = self.em.result()
        extra = {
            "starts": self.em.restarts,
            "iterations": fit.history[-1]["iteration"],
            "floor": fit.floor,
            "at_floor": list(fit.at_floor),
        }
        return Outcome({"theta": fit.theta}, fit.history, fit.converged, fit.stopped, fit.warnings, extra)


class EMMethod(Method):
    """EM, where both steps are exact."""

    name = "em"
    summary = "E-step (q becomes the posterior) and M-step (theta) in turn; of one component the M-step alone"
    options: ClassVar[Settings] = {
        "epochs": 1000,
        "restarts": None,
        "tolerance": 1e-8,
        "floor": None,
        "prior": None,
    }

    def applies(self, model: Model) -> bool:
        return has_em(model) and not model.global_latents

    def cannot_hold(self, model: Model, held: Held) -> str:
        kind = problem_of(model)
        return "" if kind is None else kind.cannot_hold(model, held)

    def check_size(self, sizes: Sizes, posterior: Posterior | None, settings: Settings) -> None:  # noqa: ARG002
        sizes.check(sizes.formula(COPIES_OF_EM))

    def task(
        self,
        model: Model,
        posterior: Posterior | None,  # noqa: ARG002
        settings: Settings,
        train: Dataset,
        threads: int,
    ) -> Task:
        prior = prior_of(model, settings, train)
        return Task(model, None, settings, EMJob(model, train, settings, threads, prior), prior=prior)
