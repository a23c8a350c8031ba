"""The q that a text names: a map from x to eta, a family, or both.

    MAP              free                        in the family of the model's own q
    FAMILY           laplace                     the usual map of whoever asks
    MAP:FAMILY       amortised:student-t
    with arguments   low-rank-gaussian(rank=2)   the fields of the family, beside its size

Any family may be a q whose support lies within that of the prior.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elbo_lab.distributions import Family
from elbo_lab.distributions.named import FamilyChoice, find_family
from elbo_lab.errors import NotApplicable, Reason, bad_value, unknown_name
from elbo_lab.names import called, names_by_word
from elbo_lab.posteriors.amortised import AmortisedPosterior
from elbo_lab.posteriors.base import Posterior, mismatch
from elbo_lab.posteriors.exact import ExactPosterior
from elbo_lab.posteriors.free import FreePosterior

if TYPE_CHECKING:
    from elbo_lab.models import Model

POSTERIORS: tuple[type[Posterior], ...] = (FreePosterior, AmortisedPosterior, ExactPosterior)


@dataclass(frozen=True)
class PosteriorChoice:
    """A map, a family, or both; '' and None stand for the usual ones.

    Attributes
    ----------
    map : str
    family : FamilyChoice or None
    """

    map: str = ""
    family: FamilyChoice | None = None

    @property
    def text(self) -> str:
        """The text that `find_posterior` reads as this choice."""
        return ":".join(filter(None, (self.map, "" if self.family is None else self.family.text)))

    def family_for(self, model: "Model") -> Family:
        """Return the family of q for a model: the model's own where none was named."""
        if self.family is None:
            return model.posterior_family
        for own in (model.posterior_family, model.family):
            if type(own) is self.family.kind and not self.family.arguments:
                return own.as_q()
        return self.family.of_size(model.latent_dim)


def find_posterior(text: str, argument: str = "posterior") -> PosteriorChoice:
    """Return what a text 'MAP', 'FAMILY' or 'MAP:FAMILY' names.

    Parameters
    ----------
    text : str
    argument : str
        Its name in an error.

    Raises
    ------
    ValueError
        In one line with the nearest name.

    Examples
    --------
    >>> find_posterior("amortized:low_rank_gaussian(rank=2)").text
    'amortised:low-rank-gaussian(rank=2)'
    """
    head, colon, tail = text.partition(":")
    maps = called(head, POSTERIORS)
    if colon and not (head.strip() and tail.strip()):
        raise bad_value(argument, "MAP, FAMILY or MAP:FAMILY, as in free:laplace", repr(text))
    if not colon:
        if maps:
            return PosteriorChoice(maps[0].name)
        return PosteriorChoice("", find_family(text, argument, POSTERIORS))
    if not maps:
        names = [kind.name for kind in POSTERIORS]
        raise unknown_name(argument, head, names, words=names_by_word(POSTERIORS))
    if maps[0] is ExactPosterior:
        expected = f"{ExactPosterior.name!r} alone: the exact posterior has a family of its own"
        raise bad_value(argument, expected, repr(text))
    return PosteriorChoice(maps[0].name, find_family(tail, argument))


def check_within(family: Family, prior: Family, argument: str = "posterior") -> None:
    """Refuse a q that reaches beyond the support of the prior, where the ELBO is minus infinity.

    Raises
    ------
    NotApplicable
        In one line, with the families that would do.
    """
    if not family.lies_within(prior):
        raise NotApplicable(f"{argument}: {mismatch(family, prior)}", Reason.SUPPORT)
