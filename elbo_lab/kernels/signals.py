"""The state of a signal, an array (3,) of int64 that threads look at from Python and from compiled code.

`state[COUNT]` only rises; `state[BROKEN]` says that nobody waits for it any more; `state[KIND]` is, of
orders, the kind of the last one. `elbo_lab.crew` and `waiting` are the two sides.
"""

COUNT, BROKEN, KIND = 0, 1, 2
