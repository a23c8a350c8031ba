"""Estimators of several draws, where the draws depend on each other: one draw of every group at a time.

A source of noise (`distributions.sources`) tells S draws into G groups of m. Draws of different groups are
independent; those of one group are not:

    independent          S groups of one draw
    antithetic           S / 2 pairs of mirror images
    sobol(scrambles=G)   G sets of points, each with a randomisation of its own
    sobol                one group

*Bounds, weights and their gradients* need M independent draws. One draw of every group is that, and with the
j-th of all groups, j = 1 .. m, there are m such sets:

    (1 / m) sum_j bound(w_1j, ..., w_Gj)

Each term has the expectation of a bound of M = G independent draws, and so has their mean, whatever ties the
terms together: of mirror images, G draws and their G mirror images as two bounds. The logarithm of the mean
of all S weights is another bound, with another expectation, and is not this.

*Leave-one-out* takes the baseline of both members of a pair from the other pairs:

    b_g = mean of f over the draws of all groups but g,     g = (1 / S) sum_gj (f_gj - b_g) h_gj

b_g is independent of the scores h_gj of its group, whose expectation is zero, so nothing is added to the
expectation. The mirror image of a draw would know that draw: with it in the baseline the estimate is biased.

Helps: where f is smooth in few dimensions, and the m terms err in opposite directions. Fails: a bound of S
independent draws is closer to log p(x) than the mean of m bounds of S / m, so the target is another one; and
one set of Sobol points is a single group, from which no baseline and no bound can be formed.

Sources: Owen (2013), chapters 8 and 17, for the dependent draws; Kool, van Hoof and Welling (2019) for
leave-one-out; Burda et al. (2016) for the bound.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family, NoiseSource, NoiseSpec
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, log_weight_and_score
from elbo_lab.estimators.score.baselines import ScoreFunctionLOO
from elbo_lab.exact.problem import Problem
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior

# What an estimator declares, except for the independence of its draws and their least number.
DECLARED = (
    "target unbiased draws_from needs_pathwise needs_kl needs_entropy latents needs_relaxation "
    "needs_log_q_at_foreign_z most_values most_dimensions is_reference burn_in"
).split()


@dataclass(frozen=True, repr=False)
class OneOfEveryGroup(Estimator):
    """The mean of an estimator over the sets that have one draw of every group.

    Parameters
    ----------
    inner : Estimator
        Of independent draws.
    source : NoiseSource
        Of at least two groups.
    """

    inner: Estimator
    source: NoiseSource

    def __post_init__(self) -> None:
        inner, groups = self.inner, self.source.group_word
        described = {
            "name": f"{inner.name}-{groups}",
            "title": f"{inner.title or inner.name}, {groups}",
            "synonyms": (inner.name,),
            "summary": f"{inner.summary}; {self.difference}",
        }
        # A field of this object hides the attribute of the class.
        for attribute, value in (described | {name: getattr(inner, name) for name in DECLARED}).items():
            object.__setattr__(self, attribute, value)

    @property
    def difference(self) -> str:
        """What the draws in groups change, for the summary."""
        return f"one draw of all {self.source.group_word} at a time, averaged"

    def groups(self, n_draws: int) -> int:
        """Return G of S draws."""
        return len(self.source.groups(n_draws))

    def group_size(self, n_draws: int) -> int:
        return self.inner.group_size(self.groups(n_draws))

    def evaluations(self, n_draws: int, family: Family) -> int:
        n_groups = self.groups(n_draws)
        return n_draws // n_groups * self.inner.evaluations(n_groups, family)

    def noise_spec(self, family: Family, n_draws: int, n_data: int) -> NoiseSpec:
        return self.inner.noise_spec(family, n_draws, n_data)

    def initial_state(self, problem: Problem) -> Floats:
        return self.inner.initial_state(problem)

    def check_pairing(self, model: Model, posterior: Posterior) -> None:
        self.inner.check_pairing(model, posterior)

    def check_draws(self, n_draws: int) -> None:
        self.source.check(NoiseSpec("normal", (n_draws,)))
        n_groups = self.groups(n_draws)
        least = max(2, self.inner.minimum_draws)
        if n_groups < least:
            raise NotApplicable(
                f"{self.name} needs at least {least} independent groups of draws: "
                f"{n_draws} {self.source.name} draws are {n_groups}; raise --draws",
                Reason.COUPLED_DRAWS,
            )
        self.inner.check_draws(n_groups)

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        axis = noise.ndim - len(self.inner.noise_for(problem, 1).shape)
        groups = self.source.groups(noise.shape[axis])
        lead, rest = noise.shape[:axis], noise.shape[axis + 1 :]
        # (..., m, G, ...): the sets are repeats of the inner estimator.
        sets = np.take(noise, groups.T, axis=axis).reshape(-1, len(groups), *rest)
        estimates, state = self.inner.estimate(problem, sets, state)
        return estimates.reshape(*lead, groups.shape[1], -1).mean(axis=-2), state


class LeaveOneGroupOut(OneOfEveryGroup):
    """REINFORCE with the mean over all other groups as the baseline of every draw of a group."""

    @property
    def difference(self) -> str:
        return f"the baseline is the mean over all other {self.source.group_word}"

    def evaluations(self, n_draws: int, family: Family) -> int:
        return self.inner.evaluations(n_draws, family)

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        f, mean_score = log_weight_and_score(problem, noise)
        groups = self.source.groups(f.shape[-2])
        by_group = f[..., groups, :].mean(axis=-2)
        others = (by_group.sum(axis=-2, keepdims=True) - by_group) / (len(groups) - 1)
        baseline = np.empty_like(f)
        baseline[..., groups, :] = others[..., None, :]
        return mean_score(f - baseline), state


def for_source(estimator: Estimator, source: NoiseSource) -> Estimator:
    """Return the estimator of the same target whose formula holds for draws of a source.

    That is the estimator itself, where it is a plain mean over draws, where the draws are independent, and
    where no form of it is known (`Scene.refusal` has the reason).
    """
    coupled = estimator.independent_draws and not source.independent
    if not coupled or isinstance(estimator, OneOfEveryGroup) or source.one_group:
        return estimator
    kind = LeaveOneGroupOut if type(estimator) is ScoreFunctionLOO else OneOfEveryGroup
    return kind(estimator, source)


def check_source(estimator: Estimator, source: NoiseSource) -> None:
    """Refuse draws that depend on each other for an estimator that needs independent ones.

    Raises
    ------
    NotApplicable
    """
    if estimator.independent_draws and not source.independent:
        raise NotApplicable(
            f"{estimator.name} declares that it needs independent draws (independent_draws = True), and all "
            f"{source.name} draws depend on each other; {source.remedy}",
            Reason.COUPLED_DRAWS,
        )
