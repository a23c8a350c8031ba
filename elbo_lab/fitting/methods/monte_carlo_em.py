"""Monte Carlo EM: chains draw from the posterior, theta follows the slope of log p(x, z) at their draws."""

from dataclasses import replace

import numpy as np

from elbo_lab.datasets import Dataset
from elbo_lab.errors import MOST_STEPS, check_count
from elbo_lab.evaluation import has_exact_evidence
from elbo_lab.fitting.final import Numbers, annealed_numbers
from elbo_lab.fitting.jobs import Outcome, Rows, Task, TrainingJob
from elbo_lab.fitting.methods.base import Method, Settings, prior_of
from elbo_lab.fitting.methods.steps import STEPS, check_gap_rows, check_training_size, plan_of
from elbo_lab.fitting.recorders import evidence_recorder, prior_recorder
from elbo_lab.held import Held, held_in
from elbo_lab.memory import Sizes
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.training import CHAINS, MonteCarloEMObjective, PosteriorObjective, Training
from elbo_lab.training.monte_carlo_em import TRANSITION

# Moves of an E-step, where nothing else is asked for.
USUAL_MOVES = {"persistent": 1, "cold": 10}


class MonteCarloEMMethod(Method):
    """EM whose E-step is a few moves of Hamiltonian Monte Carlo, and whose M-step is a gradient step."""

    name = "monte-carlo-em"
    synonyms = ("mcem", "mc-em")
    summary = "steps along the slope of log p(x, z) at draws of the posterior by chains"
    options = STEPS | {
        "epochs": 200,
        "learning_rate": 2e-3,
        "chains": MonteCarloEMObjective.name,
        "draws": 1,
        "moves": None,
        "leapfrog": TRANSITION.n_leapfrog,
        "theta_steps": 1,
        "gap_rows": 0,
        "dtype": "float32",
        "prior": None,
    }

    def applies(self, model: Model) -> bool:
        return not (model.global_latents or model.formula_only or model.family.discrete)

    def cannot_hold(self, model: Model, held: Held) -> str:  # noqa: ARG002
        return ""

    def completed(self, model: Model, options: Settings) -> Settings:
        check_gap_rows(model, options["gap_rows"])
        check_count("draws", options["draws"])
        check_count("leapfrog", options["leapfrog"], maximum=MOST_STEPS)
        moves = USUAL_MOVES[options["chains"]] if options["moves"] is None else options["moves"]
        return options | {"moves": check_count("moves", moves, maximum=MOST_STEPS)}

    def check_size(self, sizes: Sizes, posterior: Posterior | None, settings: Settings) -> None:
        check_training_size(replace(sizes, draws=settings["draws"]), posterior, settings)

    def task(
        self,
        model: Model,
        posterior: Posterior | None,  # noqa: ARG002
        settings: Settings,
        train: Dataset,
        threads: int,
    ) -> Task:
        check_gap_rows(model, settings["gap_rows"], len(train.x))
        recorders = []
        if settings["gap_rows"] or has_exact_evidence(model):
            recorders.append(evidence_recorder(model, train.x, settings["gap_rows"], settings["seed"]))
        objective = CHAINS[settings["chains"]](
            model,
            train.x,
            train.probabilities,
            draws=settings["draws"],
            moves=settings["moves"],
            transition=replace(TRANSITION, n_leapfrog=settings["leapfrog"]),
            dtype=np.dtype(settings["dtype"]).type,
        )
        prior = prior_of(model, settings, train)
        if prior is not None:
            recorders.append(prior_recorder(model, prior))
        climbed = objective if prior is None else PosteriorObjective(objective, model, prior)
        held = held_in(model.layout, settings.get("hold"))
        training = Training(climbed, plan_of(settings), settings["seed"], recorders, threads, held)
        return Task(model, None, settings, TrainingJob(training), prior=prior)

    def closing(self, task: Task, outcome: Outcome, rows: Rows, threads: int) -> Numbers:
        """Return the closing numbers; log p(x) by annealing where no formula gives it."""
        numbers = super().closing(task, outcome, rows, threads)
        if not has_exact_evidence(task.model):
            theta, seed = outcome.vectors["theta"], task.settings["seed"]
            numbers |= annealed_numbers(task.model, theta, rows.train.x, seed)
            if rows.held_out is not None:
                numbers["held_out"] |= annealed_numbers(task.model, theta, rows.held_out.x, seed)
        moves = f"{task.settings['moves']} move{'s' * (task.settings['moves'] > 1)}"
        climbed = "log p(x)" if task.prior is None else "log p(x) + log p(theta)"
        numbers["claim"] = (
            f"{task.settings['chains']} chains of {moves}: with exact draws of the posterior a step is "
            f"unbiased along {climbed}, with chains that have not arrived it is not, and {climbed} may fall"
        )
        return numbers
