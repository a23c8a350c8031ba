"""From names to objects: what comes with the package and what other packages registered.

Other packages add theirs through the entry-point groups `elbo_lab.models` (a Model class) and
`elbo_lab.estimators` (an Estimator instance or a class without arguments).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points

from elbo_lab.errors import bad_kind, bad_value, check_count, unknown_name
from elbo_lab.estimators import ESTIMATORS, TARGETS, Estimator, Exact
from elbo_lab.models import MODELS, Model
from elbo_lab.posteriors import POSTERIORS


@dataclass(frozen=True)
class ModelChoice:
    """A model to be built for the data (a class and a variant), or a finished one."""

    kind: type
    variant: str | None = None
    model: Model | None = None

    def build(self, x, latent):
        """Return the model for data x (N, D)."""
        if self.model is not None:
            if latent is not None and latent != self.model.latent_dim:
                got = f"{latent} beside a finished model with {self.model.latent_dim}"
                raise bad_value("latent", "no value", got)
            return self.model
        return self.kind.for_data(x, variant=self.variant, latent=latent)

    @property
    def label(self):
        return f"{self.kind.name}:{self.variant}" if self.variant else self.kind.name


def _plugins(group, wanted):
    for entry in entry_points(group=group):
        found = entry.load()
        if wanted is Estimator and isinstance(found, type):
            found = found()
        yield found


def all_models():
    """Return every model class, the package's first."""
    return [*MODELS, *_plugins("elbo_lab.models", Model)]


def all_estimators():
    """Return every estimator object, the package's first."""
    return [*ESTIMATORS, *_plugins("elbo_lab.estimators", Estimator)]


def _hashable(argument, item):
    """Return the object, or refuse one that cannot be a key."""
    if type(item).__hash__ is None:
        kind = type(item).__name__
        raise bad_kind(argument, "objects that can be hashed", kind, "use @dataclass(frozen=True)")
    return item


def _complete(estimator):
    """Return the estimator if it says what it is and what it estimates, or raise."""
    for attribute in ("name", "target"):
        value = getattr(estimator, attribute, None)
        if not isinstance(value, str) or not value.strip():
            kind, remedy = type(estimator).__name__, f"set {attribute} = '...' in the class"
            raise bad_value("estimators", f"an estimator with a {attribute}", f"{kind} without one", remedy)
    if estimator.name == Exact.name and not isinstance(estimator, Exact):
        raise bad_value("estimators", "a name of its own", "'exact', which is the reference's")
    if not isinstance(estimator.unbiased, bool):
        expected = f"True or False: whether its expectation is {estimator.target}"
        raise bad_kind(f"unbiased of {estimator.name}", expected, repr(estimator.unbiased))
    if estimator.target not in TARGETS:
        raise unknown_name(f"target of {estimator.name}", estimator.target, TARGETS)
    for attribute, least in (("minimum_draws", 1), ("burn_in", 0)):
        check_count(f"{attribute} of {estimator.name}", getattr(estimator, attribute), minimum=least)
    return estimator


def find_models(items=None, argument="models"):
    """Return the ModelChoice list for names ('ppca', 'gaussian-mixture:full'), classes or objects.

    `argument` is what a mistake is blamed on.
    """
    every = [ModelChoice(kind, variant) for kind in all_models() for variant in kind.variants]
    if items is None:
        return every
    if isinstance(items, (str, type)) or not isinstance(items, Iterable):
        items = [items]
    chosen = []
    for item in items:
        if isinstance(item, Model):
            chosen.append(ModelChoice(type(item), item.variant, _hashable(argument, item)))
        elif isinstance(item, type) and issubclass(item, Model):
            chosen += [ModelChoice(item, variant) for variant in item.variants]
        elif isinstance(item, str):
            found = [choice for choice in every if item in (choice.kind.name, choice.label)]
            if not found:
                names = [choice.kind.name for choice in every] + [c.label for c in every]
                raise unknown_name(argument, item, list(dict.fromkeys(names)))
            chosen += found
        else:
            raise bad_kind(argument, "names, Model classes or Model objects", repr(item))
    if not chosen:
        raise bad_value(argument, "at least one model", "none")
    return list(dict.fromkeys(chosen))


def find_estimators(items=None):
    """Return estimator objects for names or objects; a name may stand for several targets."""
    every = all_estimators()
    if items is None:
        return every
    if isinstance(items, (str, type)) or not isinstance(items, Iterable):
        items = [items]
    chosen = []
    for item in items:
        if isinstance(item, type) and issubclass(item, Estimator):
            item = item()
        if isinstance(item, Estimator):
            chosen.append(_complete(_hashable("estimators", item)))
        elif isinstance(item, str):
            found = [estimator for estimator in every if estimator.name == item]
            if not found:
                names = list(dict.fromkeys(estimator.name for estimator in every))
                if "," in item:
                    raise bad_value("estimators", "a name or a list of names", repr(item), "split it")
                raise unknown_name("estimators", item, names)
            chosen += found
        else:
            raise bad_kind("estimators", "names or Estimator objects", repr(item))
    if not chosen:
        raise bad_value("estimators", "at least one estimator", "none")
    chosen = list(dict.fromkeys(chosen))
    names = [(estimator.target, estimator.name) for estimator in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise bad_value("estimators", "different names for one target", f"{twice[1]!r} twice", "rename yours")
    return chosen


def check_posterior_name(name):
    """Return the name if it is a posterior's, or raise."""
    names = [posterior.name for posterior in POSTERIORS]
    if name not in names:
        raise unknown_name("posterior", name, names)
    return name
