"""Two fits of a Gaussian-process latent-variable model: the variational bound, and the mode of the latents.

Both end in the model of a single row: the fitted functions, with which new rows are encoded, scored and
generated like those of any decoder, and in a q for each of the training rows.

L-BFGS goes in rounds of `ROUND` iterations, and each round begins anew. So the vector of parameters is the
whole state between two rounds: a resumed fit repeats the uninterrupted one bit for bit. A round that gains
less than the tolerance ends the fit.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.evaluation import Fitted, neighbour_accuracy, principal_scores
from elbo_lab.evaluation.new_rows import hidden_cells_error, q_of_new_rows
from elbo_lab.fitting.final import NEIGHBOURS, Numbers, numbers_of
from elbo_lab.fitting.jobs import Arrays, Header, Job, Outcome, Row, Rows, Task, check_epochs
from elbo_lab.fitting.methods.base import Method, Settings
from elbo_lab.memory import FLOAT, Sizes
from elbo_lab.models import GPLVM, Model
from elbo_lab.models.gplvm import GPLVMRows
from elbo_lab.optimise.gplvm import BoundClimb, Climb, ModeClimb, inducing_count
from elbo_lab.posteriors import FreePosterior, Posterior

# Iterations of L-BFGS between two states that can be saved.
ROUND = 50
# N x N matrices that the mode holds at the same time, and M x M times Q arrays per part of the bound.
MATRICES = 12


class ClimbJob(Job):
    """Rounds of L-BFGS on a climb, until a round gains too little."""

    def __init__(self, climb: Climb, key: str, epochs: int, tolerance: float) -> None:
        self.climb, self.key, self.epochs, self.tolerance = climb, key, epochs, tolerance
        self.vector, self.iterations, self.arrived = climb.start(), 0, False
        self.history: list[Row] = [self._row()]

    def _row(self) -> Row:
        value = self.climb.objective(self.vector)[0] / len(self.climb.y)
        return {"epoch": self.iterations, self.key: float(value)}

    def run(self, tick: Callable[[], bool]) -> None:
        while not self.finished:
            step = min(ROUND, self.epochs - self.iterations)
            self.vector = self.climb.ascended(self.vector, step)
            self.iterations += step
            self.history.append(self._row())
            self.arrived = self.history[-1][self.key] - self.history[-2][self.key] <= self.tolerance
            if tick():
                return

    @property
    def finished(self) -> bool:
        return self.arrived or self.iterations >= self.epochs

    @property
    def progress(self) -> tuple[float, float, str, float | None]:
        return self.iterations, self.epochs, "iterations", self.history[-1][self.key]

    @property
    def milestone(self) -> int:
        # A round can take less than it takes to write the state.
        return 0

    def vectors(self) -> dict[str, Floats]:
        theta, phi = self.climb.parameters(self.vector)
        return {"theta": theta, "phi": phi}

    def state(self) -> tuple[Header, Arrays]:
        header = {"iterations": self.iterations, "arrived": self.arrived, "history": self.history}
        return header, {"vector": self.vector}

    def restore(self, header: Header, arrays: Arrays) -> None:
        self.iterations, self.arrived = int(header["iterations"]), bool(header["arrived"])
        self.history, self.vector = list(header["history"]), arrays["vector"]
        check_epochs(self.iterations, self.epochs)

    def outcome(self) -> Outcome:
        gain = f"{ROUND} iterations gain at most {self.tolerance:g} nats per row"
        stopped = gain if self.arrived else f"all {self.epochs} iterations done"
        warnings = () if self.arrived else ("the ascent has not arrived; raise --epochs",)
        return Outcome(self.vectors(), self.history, self.arrived, stopped, warnings)


class GPLVMMethod(Method):
    """What the two have in common."""

    # Names of the objective in the history and among the closing numbers.
    key: ClassVar[str]
    closing_key: ClassVar[str]

    def fitted_model(self, model: Model, settings: Settings) -> Model:
        """Return the model of a single row, with the points at which the functions are known."""
        assert isinstance(model, GPLVM), "this method applies to no other"
        return GPLVMRows.of(model, self.n_points(model, settings))

    @abstractmethod
    def n_points(self, model: GPLVM, settings: Settings) -> int:
        """Return M, the points at which the functions are known."""

    @abstractmethod
    def climb(self, model: GPLVM, settings: Settings, train: Dataset, threads: int) -> Climb:
        """Return what is climbed."""

    def posterior(self, model: Model, settings: Settings, train: Dataset) -> Posterior:  # noqa: ARG002
        return FreePosterior(model.family, len(train.x))

    def task(
        self, model: Model, posterior: Posterior | None, settings: Settings, train: Dataset, threads: int
    ) -> Task:
        assert isinstance(model, GPLVMRows), "the fitted model of this method"
        whole = GPLVM(len(train.x), model.shift, model.n_latent, model.variant)
        climb = self.climb(whole, settings, train, threads)
        job = ClimbJob(climb, self.key, settings["epochs"], settings["tolerance"])
        return Task(model, posterior, settings, job)

    def closing(self, task: Task, outcome: Outcome, rows: Rows, threads: int) -> Numbers:
        """Return the objective per row, and how well rows and hidden cells are told."""
        theta, phi, seed = outcome.vectors["theta"], outcome.vectors["phi"], task.settings["seed"]
        model = cast(GPLVMRows, task.model)
        fitted = Fitted(model, theta, task.posterior, phi)
        final: Numbers = {"rows": len(rows.train.x), self.closing_key: outcome.history[-1][self.key]}
        codes = fitted.encode(rows.train.x)[0]
        final["reconstruction_error"] = _rms(fitted.decode(codes) - rows.train.x)
        if rows.held_out is None:
            return final
        x = rows.held_out.x
        posterior, new_phi = q_of_new_rows(model, theta, x, seed)
        on_new = replace(fitted, posterior=posterior, phi=new_phi)
        held_out = numbers_of(on_new, rows.held_out, seed, threads)
        new_codes = on_new.encode(x)[0]
        held_out["reconstruction_error"] = _rms(on_new.decode(new_codes) - x)
        held_out["hidden_cells_error"] = hidden_cells_error(model, theta, x, seed)
        if rows.train.labels is not None and rows.held_out.labels is not None:
            labels = rows.train.labels, rows.held_out.labels
            scores = principal_scores(rows.train.x, x, codes.shape[1])
            held_out["neighbour_accuracy"] = neighbour_accuracy(codes, new_codes, *labels, NEIGHBOURS)
            held_out["neighbour_accuracy_pca"] = neighbour_accuracy(*scores, *labels, NEIGHBOURS)
        return final | {"held_out": held_out}


class VariationalGPLVMMethod(GPLVMMethod):
    """The collapsed bound of Titsias and Lawrence (2010)."""

    name = "gplvm-variational"
    summary = "L-BFGS of the collapsed bound of a GPLVM: q over the latents, inducing points"
    options: ClassVar[Settings] = {"epochs": 1000, "tolerance": 1e-4, "n_inducing": None}
    key, closing_key = "elbo_exact", "elbo_per_datum"

    def applies(self, model: Model) -> bool:
        return isinstance(model, GPLVM) and model.covariance.has_psi

    def completed(self, model: Model, options: Settings) -> Settings:
        assert isinstance(model, GPLVM), "this method applies to no other"
        return options | {"n_inducing": inducing_count(model, options["n_inducing"])}

    def n_points(self, model: GPLVM, settings: Settings) -> int:  # noqa: ARG002
        return settings["n_inducing"]

    def check_size(self, sizes: Sizes, posterior: Posterior | None, settings: Settings) -> None:  # noqa: ARG002
        pairs = settings["n_inducing"] ** 2
        bound = FLOAT * (MATRICES * pairs * (sizes.latent + 2) + 8 * sizes.rows * settings["n_inducing"])
        sizes.check(sizes.formula() + bound)

    def climb(self, model: GPLVM, settings: Settings, train: Dataset, threads: int) -> Climb:
        return BoundClimb(model, train.x, settings["n_inducing"], settings["seed"], threads)


class ModeGPLVMMethod(GPLVMMethod):
    """The mode of the latents (Lawrence 2005)."""

    name = "gplvm-map"
    summary = "L-BFGS of log p(Y | Z) + log p(Z) of a GPLVM: the mode of the latents"
    options: ClassVar[Settings] = {"epochs": 500, "tolerance": 1e-4}
    key, closing_key = "log_joint", "log_joint_per_datum"

    def applies(self, model: Model) -> bool:
        return isinstance(model, GPLVM)

    def n_points(self, model: GPLVM, settings: Settings) -> int:  # noqa: ARG002
        return model.n_rows

    def check_size(self, sizes: Sizes, posterior: Posterior | None, settings: Settings) -> None:  # noqa: ARG002
        sizes.check(sizes.formula() + FLOAT * MATRICES * sizes.rows**2)

    def climb(self, model: GPLVM, settings: Settings, train: Dataset, threads: int) -> Climb:  # noqa: ARG002
        return ModeClimb(model, train.x)


def _rms(difference: Any) -> float:
    return float(np.sqrt(np.mean(difference**2)))
