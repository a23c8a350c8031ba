"""Variational Bayes of a mixture: a q over its parameters too, and the predictive density under it as result.

The job moves the numbers of q(theta); the theta that a fit returns is that of the mixture of Student t in
which q(theta) is averaged out, so that scores, samples and responsibilities are predictive ones.
"""

from typing import Any, ClassVar

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.em.variational_bayes import VariationalFit
from elbo_lab.fitting.jobs import Outcome, Task
from elbo_lab.fitting.methods.base import Method, Settings
from elbo_lab.fitting.methods.em import EMJob
from elbo_lab.memory import COPIES_OF_EM, Sizes
from elbo_lab.models import GaussianMixture, Model
from elbo_lab.models.student_t_mixture import StudentTMixture
from elbo_lab.posteriors import Posterior


class VariationalJob(EMJob):
    """Variational Bayes with restarts, of the Gaussian mixture behind a predictive one."""

    em: VariationalFit

    def __init__(
        self, model: StudentTMixture, dataset: Dataset, settings: dict[str, Any], threads: int
    ) -> None:
        self.n_data = len(dataset.x)
        gaussian = GaussianMixture(model.n_columns, model.n_components, str(model.variant))
        self.em = VariationalFit(
            gaussian,
            dataset.x,
            columns=dataset.columns,
            restarts=settings["restarts"],
            tolerance=settings["tolerance"],
            max_iterations=settings["epochs"],
            seed=settings["seed"],
            threads=threads,
            prior=settings["prior"],
        )

    def vectors(self) -> dict[str, Floats]:
        return {"theta": self.em.problem.predictive(self.em.result().theta)[1]}

    def outcome(self) -> Outcome:
        fit = self.em.result()
        assert self.em.prior is not None, "variational Bayes has a prior"
        extra = {
            "prior": self.em.prior.spec,
            "evidence_bound": fit.history[-1]["evidence_bound"],
            "components_in_use": self.em.problem.in_use(fit.theta),
            "starts": self.em.restarts,
            "iterations": fit.history[-1]["iteration"],
        }
        return Outcome(self.vectors(), fit.history, fit.converged, fit.stopped, fit.warnings, extra)


class VariationalBayesMethod(Method):
    """A q over z and one over the parameters, each exact given the other."""

    name = "variational-bayes"
    summary = "a mixture with a q over its parameters too; the result is the predictive density"
    options: ClassVar[Settings] = {"epochs": 1000, "restarts": None, "tolerance": 1e-8, "prior": None}

    def applies(self, model: Model) -> bool:
        return type(model) is GaussianMixture

    def takes_prior(self, model: Model) -> bool:  # noqa: ARG002 - it is no MAP
        return False

    def fitted_model(self, model: Model, settings: Settings) -> Model:  # noqa: ARG002
        assert isinstance(model, GaussianMixture)
        return StudentTMixture(model.n_columns, model.n_components, model.variant)

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
        assert isinstance(model, StudentTMixture)
        return Task(model, None, settings, VariationalJob(model, train, settings, threads))
