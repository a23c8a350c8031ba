"""The gradients of every bound of several draws, from its derivatives: one form, any bound.

With B a bound of the log-weights of M draws, v_m = dB / d log w_m and h_m the score of q at z_m,

    theta                E[sum_m v_m d log p(x, z_m)/d theta]
    reparameterization   E[sum_m v_m d log w(z_m)/d eta]                              along the path, in all
    dreg                 E[sum_m (v_m - dv_m/d log w_m) d log w/dz_m dz_m/d eta]      along the path, twice
    score-function       E[sum_m (B - v_m) h_m]
    vimco                E[sum_m (B - B_m - v_m) h_m],   B_m without draw m

(For the importance-weighted bound: Burda et al. 2016; Tucker et al. 2019; Mnih and Rezende 2016. For the
bounds between it and the ELBO: Rainforth et al. 2018; Daudel et al. 2023.) The bounds stand in
`bounds.coupled`. Of a combination of two bounds this is the combination of their gradients, from one set of
draws. A name is that of the bound and of the form, as in `ciwae-dreg` or `vr-iwae-vimco(alpha=0.2)`.
"""

from dataclasses import dataclass
from typing import ClassVar

from elbo_lab.arrays import Draws, Floats
from elbo_lab.bounds.coupled import COUPLED_BOUNDS, CoupledBound, Grouped
from elbo_lab.distributions.base import Family
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, weighted_draws
from elbo_lab.estimators.iwae_gradients.path import CoupledPath
from elbo_lab.estimators.iwae_gradients.score import CoupledScore
from elbo_lab.exact.problem import Problem
from elbo_lab.names import arguments_of, spell_call

__all__ = ["BoundDreg", "BoundReparameterization", "BoundScoreFunction", "BoundTheta", "BoundVimco"]


@dataclass(frozen=True)
class BoundGradient(Estimator):
    """Base: the form of a gradient, of any bound.

    Parameters
    ----------
    bound : CoupledBound

    Attributes
    ----------
    form : str
        What its name adds to that of the bound.
    words : str
        The same in words.
    least_draws : int
        In each group.
    """

    bound: CoupledBound
    form: ClassVar[str]
    words: ClassVar[str]
    vector: ClassVar[str] = "phi"
    least_draws: ClassVar[int] = 1
    independent_draws = True
    compared = False

    @property
    def plain_name(self) -> str:
        """The name without arguments: that of the bound with its usual arguments."""
        return f"{self.bound.name}-{self.form}"

    @property
    def name(self) -> str:
        usual = type(self.bound)() == self.bound
        return spell_call(self.plain_name, {} if usual else arguments_of(self.bound))

    @property
    def title(self) -> str:
        return f"{self.bound.title}, {self.words}"

    @property
    def target(self) -> str:
        return f"grad-{self.vector}-{self.bound.target}"

    @property
    def unbiased(self) -> bool:
        return self.bound.unbiased

    @property
    def summary(self) -> str:
        return f"{self.bound.title}: {self.words}" + ("" if self.unbiased else "; biased")

    @property
    def groups(self) -> int:
        """How many groups of draws there are."""
        return self.bound.groups if isinstance(self.bound, Grouped) else 1

    @property
    def minimum_draws(self) -> int:
        return self.least_draws * self.groups

    def group_size(self, n_draws: int) -> int:
        return self.bound.group_size(n_draws)

    def check_draws(self, n_draws: int) -> None:
        super().check_draws(n_draws)
        if n_draws % self.groups:
            raise NotApplicable(f"draws: expected a multiple of {self.groups} for {self.name}, got {n_draws}")


class BoundTheta(BoundGradient):
    """The gradient of a bound in theta: slopes of log p(x, z_m), weighted by the derivatives of the bound.

        E[sum_m v_m d log p(x, z_m)/d theta],   v_m = dB / d log w_m

    Helps: needs no path and no score, for any z. Fails: it climbs its bound, and away from the posterior not
    log p(x).
    """

    form = "theta"
    words = "gradient in theta"
    vector = "theta"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, _, theta, _, x = problem
        _, z, log_w = weighted_draws(problem, noise)
        share = self.bound.weights(log_w) / len(x)
        return model.log_joint_vjp(theta, x, z, share)[0], state


class BoundReparameterization(BoundGradient, CoupledPath):
    """The pathwise gradient of a bound in phi: its total derivative along the paths of the draws.

        E[sum_m v_m d/d eta log w(z(eta, eps_m); eta)],   v_m = dB / d log w_m

    Helps: continuous z, at the price of the bound itself. Fails: keeps the noise of the score of q, also at
    the exact posterior; the tighter the bound, the fainter the signal (Rainforth et al. 2018).
    """

    form = "reparameterization"
    words = "reparameterization"

    def factors(self, log_w: Floats) -> Floats:
        return self.bound.weights(log_w)

    def through_parameters(self, family: Family, eta: Floats, z: Draws, factors: Floats) -> Floats:
        return -family.log_prob_vjp(eta, z, factors)


class BoundDreg(BoundGradient, CoupledPath):
    """The doubly reparameterized gradient of a bound in phi.

        E[sum_m (v_m - dv_m/d log w_m) d log w/dz_m dz_m/d eta],   v_m = dB / d log w_m

    (Tucker et al. 2019, there for log mean w.) Helps: no noise at all at the exact posterior, whatever the
    bound. Fails: where z has no path; far from the posterior it need not beat the plain derivative.
    """

    form = "dreg"
    words = "doubly reparameterized"

    def factors(self, log_w: Floats) -> Floats:
        return self.bound.doubly(log_w)


class BoundScoreFunction(BoundGradient, CoupledScore):
    """The score-function gradient of a bound in phi, without a baseline.

        E[sum_m (B - v_m) h_m],   v_m = dB / d log w_m,   h_m the score of q

    Helps: for any z, by values only. Fails: all scores are multiplied by the bound itself, of the size of log
    p(x), so that the noise grows with the draws.
    """

    form = "score-function"
    words = "score function"

    def signal(self, log_w: Floats) -> Floats:
        return self.bound.value(log_w)[..., None, :] - self.bound.weights(log_w)


class BoundVimco(BoundGradient, CoupledScore):
    """VIMCO of any bound: as baseline the bound with a draw's log-weight replaced by the mean of the others.

        E[sum_m (B - B_m - v_m) h_m],   v_m = dB / d log w_m,   B_m with log w_m replaced

    (Mnih and Rezende 2016, there for log mean w.) B_m does not see draw m, hence unbiased. Helps: the size of
    log p(x) is no noise any more, for discrete and continuous z. Fails: at the exact posterior it keeps the
    noise of the scores, and M baselines cost M^2 logarithms.
    """

    form = "vimco"
    words = "VIMCO"
    least_draws = 2

    def signal(self, log_w: Floats) -> Floats:
        return self.bound.gained(log_w) - self.bound.weights(log_w)


FORMS: tuple[type[BoundGradient], ...] = (
    BoundTheta,
    BoundReparameterization,
    BoundDreg,
    BoundScoreFunction,
    BoundVimco,
)
BOUND_GRADIENTS = tuple(form(bound) for bound in COUPLED_BOUNDS for form in FORMS)
