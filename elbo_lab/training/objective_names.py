"""The objectives by name: what `fit --objective` trains; one more is its class and a line here.

An entry is a `VariationalObjective` with a name. Its `targets` say which estimators it takes, its `usual`
which ones, and how many draws, where they differ from those of the ELBO; whether it `ascends` one function
says what its history shows.
"""

from elbo_lab.errors import bad_value, unknown_name
from elbo_lab.names import called, names_by_word, parse_call
from elbo_lab.training.bound_objectives import (
    BoundObjective,
    CombinedObjective,
    GroupedObjective,
    RenyiObjective,
    TemperedObjective,
)
from elbo_lab.training.objectives import ElboObjective, ImportanceWeightedObjective, VariationalObjective
from elbo_lab.training.wake_sleep import (
    BothReweightedObjective,
    InclusiveKLObjective,
    ReweightedWakeSleepObjective,
    SleepReweightedObjective,
    WakeSleepObjective,
)

OBJECTIVES: dict[str, type[VariationalObjective]] = {
    kind.name: kind
    for kind in (
        ElboObjective,
        ImportanceWeightedObjective,
        GroupedObjective,
        CombinedObjective,
        TemperedObjective,
        RenyiObjective,
        WakeSleepObjective,
        ReweightedWakeSleepObjective,
        SleepReweightedObjective,
        BothReweightedObjective,
        InclusiveKLObjective,
    )
}


def find_objective(text: str, argument: str = "objective") -> type[VariationalObjective]:
    """Return the class of an objective by its name, with arguments as in 'renyi(alpha=0.5)'.

    Raises
    ------
    ValueError
        If there is none, or it does not take these arguments.
    """
    name, arguments = parse_call(text, argument)
    found = called(name, OBJECTIVES.values())
    if not found:
        raise unknown_name(argument, name, list(OBJECTIVES), words=names_by_word(OBJECTIVES.values()))
    kind = found[0]
    if not arguments:
        return kind
    if not issubclass(kind, BoundObjective):
        raise bad_value(argument, f"no arguments of {kind.name!r}, which takes none", repr(text))
    return kind.with_argument(arguments)
