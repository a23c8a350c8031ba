"""Objectives that are bounds of several draws with an argument: MIWAE, CIWAE, VR-IWAE and the Renyi bound.

    miwae(groups=2)      mean over groups of the importance-weighted bound of the draws in each
    ciwae(beta=0.5)      beta ELBO + (1 - beta) importance-weighted bound
    vr-iwae(alpha=0.5)   1 / (1 - alpha) log mean w^(1 - alpha)
    renyi(alpha=0.5)     the same estimate, for the bound of infinitely many draws

(Rainforth et al. 2018; Daudel et al. 2023; Li and Turner 2016.) All have the maximum of log p(x)
where q can be the posterior. Where it cannot, they weigh a tight bound, which asks less of q, against a
gradient in phi whose signal does not vanish with the draws. A class is the objective with its usual argument;
`find_objective` returns that with another. Theta along all draws and phi along groups, PIWAE, is `iwae` with
the phi-estimator `piwae-2-phi`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

from elbo_lab.bounds.coupled import Combined, CoupledBound, Grouped, Renyi, Tempered
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.estimators import (
    BoundReparameterization,
    BoundTheta,
    BoundVimco,
    CombinedBound,
    Estimator,
    GroupedBound,
    RenyiBound,
)
from elbo_lab.estimators.iwae_gradients.of_bounds import BoundGradient
from elbo_lab.models import Model
from elbo_lab.names import Argument, with_arguments
from elbo_lab.posteriors import Posterior
from elbo_lab.training.objectives import VariationalObjective


@dataclass(frozen=True, eq=False)
class BoundObjective(VariationalObjective):
    """Base of the objectives that are a bound of `bounds.coupled`.

    Parameters
    ----------
    theta_estimator, phi_estimator : Estimator, optional
        Of the gradients of the bound; by default its weighted slopes, and in phi the reparameterization, or
        VIMCO where z is discrete.
    draws : int
        All draws of a datum.

    The other parameters are those of `VariationalObjective`.

    Attributes
    ----------
    weighted : CoupledBound
    """

    theta_estimator: Estimator | None = None
    phi_estimator: Estimator | None = None
    draws: int = field(default=10, kw_only=True)
    weighted: ClassVar[CoupledBound]
    value_of: ClassVar[type[Estimator]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        name = cls.weighted.name
        cls.name, cls.title = name, cls.weighted.title
        cls.value_key = name.replace("-", "_")
        cls.watched_key = f"{cls.value_key}_validation"
        cls.targets = {vector: f"grad-{vector}-{cls.weighted.target}" for vector in ("theta", "phi")}
        cls.usual = {
            "theta_estimator": f"{name}-theta",
            "phi_estimator": f"{name}-reparameterization",
            "draws": 10,
        }
        cls.usual_of_discrete = {"phi_estimator": f"{name}-vimco"}

    def __post_init__(self) -> None:
        in_phi = BoundVimco if self.posterior.family.discrete else BoundReparameterization
        for vector, form in (("theta", BoundTheta), ("phi", in_phi)):
            if getattr(self, f"{vector}_estimator") is None:
                object.__setattr__(self, f"{vector}_estimator", form(self.weighted))
        super().__post_init__()

    @classmethod
    def with_argument(cls, arguments: Mapping[str, Argument]) -> type[Self]:
        """Return the objective with other arguments of its bound."""
        bound = with_arguments(cls.weighted, arguments, "objective")
        return type(cls.__name__, (cls,), {"weighted": bound, "__doc__": cls.__doc__})

    @classmethod
    def adapted(cls, estimator: Estimator) -> Estimator:
        """Return an estimator whose bound has no argument of its own with that of the objective."""
        own = isinstance(estimator, BoundGradient) and type(estimator.bound) is type(cls.weighted)
        if own and estimator.bound == type(cls.weighted)():  # type: ignore[attr-defined]
            return replace(estimator, bound=cls.weighted)  # type: ignore[type-var]
        return estimator

    @cached_property
    def bound(self) -> Estimator:
        return with_arguments(self.value_of(), self.value_arguments(), "objective")

    @classmethod
    def value_arguments(cls) -> dict[str, Any]:
        """Return the arguments of the estimator of the value."""
        return {
            name: getattr(cls.weighted, name) for name in ("beta", "alpha") if hasattr(cls.weighted, name)
        }


class GroupedObjective(BoundObjective):
    """MIWAE: the mean of importance-weighted bounds, one for each group of the draws.

    Helps: groups keep the signal in phi that one large bound loses. Fails: each group is a looser bound.

    Source: Rainforth et al., "Tighter variational bounds are not necessarily better" (2018).
    """

    weighted = Grouped()
    value_of = GroupedBound
    synonyms = ("multiply-importance-weighted",)
    summary = "theta and phi along the mean of importance-weighted bounds of groups=2 of the draws"

    @classmethod
    def check_estimator(cls, name: str, estimator: Estimator, model: Model, posterior: Posterior) -> None:
        super().check_estimator(name, estimator, model, posterior)
        groups = cls.value_arguments()["n_groups"]
        if estimator.group_size(12 * groups) != 12:
            expected = f"one of {groups} groups, such as miwae-{'theta' if name == 'theta' else 'dreg'}"
            text = f"estimator: expected {expected}, got {estimator.name}, of another number"
            raise NotApplicable(text, Reason.WRONG_TARGET)

    @classmethod
    def value_arguments(cls) -> dict[str, Any]:
        assert isinstance(cls.weighted, Grouped)
        return {"n_groups": cls.weighted.groups}


class CombinedObjective(BoundObjective):
    """CIWAE: beta times the ELBO plus 1 - beta times the importance-weighted bound of the same draws.

    Helps: part of the gradient in phi keeps its signal however many draws there are. Fails: a looser bound
    than that of the same draws alone.

    Source: Rainforth et al., "Tighter variational bounds are not necessarily better" (2018).
    """

    weighted = Combined()
    value_of = CombinedBound
    synonyms = ("combination-iwae",)
    summary = "theta and phi along beta=0.5 ELBO + (1 - beta) importance-weighted bound"


class TemperedObjective(BoundObjective):
    """VR-IWAE: the Renyi bound of M draws, between ELBO and importance-weighted bound.

    Helps: weights w^(1 - alpha) are less uneven than w. Fails: further from log p(x) than alpha = 0.

    Source: Daudel, Benton, Shi and Doucet, "Alpha-divergence variational inference meets importance weighted
    auto-encoders" (2023).
    """

    weighted = Tempered()
    value_of = RenyiBound
    summary = "theta and phi along the VR-IWAE bound of order alpha=0.5"


class RenyiObjective(BoundObjective):
    """The Renyi bound of any order, by the biased estimate of several draws.

    Helps: alpha from below zero (q covers the posterior) to above one (q stays inside it). Fails: what
    M draws maximise is the bound of M draws; for alpha below zero few weights carry it.

    Source: Li and Turner, "Renyi divergence variational inference" (2016).
    """

    weighted = Renyi()
    value_of = RenyiBound
    summary = "theta and phi along the estimate of the Renyi bound of order alpha=0.5; biased"
