"""One or two hidden reals of any conditionals, by a grid over their noise.

A real that is hidden is mean(parents) + sigma(parents) u with u ~ N(0, 1), whatever gives its mean. So the
hidden reals of a row, parents first, are a function T of noise u ~ N(0, I), and for every value g of the
discrete hidden cells

    p(observed, g) = int N(u; 0, I) prod_m p(v_m | pa_m)  du      at v = T(u),

where m runs over all that counts except the hidden reals themselves. That is a model with latents u, and its
integral is that of `exact.quadrature`: a grid that is halved until log p has converged.

Far from the bulk of the prior, as for a value g that the observed cells make improbable, a grid about zero
would cut off a part. So each row has a centre c, the best node of a coarse and wide lattice, and

    int N(u; 0, I) f(u) du = int N(t; 0, I) exp(-c . t - |c|^2 / 2) f(c + t) dt
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.exact.graphs.completions import Completions, log_counted
from elbo_lab.exact.graphs.patterns import Pattern
from elbo_lab.exact.quadrature import NEGLIGIBLE, RUNG, ToleranceMissed, converged_grids
from elbo_lab.exact.rules import lattice
from elbo_lab.layout import Layout
from elbo_lab.models.base import Pullback, StandardNormalPrior
from elbo_lab.models.graphs import BayesNet
from elbo_lab.special import log_sum_exp

# Rows with every value of their discrete hidden cells that are integrated at once.
ROWS_PER_PASS = 512
# Nodes that a grid may have for each of them; a grid of so many takes longer than draws.
MOST_NODES = 1 << 20
# The lattice on which the centres are looked for.
COARSE_STEP, COARSE_WIDTH = 1.0, 12.0


@dataclass(frozen=True)
class NoiseModel(StandardNormalPrior):
    """The noise of the hidden reals as latents; a datum is a row with all else known, and its centre.

    Parameters
    ----------
    net : BayesNet
    pattern : Pattern
    """

    net: BayesNet
    pattern: Pattern
    name = "noise-of-hidden-reals"

    @cached_property
    def family(self) -> DiagonalGaussian:
        return DiagonalGaussian(len(self.pattern.reals))

    @cached_property
    def layout(self) -> Layout:
        return self.net.layout

    @property
    def n_columns(self) -> int:
        return len(self.net.columns) + len(self.pattern.reals)

    @cached_property
    def counted(self) -> dict[str, Floats]:
        """What counts of every needed variable (n,), without the hidden reals: they are the prior of u."""
        counted = {name: weights.copy() for name, weights in self.pattern.counted.items()}
        for name, i in self.pattern.reals:
            counted[name][i] = 0.0
        return counted

    def completed(self, theta: Floats, x: Floats, t: Floats) -> Floats:
        """Return rows (S, N, D) with hidden reals T(c + t), of x (N, D + H) and nodes t (S, N or 1, H)."""
        n_columns = len(self.net.columns)
        u = x[:, n_columns:] + t
        full = np.broadcast_to(x[:, :n_columns], (*u.shape[:-1], n_columns)).copy()
        for name in self.pattern.about_reals:
            cells = [(k, i) for k, (one, i) in enumerate(self.pattern.reals) if one == name]
            if cells:
                values = self._values(full)
                own = theta[self.net.parts[name]]
                mean, sigma = self.net.conditionals[name].moments(own, values)
                for k, i in cells:
                    full[..., self.net.places[name].start + i] = mean[..., i] + sigma[..., i] * u[..., k]
        return full

    def _values(self, full: Floats) -> dict[str, Draws]:
        variables = self.net.variables.items()
        return {name: one.of_columns(full[..., self.net.places[name]]) for name, one in variables}

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """Return log p of what is not a hidden real (S, N); there is no pullback."""
        t, centre = z.astype(np.float64, copy=False), x[:, len(self.net.columns) :]
        values = self._values(self.completed(theta, x, t))

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:  # noqa: ARG001
            raise NotApplicable("the noise of hidden reals is integrated, not differentiated")

        shift = -(t * centre).sum(axis=-1) - 0.5 * (centre * centre).sum(axis=-1)
        return log_counted(self.net, theta, self.counted, values) + shift, pullback

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        raise NotApplicable("the noise of hidden reals explains one row, it draws none")

    def initial_theta(self, x: Floats) -> Floats:  # noqa: ARG002
        raise NotApplicable("the noise of hidden reals has no parameters of its own")


def grid_completions(
    net: BayesNet, theta: Floats, pattern: Pattern, table: Floats, rows: Integers
) -> tuple[list[Completions], Integers]:
    """Return the completions on the rung quadrature, and the rows that need a finer grid than there may be.

    Parameters as in `integrated_completions`. Rows share a grid as long as all of them converge; a row that
    is left over has another try by itself, since what it needs may be less than what all need together.
    """
    model, per_pass = NoiseModel(net, pattern), max(1, ROWS_PER_PASS // prod(pattern.sizes))
    found: list[Completions] = []
    missed: list[int] = []
    for start in range(0, len(rows), per_pass):
        part = rows[start : start + per_pass]
        completed, left = _on_a_grid(model, theta, table, part)
        found += completed
        for row in left:
            completed, still = _on_a_grid(model, theta, table, row[None]) if len(part) > 1 else ([], left)
            found += completed
            missed += still.tolist()
    return found, np.array(missed, np.intp)


def _on_a_grid(
    model: NoiseModel, theta: Floats, table: Floats, rows: Integers
) -> tuple[list[Completions], Integers]:
    """Return the completions of the rows whose values have all converged, and the other rows."""
    net, pattern = model.net, model.pattern
    full, of_row = pattern.listed(table[rows]), np.repeat(rows, prod(pattern.sizes))
    full = np.concatenate([full, np.zeros((len(full), len(pattern.reals)))], axis=1)
    # Values of probability zero have it at every node.
    at_zero = np.zeros((1, 1, len(pattern.reals)))
    possible = model.likelihood(theta, full, at_zero)[0][0] > -np.inf
    full, of_row = full[possible], of_row[possible]
    wide = COARSE_STEP * lattice(len(pattern.reals), round(COARSE_WIDTH / COARSE_STEP))
    full[:, len(net.columns) :] = wide[model.log_joint(theta, full, wide[:, None]).argmax(axis=0)]
    pending = np.ones(len(full), bool)
    found = []
    try:
        for done, log_p, change, (nodes, log_weights), _ in converged_grids(model, theta, full, MOST_NODES):
            pending[done] = False
            # Of two grids that agree the coarser has fewer nodes to learn from.
            log_weights = log_weights + (log_p - log_sum_exp(log_weights, axis=0))
            node, datum = np.nonzero(log_weights > log_weights.max(axis=0) - NEGLIGIBLE)
            which = done[datum]
            found.append(
                Completions(
                    np.full(len(which), RUNG),
                    of_row[which],
                    model.completed(theta, full[which], nodes[node][None])[0],
                    pattern.counted,
                    log_weights[node, datum],
                    change[datum],
                )
            )
    except ToleranceMissed:
        pass
    left = np.unique(of_row[pending])
    return [one for one in (_without(part, left) for part in found) if len(one.rows)], left


def _without(part: Completions, rows: Integers) -> Completions:
    """Return the completions of other rows than these."""
    kept = ~np.isin(part.rows, rows)
    return part._replace(
        rung=part.rung[kept],
        rows=part.rows[kept],
        table=part.table[kept],
        log_weights=part.log_weights[kept],
        error=part.error[kept],
    )
