"""Stochastic variational inference: the ELBO of global latents from minibatches of the table's rows.

    ELBO / M  ~=  (1 / M) [(M / B) sum_{m in batch} log p(y_m | z) - KL(q || p(z))],     z ~ q

(Hoffman et al. 2013; with draws of z, Kucukelbir et al. 2017.) The model scales the log-likelihood of B
rows to the whole table, so that every block of a batch is an unbiased look at the one datum, with draws
of its own. Values and gradients are per row of the table, as in the other objectives.
"""

from dataclasses import dataclass

from elbo_lab.training.objectives import ElboObjective


@dataclass(frozen=True, eq=False)
class GlobalElboObjective(ElboObjective):
    """The ELBO per row of a model with global latents; phi alone moves.

    Parameters
    ----------
    model : Model
        With `global_latents` and no parameters theta.
    posterior : Posterior
        A free table of one eta.
    x : ndarray (M, C)
        The table, as from `model.table_of`.
    """

    names = ("phi",)
    whole = False

    def _targets(self):
        return ((self.phi_estimator, "grad-phi-elbo"),)

    def initial_memory(self, params):
        problem = self.problem(params, self.model.as_data(self.x))
        return {"phi": self.phi_estimator.initial_state(problem)}

    def draw(self, rows, rng):
        """Return the rows as the one datum (1, B C), and the noise of its draws."""
        return self.model.as_data(self.table[rows]), self.noise(1, rng)

    def gradients(self, params, block, names, memory):
        value, gradients, memory = super().gradients(params, block, names, memory)
        return value / self.n_rows, {name: gradients[name] / self.n_rows for name in names}, memory
