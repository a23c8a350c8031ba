"""A bound of M draws as a function of their log-weights, with the derivatives that its gradients need.

Let B(log w_1, ..., log w_M) be any of these bounds. Three functions of the log-weights give its gradients:

    value    B
    weights  v_m = dB / d log w_m              their sum is one
    doubly   v_m - dv_m / d log w_m            factors of the doubly reparameterized gradient

since  d B = sum_m v_m d log w_m,  and the term -sum_m v_m h_m in it, h_m the score of q, is a score function
whose f is v_m: reparameterized once more (Tucker et al. 2019) it is the slope of v_m in its own log-weight.

    bound    B                                        v_m                        v_m - dv_m / d log w_m
    miwae    mean over G groups of log mean w         s_m / G, in the group      s_m^2 / G
    ciwae    beta mean log w + (1 - beta) log mean w  beta / M + (1 - beta) s_m  the same with s_m^2
    vr-iwae  1 / (1 - alpha) log mean w^(1 - alpha)   r_m                        alpha r_m + (1 - alpha) r_m^2

with s_m = w_m / sum w and r_m = w_m^(1-alpha) / sum w^(1-alpha). (Rainforth et al. 2018, section 4; Daudel
et al. 2023 for the third.) One group, beta = 0 and alpha = 0 are the importance-weighted
bound; groups of one, beta = 1 and the limit alpha -> 1 are the ELBO. `renyi` is the third bound taken for the
bound of infinitely many draws (Li and Turner 2016), which it estimates with a bias.

Helps: between a loose bound with a clear gradient in phi and a tight one whose signal vanishes. Fails: where
log p(x) itself is wanted, for which the same draws in one importance-weighted bound are tighter.

Log-weights are (..., M, N); a value is (..., N), in nats; derivatives are (..., M, N).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.bounds.grouped import combined_bound, group_of, grouped_bound
from elbo_lab.bounds.renyi import check_alpha, renyi_bound
from elbo_lab.errors import bad_value, check_count, check_share
from elbo_lab.names import arguments_of, spell_call
from elbo_lab.special import softmax


class CoupledBound(ABC):
    """A bound of M draws.

    Attributes
    ----------
    name, title : str
    unbiased : bool
        Whether its mean is its target.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unbiased: ClassVar[bool] = True

    @property
    def target(self) -> str:
        """What its mean is, or is near: the name of a quantity, with arguments and without draws."""
        return spell_call(self.name, arguments_of(self))

    @abstractmethod
    def value(self, log_w: Floats) -> Floats:
        """Return B (..., N)."""

    @abstractmethod
    def weights(self, log_w: Floats) -> Floats:
        """Return dB / d log w_m (..., M, N)."""

    @abstractmethod
    def doubly(self, log_w: Floats) -> Floats:
        """Return the factors of the doubly reparameterized gradient (..., M, N)."""

    def gained(self, log_w: Floats) -> Floats:
        """Return B minus its value with log w_m replaced by the mean of the others (..., M, N).

        What is subtracted does not see draw m: a baseline for its score (Mnih and Rezende 2016).
        """
        n_draws, value = log_w.shape[-2], self.value(log_w)
        gained = np.empty_like(log_w)
        for m in range(n_draws):
            others = np.delete(log_w, m, axis=-2)
            replaced = np.concatenate([others, others.mean(axis=-2, keepdims=True)], axis=-2)
            gained[..., m, :] = value - self.value(replaced)
        return gained

    def group_size(self, n_draws: int) -> int:
        """Return how many of the draws enter one logarithm."""
        return n_draws


@dataclass(frozen=True)
class Grouped(CoupledBound):
    """MIWAE: the mean of G importance-weighted bounds of M / G draws each.

    Parameters
    ----------
    groups : int
        G, a divisor of M.
    """

    groups: int = 2
    name = "miwae"
    title = "MIWAE"

    def __post_init__(self) -> None:
        check_count("groups", self.groups)

    @property
    def target(self) -> str:
        """The importance-weighted bound, of the draws of one group."""
        return "iwae"

    def in_groups(self, log_w: Floats) -> Floats:
        """Return the log-weights (..., G, M / G, N)."""
        *lead, n_draws, n_data = log_w.shape
        return log_w.reshape(*lead, self.groups, group_of(n_draws, self.groups), n_data)

    def value(self, log_w: Floats) -> Floats:
        return grouped_bound(log_w, self.groups)

    def weights(self, log_w: Floats) -> Floats:
        return (softmax(self.in_groups(log_w), axis=-2) / self.groups).reshape(log_w.shape)

    def doubly(self, log_w: Floats) -> Floats:
        return (softmax(self.in_groups(log_w), axis=-2) ** 2 / self.groups).reshape(log_w.shape)

    def gained(self, log_w: Floats) -> Floats:
        if self.groups == 1:
            return super().gained(log_w)
        return (Grouped(1).gained(self.in_groups(log_w)) / self.groups).reshape(log_w.shape)

    def group_size(self, n_draws: int) -> int:
        return n_draws // self.groups


@dataclass(frozen=True)
class Combined(CoupledBound):
    """CIWAE: beta times the ELBO plus 1 - beta times the importance-weighted bound, of the same draws.

    Parameters
    ----------
    beta : float
        Share of the ELBO, from 0 to 1.
    """

    beta: float = 0.5
    name = "ciwae"
    title = "CIWAE"

    def __post_init__(self) -> None:
        check_share("beta", self.beta)

    def value(self, log_w: Floats) -> Floats:
        return combined_bound(log_w, self.beta)

    def _with_share(self, of_weights: Floats) -> Floats:
        return self.beta / of_weights.shape[-2] + (1.0 - self.beta) * of_weights

    def weights(self, log_w: Floats) -> Floats:
        return self._with_share(softmax(log_w, axis=-2))

    def doubly(self, log_w: Floats) -> Floats:
        return self._with_share(softmax(log_w, axis=-2) ** 2)


@dataclass(frozen=True)
class Tempered(CoupledBound):
    """VR-IWAE: the Renyi bound of M draws, a bound of its own.

    Parameters
    ----------
    alpha : float
        From 0, the importance-weighted bound, to below 1, where it tends to the ELBO.
    """

    alpha: float = 0.5
    name = "vr-iwae"
    title = "VR-IWAE"

    def __post_init__(self) -> None:
        if not 0.0 <= check_alpha(self.alpha) < 1.0:
            raise bad_value("alpha", "a number from 0 to below 1", self.alpha, "renyi takes others")

    def value(self, log_w: Floats) -> Floats:
        return renyi_bound(log_w, self.alpha)

    def weights(self, log_w: Floats) -> Floats:
        return softmax((1.0 - self.alpha) * log_w, axis=-2)

    def doubly(self, log_w: Floats) -> Floats:
        weights = self.weights(log_w)
        # The order of the terms leaves alpha = 0 the squares alone, to the last bit.
        return self.alpha * weights + (1.0 - self.alpha) * weights**2


class Renyi(Tempered):
    """The same estimate of the Renyi bound, that of infinitely many draws: biased.

    Parameters
    ----------
    alpha : float
        Any finite number but 1.
    """

    name = "renyi"
    title = "Renyi bound"
    unbiased = False

    def __post_init__(self) -> None:
        if not np.isfinite(check_alpha(self.alpha)):
            reason = "at infinity there is no gradient"
            raise bad_value("alpha", "a finite number other than 1", self.alpha, reason)


COUPLED_BOUNDS: tuple[CoupledBound, ...] = (Grouped(), Combined(), Tempered(), Renyi())
