"""The objectives by name: what `fit --objective` trains; one more is its class and a line here.

An entry is a `VariationalObjective` with a name. Its `targets` say which estimators it takes, its `usual`
which ones, and how many draws, where they differ from those of the ELBO; whether it `ascends` one function
says what its history shows.
"""

from elbo_lab.training.objectives import ElboObjective, ImportanceWeightedObjective, VariationalObjective
from elbo_lab.training.wake_sleep import (
    BothReweightedObjective,
    ReweightedWakeSleepObjective,
    SleepReweightedObjective,
    WakeSleepObjective,
)

OBJECTIVES: dict[str, type[VariationalObjective]] = {
    kind.name: kind
    for kind in (
        ElboObjective,
        ImportanceWeightedObjective,
        WakeSleepObjective,
        ReweightedWakeSleepObjective,
        SleepReweightedObjective,
        BothReweightedObjective,
    )
}
