"""Stochastic variational inference of global latents, from rows of the table."""

from elbo_lab.datasets import Dataset
from elbo_lab.distributions import find_source
from elbo_lab.fitting.final import Numbers, numbers_of_regression
from elbo_lab.fitting.jobs import Outcome, Rows, Task, TrainingJob
from elbo_lab.fitting.methods.base import Method, Settings
from elbo_lab.fitting.methods.steps import (
    STEPS,
    check_training_size,
    estimator_of,
    plan_of,
    q_of,
    with_usual_estimators,
)
from elbo_lab.fitting.recorders import exact_elbo_recorder
from elbo_lab.memory import Sizes
from elbo_lab.models import GPLVM, Model
from elbo_lab.posteriors import FreePosterior, Posterior
from elbo_lab.training import GlobalElboObjective, Training

# One z explains the whole table: an encoder would have one datum to learn from.
MAPS = (FreePosterior.name,)


class SVIMethod(Method):
    """Steps along estimated gradients of the ELBO of one z for a whole table."""

    name = "svi"
    summary = "steps along estimated gradients of the ELBO of global latents, from rows of the table"
    options = STEPS | {
        "epochs": 300,
        "learning_rate": 1e-2,
        "posterior": FreePosterior.name,
        "phi_estimator": None,
        "draws": None,
        "noise": "independent",
        "phi_step": "gradient",
    }

    def applies(self, model: Model) -> bool:
        # The rows of a table under Gaussian processes are no sum: there are no minibatches.
        return model.global_latents and not isinstance(model, GPLVM)

    def completed(self, model: Model, options: Settings) -> Settings:
        _, family = q_of(model, options, MAPS)
        return with_usual_estimators(family, model, options, {})

    def posterior(self, model: Model, settings: Settings, train: Dataset) -> Posterior:  # noqa: ARG002
        return FreePosterior(q_of(model, settings, MAPS)[1], 1)

    def check_size(self, sizes: Sizes, posterior: Posterior | None, settings: Settings) -> None:
        check_training_size(sizes, posterior, settings)

    def task(
        self, model: Model, posterior: Posterior | None, settings: Settings, train: Dataset, threads: int
    ) -> Task:
        assert posterior is not None, "this method has a q"
        estimator, draws = estimator_of("phi_estimator", settings, "grad-phi-elbo"), settings["draws"]
        source = find_source(settings["noise"])
        objective = GlobalElboObjective(
            model, posterior, train.x, phi_estimator=estimator, draws=draws, source=source
        )
        recorders = [exact_elbo_recorder(model, posterior, train.x)]
        training = Training(objective, plan_of(settings), settings["seed"], recorders, threads)
        return Task(model, posterior, settings, TrainingJob(training))

    def closing(self, task: Task, outcome: Outcome, rows: Rows, threads: int) -> Numbers:  # noqa: ARG002
        return numbers_of_regression(task, outcome, rows)
