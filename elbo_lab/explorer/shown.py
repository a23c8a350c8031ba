"""What the explorer shows: one model with one continuous latent, and one datum.

Without a name it is the example of the lessons, three columns and one latent:

    x = W z + b + sigma eps,   W = (1, 0.5, -1),  b = 0,  sigma = 1,   x = (1.2, 0.3, -0.8)

so that W^T W + 1 = 3.25 and the posterior is N(0.6615, 0.3077).
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from elbo_lab import exact
from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import BadValue, NotApplicable, bad_value
from elbo_lab.estimators import Problem
from elbo_lab.models import PPCA, Model
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import find_model
from elbo_lab.study.scene import build_scene

SCALE = "log_sigma"


@dataclass(frozen=True, eq=False)
class Shown:
    """A problem of one datum and one latent, and the one parameter of its theta that moves.

    Parameters
    ----------
    problem : Problem
        Its theta is where the parameter starts.
    about : str
        Model and datum in words.
    """

    problem: Problem
    about: str

    @cached_property
    def parameter(self) -> int:
        """Index of the parameter that moves: the log of a noise scale, else that of steepest log p(x)."""
        model = self.problem.model
        shapes = dict(model.layout.entries)
        if shapes.get(SCALE) == ():
            return model.layout.blocks[list(shapes).index(SCALE)].start
        return int(np.argmax(np.abs(exact.gradients(self.problem).theta_log_evidence.value)))

    @property
    def parameter_name(self) -> str:
        """Name of the parameter that moves."""
        return self.problem.model.layout.name_of(self.parameter)

    def at(self, mean: float, sd: float, theta: float | None = None) -> Problem:
        """Return the problem with q = N(mean, sd^2), and with another value of the parameter if given."""
        posterior = self.problem.posterior
        assert isinstance(posterior, FreePosterior)
        phi = posterior.phi_from_eta(np.array([[mean, np.log(sd)]]))
        return self.problem._replace(phi=phi, theta=self._theta(theta))

    def _theta(self, value: float | None) -> Floats:
        theta = self.problem.theta.copy()
        if value is not None:
            theta[self.parameter] = value
        return theta

    @cached_property
    def log_p(self):  # type: ignore[no-untyped-def] # a cache of its own for each object
        """log p(x) in nats as a function of the parameter; kept, since a move of q asks for it again."""
        model, x = self.problem.model, self.problem.x

        @lru_cache(maxsize=256)
        def log_evidence(theta: float) -> float:
            return float(exact.ladder.log_evidence(model, self._theta(theta), x)[0][0])

        return log_evidence


@lru_cache(maxsize=1)
def running_example() -> Shown:
    """Return PPCA with three columns and one latent, its datum, and q at the prior."""
    model = PPCA(3, 1)
    theta = model.layout.pack({"W": [[1.0], [0.5], [-1.0]], "b": np.zeros(3), "log_sigma": 0.0})
    posterior = FreePosterior(model.family, 1)
    start = posterior.phi_from_eta(np.zeros((1, 2)))
    problem = Problem(model, posterior, theta, start, np.array([[1.2, 0.3, -0.8]]))
    return Shown(problem, "Three columns, one latent (PPCA): the example of the lessons")


def shown_model(name: str | None = None) -> Shown:
    """Return what is shown of a model of the registry.

    Parameters
    ----------
    name : str, optional
        Such as 'deep-bernoulli', a plug-in too. It is fitted to its own data with one latent, and the first
        row of a seeded permutation is the datum. The example of the lessons if not given.

    Returns
    -------
    Shown

    Raises
    ------
    ValueError
        In one line, if the name is not known, or with the reason why the model cannot be shown.
    """
    if name is None:
        return running_example()
    choice = find_model(name)
    if choice.kind.global_latents:
        raise _refusal(choice.label, "its latents are global: one z for the whole table")

    def check_latent(model: Model, _: Floats) -> None:
        family = model.family
        if not (isinstance(family, DiagonalGaussian) and family.size == 1):
            raise _refusal(choice.label, f"its z is {family.name}, of size {family.size}")

    try:
        # A model whose latents follow the data takes no number of them.
        latent = None if choice.kind.default_latent is None else 1
        scene = build_scene(choice, None, latent, "free", "start", 1, seed=0, check=check_latent)
    except NotApplicable as reason:
        raise _refusal(choice.label, str(reason)) from None
    return Shown(scene.problem, f"{choice.label}, one latent, one row of {scene.data}")


def _refusal(label: str, reason: str) -> BadValue:
    needs = "a model with one continuous latent under a Gaussian prior"
    return bad_value("model", needs, label, reason)
