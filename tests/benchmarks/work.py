"""What a benchmark says of itself: who does the work, and what is aimed at.

A contestant is a function without arguments that sets the work up and returns the work itself, again a
function without arguments. Each contestant runs in a process of its own, so that thread pools do not fight
over the cores and the peak of memory is its own; rounds alternate between the contestants.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from elbo_lab.kernels import use_kernels

SetUp = Callable[[], Callable[[], object]]


@dataclass(frozen=True)
class Work:
    """One piece of work, done by us, by the readable definition, by peers, and by the limit.

    Attributes
    ----------
    name : str
    ours : SetUp
    definition : SetUp or None
        The readable NumPy form of the same work; None where `ours` is it.
    limit : SetUp or None
        What cannot be left out, for example the matrix products alone through the same BLAS.
    peers : dict of str to SetUp
        Each imports its framework inside; where that is not installed the peer is skipped.
    most_of_limit : float or None
        Target: time of `ours` over the time of `limit` is at most this.
    least_over_peer : dict of str to float
        Target: time of the peer over the time of `ours` is at least this.
    most_ms : float or None
        Target in milliseconds, where nothing stands beside it.
    most_of_peer_memory : dict of str to float
        Target: extra memory of `ours` over that of the peer is at most this.
    """

    name: str
    ours: SetUp
    definition: SetUp | None = None
    limit: SetUp | None = None
    peers: dict[str, SetUp] = field(default_factory=dict)
    most_of_limit: float | None = None
    least_over_peer: dict[str, float] = field(default_factory=dict)
    most_ms: float | None = None
    most_of_peer_memory: dict[str, float] = field(default_factory=dict)


def in_numpy(work):
    """Return the same work by its definition, the kernels switched off."""

    def by_definition():
        with use_kernels("numpy"):
            work()

    return by_definition
