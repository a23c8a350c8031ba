"""Calibration by simulation: is q(z | x) the posterior, judged by data whose z is known?

    z ~ p(z),   x ~ p(x | z),   z_1, ..., z_S ~ q(z | x),   rank = number of z_s below z

If q is the exact posterior, z and its draws are exchangeable given x, and the rank is uniform on 0, ..., S
for every coordinate of z. A q that is too narrow has too many ranks at both ends, one that is too wide too
few; a q that lies too low has them at the upper end. The value of q's distribution function at z is the limit
of many draws. A z of few values ties with its draws: a tie counts as below or above by lot, which keeps the
rank uniform.

A q that factorises can have each coordinate right and their dependence wrong. So the rank of log p(x, z)
among log p(x, z_s) is looked at too: it needs the whole z, and x.

Both hypotheses are tested by exact tests (`ecdf_band`), each for T quantities with alpha / T: that the ranks
are uniform, and that they are symmetric. Of a variational q the first is false for a known reason, it is too
narrow; the second then says whether its centre can be trusted at least.

Helps: it needs neither log p(x) nor the posterior, so that any model that can be sampled can be judged.
Fails: it judges q on data of the model, not on yours, and averaged over them: a q that errs up for some x and
down for others can pass, and so does q = p(z), the prior, in every coordinate (log p(x, z) finds it).

Source: Talts et al. 2018 (SBC); Yao et al. 2018, section 3 (VSBC, symmetry); Modrák et al. 2023 (log p).
"""

from dataclasses import dataclass, field

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable, bad_value, check_count, check_positive
from elbo_lab.evaluation.ecdf_band import symmetry_p, uniformity_p
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.evaluation.gap import ROWS_PER_ASCENT
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import Model
from elbo_lab.optimise import fit_eta
from elbo_lab.posteriors import FreePosterior, Posterior
from elbo_lab.threads import single_threaded_blas

JOINT = "log p(x, z)"
# Equal values of log p(x, z) differ by rounding, which must not decide a rank.
DECIMALS = 8
# The time of the tests grows with the number of simulations times that of draws.
MOST_SIMULATIONS, MOST_DRAWS = 10**5, 10**4
ROWS_PER_PASS = 100


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of simulated z among draws of q, and what two tests say of them.

    Attributes
    ----------
    names : tuple of str (T,)
        The quantities that are ranked: every coordinate of z, at last log p(x, z).
    ranks : ndarray of int (N, T)
        Of N simulations, from 0 to S.
    n_draws : int
        S.
    uniformity, symmetry : ndarray (T,)
        p-values.
    false_alarm : float
        alpha: for each of the two hypotheses the probability that an exact q fails for any quantity.
    """

    names: tuple[str, ...]
    ranks: Integers = field(repr=False)
    n_draws: int
    uniformity: Floats
    symmetry: Floats
    false_alarm: float

    @property
    def level(self) -> float:
        """The level of a single test, alpha / T."""
        return self.false_alarm / len(self.names)

    @property
    def uniform(self) -> bool:
        """Whether all quantities pass the test of uniform ranks."""
        return bool((self.uniformity >= self.level).all())

    @property
    def symmetric(self) -> bool:
        """Whether all coordinates of z pass the test of symmetric ranks, as those of a centred q do."""
        return bool((self.symmetry[:-1] >= self.level).all())

    @property
    def mean_ranks(self) -> Floats:
        """Mean of (rank + 1/2) / (S + 1) (T,), of an exact q 1/2."""
        return ((self.ranks + 0.5) / (self.n_draws + 1)).mean(axis=0)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What the two tests say of each quantity, in words."""
        return tuple(self._verdict(t) for t in range(len(self.names)))

    def _verdict(self, t: int) -> str:
        if self.uniformity[t] >= self.level and self.symmetry[t] >= self.level:
            return "passes"
        high = self.mean_ranks[t] > 0.5
        if self.names[t] == JOINT:
            return f"fails: draws of q are {'less' if high else 'more'} probable than z"
        if self.symmetry[t] < self.level:
            return f"fails: q lies too {'low' if high else 'high'}"
        far = ((self.ranks[:, t] + 0.5) / (self.n_draws + 1) - 0.5) ** 2
        return f"fails: q is too {'narrow' if far.mean() > 1 / 12 else 'wide'}"

    def lines(self) -> list[str]:
        """Return the lines to print: one for each quantity, after what was done."""
        width = max(map(len, self.names))
        head = f"calibration: {len(self.ranks)} simulations, {self.n_draws} draws of q each"
        tests = f"false alarm {self.false_alarm:g} for all quantities together, in each of two tests"
        rows = zip(self.names, self.uniformity, self.symmetry, self.verdicts, strict=True)
        return [
            head,
            tests,
            *(
                f"{name:<{width}}  uniform p {p:.3f}, symmetric p {s:.3f}: {said}"
                for name, p, s, said in rows
            ),
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())


@checks_kinds
def simulation_calibration(
    model: Model,
    theta: Floats,
    posterior: Posterior,
    phi: Floats | None = None,
    *,
    n_simulations: int = 1000,
    n_draws: int = 99,
    false_alarm: float = 0.01,
    seed: int = 0,
) -> Calibration:
    """Return the Calibration of a q on data that the model generates.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    posterior : Posterior
        An encoder, or the exact posterior. In place of a free table, which has no q for new data, every
        simulated x gets the q of greatest ELBO in its family (`optimise.fit_eta`).
    phi : ndarray, optional
        Of the encoder.
    n_simulations : int
        N. Of two latents one with a standard deviation of 0.9 times the right one is found with N = 1000 in
        55 % of runs, one that is shifted by 0.2 standard deviations in all.
    n_draws : int
        S.
    false_alarm : float
    seed : int

    Returns
    -------
    Calibration

    Raises
    ------
    NotApplicable
        If z is global (a q would have to be fitted to every simulated table), nothing is hidden, or q has
        free parameters for which no fit is known.
    ValueError
        For numbers out of range, or phi of the wrong size.
    """
    check_count("n_simulations", n_simulations, minimum=2, maximum=MOST_SIMULATIONS)
    check_count("n_draws", n_draws, maximum=MOST_DRAWS)
    if not check_positive("false_alarm", false_alarm) < 1.0:
        raise bad_value("false_alarm", "a probability below 1", false_alarm)
    _check_applies(model, posterior)
    phi = np.zeros(0) if phi is None else phi
    if not posterior.needs_all_rows and np.size(phi) != posterior.layout.size:
        raise bad_value("phi", f"{posterior.layout.size} numbers", np.size(phi))
    theta = theta.astype(np.float64)
    streams = np.random.SeedSequence((seed, 5)).spawn(4)
    data_rng, fit_rng, draws_rng, ties_rng = (np.random.default_rng(stream) for stream in streams)
    found = []
    with single_threaded_blas():
        x, z = model.sample(theta, n_simulations, data_rng)
        for start in range(0, n_simulations, ROWS_PER_PASS):
            part = slice(start, start + ROWS_PER_PASS)
            if posterior.needs_all_rows:
                eta = best_eta(model, theta, posterior, x[part], fit_rng)
            else:
                eta = encoded(posterior, phi, x[part])
            noise = draw_noise(posterior.family.noise_spec(n_draws, len(eta)), draws_rng)
            drawn = posterior.family.sample(eta, noise)
            found.append(_ranks(model, theta, x[part], z[part], drawn, ties_rng))
    ranks = np.concatenate(found)
    n_latents = ranks.shape[1] - 1
    names = ("z",) if z.ndim == 1 else tuple(f"z[{k}]" for k in range(n_latents))
    return judged((*names, JOINT), ranks, n_draws, false_alarm, ties_rng)


def judged(
    names: tuple[str, ...], ranks: Integers, n_draws: int, false_alarm: float, rng: np.random.Generator
) -> Calibration:
    """Return the Calibration of ranks (N, T) from 0 to S; `rng` breaks ties of the test of symmetry."""
    uniformity = np.array([uniformity_p(column, n_draws) for column in ranks.T])
    symmetry = np.array([symmetry_p(column, n_draws, rng) for column in ranks.T])
    return Calibration(names, ranks, n_draws, uniformity, symmetry, false_alarm)


def best_eta(
    model: Model, theta: Floats, posterior: Posterior, x: Floats, rng: np.random.Generator
) -> Floats:
    """Return eta (N, E) of greatest ELBO for each row of x (N, D) in the family of a q."""
    found = []
    for start in range(0, len(x), ROWS_PER_ASCENT):
        rows, family = x[start : start + ROWS_PER_ASCENT], posterior.family
        table = FreePosterior(family, len(rows))
        begin = table.eta(table.initial(rng), rows)
        found.append(fit_eta(model, theta, rows, begin, rng, family=family))
    return np.concatenate(found)


def _check_applies(model: Model, posterior: Posterior) -> None:
    if model.all_observed:
        raise NotApplicable(f"{model.label} has no latents: there is nothing to rank")
    if model.global_latents:
        raise NotApplicable(
            f"the z of {model.label} explains a whole table: each simulation would need a fit of its own"
        )
    if posterior.needs_all_rows and not posterior.family.has_path:
        raise NotApplicable(
            f"a free table has no q for simulated rows, and the best {posterior.family.name} q is not "
            "found by a path; fit an encoder"
        )


def _ranks(
    model: Model, theta: Floats, x: Floats, z: Draws, drawn: Draws, rng: np.random.Generator
) -> Integers:
    """Return the ranks (N, T) of z (N, ...) and of log p(x, z) among draws (S, N, ...)."""
    together = np.concatenate([z[None].astype(drawn.dtype), drawn])
    joint = np.round(model.log_joint(theta, x, together), DECIMALS)
    values = np.concatenate([together.reshape(*joint.shape, -1), joint[..., None]], axis=-1)
    lower, ties = (values[1:] < values[0]).sum(axis=0), (values[1:] == values[0]).sum(axis=0)
    return lower + rng.integers(0, ties + 1)
